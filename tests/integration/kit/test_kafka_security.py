"""Kafka behind TLS, passwords and client certificates: every client of every process, and what is refused."""

import ssl
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest
from aiokafka.errors import KafkaError

from tests.conftest import Topics
from tests.support.certificates import Authority
from tests.support.command import Throughline
from tests.support.stack import Stack, until
from throughline.kit.kafka import create_group_consumer, create_producer, create_reader, ensure_topics
from throughline.kit.kafka_servers import KafkaServers
from throughline.local import LocalKafka, free_port
from throughline.local.kafka import Member, new_cluster_id

HOST = "127.0.0.1"
USER, PASSWORD = "ada", "pass:word;42"
SASL = "org.apache.kafka.common.security"


@dataclass(frozen=True)
class SecureBroker:
    """A broker with a listener for each kind of client, and the settings of one that each lets in."""

    by_kind: dict[str, KafkaServers]
    stranger: Path
    """The file of an authority that has signed nothing here."""


def environment(servers: KafkaServers) -> dict[str, str]:
    """The variables that lead a process to these servers."""
    values = {
        "KAFKA": servers.bootstrap,
        "KAFKA_SECURITY_PROTOCOL": servers.protocol,
        "KAFKA_SASL_MECHANISM": servers.mechanism if servers.username else None,
        "KAFKA_SASL_USERNAME": servers.username,
        "KAFKA_SASL_PASSWORD": servers.password,
        "KAFKA_SSL_CA_FILE": servers.ca_file,
        "KAFKA_SSL_CERT_FILE": servers.cert_file,
        "KAFKA_SSL_KEY_FILE": servers.key_file,
        "KAFKA_SSL_KEY_PASSWORD": servers.key_password,
    }
    return {name: str(value) for name, value in values.items() if value is not None}


@pytest.fixture(scope="module")
async def broker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[SecureBroker]:
    folder = tmp_path_factory.mktemp("secure")
    authority = Authority(folder)
    certificate, key = authority.issue("broker")
    keystore = folder / "keystore.pem"
    keystore.write_text(key.read_text() + certificate.read_text())
    names = ("BROKER", "CONTROLLER", "PASSWORDS", "CERTIFICATES", "PLAINTEXTPASSWORDS")
    ports = {name: free_port() for name in names}
    listeners = {name: f"{name}://{HOST}:{port}" for name, port in ports.items()}
    advertised = ",".join(listener for name, listener in listeners.items() if name != "CONTROLLER")
    plain = f'{SASL}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";'
    settings = {
        "listeners": ",".join(listeners.values()),
        "advertised.listeners": advertised,
        "listener.security.protocol.map": "BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT,PASSWORDS:SASL_SSL,CERTIFICATES:SSL,"
        "PLAINTEXTPASSWORDS:SASL_PLAINTEXT",
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(keystore),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(authority.file),
        "listener.name.certificates.ssl.client.auth": "required",
    }
    for listener in ("passwords", "plaintextpasswords"):
        prefix = f"listener.name.{listener}"
        settings[f"{prefix}.sasl.enabled.mechanisms"] = "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512"
        settings[f"{prefix}.plain.sasl.jaas.config"] = plain
        for mechanism in ("scram-sha-256", "scram-sha-512"):
            settings[f"{prefix}.{mechanism}.sasl.jaas.config"] = f"{SASL}.scram.ScramLoginModule required;"
    scram = [f"--add-scram={each}=[name={USER},password={PASSWORD}]" for each in ("SCRAM-SHA-256", "SCRAM-SHA-512")]
    server = LocalKafka(
        folder / "kafka",
        port=ports["BROKER"],
        member=Member(1, new_cluster_id(), (ports["CONTROLLER"],)),
        settings=settings,
        format_options=scram,
    )
    client, client_key = authority.issue("client", password="of-the-key")
    with_password = KafkaServers(f"{HOST}:{ports['PASSWORDS']}", "SASL_SSL", "PLAIN", USER, PASSWORD, authority.file)
    async with server:
        yield SecureBroker(
            {
                "PLAIN": with_password,
                "SCRAM-SHA-256": replace(with_password, mechanism="SCRAM-SHA-256"),
                "SCRAM-SHA-512": replace(with_password, mechanism="SCRAM-SHA-512"),
                "SASL_PLAINTEXT": replace(
                    with_password,
                    bootstrap=f"{HOST}:{ports['PLAINTEXTPASSWORDS']}",
                    protocol="SASL_PLAINTEXT",
                    mechanism="SCRAM-SHA-512",
                    ca_file=None,
                ),
                "mTLS": KafkaServers(
                    f"{HOST}:{ports['CERTIFICATES']}",
                    "SSL",
                    ca_file=authority.file,
                    cert_file=client,
                    key_file=client_key,
                    key_password="of-the-key",
                ),
            },
            Authority(folder, "stranger").file,
        )


@pytest.mark.parametrize("kind", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "SASL_PLAINTEXT", "mTLS"])
async def test_every_kind_of_client_is_let_in(broker: SecureBroker, kind: str) -> None:
    servers = broker.by_kind[kind]
    topic = f"kind-{kind}"
    await ensure_topics(servers, {topic: 1})
    async with create_producer(servers) as producer:
        await producer.send_and_wait(topic, b"value")
    async with create_group_consumer(servers, f"group-{kind}") as member:
        member.subscribe([topic])
        assert (await member.getone()).value == b"value"
    async with create_reader(servers, topic) as reader:
        assert await reader.end_offsets(reader.assignment()) == dict.fromkeys(reader.assignment(), 1)


async def test_what_is_wrong_is_refused_and_named(broker: SecureBroker) -> None:
    password, certificate = broker.by_kind["SCRAM-SHA-512"], broker.by_kind["mTLS"]
    for wrong, reason in [
        (replace(password, password="another"), "credentials"),
        (replace(password, username="nobody"), "credentials"),
        (replace(broker.by_kind["PLAIN"], password="another"), "Invalid username or password"),
        (replace(password, ca_file=broker.stranger), "CERTIFICATE_VERIFY_FAILED"),
        (replace(password, ca_file=None), "CERTIFICATE_VERIFY_FAILED"),
        (replace(password, bootstrap=password.bootstrap.replace(HOST, "localhost")), "match"),
        (replace(certificate, cert_file=None, key_file=None), "."),
        (KafkaServers(password.bootstrap), "."),
    ]:
        with pytest.raises(KafkaError, match=f"(?i){reason}") as refused:
            await ensure_topics(wrong, {"refused": 1})
        assert "another" not in str(refused.value)
    with pytest.raises(ssl.SSLError):
        replace(certificate, key_password="wrong").client_options()


@pytest.mark.parametrize("kind", ["SCRAM-SHA-512", "mTLS"])
async def test_all_processes_reach_it_by_their_settings(
    broker: SecureBroker, database: str, topics: Topics, tmp_path: Path, kind: str
) -> None:
    servers = broker.by_kind[kind]
    variables = environment(servers)
    stack = Stack(servers.bootstrap, database, topics.touchpoints, topics.rejected, tmp_path)
    await stack.provision()
    events = [
        {"type": "track", "userId": "ada", "anonymousId": "a-1", "messageId": "m-1", "event": "Order Completed"},
        {"type": "track", "messageId": "m-2", "event": "Nobody's"},
    ]
    command = Throughline(database)
    command.environment |= {**variables, "TOUCHPOINTS_TOPIC": topics.touchpoints, "REJECTED_TOPIC": topics.rejected}
    try:
        ingest = await stack.start("ingest", ready=True, **variables)
        await stack.start("stager", ready=True, **variables)
        api = await stack.start("api", ready=True, **variables)
        async with httpx.AsyncClient(auth=(stack.write_key, ""), timeout=15) as client:
            answer = await client.post(f"{ingest.url}/v1/batch", json={"batch": events})
        assert answer.status_code == 200, answer.text

        async with stack.api(api) as reader:

            async def counted() -> bool:
                return bool((await reader.get("/v1/phases/counts")).json()["customers"] == 1)

            await until(counted, what="the customer")
        listed = await command("rejected", "list", "--json")
        assert listed.status == 0, listed.err
        assert "missing_id" in listed.out
        unlinked = await command("identity", "unlink", "a-1", "ada", "--workspace", stack.workspace)
        assert unlinked.status == 0, unlinked.err
    finally:
        await stack.stop()


async def test_a_service_says_why_it_does_not_get_in(
    broker: SecureBroker, database: str, topics: Topics, tmp_path: Path
) -> None:
    servers = replace(broker.by_kind["PLAIN"], ca_file=broker.stranger)
    stack = Stack(servers.bootstrap, database, topics.touchpoints, topics.rejected, tmp_path)
    try:
        ingest = await stack.start("ingest", ready=False, **environment(servers))

        async def says_why() -> bool:
            return "CERTIFICATE_VERIFY_FAILED" in ingest.child.tail(50)

        await until(says_why, what=lambda: ingest.child.tail(50))
        assert PASSWORD not in ingest.child.tail(200)
    finally:
        await stack.stop()
