"""The three deployables: ingest (HTTP to Kafka), stager (Kafka to Postgres), api (Postgres to dashboards).

They never import each other: ingest and stager meet in `proto/`, stager and api in `throughline.store`.
Each starts at its `main.py`, which reads top to bottom: settings, clients, app.
"""
