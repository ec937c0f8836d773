"""Links beyond what one request may make: the events count, their links are not made, and the verdicts say so."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.ingest.event.verdict import Verdict
from services.ingest.validate.links import MAX_REQUEST_LINKS, _most_joined, limit_links
from services.ingest.validate.request import Result
from tests.support.dialect_requests import batch, parsed, post, rest, validated
from throughline.journey.identity import Link, links_of
from throughline.journey.touchpoint import Touchpoint

TIME = "2026-11-23T20:28:00Z"
OVER = MAX_REQUEST_LINKS + 30


def one_user(count: int = OVER) -> list[dict[str, Any]]:
    return [
        {
            "type": "track",
            "event": "Product Viewed",
            "userId": "everybody",
            "anonymousId": f"device-{n}",
            "timestamp": TIME,
        }
        for n in range(count)
    ]


def linked_by(event: Touchpoint) -> list[Link]:
    return links_of(event.call, 0, 0, "", event.user_id, event.anonymous_id, event.previous_id)


def too_many(result: Result) -> list[tuple[int, Verdict]]:
    """The position and the warning of each event whose verdict, or one beside it, is `too_many_ids`."""
    return [
        (position, each)
        for position, verdict in enumerate(result.verdicts)
        if verdict is not None
        for each in (verdict, *verdict.others)
        if each.code == "too_many_ids"
    ]


def test_one_user_with_ever_more_devices() -> None:
    result = batch(*one_user())
    assert len(result.touchpoints) == OVER
    warned = too_many(result)
    assert [position for position, _ in warned] == list(range(MAX_REQUEST_LINKS, OVER))
    _, verdict = warned[0]
    assert (verdict.status, verdict.field) == ("warning", "anonymousId")
    assert "user id of its own" in verdict.message
    made, refused = result.touchpoints[MAX_REQUEST_LINKS - 1], result.touchpoints[MAX_REQUEST_LINKS]
    assert (made.anonymous_id, made.warnings) == ("device-99", ())
    assert (refused.user_id, refused.anonymous_id, refused.warnings) == ("everybody", "", ("too_many_ids",))
    assert rest(refused)["anonymousId"] == "device-100"


def test_a_refused_id_stands_beside_everything_else_that_was_sent() -> None:
    events = [event | {"properties": {"color": "green"}} for event in one_user()]
    assert rest(batch(*events).touchpoints[-1]) == {
        "properties": {"color": "green"},
        "anonymousId": f"device-{OVER - 1}",
    }


def test_a_batch_of_many_persons_is_not_limited() -> None:
    result = batch(
        *(
            {"type": "identify", "userId": f"user-{n}", "anonymousId": f"device-{n}", "timestamp": TIME}
            for n in range(2 * OVER)
        )
    )
    assert too_many(result) == []
    assert all(touchpoint.anonymous_id for touchpoint in result.touchpoints)


def test_the_same_device_again_is_no_further_link() -> None:
    events = one_user(MAX_REQUEST_LINKS)
    assert too_many(batch(*events, *events)) == []


def test_a_shared_device_with_ever_more_users() -> None:
    result = batch(
        *({"type": "identify", "userId": f"user-{n}", "anonymousId": "till", "timestamp": TIME} for n in range(OVER))
    )
    assert [position for position, _ in too_many(result)] == list(range(MAX_REQUEST_LINKS, OVER))


def test_a_chain_of_aliases_is_cut() -> None:
    result = batch(
        *({"type": "alias", "userId": f"u{n + 1}", "previousId": f"u{n}", "timestamp": TIME} for n in range(3 * OVER))
    )
    fields = {verdict.field for _, verdict in too_many(result)}
    assert fields == {"previousId"}
    assert {touchpoint.call for touchpoint in result.touchpoints} == {"alias"}
    assert max(sizes_of([(t.previous_id, t.user_id) for t in result.touchpoints if t.previous_id])) == 101


def test_warnings_of_the_event_stay() -> None:
    events = [event | {"messageId": " m "} for event in one_user()]
    result = batch(*(event | {"messageId": f" m{n} "} for n, event in enumerate(events)))
    assert len(too_many(result)) == OVER - MAX_REQUEST_LINKS
    assert result.verdicts[0] is not None
    assert result.verdicts[0].code == "cleaned_id"


def test_rejected_events_among_them_keep_their_verdicts() -> None:
    events = one_user()
    events.insert(3, {"type": "track", "event": "", "timestamp": TIME})
    result = batch(*events)
    assert result.verdicts[3] is not None
    assert result.verdicts[3].status == "rejected"
    assert [position for position, _ in too_many(result)] == list(range(MAX_REQUEST_LINKS + 1, OVER + 1))


POSTHOG = [
    {"event": "$identify", "distinct_id": "everybody", "properties": {"$anon_distinct_id": f"d{n}"}, "timestamp": TIME}
    for n in range(OVER)
]
MERGES = [
    {"event": "$merge_dangerously", "distinct_id": "everybody", "properties": {"alias": f"d{n}"}, "timestamp": TIME}
    for n in range(OVER)
]
ALIASES = [
    {"event": "$create_alias", "distinct_id": "everybody", "properties": {"alias": f"d{n}"}, "timestamp": TIME}
    for n in range(OVER)
]
SNOWPLOW = [{"e": "pv", "uid": "everybody", "duid": f"d{n}", "eid": f"e{n}", "page": "x"} for n in range(OVER)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/batch", {"api_key": "k", "batch": POSTHOG}),
        ("/batch", {"api_key": "k", "batch": MERGES}),
        ("/batch", {"api_key": "k", "batch": ALIASES}),
        (
            "/com.snowplowanalytics.snowplow/tp2",
            {"schema": "iglu:com.snowplowanalytics.snowplow/payload_data/jsonschema/1-0-4", "data": SNOWPLOW},
        ),
    ],
)
def test_links_of_every_dialect_are_limited(path: str, body: dict[str, Any]) -> None:
    result = validated(parsed(post(body, path=path)))
    assert len(result.touchpoints) == OVER
    warned = too_many(result)
    assert len(warned) == OVER - MAX_REQUEST_LINKS
    linked = {
        link
        for t in result.touchpoints
        for link in links_of(t.call, 0, 0, "", t.user_id, t.anonymous_id, t.previous_id)
    }
    assert len(linked) == MAX_REQUEST_LINKS
    assert all(verdict.field in verdict.message for _, verdict in warned)


@pytest.mark.parametrize(
    ("event", "field"),
    [
        ({"type": "track", "event": "Bought", "userId": "everybody", "anonymousId": "d"}, "userId"),
        ({"type": "track", "event": "Bought", "userId": "ada", "anonymousId": "everybody"}, "anonymousId"),
        ({"type": "alias", "userId": "ada", "previousId": "everybody"}, "previousId"),
        ({"type": "track", "event": "Bought", "userId": "everybody"}, None),
        ({"type": "track", "event": "Bought", "anonymousId": "everybody"}, None),
        ({"type": "track", "event": "Bought", "userId": "everybody", "anonymousId": "everybody"}, None),
        ({"type": "track", "event": "Bought", "userId": "ada", "anonymousId": "d"}, None),
    ],
)
def test_further_links_of_a_suspect_warn(event: dict[str, Any], field: str | None) -> None:
    result = batch(event | {"timestamp": TIME}, settings={"suspects": frozenset({"everybody"})})
    assert [verdict.field for _, verdict in too_many(result)] == ([] if field is None else [field])
    (touchpoint,) = result.touchpoints
    # Whether the link is new, only the stager knows.
    assert (touchpoint.user_id, touchpoint.anonymous_id) == (event.get("userId", ""), event.get("anonymousId", ""))
    assert touchpoint.warnings == (() if field is None else ("too_many_ids",))


def sizes_of(links: list[tuple[str, str]]) -> list[int]:
    """The number of ids of each person, by walking from every id to all that it is linked to."""
    sizes = []
    for start in {end for link in links for end in link}:
        reached, waiting = {start}, [start]
        while waiting:
            at = waiting.pop()
            following = {b for a, b in links if a == at} | {a for a, b in links if b == at}
            waiting += following - reached
            reached |= following
        sizes.append(len(reached))
    return sizes


@given(
    st.lists(
        st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh"), st.sampled_from(["track", "alias"])),
        max_size=30,
    ),
    st.integers(1, 4),
)
def test_no_person_has_more_ids_than_the_limit_and_whatever_fits_is_linked(
    pairs: list[tuple[str, str, str]], limit: int
) -> None:
    events = [
        Touchpoint(
            n,
            0,
            f"m{n}",
            user,
            call,
            "",
            user_id=user,
            anonymous_id="" if call == "alias" else id_,
            previous_id=id_ if call == "alias" else "",
        )
        for n, (id_, user, call) in enumerate(pairs)
    ]
    limited = limit_links(events, limit, frozenset())
    kept: list[tuple[str, str]] = []
    for number, (id_, user, _) in enumerate(pairs):
        fits = id_ == user or max(sizes_of([*kept, (id_, user)]), default=0) <= limit + 1
        assert (number in limited) == (not fits), (pairs, number)
        if fits and id_ != user:
            kept.append((id_, user))
    for event in (limited[number].touchpoint for number in limited):
        assert linked_by(event) == []
        assert len(json.loads(event.rest)) == 1


@given(st.lists(st.tuples(st.sampled_from("abcdefghij"), st.sampled_from("abcdefghij")), min_size=1, max_size=15))
def test_no_person_has_more_joined_ids_than_the_quick_bound(pairs: list[tuple[str, str]]) -> None:
    links = dict.fromkeys(pairs)
    assert max(sizes_of(pairs), default=1) - 1 <= _most_joined(links)
