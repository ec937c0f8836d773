"""`throughline doctor` on a real Kafka and PostgreSQL, with and without what Throughline needs."""

from importlib.metadata import version
from typing import Any

from tests.conftest import Topics, execute
from tests.support.command import Throughline
from tests.support.stack import Stack, until
from throughline.local import LocalKafka, LocalPostgres


def health(shown: Any) -> dict[str, str]:
    return {each["check"]: each["health"] for each in shown["checks"]}


def on(stack: Stack) -> Throughline:
    throughline = Throughline(stack.database)
    throughline.environment |= {
        "KAFKA": stack.kafka,
        "TOUCHPOINTS_TOPIC": stack.touchpoints,
        "REJECTED_TOPIC": stack.rejected,
    }
    return throughline


async def test_a_running_stack_is_well_until_a_part_of_it_stops(stack: Stack) -> None:
    throughline = on(stack)
    ingest = await stack.start("ingest")
    api = await stack.start("api")
    words = ("doctor", "--json", "--ingest-url", ingest.url, "--api-url", api.url)
    without_stager = await throughline(*words)
    assert (without_stager.status, health(without_stager.json)["lag"]) == (0, "warning")
    await stack.start("stager")

    async def all_well() -> bool:
        return (await throughline(*words)).json["healthy"] and health((await throughline(*words)).json)["lag"] == "ok"

    await until(all_well, what="a watermark that moves")
    seen = await throughline(*words)
    assert seen.status == 0, seen.out
    assert health(seen.json) == {
        "versions": "ok",
        "postgresql": "ok",
        "migrations": "ok",
        "roles": "ok",
        "clock of postgresql": "ok",
        "kafka": "ok",
        f"topic {stack.touchpoints}": "ok",
        f"topic {stack.rejected}": "ok",
        "lag": "ok",
        "ingest": "ok",
        "clock of ingest": "ok",
        "api": "ok",
        "clock of api": "ok",
        "disk": "unseen",
    }
    assert f"version {version('throughline')}" in next(
        each["what"] for each in seen.json["checks"] if each["check"] == "api"
    )
    await api.child.stop()
    seen = await throughline(*words)
    assert (seen.status, health(seen.json)["api"], health(seen.json)["ingest"]) == (1, "fault", "ok")
    people = await throughline("doctor", "--api-url", api.url)
    assert "start it, or name its address with --api-url" in people.out


async def test_what_is_missing_is_named_with_what_to_do(
    kafka: LocalKafka, postgres: LocalPostgres, topics: Topics
) -> None:
    await execute(postgres.url, "create database doctor_empty")
    throughline = Throughline(postgres.url_of("doctor_empty"))
    throughline.environment |= {"KAFKA": kafka.bootstrap, "TOUCHPOINTS_TOPIC": "absent"}
    try:
        seen = await throughline("doctor", "--json")
    finally:
        await execute(postgres.url, "drop database doctor_empty with (force)")
    assert seen.status == 1
    healths = health(seen.json)
    assert (healths["migrations"], healths["topic absent"], healths["lag"]) == ("fault", "warning", "unseen")
    advice = {each["check"]: each["to_do"] for each in seen.json["checks"]}
    assert "throughline migrate" in advice["migrations"]
    assert "start ingest" in advice["topic absent"]
    absent = Throughline(postgres.url_of("doctor_empty"))
    absent.environment["KAFKA"] = kafka.bootstrap
    seen = await absent("doctor", "--json")
    assert (seen.status, health(seen.json)["postgresql"]) == (1, "fault")
