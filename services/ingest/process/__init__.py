"""The processes of ingest: a supervisor (supervisor.py) and its workers (worker.py)."""
