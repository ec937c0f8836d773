"""The HTTP edge: receives SDK requests, guarantees that a 200 means acknowledged by Kafka, gives every event a verdict.

Touchpoints go to the touchpoints topic as `throughline.wire` messages, refused events whole to the rejected topic.
Read `main.py` (settings, clients, app), then `http/app.py` (a request's way), `dialects/` and
`publish/batcher.py`.
"""
