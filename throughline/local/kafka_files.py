"""Kafka's files: its settings, its logging, and a check of its data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from throughline.local.errors import BrokenFolderError
from throughline.local.ports import HOST

# Small internal topics start faster. A restart after kill -9 need not wait nine seconds for the dead broker's session,
# nor the first member of a group for others. The cleaner would take 128 MB.
PROPERTIES = """\
process.roles=broker,controller
node.id={node}
broker.rack=rack-{node}
controller.quorum.voters={voters}
listeners=BROKER://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=BROKER://{host}:{port}
inter.broker.listener.name=BROKER
controller.listener.names=CONTROLLER
listener.security.protocol.map=BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT
log.dirs={data}
auto.create.topics.enable=false
default.replication.factor={replicas}
min.insync.replicas={in_sync}
num.partitions=4
offsets.topic.replication.factor={replicas}
offsets.topic.num.partitions=4
transaction.state.log.replication.factor={replicas}
transaction.state.log.min.isr={in_sync}
transaction.state.log.num.partitions=1
share.coordinator.state.topic.replication.factor={replicas}
share.coordinator.state.topic.min.isr={in_sync}
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
log.cleaner.dedupe.buffer.size=4194304
num.network.threads=2
num.io.threads=4
num.recovery.threads.per.data.dir=2
"""

LOGGING = """\
status=error
name=kafka
appender.file.type=RollingFile
appender.file.name=file
appender.file.fileName={log}
appender.file.filePattern={log}.%i
appender.file.layout.type=PatternLayout
appender.file.layout.pattern=%d{{yyyy-MM-dd HH:mm:ss.SSS}} %p %c{{1}}: %m%n
appender.file.policies.type=Policies
appender.file.policies.size.type=SizeBasedTriggeringPolicy
appender.file.policies.size.size=20MB
appender.file.strategy.type=DefaultRolloverStrategy
appender.file.strategy.max=1
rootLogger.level=warn
rootLogger.appenderRefs=file
rootLogger.appenderRef.file.ref=file
"""


@dataclass(frozen=True)
class Copies:
    """How many brokers have each record, and how many of them a producer waits for at least."""

    replicas: int
    in_sync: int


def copies_on(brokers: int) -> Copies:
    """The copies on so many brokers: three where there are three, so that one may be away."""
    replicas = min(brokers, 3)
    return Copies(replicas, max(1, replicas - 1))


@dataclass(frozen=True)
class KafkaFiles:
    """The files that a broker in `folder` reads at its start, and the log that it writes."""

    folder: Path
    settings: Mapping[str, str]
    """More settings, which go before those of this module."""
    node: int = 1
    """The broker's number in its cluster, from 1."""

    @property
    def properties(self) -> Path:
        return self.folder / "server.properties"

    @property
    def logging(self) -> Path:
        return self.folder / "log4j2.properties"

    @property
    def log(self) -> Path:
        return self.folder / "kafka.log"

    def write(self, data: Path, *, port: int, controller_ports: Sequence[int]) -> None:
        """Write settings and logging of a broker that keeps its data in `data`.

        Every broker of the cluster is a controller too; `controller_ports` has theirs, by number.
        """
        copies = copies_on(len(controller_ports))
        properties = PROPERTIES.format(
            host=HOST,
            port=port,
            node=self.node,
            voters=",".join(f"{node}@{HOST}:{voter}" for node, voter in enumerate(controller_ports, 1)),
            controller_port=controller_ports[self.node - 1],
            data=data,
            replicas=copies.replicas,
            in_sync=copies.in_sync,
        )
        properties += "".join(f"{name}={value}\n" for name, value in self.settings.items())
        self.properties.write_text(properties)
        self.logging.write_text(LOGGING.format(log=self.log))


def require_sound(data: Path, cluster_id: str, node: int) -> None:
    """Check `meta.properties`, because Kafka's own message for a broken one is a stack trace.

    Raises:
        BrokenFolderError: the file is missing, damaged, or of another cluster.
    """
    expected = {"version": "1", "node.id": str(node), "cluster.id": cluster_id}
    meta = data / "meta.properties"
    try:
        lines = [line for line in meta.read_text().splitlines() if "=" in line and not line.startswith("#")]
        values = dict(line.split("=", 1) for line in lines)
    except (OSError, ValueError):
        values = {}
    for key, value in expected.items():
        if values.get(key) != value:
            raise BrokenFolderError(
                f"Kafka's data in {data} is damaged: {meta.name} says {key}={values.get(key, '(nothing)')}, "
                f"expected {value}; put it back from a backup, or move {data.parent} away to begin with an empty broker"
            )
