"""What an event is, in Segment's terms, and the ground that every dialect stands on: verdicts, times, JSON. Pure.

Receives parts of a body; gives typed values or a verdict that names the field and the fix. Read `event.py` next.
"""
