"""The read side: live phase counts, customers and journeys over HTTP, a live stream, and the page at `/`.

Receives GET requests with a read token, guarantees that each answer is of one state of the database and each error is
problem details, gives JSON and server-sent events; it never writes. A feature is a package of `routes.py`,
`queries.py` and `answers.py`: read `main.py`, `app.py`, `phases/`, then `shared/`.
"""
