"""Topics and waiting, the same for every Kafka client here."""

import asyncio
from collections.abc import Mapping

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from aiokafka.record import _crecords, default_records


class CompiledRecordsMissingError(RuntimeError):
    """aiokafka runs without its C extension: some fifteen times slower than what is promised."""


def require_compiled_records() -> None:
    """Fail at start rather than run an order of magnitude too slow.

    Raises:
        CompiledRecordsMissingError: the platform has no wheel of aiokafka with its C extension.
    """
    if default_records.DefaultRecordBatchBuilder is not _crecords.DefaultRecordBatchBuilder:
        raise CompiledRecordsMissingError(
            "aiokafka's C extension is not in use; install its wheel for this platform and unset AIOKAFKA_NO_EXTENSIONS"
        )


async def ensure_topics(
    bootstrap: str, topics: Mapping[str, int], *, replication_factor: int = 1, min_insync_replicas: int = 1
) -> None:
    """Create those of `topics` (name -> partitions) that do not exist; the others are left as they are.

    Raises:
        KafkaError: no broker answers, or it refuses.
    """
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=10_000)
    await admin.start()
    try:
        existing = set(await admin.list_topics())
        missing = [
            NewTopic(
                name=name,
                num_partitions=partitions,
                replication_factor=replication_factor,
                topic_configs={"min.insync.replicas": str(min_insync_replicas)},
            )
            for name, partitions in topics.items()
            if name not in existing
        ]
        if missing:
            answer = await admin.create_topics(missing)
            for name, code, *_ in answer.topic_errors:
                error = for_code(code)
                if code != 0 and error is not TopicAlreadyExistsError:
                    raise error(f"creating topic {name!r}")
    finally:
        await admin.close()


async def wait_for_topics(
    bootstrap: str,
    topics: Mapping[str, int],
    *,
    replication_factor: int = 1,
    min_insync_replicas: int = 1,
    pause_seconds: float = 1.0,
) -> None:
    """`ensure_topics`, tried again until a broker answers: a service may start before its broker."""
    while True:
        try:
            await ensure_topics(
                bootstrap, topics, replication_factor=replication_factor, min_insync_replicas=min_insync_replicas
            )
        except (KafkaError, OSError, TimeoutError):
            await asyncio.sleep(pause_seconds)
        else:
            return
