"""Reading a CSV file of events: every fault is named before anything is sent."""

import gzip
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from throughline.demo.event_file import Columns, EventFileError, check

HEADER = "user_id,session,event,timestamp,acquisition_channel\n"
ROWS = "ada,s1,home,2024-03-13 10:21:14,email\nben,,search,2024-03-13T11:21:14+01:00,\n"
UTC_ZONE = ZoneInfo("UTC")


@pytest.fixture
def csv_file(tmp_path: Path) -> Path:
    path = tmp_path / "events.csv"
    path.write_text(HEADER + ROWS)
    return path


def test_rows_become_calls_with_their_own_times_and_numbers(csv_file: Path) -> None:
    first, second = check(csv_file, Columns(), UTC_ZONE).calls()
    assert first == {
        "user_id": "ada",
        "event": "home",
        "properties": {"session": "s1", "acquisition_channel": "email"},
        "timestamp": datetime(2024, 3, 13, 10, 21, 14, tzinfo=UTC_ZONE),
        "message_id": "000000001",
    }
    assert second["properties"] == {}
    assert second["timestamp"] == datetime(2024, 3, 13, 10, 21, 14, tzinfo=UTC)
    assert second["message_id"] == "000000002"


def test_gzip_is_told_by_content_and_a_byte_order_mark_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(gzip.compress(b"\xef\xbb\xbf" + (HEADER + ROWS).encode()))
    file = check(path, Columns(), UTC_ZONE)
    assert file.rows == len(list(file.calls())) == 2


def test_columns_zone_and_ids_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text("who,what,when,utm,id\nada,home,2024-07-01 12:00,ads,m-7\n")
    columns = Columns("who", "what", "when", "utm", "id")
    (call,) = check(path, columns, ZoneInfo("Europe/Vienna"), id_prefix="old-").calls()
    assert call["properties"] == {"acquisition_channel": "ads"}
    assert call["message_id"] == "old-m-7"
    assert call["timestamp"].astimezone(UTC) == datetime(2024, 7, 1, 10, tzinfo=UTC)


def test_a_share_of_the_rows_comes_twice_shuffled_or_not(tmp_path: Path) -> None:
    path = tmp_path / "events.csv"
    path.write_text(HEADER + "".join(f"u{n},s,home,2024-03-13 10:21:14,ads\n" for n in range(200)))
    file = check(path, Columns(), UTC_ZONE)
    in_order = [call["message_id"] for call in file.calls(duplicate=0.1)]
    shuffled = [call["message_id"] for call in file.calls(duplicate=0.1, shuffle=7)]
    assert in_order == sorted(in_order)
    assert shuffled != sorted(shuffled)
    assert shuffled == [call["message_id"] for call in file.calls(duplicate=0.1, shuffle=7)]
    for ids in (in_order, shuffled):
        assert Counter(Counter(ids).values()) == {1: 180, 2: 20}
    assert [call["message_id"] for call in file.calls()] == [f"{n:09d}" for n in range(1, 201)]


@pytest.mark.parametrize(
    ("content", "columns", "fault"),
    [
        ("", Columns(), "is empty; its first line has to name the columns"),
        (HEADER, Columns(user="customer"), "no column 'customer'; it has user_id, session, event, timestamp"),
        (HEADER, Columns(user="customer"), "choose one with --user-column"),
        (HEADER, Columns(event="what"), "choose one with --event-column"),
        (HEADER, Columns(time="when"), "choose one with --time-column"),
        (HEADER, Columns(channel="utm"), "choose one with --channel-column"),
        (HEADER, Columns(message_id="id"), "choose one with --id-column"),
        ("user_id,event,timestamp,x,x\n", Columns(), "the column 'x' twice"),
        (HEADER + ROWS + "cleo,s,home\n", Columns(), "line 4: 3 cells, the header has 5"),
        (HEADER + ",s,home,2024-03-13,a\n", Columns(), "line 2: user_id is empty"),
        (HEADER + "ada,s, ,2024-03-13,a\n", Columns(), "line 2: event is empty"),
        (HEADER + "ada,s,home,13.3.2024,a\n", Columns(), "line 2: timestamp is '13.3.2024', wanted a time like"),
        (HEADER + ",s,home,2024-03-13,a\n" * 7, Columns(), "7 of 7 rows"),
        (HEADER + ",s,home,2024-03-13,a\n" * 7, Columns(), "and 2 more"),
        ('user_id,event,timestamp\n"ada,home,2024-03-13\n', Columns(), "is not a CSV file in UTF-8"),
    ],
)
def test_faults_are_named(tmp_path: Path, content: str, columns: Columns, fault: str) -> None:
    path = tmp_path / "events.csv"
    path.write_text(content)
    with pytest.raises(EventFileError) as error:
        check(path, columns, UTC_ZONE)
    assert fault in str(error.value)


@pytest.mark.parametrize(
    "content",
    [b"\xff\xfe\x00", gzip.compress(b"user_id,event,timestamp\n" * 99)[:-12]],
    ids=["bytes", "half a gzip"],
)
def test_a_file_that_is_no_text_is_said(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "events.csv"
    path.write_bytes(content)
    with pytest.raises(EventFileError, match="is not a CSV file in UTF-8"):
        check(path, Columns(), UTC_ZONE)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(EventFileError, match="No such file"):
        check(tmp_path / "none.csv", Columns(), UTC_ZONE)
