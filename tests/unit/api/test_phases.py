"""The counts' answer."""

import json

from services.api.phases.answers import Counts, counts_answer
from services.api.shared.answers import EncodedAnswer
from services.api.shared.sums import Sums
from throughline.models import load_model

MODEL = load_model("seven_phase")


def counts_of(sums: dict[int, Sums], at_us: int | None = 1) -> EncodedAnswer[Counts]:
    return counts_answer(MODEL, sums, as_of_us=at_us, applied_watermark_us=at_us)


def test_counts_add_up_and_name_every_phase() -> None:
    body = json.loads(counts_of({0: Sums(active=3), 2: Sums(5, 2, 1, 9, 2, 4), 4: Sums(1, 0, 0, 1)}).body)
    assert body["model"] == "seven_phase"
    assert body["as_of"] == "1970-01-01T00:00:00.000001Z"
    assert (body["customers"], body["unplaced"]) == (8, 3)
    assert [phase["phase"] for phase in body["phases"]] == [phase.name for phase in MODEL.phases]
    assert body["phases"][1] == {
        "phase": "consideration", "now": 7, "active": 5, "lapsed": 2, "abandoned": 1, "churned": 1, "entered": 9,
        "left": 2, "returned": 4, "withheld": False, "links": {},
    }  # fmt: skip
    assert body["phases"][0]["now"] == 0


def test_the_etag_names_the_counts_and_not_the_time() -> None:
    first = counts_of({1: Sums(1, 0, 0, 1)}, 1)
    later = counts_of({1: Sums(1, 0, 0, 1)}, 2)
    other = counts_of({1: Sums(0, 1, 0, 1)}, 2)
    assert first.etag == later.etag != other.etag
    assert first.body != later.body
    assert json.loads(counts_of({}, None).body)["as_of"] is None
