"""`throughline tail`, beside a running ingest: what came, what comes, and what was wrong with it."""

import asyncio
import json
import signal
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.command import Throughline
from tests.support.stack import Service, Stack
from throughline.local import free_port

EVENT = {"type": "track", "event": "Product Viewed", "userId": "ada", "timestamp": "2026-11-23T20:00:00Z"}


def environment(stack: Stack) -> dict[str, str]:
    return {"KAFKA": stack.kafka, "TOUCHPOINTS_TOPIC": stack.touchpoints, "REJECTED_TOPIC": stack.rejected}


@pytest.fixture
def throughline(stack: Stack) -> Throughline:
    command = Throughline(stack.database)
    command.environment |= environment(stack)
    return command


async def send(ingest: Service, key: str, *events: dict[str, Any]) -> None:
    async with httpx.AsyncClient() as client:
        answer = await client.post(f"{ingest.url}/v1/batch", json={"batch": list(events)}, auth=(key, ""))
    assert answer.status_code == 200, answer.text


async def test_the_last_events_of_a_source_and_what_became_of_them(stack: Stack, throughline: Throughline) -> None:
    await throughline("source", "create", stack.workspace, "app")
    app_key = (await throughline("key", "create", "--workspace", stack.workspace, "--source", "app")).out.strip()
    ingest = await stack.start("ingest")
    await send(ingest, app_key, EVENT | {"messageId": "other"})
    for number in range(5):
        await send(ingest, stack.write_key, EVENT | {"messageId": f"m{number}", "userId": f"ada{number}"})
    await send(ingest, stack.write_key, EVENT | {"messageId": "odd", "anonymousId": "null"}, {"type": "track"})

    shown = await throughline("tail", "web", "--no-follow", "--json", "-n", "4")
    assert shown.status == 0, shown.err
    lines = [json.loads(line) for line in shown.out.splitlines()]
    assert [line.get("message_id") for line in lines[:2]] == ["m3", "m4"]
    assert {line["verdict"] for line in lines[2:]} == {"warning", "rejected"}
    (odd,) = [line for line in lines if line["verdict"] == "warning"]
    assert (odd["message_id"], odd["warnings"], odd["source"]) == ("odd", ["illegal_id"], "web")
    (refused,) = [line for line in lines if line["verdict"] == "rejected"]
    assert (refused["code"], refused["field"], json.loads(refused["payload"])) == (
        "missing_field",
        "event",
        {"type": "track"},
    )
    everything = await throughline("tail", "--no-follow", "--json")
    assert len(everything.out.splitlines()) == 8
    assert not (await throughline("tail", "--no-follow", "-n", "0")).out
    crawler = {"context": {"userAgent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}}
    await send(ingest, stack.write_key, EVENT | {"messageId": "crawled"} | crawler)
    assert "warning   track 'Product Viewed'" in (last := (await throughline("tail", "--no-follow", "-n", "1")).out)
    assert last.endswith("(bot)\n")
    assert "'Product Viewed' of 'ada4', occurred 2026-11-23T20:00:00Z" in (await throughline("tail", "--no-follow")).out


async def test_what_comes_is_shown_until_it_is_ended_and_paints_nothing(stack: Stack) -> None:
    ingest = await stack.start("ingest")
    process = await asyncio.create_subprocess_exec(
        Path(sys.executable).with_name("throughline"),
        "tail",
        "web",
        env={"DATABASE_URL": stack.database, "PATH": "/usr/bin:/bin", **environment(stack)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    async with asyncio.timeout(60):
        while b"waiting for events" not in (message := await process.stderr.readline()):
            assert message, "it ended"
        await send(ingest, stack.write_key, EVENT | {"event": "\x1b[31mred\r\n"})
        line = (await process.stdout.readline()).decode()
        process.send_signal(signal.SIGINT)
        assert await process.wait() == 0
    assert "ok" in line
    assert line.rstrip("\n").isprintable()
    assert "[31mred" in line
    assert "Traceback" not in (await process.stderr.read()).decode()


async def test_what_cannot_be_tailed_is_said(stack: Stack, throughline: Throughline) -> None:
    unknown = await throughline("tail", "wob", "--no-follow")
    assert unknown.status == 1
    assert "no source 'wob'; there are: web" in unknown.err
    throughline.environment |= {"TOUCHPOINTS_TOPIC": "absent", "REJECTED_TOPIC": "absent.rejected"}
    nothing = await throughline("tail", "--no-follow")
    assert nothing.status == 1
    assert "nothing has been sent" in nothing.err
    throughline.environment["KAFKA"] = f"127.0.0.1:{free_port()}"
    away = await throughline("tail", "--no-follow")
    assert away.status == 3
    assert "cannot be read" in away.err
    assert "set KAFKA=host:port" in away.err
