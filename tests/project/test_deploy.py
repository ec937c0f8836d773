"""Prometheus and Grafana query metrics that exist, and the Kubernetes manifests fit together."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import yaml

from tests.support.anchors import anchors
from tests.support.metrics import declared_metrics
from throughline.kit import settings
from throughline.store.roles import Role

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KINDS: dict[str, type[settings.ServiceSettings]] = {
    "ingest": settings.IngestSettings,
    "stager": settings.StagerSettings,
    "api": settings.ApiSettings,
}
KAFKA_CLIENTS = ("ingest", "stager", "api", "admin")
RULES = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
"""Recorded series among them."""
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "throughline.json").read_text())
METRIC = re.compile(r"\bthroughline_\w+")
SELECTED = re.compile(r"\b(throughline_\w+)\{([^}]*)\}")


def queries(panels: list[dict[str, Any]]) -> Iterator[str]:
    for panel in panels:
        for target in panel.get("targets", []):
            yield target["expr"]
        yield from queries(panel.get("panels", []))


def expressions() -> list[str]:
    return [rule["expr"] for rule in RULES] + list(queries(DASHBOARD["panels"]))


def test_every_metric_asked_for_is_declared() -> None:
    declared = declared_metrics()
    assert len(declared) > 20
    for expression in expressions():
        assert expression.count("(") == expression.count(")"), expression
        for name in METRIC.findall(expression):
            assert name in declared, f"{name} is not declared in throughline/kit/metrics.py: {expression}"
        for name, selectors in SELECTED.findall(expression):
            labels = set(re.findall(r"(\w+)\s*[=!]~?", selectors)) - {"job", "instance"}
            assert labels <= declared[name], f"{name} has the labels {sorted(declared[name])}: {expression}"


def test_labels_summed_over_exist() -> None:
    declared = declared_metrics()
    for expression in expressions():
        labels = {"job", "instance"}.union(*(declared[name] for name in METRIC.findall(expression)))
        for listed in re.findall(r"\b(?:by|without) ?\(([^)]*)\)", expression):
            assert {label.strip() for label in listed.split(",")} <= labels, expression


def test_every_alert_says_how_bad_it_is_and_is_explained() -> None:
    operations = (ROOT / "docs" / "operations.md").read_text()
    alerts = [rule for rule in RULES if "alert" in rule]
    names = [rule["alert"] for rule in alerts]
    assert len(set(names)) == len(names)
    for rule in alerts:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert rule["alert"] in operations, f"docs/operations.md does not say what to do about {rule['alert']}"
    for name in re.findall(r"\b(Throughline[A-Z]\w+)", operations):
        assert name in names, f"docs/operations.md explains {name}, which no rule raises"


def test_prometheus_scrapes_every_service_where_it_listens() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    assert {job["job_name"] for job in config["scrape_configs"]} == KINDS.keys()
    for job in config["scrape_configs"]:
        (discovery,) = job["dns_sd_configs"]
        assert discovery["names"] == [job["job_name"]]
        assert str(discovery["port"]) == compose[job["job_name"]]["environment"]["METRICS_PORT"]
    mounts = dict(volume.split(":")[:2] for volume in compose["prometheus"]["volumes"])
    for file in config["rule_files"]:
        assert (ROOT / mounts["./deploy/prometheus"].replace("/etc/prometheus", "deploy/prometheus")).is_dir()
        assert (DEPLOY / "prometheus" / Path(file).name).exists()


def test_grafana_finds_its_datasource_and_dashboard() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    mounts = dict(volume.split(":")[:2] for volume in compose["grafana"]["volumes"])
    provisioning = DEPLOY / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "throughline.yml").read_text())["providers"]
    assert provider["options"]["path"] == mounts["./deploy/grafana/dashboards"]
    assert mounts["./deploy/grafana/provisioning"] == "/etc/grafana/provisioning"
    identifiers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(identifiers)) == len(identifiers)
    for panel in DASHBOARD["panels"]:
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": source["uid"]}
            assert panel["title"]
            assert panel["description"]


def test_the_dashboard_links_the_runbook() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    mounts = dict(volume.split(":")[:2] for volume in compose["grafana"]["volumes"])
    (runbook,) = (each["query"] for each in DASHBOARD["templating"]["list"] if each["name"] == "runbook")
    assert mounts["./docs"] == f"/usr/share/grafana{runbook}docs"
    links = [*DASHBOARD["links"], *(link for panel in DASHBOARD["panels"] for link in panel.get("links", []))]
    assert len(links) > 10
    for link in links:
        file, _, anchor = link["url"].removeprefix("${runbook}").partition("#")
        assert anchor in anchors((ROOT / file).read_text()), link


# --- Kubernetes -------------------------------------------------------------------------------------------------------

MANIFESTS: list[dict[str, Any]] = [
    manifest
    for file in sorted((DEPLOY / "kubernetes").iterdir())
    for manifest in yaml.safe_load_all(file.read_text())
    if manifest
]


def manifest(kind: str, name: str) -> dict[str, Any]:
    (match,) = (m for m in MANIFESTS if m["kind"] == kind and m["metadata"]["name"] == name)
    return match


def secret_value(entry: dict[str, Any]) -> str:
    """The value of a variable that a container has from a key of a Secret."""
    reference = entry["valueFrom"]["secretKeyRef"]
    value: str = manifest("Secret", reference["name"])["stringData"][reference["key"]]
    return value


def test_the_example_secret_is_not_applied_with_the_folder() -> None:
    for file in (DEPLOY / "kubernetes").iterdir():
        holds_secret = any(m["kind"] == "Secret" for m in yaml.safe_load_all(file.read_text()) if m)
        assert not (holds_secret and file.suffix in (".yaml", ".yml", ".json")), file.name


@pytest.mark.parametrize("service", KINDS)
def test_a_deployment_runs_what_compose_runs_confined_and_probed(service: str) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][service]
    pod = manifest("Deployment", f"throughline-{service}")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == compose["image"]
    assert container["command"] == compose["command"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/tmp"}
    assert container["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]
    drain = settings.IngestSettings.model_fields["drain_seconds"].default
    assert pod["terminationGracePeriodSeconds"] > drain


@pytest.mark.parametrize("service", KINDS)
def test_a_deployment_gets_settings_that_its_service_knows(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (container,) = manifest("Deployment", f"throughline-{service}")["spec"]["template"]["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") or secret_value(entry) for entry in container["env"]}
    environment |= manifest("ConfigMap", container["envFrom"][0]["configMapRef"]["name"])["data"]
    environment |= manifest("Secret", container["envFrom"][1]["secretRef"]["name"])["stringData"]
    assert {name.lower() for name in environment} <= KINDS[service].model_fields.keys()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    read = settings.load(KINDS[service])
    assert container["ports"] == [
        {"name": "http", "containerPort": read.port},
        {"name": "metrics", "containerPort": read.metrics_port},
    ]
    annotations = manifest("Deployment", f"throughline-{service}")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(read.metrics_port)
    assert read.min_insync_replicas < read.replication_factor, "losing one broker must not stop the writers"
    assert manifest("Service", f"throughline-{service}")["spec"]["ports"][0]["port"] == read.port


def test_each_user_of_the_database_has_the_password_that_migrate_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = manifest("Job", "throughline-migrate")["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"][:2] == ["throughline", "migrate"]
    migrating = manifest("Secret", container["envFrom"][0]["secretRef"]["name"])["stringData"]
    for key, value in migrating.items():
        monkeypatch.setenv(key, value)
    passwords = settings.load(settings.MigrateSettings).model_dump()
    for role in Role:
        database = urlsplit(manifest("Secret", f"throughline-{role.service}")["stringData"]["DATABASE_URL"])
        assert (database.username, database.password) == (role, passwords.pop(f"{role.service}_db_password"))
    assert not passwords
    (admin,) = manifest("Pod", "throughline-admin")["spec"]["containers"]
    assert admin["envFrom"][1]["secretRef"]["name"] == "throughline-admin"
    for confined in (container, admin):
        assert (
            confined["image"]
            == manifest("Deployment", "throughline-api")["spec"]["template"]["spec"]["containers"][0]["image"]
        )
        assert confined["securityContext"]["readOnlyRootFilesystem"] is True


@pytest.mark.parametrize("service", KINDS)
def test_selectors_meet_their_pods(service: str) -> None:
    name = f"throughline-{service}"
    deployment = manifest("Deployment", name)["spec"]
    labels = deployment["template"]["metadata"]["labels"]
    assert deployment["selector"]["matchLabels"] == labels
    assert manifest("Service", name)["spec"]["selector"] == labels
    assert manifest("PodDisruptionBudget", name)["spec"]["selector"]["matchLabels"] == labels


def test_stagers_fit_their_partitions_and_the_autoscaler_owns_ingest() -> None:
    partitions = int(manifest("ConfigMap", "throughline")["data"]["PARTITIONS"])
    assert manifest("Deployment", "throughline-stager")["spec"]["replicas"] <= partitions
    assert "replicas" not in manifest("Deployment", "throughline-ingest")["spec"]
    target = manifest("HorizontalPodAutoscaler", "throughline-ingest")["spec"]["scaleTargetRef"]
    assert manifest(target["kind"], target["name"])["apiVersion"] == target["apiVersion"]


# --- who may reach whom -----------------------------------------------------------------------------------------------

POLICIES = [m["spec"] for m in MANIFESTS if m["kind"] == "NetworkPolicy"]
COMPONENTS = ("ingest", "stager", "api", "migrate", "admin")


def selects(policy: dict[str, Any], component: str) -> bool:
    labels = {"app.kubernetes.io/name": "throughline", "app.kubernetes.io/component": component}
    selector = policy["podSelector"]
    return all(labels[key] == value for key, value in selector["matchLabels"].items()) and all(
        labels[each["key"]] in each["values"] for each in selector.get("matchExpressions", [])
    )


def opened(component: str, direction: str) -> set[str]:
    """The ports that the policies open for a component."""
    return {
        str(port["port"])
        for policy in POLICIES
        if selects(policy, component)
        for rule in policy.get(direction, [])
        for port in rule["ports"]
    }


def test_every_pod_is_closed_but_for_what_it_needs() -> None:
    kafka = manifest("ConfigMap", "throughline")["data"]["KAFKA"].rpartition(":")[2]
    database = urlsplit(manifest("Secret", "throughline-api")["stringData"]["DATABASE_URL"]).port
    for component in COMPONENTS:
        assert any(selects(policy, component) and policy["policyTypes"] == ["Ingress", "Egress"] for policy in POLICIES)
        assert opened(component, "ingress") == {"metrics"} | ({"http"} if component in ("ingest", "api") else set())
        needed = {"53", str(database)} | ({kafka} if component in KAFKA_CLIENTS else set())
        assert opened(component, "egress") == needed | ({"http"} if component == "admin" else set())
