"""The schema's history, run by `throughline.store.migrate` and by nothing else.

Receives a connection, guarantees that each revision in `versions/` is applied once and wholly, gives today's schema.
A revision spells its operations out and never imports `tables.py`, which moves on.
`docs/reference/store.md` has the rules.
"""
