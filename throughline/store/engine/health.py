"""Whether the database answers, for a service's readiness."""

import asyncio
from collections.abc import Awaitable, Callable

from sqlalchemy import literal, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from throughline.store.engine.unit_of_work import reading

ANSWER_SECONDS = 2.0
"""Maximum time for an answer, including the wait for a connection."""


def database_check(engine: AsyncEngine) -> Callable[[], Awaitable[str]]:
    """Returns a readiness check: '' when PostgreSQL answers within `ANSWER_SECONDS`, else a sentence."""

    async def check() -> str:
        try:
            async with asyncio.timeout(ANSWER_SECONDS), reading(engine) as connection:
                await connection.execute(select(literal(1)))
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            return f"PostgreSQL does not answer: {type(error).__name__}"
        return ""

    return check
