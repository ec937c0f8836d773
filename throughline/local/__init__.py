"""Apache Kafka and PostgreSQL from wheels, and the supervisor behind `throughline run`.

Receives a folder and ports, guarantees real servers on 127.0.0.1 whose data survives kill -9 and which never outlive
the process that started them, gives addresses. Read `server.py` next, then `run.py`.
"""

from throughline.local.errors import LocalError
from throughline.local.kafka import LocalKafka
from throughline.local.kafka_cluster import LocalKafkaCluster
from throughline.local.ports import free_port
from throughline.local.postgres import LocalPostgres
from throughline.local.process import Child
from throughline.local.supervisor import Supervisor

__all__ = ["Child", "LocalError", "LocalKafka", "LocalKafkaCluster", "LocalPostgres", "Supervisor", "free_port"]
