"""Fair shares of what all workspaces use: none has more than so much at once, and whoever waits is served in turn."""

import asyncio
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager, suppress


class QueueFullError(Exception):
    """As many requests of a workspace wait as may."""


class Shares:
    """Hands out `slots`, at most `each` of them to one workspace at once. Of one event loop.

    Workspaces whose requests wait get the free slots in turn, so that a workspace with a long queue delays another one
    by one of its own uses at most.

    Args:
        slots: number of uses at once.
        each: number of uses at once of one workspace.
        queue: maximum number of waiting requests of one workspace.
    """

    def __init__(self, *, slots: int, each: int, queue: int) -> None:
        self._free = slots
        self.each = each
        self._queue = queue
        self._used: Counter[Hashable] = Counter()
        self._waiting: OrderedDict[Hashable, deque[asyncio.Future[None]]] = OrderedDict()
        """The workspaces that wait, in the order in which they are served."""

    def is_at_limit(self, workspace: Hashable) -> bool:
        """Whether a workspace uses as many slots as one may."""
        return self._used[workspace] >= self.each

    @asynccontextmanager
    async def share(self, workspace: Hashable) -> AsyncIterator[None]:
        """Holds a slot while the block runs.

        Raises:
            QueueFullError: too many requests of the workspace wait.
        """
        await self._take(workspace)
        try:
            yield
        finally:
            self._give_back(workspace)

    async def _take(self, workspace: Hashable) -> None:
        waiting = self._waiting.setdefault(workspace, deque())
        if len(waiting) >= self._queue:
            raise QueueFullError
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        self._serve()
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._give_back(workspace)
            else:
                self._leave(workspace, turn)
            raise

    def _give_back(self, workspace: Hashable) -> None:
        self._free += 1
        self._used[workspace] -= 1
        if not self._used[workspace]:
            del self._used[workspace]
        self._serve()

    def _leave(self, workspace: Hashable, turn: "asyncio.Future[None]") -> None:
        waiting = self._waiting.get(workspace)
        if waiting is not None:
            with suppress(ValueError):
                waiting.remove(turn)
            if not waiting:
                del self._waiting[workspace]

    def _serve(self) -> None:
        """Give the free slots to those who wait, one workspace after the other."""
        while self._free:
            workspace = next((each for each in self._waiting if self._used[each] < self.each), None)
            if workspace is None:
                return
            waiting = self._waiting[workspace]
            turn = waiting.popleft()
            if waiting:
                self._waiting.move_to_end(workspace)
            else:
                del self._waiting[workspace]
            if not turn.done():
                self._free -= 1
                self._used[workspace] += 1
                turn.set_result(None)
