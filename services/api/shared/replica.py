"""A replica of the database that answers questions, for as long as it is there and near enough."""

import asyncio
import logging
import math

from sqlalchemy.ext.asyncio import AsyncEngine

from throughline.kit.metrics import API_REPLICA_LAG_SECONDS
from throughline.store.engine.unit_of_work import reading
from throughline.store.offsets import read_newest_watermark

log = logging.getLogger(__name__)

LOOK_SECONDS = 1.0
"""Time between two looks at the lag; the watermark moves as often."""
ANSWER_SECONDS = 2.0


class Replica:
    """A pool of connections to the replica, and whether questions go there.

    How far it is behind is read off the watermarks of the two databases: the same clock wrote both.

    Args:
        engine: of the replica.
        primary: of the database that it follows.
        topic: the touchpoints topic.
        max_lag_seconds: how far it may be behind and still answer.
    """

    def __init__(self, engine: AsyncEngine, primary: AsyncEngine, topic: str, max_lag_seconds: float) -> None:
        self.engine = engine
        self._primary = primary
        self._topic = topic
        self._max_lag_seconds = max_lag_seconds
        self._lag_seconds = math.inf
        API_REPLICA_LAG_SECONDS.set(math.inf)

    @property
    def is_usable(self) -> bool:
        """Whether it answered the last time, and was near enough."""
        return self._lag_seconds <= self._max_lag_seconds

    def distrust(self) -> None:
        """Ask the primary until the next look: a question to the replica has failed."""
        self._note(math.inf, "it failed a question")

    async def follow(self) -> None:
        """Look at the lag for as long as the process lives."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Read how far the replica is behind. While the primary is away the last lag stands."""
        try:
            newest_us = await self._read_watermark(self.engine)
        except Exception as error:  # whatever it is: there is another database to ask
            reason = str(error).partition("\n")[0] or type(error).__name__
            self._note(math.inf, f"it does not answer: {reason}")
            return
        try:
            primary_us = await self._read_watermark(self._primary)
        except Exception:
            return
        self._note(max(0, primary_us - newest_us) / 1_000_000, "it is too far behind")

    async def _read_watermark(self, engine: AsyncEngine) -> int:
        async with asyncio.timeout(ANSWER_SECONDS), reading(engine) as connection:
            return await read_newest_watermark(connection, self._topic)

    def _note(self, lag_seconds: float, reason: str) -> None:
        was_usable, self._lag_seconds = self.is_usable, lag_seconds
        API_REPLICA_LAG_SECONDS.set(lag_seconds)
        if was_usable and not self.is_usable:
            log.warning("questions go to the primary: the replica is not used, %s (lag %.1f s)", reason, lag_seconds)
        elif self.is_usable and not was_usable:
            log.info("questions go to the replica (lag %.1f s)", lag_seconds)
