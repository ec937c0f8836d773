"""The laws of snapshots: they extend as the fold does; merged ones depend on nobody's order and balance the books."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tests.strategies.touchpoints import MODELS, foldable, logs
from throughline.journey.diff import Deltas, contribute
from throughline.journey.fold import fold
from throughline.journey.memory import Memory
from throughline.journey.snapshot import Snapshot, dump, extend, load, merge
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model

models = st.sampled_from(MODELS)


def snapshots_of(name: str, log: list[Touchpoint]) -> list[Snapshot]:
    by_actor: dict[str, list[Touchpoint]] = {}
    for event in foldable(log):
        by_actor.setdefault(event.actor, []).append(event)
    snapshots = [extend(load_model(name), None, events) for events in by_actor.values()]
    return [snapshot for snapshot in snapshots if snapshot is not None]


@given(name=models, log=logs(), at=st.integers(0, 30))
def test_a_base_moves_on_as_the_fold_does(name: str, log: list[Touchpoint], at: int) -> None:
    model, todo = load_model(name), foldable(log)
    first = extend(model, None, todo[:at])
    moved = extend(model, first, todo[at:])
    whole = fold(model, None, todo)
    assert (None if moved is None else moved.journey) == whole.journey
    assert list(() if moved is None else moved.transitions) == whole.transitions
    if moved is not None:
        assert load(dump(moved.transitions)) == moved.transitions


@given(name=models, log=logs(), data=st.data())
def test_joined_bases_are_one_whatever_their_order(name: str, log: list[Touchpoint], data: st.DataObject) -> None:
    snapshots = snapshots_of(name, log)
    joined = merge(snapshots)
    assert merge(data.draw(st.permutations(snapshots))) == joined
    assert merge(snapshots[:1]) == (snapshots[0] if snapshots else None)
    if joined is None:
        assert not snapshots
        return
    journey = joined.journey
    assert journey.first_us == min(snapshot.journey.first_us for snapshot in snapshots)
    assert journey.last_key == max(snapshot.journey.last_key for snapshot in snapshots)
    assert journey.highest_phase == max(snapshot.journey.highest_phase for snapshot in snapshots)
    memory = Memory.load(journey.memory, journey.flags)
    of_all = [Memory.load(snapshot.journey.memory, snapshot.journey.flags) for snapshot in snapshots]
    assert set(memory.orders) == {order for each in of_all for order in each.orders}
    for order, entry in memory.orders.items():
        parts = [each.orders[order] for each in of_all if order in each.orders]
        assert entry.placed_us == min((part.placed_us for part in parts if part.placed_us), default=0)
        for currency, sums in entry.refunds.items():
            assert sums == [sum(part.refunds.get(currency, [0, 0])[n] for part in parts) for n in (0, 1)]
        assert entry.refunded_whole == max(part.refunded_whole for part in parts)
        assert bool(entry.orphans) <= (not entry.placed_us)
    foreign: Counter[str] = Counter()
    for entry in memory.orders.values():
        foreign.update(entry.foreign)
    assert memory.foreign == foreign
    assert memory.standing == sum(entry.stands for entry in memory.orders.values())


@given(name=models, log=logs())
def test_the_books_of_a_joined_base_balance(name: str, log: list[Touchpoint]) -> None:
    joined = merge(snapshots_of(name, log))
    if joined is None:
        return
    deltas: Deltas = {}
    contribute(deltas, 1, joined.journey, None, joined.transitions)
    sums = {phase: [0] * 6 for phase in range(20)}
    for cell, counts in deltas.items():
        sums[cell.phase] = [a + b for a, b in zip(sums[cell.phase], counts, strict=True)]
    for phase, (active, lapsed, churned, entered, left, _) in sums.items():
        assert active + lapsed == (phase == joined.journey.phase)
        assert lapsed == (phase == joined.journey.phase and joined.journey.lapsed_us > 0)
        assert 0 <= churned <= lapsed
        if phase:
            assert entered == active + lapsed + left
