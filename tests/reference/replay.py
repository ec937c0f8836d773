"""A replay of the whole log of one workspace: owners of ids, journeys, counts and their history."""

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from tests.reference.counts import Table, counts_at, history
from tests.reference.links import distinct, owners, root
from tests.reference.models import naive_model
from tests.reference.walk import NaiveTransition, State, walk
from throughline.journey.touchpoint import Touchpoint


class Customer(NamedTuple):
    members: frozenset[str]
    """The actors with events."""
    state: State
    transitions: list[NaiveTransition]


class Unmapped(NamedTuple):
    events: int
    first_us: int
    last_us: int


class Replayed(NamedTuple):
    """The state that follows from a log. Customers are keyed by the id at the end of their links."""

    customers: dict[str, Customer]
    counts: Table
    history: dict[tuple[str, int], Table]
    unmapped: dict[tuple[int, str], Unmapped]
    """By (source, event name)."""

    def counts_at(self, before_us: int) -> Table:
        """The counts as of a past instant, computed from the whole log."""
        return counts_at([(customer.state, customer.transitions) for customer in self.customers.values()], before_us)


def replay(log: Iterable[Touchpoint], model_name: str, watermark_us: int = 0, zone: str = "UTC") -> Replayed:
    """Everything that follows from a log, when every lapse due by `watermark_us` has happened."""
    model = naive_model(model_name)
    # Events of crawlers are stored and in no journey.
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
        state, transitions = walk(model, events, watermark_us)
        if state is not None:
            customers[customer] = Customer(frozenset(members[customer]), state, transitions)
    unknown: dict[tuple[int, str], list[int]] = defaultdict(list)
    for event in facts:
        if event.call == "track" and model.meaning(event) is None:
            unknown[(event.source, event.name)].append(event.occurred_us)
    journeys = [(customer.state, customer.transitions) for customer in customers.values()]
    return Replayed(
        customers=customers,
        counts=counts_at(journeys),
        history=history(journeys, zone),
        unmapped={key: Unmapped(len(times), min(times), max(times)) for key, times in unknown.items()},
    )
