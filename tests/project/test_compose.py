"""docker-compose.yml, checked without an engine: its schema, and that everything it names exists and fits."""

import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.support.kustomize import build
from throughline.kit import settings
from throughline.store.roles import Role

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS: dict[str, type[settings.ServiceSettings]] = {
    "ingest": settings.IngestSettings,
    "stager": settings.StagerSettings,
    "api": settings.ApiSettings,
}
JOBS = {"migrate", "first-run", "admin"}
"""What runs once, or when it is asked for."""
VARIABLE = re.compile(r"\$\{(\w+)(:[-?][^}]*)?\}")
EXAMPLE = dict(
    line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")
)


CLUSTER: dict[str, Any] = {
    each["metadata"]["name"].removeprefix("throughline-"): each["spec"]["template"]["spec"]["containers"][0]
    for each in build(ROOT / "deploy" / "kubernetes" / "base")
    if each["kind"] == "Deployment"
}


def interpolated(value: str) -> str:
    """The value with variables replaced as compose does, by those of .env.example."""
    return VARIABLE.sub(lambda match: EXAMPLE[match[1]], value)


def check_schema(file: Path) -> subprocess.CompletedProcess[str]:
    """Check a file against the schema of the compose specification that check-jsonschema contains."""
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_it_is_a_valid_compose_file(tmp_path: Path) -> None:
    checked = check_schema(ROOT / "docker-compose.yml")
    assert checked.returncode == 0, checked.stdout
    misspelt = tmp_path / "docker-compose.yml"
    misspelt.write_text("services: {api: {image: x, comand: []}}")
    assert check_schema(misspelt).returncode == 1


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_pinned_watched_and_confined(name: str) -> None:
    service = SERVICES[name]
    image, _, tag = service["image"].rpartition(":")
    assert image, f"{name}: the image has no tag"
    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-[a-z]+)?", tag), f"{name}: {tag} is not one version"
    if name in JOBS:
        assert service["restart"] == "no"
    else:
        assert service["restart"] == "unless-stopped"
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL")
        assert service["healthcheck"].keys() >= {"interval", "timeout", "retries", "start_period"}
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service.get("read_only") is True or name == "kafka"
    assert not service.get("privileged")
    assert service["deploy"]["resources"]["limits"].keys() == {"memory"}
    for port in service.get("ports", []):
        assert port.startswith("${BIND:-127.0.0.1}:"), f"{name}: {port} listens beyond this machine by default"


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_depends_on_is_waited_for(name: str) -> None:
    for other, how in SERVICES[name].get("depends_on", {}).items():
        assert other in SERVICES
        assert how == {"condition": "service_completed_successfully" if other in JOBS else "service_healthy"}


@pytest.mark.parametrize("name", OURS)
def test_our_services_are_started_as_everywhere_else(name: str) -> None:
    service = SERVICES[name]
    assert service["command"] == ["python", "-m", f"services.{name}"]
    assert (ROOT / "services" / name / "__main__.py").exists(), f"`python -m services.{name}` has nothing to run"
    assert (ROOT / service["build"]["context"] / service["build"]["dockerfile"]).exists()
    # The first run waits for the tables, and the api for the first run.
    assert set(service["depends_on"]) == {"kafka", "first-run" if name == "api" else "migrate"}


@pytest.mark.parametrize("name", OURS)
def test_our_services_get_settings_that_they_know(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {key: interpolated(value) for key, value in SERVICES[name]["environment"].items()}
    unknown = {key.lower() for key in environment} - OURS[name].model_fields.keys()
    assert not unknown, f"{name}: throughline/kit/settings.py knows no {sorted(unknown)}"
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    read = settings.load(OURS[name])
    assert read.kafka in SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert Role[name.upper()] == urlsplit(read.database_url).username

    check = shlex.join(SERVICES[name]["healthcheck"]["test"])
    assert f"http://127.0.0.1:{read.port}/readyz" in check
    assert read.port == OURS[name].model_fields["port"].default
    for port in SERVICES[name].get("ports", []):
        assert port.endswith(f":{read.port}")
    assert "tmp" in str(SERVICES[name]["tmpfs"]), "the root is read-only; temporary files need a place"


def test_each_user_of_the_database_has_the_password_that_migrate_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    postgres = {key: interpolated(value) for key, value in SERVICES["postgres"]["environment"].items()}
    migrating = {key: interpolated(value) for key, value in SERVICES["migrate"]["environment"].items()}
    for key, value in migrating.items():
        monkeypatch.setenv(key, value)
    passwords = settings.load(settings.MigrateSettings).model_dump(exclude={"citus"})
    owner = urlsplit(migrating["DATABASE_URL"])
    assert (owner.username, owner.password) == (postgres["POSTGRES_USER"], postgres["POSTGRES_PASSWORD"])
    for role in Role:
        database = urlsplit(interpolated(SERVICES[role.service]["environment"]["DATABASE_URL"]))
        assert (database.username, database.password) == (role, passwords.pop(f"{role.service}_db_password"))
        assert (database.hostname, database.path) == ("postgres", "/" + postgres["POSTGRES_DB"])
        assert postgres["POSTGRES_PASSWORD"] not in SERVICES[role.service]["environment"].values()
    assert not passwords


def test_variables_are_documented_and_passwords_are_asked_for() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    used = {match[1]: match[2] or "" for match in VARIABLE.finditer(text)}
    assert used.keys() == EXAMPLE.keys()
    for name, default in used.items():
        if name.endswith("PASSWORD"):
            assert default.startswith(":?"), f"{name} needs a value of its own"
        else:
            assert default == f":-{EXAMPLE[name]}", f"{name}: .env.example and docker-compose.yml differ"
    # It holds passwords.
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_volumes_hold_what_must_stay() -> None:
    mounts = [volume.split(":") for service in SERVICES.values() for volume in service.get("volumes", [])]
    for source, target, *_ in mounts:
        if source.startswith("."):
            assert (ROOT / source).exists(), f"{source} is mounted but is not there"
        else:
            assert source in COMPOSE["volumes"]
            assert target
    assert {mount[0] for mount in mounts} >= COMPOSE["volumes"].keys()
    # From version 18 on the image stores its data below this folder, by major version.
    assert SERVICES["postgres"]["volumes"] == ["postgres-data:/var/lib/postgresql"]
    kafka = SERVICES["kafka"]
    assert kafka["volumes"] == [f"kafka-data:{kafka['environment']['KAFKA_LOG_DIRS']}"]


def test_the_limits_fit_what_the_services_may_hold() -> None:
    """As in a cluster (test_kubernetes.py)."""
    for name in OURS:
        limit = interpolated(SERVICES[name]["deploy"]["resources"]["limits"]["memory"])
        assert limit == CLUSTER[name]["resources"]["limits"]["memory"].removesuffix("i"), name
    assert EXAMPLE["INGEST_WORKERS"] == "1"


def test_alerts_reach_somebody_by_how_bad_they_are() -> None:
    prometheus = yaml.safe_load((ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text())
    ((target,),) = (each["targets"] for each in prometheus["alerting"]["alertmanagers"][0]["static_configs"])
    name, port = target.split(":")
    assert any(published.endswith(f":{port}") for published in SERVICES[name]["ports"])
    config = yaml.safe_load((ROOT / "deploy" / "alertmanager" / "alertmanager.yml").read_text())
    rules = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    alerts = [rule for group in rules["groups"] for rule in group["rules"] if "alert" in rule]
    receivers = {receiver["name"] for receiver in config["receivers"]}
    routes = {route["matchers"][0]: route["receiver"] for route in config["route"]["routes"]}
    routed = {severity: routes.get(f'severity="{severity}"', config["route"]["receiver"]) for severity in receivers}
    assert routed == {alert["labels"]["severity"]: alert["labels"]["severity"] for alert in alerts}
    named = re.findall(r'alertname="(\w+)"', str(config["inhibit_rules"]))
    assert set(named) <= {alert["alert"] for alert in alerts}


def test_kafka_is_the_version_of_make_run() -> None:
    version = SERVICES["kafka"]["image"].rpartition(":")[2]
    jars = (ROOT / "throughline" / "local" / "kafka-jars.txt").read_text()
    assert f"org.apache.kafka:kafka_2.13:{version} " in jars


def test_the_image_is_built_from_the_lock_by_a_user_without_rights() -> None:
    lines = (ROOT / "deploy" / "Dockerfile").read_text().replace("\\\n", " ").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("#"))
    stages = re.split(r"^FROM ", text, flags=re.MULTILINE)[1:]
    assert len(stages) == 2
    assert all(re.match(r"python:3\.\d+\.\d+-slim", stage) for stage in stages)
    installs = re.findall(r"pip install [^&\n]*", text)
    assert all("--require-hashes" in line or "--no-index" in line for line in installs), installs
    assert re.search(r"^USER \d+:\d+$", stages[-1], re.MULTILINE)
    assert "STOPSIGNAL SIGTERM" in stages[-1]
    assert "HEALTHCHECK" in stages[-1]
    assert "/readyz" in stages[-1]
    assert "apt-get" not in text
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    allowed = {line[1:] for line in ignore if line.startswith("!")}
    for sources in re.findall(r"^COPY (?!--)(.+) \S+$", text, re.MULTILINE):
        for source in sources.split():
            assert (ROOT / source).exists(), f"the Dockerfile copies {source}"
            assert source in allowed, f".dockerignore keeps {source} out of the build"
