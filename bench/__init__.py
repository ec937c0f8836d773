"""`make bench`: the services under load, beside named baselines, in one run on one machine.

Starts a real Kafka, a real PostgreSQL and real service processes, alternates ours with the baselines, prints a table.
Read `__main__.py`, then `servers.py` (what runs), `load.py` (the load generator), `figures/` (what is measured),
`comparison.py` (another checkout in place of the baselines).
"""
