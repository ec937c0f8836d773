"""A made-up shop and its shoppers, whose events a real SDK sends.

Receives a seed, a clock, an address and a write key; guarantees the same shoppers for the same seed and start; gives
SDK calls (`shop.py`, pure) and sends them (`send.py`). Read `journeys.py`, then `shop.py`; `story.py` has the
history, `event_file.py` reads files.
"""
