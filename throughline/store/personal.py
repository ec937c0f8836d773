"""Every place of the database that can hold a person's data: what erases, exports and proves goes by this list.

`tests/unit/store/test_personal.py` fails when a table or a column is missing from it.
"""

from typing import NamedTuple

from sqlalchemy import Table

from throughline.store import schema
from throughline.store.schema.facts import touchpoints
from throughline.store.schema.identity import identity_suspects, ids, links, rulings
from throughline.store.schema.journeys import checkpoints, conversions, journeys, recomputations, snapshots, transitions
from throughline.store.schema.operations import recent_events, rejected
from throughline.store.schema.rights import data_requests


class Place(NamedTuple):
    """A table whose rows are about persons."""

    table: Table
    digests: tuple[str, ...]
    """The columns by which a person's rows are looked up: digests of ids."""
    of_others: tuple[str, ...] = ()
    """Columns with raw ids, which may name a person in the row of another one."""
    content: tuple[str, ...] = ()
    """All other columns."""
    parts_only: tuple[str, ...] = ()
    """Of `digests`: columns that name a person in the row of another one, whose row stays."""


_STATE = (
    "phase", "highest_phase", "cycle", "lapsed_us", "entered_us", "active_us", "flags", "source", "channel", "first_us",
    "last_us", "last_place", "last_message", "last_actor", "memory", "milestones", "trail",
)  # fmt: skip
_NAMES_OTHERS = ("anonymous_id", "previous_id")
_FACT = tuple(column.name for column in touchpoints.c if column.name not in ("actor", *_NAMES_OTHERS))
"""All other fields of a touchpoint, so that a new one is exported and erased with its fact."""

PLACES = (
    Place(
        touchpoints,
        ("actor",),
        of_others=_NAMES_OTHERS,
        content=_FACT,
    ),
    Place(
        ids,
        ("id", "owner", "root"),
        content=(
            "workspace", "name", "is_user", "members", "links", "link_us", "link_place", "link_message", "link_by",
            "marked",
        ),
        parts_only=("owner", "root"),
    ),
    Place(links, ("id", "owner"), content=("by", "occurred_us", "place", "message_id")),
    Place(rulings, ("id", "owner"), content=("occurred_us", "message_id", "void")),
    Place(
        identity_suspects,
        ("id",),
        content=("workspace", "name", "reason", "refused", "first_us", "last_us"),
    ),
    Place(journeys, ("customer",), content=("model", "id", "look_us", "since", "last_day", "orders", *_STATE)),
    Place(checkpoints, ("customer",), content=("model", *_STATE)),
    Place(
        transitions,
        ("customer",),
        content=(
            "model", "at_us", "place", "message_id", "actor", "kind", "from_phase", "to_phase", "cycle", "name", "rule",
            "since_us", "active_us", "device", "campaign", "kinds",
        ),
    ),
    Place(conversions, ("customer",), content=("model", "order", "at_us", "gross", "net", "currency")),
    Place(
        recomputations,
        ("customer",),
        content=(
            "model", "workspace", "marked_us", "turn_us", "changed_us", "phase", "from_us", "cursor_us",
            "cursor_place", "cursor_message", "cursor_actor", "milestones",
        ),
    ),
    Place(snapshots, ("actor",), content=("model", "transitions", *_STATE)),
    Place(data_requests, ("digest",), content=("id", "workspace", "name", "requested_us")),
    # Looked up by the ids that they name: the tables are small.
    Place(
        recent_events,
        (),
        of_others=("actor",),
        content=(
            "source", "shard", "slot", "number", "workspace", "received_us", "occurred_us", "message_id", "call",
            "name", "channel", "bot", "warnings",
        ),
    ),
    Place(
        rejected,
        (),
        of_others=("payload",),
        content=(
            "id", "workspace", "source", "received_us", "stage", "code", "field", "message", "name", "message_id",
            "origin", "request", "record",
        ),
    ),
)  # fmt: skip
"""In the order in which a proof names them."""

IMPERSONAL = {
    # Who may write and read, and how far the work has come.
    "workspaces": {
        "id", "name", "time_zone", "created_us", "version", "default_model", "retention_days", "horizon_us",
        "suppressed", "no_visit_hosts", "hash_key", "min_cell",
    },
    "sources": {
        "id", "workspace", "name", "enabled", "created_us", "app_id", "origins", "no_visit_hosts", "fold_case",
        "order_scope", "consent", "ip", "rate_events", "rate_burst", "webhook_secret",
        "drop_fields", "hash_fields", "strip_queries",
    },
    "write_keys": {"id", "digest", "hint", "source", "created_us", "revoked_us", "expires_us"},
    "read_tokens": {
        "id", "digest", "hint", "workspace", "name", "created_us", "revoked_us", "scope", "created_by", "expires_us",
        "last_used_us", "session_of",
    },
    "page_codes": {"digest", "token", "expires_us"},
    # Questions about numbers, none of which names a person; and what people write about days.
    "shares": {
        "id", "digest", "hint", "workspace", "token", "name", "view", "questions", "question_digests", "created_us",
        "created_by", "expires_us",
    },
    "annotations": {"id", "workspace", "at_us", "until_us", "kind", "text", "created_us", "created_by"},
    # Operators, and digests where an act was about a person.
    "audit_log": {"id", "at_us", "who", "action", "arguments"},
    "models": {
        "id", "workspace", "name", "state", "document", "created_us", "has_funnels", "has_conversions", "has_trails",
    },
    "restage_slots": {"model", "slot", "cursor", "done", "customers", "touchpoints"},
    "horizon_slots": {"workspace", "slot", "cursor", "done", "touchpoints"},
    "offsets": {"topic", "partition", "next_offset", "digest", "through_us", "swept_us"},
    # What operators say was spent.
    "costs": {"workspace", "dimension", "day", "value", "currency", "amount"},
    # Sums over customers and events.
    "phase_counts": {
        "model", "shard", "source", "channel", "phase", "active", "lapsed", "churned", "entered", "left", "returned",
    },
    "phase_history": {
        "model", "step", "bucket_us", "shard", "source", "channel", "phase", "active", "lapsed", "churned", "entered",
        "left", "returned",
    },
    "funnel_counts": {
        "model", "unit", "phase", "day_us", "source", "channel", "way", "age", "shard", "number",
    },
    "flow_counts": {
        "model", "reading", "day_us", "source", "channel", "kind", "from_phase", "to_phase", "cycle", "shard", "number",
    },
    "variant_counts": {"model", "day_us", "source", "channel", "phases", "outcome", "shard", "number"},
    "unmapped": {"model", "shard", "source", "name", "events", "first_us", "last_us"},
    "orphan_refunds": {"model", "shard", "source", "events", "foreign_currency"},
    "admitted_names": {"kind", "model", "source", "name"},
    "admissions": {"kind", "model", "source", "names"},
    "rejected_counts": {
        "workspace", "bucket_us", "source", "stage", "code", "name", "shard", "events", "kept",
    },
    # What has to stay so that an erased person stays erased: digests, no ids.
    "erasures": {
        "id", "workspace", "name", "shard", "state", "once", "until_us", "subjects", "digests", "cursor",
        "touchpoints", "clear_us", "done_us", "proof",
    },
    "suppressions": {"id", "workspace", "digest", "until_us"},
}  # fmt: skip
"""Tables without a person's data, and their columns."""


def unlisted() -> list[str]:
    """Returns every column of the schema, as table.column, that is in neither list, or in a list only."""
    listed = {f"{name}.{column}" for name, columns in IMPERSONAL.items() for column in columns}
    for place in PLACES:
        columns = {*place.digests, *place.of_others, *place.content}
        listed |= {f"{place.table.name}.{column}" for column in columns}
    stored = {f"{table.name}.{column.name}" for table in schema.metadata.tables.values() for column in table.c}
    return sorted(stored ^ listed)
