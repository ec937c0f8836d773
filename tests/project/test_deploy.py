"""Prometheus and Grafana query metrics that exist, and the Kubernetes manifests fit together."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.metrics import declared_metrics
from throughline.kit import settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KINDS: dict[str, type[settings.ServiceSettings]] = {
    "ingest": settings.IngestSettings,
    "stager": settings.StagerSettings,
    "api": settings.ApiSettings,
}
ALERTS = [
    rule
    for group in yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "throughline.json").read_text())
METRIC = re.compile(r"\bthroughline_\w+")
SELECTED = re.compile(r"\b(throughline_\w+)\{([^}]*)\}")


def queries(panels: list[dict[str, Any]]) -> Iterator[str]:
    for panel in panels:
        for target in panel.get("targets", []):
            yield target["expr"]
        yield from queries(panel.get("panels", []))


def expressions() -> list[str]:
    return [rule["expr"] for rule in ALERTS] + list(queries(DASHBOARD["panels"]))


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
    names = [rule["alert"] for rule in ALERTS]
    assert len(set(names)) == len(names)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]
        assert f"`{rule['alert']}`" in operations, f"docs/operations.md does not say what to do about {rule['alert']}"
    for name in re.findall(r"`(Throughline\w+)`", operations):
        assert name in names, f"docs/operations.md explains {name}, which no rule raises"


def test_prometheus_scrapes_every_service_where_it_listens() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    assert {job["job_name"] for job in config["scrape_configs"]} == KINDS.keys()
    for job in config["scrape_configs"]:
        (discovery,) = job["dns_sd_configs"]
        assert discovery["names"] == [job["job_name"]]
        assert str(discovery["port"]) == compose[job["job_name"]]["environment"]["PORT"]
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
    assert container["ports"] == [{"name": "http", "containerPort": read.port}]
    assert read.min_insync_replicas < read.replication_factor, "losing one broker must not stop the writers"
    assert manifest("Service", f"throughline-{service}")["spec"]["ports"][0]["port"] == read.port


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
