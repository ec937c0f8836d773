"""The counts of one moment: what `/v1/phases/counts` and its stream say. Pure."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import NamedTuple

import msgspec

from throughline.journey.model import UNPLACED, Model
from throughline.kit.clock import rfc3339


class Sums(NamedTuple):
    """One phase's sums over all shards."""

    active: int = 0
    lapsed: int = 0
    entered: int = 0
    left: int = 0


class Snapshot(NamedTuple):
    """An answer ready to be sent. `etag` names the last change, `as_of` (RFC 3339 or None) the time it is true for."""

    body: bytes
    etag: str
    as_of: str | None


def snapshot(model: Model, sums: Mapping[int, Sums], as_of_us: int | None) -> Snapshot:
    """The answer for sums by phase number and the instant through which everything received is in them."""
    none = Sums()
    phases = []
    customers = 0
    for phase in model.phases:
        active, lapsed, entered, left = sums.get(phase.number, none)
        now = active + lapsed
        customers += now
        phases.append(
            {"phase": phase.name, "now": now, "active": active, "lapsed": lapsed, "entered": entered, "left": left}
        )
    unplaced = sums.get(UNPLACED, none)
    changing = {"customers": customers, "unplaced": unplaced.active + unplaced.lapsed, "phases": phases}
    as_of = None if as_of_us is None else rfc3339(as_of_us)
    digest = blake2b(msgspec.json.encode((model.name, changing)), digest_size=12).hexdigest()
    # Weak: two answers with the same counts may differ in as_of.
    return Snapshot(msgspec.json.encode({"model": model.name, "as_of": as_of, **changing}), f'W/"{digest}"', as_of)


def names_same_state(tags: str, etag: str) -> bool:
    """Whether an If-None-Match or Last-Event-ID header (one tag, a list, or `*`) names this state."""
    wanted = _bare(etag)
    return any(tag.strip() == "*" or _bare(tag) == wanted for tag in tags.split(","))


def _bare(tag: str) -> str:
    return tag.strip().removeprefix("W/").strip('"')
