"""Strategies for events of GA4's Measurement Protocol."""

from hypothesis import strategies as st

from tests.strategies.values import JSON, TEXT

GA4_EVENTS = (
    st.fixed_dictionaries(
        {},
        optional={
            "name": st.sampled_from(["purchase", "login"]) | TEXT | JSON,
            "params": st.dictionaries(
                st.sampled_from(
                    ["transaction_id", "items", "value", "message_id", "page_location", "source", "medium", "currency"]
                )
                | TEXT,
                JSON | st.just([{"item_id": "a", "quantity": 2}]),
                max_size=4,
            )
            | JSON,
            "timestamp_micros": st.integers() | TEXT | JSON,
            "other": JSON,
        },
    )
    | JSON
)

GOOD_GA4 = {"name": "login", "params": {"message_id": "m"}}
