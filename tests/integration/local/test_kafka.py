"""The embedded broker: its data, its folder, its jars, its port."""

import asyncio
import hashlib
import os
import socket
from pathlib import Path

import psutil
import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from throughline.kit.kafka import create_admin, ensure_topics
from throughline.local import LocalError, LocalKafka, LocalKafkaCluster, jars
from throughline.local.errors import BrokenFolderError, LockedError, PortInUseError

TOPIC = "kept"


async def put(bootstrap: str, value: bytes) -> None:
    async with AIOKafkaProducer(bootstrap_servers=bootstrap, acks="all") as producer:
        await producer.send_and_wait(TOPIC, value, partition=0)


async def held(bootstrap: str) -> list[bytes]:
    async with AIOKafkaConsumer(bootstrap_servers=bootstrap, enable_auto_commit=False) as consumer:
        partition = TopicPartition(TOPIC, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        end = (await consumer.end_offsets([partition]))[partition]
        return [(await consumer.getone()).value for _ in range(end)]


async def test_data_outlives_a_kill_a_stop_and_the_object(tmp_path: Path) -> None:
    news: list[str] = []
    server = LocalKafka(tmp_path / "a" / "kafka", report=news.append)
    await server.start()
    try:
        port = server.port
        await ensure_topics(server.bootstrap, {TOPIC: 1})
        await put(server.bootstrap, b"before the kill")
        pid = server.pid
        await server.kill()
        assert not psutil.pid_exists(pid)
        await server.start()
        assert server.port == port
        assert server.pid != pid
        await put(server.bootstrap, b"after the kill")
    finally:
        await server.stop()
    async with LocalKafka(tmp_path / "a" / "kafka") as again:
        assert await held(again.bootstrap) == [b"before the kill", b"after the kill"]
        with pytest.raises(LockedError, match=rf"in use by another running instance \(process {os.getpid()}\)"):
            await LocalKafka(tmp_path / "a" / "kafka").start()
    assert any("preparing a new data folder" in line for line in news)


async def test_a_folder_keeps_its_number_of_brokers(tmp_path: Path) -> None:
    three = LocalKafkaCluster(tmp_path / "kafka")
    await three.prepare()
    await three.stop()
    with pytest.raises(BrokenFolderError, match="has 3 brokers, not 5; start with BROKERS=3"):
        await LocalKafkaCluster(tmp_path / "kafka", brokers=5).prepare()
    with pytest.raises(BrokenFolderError, match="is a kafka cluster folder, not a kafka one"):
        await LocalKafka(tmp_path / "kafka").start()


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(PortInUseError, match=str(port)):
            await LocalKafka(tmp_path / "kafka", port=port).start()


async def test_a_damaged_folder_is_told_from_a_foreign_one(tmp_path: Path) -> None:
    folder = tmp_path / "kafka"
    async with LocalKafka(folder):
        pass
    meta = folder / "data" / "meta.properties"
    sound = meta.read_text()
    meta.write_text(sound[: len(sound) // 3])
    with pytest.raises(BrokenFolderError, match=r"damaged: meta\.properties says .* move .* away"):
        await LocalKafka(folder).start()
    marker = folder / "throughline.json"
    content = marker.read_text()
    marker.write_text(content.replace("4.3.1", "5.0.0"))
    with pytest.raises(BrokenFolderError, match=r"made by kafka 5\.0\.0, this is 4\.3\.1"):
        await LocalKafka(folder).start()
    marker.write_text(content[:10])
    with pytest.raises(BrokenFolderError, match=r"throughline\.json is damaged"):
        await LocalKafka(folder).start()
    marker.unlink()
    with pytest.raises(BrokenFolderError, match="not a kafka folder of Throughline"):
        await LocalKafka(folder).start()
    marker.write_text(content)
    meta.write_text(sound)
    async with LocalKafka(folder) as mended:
        assert mended.pid


async def test_what_is_no_folder_or_not_writable_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(LocalError, match=r"cannot use the folder .*file"):
        await LocalKafka(file).start()
    with pytest.raises(LocalError, match="cannot use the folder /proc/kafka"):
        await LocalKafka(Path("/proc/kafka")).start()


async def test_a_file_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    """As on a full disk: whoever watches the server tries again, and does not end."""
    server = LocalKafka(tmp_path / "kafka")
    await server._folder.claim()
    (tmp_path / "kafka" / "server.properties").mkdir()
    with pytest.raises(LocalError, match=r"Kafka cannot start in .*kafka: Is a directory"):
        await server.start()


async def test_a_tampered_jar_is_refused(tmp_path: Path) -> None:
    """A repository of links to the user's own, with one file replaced."""
    user_repository = jars.user_repository()
    repository = tmp_path / "repository"
    for jar in jars.listed():
        (repository / jar.path).parent.mkdir(parents=True, exist_ok=True)
        (repository / jar.path).symlink_to(user_repository / jar.path)
    victim = next(repository / jar.path for jar in jars.listed() if jar.artifact == "kafka-clients")
    content = victim.read_bytes()
    victim.unlink()
    victim.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    server = LocalKafka(tmp_path / "kafka", repository=repository)
    with pytest.raises(LocalError, match=r"kafka-clients-4\.3\.1\.jar is refused: .* rm "):
        await server.start()
    assert server.pid == 0


async def test_a_download_with_another_sum_is_not_kept(tmp_path: Path) -> None:
    listed = next(jar for jar in jars.listed() if jar.artifact == "jspecify")
    other = jars.Jar(listed.group, listed.artifact, listed.version, hashlib.sha256(b"other").hexdigest())
    repository, news = tmp_path / "repository", list[str]()
    with pytest.raises(LocalError, match=r"jspecify-.* nothing was kept"):
        await asyncio.to_thread(jars.ensure, [other], repository, tmp_path / "fallback", report=news.append)
    assert not list(repository.rglob("*.jar"))
    [path] = await asyncio.to_thread(jars.ensure, [listed], repository, tmp_path / "fallback", report=news.append)
    assert path == repository / listed.path
    assert "1 of 1 jars" in news[-1]


async def test_jars_go_to_the_fallback_where_the_repository_is_not_writable(tmp_path: Path) -> None:
    listed = [jar for jar in jars.listed() if jar.artifact == "jspecify"]
    [path] = await asyncio.to_thread(
        jars.ensure, listed, Path("/proc/repository"), tmp_path / "fallback", report=lambda _: None
    )
    assert path.is_relative_to(tmp_path / "fallback")


async def test_topics_keep_their_records_as_long_as_they_are_told(kafka: LocalKafka) -> None:
    async def settings_of(*topics: str) -> dict[str, dict[str, str]]:
        admin = create_admin(kafka.bootstrap)
        await admin.start()
        try:
            (answer,) = await admin.describe_configs(
                [ConfigResource(ConfigResourceType.TOPIC, name) for name in topics]
            )
            return {
                name: {key: value for key, value, _, origin, *_ in entries if origin == 1}
                for _, _, _, name, entries in answer.resources
            }
        finally:
            await admin.close()

    await ensure_topics(kafka.bootstrap, {"old-one": 1}, min_insync_replicas=1)
    assert await settings_of("old-one") == {"old-one": {"min.insync.replicas": "1"}}
    for hours, segment_hours in ((48, 24), (12, 12)):
        await ensure_topics(kafka.bootstrap, {"old-one": 1, "new-one": 1}, retention_hours=hours)
        expected = {
            "min.insync.replicas": "1",
            "retention.ms": str(hours * 3_600_000),
            "segment.ms": str(segment_hours * 3_600_000),
        }
        assert await settings_of("old-one", "new-one") == {"old-one": expected, "new-one": expected}
    await ensure_topics(kafka.bootstrap, {"old-one": 1}, retention_hours=0)
    assert (await settings_of("old-one"))["old-one"]["retention.ms"] == str(12 * 3_600_000)
