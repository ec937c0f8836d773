"""Flows between phases, and the variants of cycles, out of the kept sums.

Receives a span of days, guarantees that every node adds up and that what is not shown is counted, gives nodes, edges
and variants. Read `answers.py`, then `queries.py`.
"""
