"""The customers in a phase, as a list.

Receives a phase and a cursor, guarantees a stable order, gives a page of customers. Read `answers.py`.
"""
