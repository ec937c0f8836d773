"""`throughline import` with a real ingest: the files of the manual, verdicts by row, going on, and twice is once."""

import asyncio
import gzip
import json
import re
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from pathlib import Path

import pytest

from tests.conftest import Topics
from tests.support.command import Throughline
from tests.support.stack import Service, Stack
from tests.support.topic import read_rejected, read_touchpoints
from throughline.cli.common.deliver import NotTakenError
from throughline.cli.common.target import Target
from throughline.cli.importing.rows import Row, fingerprint, read_rows
from throughline.cli.importing.send import ImportProgress, send
from throughline.local import LocalKafka

MANUAL = (Path(__file__).parents[3] / "docs" / "reference" / "import.md").read_text()
(SALES,) = re.findall(r"```csv\n(.*?)```", MANUAL, re.DOTALL)
(MAPPING,) = re.findall(r"```toml\n(.*?)```", MANUAL, re.DOTALL)
throughline = Throughline(None)


@pytest.fixture
async def stack(kafka: LocalKafka, database: str, topics: Topics, tmp_path: Path) -> AsyncIterator[Stack]:
    stack = Stack(kafka.bootstrap, database, topics.touchpoints, topics.rejected, tmp_path)
    await stack.provision()
    await stack.start("ingest")
    yield stack
    await stack.stop()


def ingest(stack: Stack) -> Service:
    return stack.services[0]


def door(stack: Stack) -> tuple[str, ...]:
    return ("--url", ingest(stack).url, "--key", stack.write_key)


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


async def test_the_till_export_of_the_manual(stack: Stack, tmp_path: Path) -> None:
    sales = write(tmp_path / "sales.csv", SALES + "R-4,soon,ada,sale,1,Graz\nR-5,01.02.2026 11:00,guest,sale,1,Graz\n")
    mapping = str(write(tmp_path / "sales.toml", MAPPING))
    tried = await throughline("import", str(sales), "--mapping", mapping, "--dry-run")
    assert tried.status == 1
    assert json.loads(tried.out.splitlines()[2])["event"] == "Order Refunded"
    assert "row 4: timestamp: sold_at 'soon' is not a time like %d.%m.%Y %H:%M" in tried.err
    done = await throughline("import", str(sales), "--mapping", mapping, *door(stack))
    assert done.status == 1, done.err
    assert "5 rows: 3 ok, 0 with a warning, 2 rejected" in done.err
    touchpoints = await read_touchpoints(stack.kafka, stack.touchpoints)
    assert sorted((t.message_id, t.actor, t.name, t.value, t.currency, t.occurred_us) for t in touchpoints) == [
        ("R-1", "ada", "Order Completed", 42.5, "EUR", 1_769_848_200_000_000),  # 08:30 UTC
        ("R-2", "bob", "Order Completed", 9.9, "EUR", 1_769_850_900_000_000),
        ("R-3", "ada", "Order Refunded", 42.5, "EUR", 1_769_940_000_000_000),
    ]
    assert json.loads(touchpoints[0].rest)["properties"]["store"] in ("Graz", "Wien")
    refused = [json.loads(line) for line in (tmp_path / "sales.csv.rejected.jsonl").read_text().splitlines()]
    assert [(line["row"], line["code"]) for line in refused] == [(4, "unreadable_time"), (5, "illegal_id")]
    assert len(await read_rejected(stack.kafka, stack.rejected)) == 1

    again = await throughline("import", str(sales), "--mapping", mapping, *door(stack))
    assert again.status == 0
    assert "is imported already, 5 rows; --restart sends it again" in again.err
    other = await throughline("import", str(sales), *door(stack))
    assert other.status == 2
    assert "of another file or mapping" in other.err


async def test_what_was_stopped_goes_on_and_twice_is_once(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "history.jsonl.gz"
    rows = 2_700
    events = [
        {"type": "track", "event": "Product Viewed", "userId": f"u{n % 9}", "properties": {"n": n}} for n in range(rows)
    ]
    for event in events:
        event["timestamp"] = "2026-01-31T12:00:00Z"
    lines = "\n".join(json.dumps(event) for event in events) + "\nnot json\n"
    file.write_bytes(gzip.compress(lines.encode()))

    def until_stopped() -> Iterator[Row]:
        yield from islice(read_rows(file, None, lambda _: None), 1_700)
        raise NotTakenError("stopped")

    progress = ImportProgress(fingerprint(file, ""))
    files = (tmp_path / f"{file.name}.progress.json", tmp_path / f"{file.name}.rejected.jsonl")
    with pytest.raises(NotTakenError, match="stopped"):
        await send(until_stopped(), Target(ingest(stack).url, stack.write_key), progress, files, print)
    for options in ((), ("--restart",)):
        done = await throughline("import", str(file), *door(stack), *options)
        assert done.status == 1
        assert ("going on after row" in done.err) == (not options and progress.rows > 0)
        assert f"{rows + 1:,} rows: {rows:,} ok, 0 with a warning, 1 rejected" in done.err
        (refused,) = (json.loads(line) for line in files[1].read_text().splitlines())
        assert (refused["row"], refused["code"]) == (rows + 1, "unreadable")
    touchpoints = await read_touchpoints(stack.kafka, stack.touchpoints)
    assert len({(t.actor, t.message_id) for t in touchpoints}) == rows


async def test_an_export_of_a_shop_through_its_recipe(stack: Stack, tmp_path: Path) -> None:
    export = Path(__file__).parents[2] / "fixtures" / "imports" / "shopify-orders.csv"
    text = await asyncio.to_thread(export.read_text)
    file = tmp_path / "orders.csv"
    file.write_bytes(text.encode("utf-16"))
    done = await throughline("import", str(file), "--as", "shopify-orders", *door(stack))
    assert done.status == 0, done.err
    assert "CSV, separator comma, utf-16" in done.err
    touchpoints = sorted(await read_touchpoints(stack.kafka, stack.touchpoints), key=lambda t: t.place)
    assert [(t.name, t.actor, t.order_id, t.value, t.place) for t in touchpoints] == [
        ("Order Completed", "ada@example.com", "5001", 118.0, 0),
        ("Order Completed", "bob@example.com", "5002", 50.0, 1),
        ("Order Refunded", "bob@example.com", "5002", 20.0, 2),
        ("Order Completed", "cy@example.com", "5003", 9.9, 3),
        ("Order Cancelled", "cy@example.com", "5003", 9.9, 4),
        ("Order Cancelled", "cy@example.com", "5003", 9.9, 5),
    ]
    assert json.loads(touchpoints[0].items) == [["LAMP-1", 2.0, 40.0], ["BULB-27", 1.0, 30.0]]
    both = await throughline("import", str(file), "--as", "shopify-orders", "--mapping", "m.toml", *door(stack))
    assert (both.status, "give one of them" in both.err) == (2, True)


async def test_a_wrong_key_and_wrong_files_are_said(stack: Stack, tmp_path: Path) -> None:
    file = str(write(tmp_path / "one.jsonl", '{"type": "track", "event": "A", "userId": "u"}\n'))
    denied = await throughline("import", file, "--url", ingest(stack).url, "--key", "tlw_wrong")
    assert denied.status == 1
    assert "answers 401: the write key is not known" in denied.err
    assert "the same command goes on after row 0" in denied.err
    for name, text, message in (
        ("a.txt", "", "is called neither .csv nor .jsonl"),
        ("a.csv", "name,amount\nx,1\n", "has no column anonymousId, userId; its columns are amount, name"),
    ):
        wrong = await throughline("import", str(await asyncio.to_thread(write, tmp_path / name, text)), *door(stack))
        assert (wrong.status, message in wrong.err) == ((2 if name == "a.txt" else 1), True), wrong.err


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[event", "not TOML"),
        ("[event]\nevent = 'A'", "event: needs a userId or an anonymousId"),
        ("[event]\nuserId = 'u'", "event.event: is missing"),
        ("[event]\nuserID = 'u'", "event.userID: is none of type, userId"),
        ("[event]\nuserId = { colum = 'u' }\nevent = 'A'", "event.userId: has to be a text, or { column"),
        ("[event]\nuserId = { column = 'u', numbr = true }\nevent = 'A'", "event.userId: numbr: is none of column"),
        ("time_zone = 'Wien'\n[event]\nuserId = 'u'\nevent = 'A'", "time_zone: 'Wien' is not a time zone"),
        ("rest = 1\n[event]\nuserId = 'u'\nevent = 'A'", "rest: has to be true or false"),
    ],
)
async def test_faults_of_a_mapping_name_file_and_field(text: str, fault: str, tmp_path: Path) -> None:
    mapping = str(await asyncio.to_thread(write, tmp_path / "m.toml", text))
    file = str(await asyncio.to_thread(write, tmp_path / "a.csv", "u\n1\n"))
    result = await throughline("import", file, "--mapping", mapping, "--dry-run")
    assert result.status == 2
    assert f"{mapping}: {fault}" in result.err
