"""The journey rules, pure: no I/O, no clock, only the standard library.

Receives touchpoints, a model and the state so far; guarantees that every order of arrival ends in the state of a sorted
replay; gives journeys, transitions and count deltas. Read `touchpoint.py`, `model.py`, `fold.py`, then `diff.py`.
"""
