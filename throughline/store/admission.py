"""The names that sums are kept by: so many are admitted, and everything under further ones is counted as `(other)`.

Events name their channels and themselves, so that there may be any number of names. They are admitted in the order in
which transactions first count them, and for ever. Once a scope is full, no name is admitted to it any more. So a name
is counted under the same row whenever it comes: what was added there can be taken back there.
"""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy import select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from throughline.journey.channels import STANDARD_CHANNELS
from throughline.store.engine.arrays import UnnestParameters
from throughline.store.engine.driver import DriverStatement
from throughline.store.schema.counts import admissions, admitted_names

OTHER = "(other)"
"""What names that are not admitted are counted as."""
MAX_CHANNELS = 200
"""Maximum number of channels of a generation, the standard ones included."""
MAX_UNMAPPED = 1_000
"""Maximum number of unmapped event names of a source."""


CHANNEL, UNMAPPED = 1, 2
"""What a name names: a channel, or events that no vocabulary knows."""


class Scope(NamedTuple):
    """Where so many names are admitted. The two maximums are no settings: a full scope must stay full."""

    kind: int
    model: int
    """The generation's id. A restage admits its names anew."""
    source: int = 0
    """0: names of all sources."""


class ScopedName(NamedTuple):
    """A name in its scope."""

    kind: int
    model: int
    source: int
    name: str

    @property
    def scope(self) -> Scope:
        """Where the name may be admitted."""
        return Scope(self.kind, self.model, self.source)


_names = UnnestParameters("names", {name: admitted_names.c[name].type for name in ScopedName._fields})
_scopes = UnnestParameters("scopes", {name: admissions.c[name].type for name in (*Scope._fields, "names")})
_read_names = DriverStatement(
    select(admitted_names).where(
        tuple_(*(admitted_names.c[name] for name in ScopedName._fields)).in_(select(*_names.table.c))
    )
)
_read_scopes = DriverStatement(
    select(admissions).where(
        tuple_(*(admissions.c[name] for name in Scope._fields)).in_(
            select(*(_scopes.table.c[name] for name in Scope._fields))
        )
    )
)
_scopes_insert = insert(admissions).from_select(
    [*Scope._fields, "names"],
    select(*_scopes.table.c).order_by(*(_scopes.table.c[name] for name in Scope._fields)),
)
_admit_to_scopes = DriverStatement(
    _scopes_insert.on_conflict_do_update(
        index_elements=[admissions.c[name] for name in Scope._fields],
        set_={"names": admissions.c.names + _scopes_insert.excluded.names},
    ).returning(*(admissions.c[name] for name in Scope._fields), admissions.c.names)
)
_insert_names = DriverStatement(
    insert(admitted_names)
    .from_select(
        ScopedName._fields,
        select(*_names.table.c).order_by(*(_names.table.c[name] for name in ScopedName._fields)),
    )
    .on_conflict_do_nothing()
    .returning(admitted_names.c.name)
)


async def channels_admitted(
    connection: AsyncConnection, channels: Iterable[tuple[int, str]]
) -> dict[tuple[int, str], str]:
    """Returns what channels are counted as: (generation id, channel) -> the channel, or `OTHER`."""
    requested = set(channels)
    by_events = {ScopedName(CHANNEL, model, 0, name) for model, name in requested if name not in STANDARD_CHANNELS}
    admitted = await _admit(connection, by_events, MAX_CHANNELS - len(STANDARD_CHANNELS))
    return {
        (model, name): name if name in STANDARD_CHANNELS or ScopedName(CHANNEL, model, 0, name) in admitted else OTHER
        for model, name in requested
    }


async def unmapped_admitted(
    connection: AsyncConnection, names: Iterable[tuple[int, int, str]]
) -> dict[tuple[int, int, str], str]:
    """Returns what event names are counted as: (generation id, source id, name) -> the name, or `OTHER`."""
    requested = set(names)
    admitted = await _admit(connection, {ScopedName(UNMAPPED, *key) for key in requested}, MAX_UNMAPPED)
    return {key: key[2] if ScopedName(UNMAPPED, *key) in admitted else OTHER for key in requested}


async def _admit(connection: AsyncConnection, names: set[ScopedName], limit: int) -> set[ScopedName]:
    """Admit names while there is room; returns those that are admitted now.

    Transactions that may admit to one scope wait for each other; once it is full, none does.
    """
    names = {name for name in names if name.name != OTHER}
    admitted = await _read_admitted(connection, names)
    missing = names - admitted
    if not missing:
        return admitted
    scopes = {name.scope for name in missing}
    full = {
        Scope(*row[:3])
        for row in await _read_scopes.fetch(connection, _scopes.parameters((*scope, 0) for scope in sorted(scopes)))
        if row[3] >= limit
    }
    missing = {name for name in missing if name.scope not in full}
    if not missing:
        return admitted
    # The lock; what others have admitted before they gave it up is read after it.
    sizes = await _add_to_scopes(connection, dict.fromkeys(scopes - full, 0))
    admitted |= await _read_admitted(connection, missing)
    new: list[ScopedName] = []
    for name in sorted(missing - admitted):
        if sizes[name.scope] < limit:
            sizes[name.scope] += 1
            new.append(name)
    if new:
        await _insert_names.fetch(connection, _names.parameters(new))
        added: dict[Scope, int] = {}
        for name in new:
            added[name.scope] = added.get(name.scope, 0) + 1
        await _add_to_scopes(connection, added)
    return admitted.union(new)


async def _read_admitted(connection: AsyncConnection, names: set[ScopedName]) -> set[ScopedName]:
    if not names:
        return set()
    return {ScopedName(*row) for row in await _read_names.fetch(connection, _names.parameters(sorted(names)))}


async def _add_to_scopes(connection: AsyncConnection, added: dict[Scope, int]) -> dict[Scope, int]:
    """Add to the numbers of names, and lock them until the transaction ends; returns the numbers."""
    rows = sorted((*scope, number) for scope, number in added.items())
    return {Scope(*row[:3]): row[3] for row in await _admit_to_scopes.fetch(connection, _scopes.parameters(rows))}
