"""The rows of the last events as stager plans them: bounded, whatever comes."""

from typing import NamedTuple

from services.stager.stage.decode import Batch, prepare
from services.stager.stage.models import WorkspaceModels
from services.stager.stage.recent import MOST_ROWS, recent_of
from throughline.journey.touchpoint import Touchpoint
from throughline.store.recent import RECENT_COLUMNS, RING_SIZE
from throughline.wire.codec import encode

EVENT = Touchpoint(1_700_000_000_000_000, "m", "ada", "track", "Product Viewed", 1, 1, "direct", 1_700_000_000_000_001)


class Record(NamedTuple):
    """A record as it stands in a log."""

    offset: int
    value: bytes
    timestamp: int = 1_700_000_001_000
    key: bytes | None = None


def batch_of(*log: Touchpoint) -> Batch:
    records = [Record(offset, encode(touchpoint)) for offset, touchpoint in enumerate(log)]
    return prepare(records, {1: WorkspaceModels(1, 0, ())}, topic="touchpoints", partition=0)


def planned(batch: Batch) -> list[dict[str, object]]:
    new = {row[1] for row in batch.rows}
    first = {row[1]: row for row in batch.rows}
    return [dict(zip(("ring", *RECENT_COLUMNS), row, strict=True)) for row in recent_of(batch, new, first).rows]


def test_of_a_source_the_last_are_written_and_of_very_many_fewer() -> None:
    rows = planned(batch_of(*(EVENT._replace(message_id=f"m{n}") for n in range(100))))
    assert [(row["number"], row["message_id"]) for row in rows] == [
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


def test_rows_are_small_and_a_ruling_is_no_event() -> None:
    long = EVENT._replace(actor="a" * 600, name="n" * 600, channel="c" * 600, warnings=("w" * 150, "x" * 150))
    batch = batch_of(long, EVENT._replace(source=0, call="unlink", message_id="ruling"))
    (row,) = planned(batch)
    assert [len(str(row[name])) for name in ("actor", "name", "channel", "warnings")] == [512, 200, 200, 200]
