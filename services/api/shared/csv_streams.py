"""How many lists are sent as CSV at once: each reads page by page for as long as its client does."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from throughline.kit.errors import ServiceError

MAX_STREAMS = 20
"""Maximum number of lists that a process sends at once."""
MAX_STREAMS_EACH = 4
"""Maximum number of lists that it sends at once to the holders of one token."""


class CsvStreams:
    """The lists that this process sends at the moment, by token."""

    def __init__(self, *, limit: int = MAX_STREAMS, each: int = MAX_STREAMS_EACH) -> None:
        self._limit = limit
        self._each = each
        self._by_token: Counter[int] = Counter()

    @contextmanager
    def sending(self, token: int) -> Iterator[None]:
        """While a list is sent.

        Args:
            token: id of the token that asked.

        Raises:
            ServiceError: 429 or 503 `too_many_streams`.
        """
        if self._by_token[token] >= self._each:
            raise _too_many(429, f"this token is being sent {self._each} lists, as many as it may")
        if self._by_token.total() >= self._limit:
            raise _too_many(503, f"this process already sends {self._limit} lists")
        self._by_token[token] += 1
        try:
            yield
        finally:
            self._by_token[token] -= 1
            if not self._by_token[token]:
                del self._by_token[token]


def _too_many(status: int, fault: str) -> ServiceError:
    return ServiceError(status, "too_many_streams", f"{fault}; wait for one to end", headers={"Retry-After": "5"})
