"""One batch, staged: decoded and planned by pure code, then written in one PostgreSQL transaction.

Receives records of one partition; guarantees that facts, journeys, counts and offset change together.
Read `transaction.py` next.
"""
