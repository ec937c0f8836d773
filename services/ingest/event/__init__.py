"""What every dialect needs: the event in common terms, the verdict on it, times, and JSON that is not clean. Pure.

Receives parts of a body; returns typed values, or a verdict with the field at fault and the fix. Read `event.py` next.
"""
