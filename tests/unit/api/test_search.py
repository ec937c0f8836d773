"""A typed text as ranges of keys."""

from collections.abc import Callable

import pytest

from services.api.search.text import KeyRange, key_of, key_ranges


@pytest.mark.parametrize(
    ("text", "first", "end"),
    [
        ("Ada", "ada", "adb"),
        ("  ada@Shop.Example\t", "ada@shop.example", "ada@shop.examplf"),
        ("%", "%", "&"),
        ("a_", "a_", "a`"),
        ("1001", "1001", "1002"),
        ("a\U0010ffff", "a\U0010ffff", "b"),
        ("\U0010ffff", "\U0010ffff", None),
        ("\ud7ff", "\ud7ff", "\ue000"),
    ],
)
def test_a_text_is_a_range_of_keys(text: str, first: str, end: str | None) -> None:
    assert KeyRange(first, end) in key_ranges(text)


@pytest.mark.parametrize("text", ["", "  ", "\u00a0\n", "x" * 513])
def test_nothing_begins_with(text: str) -> None:
    assert key_ranges(text) == []


@pytest.mark.parametrize(
    "name", ["Émile", "ÉMILE", "émile", "Żaneta Żuk", "ŻANETA ŻUK", "żaneta żuk", "Ünal", "ПЕТР", "东京"]
)
@pytest.mark.parametrize("change", [str.lower, str.upper, str.title])
def test_letters_beyond_a_to_z_in_usual_cases(name: str, change: Callable[[str], str]) -> None:
    key = key_of(name)
    assert any(first <= key and (end is None or key < end) for first, end in key_ranges(change(name)[:3]))


def test_forms_of_one_text_are_looked_up_once() -> None:
    assert len(key_ranges("東京")) == 1
    assert len(key_ranges("ABC")) == 1
    assert len(key_ranges("Été")) <= 4
