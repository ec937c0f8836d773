"""The checks of an event's call, ids, name and order, each of which says what is wrong by itself. Pure."""

from functools import lru_cache
from typing import Any

from msgspec import Struct

from services.ingest.event.event import CALLS, Event
from services.ingest.event.ids import clean_id, read_id
from services.ingest.event.verdict import MAX_TEXT, Verdict, reject, warning
from services.ingest.validate import order_names, share_names
from services.ingest.validate.fields import Fields, read_fields
from services.ingest.validate.kept import decode_object
from throughline.models.hints import hint, is_shipped

_CALLS = frozenset(CALLS)
_CALLS_TEXT = ", ".join(sorted(CALLS))
_TEST_ORDER = warning("test_order", "properties.test", "a test order: kept, and left out of every journey")


class CheckedName(Struct, frozen=True, gc=False):
    """What there is to say of the name of a track call's event."""

    name: str
    unknown: Verdict | None
    """The warning about a name that is like one of the vocabulary."""
    missing: Verdict | None
    """The warning about an order of this name without an id."""
    is_share: bool
    """Whether a customer shares or invites by it."""


MAX_SHIPPED_NAMES = 4096
"""Maximum number of names that are remembered: clients differ in case and punctuation."""
shipped_names: dict[str | None, CheckedName] = {}
"""Name as sent that the shipped vocabulary has -> what there is to say of it, of those that came so far.

A look-up costs a tenth of a function's call."""


def check_shipped_name(name: str) -> CheckedName | None:
    """Returns what there is to say of a name that the shipped vocabulary has, which is remembered; None of another."""
    if not is_shipped(name):
        return None
    if len(shipped_names) >= MAX_SHIPPED_NAMES:
        shipped_names.clear()
    shipped = shipped_names[name] = check_name(name)
    return shipped


@lru_cache(maxsize=4096)
def check_name(name: str) -> CheckedName:
    """Returns what there is to say of a name; names are remembered."""
    meant = hint(name)
    message = f"no vocabulary knows {name!r}: did you mean {meant!r}?"
    unknown = None if meant is None else warning("unknown_name", "event", message)
    return CheckedName(name, unknown, order_names.missing_id(name), share_names.is_share(name))


def check_call(event: Event, call: str) -> str:
    """Returns the event's name."""
    name = event.name or ""
    if call == "track":
        name = event.event or ""
        if not name:
            reject("missing_field", "event", "a track call has to name its event")
    elif call not in _CALLS:
        if not call:
            reject("missing_field", "type", f"an event in a batch has to name its type: {_CALLS_TEXT}")
        reject("unknown_type", "type", f"{call[:100]!r} is none of: {_CALLS_TEXT}")
    if len(name) > MAX_TEXT:
        reject("too_long", "event", f"the name has {len(name)} characters, {MAX_TEXT} are allowed")
    return name


def check_ids(event: Event, call: str, warnings: list[Verdict]) -> tuple[str, str, str]:
    """Returns user id, anonymous id and previous id, "" for each that is not given; one of the first two is."""
    user, anonymous = read_id(event.userId, "userId", warnings), read_id(event.anonymousId, "anonymousId", warnings)
    if not user and not anonymous:
        for cause in warnings:
            if cause.code in ("illegal_id", "missing_id"):
                reject(cause.code, cause.field, cause.message)
        reject("missing_id", "userId", "an event needs a userId or an anonymousId")
    if call != "alias":
        return user, anonymous, ""
    previous = read_id(event.previousId, "previousId", warnings)
    if not user:
        reject("missing_field", "userId", "an alias call needs the userId that previousId becomes")
    if not previous and not anonymous:
        reject("missing_field", "previousId", "an alias call needs the previousId that becomes userId")
    return user, anonymous, previous


def without_case(id_text: str) -> str:
    return clean_id(id_text.lower()) if "@" in id_text else id_text


def check_properties(
    event: Event, decoded: dict[str, Any] | None, missing: Verdict | None, warnings: list[Verdict]
) -> None:
    """Read the properties of an event that is rejected anyway, for what is wrong with them."""
    properties = decode_object("properties", event.properties) if decoded is None else decoded
    fields = read_fields(properties, warnings)[0]
    check_order(fields, missing, warnings)


def check_order(fields: Fields, missing: Verdict | None, warnings: list[Verdict]) -> Fields:
    """Returns the typed fields of an event that has no order id or is a test.

    `missing` is the warning about an order of the event's name without an id; None where it is of no order.
    """
    if fields[0]:
        missing = None
    elif missing is not None and not any(fault.code == missing.code for fault in warnings):
        warnings.append(missing)
    if not fields[-1]:
        return fields
    if fields[0] or missing is not None:
        warnings.append(_TEST_ORDER)
        return fields
    return (*fields[:-1], False)  # of an event that is of no order, that it is a test says something else
