"""A touchpoint as a row and as a fold reads it again, field by field."""

from hypothesis import given

from tests.strategies.wire import TOUCHPOINTS
from throughline.journey.touchpoint import Touchpoint
from throughline.store import facts
from throughline.store.facts import TOUCHPOINT_COLUMNS, content_of, row_of
from throughline.store.schema.facts import touchpoints

NOT_STORED = {"actor", "workspace", "client_us", "warnings"}
"""Fields that stand elsewhere (in `ids`, in `recent_events`) or nowhere."""


@given(TOUCHPOINTS)
def test_each_column_has_the_field_of_its_name(touchpoint: Touchpoint) -> None:
    row = dict(zip(TOUCHPOINT_COLUMNS, row_of(b"actor", b"message", touchpoint), strict=True))
    assert (row.pop("actor"), row.pop("message")) == (b"actor", b"message")
    assert row.keys() == set(Touchpoint._fields) - NOT_STORED
    for name, value in row.items():
        sent = getattr(touchpoint, name)
        assert value == (None if sent == "" and touchpoints.c[name].nullable else sent)


@given(TOUCHPOINTS)
def test_a_fold_reads_the_fields_that_it_looks_at(touchpoint: Touchpoint) -> None:
    stored = dict(zip(TOUCHPOINT_COLUMNS, row_of(b"actor", b"message", touchpoint), strict=True))
    read = facts._folded([stored[name] for name in facts._FOLDED], touchpoint.actor)  # type: ignore[arg-type]
    for name, default in Touchpoint._field_defaults.items():
        assert getattr(read, name) == (getattr(touchpoint, name) if name in facts._FOLDED else default)
    assert read.order_key == touchpoint.order_key
    assert (read.call, read.name) == (touchpoint.call, touchpoint.name)


@given(TOUCHPOINTS)
def test_what_an_event_says_is_all_but_when_and_how_it_came(touchpoint: Touchpoint) -> None:
    content = content_of(row_of(b"actor", b"message", touchpoint))
    again = touchpoint._replace(occurred_us=1, received_us=2, source=3, channel="other", attribution="{}", client_us=4)
    assert content_of(row_of(b"actor", b"message", again)) == content
    for name in ("call", "name", "message_id", "user_id", "rest", "value"):
        changed = touchpoint._replace(**{name: -1.0 if name == "value" else "changed"})  # type: ignore[arg-type]
        if changed != touchpoint:
            assert content_of(row_of(b"actor", b"message", changed)) != content
