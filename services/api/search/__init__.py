"""Customers by the beginning of any of their ids, as a person types it.

Receives a text, guarantees that a look-up costs the same however many ids there are, gives a few customers. Read
`text.py`, then `queries.py`.
"""
