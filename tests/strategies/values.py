"""Strategies for JSON values and texts: any at all, and those that readers most often get wrong."""

import base64
import json
from typing import Any

from hypothesis import strategies as st

TEXT = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(["null", "0", "", "\0", "\ud800", "u1"])

SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT

JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)

TIMES = (
    st.datetimes().map(lambda time: time.isoformat())
    | st.sampled_from(
        ["2026-11-23T20:00:00+14:00", "0000-01-01", "+123456-01-01T00:00:00Z", "9999-12-31T23:59:59-14:00"]
    )
    | JSON
)


def base64_json(values: st.SearchStrategy[Any]) -> st.SearchStrategy[str]:
    return values.map(lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode())
