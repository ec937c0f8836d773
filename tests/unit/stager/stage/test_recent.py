"""The rows of the last events as stager plans them: bounded, whatever comes."""

from typing import NamedTuple

from services.stager.stage.decode import Batch, prepare
from services.stager.stage.models import WorkspaceModels
from services.stager.stage.recent import MAX_ROWS, RingRow, recent_of
from throughline.journey.touchpoint import Touchpoint
from throughline.store.facts import key_of
from throughline.store.recent import RECENT_COLUMNS, RING_SIZE
from throughline.wire.codec import encode

EVENT = Touchpoint(
    1_700_000_000_000_000, 0, "m", "ada", "track", "Product Viewed", 1, 1, "direct", 1_700_000_000_000_001
)


class Record(NamedTuple):
    """A record as it stands in a log."""

    offset: int
    value: bytes
    timestamp: int = 1_700_000_001_000


def batch_of(*log: Touchpoint) -> Batch:
    records = [Record(offset, encode(touchpoint)) for offset, touchpoint in enumerate(log)]
    return prepare({0: records}, {1: WorkspaceModels(1, 0, ())}, topic="touchpoints")


def rows_of(batch: Batch) -> list[RingRow]:
    facts = {key_of(row): row for row in batch.rows}
    return recent_of(batch, (), facts).rows


def test_a_row_is_in_the_order_of_the_store() -> None:
    assert RingRow._fields == ("ring", "shard", *RECENT_COLUMNS)


def test_of_a_source_the_last_are_written_and_of_very_many_fewer() -> None:
    rows = rows_of(batch_of(*(EVENT._replace(message_id=f"m{n}") for n in range(100))))
    assert [(row.number, row.message_id) for row in rows] == [(n + 1, f"m{n}") for n in range(100 - RING_SIZE, 100)]
    odd = EVENT._replace(message_id="odd", warnings=("illegal_id",))
    assert [row.ring for row in rows_of(batch_of(odd, *(EVENT._replace(message_id=f"m{n}") for n in range(9))))] == [
        *[0] * 9,
        1,
    ]
    many = rows_of(batch_of(*(EVENT._replace(message_id=f"m{n}", source=1 + n % 100) for n in range(1_000))))
    assert len(many) == MAX_ROWS // 100 * 100
    assert {row.number for row in many} == set(range(11 - MAX_ROWS // 100, 11))
    crowd = rows_of(batch_of(*(EVENT._replace(message_id=f"m{n}", source=n + 1) for n in range(2 * MAX_ROWS))))
    assert len(crowd) == 2 * MAX_ROWS  # each source has its last


def test_rows_are_small_and_a_ruling_is_no_event() -> None:
    long = EVENT._replace(actor="a" * 600, name="n" * 600, channel="c" * 600, warnings=("w" * 150, "x" * 150))
    batch = batch_of(long, EVENT._replace(source=0, call="unlink", message_id="ruling"))
    (row,) = rows_of(batch)
    assert [len(text) for text in (row.actor, row.name, row.channel, row.warnings)] == [512, 200, 200, 200]
