"""`throughline model` and `throughline restage` on a real database, from the file in the manual to a live model."""

import asyncio
import json
import re
import sys
from collections import Counter
from pathlib import Path

import asyncpg
import pytest
from aiokafka import AIOKafkaProducer
from sqlalchemy import update
from sqlalchemy.ext.asyncio import AsyncEngine

from tests.conftest import Topics
from tests.support.command import Result, Throughline
from tests.support.stack import Stack, until
from throughline.cli import restage
from throughline.journey.fold import fold
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import now_us
from throughline.local import LocalKafka
from throughline.models import ModelError, load_model, parse_model, shipped_text
from throughline.store import generations
from throughline.store.engine.unit_of_work import reading, transaction
from throughline.store.schema.operations import restage_slots
from throughline.wire.codec import encode, partition_of

MANUAL = (Path(__file__).parents[3] / "docs" / "reference" / "models.md").read_text()
(CLUB,) = re.findall(r"```toml\n(.*?)```", MANUAL, re.DOTALL)


@pytest.fixture
async def throughline(database: str) -> Throughline:
    command = Throughline(database)
    await command("workspace", "create", "shop")
    return command


@pytest.fixture
def club(tmp_path: Path) -> Path:
    """The file that the manual shows."""
    file = tmp_path / "club.toml"
    file.write_text(CLUB)
    return file


async def building(engine: AsyncEngine) -> int | None:
    async with reading(engine) as connection:
        ids = [
            generation.id for generation in await generations.list_models(connection) if generation.state == "building"
        ]
    return ids[0] if ids else None


async def stage_slots(engine: AsyncEngine, slots: int = 16) -> None:
    """Do what stagers do, as soon as there is something to do."""
    generation = await until(lambda: building(engine), what="a generation that is building")
    async with transaction(engine) as connection:
        await connection.execute(
            update(restage_slots)
            .where(restage_slots.c.model == generation, restage_slots.c.slot < slots)
            .values(done=True, customers=100, touchpoints=1_000)
        )


# --- files ------------------------------------------------------------------------------------------------------------


async def test_the_file_in_the_manual_is_right(throughline: Throughline, club: Path) -> None:
    checked = await throughline("model", "check", str(club))
    assert checked.status == 0, checked.err
    assert f"{club} is right: model 'club' with 4 phases, 10 kinds of touchpoints" in checked.err
    assert f"next: throughline model add {club}" in checked.err


def test_the_file_in_the_manual_does_what_the_manual_says() -> None:
    model = parse_model(CLUB, "club.toml")

    def path(*names: str) -> list[str]:
        facts = [Touchpoint(number, 0, str(number), "ada", "track", name) for number, name in enumerate(names, start=1)]
        return [model.phases[step.to_phase - 1].name for step in fold(model, None, facts).transitions]

    assert path("Training Attended", "Course Attended", "Checkout Started") == ["guest", "applicant"]
    assert path("Training Attended", "Training Attended", "Training Attended") == ["guest"]
    assert path("Checkout Started", "Membership Bought", "Invite Sent") == ["applicant", "member", "ambassador"]
    assert path("Reminder Sent", "disqualify_lead") == ["guest", "applicant", "applicant"]


def test_the_fault_in_the_manual() -> None:
    fault = next(line for line in MANUAL.splitlines() if line.startswith("club.toml:"))
    with pytest.raises(ModelError, match=re.escape(fault)):
        parse_model(CLUB.replace('names = ["Membership Bought"]', 'nams = ["Membership Bought"]'), "club.toml")


async def test_every_fault_is_a_line(throughline: Throughline, tmp_path: Path) -> None:
    file = tmp_path / "two.toml"
    await asyncio.to_thread(
        file.write_text, CLUB.replace("live_order", "life_order").replace('= "guest"\n\n', '= "gast"\n\n')
    )
    checked = await throughline("model", "check", str(file))
    assert [line.split(": ")[0] for line in checked.err.splitlines()] == [f"{file}:13", f"{file}:44", "error"]
    assert checked.err.endswith("error: 2 faults; docs/reference/models.md says what a model file holds\n")
    assert checked.status == 1


@pytest.mark.parametrize(
    ("text", "message", "status"),
    [
        (b"\xff", "cannot be read: it is not UTF-8", 1),
        (
            shipped_text("six_stage").replace("Six", "6").encode(),
            "is the name of a shipped model; give yours",
            1,
        ),
        (None, "does not exist", 2),
    ],
)
async def test_files_that_cannot_be_used(
    throughline: Throughline, tmp_path: Path, text: bytes | None, message: str, status: int
) -> None:
    file = tmp_path / "m.toml"
    if text is not None:
        file.write_bytes(text)
    for words in (("check", str(file)), ("add", str(file))):
        result = await throughline("model", *words)
        assert message in " ".join(result.err.split()), result.err
        assert result.status == status


# --- showing ----------------------------------------------------------------------------------------------------------


async def test_a_shipped_model_is_shown_without_a_database() -> None:
    nobody = Throughline(None)
    shown = await nobody("model", "show", "five_stage")
    assert shown.status == 0
    lines = [" ".join(line.split()) for line in shown.out.splitlines()]
    assert lines[0] == "five_stage: Five sales stages"
    assert "4 decision Decision 14 days 30 days" in lines
    assert "refusal decision, where the journey ends not by the customer" in " ".join(lines)
    assert "review_read interest when before interest review_read, review_page, reviews_viewed" in lines
    assert "else consideration" in lines
    assert (await nobody("model", "show", "five_stage", "--toml")).out == shipped_text("five_stage")


@pytest.mark.parametrize("name", ["seven_phase", "six_stage", "need_to_review", "five_stage"])
async def test_as_json_for_scripts(name: str) -> None:
    shown = (await Throughline(None)("model", "show", name, "--json")).json
    assert [phase["name"] for phase in shown["phases"]] == [phase.name for phase in load_model(name).phases]
    assert shown["kinds"]["order"]["order"] == "place"
    assert shown["kinds"]["order"]["rules"][-1]["when"] == ["live_order"]


async def test_an_own_model_is_shown_from_the_workspace_or_its_file(throughline: Throughline, club: Path) -> None:
    from_file = await throughline("model", "show", str(club))
    assert "training" in from_file.out
    assert "every page call" in from_file.out
    await throughline("model", "add", str(club), "--no-wait")
    assert (await throughline("model", "show", "club")).out == from_file.out
    assert (await throughline("model", "show", "club", "--toml")).out == CLUB
    unknown = await throughline("model", "show", "culb")
    assert "error: workspace 'shop' has no model 'culb', and none is shipped under that name" in unknown.err


# --- applying ---------------------------------------------------------------------------------------------------------


def listed(result: Result) -> list[tuple[str, str, bool, str]]:
    return [(row["name"], row["state"], row["default"], row["file"]) for row in result.json]


async def test_from_a_file_to_the_default_model(throughline: Throughline, club: Path, engine: AsyncEngine) -> None:
    added = await throughline("model", "add", str(club), "--no-wait")
    assert added.status == 0
    assert "it is not shown until you switch to it: throughline restage --model club --workspace shop" in added.err
    early = await throughline("model", "use", "club")
    assert "error: model 'club' is not live in workspace 'shop' (live: seven_phase); run `throughline rest" in early.err
    assert listed(await throughline("model", "list", "--json")) == [
        ("club", "building", False, "own"),
        ("seven_phase", "live", True, "shipped"),
    ]
    restaging = asyncio.create_task(throughline("restage", "--model", "club"))
    await stage_slots(engine)
    done = await restaging
    assert done.status == 0, done.err
    assert "restaging club: 100%, 1,600 of about 1,600 customers, 16,000 touchpoints" in done.err
    assert "model 'club' of workspace 'shop' is live with 1,600 customers restaged from 16,000 touchpoints" in done.err
    assert "'club' is now the default model" in (await throughline("model", "use", "club")).err
    assert "no longer applied" in (await throughline("model", "retire", "seven_phase", "--yes")).err
    assert listed(await throughline("model", "list", "--json")) == [
        ("club", "live", True, "own"),
        ("seven_phase", "retired", False, "shipped"),
    ]
    people = await throughline("model", "list")
    assert "shipped: five_stage, need_to_review, seven_phase, six_stage" in people.err
    assert "error: 'club' is the default model" in (await throughline("model", "retire", "club", "--yes")).err


async def test_a_restage_begins_without_waiting_and_is_taken_up_again(
    throughline: Throughline, engine: AsyncEngine
) -> None:
    begun = await throughline("restage", "--model", "six_stage", "--workspace", "shop", "--no-wait")
    assert "switch to it: throughline restage --model six_stage --workspace shop" in begun.err
    first = await building(engine)
    await stage_slots(engine, 8)
    taking_up = asyncio.create_task(throughline("restage", "--model", "six_stage", "--use"))
    await stage_slots(engine)
    assert "it is the default now" in (await taking_up).err
    async with reading(engine) as connection:
        assert [(m.id, m.name, m.is_default) for m in await generations.list_models(connection)] == [
            (1, "seven_phase", False),
            (first, "six_stage", True),
        ]


async def test_adding_waits_for_the_stagers_and_switches(
    throughline: Throughline, club: Path, engine: AsyncEngine
) -> None:
    adding = asyncio.create_task(throughline("model", "add", str(club), "--use", "--json"))
    await stage_slots(engine)
    added = await adding
    assert added.json == {
        "model": "club",
        "workspace": "shop",
        "state": "live",
        "default": True,
        "customers": 1_600,
        "touchpoints": 16_000,
    }
    assert "waiting for the stagers to compute its journeys" in added.err
    assert ("club", "live", True, "own") in listed(await throughline("model", "list", "--json"))


async def test_it_says_when_no_stager_moves(
    throughline: Throughline, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    monkeypatch.setattr(restage, "say", lines.append)
    monkeypatch.setattr(restage, "STALL_SECONDS", 0.1)
    monkeypatch.setattr(restage, "CHECK_SECONDS", 0.02)
    waiting = asyncio.create_task(throughline("restage", "--model", "six_stage"))

    async def stall_is_reported() -> bool:
        return any("none seems to run" in line for line in lines)

    await until(stall_is_reported, what="word of it")
    await stage_slots(engine)
    assert (await waiting).status == 0
    assert sum("none seems to run" in line for line in lines) <= 2


async def test_ended_by_hand_it_says_that_the_work_goes_on(throughline: Throughline, database: str) -> None:
    command = Path(sys.executable).with_name("throughline")
    process = await asyncio.create_subprocess_exec(
        command,
        "restage",
        "--model",
        "six_stage",
        env={"DATABASE_URL": database, "PATH": "/usr/bin:/bin"},
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    lines = []
    async for line in process.stderr:
        lines.append(line.decode())
        if "restaging six_stage: 0%" in lines[-1]:
            process.send_signal(2)
    assert await process.wait() == 130
    assert (
        lines[-1]
        == "the stagers go on; to watch them and to switch: throughline restage --model six_stage --workspace shop\n"
    )


async def test_a_stager_restages_what_was_sent(
    kafka: LocalKafka, database: str, topics: Topics, tmp_path: Path
) -> None:
    stack = Stack(kafka.bootstrap, database, topics.touchpoints, topics.rejected, tmp_path)
    await stack.provision()
    throughline = Throughline(database)
    names = ("Product Viewed", "Checkout Started", "Order Completed")
    sent = [
        Touchpoint(
            now_us() - (number + 1) * 1_000_000,
            0,
            f"m{number}",
            f"c{number % 50}",
            "track",
            names[number % 3],
            workspace=stack.workspace_id,
            source=1,
            user_id=f"c{number % 50}",
        )
        for number in range(300)
    ]
    async with AIOKafkaProducer(bootstrap_servers=kafka.bootstrap) as producer:
        for event in sent:
            key = event.actor.encode()
            partition = partition_of(key, topics.partitions)
            await producer.send(topics.touchpoints, encode(event), key=key, partition=partition)
    try:
        await stack.start("stager")
        connection = await asyncpg.connect(database)

        async def staged() -> bool:
            return bool(await connection.fetchval("select count(*) from touchpoints") == len(sent))

        await until(staged, what="the facts")
        result = await throughline("restage", "--model", "need_to_review", "--use")
        assert "with 50 customers restaged from 300 touchpoints; it is the default now" in result.err
        model = load_model("need_to_review")
        expected = Counter(
            journey.phase
            for actor in {event.actor for event in sent}
            if (journey := fold(model, None, sorted(event for event in sent if event.actor == actor)).journey)
        )
        counted = await connection.fetch(
            "select phase, sum(active + lapsed)::int as customers from phase_counts "
            "join models on models.id = model where name = 'need_to_review' group by phase having sum(active) > 0"
        )
        assert {row["phase"]: row["customers"] for row in counted} == expected
        await connection.close()
    finally:
        await stack.stop()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("restage", "--model", "six"), "workspace 'shop' has no model 'six', and none is shipped"),
        (("restage", "--model", "six_stage", "--workspace", "shpo"), "unknown workspace 'shpo'"),
        (("model", "use", "six_stage"), "model 'six_stage' is not live"),
        (("model", "list", "--workspace", "shpo"), "unknown workspace 'shpo'"),
    ],
)
async def test_errors_are_sentences(throughline: Throughline, words: tuple[str, ...], message: str) -> None:
    result = await throughline(*words)
    assert f"error: {message}" in result.err
    assert result.status == 1


async def test_with_several_workspaces_one_has_to_be_named(throughline: Throughline, database: str) -> None:
    await throughline("workspace", "create", "other")
    result = await throughline("restage", "--model", "six_stage", "--no-wait")
    assert "error: say which workspace with --workspace; there are: other, shop" in result.err
    chosen = await throughline("restage", "--model", "six_stage", "--no-wait", "--workspace", "other")
    assert chosen.status == 0
    assert json.loads((await throughline("model", "list", "--workspace", "shop", "--json")).out)[0]["state"] == "live"
