"""Funnels, the time between phases, and trends, out of the kept sums.

Receives steps, a span of days and a window, guarantees that each step's numbers add up to the cohort, gives rates with
their intervals. Read `answers.py`, then `queries.py`.
"""
