"""An event made into a touchpoint: every check, limit and warning that holds for all dialects. Pure.

Receives parsed events and their source; guarantees one verdict for each. Read `touchpoint.py` next.
"""
