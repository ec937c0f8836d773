"""Counting channels under other names: nothing is lost, and what is not renamed stays as it is."""

from services.stager.stage.changes import ChangeSet
from throughline.journey.diff import Cell
from throughline.journey.flows import FlowCell, VariantCell
from throughline.journey.funnel import FunnelCell

NAMES = {(1, "spring"): "(other)", (1, "summer"): "(other)", (1, "direct"): "direct", (2, "spring"): "spring"}


def filled() -> ChangeSet:
    changes = ChangeSet(0)
    for model, channel, number in ((1, "spring", 2), (1, "summer", 3), (1, "direct", 5), (2, "spring", 7)):
        changes.deltas[Cell(model, 1, channel, 1, 0)] = [number, 0, 0, number, 0, -number]
        changes.funnel[FunnelCell(model, 1, 0, 1, channel, 2, 0, 0)] = number
        changes.flows[FlowCell(model, 1, 0, 1, channel, 1, 0, 1, 1)] = number
        changes.variants[VariantCell(model, 0, 1, channel, 3, 0)] = number
    return changes


def test_channels_under_one_name_add_up() -> None:
    changes = filled()
    changes.count_under(NAMES)
    assert changes.deltas == {
        Cell(1, 1, "(other)", 1, 0): [5, 0, 0, 5, 0, -5],
        Cell(1, 1, "direct", 1, 0): [5, 0, 0, 5, 0, -5],
        Cell(2, 1, "spring", 1, 0): [7, 0, 0, 7, 0, -7],
    }
    for cells, place in ((changes.funnel, 4), (changes.flows, 4), (changes.variants, 3)):
        assert {(cell[0], cell[place]): number for cell, number in cells.items()} == {
            (1, "(other)"): 5,
            (1, "direct"): 5,
            (2, "spring"): 7,
        }
