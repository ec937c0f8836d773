"""`throughline import`: a file of history, sent through ingest like live events.

Receives JSON lines or CSV and a mapping of columns, guarantees that each row has its verdict and counts once, also
when an import is stopped and continued. Read `mapping.py`, then `rows.py`, then `send.py`.
"""
