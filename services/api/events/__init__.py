"""The last events and what became of each, and the events that a model's vocabulary does not know.

Receives filters, guarantees bounded answers however many events come, gives events and names for whoever wires up an
SDK. Read `answers.py`, then `routes.py`.
"""
