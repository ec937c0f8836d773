"""Logs are one line each, in UTC; a client that cannot connect does not flood them."""

import logging
import re
import time
from collections.abc import Iterator

import pytest

from throughline.kit import logs


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in logs.LIBRARIES}
    root.handlers = []  # `configure` closes those it takes away
    yield
    root.handlers, root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)


@pytest.fixture
def tokyo() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "Asia/Tokyo")
        time.tzset()
        yield
    time.tzset()


@pytest.mark.usefixtures("tokyo")
def test_a_line_has_its_instant_in_utc(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    logger = logging.getLogger("stager")
    record = logger.makeRecord("stager", logging.INFO, "", 0, "staged %d", (5,), None)
    record.created, record.msecs = 0.25, 250
    logger.handle(record)
    assert capsys.readouterr().err == "1970-01-01T00:00:00.250Z INFO stager: staged 5\n"


def test_libraries_are_heard_from_warnings_on(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("info")
    logging.getLogger("alembic.runtime").info("running")
    logging.getLogger("alembic.runtime").warning("odd")
    assert re.fullmatch(r"\S+Z WARNING alembic.runtime: odd\n", capsys.readouterr().err)


def test_a_client_that_cannot_connect_is_heard_once_in_ten_seconds(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: clock)
    logs.configure("info")
    logger = logging.getLogger("aiokafka.conn")
    for clock in (100.0, 105.0, 111.0):
        logger.error("cannot connect to %s", clock)
    assert [line.rpartition(" ")[2] for line in capsys.readouterr().err.splitlines()] == ["100.0", "111.0"]
    logs.configure("debug")
    for _ in range(2):
        logger.error("cannot connect to %s", "it")
    assert len(capsys.readouterr().err.splitlines()) == 2
