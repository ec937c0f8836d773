"""The alerts' rules and the dashboard in a real Prometheus that scrapes the running services: no panel is empty."""

import asyncio
import json
import math
import re
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.stack import HOST, Stack, until
from throughline.local import Child, free_port

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "dashboards" / "throughline.json").read_text())
PANELS: list[dict[str, Any]] = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
LATE = "2026-01-02T00:00:00Z"


def asked(expression: str) -> str:
    """A query as Grafana sends it, with every variable at All."""
    for name, value in {"__rate_interval": "20s", "workspace": ".*", "source": ".*", "service": ".*"}.items():
        expression = expression.replace(f"${name}", value)
    assert "$" not in expression, expression
    return expression


@pytest.fixture
async def prometheus(stack: Stack) -> AsyncIterator[httpx.AsyncClient]:
    """A Prometheus of Debian, configured as compose does but for where the services are and how often it asks them."""
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    services = {name: await stack.start(name) for name in ("ingest", "stager", "api")}
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / "prometheus" / Path(file).name) for file in config["rule_files"]]
    for job in config["scrape_configs"]:
        del job["dns_sd_configs"]
        job["static_configs"] = [{"targets": [services[job["job_name"]].url.removeprefix("http://")]}]
    file = stack.folder / "prometheus.yml"
    file.write_text(yaml.safe_dump(config))
    program = shutil.which("prometheus")
    assert program, "the package prometheus is missing; tests/run installs it"
    port = free_port()
    child = Child(
        "prometheus",
        [
            program,
            f"--config.file={file}",
            f"--storage.tsdb.path={stack.folder / 'tsdb'}",
            f"--web.listen-address={HOST}:{port}",
        ],
        log=stack.folder / "prometheus.log",
        env={},
    )
    await child.start()
    try:
        async with httpx.AsyncClient(base_url=f"http://{HOST}:{port}", timeout=10) as client:
            yield client
    finally:
        await child.stop()


async def traffic(stack: Stack) -> None:
    """Events, some late, and questions, until cancelled."""
    ingest, _, api = stack.services
    async with httpx.AsyncClient(base_url=ingest.url, timeout=10) as http, stack.api(api) as questions:
        number = 0
        while True:
            number += 1
            event = {"userId": f"u{number % 4}", "event": "Product Viewed", "messageId": f"m{number}"}
            late = {"timestamp": LATE} if number % 5 == 0 else {}
            answer = await http.post("/v1/track", json={**event, **late}, auth=(stack.write_key, ""))
            assert answer.status_code == 200, answer.text
            assert (await questions.get("/v1/phases/counts")).status_code == 200
            assert (await questions.get("/v1/customers/u1")).status_code in (200, 404)  # 404: not counted yet
            await asyncio.sleep(0.1)


async def test_no_panel_is_empty_and_every_rule_works(stack: Stack, prometheus: httpx.AsyncClient) -> None:
    sending = asyncio.create_task(traffic(stack))
    empty: list[str] = []

    async def all_drawn() -> bool:
        if sending.done():
            sending.result()
        empty.clear()
        for panel in PANELS:
            for target in panel["targets"]:
                try:
                    answer = await prometheus.get("/api/v1/query", params={"query": asked(target["expr"])})
                except httpx.TransportError as error:
                    empty.append(f"Prometheus: {error!r}")
                    return False
                if answer.status_code == 503:  # it reads its store first
                    empty.append(f"Prometheus: {answer.text}")
                    return False
                assert answer.status_code == 200, (panel["title"], answer.text)
                values = [float(sample["value"][1]) for sample in answer.json()["data"]["result"]]
                if not any(math.isfinite(value) for value in values):
                    empty.append(f"{panel['title']}: {target['expr']}")
        return not empty

    await until(all_drawn, seconds=60, what=lambda: "\n".join(["a value of:", *empty]))
    groups = (await prometheus.get("/api/v1/rules")).json()["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) > 30
    for rule in rules:
        assert (rule["health"], rule.get("lastError", "")) == ("ok", ""), rule
        assert rule.get("state") != "firing", rule
    for variable in DASHBOARD["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"])
            assert match is not None
            selected = {"match[]": asked(match[1])}
            assert (await prometheus.get(f"/api/v1/label/{match[2]}/values", params=selected)).json()["data"]
    sending.cancel()
