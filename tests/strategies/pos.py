"""Strategies for sales of a point of sale."""

from hypothesis import strategies as st

from services.ingest.dialects.pos.parse import COLUMNS, EVENT_NAMES
from tests.strategies.values import JSON, TEXT, TIMES

SALES = (
    st.fixed_dictionaries(
        {},
        optional={
            **{name: TEXT | JSON for names in COLUMNS.values() for name in names},
            "kind": st.sampled_from(sorted(EVENT_NAMES)) | JSON,
            "sold_at": TIMES,
            **dict.fromkeys(("currency", "quantity", "acquisition_channel", "other"), JSON),
        },
    )
    | JSON
)

GOOD_SALE = {"receipt": "R", "customer": "good", "sold_at": "2026-11-23T20:00:00Z"}
