"""The settings of brokers: one alone, and one of three."""

from pathlib import Path

from throughline.local.kafka_files import Copies, KafkaFiles, copies_on


def settings_of(folder: Path, node: int, controller_ports: tuple[int, ...]) -> dict[str, str]:
    files = KafkaFiles(folder, {"num.partitions": "6"}, node)
    files.write(folder / "data", port=9_092, controller_ports=controller_ports)
    return dict(line.split("=", 1) for line in files.properties.read_text().splitlines())


def test_of_three_brokers_one_may_be_lost_and_each_has_a_rack(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, 2, (7_001, 7_002, 7_003))
    assert settings["controller.quorum.voters"] == "1@127.0.0.1:7001,2@127.0.0.1:7002,3@127.0.0.1:7003"
    assert settings["listeners"] == "BROKER://127.0.0.1:9092,CONTROLLER://127.0.0.1:7002"
    assert (settings["node.id"], settings["broker.rack"]) == ("2", "rack-2")
    assert (settings["default.replication.factor"], settings["min.insync.replicas"]) == ("3", "2")
    assert settings["offsets.topic.replication.factor"] == "3"
    assert settings["num.partitions"] == "6"  # the caller's goes before


def test_a_broker_alone_waits_for_no_other(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, 1, (7_001,))
    assert (settings["default.replication.factor"], settings["min.insync.replicas"]) == ("1", "1")
    assert [copies_on(brokers) for brokers in (2, 3, 5)] == [Copies(2, 1), Copies(3, 2), Copies(3, 2)]
