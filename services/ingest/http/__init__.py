"""The HTTP shell: a request with events from its bytes to its answer, and all other paths.

Receives ASGI calls; guarantees that a 200 means Kafka has the events, and a verdict for each. Read `app.py` next.
"""
