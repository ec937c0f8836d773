"""Prometheus and Grafana query metrics that exist, and find what they watch."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.support.anchors import anchors
from tests.support.metrics import declared_metrics
from throughline.kit import settings

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
KINDS: dict[str, type[settings.ServiceSettings]] = {
    "ingest": settings.IngestSettings,
    "stager": settings.StagerSettings,
    "api": settings.ApiSettings,
}
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
