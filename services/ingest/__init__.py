"""Ingest: receives the requests of SDKs, answers 200 once Kafka has their events, with a verdict for each event.

Touchpoints go to the touchpoints topic as `throughline.wire` messages, rejected events to the rejected topic, whole.
Read `http/app.py` (the way of a request), then `dialects/base.py`, `validate/request.py` and `publish/batcher.py`.
"""
