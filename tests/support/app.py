"""The api's application within the process of a test, for laws that ask it thousands of questions."""

import httpx
from sqlalchemy.ext.asyncio import AsyncEngine

from services.api.app import create_app
from services.api.live.feeds import Feeds
from services.api.persons.claims import ClaimLog
from services.api.phases.routes import CountsQuestion
from services.api.shared.answers import Answer, EncodedAnswer
from services.api.shared.context import ApiContext
from services.api.shared.database import Database
from services.api.shared.quotas import RequestRate
from services.api.shared.shares import Shares
from services.api.tokens import Tokens
from throughline.kit.clock import now_us
from throughline.store.access.read_tokens import create_read_token
from throughline.store.engine.unit_of_work import transaction


async def api_of(engine: AsyncEngine, url: str, workspace: str, topic: str) -> httpx.AsyncClient:
    """A client of the application with a token of the workspace."""
    async with transaction(engine) as connection:
        token = await create_read_token(connection, workspace, "law", now_us=now_us())
    database = Database(engine, engine, url, Shares(slots=4, each=4, queue=100))
    await database.prepare()
    tokens = Tokens(database.read_tokens, database.write_last_uses)
    context = ApiContext(database, topic, tokens, RequestRate(0), ClaimLog("localhost:1", topic))
    return httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(context, Feeds(_no_counts))),
        base_url="http://api",
        headers={"Authorization": f"Bearer {token}"},
    )


async def _no_counts(_: CountsQuestion) -> EncodedAnswer[Answer]:
    raise AssertionError("nobody follows the counts")
