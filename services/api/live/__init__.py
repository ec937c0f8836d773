"""Live answers as server-sent events: one poller for each question, however many clients follow it.

Receives a question and the function that answers it, guarantees that a slow client gets the latest answer and holds
nobody up, gives the response of the stream. Read `feeds.py`, then `sse.py`.
"""
