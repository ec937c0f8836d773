"""Strategies for Snowplow events: names of the tracker protocol, self-describing events and entities."""

import json

from hypothesis import strategies as st

from tests.strategies.values import JSON, TEXT, base64_json

SCHEMAS = st.sampled_from(
    [
        "iglu:com.snowplowanalytics.snowplow.ecommerce/snowplow_ecommerce_action/jsonschema/1-0-2",
        "iglu:com.google.analytics.enhanced-ecommerce/action/jsonschema/1-0-0",
        *(f"iglu:a/{name}/jsonschema/1-0-0" for name in ("product", "cart", "transaction", "refund", "user")),
        *(f"iglu:a/{name}/jsonschema/1-0-0" for name in ("screen_view", "client_session", "actionFieldObject")),
    ]
)

DATA = st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["transaction", "refund", "list_view"]) | JSON,
        "action": st.sampled_from(["purchase", "refund"]) | JSON,
        **dict.fromkeys(("id", "userId", "transaction_id", "revenue", "currency", "quantity", "name"), JSON),
    },
)

DESCRIBED = st.fixed_dictionaries({"schema": SCHEMAS, "data": DATA | JSON})

UNSTRUCTURED = st.fixed_dictionaries({"schema": JSON, "data": DESCRIBED}) | JSON

CONTEXTS = st.fixed_dictionaries({"schema": JSON, "data": st.lists(DESCRIBED | JSON, max_size=3)}) | JSON

MILLISECONDS = st.integers(0, 2**45).map(str) | st.integers().map(str) | TEXT | JSON

SNOWPLOW_EVENTS = (
    st.fixed_dictionaries(
        {"e": st.sampled_from(["pv", "pp", "se", "ue", "tr", "ti"]) | JSON},
        optional={
            "ue_px": base64_json(UNSTRUCTURED) | TEXT,
            "ue_pr": UNSTRUCTURED.map(json.dumps) | TEXT | JSON,
            "cx": base64_json(CONTEXTS) | TEXT,
            "co": CONTEXTS.map(json.dumps) | JSON,
            "url": st.sampled_from(["https://a/?utm_source=b%00", "http://[/?utm_medium=1", "//x?utm_source=%ff"])
            | JSON,
            **dict.fromkeys(("dtm", "stm", "ttm"), MILLISECONDS),
            **dict.fromkeys(
                ("eid", "uid", "duid", "nuid", "page", "refr", "se_ac", "tr_id", "tr_tt", "other"), TEXT | JSON
            ),
        },
    )
    | JSON
)

GOOD_SNOWPLOW = {"e": "pv", "eid": "m", "uid": "good", "dtm": "1795465653000"}
