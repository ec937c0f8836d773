"""The counts of one moment: what `/v1/phases/counts` and its stream say. Pure."""

from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec

from throughline.journey.model import UNPLACED, Model
from throughline.kit.clock import rfc3339


class Sums(NamedTuple):
    """One phase's sums over all shards, in the order of the store's columns."""

    active: int = 0
    lapsed: int = 0
    churned: int = 0
    entered: int = 0
    left: int = 0
    returned: int = 0

    @property
    def now(self) -> int:
        """Everybody in the phase."""
        return self.active + self.lapsed

    def minus(self, other: "Sums") -> "Sums":
        """What was there before the changes `other`."""
        return Sums(*(mine - theirs for mine, theirs in zip(self, other, strict=True)))


NONE = Sums()


class Snapshot(NamedTuple):
    """An answer ready to be sent. `etag` names the last change, `as_of` (RFC 3339 or None) the time it is true for."""

    body: bytes
    etag: str
    as_of: str | None


def snapshot(
    model: Model,
    sums: Mapping[int, Sums],
    *,
    as_of_us: int | None,
    applied_watermark_us: int | None,
    retention_cutoff_us: int | None = None,
) -> Snapshot:
    """The answer for sums by phase number.

    Args:
        model: whose phases they are.
        sums: absent phases count nothing.
        as_of_us: the instant they are true for; None before anything was staged.
        applied_watermark_us: how far the state reaches.
        retention_cutoff_us: facts that occurred before it are gone.
    """
    phases = [{"phase": phase.name, **phase_body(sums.get(phase.number, NONE))} for phase in model.phases]
    customers = sum(sums.get(phase.number, NONE).now for phase in model.phases)
    changing = {"customers": customers, "unplaced": sums.get(UNPLACED, NONE).now, "phases": phases}
    as_of = instant(as_of_us)
    digest = blake2b(msgspec.json.encode((model.name, changing)), digest_size=12).hexdigest()
    body = {
        "model": model.name,
        "as_of": as_of,
        "settled_until": instant(applied_watermark_us),
        "history_from": instant(retention_cutoff_us),
        **changing,
    }
    # Weak: two answers with the same counts may differ in as_of.
    return Snapshot(msgspec.json.encode(body), f'W/"{digest}"', as_of)


def phase_body(sums: Sums) -> dict[str, Any]:
    """A phase's numbers: now = active + lapsed, lapsed = abandoned + churned, entered = now + left."""
    return {
        "now": sums.now,
        "active": sums.active,
        "lapsed": sums.lapsed,
        "abandoned": sums.lapsed - sums.churned,
        "churned": sums.churned,
        "entered": sums.entered,
        "left": sums.left,
        "returned": sums.returned,
    }


def instant(us: int | None) -> str | None:
    """RFC 3339, or None."""
    return None if us is None else rfc3339(us)


def names_same_state(tags: str, etag: str) -> bool:
    """Whether an If-None-Match or Last-Event-ID header (one tag, a list, or `*`) names this state."""
    wanted = _bare(etag)
    return any(tag.strip() == "*" or _bare(tag) == wanted for tag in tags.split(","))


def _bare(tag: str) -> str:
    return tag.strip().removeprefix("W/").strip('"')
