"""Any refused event, sent again by itself: the same verdict, and once its fault is mended, the touchpoint it missed."""

import json
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from services.ingest.dialects.base import Request
from services.ingest.dialects.registry import RULES
from services.ingest.http.replay import Replay, restamp
from services.ingest.publish.rejected import rejected_records
from services.ingest.validate.request import Result
from tests.strategies.requests import (
    KEY,
    cloudevents_requests,
    ga4_requests,
    pos_requests,
    posthog_requests,
    segment_requests,
    shopify_requests,
    snowplow_requests,
)
from tests.support.dialect_requests import parsed, source, validated
from tests.support.laws import NOW
from throughline.journey.touchpoint import Touchpoint
from throughline.kit.clock import MAX_US, MIN_US
from throughline.kit.errors import ServiceError
from throughline.store.access.modes import IpMode
from throughline.wire.codec import Rejected, decode_rejected, encode_rejected

LATER = NOW + 86_400_000_000
WHERE = "touchpoints.rejected/2/71"


FAMILIES = pytest.mark.parametrize(
    "family",
    [
        segment_requests(),
        snowplow_requests(),
        ga4_requests(),
        posthog_requests(),
        cloudevents_requests(),
        pos_requests(),
    ],
    ids=["segment", "snowplow", "ga4", "posthog", "cloudevents", "pos"],
)


def judge(request: Request, ip: IpMode, retention_cutoff_us: int) -> Result:
    return validated(parsed(request), ip=ip, retention_cutoff_us=retention_cutoff_us)


def refused(request: Request, ip: IpMode, retention_cutoff_us: int) -> list[Rejected]:
    """What the topic keeps of a request; nothing where it fails as a whole."""
    try:
        body = parsed(request)
        result = validated(body, ip=ip, retention_cutoff_us=retention_cutoff_us)
    except ServiceError:
        return []
    records = rejected_records(result, body, source(ip), RULES, NOW, f"{request.method} {request.path}", [])
    assert [decode_rejected(encode_rejected(record)) for record in records] == records
    return records


def again(record: Rejected, *others: Rejected) -> Request:
    """The request that sends it again, with others that came in the same request."""
    path, _, query = record.envelope.path.partition("?")
    headers = [(b"content-type", record.envelope.content_type.encode())]
    if record.envelope.library:
        headers.append((b"x-throughline-library", record.envelope.library.encode("latin-1")))
    payload = b",".join([record.payload, *(other.payload for other in others)])
    return Request("POST", path, query, headers, record.envelope.before + payload + record.envelope.after)


def replayed(record: Rejected, ip: IpMode, retention_cutoff_us: int) -> Result:
    return together([record], ip, retention_cutoff_us)


def together(ones: Sequence[Rejected], ip: IpMode, retention_cutoff_us: int) -> Result:
    """What becomes of events that came in one request and are sent again in one."""
    replay = Replay(NOW, [record.message_id for record in ones], [f"{WHERE}{number}" for number in range(len(ones))])
    result = judge(again(*ones), ip, retention_cutoff_us)
    return restamp(result, replay, LATER, "random")


def shared(record: Rejected) -> Any:
    around = record.envelope.before + record.envelope.after
    return record.envelope._replace(before=b"", after=b""), json.loads(around) if around else None


def without_key(rest: str) -> Any:
    return {name: value for name, value in json.loads(rest).items() if name != "api_key"}


@FAMILIES
@given(st.data(), st.sampled_from(IpMode))
def test_refused_again_for_the_same_reason(family: st.SearchStrategy[Request], data: st.DataObject, ip: IpMode) -> None:
    for record in refused(data.draw(family), ip, MIN_US):
        if record.code == "mixed_app_ids":  # a fault of the request's
            continue
        (second_time,) = replayed(record, ip, MIN_US).rejected
        assert (second_time.verdict.code, second_time.verdict.field) == (record.code, record.field)
        assert second_time.payload == record.payload
        (second,) = refused(again(record), ip, MIN_US)
        assert shared(second) == shared(record)
        assert second.payload == record.payload


def without_cleaned(touchpoint: Touchpoint) -> Touchpoint:
    """The touchpoint without the warning that only the first event of a request has."""
    warnings = tuple(code for code in touchpoint.warnings if code != "cleaned_id")
    return touchpoint._replace(warnings=warnings)


@FAMILIES
@given(st.data())
def test_neighbours_can_be_sent_again_together(family: st.SearchStrategy[Request], data: st.DataObject) -> None:
    request = data.draw(family)
    for retention_cutoff_us in (MIN_US, MAX_US):
        ones = [
            record for record in refused(request, IpMode.SHORTEN, retention_cutoff_us) if record.code != "mixed_app_ids"
        ]
        if len(ones) > 1 and ones[0].envelope.after:
            all_at_once = together(ones, IpMode.SHORTEN, MIN_US)
            alone = [together([record], IpMode.SHORTEN, MIN_US) for record in ones]
            rejected = [event for result in alone for event in result.rejected]
            for again, event in zip(all_at_once.rejected, rejected, strict=True):
                # Of events that are the same, each after the first has an id made of its number in the request.
                repeated = sum(other.payload == event.payload for other in rejected) > 1
                message_id = again.message_id if repeated else event.message_id
                assert structs.replace(again, position=0) == structs.replace(event, message_id=message_id)
            named = [touchpoint for result in alone for touchpoint in result.touchpoints]
            for actual, other in zip(all_at_once.touchpoints, named, strict=True):
                same_id = "missing_message_id" in actual.warnings
                assert without_cleaned(actual) == without_cleaned(
                    other._replace(place=actual.place, message_id=actual.message_id if same_id else other.message_id)
                )


@FAMILIES
@given(st.data(), st.sampled_from(IpMode))
def test_mended_it_is_the_touchpoint_it_would_have_been(
    family: st.SearchStrategy[Request], data: st.DataObject, ip: IpMode
) -> None:
    mended(data.draw(family), ip)


@given(shopify_requests(), st.sampled_from(IpMode))
def test_a_mended_webhook_needs_no_signature(request: Request, ip: IpMode) -> None:
    mended(request, ip)


def mended(request: Request, ip: IpMode) -> None:
    too_old = [record for record in refused(request, ip, MAX_US) if record.code == "before_horizon"]
    if not too_old:
        return
    expected = judge(request, ip, MIN_US).touchpoints
    mended_touchpoints = []
    for refused_record in too_old:
        # None where it has another fault, which shows only now: then it is none of those expected either.
        touchpoints = replayed(refused_record, ip, MIN_US).touchpoints
        assert replayed(refused_record, ip, MIN_US).touchpoints == touchpoints
        mended_touchpoints += touchpoints
    for then, now in zip(expected, mended_touchpoints, strict=True):
        identity = now.message_id if then.message_id == "random" else then.message_id
        # Text of the body that is not the event's may have been mended the first time: it is not sent again.
        warnings = tuple(code for code in then.warnings if code != "mended_text" or code in now.warnings)
        assert now == then._replace(
            place=now.place, received_us=LATER, message_id=identity, rest=now.rest, warnings=warnings
        )
        # A placeholder in place of an id may stay among the rest: of a webhook it does only when it is sent again.
        if ip == IpMode.KEEP and "illegal_id" not in then.warnings:
            assert json.loads(now.rest) == without_key(then.rest)


@FAMILIES
@given(st.data())
def test_no_write_key_and_no_address_is_kept_around_it(family: st.SearchStrategy[Request], data: st.DataObject) -> None:
    for record in refused(data.draw(family), IpMode.SHORTEN, MAX_US):
        around = repr(record.envelope)
        assert KEY not in around
        assert "81.2.69.160" not in around
        assert record.envelope.path
