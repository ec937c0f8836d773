"""What each fact means: well, to be watched, at fault or not seen, and what to do about it."""

from collections.abc import Iterator, Sequence
from enum import StrEnum
from typing import NamedTuple

from throughline.kit.kafka_state import ClusterState, LogRange, TopicState
from throughline.store.diagnosis import PartitionState, ServerState
from throughline.store.migrate import SchemaState

MIN_POSTGRES = 160_000
MIN_PYTHON = (3, 11)
SLOW_WATERMARK_US, STANDING_WATERMARK_US = 10_000_000, 60_000_000
"""The watermark moves once a second."""
CLOCK_WARNING_US, CLOCK_FAULT_US = 1_000_000, 30_000_000
DATE_HEADER_US = 2_000_000
"""A `Date` header has whole seconds, and the answer takes a while."""
FREE_WARNING, FREE_FAULT = 0.15, 0.05
"""Share of a disk."""
SESSIONS_WARNING = 0.8


class Health(StrEnum):
    """How a check came out."""

    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"
    UNREACHABLE = "unreachable"
    UNSEEN = "unseen"
    """Not looked at: `what` says why."""


class Finding(NamedTuple):
    """What a check saw, and what to do about it ("" when nothing is)."""

    check: str
    health: Health
    what: str
    to_do: str = ""


class DatabaseFacts(NamedTuple):
    """What PostgreSQL says."""

    server: ServerState
    clock_difference_us: int
    """How far its clock is ahead of the one here."""
    schema: SchemaState
    roles_are_right: bool
    partitions: Sequence[PartitionState] | None
    """None: the tables are missing or may not be read."""


class KafkaFacts(NamedTuple):
    """What Kafka says."""

    cluster: ClusterState
    logs: dict[int, LogRange]
    """Of the touchpoints topic."""


class ServiceFacts(NamedTuple):
    """What a service says."""

    name: str
    url: str
    failure: str
    """Why it did not answer; "" if it did."""
    not_ready: str
    clock_difference_us: int | None
    version: str | None


class DiskFacts(NamedTuple):
    """The disk of a folder."""

    folder: str
    free_bytes: int
    total_bytes: int


def judge_database(where: str, facts: DatabaseFacts) -> Iterator[Finding]:
    """PostgreSQL, its schema, its roles and its clock."""
    server, schema = facts.server, facts.schema
    what = (
        f"PostgreSQL {server.version} at {where}: {_size(server.database_bytes)}, "
        f"{server.sessions} of {server.max_sessions} sessions"
    )
    if server.version_number < MIN_POSTGRES:
        yield Finding("postgresql", Health.FAULT, what, f"upgrade the server to {MIN_POSTGRES // 10_000} or newer")
    elif server.sessions > SESSIONS_WARNING * server.max_sessions:
        yield Finding("postgresql", Health.WARNING, what, "raise max_connections, or run fewer processes")
    else:
        yield Finding("postgresql", Health.OK, what)

    if schema.is_newer:
        what = f"schema revision {schema.revision}; this version knows revisions up to {schema.head}"
        yield Finding("migrations", Health.FAULT, what, "use the version of Throughline that migrated the database")
    elif schema.revision != schema.head:
        what = f"schema revision {schema.revision or 'none'}, to be {schema.head}"
        yield Finding("migrations", Health.FAULT, what, "run `throughline migrate` as the owner; the services wait")
    else:
        yield Finding("migrations", Health.OK, f"schema revision {schema.head}")

    if facts.roles_are_right:
        yield Finding("roles", Health.OK, "every role has its rights and no others")
    else:
        to_do = "run `throughline migrate` as the owner of the database"
        yield Finding("roles", Health.FAULT, "roles are missing, or their rights differ", to_do)
    yield _judge_clock("clock of postgresql", facts.clock_difference_us)


def judge_kafka(where: str, facts: KafkaFacts, topics: Sequence[str]) -> Iterator[Finding]:
    """Kafka and its topics."""
    brokers = facts.cluster.brokers
    yield Finding("kafka", Health.OK, f"Kafka at {where}: {brokers} {'broker' if brokers == 1 else 'brokers'}")
    for name in topics:
        topic = facts.cluster.topics.get(name)
        if topic is None:
            yield Finding(f"topic {name}", Health.WARNING, "not there", "start ingest, which makes it")
        else:
            yield _judge_topic(topic, brokers)


def _judge_topic(topic: TopicState, brokers: int) -> Finding:
    check = f"topic {topic.name}"
    what = f"{topic.partitions} partitions, {topic.replicas} replicas, min.insync.replicas={topic.min_insync}"
    if topic.leaderless:
        return Finding(
            check, Health.FAULT, f"{what}; {_listed(topic.leaderless)} without a leader", "start the brokers"
        )
    if topic.below_min_insync:
        what = f"{what}; {_listed(topic.below_min_insync)} below min.insync.replicas: ingest answers 503"
        return Finding(check, Health.FAULT, what, "start the brokers that are away")
    if topic.short_of_replicas:
        what = f"{what}; {_listed(topic.short_of_replicas)} short of replicas"
        return Finding(check, Health.WARNING, what, "start the broker that is away, or wait until it has caught up")
    if brokers > 1 and topic.replicas == 1:
        to_do = "give the topic more replicas (kafka-reassign-partitions.sh): one lost disk loses events"
        return Finding(check, Health.WARNING, what, to_do)
    return Finding(check, Health.OK, what)


def judge_lag(
    topic: TopicState, logs: dict[int, LogRange], partitions: Sequence[PartitionState], now_us: int
) -> Iterator[Finding]:
    """What waits in the log, and whether it is being staged."""
    staged = {each.partition: each for each in partitions}
    waiting, lost = 0, []
    for partition, log in logs.items():
        next_offset = staged[partition].next_offset if partition in staged else 0
        waiting += max(0, log.end - max(log.begin, next_offset))
        if partition in staged and log.begin > next_offset:
            lost.append(partition)
    behind = "see the stagers' /readyz and logs (docs/operations.md, ThroughlineNotStaged)"
    if lost:
        what = f"{_listed(lost)} lost records before they were staged"
        yield Finding("log", Health.FAULT, what, "docs/operations.md, ThroughlineLostRecords")
    if len(staged) < len(logs):
        health = Health.FAULT if waiting else Health.WARNING
        what = f"{len(logs) - len(staged)} of {len(logs)} partitions were never staged, {waiting:,} records wait"
        yield Finding("lag", health, what, behind)
        return
    age_us = now_us - min(each.watermark_us for each in partitions)
    what = f"{waiting:,} records wait, the watermark is {age_us / 1e6:.1f} s old"
    if topic.retention_ms > 0 and age_us > topic.retention_ms * 500:
        what = f"{what}: more than half of Kafka's retention of {topic.retention_ms / 3.6e6:g} h"
        yield Finding("lag", Health.FAULT, what, f"raise retention.ms of the topic at once; {behind}")
    elif age_us > STANDING_WATERMARK_US:
        yield Finding("lag", Health.FAULT, what, behind)
    elif age_us > SLOW_WATERMARK_US:
        yield Finding("lag", Health.WARNING, what, "wait, and look again: stagers work off a backlog after an outage")
    else:
        yield Finding("lag", Health.OK, what)


def judge_service(service: ServiceFacts, version: str) -> Iterator[Finding]:
    """A service's health, version and clock."""
    if service.failure:
        to_do = f"start it, or name its address with --{service.name}-url"
        yield Finding(service.name, Health.FAULT, f"no answer at {service.url}: {service.failure}", to_do)
        return
    if service.not_ready:
        to_do = "mend what it lacks; it goes on by itself"
        yield Finding(service.name, Health.FAULT, f"not ready at {service.url}: {service.not_ready}", to_do)
    elif service.version is not None and service.version != version:
        what = f"version {service.version} at {service.url}; this command is {version}"
        yield Finding(service.name, Health.WARNING, what, "finish the upgrade: docs/operations.md, Upgrading")
    else:
        shown = service.version or "not seen (its metrics have a port of their own)"
        yield Finding(service.name, Health.OK, f"ready at {service.url}, version {shown}")
    if service.clock_difference_us is not None:
        rounded_us = 0 if abs(service.clock_difference_us) < DATE_HEADER_US else service.clock_difference_us
        yield _judge_clock(f"clock of {service.name}", rounded_us)


def judge_python(running: tuple[int, int], version: str) -> Finding:
    """The versions of this command."""
    what = f"throughline {version}, Python {running[0]}.{running[1]}"
    if running < MIN_PYTHON:
        return Finding("versions", Health.FAULT, what, "use Python 3.11 or newer")
    return Finding("versions", Health.OK, what)


def judge_disk(disk: DiskFacts | None) -> Finding:
    """The disk of the data folder."""
    if disk is None:
        what = "Kafka's and PostgreSQL's disks are not on this machine: watch them there"
        return Finding("disk", Health.UNSEEN, what)
    share = disk.free_bytes / disk.total_bytes
    what = f"{_size(disk.free_bytes)} ({share:.0%}) free at {disk.folder}"
    if share < FREE_FAULT:
        return Finding("disk", Health.FAULT, what, "make room: a full disk stops Kafka and PostgreSQL")
    if share < FREE_WARNING:
        return Finding("disk", Health.WARNING, what, "make room, or shorten LOG_RETENTION_HOURS")
    return Finding("disk", Health.OK, what)


def _judge_clock(check: str, difference_us: int) -> Finding:
    ahead = "ahead of" if difference_us > 0 else "behind"
    what = f"{abs(difference_us) / 1e6:.1f} s {ahead} the clock here"
    to_do = "keep every machine's clock with NTP (chrony): receipts, lapses and expiries go by them"
    if abs(difference_us) > CLOCK_FAULT_US:
        return Finding(check, Health.FAULT, what, to_do)
    if abs(difference_us) > CLOCK_WARNING_US:
        return Finding(check, Health.WARNING, what, to_do)
    return Finding(check, Health.OK, what)


def _listed(partitions: Sequence[int]) -> str:
    shown = ", ".join(map(str, partitions[:5])) + (", ..." if len(partitions) > 5 else "")
    return f"{'partition' if len(partitions) == 1 else 'partitions'} {shown}"


def _size(size_bytes: int) -> str:
    if size_bytes < 2**30:
        return f"{size_bytes / 2**20:,.0f} MiB"
    return f"{size_bytes / 2**30:,.1f} GiB"
