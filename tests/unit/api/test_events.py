"""The answer about the last events, and a meaning for every warning code."""

import ast
from collections.abc import Iterator
from pathlib import Path

import services.ingest
from services.api.events.answers import RecentState, Warning, explained, recent_answer
from services.api.events.explanations import WARNINGS
from services.api.events.queries import RecentRow
from services.api.rejected.queries import RejectedCountRow, RejectedRow
from services.stager.stage.recent import CONFLICT, DUPLICATE

INGEST = Path(services.ingest.__file__).parent


def codes_of_ingest() -> Iterator[str]:
    """The codes of all warnings that the source of ingest gives."""
    for file in sorted(INGEST.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "warning":
                (code, *_) = node.args
                assert isinstance(code, ast.Constant), f"{file.name}:{node.lineno}: a code has to be written out"
                yield str(code.value)


def test_every_code_has_a_meaning_and_every_meaning_a_code() -> None:
    assert {*codes_of_ingest(), DUPLICATE, CONFLICT} == WARNINGS.keys()
    assert explained("bot,tomorrow") == [
        Warning("bot", WARNINGS["bot"]),
        Warning("tomorrow", None),
    ]
    assert explained("") == []


def test_the_answer_is_newest_first_and_its_etag_names_what_came() -> None:
    accepted = RecentRow(1, 0, 7, 7, 50, 40, "ada", "m7", "track", "Viewed", "direct", False, "")
    rejected = RejectedRow(3, 9, 60, "ingest", "missing_id", "userId", "why", "", "m8", b"\xc3\xa9"[:1], 2, "", "", "")
    counts = [
        RejectedCountRow(1, "ingest", "missing_id", "", 5, 5),
        RejectedCountRow(1, "consent", "no_consent", "", 7, 0),
    ]
    answer = recent_answer(RecentState([accepted], [rejected], counts, 0, 70), {1: "web"}, 50)
    later = recent_answer(RecentState([accepted], [rejected], counts, 0, 80), {1: "web"}, 50)
    assert (answer.etag, answer.as_of) == (later.etag, "1970-01-01T00:00:00.000070Z")
    assert answer.body.index(b'"r3"') < answer.body.index(b'"1-0-7-7"')
    assert b'"verdict":"rejected"' in answer.body
    assert b'"sampled":false' in answer.body  # what is dropped is never kept
    more = [accepted._replace(number=8), accepted]
    newest = recent_answer(RecentState(more, [rejected], counts, 0, 80), {1: "web"}, 1)
    assert newest.etag == recent_answer(RecentState([], [rejected], counts, 0, 80), {1: "web"}, 50).etag
    assert newest.etag != answer.etag
