"""The tables and every statement over them.

Receives connections; guarantees set-based statements that lock in sorted order and run unchanged on Citus; gives plain
rows. `schema/` has the tables, `engine/` how statements and transactions run, `access/` who may write and read. Then
read what stager runs: `offsets.py`, `facts.py`, `identity.py`, `journeys.py`, `counts.py`.
"""
