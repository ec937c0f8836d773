"""The moves between phases, and the cycles, that numbers count: as lists.

Receives a question of flows, variants or counts, guarantees that a list is as long as its number, gives a page of it.
Read `answers.py`, then `queries.py`.
"""
