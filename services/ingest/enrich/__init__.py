"""Where an event came from, by what device, and whether a crawler sent it. Pure.

`parse_context` (context.py) reads the context that many events share; `attribution_of` (attribution.py) adds what the
properties of one event say. They build on an address's parts (address.py), lists of click ids (click_ids.py), sites
(referrers.py) and crawlers (crawlers.py), the rules for channels (channels.py), and the device's type (devices.py).
"""
