"""The suppressed ids, by digest, as this worker last read them: 16 bytes each, and a bounded number of them."""

import logging
from collections.abc import Container
from typing import Final

from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.store.access.suppressions import read_after, read_numbers

log = logging.getLogger(__name__)

MAX_IDS = 2_000_000
"""Maximum number of ids that a worker holds. The stager refuses those beyond it."""
PAGE = 10_000
PAGES = 5
"""Maximum number of pages read at once: what is left is read with the next refresh of the keys."""
_BYTES: Final = 16


class DigestSet(Container[bytes]):
    """Digests of 16 bytes, in buckets by their first two: little more memory than the digests themselves."""

    def __init__(self) -> None:
        self._buckets: dict[bytes, bytes] = {}
        self._number = 0

    def __len__(self) -> int:
        return self._number

    def __contains__(self, digest: object) -> bool:
        if not isinstance(digest, bytes):
            return False
        bucket = self._buckets.get(digest[:2], b"")
        at = bucket.find(digest)
        while at % _BYTES:  # it begins within another one; -1 % 16 is 15
            if at < 0:
                return False
            at = bucket.find(digest, at + 1)
        return True

    def add(self, digest: bytes) -> None:
        """Add a digest."""
        if digest not in self:
            self._buckets[digest[:2]] = self._buckets.get(digest[:2], b"") + digest
            self._number += 1


class SuppressedIds:
    """The ids of each workspace that are suppressed for ever."""

    def __init__(self) -> None:
        self._digests = DigestSet()
        self._numbers: dict[int, int] = {}
        """Workspace -> the number of its suppressions when all of them were read."""
        self._last: dict[int, int] = {}
        """Workspace -> the last suppression read."""
        self._is_full = False

    def of(self, workspace: int) -> Container[bytes] | None:
        """Returns the digests of a workspace's suppressed ids; None when it has none."""
        return self._digests if workspace in self._last else None

    async def refresh(self, connection: AsyncConnection) -> None:
        """Read what was added. Digests differ from one workspace to the next, so that one set holds all of them."""
        pages = PAGES
        for workspace, number in (await read_numbers(connection)).items():
            while self._numbers.get(workspace) != number and pages and not self._is_full:
                pages -= 1
                rows = await read_after(connection, workspace, self._last.get(workspace, 0), PAGE)
                for _, digest in rows:
                    self._digests.add(digest)
                self._last[workspace] = rows[-1][0] if rows else self._last.get(workspace, 0)
                if len(rows) < PAGE:
                    self._numbers[workspace] = number
                if len(self._digests) >= MAX_IDS:
                    self._is_full = True
                    log.error("more than %d ids are suppressed; ingest drops no more, the stager still does", MAX_IDS)
