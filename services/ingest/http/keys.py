"""The write keys of all sources, read from PostgreSQL every few seconds, and the source of the key in a request.

While PostgreSQL is away the keys that were read last stay in use.
"""

import asyncio
import base64
import binascii
import logging
import time
from collections.abc import Awaitable, Callable, Iterable

from throughline.kit.errors import ServiceError
from throughline.store.access.keys import SourceKey, key_digest

log = logging.getLogger(__name__)

MAX_CACHED_HEADERS = 10_000
"""Maximum number of headers of which the source is cached."""
MAX_CACHED_BYTES = 512
"""Maximum number of bytes of a cached header: a password of any length may follow the key."""
READ_SECONDS = 10.0
"""Maximum time of one reading."""


class Keys:
    """The write keys as this worker last read them."""

    def __init__(self, read: Callable[[], Awaitable[Iterable[SourceKey]]], *, refresh_seconds: float) -> None:
        self._read = read
        self._refresh_seconds = refresh_seconds
        self._sources: dict[bytes, SourceKey] = {}
        self._by_header: dict[bytes, SourceKey] = {}
        self._read_at: float | None = None

    @property
    def loaded(self) -> bool:
        """Whether the keys were read at least once."""
        return self._read_at is not None

    @property
    def age_seconds(self) -> float:
        """Seconds since the keys were last read; 0 before the first reading."""
        return 0.0 if self._read_at is None else time.monotonic() - self._read_at

    async def refresh(self) -> None:
        """Read the keys once.

        Raises:
            Exception: whatever the reading raises; the keys stay as they were.
        """
        sources = await asyncio.wait_for(self._collect(), READ_SECONDS)
        if sources != self._sources:
            self._sources = sources
            self._by_header = {}
        self._read_at = time.monotonic()

    async def _collect(self) -> dict[bytes, SourceKey]:
        return {key.digest: key for key in await self._read()}

    async def run(self) -> None:
        """Read the keys every `refresh_seconds` until cancelled."""
        away = False
        while True:
            try:
                await self.refresh()
            except Exception as error:  # whatever PostgreSQL and its drivers raise: the keys stay in use
                if not away:
                    consequence = (
                        f"going on with the {len(self._sources)} known" if self.loaded else "none is known yet"
                    )
                    log.warning("write keys can not be read (%s); %s", type(error).__name__, consequence)
                away = True
            else:
                if away:
                    log.warning("write keys are read again")
                away = False
            await asyncio.sleep(self._refresh_seconds)

    def seen(self, header: bytes | None) -> SourceKey | None:
        """Returns the source of a header Authorization that was sent before; None for any other."""
        return None if header is None else self._by_header.get(header)

    def source(self, header: bytes | None, in_body: str) -> SourceKey:
        """Returns the source of the key in a header Authorization, or else in the body.

        Raises:
            ServiceError: 401 no such key, 404 its source is disabled, 503 keys were never read.
        """
        if header is not None:
            source = self._by_header.get(header)
            if source is not None:
                return source
        if not self.loaded:
            raise ServiceError(
                503, "keys_unavailable", "write keys could not be read yet; try again", headers={"Retry-After": "1"}
            )
        source = None
        if header is not None:
            source = self.find(header.decode("latin-1"), header=True)
            if source is not None and source.enabled and len(header) <= MAX_CACHED_BYTES:
                if len(self._by_header) >= MAX_CACHED_HEADERS:
                    self._by_header.clear()
                self._by_header[header] = source
        if source is None and in_body:
            source = self.find(in_body)
        if source is None:
            what = "the write key is not known" if header is not None or in_body else "no write key was sent"
            raise ServiceError(401, "invalid_write_key", f"{what}; send it as the user name of Basic authentication")
        if not source.enabled:
            raise ServiceError(404, "source_disabled", f"the source {source.source_name!r} is disabled")
        return source

    def find(self, text: str, *, header: bool = False) -> SourceKey | None:
        """Returns the source of a key as clients write it: plain, with a colon after it, or either in base64; None for
        no such key. A `header` may begin with Basic or Bearer."""
        text = text.strip()
        if header:
            scheme, _, text = text.partition(" ")
            if scheme.lower() not in ("basic", "bearer"):
                text = scheme
        for candidate in (text, _from_base64(text)):
            key, _, _ = candidate.strip().partition(":")
            if key:
                source = self._sources.get(key_digest(key))
                if source is not None:
                    return source
        return None


def _from_base64(text: str) -> str:
    padded = text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4)
    try:
        return base64.b64decode(padded, validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return ""
