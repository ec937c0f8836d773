"""The verdicts of a request's events, whatever their dialect, and the touchpoints of those that are kept. Pure."""

from collections.abc import Callable, Mapping
from operator import itemgetter

import msgspec
from msgspec import Struct

from services.ingest.dialects.base import ParsedEvent, ParsedRequest, Rules
from services.ingest.event import tolerant_json
from services.ingest.event.event import NO_RAW
from services.ingest.event.times import EARLIEST_US, SKEW_US
from services.ingest.event.verdict import (
    MAX_EVENTS,
    MAX_FAULTS,
    MAX_OTHER_FAULTS,
    UNREADABLE,
    DroppedError,
    RejectedError,
    Verdict,
    reject,
    rejected_for,
)
from services.ingest.validate import consent, privacy
from services.ingest.validate.fast_clocks import move_back
from services.ingest.validate.links import MAX_REQUEST_LINKS, limit_links
from services.ingest.validate.named_fields import named_fields
from services.ingest.validate.touchpoint import TouchpointBuilder
from throughline.kit.clock import MIN_US
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import SourceKey
from throughline.wire.codec import Touchpoint

_ANY = msgspec.json.Decoder()
_TEXTS = ("name", "actor", "message_id", "anonymous_id", "previous_id", "order_id", "currency", "product_id", "channel")
_texts_of = itemgetter(*map(Touchpoint._fields.index, _TEXTS))  # by name each would go through a descriptor
_NUL = Verdict("rejected", "nul_character", "", "a NUL character can not be stored; leave it out")


class RejectedEvent(Struct, gc=False):
    """What is kept of a rejected event."""

    position: int
    """Among the events of its request, from 0."""
    verdict: Verdict
    payload: bytes
    """The event as it was sent, without what privacy and consent forbid; b"" for nothing."""
    name: str | None
    """As far as the dialect could read it; "" or None for nothing."""
    message_id: str | None
    """Likewise."""


class DroppedEvent(Struct, gc=False):
    """What is kept of an event without consent."""

    verdict: Verdict
    name: str
    """The name by which the event is counted, "" when it is counted by none."""


class Result(Struct, gc=False):
    """What became of a request's events."""

    touchpoints: list[Touchpoint]
    verdicts: list[Verdict | None]
    """In the order of the events; None is ok."""
    rejected: list[RejectedEvent]
    dropped: list[DroppedEvent]


class Timing(Struct, frozen=True, gc=False):
    """How the times of a request's events are judged."""

    earliest_us: int = EARLIEST_US
    """Nobody can have meant a time before this instant."""
    is_history: bool = False
    """Whether an event without a time that can be believed is refused: it did not happen now."""
    first_place: int = 0
    """The place of the first event: of a file that is sent in several requests, the number of rows before it."""


LIVE = Timing()


def validate(
    request: ParsedRequest,
    source: SourceKey,
    rules: Rules,
    *,
    received_us: int,
    new_id: Callable[[], str],
    timing: Timing = LIVE,
    link_limit: int = MAX_REQUEST_LINKS,
) -> Result:
    """Returns a verdict for every event, and the touchpoints of those that are kept.

    `source` says whose the events are and what of them may be kept; `rules` is what all dialects say of consent and
    addresses; `new_id` gives a random message id for an event that has neither its own nor a time to derive one from;
    `link_limit` is how many ids the request may join to one person.

    Raises:
        ServiceError: 400, more events than `MAX_EVENTS`, or a body that turns out not to be JSON as it is read.
    """
    events = request.events
    if len(events) > MAX_EVENTS:
        raise ServiceError(400, "too_many_events", f"the batch has {len(events)} events, {MAX_EVENTS} are allowed")
    settings = source.settings
    shared_context, shared_integrations = request.shared_context, request.shared_integrations
    named = named_fields(source, rules, request.names)
    if named is not None:
        shared_context = named.members(shared_context, "context")
        shared_integrations = named.members(shared_integrations, "integrations")
    result = Result([], [], [], [])
    touchpoints, verdicts = result.touchpoints, result.verdicts
    ahead_us: dict[str, int] = {}
    sent_us = request.sent_us
    cutoff_us = MIN_US if source.retention_cutoff_us is None else source.retention_cutoff_us
    builder = TouchpointBuilder(
        request.call,
        sent_us,
        None if sent_us is None else 0 <= received_us - sent_us <= SKEW_US,
        source.workspace,
        source.source,
        received_us,
        new_id,
        settings.ip,
        cutoff_us,
        max(cutoff_us, timing.earliest_us),
        settings.consent,
        rules,
        timing.earliest_us,
        timing.is_history or request.is_history,
        ahead_us,
        f"{settings.order_scope}/" if settings.order_scope else "",
        settings.fold_case,
        settings.no_visit_hosts,
        request.from_server,
        shared_context,
        shared_integrations,
        request.shared_bytes,
        None if shared_context else NO_RAW,
    )
    check_text = not (request.native or request.is_text_checked)
    others_left = MAX_OTHER_FAULTS
    last_verdict = last_in_dialect = None
    verdict: Verdict | None
    # All are read before the first is built: of two short loops, each stays in the processor's cache.
    for place, parsed in enumerate([*(events if named is None else named.events(request))], timing.first_place):
        try:
            touchpoint = builder.build(parsed, place)
            if check_text:
                _check_text(touchpoint, parsed)
        except (RejectedError, msgspec.DecodeError, RecursionError) as error:
            verdict = _verdict_of(error, parsed)
            if others_left > 0:
                faults = [*verdict.others, *builder.faults(parsed)]
                if parsed.event is None:
                    faults += tolerant_json.defects_of(bytes(parsed.raw))
                faults = [_in_dialect(fault, request.names) for fault in faults]
                verdict = _with_others(_in_dialect(verdict, request.names), faults, others_left)
                others_left -= len(verdict.others)
            else:
                verdict = _in_dialect(verdict, request.names)
            result.rejected.append(_rejected(len(verdicts), verdict, parsed, request, source, rules))
            verdicts.append(verdict)
        except DroppedError as error:
            verdict = _in_dialect(error.verdict, request.names)
            result.dropped.append(DroppedEvent(verdict, error.name))
            verdicts.append(verdict)
        else:
            touchpoints.append(touchpoint)
            verdict = None
            if parsed.warnings:
                verdict = parsed.warnings[0]
                if len(parsed.warnings) > 1:
                    verdict = _with_others(verdict, parsed.warnings, others_left)
                    others_left -= len(verdict.others)
                if verdict is not last_verdict:
                    # Of most requests, all events have the same warning.
                    last_verdict, last_in_dialect = verdict, _in_dialect(verdict, request.names)
                verdict = last_in_dialect
            verdicts.append(verdict)
    if ahead_us and len(touchpoints) > 1:  # one alone happened when it was received
        result.touchpoints = move_back(touchpoints, ahead_us, received_us)
    if builder.links > link_limit or (source.suspects and builder.links):
        _limit_links(result, request, source, link_limit)
    return result


def _limit_links(result: Result, request: ParsedRequest, source: SourceKey, link_limit: int) -> None:
    """Take the links beyond a limit from a request's touchpoints, and say so in the verdicts."""
    limited = limit_links(result.touchpoints, link_limit, source.suspects)
    if not limited:
        return
    verdicts = result.verdicts
    positions = [n for n, verdict in enumerate(verdicts) if verdict is None or verdict.status == "warning"]
    for number, (touchpoint, limit_warning) in limited.items():
        result.touchpoints[number] = touchpoint
        added = _in_dialect(limit_warning, request.names)
        verdict = verdicts[positions[number]]
        if verdict is None:
            verdicts[positions[number]] = added
        else:
            verdicts[positions[number]] = verdict._replace(others=(*verdict.others[: MAX_FAULTS - 2], added))


def _with_others(verdict: Verdict, faults: list[Verdict], limit: int) -> Verdict:
    """Returns a verdict that names up to `limit` other faults of its event too, each once."""
    distinct = {(fault.code, fault.field): fault for fault in reversed(faults)}
    distinct.pop((verdict.code, verdict.field), None)
    ordered = [fault for fault in dict.fromkeys(faults) if distinct.get((fault.code, fault.field)) is fault]
    return verdict._replace(others=tuple(ordered[: min(MAX_FAULTS - 1, max(0, limit))]))


def _verdict_of(error: Exception, parsed: ParsedEvent) -> Verdict:
    if isinstance(error, RejectedError):
        return error.verdict
    # Members that a dialect passed on unread: a number out of range, nesting without end.
    return _defect_of(parsed) or UNREADABLE


def _rejected(
    position: int, verdict: Verdict, parsed: ParsedEvent, request: ParsedRequest, source: SourceKey, rules: Rules
) -> RejectedEvent:
    settings = source.settings
    verdict, raw = consent.kept_of_rejected(
        verdict, bytes(parsed.raw), settings.consent, request.shared_context, rules.consent
    )
    event = None if request.native or not raw else parsed.event
    return RejectedEvent(
        position,
        verdict,
        privacy.kept_of_rejected(raw, settings.ip, rules),
        None if event is None else event.event or event.name,
        None if event is None else event.messageId,
    )


def _check_text(touchpoint: Touchpoint, parsed: ParsedEvent) -> None:
    """Check texts that dialects took out of headers, query strings and base64, where they may be any text.

    Raises:
        RejectedError: one of them is not Unicode, or holds a NUL character.
    """
    rest = touchpoint.rest
    texts = "".join(_texts_of(touchpoint))
    if not (texts.isascii() and rest.isascii()):
        try:
            f"{texts}{rest}".encode()
        except UnicodeEncodeError:
            reject("invalid_unicode", "", "not Unicode text: a lone surrogate or bytes not in UTF-8")
    defect = _NUL if "\0" in texts or "\0" in rest else None
    if "\\" in rest and "\\u0000" in rest:
        defect = defect or tolerant_json.defect(_ANY.decode(rest))
    if defect is not None:
        raise rejected_for(_defect_of(parsed) or defect)


def _defect_of(parsed: ParsedEvent) -> Verdict | None:
    """Returns what is wrong with the member at fault, None when the event was not sent as JSON."""
    try:
        return tolerant_json.defect_of(bytes(parsed.raw))
    except ServiceError:
        return None


def _in_dialect(verdict: Verdict, names: Mapping[str, str]) -> Verdict:
    """Returns a verdict that calls its field what the dialect calls it."""
    if verdict.others:
        verdict = verdict._replace(others=tuple([_in_dialect(other, names) for other in verdict.others]))
    name = names.get(verdict.field)
    if name is None and verdict.field.startswith("properties."):
        name = names.get("properties", "properties") + verdict.field.removeprefix("properties")
    if name is None:
        return verdict
    return verdict._replace(field=name, message=verdict.message.replace(verdict.field, name))
