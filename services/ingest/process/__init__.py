"""The processes of ingest: a supervisor (supervisor.py), its workers (worker.py), and the limits on the connections of
each worker (connection_limits.py)."""
