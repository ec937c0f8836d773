"""What the doctor makes of what it saw: each fault is named, with what to do about it."""

import pytest

from throughline.cli.doctor.judge import (
    DatabaseFacts,
    DiskFacts,
    Finding,
    Health,
    KafkaFacts,
    ServiceFacts,
    judge_database,
    judge_disk,
    judge_kafka,
    judge_lag,
    judge_python,
    judge_service,
)
from throughline.kit.kafka_state import ClusterState, LogRange, TopicState
from throughline.store.diagnosis import PartitionState, ServerState
from throughline.store.migrate import SchemaState

SERVER = ServerState("18.4", 180_004, 0, 2**30, 10, 100)
DATABASE = DatabaseFacts(SERVER, 3_000, SchemaState("0023", "0023", False), True, [])
TOPIC = TopicState("touchpoints", 4, 3, 2, (), (), (), 168 * 3_600_000)
SECOND = 1_000_000
NOW = 1_000_000 * SECOND
READY = ServiceFacts("ingest", "http://ingest", "", "", 400_000, "1.2.0")


def healths(findings: list[Finding]) -> dict[str, Health]:
    for finding in findings:
        assert bool(finding.to_do) == (finding.health not in (Health.OK, Health.UNSEEN)), finding
    return {finding.check: finding.health for finding in findings}


def test_a_database_that_is_well() -> None:
    assert set(healths(list(judge_database("here", DATABASE))).values()) == {Health.OK}


@pytest.mark.parametrize(
    ("facts", "check", "health", "to_do"),
    [
        (DATABASE._replace(server=SERVER._replace(version_number=150_010)), "postgresql", Health.FAULT, "16 or newer"),
        (DATABASE._replace(server=SERVER._replace(sessions=90)), "postgresql", Health.WARNING, "max_connections"),
        (DATABASE._replace(schema=SchemaState("0011", "0023", False)), "migrations", Health.FAULT, "migrate"),
        (DATABASE._replace(schema=SchemaState(None, "0023", False)), "migrations", Health.FAULT, "migrate"),
        (DATABASE._replace(schema=SchemaState("0099", "0023", True)), "migrations", Health.FAULT, "version of"),
        (DATABASE._replace(roles_are_right=False), "roles", Health.FAULT, "as the owner"),
        (DATABASE._replace(clock_difference_us=-3 * SECOND), "clock of postgresql", Health.WARNING, "NTP"),
        (DATABASE._replace(clock_difference_us=40 * SECOND), "clock of postgresql", Health.FAULT, "NTP"),
    ],
)
def test_a_database_with_a_fault(facts: DatabaseFacts, check: str, health: Health, to_do: str) -> None:
    findings = list(judge_database("here", facts))
    assert {each: state for each, state in healths(findings).items() if state != Health.OK} == {check: health}
    assert to_do in next(finding.to_do for finding in findings if finding.check == check)


@pytest.mark.parametrize(
    ("topic", "brokers", "health"),
    [
        (TOPIC, 3, Health.OK),
        (TOPIC._replace(replicas=1, min_insync=1), 1, Health.OK),
        (TOPIC._replace(replicas=1, min_insync=1), 3, Health.WARNING),
        (TOPIC._replace(short_of_replicas=(2,)), 2, Health.WARNING),
        (TOPIC._replace(short_of_replicas=(2,), below_min_insync=(2,)), 1, Health.FAULT),
        (TOPIC._replace(leaderless=tuple(range(9))), 1, Health.FAULT),
    ],
)
def test_topics(topic: TopicState, brokers: int, health: Health) -> None:
    facts = KafkaFacts(ClusterState(brokers, {"touchpoints": topic}), {})
    findings = list(judge_kafka("here", facts, ("touchpoints", "touchpoints.rejected")))
    assert healths(findings) == {
        "kafka": Health.OK,
        "topic touchpoints": health,
        "topic touchpoints.rejected": Health.WARNING,
    }


def staged(*next_offsets: int, age_seconds: float = 1.0) -> list[PartitionState]:
    watermark_us = NOW - round(age_seconds * SECOND)
    return [PartitionState(number, each, watermark_us) for number, each in enumerate(next_offsets)]


@pytest.mark.parametrize(
    ("logs", "partitions", "expected", "words"),
    [
        ([(0, 10), (0, 20)], staged(10, 20), {"lag": Health.OK}, "0 records wait"),
        ([(0, 10), (0, 20)], staged(9, 20, age_seconds=30), {"lag": Health.WARNING}, "1 records wait"),
        ([(0, 10), (0, 20)], staged(9, 0, age_seconds=90), {"lag": Health.FAULT}, "21 records wait"),
        ([(0, 10), (0, 0)], staged(10), {"lag": Health.WARNING}, "1 of 2 partitions were never staged, 0 records"),
        ([(0, 10), (0, 5)], staged(10), {"lag": Health.FAULT}, "never staged, 5 records"),
        ([(7, 10), (0, 0)], staged(5, 0), {"log": Health.FAULT, "lag": Health.OK}, "partition 0 lost records"),
        ([(0, 9)], staged(9, age_seconds=90 * 3600), {"lag": Health.FAULT}, "half of Kafka's retention of 168 h"),
    ],
)
def test_what_waits_in_the_log(
    logs: list[tuple[int, int]], partitions: list[PartitionState], expected: dict[str, Health], words: str
) -> None:
    ranges = {number: LogRange(*each) for number, each in enumerate(logs)}
    findings = list(judge_lag(TOPIC, ranges, partitions, NOW))
    assert healths(findings) == expected
    assert words in findings[0].what


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        (READY, {"ingest": Health.OK, "clock of ingest": Health.OK}),
        (READY._replace(version=None), {"ingest": Health.OK, "clock of ingest": Health.OK}),
        (READY._replace(version="1.1.0"), {"ingest": Health.WARNING, "clock of ingest": Health.OK}),
        (READY._replace(not_ready="kafka: away"), {"ingest": Health.FAULT, "clock of ingest": Health.OK}),
        (READY._replace(clock_difference_us=-5 * SECOND), {"ingest": Health.OK, "clock of ingest": Health.WARNING}),
        (READY._replace(failure="refused", clock_difference_us=None), {"ingest": Health.FAULT}),
    ],
)
def test_services(service: ServiceFacts, expected: dict[str, Health]) -> None:
    assert healths(list(judge_service(service, "1.2.0"))) == expected


def test_disk_and_python() -> None:
    free = [judge_disk(DiskFacts("/data", share, 100)).health for share in (50, 14, 4)]
    assert free == [Health.OK, Health.WARNING, Health.FAULT]
    assert judge_disk(None).health == Health.UNSEEN
    assert judge_python((3, 11), "1.2.0").health == Health.OK
    assert judge_python((3, 10), "1.2.0").health == Health.FAULT
