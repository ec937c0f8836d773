"""The history of the counts, step by step.

Receives a span and filters, guarantees that each step closes as the next one opens, gives the steps.
Read `answers.py`, `span.py`, then `queries.py`.
"""
