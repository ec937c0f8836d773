"""Reading from PostgreSQL: every question is timed and bounded, and answered with a 503 while the database is away."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.api.shared.queries import AbsentWorkspaceError
from services.api.shared.replica import Replica
from services.api.shared.shares import QueueFullError, Shares
from throughline.kit.clock import now_us
from throughline.kit.errors import ServiceError
from throughline.kit.metrics import API_QUERY_SECONDS, API_QUESTIONS
from throughline.store.access.audit import record_audit
from throughline.store.access.keys import ReadToken, read_open_tokens
from throughline.store.access.page_sessions import open_session, take_page_code
from throughline.store.access.read_tokens import write_last_uses
from throughline.store.engine.errors import failure_of, is_away, is_statement_timeout
from throughline.store.engine.health import database_check
from throughline.store.engine.unit_of_work import consistent_reading, reading, transaction
from throughline.store.migrate import wait_until_migrated

log = logging.getLogger(__name__)

STATEMENT_SECONDS = 10.0
"""Maximum time for one statement: then PostgreSQL ends it."""
QUESTION_SECONDS = 15.0
"""Maximum time for all statements of one question, including the wait for a connection."""
WAIT_SECONDS = 5.0
"""Maximum time for which a question waits for its workspace's turn."""
MAX_WAITING = 100
"""Maximum number of questions of one workspace that wait."""
RETRY_SECONDS = 1.0

MAX_LINKS = 20
"""Maximum number of links that wait to be opened."""


class Database:
    """Two pools of connections that are used only once the schema is up to date: one for questions, and one of its own
    for access (tokens, health, administration), so that no question holds those up.

    Questions go to the replica, if there is one, for as long as it is usable; access never does.
    """

    def __init__(
        self, questions: AsyncEngine, access: AsyncEngine, url: str, shares: Shares, replica: Replica | None = None
    ) -> None:
        self._questions = questions
        self._replica = replica
        self._shares = shares
        # Whoever opens a link has no token yet: they share one connection, however many codes a stranger tries.
        self._links = Shares(slots=1, each=1, queue=MAX_LINKS)
        self._access = access
        self._url = url
        self._answers = database_check(access)
        self._missing = "the database has not been reached yet"

    async def prepare(self) -> None:
        """Wait for the database, and for whoever brings its schema up to date.

        Raises:
            MigrateError: the database refuses this user, or a newer version has migrated it.
        """
        while self._missing:
            try:
                await wait_until_migrated(self._url)
            except Exception as error:
                if not is_away(error):
                    raise
                log.warning("the database went away while its schema was looked at: %s", error)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._missing = ""

    @asynccontextmanager
    async def reading(
        self, question: str, workspace: int, *, consistent: bool = False
    ) -> AsyncIterator[AsyncConnection]:
        """A connection to read with, for at most `QUESTION_SECONDS`, once it is the workspace's turn.

        Args:
            question: names what is read, in the metrics.
            workspace: whose question it is.
            consistent: whether all statements see one state of the database.

        Raises:
            ServiceError: 429 `too_many_statements`; 503 `too_slow` or `database_away`.
        """
        connect = consistent_reading if consistent else reading
        async with self._turn_of(workspace):
            replica = self._replica if self._replica is not None and self._replica.is_usable else None
            API_QUESTIONS.labels("primary" if replica is None else "replica").inc()
            engine = self._questions if replica is None else replica.engine
            try:
                async with self._asking(question, connect(engine)) as connection:
                    yield connection
            except ServiceError as error:
                if replica is not None and error.code == "database_away":
                    replica.distrust()
                raise

    @asynccontextmanager
    async def _turn_of(self, workspace: int) -> AsyncIterator[None]:
        async with AsyncExitStack() as turn:
            try:
                async with asyncio.timeout(WAIT_SECONDS):
                    await turn.enter_async_context(self._shares.share(workspace))
            except (QueueFullError, TimeoutError):
                if not self._shares.is_at_limit(workspace):
                    raise _away("the database is busy") from None
                raise ServiceError(
                    429,
                    "too_many_statements",
                    f"the workspace has {self._shares.each} questions to the database under way, as many as it may, "
                    "and others wait; send one after the other, and ask for shorter spans or pages",
                    headers={"Retry-After": "1"},
                ) from None
            yield

    async def read_tokens(self) -> list[ReadToken]:
        """All tokens that are not revoked.

        Raises:
            ServiceError: 503 `database_away`.
        """
        async with self._asking("tokens", reading(self._access)) as connection:
            return await read_open_tokens(connection)

    async def write_last_uses(self, last_used_us: Mapping[int, int]) -> None:
        """Write when tokens were used last.

        Raises:
            ServiceError: 503 `database_away`.
        """
        async with self._asking("last uses", transaction(self._access)) as connection:
            await write_last_uses(connection, last_used_us)

    async def open_session(self, token: ReadToken) -> str:
        """The secret of a new session of the page.

        Raises:
            ServiceError: 503 `database_away`.
        """
        async with self._asking("session", transaction(self._access)) as connection:
            return await open_session(connection, token, now_us=now_us())

    async def open_session_by_code(self, code: str) -> str | None:
        """The secret of a new session of the page; None when the code of a link is not good, or not any more.

        Raises:
            ServiceError: 429 `rate_limited`; 503 `database_away`.
        """
        try:
            async with self._links.share("link"), self._asking("link", transaction(self._access)) as connection:
                token = await take_page_code(connection, code, now_us=now_us())
                return None if token is None else await open_session(connection, token, now_us=now_us())
        except QueueFullError:
            raise ServiceError(
                429,
                "rate_limited",
                "too many links are being opened; try again in a second",
                headers={"Retry-After": "1"},
            ) from None

    @asynccontextmanager
    async def administering(
        self, token: ReadToken, action: str, arguments: Mapping[str, object]
    ) -> AsyncIterator[AsyncConnection]:
        """A transaction with its entry in the audit log, for what a token changes.

        Args:
            token: of the request.
            action: what the request does, such as `erasure create`.
            arguments: see `record_audit`; as they are at the end of the block.

        Raises:
            ServiceError: 503 `database_away`.
        """
        async with self._asking("administration", transaction(self._access)) as connection:
            yield connection
            entry = {"workspace": token.workspace_name, **arguments}
            await record_audit(connection, who=token.who, action=action, arguments=entry, now_us=now_us())

    @asynccontextmanager
    async def _asking(
        self, question: str, connect: AbstractAsyncContextManager[AsyncConnection]
    ) -> AsyncIterator[AsyncConnection]:
        if self._missing:
            raise _away(self._missing)
        started = time.perf_counter()
        try:
            async with asyncio.timeout(QUESTION_SECONDS), connect as connection:
                yield connection
        except Exception as error:
            if is_statement_timeout(error):
                raise ServiceError(
                    503,
                    "too_slow",
                    f"the question took more than {STATEMENT_SECONDS:g} s; ask for a shorter span or a smaller page",
                    headers={"Retry-After": "10"},
                ) from error
            if isinstance(error, AbsentWorkspaceError) or failure_of(error) == "contention":
                # A replica is behind, or ends a statement whose rows the primary has cleared away meanwhile.
                raise _away("the replica could not answer") from error
            if not is_away(error):
                raise
            log.warning("the database is away: %s: %s", type(error).__name__, error)
            raise _away("the database does not answer") from error
        finally:
            API_QUERY_SECONDS.labels(question).observe(time.perf_counter() - started)

    async def check(self) -> str:
        """For /readyz: '' when the database answers and its schema is current, else what is missing."""
        return self._missing or await self._answers()


def _away(reason: str) -> ServiceError:
    return ServiceError(503, "database_away", f"{reason}; try again", headers={"Retry-After": "1"})
