"""The list of tokens: when it is read again, and when last uses are written."""

import asyncio
from collections.abc import Mapping

import pytest

from services.api import tokens as module
from services.api.tokens import MAX_UNKNOWN, Tokens
from throughline.kit.clock import now_us
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import ReadToken, key_digest
from throughline.store.access.modes import Scope
from throughline.store.access.read_tokens import LAST_USE_US


def token(text: str, number: int, **fields: object) -> ReadToken:
    usual = ReadToken(key_digest(text), number, text, 1, "shop", Scope.READ, None)
    return usual._replace(**fields)  # type: ignore[arg-type]


class Store:
    """What the database would hold."""

    def __init__(self) -> None:
        self.now = 0.0
        self.tokens = [token("known", 1)]
        self.readings = 0
        self.writes: list[dict[int, int]] = []
        self.is_away = False

    async def read(self) -> list[ReadToken]:
        self.readings += 1
        if self.is_away:
            raise ServiceError(503, "database_away", "away")
        return list(self.tokens)

    async def write(self, uses: Mapping[int, int]) -> None:
        if self.is_away:
            raise ServiceError(503, "database_away", "away")
        self.writes.append(dict(uses))


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(module, "READING_SECONDS", 0.0)
    return Store()


@pytest.fixture
def tokens(store: Store) -> Tokens:
    return Tokens(store.read, store.write, clock=lambda: store.now)


async def code_of(tokens: Tokens, text: str) -> str:
    try:
        await tokens.find(text)
    except ServiceError as error:
        return error.code
    return ""


async def test_one_reading_serves_many_and_lasts_a_second(store: Store, tokens: Tokens) -> None:
    assert await asyncio.gather(*(code_of(tokens, "known") for _ in range(100))) == [""] * 100
    store.now = 0.9
    assert await code_of(tokens, "known") == ""
    assert store.readings == 1
    store.tokens = []
    store.now = 1.1
    assert await code_of(tokens, "known") == "unknown_token"


async def test_a_new_token_is_found_at_once(store: Store, tokens: Tokens) -> None:
    await tokens.find("known")
    store.tokens.append(token("new", 2))
    store.now = 0.1
    assert (await tokens.find("new")).id == 2


async def test_an_unknown_token_is_remembered(store: Store, tokens: Tokens) -> None:
    await tokens.find("known")
    store.now = 0.1
    assert await code_of(tokens, "unknown") == "unknown_token"
    readings = store.readings
    store.now = 0.9
    for _ in range(1000):
        assert await code_of(tokens, "unknown") == "unknown_token"
    assert store.readings == readings


async def test_a_flood_of_different_unknown_tokens_costs_few_readings(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "READING_SECONDS", 0.1)
    tokens = Tokens(store.read, store.write)
    await tokens.find("known")
    codes = await asyncio.gather(*(code_of(tokens, f"unknown {number}") for number in range(2 * MAX_UNKNOWN)))
    assert set(codes) == {"unknown_token"}
    assert store.readings <= 4
    assert len(tokens._unknown) == MAX_UNKNOWN


async def test_expired_tokens_are_refused(store: Store, tokens: Tokens) -> None:
    store.tokens = [token("old", 2, expires_us=now_us() - 1), token("fresh", 3, expires_us=now_us() + 60_000_000)]
    assert await code_of(tokens, "old") == "expired_token"
    assert await code_of(tokens, "fresh") == ""


async def test_a_failed_reading_is_tried_again(store: Store, tokens: Tokens) -> None:
    store.is_away = True
    assert await code_of(tokens, "known") == "database_away"
    store.is_away = False
    assert await code_of(tokens, "known") == ""


async def test_uses_are_written_at_most_once_a_minute(
    store: Store, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = LAST_USE_US
    monkeypatch.setattr(module, "now_us", lambda: now)
    first, session = token("known", 1), token("session", 2, session_of=1)
    store.is_away = True
    tokens.use(first)
    await tokens.write_due_uses()
    store.is_away = False
    await tokens.write_due_uses()
    assert store.writes == [{1: LAST_USE_US}]
    now = 2 * LAST_USE_US - 1
    tokens.use(session)
    await tokens.write_due_uses()
    assert len(store.writes) == 1
    now = 2 * LAST_USE_US
    tokens.use(session)
    await tokens.write_due_uses()
    await tokens.write_due_uses()
    assert store.writes == [{1: LAST_USE_US}, {1: 2 * LAST_USE_US}]
