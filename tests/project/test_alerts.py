"""Each alert fires when it should, and only then: promtool runs the rules over a made-up day of a deployment."""

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.anchors import anchors
from tests.support.metrics import declared_metrics

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "alerts.yml"
ALL_RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]
]
ALERTS = [rule for rule in ALL_RULES if "alert" in rule]
DAY = 24 * 60
NOON = DAY + 60
"""The minute at which something goes wrong."""
MINUTES = NOON + DAY + 120
BEFORE = 2 * 60
"""How much of the health before it a scenario that ends within hours is given: evaluating takes long."""
ALWAYS = range(MINUTES)
HALF_AN_HOUR = range(NOON, NOON + 30)
SHOWN = ("alertname", "service", "workspace", "source", "status", "reason")
PAYS = {"workspace": "1", "source": "pos"}
Firing = set[tuple[str, ...]]


def series(name: str, **labels: str) -> str:
    assert name == "up" or set(labels) - {"instance", "job"} <= declared_metrics()[name], (
        f"{name} has no labels {sorted(labels)}"
    )
    return name + "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items()) + "}"


class World:
    """What Prometheus scraped of a deployment, minute by minute: two ingests, two stagers, one api, two sources."""

    def __init__(self) -> None:
        self.increments: dict[str, list[float]] = {}
        self.values: dict[str, list[float | None]] = {}
        self.restarts: dict[str, int] = {}
        for host in ("ingest-1", "ingest-2"):
            self.is_ready("ingest", host, kafka=1, keys=1)
            self.counts("throughline_ingest_requests_total", 500, instance=host, status="200")
            self.counts("throughline_ingest_events_total", 1000, instance=host, outcome="ok")
            self.counts("throughline_ingest_events_total", 2, instance=host, outcome="rejected")
            self.counts("throughline_ingest_events_total", 5, instance=host, outcome="dropped")
            for source, events in (("web", 960), ("pos", 40)):
                self.counts(
                    "throughline_ingest_source_events_total",
                    events,
                    instance=host,
                    workspace="1",
                    source=source,
                    outcome="ok",
                )
            self.shows("throughline_ingest_keys_age_seconds", 1, instance=host)
        for host, partitions in (("stager-1", "01"), ("stager-2", "23")):
            self.is_ready("stager", host, kafka=1, database=1)
            for partition in partitions:
                self.shows("throughline_stager_lag_seconds", 0.2, instance=host, partition=partition)
                self.shows("throughline_stager_mark_age_seconds", 0, instance=host, partition=partition)
            self.shows("throughline_stager_topic_partitions", 4, instance=host)
            self.counts("throughline_stager_records_total", 1000, instance=host, outcome="staged")
            self.counts("throughline_stager_records_total", 0, instance=host, outcome="rejected")
            self.counts("throughline_stager_visible_records_total", 999, instance=host, within_2s="true")
            self.counts("throughline_stager_visible_records_total", 1, instance=host, within_2s="false")
            for counter in ("lost_records", "recreated_partitions", "faults"):
                self.counts(f"throughline_stager_{counter}_total", 0, instance=host)
        self.is_ready("api", "api-1", database=1)
        self.counts("throughline_api_request_seconds_count", 60, instance="api-1", status="2xx", route="/v1/phases")

    def counts(self, name: str, a_minute: float, when: range = ALWAYS, /, **labels: str) -> None:
        """A counter that grows by so much a minute. One that has not grown before is born then."""
        key = series(name, **labels)
        increments = self.increments.setdefault(key, [0.0] * MINUTES)
        increments[when.start : when.stop] = [a_minute] * len(when)
        born = self.values.get(key)
        if born is None:
            self.values[key] = [None] * when.start + [0.0] * (MINUTES - when.start)

    def shows(self, name: str, value: float | None, when: range = ALWAYS, /, **labels: str) -> None:
        """A gauge; None: nothing is scraped."""
        values = self.values.setdefault(series(name, **labels), [None] * MINUTES)
        values[when.start : when.stop] = [value] * len(when)

    def is_ready(self, service: str, instance: str, when: range = ALWAYS, /, **checks: float) -> None:
        self.shows("up", 1, job="any-name", instance=instance)
        for check, value in checks.items():
            labels = {"service": service, "check": check, "job": "any-name", "instance": instance}
            self.shows("throughline_ready", value, when, **labels)

    def gone(self, *instances: str, since: int = NOON, until: int = MINUTES) -> None:
        """Nothing of these processes is scraped; back, their counters begin at 0."""
        for key, values in self.values.items():
            if any(f'instance="{instance}"' in key for instance in instances):
                values[since:until] = [None] * (until - since)
        self.restarts |= dict.fromkeys(instances, until)

    def stops(self, name: str, *, since: int = NOON, until: int = MINUTES, by: float = 0.0) -> None:
        """All counters of a name grow by a share of what they did."""
        for key, increments in self.increments.items():
            if key.startswith(name):
                increments[since:until] = [each * by for each in increments[since:until]]

    def input_series(self, begin: int, end: int) -> list[dict[str, str]]:
        return [{"series": key, "values": " ".join(self._texts(key)[begin:end])} for key in self.values]

    def _texts(self, key: str) -> list[str]:
        total, texts = 0.0, list[str]()
        restarted = next((minute for host, minute in self.restarts.items() if f'instance="{host}"' in key), None)
        for minute, value in enumerate(self.values[key]):
            if key in self.increments:
                total = self.increments[key][minute] + (0 if minute == restarted else total)
            texts.append("stale" if value is None else f"{total if key in self.increments else value:g}")
        return texts


def healthy(_: World) -> None:
    pass


# --- services ---------------------------------------------------------------------------------------------------------


def ingest_is_gone(world: World) -> None:
    world.gone("ingest-1", "ingest-2", until=NOON + 30)


def two_services_are_gone(world: World) -> None:
    world.gone("ingest-1", "ingest-2", until=NOON + 30)
    world.gone("api-1", until=NOON + 60)


def stagers_have_neither_kafka_nor_database(world: World) -> None:
    for host in ("stager-1", "stager-2"):
        world.is_ready("stager", host, HALF_AN_HOUR, kafka=0, database=0)


def stagers_have_no_database(world: World) -> None:
    for host in ("stager-1", "stager-2"):
        world.is_ready("stager", host, HALF_AN_HOUR, database=0)


def one_stager_is_gone(world: World) -> None:
    world.gone("stager-2", until=NOON + 30)
    for partition in "23":
        world.shows("throughline_stager_lag_seconds", 1, HALF_AN_HOUR, instance="stager-1", partition=partition)


def one_stager_has_no_database(world: World) -> None:
    world.is_ready("stager", "stager-2", HALF_AN_HOUR, database=0)


def one_stager_restarts(world: World) -> None:
    world.gone("stager-2", until=NOON + 2)


def one_ingest_has_no_kafka(world: World) -> None:
    world.is_ready("ingest", "ingest-2", HALF_AN_HOUR, kafka=0)


def one_ingest_crashes(world: World) -> None:
    one_ingest_is_scaled_away(world)
    world.shows("up", 0, HALF_AN_HOUR, job="any-name", instance="ingest-2")


def one_ingest_is_scaled_away(world: World) -> None:
    world.gone("ingest-2", until=NOON + 30)


def api_fails(world: World) -> None:
    world.counts(
        "throughline_api_request_seconds_count",
        10,
        HALF_AN_HOUR,
        instance="api-1",
        status="5xx",
        route="/v1/phases",
    )


# --- ingest -----------------------------------------------------------------------------------------------------------


def takes_nothing(world: World, status: str, *, share: float = 1.0, minutes: int = 30) -> None:
    for name in ("requests_total", "events_total", "source_events_total"):
        world.stops(f"throughline_ingest_{name}", until=NOON + minutes, by=1 - share)
    world.stops("throughline_stager_", until=NOON + minutes, by=1 - share)
    for host in ("ingest-1", "ingest-2"):
        labels = {"instance": host, "status": status}
        world.counts("throughline_ingest_requests_total", 500 * share, range(NOON, NOON + minutes), **labels)


def all_500(world: World) -> None:
    takes_nothing(world, "500")


def all_503(world: World) -> None:
    takes_nothing(world, "503")


def all_401(world: World) -> None:
    takes_nothing(world, "401")


def a_fiftieth_500(world: World) -> None:
    takes_nothing(world, "500", share=0.02, minutes=60)


def some_500_for_hours(world: World) -> None:
    takes_nothing(world, "500", share=0.003, minutes=6 * 60)


def a_few_500(world: World) -> None:
    takes_nothing(world, "500", share=0.0005, minutes=6 * 60)


def no_traffic(world: World) -> None:
    for name in ("throughline_ingest_requests", "throughline_ingest_events", "throughline_ingest_source"):
        world.stops(name, until=NOON + 120)
    world.stops("throughline_stager_", until=NOON + 120)


def a_quiet_night(world: World) -> None:
    world.stops("throughline_ingest_", until=NOON + 480, by=0.05)
    world.stops("throughline_stager_", until=NOON + 480, by=0.05)


def everything_is_dropped(world: World) -> None:
    for name in ("events_total", "source_events_total"):
        world.stops(f"throughline_ingest_{name}", until=NOON + 120)
    world.stops("throughline_stager_", until=NOON + 120)
    for host in ("ingest-1", "ingest-2"):
        when = range(NOON, NOON + 120)
        world.counts("throughline_ingest_events_total", 1000, when, instance=host, outcome="dropped")
        for source, events in (("web", 960), ("pos", 40)):
            labels = {"instance": host, "workspace": "1", "source": source, "outcome": "dropped"}
            world.counts("throughline_ingest_source_events_total", events, when, **labels)


def a_source_has_its_events(world: World, outcome: str | None, share: float = 1.0) -> None:
    for host in ("ingest-1", "ingest-2"):
        when = range(NOON, NOON + 120)
        labels = {"instance": host, **PAYS}
        name = "throughline_ingest_source_events_total"
        world.counts(name, 40 * (1 - share), when, **labels, outcome="ok")
        if outcome is not None:
            world.counts(name, 40 * share, when, **labels, outcome=outcome)


def one_source_is_rejected(world: World) -> None:
    a_source_has_its_events(world, "rejected")


def one_source_is_dropped(world: World) -> None:
    a_source_has_its_events(world, "dropped")


def one_source_lost_its_key(world: World) -> None:
    a_source_has_its_events(world, None)


def one_source_errs_now_and_then(world: World) -> None:
    a_source_has_its_events(world, "rejected", 0.02)


def half_of_a_source_without_consent(world: World) -> None:
    a_source_has_its_events(world, "dropped", 0.5)


def a_source_is_limited(world: World) -> None:
    labels = {"instance": "ingest-1", "reason": "rate_limited"}
    world.counts("throughline_ingest_refused_requests_total", 60, HALF_AN_HOUR, **labels)


def keys_are_stale(world: World) -> None:
    world.shows("throughline_ingest_keys_age_seconds", 400, HALF_AN_HOUR, instance="ingest-1")


# --- stager -----------------------------------------------------------------------------------------------------------


def nothing_is_staged(world: World) -> None:
    world.stops("throughline_stager_", until=NOON + 30)
    for host, partitions in (("stager-1", "01"), ("stager-2", "23")):
        for partition in partitions:
            labels = {"instance": host, "partition": partition}
            world.shows("throughline_stager_lag_seconds", None, HALF_AN_HOUR, **labels)


def nothing_is_staged_at_a_lag_of_zero(world: World) -> None:
    world.stops("throughline_stager_", until=NOON + 30)


def a_partition_is_nobodys(world: World) -> None:
    labels = {"instance": "stager-2", "partition": "3"}
    world.shows("throughline_stager_lag_seconds", None, HALF_AN_HOUR, **labels)


def stagers_are_behind(world: World) -> None:
    labels = {"instance": "stager-2", "partition": "3"}
    world.shows("throughline_stager_lag_seconds", 60, HALF_AN_HOUR, **labels)


def late(world: World, share: float, minutes: int) -> None:
    for host in ("stager-1", "stager-2"):
        for within, each in (("true", 1 - share), ("false", share)):
            labels = {"instance": host, "within_2s": within}
            name = "throughline_stager_visible_records_total"
            world.counts(name, 1000 * each, range(NOON, NOON + minutes), **labels)


def half_are_late(world: World) -> None:
    late(world, 0.5, 60)


def some_are_late_for_hours(world: World) -> None:
    late(world, 0.05, 6 * 60)


def a_short_stall(world: World) -> None:
    late(world, 1.0, 2)


def a_burst(world: World, name: str, **labels: str) -> None:
    world.counts(name, 7, range(NOON, NOON + 1), instance="stager-1", **labels)


def undecodable(world: World) -> None:
    a_burst(world, "throughline_stager_records_total", outcome="rejected")


def faults(world: World) -> None:
    a_burst(world, "throughline_stager_faults_total")


def lost_and_restarted(world: World) -> None:
    a_burst(world, "throughline_stager_lost_records_total")
    world.gone("stager-1", since=NOON + 5, until=NOON + 7)


def lost_at_the_first_scrape(world: World) -> None:
    labels = {"instance": "stager-3"}
    world.counts("throughline_stager_lost_records_total", 0, range(NOON, MINUTES), **labels)
    world.counts("throughline_stager_lost_records_total", 7, range(NOON, NOON + 1), **labels)
    world.gone("stager-3", since=NOON + 5, until=NOON + 7)


def recreated(world: World) -> None:
    a_burst(world, "throughline_stager_recreated_partitions_total")
    world.gone("stager-1", since=NOON + 5, until=NOON + 7)


def recomputing_is_long(world: World) -> None:
    labels = {"instance": "stager-1", "partition": "0"}
    world.shows("throughline_stager_mark_age_seconds", 700, HALF_AN_HOUR, **labels)


def batches_are_retried(world: World) -> None:
    labels = {"instance": "stager-1", "reason": "database"}
    world.counts("throughline_stager_batch_retries_total", 60, HALF_AN_HOUR, **labels)


def firing(*alerts: str, **labels: str) -> Firing:
    return {(f"Throughline{alert}", *(labels.get(name, "") for name in SHOWN[1:])) for alert in alerts}


STAGERS_DOWN = firing("ServiceDown", service="stager")
ONE_STAGER = firing("FewerProcesses", service="stager")
ONE_INGEST = firing("FewerProcesses", service="ingest")
SLOWLY = firing("IngestRefusingSlowly")
SILENT = {f for source in ("web", "pos") for f in firing("SourceSilent", workspace="1", source=source)}
SCENARIOS: list[tuple[Callable[[World], None], dict[int, Firing]]] = [
    # What happens, and after how many minutes which alerts fire: these and no others.
    (healthy, {0: set(), 120: set()}),
    (
        ingest_is_gone,
        {2: firing("ServiceDown", service="ingest"), 9: firing("ServiceDown", service="ingest"), 45: set()},
    ),
    (
        two_services_are_gone,
        {
            3: firing("ServiceDown", service="ingest") | firing("ServiceDown", service="api"),
            50: firing("ServiceDown", service="api"),
            75: set(),
        },
    ),
    (stagers_have_neither_kafka_nor_database, {3: STAGERS_DOWN, 35: set()}),
    (stagers_have_no_database, {3: STAGERS_DOWN, 35: set()}),
    (one_stager_is_gone, {8: ONE_STAGER, 45: set()}),
    (one_stager_has_no_database, {8: ONE_STAGER, 45: set()}),
    (one_stager_restarts, {1: set(), 4: set(), 10: set()}),
    (one_ingest_has_no_kafka, {8: ONE_INGEST, 45: set()}),
    (one_ingest_crashes, {8: ONE_INGEST, 45: set()}),
    (one_ingest_is_scaled_away, {8: set(), 45: set()}),
    (api_fails, {5: firing("ApiFailing"), 40: set()}),
    (all_500, {5: firing("IngestRefusing"), 15: firing("IngestRefusing", "TrafficStopped")}),
    (all_503, {5: firing("IngestRefusing"), 150: SLOWLY, 450: set()}),
    (
        all_401,
        {20: firing("TrafficStopped") | firing("RequestsRefused", status="401"), 60: set()},
    ),
    (a_fiftieth_500, {10: set(), 59: firing("IngestRefusing"), 110: SLOWLY}),
    (some_500_for_hours, {30: set(), 300: firing("IngestRefusingSlowly")}),
    (a_few_500, {30: set(), 300: set()}),
    (no_traffic, {15: firing("TrafficStopped"), 60: firing("TrafficStopped") | SILENT, 180: set()}),
    (a_quiet_night, {15: set(), 120: set(), 470: set()}),
    (
        everything_is_dropped,
        {
            60: firing("TrafficStopped")
            | SILENT
            | {f for source in ("web", "pos") for f in firing("EventsDropped", workspace="1", source=source)},
            200: set(),
        },
    ),
    (one_source_is_rejected, {8: firing("EventsRejected", **PAYS), 200: set()}),
    (one_source_is_dropped, {60: firing("EventsDropped", "SourceSilent", **PAYS), 200: set()}),
    (one_source_lost_its_key, {60: firing("SourceSilent", **PAYS), 200: set()}),
    (one_source_errs_now_and_then, {60: set()}),
    (half_of_a_source_without_consent, {60: set()}),
    (a_source_is_limited, {15: firing("SourceLimited"), 45: set()}),
    (keys_are_stale, {3: firing("KeysStale"), 40: set()}),
    (nothing_is_staged, {4: firing("NotStaged"), 45: set()}),
    (nothing_is_staged_at_a_lag_of_zero, {10: firing("NotStaged"), 45: set()}),
    (a_partition_is_nobodys, {4: firing("NotStaged"), 45: set()}),
    (stagers_are_behind, {3: firing("StagerBehind"), 40: set()}),
    (half_are_late, {25: firing("CountedLate"), 95: firing("CountedLateSlowly")}),
    (some_are_late_for_hours, {30: set(), 300: firing("CountedLateSlowly")}),
    (a_short_stall, {1: set(), 10: set(), 60: set()}),
    (undecodable, {1: firing("RecordsUndecodable"), 30: firing("RecordsUndecodable"), 90: set()}),
    (faults, {1: firing("StagerFaults"), 90: set()}),
    (
        lost_and_restarted,
        {5: firing("LostRecords"), 60: firing("LostRecords"), 1300: firing("LostRecords"), 1500: set()},
    ),
    (lost_at_the_first_scrape, {1: firing("LostRecords"), 60: firing("LostRecords")}),
    (recreated, {1: firing("TopicRecreated"), 60: firing("TopicRecreated")}),
    (recomputing_is_long, {3: firing("RecomputingLong"), 40: set()}),
    (batches_are_retried, {15: firing("BatchesRetried", reason="database"), 45: set()}),
]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Debian's package `prometheus` has it; tests/run installs it."""
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False)


def test_the_rules_are_valid() -> None:
    checked = promtool("check", "rules", str(RULES))
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize(("happens", "expected"), SCENARIOS, ids=lambda value: getattr(value, "__name__", ""))
def test_alerts_fire_when_they_should(
    happens: Callable[[World], None], expected: dict[int, Firing], tmp_path: Path
) -> None:
    world = World()
    happens(world)
    begin = 0 if max(expected) > DAY else NOON - BEFORE
    asked = f"count by ({', '.join(SHOWN)}) (ALERTS{{alertstate='firing'}})"
    scenario = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m" if begin else "5m",
        "tests": [
            {
                "interval": "1m",
                "input_series": world.input_series(begin, NOON + max(expected) + 1),
                "promql_expr_test": [
                    {
                        "expr": asked,
                        "eval_time": f"{NOON + minutes - begin}m",
                        "exp_samples": [
                            {
                                "labels": series_of(dict(zip(SHOWN, values, strict=True))),
                                "value": 1,
                            }
                            for values in alerts
                        ],
                    }
                    for minutes, alerts in expected.items()
                ],
            }
        ],
    }
    file = tmp_path / "scenario.yml"
    file.write_text(json.dumps(scenario))
    tested = promtool("test", "rules", str(file))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_an_external_label_makes_the_link_of_an_alert_whole(tmp_path: Path) -> None:
    link = "docs/operations.md#throughlinekeysstale"
    expected = {"summary": "Write keys were last read 6m 40s ago."}
    stale = {"series": series("throughline_ingest_keys_age_seconds", instance="ingest-1"), "values": "400x9"}
    tests = [
        {
            "interval": "1m",
            "external_labels": labels,
            "input_series": [stale],
            "alert_rule_test": [
                {
                    "alertname": "ThroughlineKeysStale",
                    "eval_time": "3m",
                    "exp_alerts": [
                        {"exp_labels": {"severity": "ticket"}, "exp_annotations": {**expected, "runbook_url": url}}
                    ],
                }
            ],
        }
        for labels, url in (({"runbook": "https://wiki.example/"}, f"https://wiki.example/{link}"), ({}, link))
    ]
    file = tmp_path / "links.yml"
    file.write_text(json.dumps({"rule_files": [str(RULES)], "evaluation_interval": "1m", "tests": tests}))
    tested = promtool("test", "rules", str(file))
    assert tested.returncode == 0, tested.stdout + tested.stderr


def series_of(labels: dict[str, str]) -> str:
    return "{" + ", ".join(f'{key}="{value}"' for key, value in labels.items() if value) + "}"


def test_every_alert_fires_in_a_scenario() -> None:
    fired = {values[0] for _, expected in SCENARIOS for alerts in expected.values() for values in alerts}
    assert fired == {rule["alert"] for rule in ALERTS}


def test_every_alert_links_to_its_place_in_the_runbook() -> None:
    for rule in ALERTS:
        url = rule["annotations"]["runbook_url"]
        file, _, anchor = url.removeprefix("{{ $externalLabels.runbook }}").partition("#")
        assert file == "docs/operations.md"
        assert anchor in anchors((ROOT / file).read_text()), f"{file} has no heading for {rule['alert']}"


def test_every_recorded_series_asked_for_is_recorded() -> None:
    recorded = {rule["record"] for rule in ALL_RULES if "record" in rule}
    for rule in ALERTS:
        assert set(re.findall(r"throughline:\w+:\w+", rule["expr"])) <= recorded
