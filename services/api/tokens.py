"""The tokens that are in use, read from PostgreSQL as one list, and the times of their last uses, written in batches.

One list, because then a request with an unknown token costs no look-up of its own, however many such requests come.
"""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress

from throughline.kit.clock import now_us
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import ReadToken, key_digest
from throughline.store.access.read_tokens import LAST_USE_US

log = logging.getLogger(__name__)

TOKEN_SECONDS = 1.0
"""Maximum age of the list: a revoked token still opens its workspace for as long."""
READING_SECONDS = 0.25
"""Minimum time between two readings, however many unknown tokens are sent. A new one waits as long at most."""
UNKNOWN_SECONDS = 5.0
"""Time for which an unknown token is refused without another reading."""
MAX_UNKNOWN = 10_000
"""Maximum number of unknown tokens that are remembered."""
WRITE_SECONDS = 5.0
"""Interval at which last uses are written, each token's at most once in `LAST_USE_US`."""

ReadTokens = Callable[[], Awaitable[list[ReadToken]]]
WriteUses = Callable[[Mapping[int, int]], Awaitable[None]]


class Tokens:
    """The tokens of this process's requests.

    Args:
        read: returns all tokens that are not revoked. Raises ServiceError when the database is away.
        write_uses: writes the times of last uses, by the ids of tokens.
        clock: tells seconds.
    """

    def __init__(self, read: ReadTokens, write_uses: WriteUses, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._write_uses = write_uses
        self._clock = clock
        self._tokens: dict[bytes, ReadToken] = {}
        self._read_at = float("-inf")
        """When the last reading began."""
        self._unknown: OrderedDict[bytes, float] = OrderedDict()
        """Digest -> when it was refused, the oldest first."""
        self._reading: asyncio.Task[None] | None = None
        self._uses: dict[int, int] = {}
        self._written: dict[int, int] = {}

    async def find(self, text: str) -> ReadToken:
        """The token that a request carries.

        Raises:
            ServiceError: 401 `unknown_token` or `expired_token`; 503 `database_away`.
        """
        digest, now = key_digest(text), self._clock()
        await self._refresh(now - TOKEN_SECONDS)
        if digest not in self._tokens and not self._is_remembered(digest, now):
            await self._refresh(now)  # it may be new
            self._unknown[digest] = now
            while len(self._unknown) > MAX_UNKNOWN:
                self._unknown.popitem(last=False)
        token = self._open(digest)
        self._unknown.pop(digest, None)
        return token

    def _open(self, digest: bytes) -> ReadToken:
        token = self._tokens.get(digest)
        if token is None:
            message = "the token is unknown or was revoked; make one with: throughline token create"
            raise ServiceError(401, "unknown_token", message, headers=_CHALLENGE)
        if token.is_expired(now_us()):
            message = "the token has expired; make one with: throughline token create"
            raise ServiceError(401, "expired_token", message, headers=_CHALLENGE)
        return token

    async def recheck(self, token: ReadToken) -> None:
        """See that a token which was found before may still be used.

        Raises:
            ServiceError: 401 `unknown_token` or `expired_token`; 503 `database_away`.
        """
        await self._refresh(self._clock() - TOKEN_SECONDS)
        self._open(token.digest)

    def _is_remembered(self, digest: bytes, now: float) -> bool:
        return now - self._unknown.get(digest, float("-inf")) < UNKNOWN_SECONDS

    async def _refresh(self, since: float) -> None:
        """Wait for a reading that began at `since` or later; whoever waits shares it."""
        while self._read_at < since:
            if self._reading is None or self._reading.done():
                self._reading = asyncio.create_task(self._read_all())
                # Without this, asyncio would log a failure that nobody waits for any more.
                self._reading.add_done_callback(lambda reading: reading.cancelled() or reading.exception())
            # A client that hangs up must not cancel the reading, for which others wait.
            await asyncio.shield(self._reading)

    async def _read_all(self) -> None:
        await asyncio.sleep(max(0.0, self._read_at + READING_SECONDS - self._clock()))
        began = self._clock()
        tokens = await self._read()
        self._tokens = {token.digest: token for token in tokens}
        self._read_at = began
        open_ids = {token.id for token in tokens}
        self._written = {id_: at_us for id_, at_us in self._written.items() if id_ in open_ids}

    def use(self, token: ReadToken) -> None:
        """Note that a request uses a token now. A session's use is that of its token."""
        self._uses[token.owner] = now_us()

    @asynccontextmanager
    async def writing_uses(self) -> AsyncIterator[None]:
        """Write last uses while the block runs, and a last time at its end."""
        writer = asyncio.create_task(self._write_now_and_then())
        try:
            yield
        finally:
            writer.cancel()
            with suppress(asyncio.CancelledError):
                await writer
            await self.write_due_uses()

    async def _write_now_and_then(self) -> None:
        while True:
            await asyncio.sleep(WRITE_SECONDS)
            await self.write_due_uses()

    async def write_due_uses(self) -> None:
        """Write the uses of tokens whose last use was not written within `LAST_USE_US`; the others wait."""
        due = {id_: at_us for id_, at_us in self._uses.items() if at_us - self._written.get(id_, 0) >= LAST_USE_US}
        if not due:
            return
        try:
            await self._write_uses(due)
        except Exception as error:  # whatever PostgreSQL and its driver raise: what is due stays so
            log.warning("the last uses of tokens are written later: %s", error)
            return
        self._written |= due
        for id_, at_us in due.items():
            if self._uses[id_] == at_us:
                del self._uses[id_]


_CHALLENGE = {"WWW-Authenticate": 'Bearer realm="throughline", error="invalid_token"'}
