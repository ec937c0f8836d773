"""Cursors come back as they went, and nothing else is taken for one."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.funnel.routes import cursors as customer_cursors
from services.api.journeys.queries import TouchpointPosition
from services.api.journeys.routes import touchpoint_cursors
from services.api.shared.cursors import split_page
from throughline.kit.errors import ServiceError


@given(
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**32),
    st.text(st.characters(exclude_characters="\0", codec="utf-8")),
    st.binary(),
)
def test_cursors_come_back_as_they_went(occurred_us: int, place: int, message_id: str, actor: bytes) -> None:
    position = TouchpointPosition(occurred_us, place, message_id, actor)
    assert touchpoint_cursors.decode(touchpoint_cursors.encode(position)) == position


def test_no_cursor_is_the_first_page() -> None:
    assert touchpoint_cursors.decode(None) is None


@given(st.text())
def test_any_other_text_is_a_bad_cursor(text: str) -> None:
    with pytest.raises(ServiceError) as caught:
        customer_cursors.decode(text)
    assert (caught.value.status, caught.value.code, caught.value.field) == (400, "bad_cursor", "cursor")


@pytest.mark.parametrize(
    "fields", ['[9223372036854775808,0,"m",""]', '[-9223372036854775809,0,"m",""]', '[1,0,"m\\u0000",""]']
)
def test_what_postgresql_cannot_hold_is_a_bad_cursor(fields: str) -> None:
    cursor = base64.urlsafe_b64encode(f'["t",{fields}]'.encode()).decode()
    with pytest.raises(ServiceError, match="cursor"):
        touchpoint_cursors.decode(cursor)


def test_a_cursor_of_another_list_is_a_bad_cursor() -> None:
    with pytest.raises(ServiceError, match="cursor"):
        customer_cursors.decode(touchpoint_cursors.encode(TouchpointPosition(1, 0, "m", b"a")))


def test_a_page_ends_with_the_item_that_the_next_page_starts_after() -> None:
    assert split_page([1, 2, 3], 2) == ([1, 2], 2)
    assert split_page([1, 2], 2) == ([1, 2], None)
    assert split_page([], 2) == ([], None)
