"""Looks at Kafka, PostgreSQL, the services and the disk; what does not answer is said, and the others are looked at."""

import asyncio
import re
import shutil
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.cli.common.topics import Topics
from throughline.cli.doctor.judge import DatabaseFacts, DiskFacts, KafkaFacts, ServiceFacts
from throughline.kit.clock import now_us, to_us
from throughline.kit.kafka_state import read_cluster, read_log_ranges
from throughline.store.diagnosis import PartitionState, read_partitions, read_server
from throughline.store.engine.errors import is_refused
from throughline.store.engine.pool import create_engine
from throughline.store.engine.unit_of_work import reading
from throughline.store.migrate import read_schema_state
from throughline.store.roles import have_rights

ANSWER_SECONDS = 10.0
_VERSION = re.compile(r'^throughline_build_info\{[^}]*\bversion="([^"]*)"', re.MULTILINE)


async def look_at_database(url: str, topic: str) -> DatabaseFacts:
    """What PostgreSQL says.

    Raises:
        DBAPIError: the server refuses.
        OSError: no server answers.
        ValueError: the URL is none.
    """
    engine = create_engine(url, pool_size=1, application_name="throughline doctor", statement_seconds=ANSWER_SECONDS)
    try:
        async with asyncio.timeout(ANSWER_SECONDS), reading(engine) as connection:
            before_us = now_us()
            server = await read_server(connection)
            difference_us = server.clock_us - (before_us + now_us()) // 2
            schema = await read_schema_state(connection)
            roles_are_right = await have_rights(connection)
            partitions = await _partitions(connection, topic, schema.revision == schema.head)
            return DatabaseFacts(server, difference_us, schema, roles_are_right, partitions)
    finally:
        await engine.dispose()


async def _partitions(connection: AsyncConnection, topic: str, is_migrated: bool) -> list[PartitionState] | None:
    if not is_migrated:
        return None
    try:
        return await read_partitions(connection, topic)
    except DBAPIError as error:
        if not is_refused(error):
            raise
        return None


async def look_at_kafka(topics: Topics) -> KafkaFacts:
    """What Kafka says.

    Raises:
        KafkaError: no broker answers, or it refuses.
        TimeoutError: it answers too late.
    """
    async with asyncio.timeout(2 * ANSWER_SECONDS):
        cluster = await read_cluster(topics.servers, (topics.touchpoints, topics.rejected))
        is_readable = topics.touchpoints in cluster.topics and not cluster.topics[topics.touchpoints].leaderless
        logs = await read_log_ranges(topics.servers, topics.touchpoints) if is_readable else {}
    return KafkaFacts(cluster, logs)


async def look_at_service(name: str, url: str) -> ServiceFacts:
    """What a service says of its readiness and, where its metrics are on the same port, of its version."""
    try:
        async with httpx.AsyncClient(base_url=url, timeout=ANSWER_SECONDS) as client:
            ready = await client.get("/readyz")
            here_us = now_us()
            metrics = await client.get("/metrics")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return ServiceFacts(name, url, str(error) or type(error).__name__, "", None, None)
    match = _VERSION.search(metrics.text)
    return ServiceFacts(
        name, url, *_readiness(ready), _difference_us(ready, here_us), None if match is None else match[1]
    )


def _readiness(answer: httpx.Response) -> tuple[str, str]:
    """Why the answer is none of a service's, and what the service lacks."""
    try:
        checks = answer.json()["checks"]
        lacking = [f"{name}: {sentence}" for name, sentence in checks.items() if sentence != "ok"]
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"/readyz answers {answer.status_code}, and not as a service of Throughline does", ""
    return "", "; ".join(lacking)


def _difference_us(answer: httpx.Response, here_us: int) -> int | None:
    try:
        return to_us(parsedate_to_datetime(answer.headers["date"])) - here_us
    except (KeyError, ValueError):
        return None


def look_at_disk(folder: Path) -> DiskFacts | None:
    """The disk of a data folder; None when there is no such folder."""
    if not folder.is_dir():
        return None
    usage = shutil.disk_usage(folder)
    return DiskFacts(str(folder), usage.free, usage.total)
