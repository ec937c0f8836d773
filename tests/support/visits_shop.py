"""A real shop's visits, whose figures are known, and what the api has to answer about them."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs

import httpx

from services.api.abandonment.answers import Abandonment, Friction, LastTouchpoints, StaysInPhase, Visits
from services.api.attribution.answers import AttributedOrders, OrderPaths, Paths
from services.api.flows.answers import KindVariants, Variants
from tests.support.answers import ok
from throughline.journey.durations import SECOND_US
from throughline.kit.clock import to_us

FILE = Path(__file__).parents[1] / "fixtures" / "shop" / "visits.txt"
EVENTS = {
    "o": "home", "v": "product_view", "s": "shipping_details", "y": "payment_details", "p": "purchase",
    "e": "payment_error", "b": "checkout_bug", "c": "support_chat", "x": "error_page",
}  # fmt: skip
DEVICES = {"d": "desktop", "m": "mobile", "t": "tablet"}
END_US = to_us(datetime(2024, 7, 2, tzinfo=UTC))

MODEL = """
name = "checkout"
label = "Checkout"
[[phases]]
name = "browse"
label = "Browse"
window_days = 365
[[phases]]
name = "shipping"
label = "Shipping"
window_days = 1
[[phases]]
name = "payment"
label = "Payment"
window_days = 1
[[phases]]
name = "purchase"
label = "Purchase"
window_days = 1
[rules]
browse = [{ phase = "browse" }]
shipping_form = [{ phase = "shipping" }]
payment_form = [{ phase = "payment" }]
order = [{ phase = "purchase" }]
[kinds.shipping_form]
names = ["shipping_details"]
[kinds.payment_form]
names = ["payment_details"]
"""

BUG = {"from": "2024-04-09T00:00:00Z", "to": "2024-05-10T00:00:00Z"}
INCIDENT = {"from": "2024-05-19T00:00:00Z", "to": "2024-06-08T00:00:00Z"}
ALL = {"from": "2024-01-01T00:00:00Z", "to": "2024-07-01T00:00:00Z"}
BEFORE_AND_BETWEEN = (
    {"from": "2024-01-01T00:00:00Z", "to": "2024-04-09T00:00:00Z"},
    {"from": "2024-05-10T00:00:00Z", "to": "2024-05-19T00:00:00Z"},
    {"from": "2024-06-08T00:00:00Z", "to": "2024-07-01T00:00:00Z"},
)
"""The spans in which nothing was wrong."""


class ShopEvent(NamedTuple):
    """One event of the shop."""

    number: int
    at_us: int
    customer: str
    name: str
    device: str
    channel: str


def shop_events() -> Iterator[ShopEvent]:
    """All events, in the order of the file."""
    number = 0
    for line in FILE.read_text().splitlines():
        customer, day, time, device, channel, *events = line.split(" ")
        start_us = to_us(datetime.fromisoformat(f"{day}T{time}+00:00"))
        for event in events:
            at_us = start_us + int(event[1:]) * SECOND_US
            yield ShopEvent(number, at_us, f"user_{customer}", EVENTS[event[0]], DEVICES[device], channel)
            number += 1


async def _visits(api: httpx.AsyncClient, question: dict[str, str], device: str | None) -> dict[str, Any]:
    answer = await ok(api, "/v1/abandonment/visits", Visits, model="checkout", by="device", **question)
    parts = {part["value"]: part["count"] for part in answer["breakdown"]}
    for key in ("visits", "advanced"):
        assert sum(part[key] for part in parts.values()) == answer["total"][key]
    count: dict[str, Any] = answer["total"] if device is None else parts[device]
    return count


def _rounded(interval: dict[str, float]) -> list[float]:
    return [round(interval[key], 3) for key in ("rate", "low", "high")]


SHIPPING_TO_PAYMENT = {"kind": "shipping_form", "next": "payment_form"}
PAYMENT_TO_PURCHASE = {"kind": "payment_form", "next": "order"}
TABLE = [
    (SHIPPING_TO_PAYMENT, "mobile", (116, 150), (22, 60), (39, 51)),
    (SHIPPING_TO_PAYMENT, "desktop", (198, 228), (96, 118), (76, 87)),
    (PAYMENT_TO_PURCHASE, None, (303, 361), (121, 141), (46, 130)),
]
"""Kinds, device, and how many visits of how many went on: while nothing was wrong, with the bug, in the incident."""


async def check_the_bug_and_the_incident(api: httpx.AsyncClient) -> None:
    """Who asks by device finds the bug on mobile devices alone, and the incident on all."""
    for kinds, device, usual, with_bug, in_incident in TABLE:
        counts = [await _visits(api, kinds | span, device) for span in (*BEFORE_AND_BETWEEN, BUG, INCIDENT)]
        numbers = [(count["advanced"], count["visits"]) for count in counts]
        assert tuple(map(sum, zip(*numbers[:3], strict=True))) == usual
        assert numbers[3:] == [with_bug, in_incident]
    bug = await _visits(api, SHIPPING_TO_PAYMENT | BUG, "mobile")
    assert _rounded(bug["rate"]) == [0.367, 0.256, 0.493]
    assert bug["baseline"]["shown"]
    assert bug["baseline"]["lost"] > 20
    # Before it, mobile and desktop did not differ that much, nor did desktop itself change with the bug.
    before = SHIPPING_TO_PAYMENT | BUG | {"baseline": "previous"}
    assert (await _visits(api, before, "mobile"))["baseline"]["shown"]
    assert not (await _visits(api, before, "desktop"))["baseline"]["shown"]
    incident = await _visits(api, PAYMENT_TO_PURCHASE | INCIDENT | {"baseline": "previous"}, None)
    assert _rounded(incident["rate"]) == [0.354, 0.277, 0.439]
    assert incident["baseline"]["shown"]
    # It is on every device: none differs from the others.
    for device in ("mobile", "desktop", "tablet"):
        assert not (await _visits(api, PAYMENT_TO_PURCHASE | INCIDENT, device))["baseline"]["shown"]


async def check_friction(api: httpx.AsyncClient) -> None:
    """What went with not buying, by visit; an error page did not."""
    question = {"model": "checkout", "phase": "payment", "kind": "shipping_form", **ALL}
    answer = await ok(api, "/v1/abandonment/friction", Friction, **question)
    rows = {row["name"]: row for row in answer["rows"]}
    assert (answer["visits"], answer["advanced"]) == (798, 470)
    for name, numbers in {
        "paymenterror": (11, 95, 459, 703),
        "checkoutbug": (9, 32, 461, 766),
        "supportchat": (35, 133, 435, 665),
        "errorpage": (42, 84, 428, 714),
    }.items():
        row = rows[name]
        assert (row["advanced"], row["visits"], row["other_advanced"], row["other_visits"]) == numbers, name
    assert _rounded(rows["paymenterror"]["share"]) == [0.116, 0.066, 0.196]
    assert {name: row["shown"] for name, row in rows.items()} == {
        "paymenterror": True, "supportchat": True, "checkoutbug": False, "errorpage": False,
    }  # fmt: skip
    assert answer["rows"][0]["name"] == "paymenterror"
    assert answer["rows"][0]["difference"]["high"] < 0


async def check_stays(api: httpx.AsyncClient) -> None:
    """Stays add up, by whatever they are divided; lists are as long as their numbers; what came last adds up too."""
    question = {"model": "checkout", "phase": "payment"} | INCIDENT
    totals = []
    for by in ("source", "channel", "campaign", "device", "cycle"):
        answer = await ok(api, "/v1/abandonment", Abandonment, **question, by=by)
        for row in (answer["total"], *(part["stays"] for part in answer["breakdown"])):
            assert row["entered"] == sum(row["advanced"].values()) + row["lapsed"] + row["ended"] + row["still"]
        for key in ("entered", "lapsed", "ended", "still", "mature", "lapsed_within"):
            assert sum(part["stays"][key] for part in answer["breakdown"]) == answer["total"][key], by
        totals.append(answer["total"])
    assert all(total == totals[0] for total in totals)
    assert totals[0]["rate"]["low"] > 0.6
    previous = await ok(api, "/v1/abandonment", Abandonment, **question, baseline="previous")
    assert previous["total"]["baseline"]["shown"]
    assert previous["total"]["baseline"]["rate"]["high"] < 0.5
    device = await ok(api, "/v1/abandonment", Abandonment, **question, by="device")
    for part in device["breakdown"]:
        path, _, query = part["stays"]["customers"].partition("?")
        listed = (await ok(api, path, StaysInPhase, **parse_qs(query), limit=200))["items"]
        assert len(listed) == part["stays"]["lapsed"], part["value"]
    last = await ok(api, "/v1/abandonment/last", LastTouchpoints, **question)
    assert last["lapsed"] == last["lapsed_known"] == totals[0]["lapsed"]
    assert last["advanced_known"] == sum(totals[0]["advanced"].values())
    for key in ("days", "places"):
        assert sum(item["lapsed"] for item in last[key]) == last["lapsed"]
    # They left in the incident, not a day later when they lapsed.
    assert all(INCIDENT["from"] <= day["from"] < INCIDENT["to"] for day in last["days"])
    assert last["places"][0]["kind"] == "checkout_error"
    kinds = {row["kind"]: row for row in last["kinds"]}
    assert [name for name, row in kinds.items() if row["shown"] and row["difference"]["low"] > 0] == [
        "support", "checkout_error",
    ]  # fmt: skip


async def check_variants(api: httpx.AsyncClient) -> None:
    """Variants of kinds add up to the cycles."""
    question = {"model": "checkout", "from": "2024-05-19T00:00:00Z", "to": "2024-05-26T00:00:00Z"}
    variants = await ok(api, "/v1/variants", Variants, **question)
    kinds = await ok(api, "/v1/variants/kinds", KindVariants, **question, goal="purchase")
    assert kinds["total"] == variants["total"] == sum(part["cycles"] for part in kinds["variants"]) + kinds["other"]
    assert kinds["reached"] > 0


async def _listed(api: httpx.AsyncClient, link: str) -> list[dict[str, Any]]:
    """All orders behind a number, each of which credits its touches with one order."""
    path, _, query = link.partition("?")
    orders: list[dict[str, Any]] = []
    cursor: str | None = None
    while True:
        page = await ok(api, path, OrderPaths, **parse_qs(query), limit=200, **({"cursor": cursor} if cursor else {}))
        orders += page["items"]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    for order in orders:
        for rule in ("linear", "time_decay", "last_non_direct"):
            assert round(sum(touch["credit"][rule] for touch in order["touches"]), 6) == bool(order["touches"])
    return orders


async def check_attribution(api: httpx.AsyncClient) -> None:
    """All credit is all orders and their money, by whatever rule and dimension; lists are as long as their numbers."""
    question = {"model": "checkout", **ALL, "lookback": "90d"}
    compared = "first,last,linear,position,j_shaped,inverse_j,time_decay,custom,unique_linear,markov,shapley"
    answers = [
        await ok(api, "/v1/attribution", AttributedOrders, **question, by=by, compare_rules=compared, limit=3)
        for by in ("channel", "device", "campaign")
    ]
    for answer in answers:
        assert answer["adds_up"]
        assert (answer["orders"], answer["totals"]) == (answers[0]["orders"], answers[0]["totals"])
        for total in answer["totals"]:
            parts = [
                part for row in answer["rows"] for part in row["currencies"] if part["currency"] == total["currency"]
            ]
            for rule in (None, *compared.split(",")):
                credits = [part if rule is None else part["rules"][rule] for part in parts]
                assert round(sum(credit["credited"] for credit in credits), 6) == total["orders"], rule
                for amount in ("gross", "net"):
                    assert sum(credit[amount] for credit in credits) == total[amount], rule
    orders = sum(event.name == "purchase" for event in shop_events())
    money = {(total["currency"], total["orders"], total["gross"]) for total in answers[0]["totals"]}
    assert money == {("EUR", 177, 847_215), ("JPY", 153, 7_628), ("", 140, 61_640_000)}
    assert answers[0]["orders"] == orders
    assert all((row["orders"] is None) == (row["value"] == "(baseline)") for row in answers[0]["rows"])
    for row in answers[0]["rows"]:
        if row["orders"] is not None:
            assert len(await _listed(api, row["links"]["orders"])) == row["orders"]
    paths = await ok(api, "/v1/attribution/paths", Paths, **question)
    assert paths["conversions"] == orders == sum(path["conversions"] for path in (*paths["paths"], paths["other"]))
    assert paths["nulls"] == sum(path["nulls"] for path in (*paths["paths"], paths["other"]))
    # A day on which nobody's cycle ended says nothing to a chain; the shop's own lapses do.
    day = {"from": "2024-01-01T00:00:00Z", "to": "2024-01-02T00:00:00Z"}
    empty = await ok(api, "/v1/attribution", AttributedOrders, **{**question, **day}, rule="shapley", intervals=True)
    assert empty["orders"] == sum(row["conversions"] for row in empty["rows"])
    bounds = await ok(api, "/v1/attribution", AttributedOrders, **question, rule="markov", intervals=True)
    assert any(row["low"] is not None and row["low"] <= row["conversions"] <= row["high"] for row in bounds["rows"])
