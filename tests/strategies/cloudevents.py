"""Strategies for CloudEvents in the JSON format."""

from hypothesis import strategies as st

from tests.strategies.values import JSON, TEXT, TIMES, base64_json

CLOUDEVENTS = (
    st.fixed_dictionaries(
        {"specversion": st.just("1.0") | JSON},
        optional={
            **dict.fromkeys(("id", "source", "type", "subject", "userid", "anonymousid", "dataschema"), TEXT | JSON),
            "time": TIMES,
            "datacontenttype": st.sampled_from(["text/plain", "application/json", "image/png"]) | JSON,
            "data": JSON,
            "data_base64": base64_json(JSON) | TEXT | JSON,
            "other": JSON,
        },
    )
    | JSON
)

GOOD_CLOUDEVENT = {"specversion": "1.0", "id": "1", "source": "s", "type": "t", "subject": "good"}
