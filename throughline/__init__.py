"""Throughline: SDK touchpoint events in, every customer's journey phase and live phase counts out.

Receives nothing itself: `services/` holds the three deployables, this package what they share.
Start with `journey/` (the pure rules), then `store/` (the statements) and `services/stager/`.
"""
