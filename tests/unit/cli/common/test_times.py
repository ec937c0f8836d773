"""Spans and instants as people write them."""

import pytest

from throughline.cli.common.times import parse_instant_us, parse_span_us

NOW = 1_795_465_713_000_000  # 2026-11-23T20:28:33Z
HOUR = 3_600_000_000


@pytest.mark.parametrize(("text", "us"), [("90s", 90_000_000), ("30m", HOUR // 2), ("24h", 24 * HOUR), ("0d", 0)])
def test_a_span_has_a_number_and_a_unit(text: str, us: int) -> None:
    assert parse_span_us(text) == us


@pytest.mark.parametrize("text", ["", "7", "d", "-1h", "1.5h", "2w", "1000000s", "1h 30m"])
def test_what_is_no_span_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="is not a span of time; write it like 90s"):
        parse_span_us(text)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("90s", NOW - 90_000_000),
        ("2h", NOW - 2 * HOUR),
        ("7d", NOW - 7 * 24 * HOUR),
        ("2026-11-23T20:28:33", NOW),
        ("2026-11-23T21:28:33+01:00", NOW),
        ("2026-11-23", NOW - 20 * HOUR - 28 * 60_000_000 - 33_000_000),
    ],
)
def test_an_instant_is_a_span_before_now_or_a_time(text: str, instant: int) -> None:
    assert parse_instant_us(text, NOW) == instant


@pytest.mark.parametrize("text", ["", "yesterday", "2w", "-2h", "2h ago"])
def test_what_is_neither_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="neither a span such as"):
        parse_instant_us(text, NOW)
