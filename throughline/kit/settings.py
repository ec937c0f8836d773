"""Every setting of every process: read from the environment in this module only, and validated at start."""

import os
import re
import sys
from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, FilePath, ValidationError, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from throughline.kit.kafka_servers import KafkaServers, SaslMechanism, SecurityProtocol


class SettingsError(ValueError):
    """A variable of the environment is missing or wrong; the message names it and what it accepts."""


FernetKey = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{43}=$")]
EncryptionKeys = Annotated[
    tuple[FernetKey, ...],
    NoDecode,
    BeforeValidator(lambda value: tuple(value.split(",")) if isinstance(value, str) else value),
    Field(description="keys made by `throughline secrets key`, with commas between; the first one encrypts"),
]
Password = Annotated[str, Field(pattern=r"^[!-~]{12,}$", description="12 or more characters of ASCII, no spaces")]


class KafkaSecuritySettings(BaseSettings):
    """What Kafka asks of its clients: the settings of every process that is one. The names are Kafka's own."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    kafka_security_protocol: SecurityProtocol = "PLAINTEXT"
    kafka_sasl_mechanism: SaslMechanism | None = Field(None, description="PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512")
    kafka_sasl_username: str | None = None
    kafka_sasl_password: str | None = None
    kafka_ssl_ca_file: FilePath | None = Field(None, description="PEM file of the brokers' authorities")
    kafka_ssl_cert_file: FilePath | None = Field(None, description="PEM file of this client's certificate")
    kafka_ssl_key_file: FilePath | None = Field(None, description="PEM file of the certificate's key")
    kafka_ssl_key_password: str | None = None

    @model_validator(mode="after")
    def _check_kafka_security(self) -> Self:
        protocol = self.kafka_security_protocol
        sasl, tls = (
            {name: value for name, value in self.model_dump().items() if name.startswith(f"kafka_{kind}_")}
            for kind in ("sasl", "ssl")
        )
        missing = [name.upper() for name, value in sasl.items() if value is None]
        if protocol.startswith("SASL_") and missing:
            raise ValueError(f"KAFKA_SECURITY_PROTOCOL={protocol} needs {', '.join(missing)}")
        unused = {} if protocol.startswith("SASL_") else sasl
        unused |= {} if protocol.endswith("SSL") else tls
        useless = [name.upper() for name, value in unused.items() if value is not None]
        if useless:
            raise ValueError(f"KAFKA_SECURITY_PROTOCOL={protocol} takes no {', '.join(useless)}")
        if self.kafka_ssl_key_file is not None and self.kafka_ssl_cert_file is None:
            raise ValueError("KAFKA_SSL_KEY_FILE needs KAFKA_SSL_CERT_FILE")
        try:
            self.kafka_servers("").client_options()
        except OSError as error:
            raise ValueError(f"the files of KAFKA_SSL_* cannot be used: {error}") from None
        return self

    def kafka_servers(self, bootstrap: str) -> KafkaServers:
        """Returns these bootstrap servers, with what they ask of a client."""
        return KafkaServers(
            bootstrap,
            self.kafka_security_protocol,
            self.kafka_sasl_mechanism or "PLAIN",
            self.kafka_sasl_username,
            self.kafka_sasl_password,
            self.kafka_ssl_ca_file,
            self.kafka_ssl_cert_file,
            self.kafka_ssl_key_file,
            self.kafka_ssl_key_password,
        )


class ServiceSettings(KafkaSecuritySettings):
    """Settings of all three services: where Kafka and PostgreSQL are, the topics, where to listen."""

    kafka: str = Field("localhost:9092", description="Kafka bootstrap servers, host:port[,host:port]")
    database_url: str = Field(
        "postgresql://throughline:throughline@localhost:5432/throughline",
        pattern=r"^postgres(ql)?://",
        description="postgresql://user:password@host:port/database",
    )
    host: str = Field("0.0.0.0", description="address to listen on")
    port: int = Field(0, ge=0, le=65535, description="port to listen on")
    metrics_port: int | None = Field(
        None, ge=1, le=65535, description="port of /metrics alone; unset: it is served with all else"
    )
    touchpoints_topic: str = Field("touchpoints", min_length=1)
    rejected_topic: str = Field("touchpoints.rejected", min_length=1)
    partitions: int = Field(4, ge=1, le=10_000, description="partitions of a topic this process has to create")
    replication_factor: int = Field(1, ge=1, le=100)
    min_insync_replicas: int = Field(1, ge=1, le=100)
    log_retention_hours: int = Field(
        168, ge=0, le=24 * 3650, description="how long Kafka keeps records, 0 = as its topics are set"
    )
    build_commit: str = Field("unknown", description="commit that the image was built from, for the metrics")
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    head_seconds: float = Field(10.0, gt=0, description="how long a request's headers may take to arrive")
    body_seconds: float = Field(
        30.0, gt=0, description="how long a request's body may take to arrive, and an answer to be read"
    )
    max_connections: int = Field(256, ge=1, description="connections of one process, further ones are answered 503")
    memory_bytes: int = Field(
        16 * 1024 * 1024, ge=1, description="bytes that one process holds of requests before it answers 503"
    )


class IngestSettings(ServiceSettings):
    """Settings of ingest."""

    port: int = Field(8081, ge=0, le=65535, description="port to listen on")
    workers: int = Field(1, ge=1, le=256, description="worker processes")
    queue_events: int = Field(50_000, ge=1, description="events a worker holds at most before it answers 503")
    ack_seconds: float = Field(8.0, gt=0, description="how long a request waits for Kafka before it is answered 503")
    drain_seconds: float = Field(20.0, gt=0, description="how long a stopping worker waits for what it accepted")
    rate_limit_events: int = Field(10_000, ge=0, description="events a second of one source, 0 = no limit")
    rate_limit_burst: int = Field(0, ge=0, description="events of one source at once, 0 = ten seconds' worth")
    operator_secret: str | None = Field(
        None, min_length=16, description="what replays prove themselves with, 16 characters or more"
    )
    max_connections: int = Field(4096, ge=1, description="connections of one worker, further ones are answered 503")
    memory_bytes: int = Field(
        128 * 1024 * 1024,
        ge=1,
        description="bytes that one worker holds of requests and of events that wait for Kafka, before it answers 503",
    )
    earliest_plausible: date = Field(
        date(2000, 1, 1), description="times before this day are taken for zeros and wrong units, not believed"
    )
    max_request_links: int = Field(
        100, ge=1, description="ids that one request may join to one person; beyond it events count without the link"
    )
    keys_refresh_seconds: float = Field(1.0, gt=0, description="how often write keys are read again")
    encryption_keys: EncryptionKeys = ()
    metrics_dir: str | None = Field(None, description="folder of the workers' shared metrics; default a temporary one")


class StagerSettings(ServiceSettings):
    """Settings of stager."""

    port: int = Field(8082, ge=0, le=65535, description="port to listen on")
    consumer_group: str = Field("throughline-stager", min_length=1)
    batch_records: int = Field(5_000, ge=1, le=50_000, description="records staged in one transaction")


class ApiSettings(ServiceSettings):
    """Settings of the api."""

    port: int = Field(8080, ge=0, le=65535, description="port to listen on")
    read_database_url: str | None = Field(
        None,
        pattern=r"^postgres(ql)?://",
        description="postgresql://user:password@host:port/database of a replica that answers questions",
    )
    read_lag_seconds: float = Field(
        10.0, gt=0, description="how far the replica may be behind; beyond it questions go to DATABASE_URL"
    )
    max_connections: int = Field(2048, ge=1, description="connections of one process, further ones are answered 503")
    ingest_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s/?#@;,'\"]+$",
        description="where browsers reach ingest, such as https://events.shop.example: the page can send a first event",
    )
    token_requests: int = Field(100, ge=0, description="requests a second of one token, 0 = no limit")
    token_streams: int = Field(100, ge=1, description="streams that one token may have open at once in this process")
    workspace_statements: int = Field(
        2, ge=1, le=5, description="statements that the tokens of one workspace may have under way at once"
    )


class RunSettings(BaseSettings):
    """Settings of `throughline run`."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    port: int = Field(8080, ge=0, le=65535, description="port of the page and the api, 0 = any free one")
    ingest_port: int = Field(8081, ge=0, le=65535, description="port of ingest, 0 = any free one")
    data: Path = Field(Path(".throughline"), description="folder that keeps all data")
    demo: bool = Field(True, description="1 or 0: whether a demo shop sends traffic")
    demo_rate: float = Field(5.0, ge=0.01, le=100_000, description="events a second of the demo shop")
    demo_customers: int = Field(
        3_000, ge=0, le=100_000, description="customers with whose 90 days the demo shop begins, 0 = none"
    )
    kafka: str | None = Field(
        None,
        pattern=r"^[^\s:,]+:\d+(,[^\s:,]+:\d+)*$",
        description="host:port[,host:port] of your own Kafka instead of the embedded one",
    )
    brokers: int = Field(1, ge=1, le=5, description="brokers of the embedded Kafka; with 3, one may be lost")
    database_url: str | None = Field(
        None,
        pattern=r"^postgres(ql)?://",
        description="postgresql://user:password@host:port/database, your own instead of the embedded one",
    )
    encryption_keys: EncryptionKeys = ()


class CommandSettings(KafkaSecuritySettings):
    """Settings of the commands that work on a database or on Kafka: which one, if one is named."""

    data: Path = Field(Path(".throughline"), description="data folder of `throughline run`")
    database_url: str | None = Field(
        None, pattern=r"^postgres(ql)?://", description="postgresql://user:password@host:port/database"
    )
    kafka: str | None = Field(None, description="Kafka bootstrap servers, host:port[,host:port]")
    operator_secret: str | None = Field(None, description="OPERATOR_SECRET of the ingest that takes replayed events")
    encryption_keys: EncryptionKeys = ()
    touchpoints_topic: str = Field("touchpoints", min_length=1)
    rejected_topic: str = Field("touchpoints.rejected", min_length=1)


class MigrateSettings(BaseSettings):
    """Settings of `throughline migrate` only: passwords of the services' roles, and whether Citus is used."""

    model_config = SettingsConfigDict(extra="ignore", env_ignore_empty=True)

    ingest_db_password: Password | None = None
    stager_db_password: Password | None = None
    api_db_password: Password | None = None
    admin_db_password: Password | None = None
    citus: Literal["auto", "off"] = Field(
        "auto", description="auto: tables are spread over the nodes of a server that has Citus; off: never"
    )


S = TypeVar("S", bound=BaseSettings)
_SECRET = re.compile("password|token|secret|_url$|_keys$")
"""Names of settings whose values no message shows."""


def load(kind: type[S]) -> S:
    """The settings of one process.

    Raises:
        SettingsError: the message names every wrong variable and what it accepts.
    """
    try:
        return kind()
    except ValidationError as error:
        lines = []
        for fault in error.errors():
            if not fault["loc"]:
                lines.append(fault["msg"].removeprefix("Value error, "))
                continue
            name = str(fault["loc"][0])
            field = kind.model_fields.get(name)
            accepts = f" ({field.description})" if field is not None and field.description else ""
            value = "" if _SECRET.search(name) else f", got {fault['input']!r}"
            lines.append(f"{name.upper()}: {fault['msg']}{value}{accepts}")
        raise SettingsError("wrong settings:\n  " + "\n  ".join(lines)) from None


def load_or_exit(kind: type[S]) -> S:
    """`load`; ends the process with status 2 and the message when a setting is wrong."""
    try:
        return load(kind)
    except SettingsError as error:
        print(error, file=sys.stderr)  # noqa: T201
        sys.exit(2)


def base_environment() -> dict[str, str]:
    """A copy of this process's environment, for child processes."""
    return dict(os.environ)


def set_environment(name: str, value: str) -> None:
    """Set a variable that a library reads only from the environment."""
    os.environ[name] = value


__all__ = [
    "ApiSettings",
    "CommandSettings",
    "IngestSettings",
    "KafkaSecuritySettings",
    "MigrateSettings",
    "RunSettings",
    "ServiceSettings",
    "SettingsError",
    "StagerSettings",
    "base_environment",
    "load",
    "load_or_exit",
    "set_environment",
]
