"""Strategies for logs of touchpoints: few ids, few instants and gaps around every window, so that many collide."""

from collections.abc import Iterable, Sequence
from typing import Any

from hypothesis import strategies as st

from throughline.journey.fold import distinct
from throughline.journey.identity import RULINGS
from throughline.journey.touchpoint import Touchpoint

MODELS = ("seven_phase", "six_stage", "need_to_review", "five_stage")

START_US = 1_700_000_000_000_000
DAY_US = 86_400_000_000

WINDOWS_US = tuple(days * DAY_US for days in (7, 14, 30, 60, 90, 180))
"""Every lapse window of the shipped models."""

NAMES = (
    "Promotion Viewed", "Email Delivered", "Session Start", "store_visit", "product_view", "review_page", "Signed Up",
    "support_chat", "Message Received", "Product Added", "add_to_cart", "Product Removed", "remove_from_cart",
    "cart_viewed", "Checkout Started", "proposal_sent", "disqualify_lead", "Order Completed", "purchase",
    "Order Cancelled", "Order Refunded", "Order Fulfilled", "tutorialComplete", "survey_answered",
    "Loyalty Card Joined", "Product Reviewed", "Product Shared", "Account Deleted", "Coffee Spilled", "error_page",
)  # fmt: skip
"""An event name of every kind with a different effect, and some that are unmapped."""


_ITEMS = ('[["p1",1,null]]', '[["p1",1,4.0],["p2",2,3.0]]', '[["p2",2,null]]', '[["p1",1,null],["p2",2,null]]')
_SAID_OF_ORDERS: tuple[dict[str, Any], ...] = (
    {"value": 10.0, "total": 11.8},
    {"total": 10.0, "value": 10.0, "currency": "EUR"},
    {"value": 6.0, "currency": "EUR"},
    {"value": -4.0, "currency": "EUR"},
    {"value": 4.0, "currency": "JPY"},
    {"total": 5.9, "value": 5.0},
    *({"items": items} for items in _ITEMS),
    {"value": 10.0, "items": _ITEMS[1]},
    {"value": 10.0, "test": True},
    {"value": 10.0, "items": _ITEMS[3], "currency": "EUR"},
)
"""What events say of an order's value, and of its lines."""


def _contents() -> list[dict[str, Any]]:
    """Contents of touchpoints; those that change orders and carts are more frequent."""
    choices: list[dict[str, Any]] = [{"call": "track", "name": name} for name in NAMES] * 2
    choices += [{"call": call, "name": "Home"} for call in ("page", "screen", "group")] * 4
    for name in ("Order Completed", "purchase", "Order Cancelled", "Order Refunded"):
        for order in ("", "o1", "o2", "o3"):
            choices += [
                {"call": "track", "name": name, "order_id": order, "value": value} for value in (None, 5.0, 10.0)
            ]
    for name in ("Order Completed", "Order Updated", "Order Paid", "Order Refunded", "Order Cancelled"):
        for order in ("o1", "o2"):
            choices += [{"call": "track", "name": name, "order_id": order} | said for said in _SAID_OF_ORDERS]
    choices += [{"call": "track", "name": "carts/update", "items": items} for items in ("", "[]", *_ITEMS)]
    choices += [
        {"call": "track", "name": name, "items": items}
        for name in ("add_to_cart", "remove_from_cart")
        for items in _ITEMS
    ]
    for name in ("Product Added", "add_to_cart", "Product Removed", "remove_from_cart"):
        for product in ("", "p1"):
            amounts = (None, None, 1.0, 2.0, 0.5, 0.0, -1.0)
            choices += [{"call": "track", "name": name, "product_id": product, "quantity": n} for n in amounts]
    choices += [{"call": "track", "name": "Product Reviewed", "rating": stars} for stars in (None, 3.0, 4.0)] * 2
    choices += [{"call": "track", "name": "survey_answered", "score": score} for score in (None, 8.0, 9.0)] * 2
    return choices


gaps = st.one_of(
    st.sampled_from([0, 0, 1, 1, 60_000_000, DAY_US, 6 * DAY_US]),
    st.sampled_from([window + off for window in WINDOWS_US for off in (-1, 0, 1)]),
)
"""Microseconds between two touchpoints: none, few, or about the length of a window."""


def instants(count: int) -> st.SearchStrategy[list[int]]:
    """Strategy for `count` instants in order."""

    def add_up(steps: list[int]) -> list[int]:
        at_us, times = START_US, []
        for step in steps:
            at_us += step
            times.append(at_us)
        return times

    return st.lists(gaps, min_size=count, max_size=count).map(add_up)


attributions = st.sampled_from(
    [
        "",
        '{"device":{"type":"mobile"}}',
        '{"campaign":"spring","device":{"type":"desktop"}}',
        '{"campaign":"autumn"}',
        '{"source":"letter","device":{"os":"iOS"}}',
    ]
)
"""What brought a touchpoint."""
places = st.sampled_from([0, 0, 1, 2, 10])
"""Places in a request, mostly the same."""
contents = st.sampled_from(_contents())
senders = st.sampled_from(
    [(1, "direct", False)] * 9 + [(1, "email", False), (2, "direct", False)] * 3 + [(1, "direct", True)]
)


def touchpoints(at_us: int, actors: Sequence[str], *, workspace: int = 1) -> st.SearchStrategy[Touchpoint]:
    """An event of one of the actors, without links."""

    def build(
        contents: dict[str, Any],
        sender: tuple[int, str, bool],
        place: int,
        message: int,
        actor: str,
        attribution: str,
    ) -> Touchpoint:
        source, channel, bot = sender
        return Touchpoint(
            occurred_us=at_us,
            place=place,
            message_id=f"m{message}",
            actor=actor,
            workspace=workspace,
            source=source,
            channel=channel,
            received_us=START_US,
            bot=bot,
            attribution=attribution,
            **contents,
        )

    return st.builds(build, contents, senders, places, st.integers(0, 60), st.sampled_from(actors), attributions)


@st.composite
def named(draw: st.DrawFn, event: Touchpoint, ids: Sequence[str]) -> Touchpoint:
    """The event with ids: a user id, an anonymous id, both, an alias, or a ruling on a pair of ids."""
    id_, other = draw(st.sampled_from(ids)), draw(st.sampled_from(ids))
    match draw(
        st.sampled_from(["user"] * 5 + ["anonymous"] * 5 + ["both"] * 4 + ["alias", "alias", "unlink", "relink"])
    ):
        case "user":
            return event._replace(actor=id_, user_id=id_)
        case "anonymous":
            return event._replace(actor=id_, anonymous_id=id_)
        case "both":
            call = draw(st.sampled_from([event.call, "identify"]))
            return event._replace(call=call, actor=id_, user_id=id_, anonymous_id=other)
        case "alias":
            anonymous = draw(st.sampled_from(["", *ids]))
            return event._replace(call="alias", actor=id_, user_id=id_, previous_id=other, anonymous_id=anonymous)
        case ruling:
            return ruling_of(ruling, id_, other, event.occurred_us, event.message_id, workspace=event.workspace)


def ruling_of(call: str, owner: str, id_: str, at_us: int, message_id: str, *, workspace: int = 1) -> Touchpoint:
    """The ruling that the command writes: `id_` no longer belongs to `owner`, or belongs to it again."""
    return Touchpoint(
        at_us, 0, message_id, owner, call, "", workspace, user_id=owner, previous_id=id_, received_us=at_us
    )


@st.composite
def customer_logs(draw: st.DrawFn, *, most: int = 30) -> list[Touchpoint]:
    """The touchpoints of one customer with two ids, in order, each message id of an actor once."""
    times = draw(instants(draw(st.integers(0, most))))
    events = [draw(touchpoints(at_us, ["c1", "c2"])) for at_us in times]
    return list({(event.actor, event.message_id): event for event in events}.values())


@st.composite
def logs(draw: st.DrawFn, *, workspace: int = 1, ids: int = 4, most: int = 30) -> list[Touchpoint]:
    """A log in the order of its partition: any order, some events repeated, some message ids used for another event."""
    pool = [f"c{number}" for number in range(1, ids + 1)]
    times = draw(instants(draw(st.integers(0, most))))
    events = [draw(named(draw(touchpoints(at_us, pool, workspace=workspace)), pool)) for at_us in times]
    if events:
        events += draw(st.lists(st.sampled_from(events), max_size=4))
        for event in draw(st.lists(st.sampled_from(events), max_size=3)):
            later = event.occurred_us + draw(gaps)
            name = draw(st.sampled_from(NAMES)) if event.call == "track" else event.name
            events.append(event._replace(occurred_us=later, name=name))
    return draw(st.permutations(events))


@st.composite
def watermarks(draw: st.DrawFn, events: Sequence[Touchpoint]) -> int:
    """A watermark: before, among or after the events, or when one of them has just become a lapse."""
    times = sorted({0, START_US, *(event.occurred_us for event in events)})
    return draw(st.sampled_from(times)) + draw(st.sampled_from([0, 1, *WINDOWS_US])) + draw(st.sampled_from([-1, 0, 1]))


def foldable(events: Iterable[Touchpoint]) -> list[Touchpoint]:
    """The touchpoints that are folded: without repetitions, crawlers' events and rulings."""
    return distinct(event for event in events if not event.bot and not event.test and event.call not in RULINGS)
