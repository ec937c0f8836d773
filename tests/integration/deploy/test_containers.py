"""The containers of compose and of Kubernetes, run by their very commands and variables on a Kafka and a PostgreSQL.

Only addresses and ports are this machine's; the image itself takes an engine to build.
"""

import asyncio
import os
import re
import secrets
import shutil
import sys
import sysconfig
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import httpx
import pytest
import yaml

from tests.conftest import execute
from tests.support.kustomize import build
from tests.support.stack import ROLE_PASSWORD, until
from throughline.local import Child, LocalKafka, LocalPostgres, free_port
from throughline.store import migrate
from throughline.store.roles import Role

ROOT = Path(__file__).parents[3]
SERVICES = ("ingest", "stager", "api")
VARIABLE = re.compile(r"\$\{(\w+)(:[-?][^}]*)?\}")
SCRIPTS = sysconfig.get_path("scripts")


@dataclass
class Container:
    """A container's command and its variables, as its file has them."""

    command: list[str]
    environment: dict[str, str]
    ready_path: str = ""
    grace_seconds: float = 10.0


def of_compose() -> dict[str, Container]:
    example = (ROOT / ".env.example").read_text().splitlines()
    values = dict(line.split("=", 1) for line in example if line and not line.startswith("#"))

    def interpolated(value: str) -> str:
        return VARIABLE.sub(lambda match: values[match[1]], value)

    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    containers = {}
    for name in ("migrate", "first-run", "admin", *SERVICES):
        service = services[name]
        environment = {key: interpolated(value) for key, value in service["environment"].items()}
        command = [interpolated(word) for word in [*service.get("entrypoint", []), *service["command"]]]
        grace = float(service["stop_grace_period"].removesuffix("s"))
        containers[name] = Container(command, environment, "/readyz", grace)
    return containers


def of_kubernetes() -> dict[str, Container]:
    folder = ROOT / "deploy" / "kubernetes"
    manifests = build(folder / "overlays" / "small") + build(folder / "admin")
    manifests += list(yaml.safe_load_all((folder / "secret.yaml.example").read_text()))
    stored = {
        (each["kind"], each["metadata"]["name"]): each.get("data") or each.get("stringData", {}) for each in manifests
    }
    containers = {}
    for each in manifests:
        if each["kind"] in ("Deployment", "Job", "Pod"):
            pod = each["spec"] if each["kind"] == "Pod" else each["spec"]["template"]["spec"]
            (container,) = pod["containers"]
            environment = _environment(container, stored)
            probe = container.get("readinessProbe", {}).get("httpGet", {})
            grace = float(pod.get("terminationGracePeriodSeconds", 30))
            name = each["metadata"]["name"].removeprefix("throughline-")
            containers[name] = Container(container["command"], environment, probe.get("path", ""), grace)
    return containers


def _environment(container: Mapping[str, Any], stored: Mapping[tuple[str, str], dict[str, str]]) -> dict[str, str]:
    environment: dict[str, str] = {}
    for source in container["envFrom"]:
        ((kind, reference),) = source.items()
        environment |= stored[{"configMapRef": "ConfigMap", "secretRef": "Secret"}[kind], reference["name"]]
    for entry in container.get("env", []):
        reference = entry.get("valueFrom", {}).get("secretKeyRef")
        value = entry["value"] if reference is None else stored["Secret", reference["name"]][reference["key"]]
        environment[entry["name"]] = value
    return environment


@pytest.fixture
async def empty_database(postgres: LocalPostgres, template: str) -> AsyncIterator[str]:
    """A database without tables; afterwards the roles have the passwords of the other tests again."""
    name = f"test_{secrets.token_hex(6)}"
    await execute(postgres.url, f"create database {name}")
    yield postgres.url_of(name)
    await execute(postgres.url, f"drop database {name} with (force)")
    await migrate.upgrade(postgres.url_of(template), passwords=dict.fromkeys(Role, ROLE_PASSWORD))


class Machine:
    """Runs containers' commands here."""

    def __init__(self, kafka: str, database: str, folder: Path) -> None:
        self._kafka = kafka
        self._database = urlsplit(database)
        self._folder = folder
        self._topics = {"TOUCHPOINTS_TOPIC": f"deploy-{secrets.token_hex(6)}"}
        self._topics["REJECTED_TOPIC"] = f"{self._topics['TOUCHPOINTS_TOPIC']}.rejected"
        self._children: list[Child] = []

    def environment(self, container: Container, **others: str) -> dict[str, str]:
        environment = {**container.environment, **others}
        url = urlsplit(environment["DATABASE_URL"])
        # Only the owner's name and password are this server's: the roles have those of the files.
        user = url.netloc.rpartition("@")[0] if url.username in set(Role) else self._database.netloc.rpartition("@")[0]
        netloc = f"{user}@{self._database.hostname}:{self._database.port}"
        environment["DATABASE_URL"] = urlunsplit(url._replace(netloc=netloc, path=self._database.path))
        if "KAFKA" in environment:
            environment |= {"KAFKA": self._kafka, "HOST": "127.0.0.1", **self._topics}
        return {"PATH": f"{SCRIPTS}:{os.environ['PATH']}", "HOME": "/nonexistent", **environment}

    async def run(self, container: Container, *command: str) -> str:
        """Run a command to its end; returns its standard output."""
        words = command or container.command
        process = await asyncio.create_subprocess_exec(
            *words,
            cwd=self._folder,
            env=self.environment(container),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode == 0, err.decode()
        return out.decode()

    async def start(self, name: str, container: Container, port: int, metrics_port: int) -> Child:
        command = shutil.which(container.command[0], path=SCRIPTS)
        assert command is not None
        environment = self.environment(container, PORT=str(port), METRICS_PORT=str(metrics_port))
        child = Child(
            name,
            [command, *container.command[1:]],
            log=self._folder / f"{name}.log",
            env=environment,
            cwd=ROOT,
            grace_s=container.grace_seconds,
        )
        self._children.append(child)
        await child.start()
        return child

    async def stop(self) -> None:
        for child in self._children:
            await child.stop()


@pytest.mark.parametrize("containers", [of_compose(), of_kubernetes()], ids=["compose", "kubernetes"])
async def test_from_an_empty_database_to_a_journey(
    containers: dict[str, Container], kafka: LocalKafka, empty_database: str, tmp_path: Path
) -> None:
    machine = Machine(kafka.bootstrap, empty_database, tmp_path)
    ports = {name: (free_port(), free_port()) for name in SERVICES}
    try:
        await machine.run(containers["migrate"])
        children = {name: await machine.start(name, containers[name], *ports[name]) for name in SERVICES}
        async with httpx.AsyncClient(timeout=5) as client:
            for name, child in children.items():
                ready = partial(_is_ready, client, containers[name], ports[name][0], child)
                await until(ready, what=name, seconds=60)
                metrics = await client.get(f"http://127.0.0.1:{ports[name][1]}/metrics")
                assert "throughline_build_info{" in metrics.text
                assert (await client.get(f"http://127.0.0.1:{ports[name][0]}/metrics")).status_code == 404
            await _send_and_see(machine, containers, client, ports)
        for name, child in children.items():
            await child.stop()
            assert await child.wait() == 0, f"{name} had to be killed:\n{child.tail(20)}"
    finally:
        await machine.stop()


async def _is_ready(client: httpx.AsyncClient, container: Container, port: int, child: Child) -> bool:
    assert child.running, child.tail(40)
    try:
        return (await client.get(f"http://127.0.0.1:{port}{container.ready_path}")).status_code == 200
    except httpx.HTTPError:
        return False


async def _send_and_see(
    machine: Machine, containers: dict[str, Container], client: httpx.AsyncClient, ports: dict[str, tuple[int, int]]
) -> None:
    """The first run's key and token work; a second run shows none; the doctor of the admin's container is content."""
    ingest, api = (f"http://127.0.0.1:{ports[name][0]}" for name in ("ingest", "api"))
    first_run = containers.get("first-run", containers["admin"])
    command = first_run.command if first_run is not containers["admin"] else ["throughline", "init"]
    printed = await machine.run(first_run, *command)
    (key,), (token,) = re.findall(r"tlw_\w+", printed), re.findall(r"tlr_\w+", printed)
    assert "/#/open/tlc_" in printed
    assert await machine.run(first_run, *command) == ""

    event = {"userId": "ada", "event": "Order Completed", "properties": {"order_id": "1001", "total": 42.5}}

    async def taken() -> bool:
        return (await client.post(f"{ingest}/v1/track", json=event, auth=(key, ""))).status_code == 200

    async def seen() -> bool:
        answer = await client.get(f"{api}/v1/customers/ada/journey", headers={"Authorization": f"Bearer {token}"})
        return answer.status_code == 200 and answer.json()["phase"] == "purchase"

    await until(taken, what="ingest to know the key")
    await until(seen, what="the journey")
    await machine.run(containers["admin"], "throughline", "doctor", "--ingest-url", ingest, "--api-url", api)


async def test_health_checks_and_hooks_are_commands_of_the_image() -> None:
    """The image has Python and Debian's coreutils."""
    services = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    server = await asyncio.start_server(_answer_ok, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        for name in SERVICES:
            _, program, *words = services[name]["healthcheck"]["test"]
            assert program == "python"
            for listening, status in ((port, 0), (free_port(), 1)):
                code = [re.sub(r"127\.0\.0\.1:\d+", f"127.0.0.1:{listening}", word) for word in words]
                checking = await asyncio.create_subprocess_exec(
                    sys.executable, *code, stderr=asyncio.subprocess.DEVNULL
                )
                assert await checking.wait() == status
    for each in build(ROOT / "deploy" / "kubernetes" / "overlays" / "production"):
        if each["kind"] == "Deployment":
            (container,) = each["spec"]["template"]["spec"]["containers"]
            for hook in container.get("lifecycle", {}).values():
                assert hook["exec"]["command"][0] == "sleep"


async def _answer_ok(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readline()
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
    await writer.drain()
    writer.close()
