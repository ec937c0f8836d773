"""One batch, staged: decoded by pure code, then applied to facts, journeys and counts in one PostgreSQL transaction.

Receives records of one partition; guarantees that facts, journeys, counts and offset change together.
Read `transaction.py` next.
"""
