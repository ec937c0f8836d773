"""The processes of ingest: a supervisor, its workers, and the limits on what their connections may hold.

Read `supervisor.py` next.
"""
