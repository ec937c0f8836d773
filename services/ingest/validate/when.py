"""When an event happened whose own time does not say it at once: archives, wrong clocks, impossible times. Pure."""

from typing import NoReturn, Protocol

import msgspec
from msgspec import Raw

from services.ingest.dialects.base import When
from services.ingest.event import times
from services.ingest.event.event import Event
from services.ingest.event.times import EARLIEST_US, SKEW_US
from services.ingest.event.verdict import RejectedError, Verdict, reject, warning
from throughline.kit.clock import MAX_US, MIN_US, rfc3339, to_us

_ANY = msgspec.json.Decoder()


class Clock(Protocol):
    """What holds for the times of all events of a request."""

    sent_us: int | None
    received_us: int
    retention_cutoff_us: int
    """Events that happened before this instant are rejected: the workspace does not keep them."""
    earliest_us: int
    """Nobody can have meant a time before this instant."""
    is_history: bool
    """Whether an event without a time that can be believed is refused: it did not happen now."""
    ahead_us: dict[str, int]
    """Filled with device -> how far its clock is ahead, of events with a time in the future that do not say when they
    were sent."""


def check_times(clock: Clock, event: Event, when: When | None, warnings: list[Verdict], device: str) -> tuple[int, int]:
    """Returns when the event happened, and the client's own time, 0 when the event says none that can be believed.

    `device` is the id by which events of one clock are known.
    """
    received_us = clock.received_us
    if when is not None:
        client_us, sent_us = when
    else:
        if event.receivedAt:
            archived_us = _archived_us(clock, event.receivedAt)
            if archived_us is not None:
                return _check_archived(clock, event, archived_us, warnings)
        client = event.originalTimestamp or event.timestamp
        if client is None:
            return _without_time(clock, warnings, received_us), 0
        client_us = to_us(client)
        if not MIN_US <= client_us <= MAX_US:
            times.reject_out_of_range("timestamp")
        sent_us = clock.sent_us if event.sentAt is None else times.instant(event.sentAt, "sentAt")
    if client_us < clock.earliest_us:
        return _without_belief(clock, client_us, warnings), 0
    if client_us <= received_us and (sent_us is None or 0 <= received_us - sent_us <= SKEW_US):
        occurred_us = client_us
    else:
        if sent_us is not None and sent_us < EARLIEST_US:
            sent_us = None
        occurred_us = _correct(client_us, sent_us, received_us, warnings)
        if sent_us is None and client_us > received_us:
            clock.ahead_us[device] = max(client_us - received_us, clock.ahead_us.get(device, 0))
        if occurred_us < clock.earliest_us:
            return _without_belief(clock, occurred_us, warnings), 0
    if occurred_us < clock.retention_cutoff_us:
        _reject_too_old(clock.retention_cutoff_us)
    return occurred_us, client_us


def _archived_us(clock: Clock, raw: Raw) -> int | None:
    """Returns when an archived event was first received; None when its `receivedAt` is no time to be believed."""
    try:
        received = times.parse(_ANY.decode(raw), "receivedAt")
        archived_us = None if received is None else times.instant(received, "receivedAt")
    except RejectedError:
        return None
    if archived_us is None or not clock.earliest_us <= archived_us <= clock.received_us:
        return None
    return archived_us


def _check_archived(clock: Clock, event: Event, archived_us: int, warnings: list[Verdict]) -> tuple[int, int]:
    """As `check_times`, of an event that was received before, by another server: its clock is corrected against
    that time, and `timestamp` is corrected already where `originalTimestamp` stands beside it."""
    client, sent_us = event.originalTimestamp, None
    if client is None:
        client = event.timestamp
    elif event.sentAt is not None:
        sent_us = times.instant(event.sentAt, "sentAt")
    if client is None:
        _reject_unreadable(warnings)
        occurred_us, client_us = archived_us, 0
    else:
        client_us = times.instant(client, "timestamp")
        if client_us < clock.earliest_us:
            _reject_implausible(client_us, clock.earliest_us)
        occurred_us = _correct(client_us, sent_us, archived_us, warnings)
        if occurred_us < clock.earliest_us:
            _reject_implausible(occurred_us, clock.earliest_us)
    if occurred_us < clock.retention_cutoff_us:
        _reject_too_old(clock.retention_cutoff_us)
    return occurred_us, client_us


def _correct(client_us: int, sent_us: int | None, received_us: int, warnings: list[Verdict]) -> int:
    occurred_us, in_future = times.correct(client_us, sent_us, received_us)
    if in_future:
        warnings.append(
            warning("time_in_future", "timestamp", "the time lies in the future; the time received is used")
        )
    return occurred_us


def _without_time(clock: Clock, warnings: list[Verdict], received_us: int) -> int:
    """Returns when an event happened that says no time: when it was received, unless it tells of the past."""
    if clock.is_history:
        _reject_unreadable(warnings)
        reject("missing_time", "timestamp", "without a time nobody knows when this happened; give it a timestamp")
    if received_us < clock.retention_cutoff_us:
        _reject_too_old(clock.retention_cutoff_us)
    return received_us


def _without_belief(clock: Clock, us: int, warnings: list[Verdict]) -> int:
    """Returns when an event happened whose time nobody can have meant."""
    if clock.is_history:
        _reject_implausible(us, clock.earliest_us)
    message = _implausible(us, clock.earliest_us)
    warnings.append(warning("implausible_time", "timestamp", f"{message}; the time received is used"))
    return _without_time(clock, warnings, clock.received_us)


def _implausible(us: int, earliest_us: int) -> str:
    return f"timestamp {rfc3339(us)} is before {rfc3339(earliest_us)}: a zero, or a wrong unit"


def _reject_implausible(us: int, earliest_us: int) -> NoReturn:
    reject("implausible_time", "timestamp", f"{_implausible(us, earliest_us)}; give the time at which it happened")


def _reject_unreadable(warnings: list[Verdict]) -> None:
    """Reject an event that tells of the past and whose time could not be read."""
    for cause in warnings:
        if cause.code == "unreadable_time" and cause.field != "sentAt":
            reject(cause.code, cause.field, cause.message)


def _reject_too_old(retention_cutoff_us: int) -> NoReturn:
    cutoff = rfc3339(retention_cutoff_us)
    reject("before_horizon", "timestamp", f"it happened before {cutoff}, from when on the workspace keeps events")
