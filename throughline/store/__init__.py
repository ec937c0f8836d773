"""PostgreSQL: tables, migrations, and the set-based statements that are right under concurrency.

Receives plain values in lists, guarantees the rules of `docs/store.md`, gives plain rows; `unit_of_work.py` is the only
place a transaction begins. Read `tables.py` next, then `staging.py` (what stager runs) and `keys.py` (who may do what).
"""
