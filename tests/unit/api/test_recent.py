"""The last events as they are planned and told: bounded rows, and a meaning for every code."""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import services.ingest
from services.api.events.answers import Events, recent_body
from services.api.events.explanations import WARNINGS, explained
from services.api.events.queries import RecentRow
from services.api.rejected.queries import RejectedCount, RejectedRow
from services.stager.stage.changes import Workspace
from services.stager.stage.decode import Batch, prepare
from services.stager.stage.recent import CONFLICT, DUPLICATE, MOST_ROWS, recent_of
from throughline.journey.touchpoint import Touchpoint
from throughline.store.recent import RECENT_COLUMNS, RING_SIZE
from throughline.wire.codec import encode

EVENT = Touchpoint(1_700_000_000_000_000, "m", "ada", "track", "Product Viewed", 1, 1, "direct", 1_700_000_000_000_001)
INGEST = Path(services.ingest.__file__).parent


def given_codes() -> Iterator[str]:
    """The codes of all warnings that the source of ingest gives."""
    for file in sorted(INGEST.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "warning":
                (code, *_) = node.args
                assert isinstance(code, ast.Constant), f"{file.name}:{node.lineno}: a code has to be written out"
                yield str(code.value)


def test_every_code_has_a_meaning_and_every_meaning_a_code() -> None:
    assert {*given_codes(), DUPLICATE, CONFLICT} == WARNINGS.keys()
    assert explained("bot,tomorrow") == [
        {"code": "bot", "explanation": WARNINGS["bot"]},
        {"code": "tomorrow", "explanation": None},
    ]
    assert explained("") == []


class Kept(NamedTuple):
    """A record as it stands in a log."""

    offset: int
    value: bytes
    timestamp: int = 1_700_000_001_000
    key: bytes | None = None


def batch_of(*log: Touchpoint) -> Batch:
    records = [Kept(offset, encode(one)) for offset, one in enumerate(log)]
    return prepare(records, {1: Workspace(1, 0, ())}, topic="touchpoints", partition=0)


def planned(batch: Batch) -> list[dict[str, object]]:
    new = {row[1] for row in batch.rows}
    first = {row[1]: row for row in batch.rows}
    return [dict(zip(("ring", *RECENT_COLUMNS), row, strict=True)) for row in recent_of(batch, new, first).rows]


def test_of_a_source_the_last_are_written_and_of_very_many_fewer() -> None:
    one = planned(batch_of(*(EVENT._replace(message_id=f"m{n}") for n in range(100))))
    assert [(row["number"], row["message_id"]) for row in one] == [
        (n + 1, f"m{n}") for n in range(100 - RING_SIZE, 100)
    ]
    odd = EVENT._replace(message_id="odd", warnings=("illegal_id",))
    assert [row["ring"] for row in planned(batch_of(odd, *(EVENT._replace(message_id=f"m{n}") for n in range(9))))] == [
        *[0] * 9,
        1,
    ]
    many = planned(batch_of(*(EVENT._replace(message_id=f"m{n}", source=1 + n % 100) for n in range(1_000))))
    assert len(many) == MOST_ROWS // 100 * 100
    assert {row["number"] for row in many} == set(range(11 - MOST_ROWS // 100, 11))
    crowd = planned(batch_of(*(EVENT._replace(message_id=f"m{n}", source=n + 1) for n in range(2 * MOST_ROWS))))
    assert len(crowd) == 2 * MOST_ROWS  # each source has its last


def test_rows_are_small_and_an_operators_word_is_no_event() -> None:
    long = EVENT._replace(actor="a" * 600, name="n" * 600, channel="c" * 600, warnings=("w" * 150, "x" * 150))
    batch = batch_of(long, EVENT._replace(source=0, call="unlink", message_id="said"))
    (row,) = planned(batch)
    assert [len(str(row[name])) for name in ("actor", "name", "channel", "warnings")] == [512, 200, 200, 200]


def test_the_answer_is_newest_first_and_its_etag_names_what_came() -> None:
    taken = RecentRow(1, 0, 7, 7, 50, 40, "ada", "m7", "track", "Viewed", "direct", False, "")
    refused = RejectedRow(3, 9, 60, "ingest", "missing_id", "userId", "why", "", "m8", b"\xc3\xa9"[:1], 2, "", "", "")
    counts = [RejectedCount(1, "ingest", "missing_id", "", 5, 5), RejectedCount(1, "consent", "no_consent", "", 7, 0)]
    answer = recent_body(Events([taken], [refused], counts, 0, 70), {1: "web"}, 50)
    again = recent_body(Events([taken], [refused], counts, 0, 80), {1: "web"}, 50)
    assert (answer.etag, answer.as_of) == (again.etag, "1970-01-01T00:00:00.000070Z")
    assert answer.body.index(b'"r3"') < answer.body.index(b'"1-0-7-7"')
    assert b'"verdict":"rejected"' in answer.body
    assert b'"sampled":false' in answer.body  # what is dropped is never kept
    more = recent_body(Events([taken._replace(number=8), taken], [refused], counts, 0, 80), {1: "web"}, 1)
    assert more.etag == recent_body(Events([], [refused], counts, 0, 80), {1: "web"}, 50).etag
    assert more.etag != answer.etag
