"""Rate limits by a clock of the test's own, and bodies that are bombs."""

import gzip

import pytest
from msgspec.structs import replace

from services.ingest.event.gzip import MAX_GZIP_MEMBERS, unpack
from services.ingest.event.verdict import MAX_BODY_BYTES
from services.ingest.http.access import Rate, Rates, by_source
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import SourceKey, SourceSettings


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def key(name: bytes) -> SourceKey:
    """A key of a source of its own."""
    return SourceKey(digest=name, source=name[0], workspace=1, source_name="web", enabled=True)


def refused(rates: Rates, source: SourceKey, events: int) -> int:
    """Seconds to wait, as the refusal says."""
    with pytest.raises(ServiceError) as caught:
        rates.take(source, events)
    assert (caught.value.status, caught.value.code) == (429, "rate_limited")
    return int(caught.value.headers["Retry-After"])


def test_a_source_may_send_its_rate() -> None:
    clock = Clock()
    rates = Rates(by_source(10, 50, 1), clock)
    for _ in range(50):
        rates.take(key(b"a"), 1)
    assert refused(rates, key(b"a"), 1) == 1
    rates.take(key(b"b"), 1)  # another source's bucket is another's
    clock.now = 1
    for _ in range(10):
        rates.take(key(b"a"), 1)
    assert refused(rates, key(b"a"), 1) == 1
    clock.now = 1_000
    rates.take(key(b"a"), 50)
    refused(rates, key(b"a"), 1)


def test_all_keys_of_a_source_share_its_bucket() -> None:
    rates = Rates(by_source(10, 50, 1), Clock())
    rates.take(key(b"a"), 50)
    refused(rates, replace(key(b"a"), digest=b"another"), 1)


def test_the_log_names_a_source_over_its_limit_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    rates = Rates(by_source(1, 1, 1), clock)
    for source in (b"a", b"b"):
        rates.take(key(source), 500)
        for _ in range(10):
            refused(rates, key(source), 1)
    assert len(caplog.records) == 2
    clock.now = 61
    refused(rates, key(b"a"), 1)
    assert len(caplog.records) == 3


def test_a_large_event_counts_as_several() -> None:
    clock = Clock()
    rates = Rates(by_source(10, 100, 1), clock)
    rates.take(key(b"a"), 1)
    rates.charge(key(b"a"), 1, 500)
    for _ in range(98):
        rates.take(key(b"a"), 1)
    rates.charge(key(b"a"), 1, 101 * 1024)
    assert refused(rates, key(b"a"), 1) == 10  # (101 - 1 - 1) / 10, and a moment
    clock.now = 10
    rates.take(key(b"a"), 1)


def test_a_limit_of_nothing_is_none() -> None:
    free = replace(key(b"a"), settings=SourceSettings(rate_events=0))
    rates = Rates(by_source(1, 1, 1), Clock())
    for _ in range(10):
        rates.take(free, 2_500)
        rates.charge(free, 1, 10**9)


def test_a_batch_above_the_burst_is_let_in_and_paid_for() -> None:
    clock = Clock()
    rates = Rates(by_source(10, 0, 1), clock)
    rates.take(key(b"a"), 2_500)
    wait = refused(rates, key(b"a"), 1)
    assert wait == 241  # (2500 - 100) / 10, and a moment
    clock.now = wait - 2
    assert refused(rates, key(b"a"), 1) == 2
    clock.now = wait
    rates.take(key(b"a"), 1)


def test_in_the_long_run_the_rate_holds() -> None:
    clock = Clock()
    rates = Rates(by_source(100, 0, 4), clock)
    taken = 0
    for step in range(10_000):
        clock.now = step / 10
        try:
            rates.take(key(b"a"), 70)
        except ServiceError:
            continue
        taken += 70
    assert 25 * 1000 <= taken <= 25 * 1000 + 250 + 70


def test_a_limit_may_be_the_sources_own() -> None:
    rates = Rates(lambda source: Rate(1, 1) if source.digest == b"small" else None, Clock())
    rates.take(key(b"small"), 1)
    refused(rates, key(b"small"), 1)
    for _ in range(100):
        rates.take(key(b"large"), 2_500)
    Rates(by_source(0, 5, 1)).take(key(b"a"), 1_000_000)


def test_gzip_of_many_parts() -> None:
    part = gzip.compress(b"{}")
    assert unpack(part * MAX_GZIP_MEMBERS) == b"{}" * MAX_GZIP_MEMBERS
    with pytest.raises(ServiceError, match="more than 16 parts"):
        unpack(part * (MAX_GZIP_MEMBERS + 1))


def test_gzip_is_not_unpacked_beyond_the_limit() -> None:
    bomb = gzip.compress(bytes(50 * MAX_BODY_BYTES))
    assert len(bomb) < MAX_BODY_BYTES // 10
    with pytest.raises(ServiceError) as caught:
        unpack(bomb)
    assert caught.value.code == "body_too_large"


def test_a_source_may_have_a_rate_of_its_own() -> None:
    slow = replace(key(b"slow"), settings=SourceSettings(rate_events=2, rate_burst=3))
    limit = by_source(100, 0, 2)
    assert limit(slow) == Rate(1, 1.5)
    assert limit(replace(slow, settings=SourceSettings(rate_events=2))) == Rate(1, 10)
    assert limit(key(b"usual")) == Rate(50, 500)
    assert by_source(0, 0, 2)(slow) == Rate(1, 1.5)
