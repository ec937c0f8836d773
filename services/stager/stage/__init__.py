"""One batch, staged: decoded by pure code, then applied to facts, journeys and counts in one PostgreSQL transaction.

Receives records of some partitions; guarantees that facts, journeys, counts and offsets change together.
Read `transaction.py` next.
"""
