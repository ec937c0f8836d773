"""A shop and its customers, made up, sending through a real SDK.

Receives a seed, a clock, an address and a write key; guarantees the same customers for the same seed and start; gives
SDK calls (`shop.py`, pure) and sends them (`send.py`). Read `journeys.py`, then `shop.py`; `replay.py` reads files.
"""
