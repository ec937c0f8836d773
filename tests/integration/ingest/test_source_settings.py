"""What a source's owner sets, from the command line to what clients are answered."""

import json
import re
from typing import Any

import httpx
import pytest

from tests.conftest import Topics
from tests.support.command import Throughline
from tests.support.stack import Stack, until
from tests.support.topic import read_rejected, read_touchpoints

EVENT = {"type": "track", "event": "Product Viewed", "userId": "ada", "timestamp": "2026-11-23T20:00:00Z"}


@pytest.fixture
async def throughline(database: str) -> Throughline:
    command = Throughline(database)
    await command("workspace", "create", "till")
    await command("source", "create", "till", "web")
    return command


async def test_settings_are_set_shown_and_taken_back(throughline: Throughline) -> None:
    origins = ("--origin", "https://shop.example", "--origin", "https://*.shop.example:8443")
    done = await throughline("source", "set", "till", "web", "--app-id", "shop-web", *origins, "--rate", "5")
    assert done.status == 0, done.err
    shown = await throughline("source", "show", "till", "web", "--json")
    assert shown.json == {
        "app_id": "shop-web",
        "origins": ["https://shop.example", "https://*.shop.example:8443"],
        "rate_events": 5,
        "rate_burst": None,
        "ip": "shorten",
        "consent": "off",
        "webhook_secret": False,
        "order_scope": None,
        "fold_case": False,
        "no_visit_hosts": None,
        "drop_fields": None,
        "hash_fields": None,
        "strip_queries": None,
    }
    assert (
        "https://shop.example, https://*.shop.example:8443" in (await throughline("source", "show", "till", "web")).out
    )
    await throughline("source", "set", "till", "web", "--unset", "origin", "--unset", "rate", "--burst", "9")
    shown = await throughline("source", "show", "till", "web", "--json")
    assert shown.json == {
        "app_id": "shop-web",
        "origins": None,
        "rate_events": None,
        "rate_burst": 9,
        "ip": "shorten",
        "consent": "off",
        "webhook_secret": False,
        "order_scope": None,
        "fold_case": False,
        "no_visit_hosts": None,
        "drop_fields": None,
        "hash_fields": None,
        "strip_queries": None,
    }


async def test_a_secret_is_set_and_never_shown(throughline: Throughline) -> None:
    for secret, typed in (("s3cret", ""), ("-", "s3cret\n")):
        assert (await throughline("source", "set", "till", "web", "--webhook-secret", secret, typed=typed)).status == 0
        for options in ((), ("--json",)):
            shown = await throughline("source", "show", "till", "web", *options)
            assert "s3cret" not in shown.out
            assert shown.json["webhook_secret"] is True if options else re.search(r"webhook-secret +set", shown.out)
        await throughline("source", "set", "till", "web", "--unset", "webhook-secret")
        assert "not set" in (await throughline("source", "show", "till", "web")).out


@pytest.mark.parametrize(
    ("words", "status", "says"),
    [
        ((), 2, "nothing to set"),
        (("--webhook-secret", "two words"), 1, "without spaces"),
        (("--webhook-secret", ""), 1, "the webhook secret has 0 characters"),
        (("--rate", "5", "--unset", "rate"), 2, "contradict"),
        (("--rate", "-1"), 1, "rate_events is -1; it lies between 0 and"),
        (("--burst", "0"), 1, "rate_burst is 0; it lies between 1 and"),
        (("--origin", "https://shop.example/cart"), 1, "'https://shop.example/cart' is not an origin"),
        (("--origin", "shop.example"), 1, "it looks like https://shop.example"),
        (("--ip", "hide"), 1, "ip is 'hide'; it is one of shorten, drop, keep"),
        (("--app-id", "a:b"), 1, "it has a colon"),
        (("--app-id", "shop123"), 1, "one has 8 characters or more"),
        (("--drop", "traits..email"), 1, "'traits..email' names no field: it looks like email, traits.email"),
        (("--hash", "userId"), 1, "'userId' is an id"),
        (("--drop", "properties"), 1, "name one of them, such as properties.email"),
        (("--app-id", ""), 1, "cannot be the name of a client app"),
        (("--unset", "everything"), 2, "app-id"),
    ],
)
async def test_what_cannot_be_set_is_said(
    throughline: Throughline, words: tuple[str, ...], status: int, says: str
) -> None:
    result = await throughline("source", "set", "till", "web", *words)
    assert result.status == status
    assert says in " ".join(result.err.replace("│", " ").split())


async def test_an_app_id_names_one_source_and_is_no_key(throughline: Throughline) -> None:
    await throughline("source", "create", "till", "app")
    assert (await throughline("source", "set", "till", "web", "--app-id", "the-shop")).status == 0
    again = await throughline("source", "set", "till", "app", "--app-id", "the-shop")
    assert again.status == 1
    assert "another source has the app id 'the-shop' already" in again.err
    key = (await throughline("key", "create", "--workspace", "till", "--source", "web")).out.strip()
    assert "is a write key" in (await throughline("source", "set", "till", "app", "--app-id", key)).err


@pytest.mark.parametrize("overlap", ["soon", "1.5h", "-1h", "5"])
async def test_an_overlap_is_a_span(throughline: Throughline, overlap: str) -> None:
    key = (await throughline("key", "create", "--workspace", "till", "--source", "web")).out.strip()
    result = await throughline("key", "rotate", key, f"--overlap={overlap}")
    assert result.status == 2
    assert "90s, 30m, 24h or 7d" in result.err


@pytest.mark.parametrize(("mode", "expected"), [(None, "81.2.69.0"), ("drop", None), ("keep", "81.2.69.160")])
async def test_addresses_are_kept_as_the_source_says(
    stack: Stack, throughline: Throughline, topics: Topics, mode: str | None, expected: str | None
) -> None:
    key = (await throughline("key", "create", "--workspace", "till", "--source", "web")).out.strip()
    if mode is not None:
        await throughline("source", "set", "till", "web", "--ip", mode)
    ingest = await stack.start("ingest")
    good = EVENT | {"messageId": "m", "context": {"ip": "81.2.69.160", "locale": "de"}}
    async with httpx.AsyncClient(base_url=ingest.url) as client:
        batch = {"batch": [good, {name: value for name, value in good.items() if name != "event"}]}
        assert (await client.post("/v1/batch", json=batch, auth=(key, ""))).json()["rejected"] == 1
    (touchpoint,) = await read_touchpoints(stack.kafka, topics.touchpoints, topics.partitions)
    assert json.loads(touchpoint.rest)["context"].get("ip") == expected
    (refused,) = await read_rejected(stack.kafka, topics.rejected, topics.partitions)
    assert json.loads(refused.payload)["context"]["ip"] == (expected or "")


async def test_hosts_of_a_workspace_open_no_visit_for_its_sources(
    stack: Stack, throughline: Throughline, topics: Topics
) -> None:
    await throughline("source", "create", "till", "app")
    await throughline("workspace", "create", "elsewhere")
    await throughline("source", "create", "elsewhere", "site")
    hosts = ("--no-visit-host", "pay.bank.example", "--no-visit-host", "till.bank.example")
    assert (await throughline("workspace", "set", "till", *hosts)).status == 0
    assert (await throughline("source", "set", "till", "web", "--no-visit-host", "login.example")).status == 0
    keys = {
        source: (await throughline("key", "create", "--workspace", workspace, "--source", source)).out.strip()
        for workspace, source in (("till", "web"), ("till", "app"), ("elsewhere", "site"))
    }
    ingest = await stack.start("ingest")
    async with httpx.AsyncClient(base_url=ingest.url) as client:
        for source, key in keys.items():
            batch = [
                {**EVENT, "messageId": f"{source} {host}", "context": {"page": {"referrer": f"https://{host}/back"}}}
                for host in ("pay.bank.example", "a.till.bank.example", "login.example", "bank.example")
            ]
            assert (await client.post("/v1/batch", json={"batch": batch}, auth=(key, ""))).status_code == 200
    touchpoints = await read_touchpoints(stack.kafka, topics.touchpoints, topics.partitions)
    assert len(touchpoints) == 12
    assert {touchpoint.message_id for touchpoint in touchpoints if touchpoint.channel != "referral"} == {
        "web pay.bank.example",
        "web a.till.bank.example",
        "web login.example",
        "app pay.bank.example",
        "app a.till.bank.example",
    }


async def test_hosts_of_a_workspace_are_listed_and_taken_back(throughline: Throughline) -> None:
    await throughline("workspace", "set", "till", "--no-visit-host", "pay.bank.example", "--min-cell", "5")
    (listed,) = (await throughline("workspace", "list", "--json")).json
    assert (listed["no_visit_hosts"], listed["min_cell"]) == (["pay.bank.example"], 5)
    wrong = await throughline("workspace", "set", "till", "--no-visit-host", "https://pay.bank.example/x")
    assert wrong.status == 1
    await throughline("workspace", "set", "till", "--unset", "no-visit-host")
    (listed,) = (await throughline("workspace", "list", "--json")).json
    assert (listed["no_visit_hosts"], listed["min_cell"]) == ([], 5)


async def test_named_fields_are_in_no_copy(stack: Stack, throughline: Throughline, topics: Topics) -> None:
    key = (await throughline("key", "create", "--workspace", "till", "--source", "web")).out.strip()
    words = ("--drop", "traits.email", "--drop", "phone", "--hash", "email", "--strip-queries", "url")
    assert (await throughline("source", "set", "till", "web", *words)).status == 0
    (listed,) = (await throughline("source", "list", "--workspace", "till", "--json")).json
    expected = {"drop": ["traits.email", "phone"], "hash": ["email"], "strip_queries": ["url"]}
    assert {name: listed[name] for name in expected} == expected
    assert "traits.email, phone" in (await throughline("source", "list")).out
    ingest = await stack.start("ingest")
    secrets = {"email": "ada@shop.example", "phone": "555", "url": "https://shop.example/?token=t0p&gclid=g"}
    good = EVENT | {"messageId": "m", "properties": secrets, "traits": secrets, "context": {"page": secrets}}
    async with httpx.AsyncClient(base_url=ingest.url) as client:
        batch = {"batch": [good, {name: value for name, value in good.items() if name != "event"}]}
        assert (await client.post("/v1/batch", json=batch, auth=(key, ""))).json()["rejected"] == 1
    (touchpoint,) = await read_touchpoints(stack.kafka, topics.touchpoints, topics.partitions)
    (refused,) = await read_rejected(stack.kafka, topics.rejected, topics.partitions)
    for copy in (touchpoint.rest, refused.payload.decode()):
        assert not any(secret in copy for secret in ("ada@", "555", "t0p"))
        kept = json.loads(copy)
        assert kept["properties"]["email"].startswith("hmac:")
        assert kept["properties"]["email"] == kept["context"]["page"]["email"]
        assert kept["traits"] == {"url": "https://shop.example/?gclid=g"}


async def test_ingest_keeps_to_them(stack: Stack, throughline: Throughline) -> None:
    old = (await throughline("key", "create", "--workspace", "till", "--source", "web")).out.strip()
    origin = ("--origin", "https://shop.example", "--origin", "https://*.shop.example")
    await throughline("source", "set", "till", "web", "--app-id", "shop-web", *origin)
    ingest = await stack.start("ingest", KEYS_REFRESH_SECONDS="0.2")
    async with httpx.AsyncClient(base_url=ingest.url) as client:

        async def send(key: str, number: int = 1, **headers: str) -> httpx.Response:
            body: dict[str, Any] = {"batch": [EVENT | {"messageId": f"m{i}"} for i in range(number)]}
            return await client.post("/v1/batch", json=body, auth=(key, ""), headers=headers)

        assert (await send(old)).status_code == 200  # a server says no origin
        assert (await send("shop-web")).status_code == 401  # an app id opens the paths of Snowplow's trackers
        for fine in ("https://shop.example", "https://www.shop.example", "https://a.b.shop.example"):
            assert (await send(old, Origin=fine)).status_code == 200
        for other in ("https://shop.example.evil", "http://shop.example", "https://evilshop.example", "null"):
            refused = await send(old, Origin=other)
            assert (refused.status_code, refused.json()["code"]) == (403, "origin_not_allowed")
            assert refused.headers["access-control-allow-origin"] == other  # so that the page can read why
        # A browser asks for an image without an Origin.
        pixel = "/i?e=pv&aid=shop-web&duid=b1c0f4"
        for headers, status in (
            ({}, 200),
            ({"Referer": "https://www.shop.example/cart"}, 200),
            ({"Sec-Fetch-Site": "same-origin"}, 200),
            ({"Referer": "https://shop.example.evil/"}, 403),
            ({"Sec-Fetch-Site": "cross-site"}, 403),
        ):
            assert (await client.get(pixel, headers=headers)).status_code == status, headers
        await throughline("source", "set", "till", "web", "--rate", "1", "--burst", "3")

        async def limited() -> bool:
            return (await send(old, 10)).status_code == 429

        await until(limited, what=lambda: "the source's own rate")
        await throughline("source", "set", "till", "web", "--unset", "rate")

        result = await throughline("key", "rotate", old, "--overlap", "4s")
        assert result.status == 0, result.err
        assert "is taken until" in result.err
        new = result.out.strip()

        async def both() -> bool:
            return {(await send(key)).status_code for key in (old, new)} == {200}

        async def only_new() -> bool:
            return [(await send(key)).status_code for key in (old, new)] == [401, 200]

        await until(both, what=lambda: "both keys")
        await until(only_new, what=lambda: "the new key only")
    late = await throughline("key", "rotate", old)
    assert "no longer taken" in late.err
