"""A replay of the whole log of one workspace: owners of ids, journeys, counts and their history."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from tests.reference.counts import Table, counts_at, history
from tests.reference.funnel import Cells, cells_of
from tests.reference.links import distinct, owners, root
from tests.reference.models import conversions, foreign, naive_model, orphans
from tests.reference.walk import NaiveTransition, State, in_order, walk
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
    orphan_refunds: dict[int, int]
    """By source: refunds and cancellations of orders that their customers never placed."""
    foreign_refunds: dict[int, int]
    """By source: refunds in another currency than that of their order."""
    cells: Cells
    """Funnels, flows and variants."""
    conversions: dict[tuple[str, str], tuple[int, int, int, str]]
    """(customer, order) -> when placed, gross, net, currency."""

    def counts_at(self, before_us: int) -> Table:
        """The counts as of a past instant, computed from the whole log."""
        return counts_at([(customer.state, customer.transitions) for customer in self.customers.values()], before_us)


def replay(log: Iterable[Touchpoint], model_name: str, watermark_us: int = 0, zone: str = "UTC") -> Replayed:
    """Everything that follows from a log, when every lapse due by `watermark_us` has happened."""
    model = naive_model(model_name)
    # Events of crawlers and test orders are stored and in no journey.
    facts = [event for event in distinct(log) if not event.bot and not event.test]
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
    orphan_refunds: Counter[int] = Counter()
    foreign_refunds: Counter[int] = Counter()
    for events in theirs.values():
        orphan_refunds.update(orphans(model, in_order(events)))
        foreign_refunds.update(foreign(model, in_order(events)))
    return Replayed(
        customers=customers,
        counts=counts_at(journeys),
        history=history(journeys, zone),
        unmapped={key: Unmapped(len(times), min(times), max(times)) for key, times in unknown.items()},
        orphan_refunds=dict(orphan_refunds),
        foreign_refunds=dict(foreign_refunds),
        cells=cells_of(journeys, zone),
        conversions={
            (customer, order): conversion
            for customer in customers
            for order, conversion in conversions(model, in_order(theirs[customer])).items()
        },
    )
