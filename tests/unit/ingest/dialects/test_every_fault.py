"""A verdict names every fault that a dialect's own reader finds, not the first."""

from typing import Any

import pytest

from tests.support.dialect_requests import parsed, post, validated

FAR = 10**18


@pytest.mark.parametrize(
    ("path", "body", "fields"),
    [
        (
            "/v1/pos",
            {"sales": [{"total": "much", "kind": "gift", "sold_at": "soon"}]},
            {"receipt", "total", "kind", "customer", "sold_at"},
        ),
        ("/v1/pos", {"sales": [{"receipt": "R", "customer": "a", "total": "x", "kind": "gift"}]}, {"total", "kind"}),
        (
            "/mp/collect",
            {"client_id": "c.1", "events": [{"params": 5, "timestamp_micros": FAR * 1000}]},
            {"name", "params", "timestamp_micros"},
        ),
        ("/v1/cloudevents", {"data": {}}, {"specversion", "type", "source", "id"}),
        (
            "/v1/cloudevents",
            {"specversion": "9", "type": "x", "source": 5, "id": "1", "subject": "a", "data_base64": "%"},
            {"specversion", "source", "data_base64"},
        ),
        (
            "/batch",
            {"api_key": "k", "batch": [{"event": 5, "uuid": [1], "timestamp": 1e18, "distinct_id": {}}]},
            {"event", "uuid", "timestamp", "distinct_id"},
        ),
        (
            "/com.snowplowanalytics.snowplow/tp2",
            {"data": [{"e": "zz", "duid": "d", "dtm": str(FAR), "cx": "!"}]},
            {"e", "dtm", "cx"},
        ),
    ],
)
def test_all_faults_are_named(path: str, body: Any, fields: set[str]) -> None:
    (verdict,) = validated(parsed(post(body, path=path))).verdicts
    assert verdict is not None
    assert verdict.status == "rejected"
    faults = [verdict, *verdict.others]
    assert {fault.field for fault in faults} == fields
    assert len({(fault.code, fault.field) for fault in faults}) == len(faults)
