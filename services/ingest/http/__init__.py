"""The HTTP shell: one request from its bytes to its answer, and every path beside the event paths.

Receives ASGI calls; guarantees that a 200 means Kafka has the events; gives each event's verdict. Read `app.py` next.
"""
