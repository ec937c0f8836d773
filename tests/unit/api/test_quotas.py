"""The bucket of each token."""

import pytest

from services.api.shared.quotas import RequestRate
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import ReadToken
from throughline.store.access.modes import Scope

TOKEN = ReadToken(b"", 1, "page", 1, "shop", Scope.READ, None)
now = 0.0


def clock() -> float:
    return now


def test_a_token_has_a_rate_and_a_burst_and_its_sessions_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    rate = RequestRate(10, clock=clock)
    session = TOKEN._replace(id=7, session_of=1)
    for _ in range(10):
        rate.take(TOKEN)
        rate.take(session)
    for spent in (TOKEN, session):
        with pytest.raises(ServiceError) as caught:
            rate.take(spent)
        assert (caught.value.status, caught.value.code) == (429, "rate_limited")
        assert "10 requests a second" in caught.value.message
        assert int(caught.value.headers["Retry-After"]) >= 1
    rate.take(TOKEN._replace(id=2))
    monkeypatch.setitem(globals(), "now", 0.1)
    rate.take(TOKEN)
    with pytest.raises(ServiceError):
        rate.take(TOKEN)
    monkeypatch.setitem(globals(), "now", 1000.0)
    for _ in range(20):
        rate.take(TOKEN)
    with pytest.raises(ServiceError):
        rate.take(TOKEN)


def test_0_is_no_limit() -> None:
    rate = RequestRate(0, clock=clock)
    for _ in range(1000):
        rate.take(TOKEN)
