"""`throughline doctor`: one line for each thing that Throughline needs."""

import asyncio
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated

import typer
from aiokafka.errors import KafkaError
from sqlalchemy.exc import SQLAlchemyError

from throughline.cli.common.database import DatabaseChoice, choose_database
from throughline.cli.common.options import DataOption, JsonOption
from throughline.cli.common.output import Row, printable, show_json, show_rows
from throughline.cli.common.running import data_folder, find_running
from throughline.cli.common.status import Status
from throughline.cli.common.topics import Topics, choose_topics
from throughline.cli.doctor.facts import look_at_database, look_at_disk, look_at_kafka, look_at_service
from throughline.cli.doctor.judge import (
    DatabaseFacts,
    Finding,
    Health,
    KafkaFacts,
    judge_database,
    judge_disk,
    judge_kafka,
    judge_lag,
    judge_python,
    judge_service,
)
from throughline.kit.clock import now_us
from throughline.store.engine.errors import driver_error, is_away
from throughline.store.engine.pool import without_password


def doctor(
    ingest_url: Annotated[
        str | None, typer.Option(help="Address of ingest, to look at it too. Default: that of the running stack.")
    ] = None,
    api_url: Annotated[str | None, typer.Option(help="Address of the api: likewise.")] = None,
    as_json: JsonOption = False,
    data: DataOption = None,
) -> None:
    """Check Kafka, PostgreSQL, schema, roles, lag, clocks, services, versions and disk, and say what to do.

    Changes nothing. The exit status is 0 when nothing is at fault (warnings may be), 1 when something is, and 3 when
    Kafka or PostgreSQL does not answer.
    """
    folder = data_folder(data)
    running = find_running(folder)
    urls = {"ingest": ingest_url, "api": api_url}
    if running is not None:
        urls = {"ingest": ingest_url or running.ingest_url, "api": api_url or running.api_url}
    database, topics = choose_database(data), choose_topics(data)
    services = {name: url for name, url in urls.items() if url}
    findings = asyncio.run(_look(database, topics, services, folder if running is not None else None))
    if as_json:
        show_json({"healthy": _status(findings) is Status.DONE, "checks": [_row(finding) for finding in findings]})
    else:
        rows = [_row(finding) for finding in findings]
        show_rows(rows, columns=("check", "health", "what", "to_do"), as_json=False, none="")
    raise typer.Exit(_status(findings))


async def _look(
    database: DatabaseChoice, topics: Topics, services: dict[str, str], folder: Path | None
) -> list[Finding]:
    (stored, log), answered = await asyncio.gather(
        asyncio.gather(_database(database, topics), _kafka(topics)),
        asyncio.gather(*(look_at_service(name, url) for name, url in services.items())),
    )
    findings = [judge_python(sys.version_info[:2], version("throughline"))]
    if isinstance(stored, Finding):
        findings.append(stored)
    else:
        findings += judge_database(f"{without_password(database.url)} ({database.reason})", stored)
    if isinstance(log, Finding):
        findings.append(log)
    else:
        findings += judge_kafka(str(topics.servers), log, (topics.touchpoints, topics.rejected))
    findings += _lag(topics, stored, log)
    for service in answered:
        findings += judge_service(service, version("throughline"))
    for name in sorted({"ingest", "api"} - services.keys()):
        findings.append(Finding(name, Health.UNSEEN, f"its address is not known: --{name}-url"))
    findings.append(judge_disk(None if folder is None else look_at_disk(folder)))
    return findings


async def _database(database: DatabaseChoice, topics: Topics) -> DatabaseFacts | Finding:
    try:
        return await look_at_database(database.url, topics.touchpoints)
    except (SQLAlchemyError, OSError, ValueError) as error:
        cause = driver_error(error) or error
        what = f"{without_password(database.url)}: {str(cause).splitlines()[0] if str(cause) else type(cause).__name__}"
        if isinstance(cause, OSError) or is_away(error):
            return Finding("postgresql", Health.UNREACHABLE, what, "start the server, or set DATABASE_URL")
        return Finding("postgresql", Health.FAULT, what, "correct DATABASE_URL: throughline_admin, or the owner")


async def _kafka(topics: Topics) -> KafkaFacts | Finding:
    try:
        return await look_at_kafka(topics)
    except (KafkaError, OSError) as error:
        what = f"{topics.servers}: {str(error) or type(error).__name__}"
        return Finding("kafka", Health.UNREACHABLE, what, "start a broker, or set KAFKA and KAFKA_SECURITY_PROTOCOL")


def _lag(topics: Topics, stored: DatabaseFacts | Finding, log: KafkaFacts | Finding) -> list[Finding]:
    if isinstance(stored, Finding) or isinstance(log, Finding) or stored.partitions is None or not log.logs:
        return [Finding("lag", Health.UNSEEN, "it takes Kafka with its topic, and PostgreSQL with its tables")]
    return list(judge_lag(log.cluster.topics[topics.touchpoints], log.logs, stored.partitions, now_us()))


def _status(findings: list[Finding]) -> Status:
    seen = {finding.health for finding in findings}
    if Health.UNREACHABLE in seen:
        return Status.UNREACHABLE
    return Status.CANNOT if Health.FAULT in seen else Status.DONE


def _row(finding: Finding) -> Row:
    return {
        "check": finding.check,
        "health": finding.health,
        "what": printable(finding.what),
        "to_do": finding.to_do or None,
    }
