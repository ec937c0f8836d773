"""The tables and every statement over them.

Receives connections; guarantees set-based statements that lock in sorted order and run unchanged on Citus; gives plain
rows. `unit_of_work.py` is where transactions begin. Read `tables.py` next, then what stager runs (`offsets.py`,
`facts.py`, `identity.py`, `journeys.py`, `counts.py`), and `keys.py` (who may do what).
"""
