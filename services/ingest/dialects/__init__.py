"""What SDK families say, put into touchpoints: pure functions of a body, a source and the time it was received.

Receives the bytes of a request, guarantees one verdict per event and never an exception for a bad event, gives
touchpoints and refusals. Read `segment.py` next, then `careful.py` (bodies and events that are out of the ordinary).
"""
