"""Instants as clients write them."""

from zoneinfo import ZoneInfo

import pytest

from services.api.shared.parameters import parse_instant
from services.api.shared.steps import ceiling, floored, since
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ServiceError


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-11-23T20:28:33.000001Z", "2026-11-23T20:28:33.000001Z"),
        ("2026-11-23T21:28:33+01:00", "2026-11-23T20:28:33Z"),
        ("2026-11-23T21:28:33 01:00", "2026-11-23T20:28:33Z"),  # a + that was not escaped
        ("2026-11-23t20:28:33z", "2026-11-23T20:28:33Z"),
    ],
)
def test_instants(text: str, same: str) -> None:
    assert rfc3339(parse_instant(text, "as_of")) == same


@pytest.mark.parametrize("text", ["", "now", "1790000000", "2026-11-23", "2026-11-23T20:28:33", "2026-02-30T00:00:00Z"])
def test_what_is_no_instant(text: str) -> None:
    with pytest.raises(ServiceError, match=r"^from: .*2026-11-23T20:28:00Z") as caught:
        parse_instant(text, "from")
    assert (caught.value.status, caught.value.field) == (400, "from")


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59.999999-12:00"])
@pytest.mark.parametrize("zone", ["UTC", "Pacific/Kiritimati", "Pacific/Midway"])
def test_days_can_be_told_at_both_ends_of_the_calendar(text: str, zone: str) -> None:
    at_us = parse_instant(text, "as_of")
    moment = floored(at_us, 1_790_000_000_000_000, ZoneInfo(zone))
    assert since(moment, ZoneInfo(zone))
    assert floored(ceiling("day", at_us, ZoneInfo(zone)), 1_790_000_000_000_000, ZoneInfo(zone)).at_us >= moment.at_us
