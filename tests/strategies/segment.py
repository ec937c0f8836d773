"""Strategies for events of Segment and of the SDKs that speak its protocol."""

from hypothesis import strategies as st

from services.ingest.event.event import CALLS
from tests.strategies.values import JSON, TEXT, TIMES

GOOD_SEGMENT = {"type": "track", "event": "E", "userId": "good", "messageId": "m", "timestamp": "2026-11-23T20:00:00Z"}

FIELDS = {
    "type": st.sampled_from(sorted(CALLS)) | JSON,
    "event": TEXT | JSON,
    "name": TEXT | JSON,
    "userId": TEXT | JSON,
    "anonymousId": TEXT | JSON,
    "previousId": TEXT | JSON,
    "messageId": TEXT | JSON,
    "timestamp": TIMES,
    "originalTimestamp": TIMES,
    "sentAt": TIMES,
    "properties": st.dictionaries(
        st.sampled_from(["value", "revenue", "order_id", "sku", "quantity", "rating", "nps", "currency", "referrer"])
        | TEXT,
        JSON,
        max_size=4,
    )
    | JSON,
    "context": st.dictionaries(st.sampled_from(["campaign", "page", "library"]), JSON, max_size=2) | JSON,
    "traits": JSON,
    "integrations": JSON,
    "groupId": JSON,
    "_metadata": JSON,
    "other": JSON,
}

SEGMENT_EVENTS = st.fixed_dictionaries({}, optional=FIELDS) | JSON
