"""Rejected events with their reasons, and how many there were.

Receives filters, guarantees that all rejected events are counted, gives a page of those kept whole. Read `answers.py`,
then `queries.py`.
"""
