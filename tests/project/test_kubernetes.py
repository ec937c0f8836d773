"""The Kubernetes manifests, as kustomize builds them: valid by the schemas, and fitting together and the services."""

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
import yaml
from cloudcoil.models.keda.v1alpha1 import ScaledObject
from cloudcoil.models.prometheus_operator.v1 import PrometheusRule, ServiceMonitor
from pydantic import BaseModel, ValidationError

from services.stager.main import PARTITION_FETCH_BYTES
from tests.support.kustomize import KustomizeError, build
from throughline.kit import settings
from throughline.store.roles import Role
from tools.prometheus_rule import prometheus_rule

ROOT = Path(__file__).parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("small", "production")
KINDS: dict[str, type[settings.ServiceSettings]] = {
    "ingest": settings.IngestSettings,
    "stager": settings.StagerSettings,
    "api": settings.ApiSettings,
}
KAFKA_CLIENTS = ("ingest", "stager", "api", "admin")
OLDEST, NEWEST = "1.30", "1.36"
"""Versions of Kubernetes whose schemas the manifests are held against."""
CUSTOM: dict[str, type[BaseModel]] = {
    "ScaledObject": ScaledObject,
    "ServiceMonitor": ServiceMonitor,
    "PrometheusRule": PrometheusRule,
}
MIB = 2**20
INGEST_MIB = 130
"""What a worker of ingest needs itself (docs/operations.md)."""
STAGER_MIB = 180
"""What docs/performance.md measured of a stager."""

BUILT: dict[str, list[dict[str, Any]]] = {
    **{overlay: build(KUBERNETES / "overlays" / overlay) for overlay in OVERLAYS},
    "admin": build(KUBERNETES / "admin"),
    "secrets": list(yaml.safe_load_all((KUBERNETES / "secret.yaml.example").read_text())),
}
MANIFESTS = BUILT["production"] + BUILT["admin"] + BUILT["secrets"]


def manifest(kind: str, name: str) -> dict[str, Any]:
    (match,) = (m for m in MANIFESTS if m["kind"] == kind and m["metadata"]["name"] == name)
    return match


def secret_value(entry: dict[str, Any]) -> str:
    """The value of a variable that a container has from a key of a Secret."""
    reference = entry["valueFrom"]["secretKeyRef"]
    value: str = manifest("Secret", reference["name"])["stringData"][reference["key"]]
    return value


def test_no_secret_is_applied_with_a_folder() -> None:
    for name in ("small", "production", "admin"):
        assert not [m for m in BUILT[name] if m["kind"] == "Secret"]


@pytest.mark.parametrize("service", KINDS)
def test_a_deployment_runs_what_compose_runs_confined_and_probed(service: str) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][service]
    pod = manifest("Deployment", f"throughline-{service}")["spec"]["template"]["spec"]
    (only,) = pod["containers"]
    assert only["image"] == compose["image"]
    assert only["command"] == compose["command"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    assert only["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {mount["mountPath"] for mount in only["volumeMounts"]} == {"/tmp"}
    assert only["startupProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert only["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "http"}
    assert only["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "http"}


@pytest.mark.parametrize("service", KINDS)
def test_a_deployment_gets_settings_that_its_service_knows(service: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (only,) = manifest("Deployment", f"throughline-{service}")["spec"]["template"]["spec"]["containers"]
    environment = {entry["name"]: entry.get("value") or secret_value(entry) for entry in only["env"]}
    environment |= manifest("ConfigMap", only["envFrom"][0]["configMapRef"]["name"])["data"]
    environment |= manifest("Secret", only["envFrom"][1]["secretRef"]["name"])["stringData"]
    assert {name.lower() for name in environment} <= KINDS[service].model_fields.keys()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    read = settings.load(KINDS[service])
    assert only["ports"] == [
        {"name": "http", "containerPort": read.port},
        {"name": "metrics", "containerPort": read.metrics_port},
    ]
    annotations = manifest("Deployment", f"throughline-{service}")["spec"]["template"]["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == str(read.metrics_port)
    assert read.min_insync_replicas < read.replication_factor, "losing one broker must not stop the writers"
    assert manifest("Service", f"throughline-{service}")["spec"]["ports"][0]["port"] == read.port


def test_each_user_of_the_database_has_the_password_that_migrate_gives_it(monkeypatch: pytest.MonkeyPatch) -> None:
    pod = manifest("Job", "throughline-migrate")["spec"]["template"]["spec"]
    (only,) = pod["containers"]
    assert only["command"][:2] == ["throughline", "migrate"]
    migrating = manifest("Secret", only["envFrom"][0]["secretRef"]["name"])["stringData"]
    for key, value in migrating.items():
        monkeypatch.setenv(key, value)
    passwords = settings.load(settings.MigrateSettings).model_dump()
    for role in Role:
        database = urlsplit(manifest("Secret", f"throughline-{role.service}")["stringData"]["DATABASE_URL"])
        assert (database.username, database.password) == (role, passwords.pop(f"{role.service}_db_password"))
    assert passwords.keys() == {"citus"}
    (admin,) = manifest("Pod", "throughline-admin")["spec"]["containers"]
    assert admin["envFrom"][1]["secretRef"]["name"] == "throughline-admin"
    for confined in (only, admin):
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


def fits(quantity: str) -> int:
    """MiB of a quantity such as 512Mi."""
    assert quantity.endswith("Mi"), quantity
    return int(quantity.removesuffix("Mi"))


def container(service: str) -> dict[str, Any]:
    (only,) = manifest("Deployment", f"throughline-{service}")["spec"]["template"]["spec"]["containers"]
    return dict(only)


def test_the_limits_fit_what_the_services_may_hold() -> None:
    ingest = {entry["name"]: entry.get("value") for entry in container("ingest")["env"]}
    held = int(ingest["MEMORY_BYTES"] or 0) // MIB
    limits = {service: fits(container(service)["resources"]["limits"]["memory"]) for service in KINDS}
    assert limits["ingest"] >= int(ingest["WORKERS"] or 0) * (INGEST_MIB + 2 * held)
    partitions = int(manifest("ConfigMap", "throughline")["data"]["PARTITIONS"])
    assert limits["stager"] >= STAGER_MIB + 2 * partitions * PARTITION_FETCH_BYTES // MIB
    for service in KINDS:
        resources = container(service)["resources"]
        assert "cpu" not in resources["limits"], "a limit of the CPU stalls every request now and then"
        assert resources["requests"].keys() == {"cpu", "memory", "ephemeral-storage"}
        (volume,) = manifest("Deployment", f"throughline-{service}")["spec"]["template"]["spec"]["volumes"]
        assert fits(volume["emptyDir"]["sizeLimit"]) < fits(resources["limits"]["ephemeral-storage"])


@pytest.mark.parametrize("service", KINDS)
def test_a_pod_drains_before_it_is_killed(service: str) -> None:
    pod = manifest("Deployment", f"throughline-{service}")["spec"]["template"]["spec"]
    drain = settings.IngestSettings.model_fields["drain_seconds"].default
    pause = 0
    if service != "stager":  # nobody sends requests to a stager
        command = container(service)["lifecycle"]["preStop"]["exec"]["command"]
        assert command[0] == "sleep"
        pause = int(command[1])
        assert pause > 0
    assert pod["terminationGracePeriodSeconds"] >= pause + drain + 10


@pytest.mark.parametrize("service", KINDS)
def test_pods_are_spread_over_zones_and_hosts(service: str) -> None:
    template = manifest("Deployment", f"throughline-{service}")["spec"]["template"]
    spread = template["spec"]["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == ["topology.kubernetes.io/zone", "kubernetes.io/hostname"]
    for each in spread:
        assert each["labelSelector"]["matchLabels"] == template["metadata"]["labels"]


def test_autoscalers_own_the_number_of_ingests_and_stagers() -> None:
    hpa = manifest("HorizontalPodAutoscaler", "throughline-ingest")["spec"]
    assert "replicas" not in manifest("Deployment", "throughline-ingest")["spec"]
    assert manifest(**target_of(hpa["scaleTargetRef"]))["apiVersion"] == hpa["scaleTargetRef"]["apiVersion"]
    assert [metric["resource"]["name"] for metric in hpa["metrics"]] == ["cpu"]
    assert hpa["minReplicas"] > 1

    scaled = manifest("ScaledObject", "throughline-stager")["spec"]
    assert "replicas" not in manifest(**target_of(scaled["scaleTargetRef"]))["spec"]
    (trigger,) = (each["metadata"] for each in scaled["triggers"] if each["type"] == "kafka")
    config = manifest("ConfigMap", "throughline")["data"]
    assert config[trigger["bootstrapServersFromEnv"]]
    assert trigger["consumerGroup"] == settings.StagerSettings.model_fields["consumer_group"].default
    assert trigger["topic"] == settings.StagerSettings.model_fields["touchpoints_topic"].default
    assert scaled["minReplicaCount"] > 1
    assert scaled["maxReplicaCount"] <= int(config["PARTITIONS"])


def target_of(reference: dict[str, str]) -> dict[str, str]:
    return {"kind": reference.get("kind", "Deployment"), "name": reference["name"]}


def test_a_small_cluster_has_one_of_each() -> None:
    small = BUILT["small"]
    (config,) = (each["data"] for each in small if each["kind"] == "ConfigMap")
    assert (config["REPLICATION_FACTOR"], config["MIN_INSYNC_REPLICAS"]) == ("1", "1")
    assert [each["spec"].get("replicas", 1) for each in small if each["kind"] == "Deployment"] == [1, 1, 1]
    assert not [each for each in small if each["kind"] in CUSTOM]


def test_prometheus_scrapes_every_service_where_its_metrics_are() -> None:
    monitor = manifest("ServiceMonitor", "throughline")["spec"]
    (endpoint,) = monitor["endpoints"]
    for service in KINDS:
        chosen = manifest("Service", f"throughline-{service}")
        assert monitor["selector"]["matchLabels"].items() <= chosen["metadata"]["labels"].items()
        (port,) = (each for each in chosen["spec"]["ports"] if each["name"] == endpoint["port"])
        (metrics,) = (each for each in container(service)["ports"] if each["name"] == port["targetPort"])
        assert metrics["containerPort"] == port["port"] == container_metrics_port()


def container_metrics_port() -> int:
    return int(manifest("ConfigMap", "throughline")["data"]["METRICS_PORT"])


def test_the_cluster_has_the_alerts_of_compose() -> None:
    file = KUBERNETES / "components" / "monitoring" / "rules.yaml"
    assert file.read_text() == prometheus_rule(), "write it again: make rules"
    alerts = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
    assert manifest("PrometheusRule", "throughline")["spec"] == alerts


def test_ingresses_let_events_and_streams_through() -> None:
    for service in ("ingest", "api"):
        ingress = manifest("Ingress", f"throughline-{service}")
        ((rule,), (tls,)) = ingress["spec"]["rules"], ingress["spec"]["tls"]
        assert tls["hosts"] == [rule["host"]]
        (path,) = rule["http"]["paths"]
        backend = manifest("Service", path["backend"]["service"]["name"])["spec"]
        assert path["backend"]["service"]["port"]["name"] in {port["name"] for port in backend["ports"]}
    nginx = "nginx.ingress.kubernetes.io"
    stream = manifest("Ingress", "throughline-api")["metadata"]["annotations"]
    assert stream[f"{nginx}/proxy-buffering"] == "off"
    assert int(stream[f"{nginx}/proxy-read-timeout"]) >= 3600
    events = manifest("Ingress", "throughline-ingest")["metadata"]["annotations"]
    assert events[f"{nginx}/proxy-body-size"] == "1m"
    assert int(events[f"{nginx}/proxy-read-timeout"]) > settings.IngestSettings.model_fields["ack_seconds"].default


# --- kustomize and the schemas ----------------------------------------------------------------------------------------


def kustomizations() -> Iterator[Path]:
    return KUBERNETES.rglob("kustomization.yaml")


def test_every_file_is_in_a_kustomization() -> None:
    listed = {
        (file.parent / name).resolve()
        for file in kustomizations()
        for name in yaml.safe_load(file.read_text()).get("resources", [])
    }
    files = {path.resolve() for path in KUBERNETES.rglob("*.yaml") if path.name != "kustomization.yaml"}
    assert files <= listed


def test_the_version_is_that_of_the_project() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    for file in kustomizations():
        for image in yaml.safe_load(file.read_text()).get("images", []):
            assert image == {"name": "throughline", "newTag": version}, file


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
@pytest.mark.parametrize("name", BUILT)
def test_manifests_are_valid_by_the_schema_of_kubernetes(name: str, version: str) -> None:
    for each in BUILT[name]:
        if each["kind"] not in CUSTOM:
            kubernetes_validate.validate(each, version, strict=True)


def test_a_misspelt_manifest_is_noticed() -> None:
    misspelt = {**manifest("Deployment", "throughline-api")}
    misspelt["spec"] = {**misspelt["spec"], "replica": 2}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(misspelt, NEWEST, strict=True)
    for kind in CUSTOM:
        (good,) = (each for each in MANIFESTS if each["kind"] == kind)
        assert is_valid_custom_resource(good)
        assert not is_valid_custom_resource({**good, "spec": {**good["spec"], "misspelt": 1}})
        assert not is_valid_custom_resource({**good, "spec": 1})


def is_valid_custom_resource(resource: dict[str, Any]) -> bool:
    """Whether the operator's schema takes all of it: what it does not know is left out of its model."""
    try:
        model = CUSTOM[resource["kind"]].model_validate(resource)
    except ValidationError:
        return False
    return bool(model.model_dump(mode="json", by_alias=True, exclude_unset=True) == resource)


def test_the_tests_refuse_what_they_cannot_build(tmp_path: Path) -> None:
    for text in (
        "namePrefix: x",
        "patches: [{target: {kind: Pod}, patch: '[{op: remove, path: /spec}]'}]",
        "resources: [pod.yaml]\npatches: [{target: {kind: Pod}, patch: '[{op: add, path: /spec/x, value: 1}]'}]",
    ):
        (tmp_path / "pod.yaml").write_text("{kind: Pod, metadata: {name: x}, spec: {}}")
        (tmp_path / "kustomization.yaml").write_text(text)
        with pytest.raises(KustomizeError):
            build(tmp_path)


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
