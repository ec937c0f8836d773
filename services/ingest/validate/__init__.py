"""Events made into touchpoints: every check, limit and warning that holds for all dialects. Pure.

Receives a `ParsedRequest` and its source; returns touchpoints and one verdict for each event. Read `request.py` next.
"""
