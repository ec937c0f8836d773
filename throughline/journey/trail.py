"""The trail of a journey: what brought each cycle, and what was done before each move. It says where customers leave.

The fold needs none of it, so that a generation may keep none. A journey carries its trail as text, from which a fold
goes on; transitions have what is told of each.

A cycle's opening is the visit that began it: the campaign and the device that its touchpoints name first, up to the one
that began the cycle. Of what the customer did, kinds are kept by name.
"""

import json
import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from throughline.journey.lapse import NEVER
from throughline.journey.model import Model
from throughline.journey.state import LAPSE, RETURN, Journey, Transition
from throughline.journey.touches import VISIT_US
from throughline.journey.touchpoint import Touchpoint

MAX_KINDS = 40
"""Maximum number of kinds of a path."""
LAST_KINDS = 3
"""Number of kinds that are remembered of what the customer did last."""
MAX_VALUE = 200
"""Maximum number of characters of a campaign or device."""
UNKNOWN = "?"
"""In place of a kind: the vocabulary knew none. No kind has that name."""
SEPARATOR = "\x1f"
"""Stands between the fields of a trail's text."""

_UNSAFE = re.compile("[\0-\x1f\ud800-\udfff]")
_ATTRIBUTION = Touchpoint._fields.index("attribution")
_new: Callable[..., Any] = tuple.__new__


class Opening(NamedTuple):
    """What the touchpoints of a visit name first; "" for nothing."""

    device: str = ""
    campaign: str = ""


class Trail(NamedTuple):
    """The fields of a trail's text, in order. Kinds are joined by commas."""

    path: str = ""
    """The kinds of the latest cycle's own touchpoints, repeats in a row as one, those without a kind left out."""
    last_kinds: str = ""
    """Those of the last own touchpoints ever, with `UNKNOWN`."""
    device: str = ""
    """Of the latest cycle's opening."""
    campaign: str = ""
    """Likewise."""
    visit_device: str = ""
    """While no cycle is open: what the visit names so far. One of its touchpoints may begin a cycle."""
    visit_campaign: str = ""
    """Likewise."""


FIELDS = {name: place for place, name in enumerate(Trail._fields, start=1)}
"""The number of each field in the text, from 1, as PostgreSQL's split_part counts."""


def read(text: str) -> Trail:
    """Returns the trail in the text of a journey."""
    return Trail._make(text.split(SEPARATOR)) if text else Trail()


def follow(
    model: Model,
    before: Journey | None,
    touchpoints: Sequence[Touchpoint],
    transitions: list[Transition],
    revoked: Transition | None,
) -> str:
    """Returns the trail after a fold, and completes what transitions say of it.

    Args:
        model: that of the fold.
        before: the state that was folded on, with its trail.
        touchpoints: those folded.
        transitions: those of the fold, changed in place.
        revoked: the lapse of `before` that never was.
    """
    is_lapsed = before is not None and before.lapsed_us > 0 and revoked is None
    if before is not None and before.phase and before.trail and not is_lapsed and not transitions:
        return _follow_on(model, before.trail, touchpoints)
    path = latest = device = campaign = visit_device = visit_campaign = ""
    is_open = False
    if before is None:
        entered_us = active_us = seen_us = touchpoints[0].occurred_us
    else:
        if before.trail:
            path, latest, device, campaign, visit_device, visit_campaign = before.trail.split(SEPARATOR)
        is_open = before.phase > 0 and not is_lapsed
        entered_us, active_us, seen_us = before.entered_us, before.active_us, before.last_us
    began_us = 0
    """Of the latest cycle; 0: as `before` says."""
    last_kinds = latest.split(",") if latest else []
    kinds = model.kinds
    number = 0
    move_us = transitions[0][0] if transitions else NEVER
    for touchpoint in touchpoints:
        at_us = touchpoint[0]
        if move_us <= at_us and transitions[number][4] == LAPSE and not transitions[number][2]:
            # The lapse of a silence.
            move_us = _tell(transitions, number, entered_us, active_us, device, campaign, last_kinds[-LAST_KINDS:])
            is_open, is_lapsed, number = False, True, number + 1
        if not is_open:
            if at_us - seen_us >= VISIT_US:
                visit_device = visit_campaign = ""
            seen_us = at_us
            attribution = touchpoint[_ATTRIBUTION]
            if attribution and not (visit_device and visit_campaign):
                named = opening_of(attribution)
                visit_device, visit_campaign = visit_device or named[0], visit_campaign or named[1]
        ends = False
        if move_us == at_us and transitions[number][:4] == touchpoint[:4]:
            step, names = transitions[number][4], last_kinds[-LAST_KINDS:]
            if step != LAPSE:
                since_us, of_move = entered_us, names
                if not is_open:
                    if step == RETURN:
                        since_us, of_move = began_us or _began(before), [path]
                    device, campaign, visit_device, visit_campaign = visit_device, visit_campaign, "", ""
                    path, began_us, is_open, is_lapsed = "", at_us, True, False
                move_us = _tell(transitions, number, since_us, active_us, device, campaign, of_move)
                entered_us, number = at_us, number + 1
            if move_us == at_us and transitions[number][:4] == touchpoint[:4]:
                # A lapse: what is told of it is from before the touchpoint, which is still one of the cycle.
                move_us = _tell(transitions, number, entered_us, active_us, device, campaign, names)
                ends, number = True, number + 1
        kind = kinds[touchpoint[4]][touchpoint[5]]
        if kind is None:
            last_kinds.append(UNKNOWN)
            if not is_lapsed:
                active_us = at_us
        elif kind[5]:
            name = kind[0]
            last_kinds.append(name)
            if not is_lapsed:
                active_us = at_us
            if is_open and name != path[path.rfind(",") + 1 :] and path.count(",") < MAX_KINDS - 1:
                path = f"{path},{name}" if path else name
        if ends:
            is_open, is_lapsed = False, True
    if move_us != NEVER:
        # The lapse by the watermark.
        _tell(transitions, number, entered_us, active_us, device, campaign, last_kinds[-LAST_KINDS:])
    latest = ",".join(last_kinds[-LAST_KINDS:])
    return SEPARATOR.join((path, latest, device, campaign, visit_device, visit_campaign))


def _tell(
    transitions: list[Transition],
    number: int,
    since_us: int,
    active_us: int,
    device: str,
    campaign: str,
    kinds: Sequence[str],
) -> int:
    """Complete a transition; returns when the next one comes."""
    told = (*transitions[number][:10], since_us, active_us, device, campaign, ",".join(kinds))
    transitions[number] = _new(Transition, told)
    number += 1
    return transitions[number][0] if number < len(transitions) else NEVER


def _follow_on(model: Model, trail: str, touchpoints: Sequence[Touchpoint]) -> str:
    """Returns the trail of an open cycle after touchpoints that move nobody, as those of most folds do."""
    path, latest, rest = trail.split(SEPARATOR, 2)
    kinds = model.kinds
    for touchpoint in touchpoints:
        kind = kinds[touchpoint[4]][touchpoint[5]]
        if kind is None:
            name = UNKNOWN
        elif kind[5]:
            name = kind[0]
            if name != path[path.rfind(",") + 1 :] and path.count(",") < MAX_KINDS - 1:
                path = f"{path},{name}" if path else name
        else:
            continue
        latest = f"{latest},{name}" if latest else name
        if latest.count(",") == LAST_KINDS:
            latest = latest[latest.index(",") + 1 :]
    return f"{path}{SEPARATOR}{latest}{SEPARATOR}{rest}"


@lru_cache(1024)
def opening_of(attribution: str) -> Opening:
    """Returns what the attribution of a touchpoint names."""
    try:
        facts = json.loads(attribution)
    except (ValueError, RecursionError):
        return Opening()
    if not isinstance(facts, dict):
        return Opening()
    device = facts.get("device")
    return Opening(_text(device.get("type") if isinstance(device, dict) else None), _text(facts.get("campaign")))


def _text(value: object) -> str:
    return _UNSAFE.sub("", value)[:MAX_VALUE] if isinstance(value, str) else ""


def _began(journey: Journey | None) -> int:
    """When the latest cycle of a placed journey began."""
    assert journey is not None  # only a placed one can return
    first = journey.milestones.partition(";")[0].partition(",")[0]
    return int(first.partition(":")[2])
