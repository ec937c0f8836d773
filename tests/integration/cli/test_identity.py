"""`throughline identity` against a running stager: what it shows, and that an unlink parts and a relink joins again."""

import pytest

from tests.support.command import Throughline
from tests.support.shop import START_US, expect, send, staged_through
from tests.support.stack import Stack
from throughline.cli.identity import commands as identity
from throughline.journey.touchpoint import Touchpoint

HOUR_US = 3_600_000_000


@pytest.fixture
def throughline(stack: Stack) -> Throughline:
    command = Throughline(stack.database)
    command.environment |= {"KAFKA": stack.kafka, "TOUCHPOINTS_TOPIC": stack.touchpoints}
    return command


def shared_phone(stack: Stack) -> list[Touchpoint]:
    viewed = Touchpoint(
        START_US, 0, "m1", "phone", "track", "Product Viewed", stack.workspace_id, 1, "direct", START_US
    )
    signed = viewed._replace(call="identify", name="", anonymous_id="phone")
    return [
        viewed._replace(anonymous_id="phone"),
        signed._replace(occurred_us=START_US + HOUR_US, message_id="m2", actor="ada", user_id="ada"),
        signed._replace(occurred_us=START_US + 2 * HOUR_US, message_id="m3", actor="bob", user_id="bob"),
        viewed._replace(
            occurred_us=START_US + 3 * HOUR_US,
            message_id="m4",
            actor="ada",
            call="alias",
            user_id="ada",
            previous_id="a@x",
        ),
    ]


async def test_show_unlink_and_relink(stack: Stack, throughline: Throughline, monkeypatch: pytest.MonkeyPatch) -> None:
    await stack.start("stager")
    log = shared_phone(stack)
    await send(stack, log)
    await staged_through(stack)

    async def shown(id_: str) -> dict[str, list[tuple[object, ...]]]:
        result = await throughline("identity", "show", id_, "--json")
        assert result.status == 0, result.err
        parts = result.json
        return {
            "customer": [(parts["customer"],)],
            "ids": [(row["id"], row["belongs_to"]) for row in parts["ids"]],
            "links": [(row["id"], row["owner"], row["by"], row["counts"]) for row in parts["links"]],
            "rulings": [(row["id"], row["owner"], row["ruling"]) for row in parts["rulings"]],
        }

    both = "both ids in one event"
    assert await shown("phone") == {
        "customer": [("ada",)],
        "ids": [("ada", None), ("a@x", "ada"), ("phone", "ada")],
        "links": [
            ("phone", "ada", both, True),
            ("phone", "bob", both, False),
            ("a@x", "ada", "alias", True),
        ],
        "rulings": [],
    }
    table = (await throughline("identity", "show", "a@x")).out
    assert "customer ada" in table
    assert "2023-11-15T01:13:20Z  m4" in table

    parted = await throughline("identity", "unlink", "phone", "ada")
    assert (parted.status, "done: 'phone' and 'ada' are parted" in parted.err) == (0, True), parted.err
    now_bobs = await shown("phone")
    assert now_bobs["customer"] == [("bob",)]
    assert now_bobs["rulings"] == [("phone", "ada", "unlink")]
    again = await throughline("identity", "unlink", "phone", "ada")
    assert (again.status, "is unlinked already" in again.err) == (0, True)
    joined = await throughline("identity", "relink", "phone", "ada")
    assert (joined.status, "are joined again" in joined.err) == (0, True), joined.err
    assert (await shown("phone"))["customer"] == [("ada",)]
    assert (await shown("phone"))["rulings"] == [("phone", "ada", "relink")]
    await staged_through(stack)
    await expect(stack, log)

    await stack.services[0].child.stop()
    monkeypatch.setattr(identity, "WAIT_SECONDS", 0.5)
    waiting = await throughline("identity", "unlink", "a@x", "ada")
    assert waiting.status == 1
    assert "is on the log, but no stager has applied it within 0 s: does one run?" in waiting.err


async def test_what_cannot_be_done_is_said(stack: Stack, throughline: Throughline) -> None:
    await stack.start("stager")
    await send(stack, shared_phone(stack))
    await staged_through(stack)
    for words, message in (
        (("show", "eve"), "no event of workspace 'shop' has named the id 'eve'"),
        (("unlink", "phone", "phone"), "an id cannot be parted from itself"),
        (("unlink", "phone", "eve"), "has named the id 'eve'"),
        (
            ("unlink", "a@x", "bob"),
            "nothing has linked 'a@x' to 'bob'; `throughline identity show a@x` lists its links",
        ),
        (("unlink", "ada", "phone"), "'phone' is linked to 'ada': name them the other way round"),
    ):
        result = await throughline("identity", *words)
        assert result.status == 1
        assert message in result.err
    relinked = await throughline("identity", "relink", "phone", "ada")
    assert (relinked.status, "'phone' is not unlinked from 'ada'" in relinked.err) == (0, True)
