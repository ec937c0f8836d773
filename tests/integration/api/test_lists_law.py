"""The law of lists on real PostgreSQL: what stands behind each number of each answer is exactly as many as it says."""

import csv
import io
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.api.asked import queries as asked
from services.api.flows import answers as flows
from services.api.flows import queries as paths
from services.api.funnel import breakdown
from tests.strategies.staging import Case, cases
from tests.strategies.touchpoints import DAY_US, START_US
from tests.support.app import api_of
from tests.support.pipeline import Pipeline, open_pipeline
from throughline.journey.memory import Memory
from throughline.kit.clock import rfc3339
from throughline.store.engine.unit_of_work import transaction

SPAN = {"from": rfc3339(START_US), "to": rfc3339(START_US + 390 * DAY_US)}
FACTS = ("", '{"campaign":"spring"}', '{"device":{"type":"mobile"}}', '{"campaign":"sale","device":{"type":"tv"}}')
FOLLOWED = 15
"""Number of links of one answer that are followed, those of numbers other than 0 first."""

Numbers = Iterator[tuple[str, int, str]]
"""(what it is, the number, its link)."""


async def stage(engine: AsyncEngine, database: str, case: Case) -> Pipeline:
    """A workspace into which the case's log is staged."""
    pipeline = await open_pipeline(engine, database)
    pipeline.send(case.log)
    await pipeline.finish()
    await pipeline.tick(case.clock_us)
    async with transaction(engine) as connection:
        await connection.execute(
            text("INSERT INTO offsets VALUES (:topic, 99, 1, '', :at, :at)"),
            {"topic": pipeline.topic, "at": pipeline.watermark_us},
        )
        await connection.execute(
            text("UPDATE offsets SET through_us = :at, swept_us = :at WHERE topic = :topic"),
            {"topic": pipeline.topic, "at": pipeline.watermark_us},
        )
        for memory, flags, orders in await connection.execute(text("SELECT memory, flags, orders FROM journeys")):
            assert Memory.load(memory, flags).standing == orders
    return pipeline


async def listed(api: httpx.AsyncClient, link: str) -> int:
    """The length of a list, whose total and file agree with it."""
    url = httpx.URL(link)
    answer = (await api.get(url.copy_add_param("limit", 2))).raise_for_status().json()
    length = len(answer["items"])
    total, is_exact = answer.get("total"), answer.get("total_is_exact", False)
    while answer["next_cursor"] is not None:
        page = url.copy_merge_params({"limit": 2, "cursor": answer["next_cursor"]})
        answer = (await api.get(page)).raise_for_status().json()
        length += len(answer["items"])
    assert (total, is_exact) in ((length, True), (None, False)), link
    is_uncounted = (
        ("as_of" in link and "cycle" in link) or "/funnel/" in link or "/abandonment/" in link or "/kinds/" in link
    )
    assert (total is None) is is_uncounted, link
    file = (await api.get(link, headers={"Accept": "text/csv"})).raise_for_status()
    assert len(list(csv.reader(io.StringIO(file.text, newline="")))) == length + 1, link
    return length


async def follow(api: httpx.AsyncClient, numbers: Numbers, chance: random.Random, most: int = FOLLOWED) -> None:
    links = [(bool(number), chance.random(), name, number, link) for name, number, link in numbers]
    for _, _, name, number, link in sorted(links, reverse=True)[:most]:
        assert await listed(api, link) == number, f"{name}: {link}"


def of_counts(answer: Any) -> Numbers:
    for part in (answer, *answer["phases"]):
        assert part["links"]
        for name, link in part["links"].items():
            yield name, part[name], link


def of_flows(answer: Any) -> Numbers:
    for node in answer["nodes"]:
        for name, link in node["links"].items():
            yield f"{node['id']} {name}", node[name], link
    for edge in answer["edges"]:
        yield f"{edge['from']} -> {edge['to']}", edge["moves"], edge["link"]


def of_variants(answer: Any) -> Numbers:
    yield "total", answer["total"], answer["link"]
    for variant in answer["variants"]:
        yield str(variant["phases"]), variant["cycles"], variant["link"]
    if answer["other_link"] is not None:
        yield "other", answer["other"], answer["other_link"]
    assert bool(answer["other"]) is (answer["other_link"] is not None)


def of_kind_variants(answer: Any) -> Numbers:
    for part in (answer, *answer["variants"]):
        for name, link in part["links"].items():
            yield f"{part.get('kinds')} {name}", part[name], link


def of_abandonment(answer: Any) -> Numbers:
    for part in (answer["total"], *(part["stays"] for part in answer["breakdown"])):
        yield "lapsed", part["lapsed"], part["customers"]
        yield from linked(part)
        yield from of_baseline(part["baseline"])


def of_baseline(baseline: Any) -> Numbers:
    if baseline is not None:
        assert baseline["links"] or not any(baseline[name] for name in ("mature", "visits") if name in baseline)
        for name, link in baseline["links"].items():
            yield f"baseline {name}", baseline[name], link


def of_time(answer: Any) -> Numbers:
    for part in (answer, *answer["breakdown"]):
        yield "entered", part["entered"], part["links"]["entered"]
        for age in part["ages"]:
            link = part["links"]["ages.at_risk"].replace("{from_seconds}", str(age["from_seconds"]))
            yield f"at risk {age['from_seconds']}", age["at_risk"], link


def of_visits(answer: Any) -> Numbers:
    for part in (answer["total"], *(part["count"] for part in answer["breakdown"])):
        for name, link in part["links"].items():
            yield name, part[name], link
        yield from of_baseline(part["baseline"])


def of_last(answer: Any) -> Numbers:
    for part in (answer, *answer["days"], *answer["places"], *answer["kinds"]):
        for name, link in part["links"].items():
            yield f"{part.get('kind')} {name}", part[name], link


def of_friction(answer: Any) -> Numbers:
    for part in (answer, *answer["rows"]):
        for name, link in part["links"].items():
            yield f"{part.get('name')} {name}", part[name], link


def of_funnel(answer: Any) -> Numbers:
    for part in (answer, *answer["breakdown"]):
        for numbers in (part["cohort"], *part["steps"]):
            yield from linked(numbers)


def of_trend(answer: Any) -> Numbers:
    for day in answer["days"]:
        yield from linked(day["cohort"])
        yield from linked(day)


def linked(numbers: Any) -> Numbers:
    for name, link in numbers["links"].items():
        outer, _, inner = name.partition(".")
        yield name, numbers[outer][inner] if inner else numbers[outer], link


def of_history(answer: Any) -> Numbers:
    for step in answer["steps"]:
        for part in (step, *step["phases"]):
            for name, template in answer["links"].items():
                outer, _, inner = name.partition(".")
                if outer in part:
                    link = template.replace("{phase}", part.get("phase", ""))
                    link = link.replace("{from}", step["from"]).replace("{to}", step["to"])
                    yield f"{name} {step['from']}", part[outer][inner] if inner else part[outer], link


@settings(
    max_examples=6,
    # Explaining a failure traces every line, which makes each example take minutes.
    phases=[Phase.explicit, Phase.reuse, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    case=cases(),
    channel=st.sampled_from([[], ["direct"], ["email", "direct"]]),
    edges=st.sampled_from([1, 3, 40]),
    days=st.integers(0, 60),
    seed=st.integers(0, 2**32),
)
async def test_every_number_has_its_customers(
    database: str, engine: AsyncEngine, case: Case, channel: list[str], edges: int, days: int, seed: int
) -> None:
    log = [event._replace(attribution=FACTS[number % len(FACTS)]) for number, event in enumerate(case.log)]
    pipeline = await stage(engine, database, replace(case, log=log))
    chance = random.Random(seed)
    with pytest.MonkeyPatch.context() as patch:
        # So few values and variants are shown that there is a rest.
        patch.setattr(asked, "MAX_VALUES", 1)
        patch.setattr(breakdown, "MAX_VALUES", 1)
        patch.setattr(flows, "MAX_VARIANTS", 1)
        patch.setattr(paths, "MAX_PATHS", 1)
        await follow_all(engine, database, pipeline, chance, channel, edges, days)


async def follow_all(
    engine: AsyncEngine,
    database: str,
    pipeline: Pipeline,
    chance: random.Random,
    channel: list[str],
    edges: int,
    days: int,
) -> None:
    async with await api_of(engine, database, f"w{pipeline.workspace}", pipeline.topic) as api:

        async def ask(path: str, **parameters: Any) -> Any:
            return (await api.get(path, params={"channel": channel, **parameters})).raise_for_status().json()

        await follow(api, of_counts(await ask("/v1/phases/counts")), chance)
        past = await ask("/v1/phases/counts", as_of=rfc3339(START_US + days * DAY_US + days))
        if past["as_of"] is not None:
            await follow(api, of_counts(past), chance)
        for reading in ("moves", "paths"):
            await follow(api, of_flows(await ask("/v1/flows", **SPAN, reading=reading, edges=edges)), chance)
        funnel = {**SPAN, "unit": chance.choice(["cycle", "customer"]), "window": chance.choice(["1d", "30d", "none"])}
        by = chance.choice([{}, {"by": "channel"}, {"by": "campaign"}, {"by": "device"}])
        if by.get("by") in ("campaign", "device"):
            funnel["unit"] = "cycle"
        await follow(api, of_funnel(await ask("/v1/funnel", **funnel, **by)), chance)
        await follow(api, of_trend(await ask("/v1/funnel/trend", **funnel, step="month")), chance)
        of_phase = {"phase": chance.choice(["discovery", "decision", "purchase"])}
        by = {"by": chance.choice(["source", "channel", "campaign", "device", "cycle"])}
        abandonment = await ask("/v1/abandonment", **SPAN, **of_phase, **by)
        await follow(api, of_abandonment(abandonment), chance, 8)
        await follow(api, of_time(await ask("/v1/funnel/time", **SPAN, **of_phase, **by)), chance, 5)
        later = {**SPAN, "from": rfc3339(START_US + 195 * DAY_US)}
        await follow(
            api, of_abandonment(await ask("/v1/abandonment", **later, **of_phase, **by, baseline="previous")), chance, 5
        )
        kinds = {"kind": "browse", "next": chance.choice(["cart_added", "order"])}
        by = {"by": chance.choice(["channel", "campaign", "device"])}
        await follow(api, of_visits(await ask("/v1/abandonment/visits", **SPAN, **kinds, **by)), chance, 8)
        await follow(
            api, of_visits(await ask("/v1/abandonment/visits", **later, **kinds, **by, baseline="previous")), chance, 5
        )
        await follow(api, of_last(await ask("/v1/abandonment/last", **SPAN, **of_phase)), chance, 5)
        await follow(api, of_friction(await ask("/v1/abandonment/friction", **SPAN, **of_phase)), chance, 5)
        by_phase = await ask("/v1/abandonment/phases", **SPAN)
        [same] = [each for each in by_phase["phases"] if each["phase"] == of_phase["phase"]]
        assert (same["window"], same["stays"]) == (abandonment["window"], abandonment["total"])
        of_campaign = [await ask("/v1/customers", campaign=name) for name in ("spring", "sale", "(none)")]
        assert sum(answer["total"] for answer in of_campaign) == (await ask("/v1/customers"))["total"]
        await follow(api, of_kind_variants(await ask("/v1/variants/kinds", **SPAN, goal="decision")), chance, 5)
        await follow(api, of_variants(await ask("/v1/variants", **SPAN)), chance)
        history = {"step": "day", "from": rfc3339(START_US), "to": rfc3339(START_US + (1 + days) * DAY_US)}
        await follow(api, of_history(await ask("/v1/phases/history", **history)), chance)
