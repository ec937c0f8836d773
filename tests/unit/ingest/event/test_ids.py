"""Ids in their one form, and the placeholders that are none."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.event.ids import clean_id, is_usual_id, read_id
from services.ingest.event.verdict import MAX_TEXT, RejectedError, Verdict

USUAL = [
    "customer-42",
    "ada",
    "ada lovelace",
    "ada@example.com",
    "Ada@Example.com",
    "1001",
    "#1001",
    "0001",
    "1234567890.1234567890",
    "0d6b8f0e-8b0e-4f0e-9c55-2c9d7a3f6f11",
    "{3F2504E0-4F89-11D3-9A0C-0305E82C3301}",
    "nullius",
    "guest-7",
    "id-1",
    "100%",
    "cafe\u0301".replace("e\u0301", "\u00e9"),
    "\U0001f600",
    "anon",
    "-7",
]
PLACEHOLDERS = [
    "null", "NULL", " undefined ", "None", "nil", "NaN", "(null)", "<null>", "<nil>", "Optional(nil)", "n/a",
    "N/A", "#N/A", "-", "--",
    "0", "0.0", "000", "00000000-0000-0000-0000-000000000000", "00000000000000000000000000000000", "-1",
    "true", "False", "[object Object]", "[object Undefined]", "user-[object Object]", "{}", "[]", '""', "''", "  ",
    "guest", "Anonymous", "unknown", "(not set)", "not_set", "Not Set", "(none)", "not_authenticated",
    "id", "ID", "email", "E-Mail", "distinct_id", "distinctId", "user_id", "userId", "anonymous_id", "order_id",
    "transaction_id", "{{user.id}}", "{{ customer.email }}", "u-{{id}}", "${userId}", "prefix-${id}", "%user_id%",
    "%%emailaddr%%", "<user id>", "<%= user.id %>", "{% id %}", "*|EMAIL|*", "#{user.id}", "{user_id}",
    "__USER_ID__", "\ufeff", "\u200b \u00a0", "\ufeffnull\u200b", "\u00a0undefined",
]  # fmt: skip


@pytest.mark.parametrize("sent", USUAL)
def test_an_id_stays_as_it_is(sent: str) -> None:
    warnings: list[Verdict] = []
    assert read_id(sent, "userId", warnings) == sent
    assert not warnings


@pytest.mark.parametrize("sent", [*PLACEHOLDERS, 0, True, False])
def test_a_placeholder_is_no_id_and_is_shown(sent: Any) -> None:
    warnings: list[Verdict] = []
    assert read_id(sent, "userId", warnings) == ""
    assert [warning[:3] for warning in warnings] == [("warning", "illegal_id", "userId")]
    text = str(sent).lower() if isinstance(sent, bool) else str(sent)
    assert repr(text)[1:-1] in warnings[0].message


@pytest.mark.parametrize(
    ("sent", "cleaned"),
    [
        (" x1 ", "x1"),
        ("\tada\r\n", "ada"),
        ("\ufeffada", "ada"),
        ("\u200bada\u200b", "ada"),
        ("a\u200bda", "ada"),
        ("\u00a0ada\u200e", "ada"),
        ("cafe\u0301", "caf\u00e9"),
        (" Ada ", "Ada"),
    ],
)
def test_an_id_has_one_form_with_a_warning(sent: str, cleaned: str) -> None:
    warnings: list[Verdict] = []
    assert read_id(sent, "userId", warnings) == cleaned
    assert [warning[:3] for warning in warnings] == [("warning", "cleaned_id", "userId")]
    assert repr(cleaned) in warnings[0].message


@pytest.mark.parametrize(("sent", "text"), [(42, "42"), (12.0, "12"), (1.5, "1.5"), (None, ""), ("", "")])
def test_numbers_become_text(sent: Any, text: str) -> None:
    warnings: list[Verdict] = []
    assert read_id(sent, "userId", warnings) == text
    assert not warnings


@pytest.mark.parametrize(
    ("sent", "code"), [({}, "wrong_type"), ([1], "wrong_type"), ("x" * (MAX_TEXT + 1), "too_long")]
)
def test_what_can_be_no_id_rejects_the_event(sent: Any, code: str) -> None:
    with pytest.raises(RejectedError) as refused:
        read_id(sent, "anonymousId", [])
    assert refused.value.verdict[:3] == ("rejected", code, "anonymousId")


@given(
    st.text(max_size=80)
    | st.text("aAdDiI01-_ {}%<>$@#/|*=!\u200b\ufeff\u0301\u00a0", max_size=12)
    | st.sampled_from(USUAL)
)
def test_the_form_is_final_and_the_quick_look_agrees(text: str) -> None:
    cleaned = clean_id(text)
    assert clean_id(cleaned) == cleaned
    if is_usual_id(text):
        assert cleaned == text
