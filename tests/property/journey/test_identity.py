"""Who is who: equal to the naive walk over the sorted links, whatever the order they came in, and always undoable."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet

from hypothesis import given
from hypothesis import strategies as st

from tests.reference import owners, replay, root
from tests.strategies.touchpoints import DAY_US, MODELS, START_US, logs, ruling_of, watermarks
from throughline.journey.identity import ALIAS, IDENTIFY, RULINGS, Link, links_of, owners_of, root_of
from throughline.journey.touchpoint import Touchpoint

IDS = ("a", "b", "c", "d", "e")
ids = st.sampled_from(IDS)
links = st.lists(
    st.builds(
        Link,
        st.integers(0, 6),
        st.integers(0, 1),
        st.sampled_from(["", "m1", "m2"]),
        ids,
        ids,
        st.sampled_from([IDENTIFY, ALIAS]),
    ).filter(lambda link: link.id != link.owner),
    max_size=12,
)
pairs = st.frozensets(st.tuples(ids, ids), max_size=4)


def facts_of(log: Iterable[Touchpoint]) -> list[Touchpoint]:
    """The first event of each message id of an actor; a crawler is nobody."""
    first: dict[tuple[str, str], Touchpoint] = {}
    for event in log:
        first.setdefault((event.actor, event.message_id), event)
    return [event for event in first.values() if not event.bot and not event.test]


def owners_by_rule(facts: Sequence[Touchpoint]) -> dict[str, Link]:
    """The owners by the code that the stager runs."""
    all_links = [
        link
        for event in facts
        for link in links_of(
            event.call,
            event.occurred_us,
            event.place,
            event.message_id,
            event.user_id,
            event.anonymous_id,
            event.previous_id,
        )
    ]
    users = {event.user_id for event in facts if event.user_id and event.call not in RULINGS}
    rulings = sorted(event for event in facts if event.call in RULINGS)
    last_calls = {(event.previous_id, event.user_id): event.call for event in rulings}
    return owners_of(all_links, users, {pair for pair, call in last_calls.items() if call == "unlink"})


def partition_of(facts: Sequence[Touchpoint]) -> dict[str, str]:
    """Which customer each id that some event carries belongs to."""
    owned = owners_by_rule(facts)
    named = {id_ for event in facts for id_ in (event.actor, event.user_id, event.anonymous_id, event.previous_id)}
    return {id_: root_of(id_, owned) for id_ in named - {""}}


@given(logs())
def test_owners_are_the_naive_owners(log: list[Touchpoint]) -> None:
    facts = facts_of(log)
    expected = owners(facts)
    assert {id_: tuple(link) for id_, link in owners_by_rule(facts).items()} == {
        id_: tuple(link) for id_, link in expected.items()
    }
    assert partition_of(facts) == {id_: root(id_, expected) for id_ in partition_of(facts)}


@given(links, st.frozensets(ids), pairs, st.data())
def test_any_permutation_of_links_gives_the_same_owners(
    some: list[Link], users: AbstractSet[str], void: AbstractSet[tuple[str, str]], data: st.DataObject
) -> None:
    expected = owners_of(some, users, void)
    assert owners_of(data.draw(st.permutations(some)), users, void) == expected
    assert owners_of(some + some, users, void) == expected


@given(links, st.frozensets(ids), pairs)
def test_an_owner_is_the_first_link_that_may_count(
    some: list[Link], users: AbstractSet[str], void: AbstractSet[tuple[str, str]]
) -> None:
    """No ring; no void link; every link that is not one's own was late, void, inferred of a user, or closed a ring."""
    owned = owners_of(some, users, void)
    for id_ in IDS:
        steps = 0
        current = id_
        while current in owned:
            current, steps = owned[current].owner, steps + 1
            assert steps < len(IDS)
        assert root_of(id_, owned) == current
    for id_, link in owned.items():
        assert link in some
        assert link.id == id_
        assert (id_, link.owner) not in void
        assert link.by == ALIAS or id_ not in users
    for link in some:
        if (link.id, link.owner) in void or (link.by == IDENTIFY and link.id in users):
            continue
        if link.id in owned:
            earlier = {other for other in owned.values() if other < link}
            ring = root_of(link.owner, {other.id: other for other in earlier}) == link.id
            assert owned[link.id] <= link or ring
        else:
            assert root_of(link.owner, owned) == link.id


@given(logs())
def test_what_an_event_does_not_say_it_does_not_link(log: list[Touchpoint]) -> None:
    for event in log:
        for link in links_of(
            event.call,
            event.occurred_us,
            event.place,
            event.message_id,
            event.user_id,
            event.anonymous_id,
            event.previous_id,
        ):
            assert event.call not in RULINGS
            assert link.owner == event.user_id != link.id
            assert link.id == (event.previous_id if link.by == ALIAS else event.anonymous_id) != ""
            assert link.by == IDENTIFY or event.call == "alias"


@given(logs(), ids, ids, st.integers(0, 3))
def test_an_unmerge_after_a_merge_is_never_merged(log: list[Touchpoint], owner: str, id_: str, day: int) -> None:
    """An alias that is unlinked, sooner or later than it was sent, changes nothing; relinked, it is back."""
    id_, owner = f"x{id_}", f"u{owner}"
    facts = facts_of(log)
    event = Touchpoint(START_US, 0, "sure", owner, "track", "home", 1, user_id=owner)
    other = event._replace(actor=id_, user_id=id_)
    before = [*facts, event, other]
    merge = Touchpoint(START_US + DAY_US, 0, "merge", owner, "alias", "", 1, user_id=owner, previous_id=id_)
    unlink = ruling_of("unlink", owner, id_, START_US + day * DAY_US, "undo")
    relink = ruling_of("relink", owner, id_, START_US + day * DAY_US + 1, "redo")
    merged = partition_of([*before, merge])
    assert merged[id_] == merged[owner]
    apart = partition_of([*before, merge, unlink])
    assert apart == partition_of(before)
    assert apart == partition_of([unlink, merge, *before])
    assert partition_of([*before, merge, unlink, relink]) == merged
    assert partition_of([relink, unlink, merge, *before]) == merged
    again = merge._replace(message_id="merge again", occurred_us=unlink.occurred_us + DAY_US)
    assert partition_of([*before, merge, unlink, again]) == apart


@given(logs(ids=5), st.data())
def test_an_unlink_of_any_pair_is_as_if_the_pair_had_never_been_linked(
    log: list[Touchpoint], data: st.DataObject
) -> None:
    facts = facts_of(log)
    owned = owners_by_rule(facts)
    if not owned:
        return
    link = data.draw(st.sampled_from(sorted(owned.values())))
    late = max(event.occurred_us for event in facts) + 1
    unlink = ruling_of("unlink", link.owner, link.id, late, "undo")
    relink = ruling_of("relink", link.owner, link.id, late + 1, "redo")
    without = [parted(event, link.id, link.owner) for event in facts]
    users = {event.user_id for event in facts if event.user_id and event.call not in RULINGS}
    home = Touchpoint(START_US, 0, "kept", "nobody", "track", "home", 1)
    still = [home._replace(message_id=f"kept {user}", actor=user, user_id=user) for user in users]
    assert partition_of([*facts, unlink]) == partition_of([*without, *still, unlink])
    assert partition_of([*facts, unlink, relink]) == partition_of(facts)


def parted(event: Touchpoint, id_: str, owner: str) -> Touchpoint:
    """The event, had it not linked this pair."""
    if event.call in RULINGS or event.user_id != owner:
        return event
    if event.anonymous_id == id_:
        event = event._replace(anonymous_id="")
    if event.call == "alias" and event.previous_id == id_:
        event = event._replace(previous_id="")
    return event


@given(logs())
def test_two_users_join_by_alias_only(log: list[Touchpoint]) -> None:
    facts = [event for event in facts_of(log) if event.call != "alias"]
    where = partition_of(facts)
    users = {event.user_id for event in facts if event.user_id and event.call not in RULINGS}
    assert all(where[user] == user for user in users)


@given(log=logs(), name=st.sampled_from(MODELS), data=st.data())
def test_every_id_is_in_one_customer_and_every_customer_in_one_place(
    log: list[Touchpoint], name: str, data: st.DataObject
) -> None:
    """The reference itself: its customers hold each id once, its counts each customer once, at every instant."""
    replayed = replay(log, name, data.draw(watermarks(log)), "Asia/Kolkata")
    where = partition_of(facts_of(log))
    for customer, state in replayed.customers.items():
        assert {where[member] for member in state.members} == {customer}
    members = [member for customer in replayed.customers.values() for member in customer.members]
    assert len(members) == len(set(members))
    for instant in {event.occurred_us + late for event in log for late in (0, 1)}:
        begun = [
            customer_state for customer_state in replayed.customers.values() if customer_state.state.first_us < instant
        ]
        counted = replayed.counts_at(instant)
        assert sum(count.active + count.lapsed for count in counted.values()) == len(begun)


def test_of_links_of_one_instant_the_first_of_the_request_counts() -> None:
    """A list of events says who came first, whatever their message ids are."""
    events = [
        Touchpoint(START_US, place, message, user, "identify", "", 1, user_id=user, anonymous_id="device")
        for place, message, user in ((0, "z", "ada"), (1, "a", "bob"))
    ]
    for facts in (events, events[::-1]):
        assert owners_by_rule(facts)["device"].owner == "ada"
        assert owners(facts)["device"].owner == "ada"
