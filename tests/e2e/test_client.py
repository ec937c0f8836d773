"""A client made of the OpenAPI document by somebody else's generator: every call of it works."""

import importlib
import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

from tests.support.rows import AT_US, Rows
from tests.support.stack import Stack

PACKAGE = "throughline_client"
ENDLESS = "stream_counts"
"""The call whose answer never ends: a generated client waits for the end."""


@pytest.fixture
def clients() -> Iterator[list[str]]:
    """Folders on the path, taken off afterwards."""
    before = list(sys.path)
    yield sys.path
    sys.path[:] = before
    for name in [name for name in sys.modules if name.split(".")[0] == PACKAGE]:
        del sys.modules[name]


def generate(document: bytes, folder: Path) -> str:
    """Make the client of a document. Returns what the generator says."""
    (folder / "openapi.json").write_bytes(document)
    (folder / "config.yml").write_text("post_hooks: []\n")
    generator = Path(sys.executable).with_name("openapi-python-client")
    output = folder / PACKAGE
    run = subprocess.run(
        [generator, "generate", "--path", folder / "openapi.json", "--output-path", output, "--meta", "none",
         "--config", folder / "config.yml", "--fail-on-warning"],
        capture_output=True, text=True, check=False, env={**os.environ, "NO_COLOR": "1"},
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


async def test_every_call_of_a_generated_client_works(stack: Stack, tmp_path: Path, clients: list[str]) -> None:
    async with Rows(stack.database, stack.workspace_id, topic=stack.touchpoints) as rows:
        await rows.through(AT_US + 60_000_000)
        await rows.count(4, 1)
        await rows.customer("ada", [(0, 1), (10, 4)], touchpoints=2)
        await rows.execute(
            "INSERT INTO data_requests (workspace, name, digest, requested_us) VALUES ($1, 'r', $2, 1)",
            stack.workspace_id, b"0" * 16,
        )  # fmt: skip
    service = await stack.start("api")
    async with httpx.AsyncClient() as http:
        document = await http.get(f"{service.url}/openapi.json")
    output = generate(document.content, tmp_path)
    assert "WARNING" not in output
    clients.insert(0, str(tmp_path))
    authenticated: Any = importlib.import_module(f"{PACKAGE}.client").AuthenticatedClient
    async with authenticated(base_url=service.url, token=await stack.admin_token()) as client:
        await call_all(client, document.json())


async def call_all(client: Any, document: Any) -> None:
    """Call every operation of a document."""
    bodies: ModuleType = importlib.import_module(f"{PACKAGE}.models")
    instant = datetime(2026, 9, 21, 14, 13, 20, tzinfo=UTC)
    arguments: dict[str, dict[str, Any]] = {
        "get_counts": {"as_of": instant, "channel": ["direct", "email"]},
        "get_history": {"from_": instant, "step": bodies.GetHistoryStep.MINUTE},
        "get_customers_search": {"text": "ada"},
        "get_customer_referrals": {"customer": "ada"},
        "post_share": {"body": bodies.ShareBody(view="#/funnel", questions=["/v1/funnel"])},
        "post_annotation": {"body": bodies.AnnotationBody(at=instant, text="a sale")},
        "patch_annotation": {"body": bodies.AnnotationChangeBody(text="a campaign")},
        "get_customers": {"phase": ["purchase"], "seen_from": instant},
        "get_funnel_time": {"phase": "discovery"},
        "get_abandonment": {"phase": "discovery"},
        "get_abandonment_customers": {"phase": "discovery"},
        "get_abandonment_last": {"phase": "discovery"},
        "get_abandonment_last_list": {"phase": "discovery"},
        "get_abandonment_friction": {"phase": "discovery", "kind": "checkout"},
        "get_abandonment_friction_list": {"phase": "discovery"},
        "get_abandonment_visits": {"kind": "checkout", "next_": "order"},
        "get_abandonment_visits_list": {"kind": "checkout", "next_": "order"},
        "get_journey": {"customer": "ada"},
        "get_customer_journey": {"customer": "ada"},
        "post_export": {"body": bodies.PersonBody(id="ada")},
        "post_erasure": {"body": bodies.ErasureBody(id="ben", once=True)},
        "get_export": {"request": 1},
    }
    operations = {
        operation["operationId"]: operation
        for operations in document["paths"].values()
        for operation in operations.values()
    }
    tags = {name: operation["tags"][0] for name, operation in operations.items()}
    assert len(tags) > 25
    # What is changed and deleted has been made before.
    verbs = ("get", "post", "patch", "delete")
    for name in sorted(
        tags.keys() - {ENDLESS, "get_erasure", "get_shared"}, key=lambda name: (verbs.index(name.split("_")[0]), name)
    ):
        call = importlib.import_module(f"{PACKAGE}.api.{tags[name]}.{name}")
        answer = await call.asyncio_detailed(client=client, **arguments.get(name, {}))
        assert answer.status_code == 200, (name, answer.content)
        if name in ("post_annotation", "post_share"):
            what = name.removeprefix("post_")
            arguments[f"delete_{what}"] = {what: answer.parsed.id}
            arguments.setdefault(f"patch_{what}", {})[what] = answer.parsed.id
        if name == "post_share":
            shared = importlib.import_module(f"{PACKAGE}.api.{tags['get_shared']}.get_shared")
            async with type(client)(base_url=client._base_url, token=answer.parsed.token) as visitor:
                assert (await shared.asyncio_detailed(client=visitor)).status_code == 200
        schema = operations[name]["responses"]["200"]["content"]["application/json"].get("schema")
        if schema:
            assert type(answer.parsed).__name__ == schema["$ref"].rpartition("/")[2], name
    erasure = importlib.import_module(f"{PACKAGE}.api.{tags['get_erasure']}.get_erasure")
    unknown = await erasure.asyncio_detailed("none", client=client)
    assert (unknown.status_code, unknown.parsed.code) == (404, "unknown_erasure")
    history = importlib.import_module(f"{PACKAGE}.api.phases.get_history")
    parsed = await history.asyncio(client=client)
    assert parsed.steps[0].phases[0].phase == "discovery"
    customers = importlib.import_module(f"{PACKAGE}.api.customers.get_customers")
    listed = await customers.asyncio(client=client)
    assert [(item.customer, item.phase) for item in listed.items] == [("ada", "purchase")]
