"""`make bench`: what the services do under load, beside named baselines, all in one run on the same machine.

Starts a real Kafka, a real PostgreSQL and real service processes, alternates ours with the baselines, prints a table.
Read `__main__.py`, then `bed.py` (what runs), `load.py` (who sends), `figures/` (what is measured).
"""
