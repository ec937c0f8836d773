"""A whole log of one workspace, replayed: who is who, each customer's journey, the counts and their history."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from tests.reference.counts import Table, counts_at, history
from tests.reference.links import distinct, owners, root
from tests.reference.models import naive_model
from tests.reference.walk import Move, State, walk
from throughline.journey.touchpoint import Touchpoint


class Customer(NamedTuple):
    members: frozenset[str]
    """The raw ids with facts of their own."""
    state: State
    moves: list[Move]


class Unmapped(NamedTuple):
    events: int
    first_us: int
    last_us: int


class Replayed(NamedTuple):
    """What the state must be. Customers by the id at the end of their links."""

    customers: dict[str, Customer]
    counts: Table
    history: dict[tuple[str, int], Table]
    unmapped: dict[tuple[int, str], Unmapped]
    """By (source, event name)."""

    def counts_at(self, before_us: int) -> Table:
        """The counts as of a past instant, by what is known today."""
        return counts_at([(customer.state, customer.moves) for customer in self.customers.values()], before_us)


def replay(log: Iterable[Touchpoint], model_name: str, watermark_us: int = 0, zone: str = "UTC") -> Replayed:
    """Everything that follows from a log, when every lapse due by `watermark_us` has happened."""
    model = naive_model(model_name)
    # A crawler is nobody: what it sends is kept, and out of everything.
    facts = [event for event in distinct(log) if not event.bot]
    owned = owners(facts)
    members: dict[str, set[str]] = defaultdict(set)
    theirs: dict[str, list[Touchpoint]] = defaultdict(list)
    for event in facts:
        customer = root(event.actor, owned)
        members[customer].add(event.actor)
        theirs[customer].append(event)
    customers: dict[str, Customer] = {}
    for customer, events in theirs.items():
        state, moves = walk(model, events, watermark_us)
        if state is not None:
            customers[customer] = Customer(frozenset(members[customer]), state, moves)
    unknown: dict[tuple[int, str], list[int]] = defaultdict(list)
    for event in facts:
        if event.call == "track" and model.meaning(event) is None:
            unknown[(event.source, event.name)].append(event.occurred_us)
    journeys = [(customer.state, customer.moves) for customer in customers.values()]
    return Replayed(
        customers=customers,
        counts=counts_at(journeys),
        history=history(journeys, zone),
        unmapped={key: Unmapped(len(times), min(times), max(times)) for key, times in unknown.items()},
    )
