"""The read side: live phase counts, customers and journeys over HTTP, a live stream, and the page at `/`.

Receives GET requests with a read token, guarantees one workspace's numbers out of one snapshot and problem details for
every error, gives JSON and server-sent events; it never writes. Read `main.py`, `app.py`, `routes/`, then `queries.py`.
"""
