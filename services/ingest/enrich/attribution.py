"""The attribution of an event: the channel its customer came by, and the facts behind it. Pure.

The facts are those that campaigns, click ids and referrers are compared by. Whole addresses are not stored: a query can
hold anything, passwords too.
"""

from functools import lru_cache
from itertools import compress
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from services.ingest.enrich.address import (
    CAMPAIGN_MEMBERS,
    MAX_ADDRESS,
    MAX_TEXT,
    NO_ADDRESS,
    REFERRAL_CODES,
    UTM_FACTS,
    Address,
    clean,
    parse_address,
)
from services.ingest.enrich.channels import (
    CAMPAIGN,
    DIRECT,
    REFERRAL,
    by_medium,
    by_site,
    by_source,
    is_paid,
    is_set,
    named_by_ads,
)
from services.ingest.enrich.click_ids import CLICK_IDS
from services.ingest.enrich.devices import DEVICE_MEMBERS, DeviceHints, device_hints_of, device_of
from services.ingest.enrich.own_pages import opens_no_visit, same_site
from services.ingest.enrich.referrers import SEARCH, Site, site_named, site_of

CONTEXT_MEMBERS = DEVICE_MEMBERS | {"campaign", "page"}
"""The members of a context that attribution or the crawlers' list reads."""
_REFERRAL_CODE_PROPERTIES = ("referral_code", "referralCode", "referred_by", "referredBy")
"""Who was referred may name a code, or an id of the customer who did it."""
_OWN_PROPERTIES = ("acquisition_channel", *_REFERRAL_CODE_PROPERTIES, *UTM_FACTS, *CLICK_IDS)
"""Properties that count whatever the context says."""
_OWN_PROPERTY_SET = frozenset(_OWN_PROPERTIES)
ATTRIBUTION_PROPERTIES = (*_OWN_PROPERTIES, "referrer", "url")
"""An event with none of these properties has the attribution of its context: callers need not ask `attribution_of`."""

MAX_CHANNEL = 64
"""Maximum number of characters of a channel that an event names itself."""
MAX_CLICK_IDS = 5
"""Maximum number of click ids stored of one event."""
_UNPAID = frozenset({"organic_search", "social", "video", REFERRAL})
"""Channels of media that a source which names ads contradicts."""
_CLICK_ID_RANK = {name: rank for rank, name in enumerate(CLICK_IDS)}
_EMPTY: dict[str, Any] = {}
_EventProperties = tuple[tuple[str, str], ...]
"""Name and text, not cleaned, of an event's `_OWN_PROPERTIES`. Hashable, for the cache."""


class Attribution(Struct, frozen=True, gc=False):
    """The channel in lower case, and the facts as a JSON object, "" if there are none."""

    channel: str
    facts: str


class Origin(NamedTuple):
    """What a context says of the origin of its events, not cleaned."""

    campaign: tuple[str, ...] = ()
    """The values of `CAMPAIGN_MEMBERS`, in that order; empty if there is no campaign."""
    url: str = ""
    referrer: str = ""
    device_hints: DeviceHints | None = None


NO_ATTRIBUTION = Attribution(DIRECT, "")
NO_ORIGIN = Origin()


def origin_of(context: dict[str, Any]) -> Origin:
    """Returns what a context says of the origin of its events. Values of a wrong type are ignored."""
    page, campaign = context.get("page"), context.get("campaign")
    url = referrer = ""
    if type(page) is dict:
        url, referrer = _address_text(page, "url"), _address_text(page, "referrer")
    values = tuple([_text(campaign, name) for name in CAMPAIGN_MEMBERS.values()]) if type(campaign) is dict else ()
    return Origin(values, url, referrer, device_hints_of(context))


def attribution_of(
    origin: Origin, properties: dict[str, Any] = _EMPTY, call: str = "", no_visit_hosts: tuple[str, ...] = ()
) -> Attribution:
    """Returns the attribution of an event, by the origin its context tells, its properties and its call.

    `no_visit_hosts` are no referrers, with the hosts below them.
    """
    event_properties: _EventProperties = ()
    if properties:
        event_properties = _own_properties(properties)
        referrer = _address_text(properties, "referrer")
        # In other calls than `page` the property `url` may be a product's address.
        url = _address_text(properties, "url") if call == "page" and not origin.url else ""
        if referrer or "?" in url or "#" in url or (url and origin.referrer):
            origin = Origin(origin.campaign, url or origin.url, referrer or origin.referrer, origin.device_hints)
    return _attribution(origin, event_properties, no_visit_hosts)


def adds_nothing(origin: Origin, properties: dict[str, Any], call: str) -> bool:
    """Whether an event has the attribution of its context, although a property says where it came from: its `url` and
    `referrer` tell nothing new. False says nothing."""
    if not _OWN_PROPERTY_SET.isdisjoint(properties) or "referrer" in properties:
        return False
    url = properties.get("url")
    return call != "page" or not url or (type(url) is str and not ("?" in url or "#" in url or origin.referrer))


def _own_properties(properties: dict[str, Any]) -> _EventProperties:
    # One character more than is stored, so that a click id that is too long can be told from one that fits.
    if len(properties) > len(_OWN_PROPERTIES):
        # Browser libraries send most of them, as null, among many others: walk the shorter of the two.
        values = [*map(properties.get, _OWN_PROPERTIES)]
        pairs = compress(zip(_OWN_PROPERTIES, values, strict=True), values)
        return tuple([(name, text[: MAX_TEXT + 1]) for name, text in pairs if type(text) is str])
    return tuple(
        [
            (name, text[: MAX_TEXT + 1])
            for name, text in properties.items()
            if type(text) is str and name in _OWN_PROPERTY_SET
        ]
    )


@lru_cache(maxsize=1024)
def _attribution(origin: Origin, own_properties: _EventProperties, no_visit_hosts: tuple[str, ...]) -> Attribution:
    event_properties = dict(own_properties)
    landing = parse_address(origin.url) if origin.url else NO_ADDRESS
    referrer = parse_address(origin.referrer) if origin.referrer else NO_ADDRESS
    is_internal = referrer.host != "" and (
        same_site(referrer.host, landing.host)
        or opens_no_visit(referrer.host)
        or _is_one_of(referrer.host, no_visit_hosts)
    )
    if is_internal:
        referrer = NO_ADDRESS
    campaign = _campaign(origin.campaign, event_properties, landing)
    click_ids = _click_ids(landing.params, event_properties)
    click_id = next(iter(click_ids), "")
    referral_code = _referral_code(landing.params, event_properties)
    site = site_of(referrer.host, referrer.path) if referrer.host else None

    channel = clean(event_properties.get("acquisition_channel", "")).lower()[:MAX_CHANNEL]
    channel = channel or _channel(campaign, click_id, referrer.host, site)
    if channel == DIRECT and referral_code and not is_internal:
        channel = REFERRAL
    if "source" not in campaign and is_paid(campaign.get("medium", "")):
        paid_site = site or _site_of_click(click_id)
        if paid_site is not None:
            campaign["source"] = paid_site.name
    if "source" not in campaign and "medium" not in campaign:
        campaign = _derived_campaign(click_id, referrer.host, site) | campaign
    facts: dict[str, str | dict[str, str]] = {**campaign}
    if click_ids:
        facts["click_ids"] = click_ids
    if referrer.host:
        facts["referrer"] = referrer.host
    if referral_code:
        facts["referral_code"] = referral_code
    if origin.device_hints is not None:
        device = {name: text for name, text in device_of(origin.device_hints)._asdict().items() if text}
        if device:
            facts["device"] = device
    return Attribution(channel, msgspec.json.encode(facts).decode() if facts else "")


def _campaign(context_campaign: tuple[str, ...], event_properties: dict[str, str], landing: Address) -> dict[str, str]:
    """Returns the utm facts. For each, the context counts before the properties and the landing's address."""
    campaign: dict[str, str] = {}
    for position, (parameter, fact) in enumerate(UTM_FACTS.items()):
        text = (
            (context_campaign and clean(context_campaign[position]))
            or clean(event_properties.get(parameter, ""))
            or landing.params.get(parameter, "")
        )
        if text and is_set(text):
            campaign[fact] = text
    return campaign


def _click_ids(params: dict[str, str], event_properties: dict[str, str]) -> dict[str, str]:
    """Returns the first `MAX_CLICK_IDS` click ids, in the order of `CLICK_IDS`. A property wins over a parameter."""
    click_ids = {name: text for name, text in params.items() if name in CLICK_IDS}
    click_ids |= {
        name: text
        for name, value in event_properties.items()
        if name in CLICK_IDS and len(value) <= MAX_TEXT and (text := clean(value))
    }
    if not click_ids:
        return click_ids
    return {name: click_ids[name] for name in sorted(click_ids, key=_CLICK_ID_RANK.__getitem__)[:MAX_CLICK_IDS]}


def _referral_code(params: dict[str, str], event_properties: dict[str, str]) -> str:
    codes = [clean(event_properties.get(name, "")) for name in _REFERRAL_CODE_PROPERTIES]
    codes += [params.get(name, "") for name in REFERRAL_CODES]
    return next(filter(None, codes), "")


def _channel(campaign: dict[str, str], click_id: str, host: str, site: Site | None) -> str:
    """Returns the channel by the first that decides: medium, click id, source, referrer (its `host`, and `site`)."""
    source, medium = campaign.get("source", ""), campaign.get("medium", "")
    source_site = (site_named(source.lower()) or named_by_ads(source)) if source else None
    # A medium that says that somebody paid, and not whom: the medium itself, the referrer or the click may.
    medium_site = source_site if source else named_by_ads(medium) or site or _site_of_click(click_id)
    channel = by_medium(medium, medium_site if is_paid(medium) else source_site) if medium else ""
    if channel in _UNPAID and named_by_ads(source) is not None:
        return by_source(source, source_site, is_tagged=True)
    if channel:
        return channel
    if click_id:
        return CLICK_IDS[click_id].channel
    if source or medium:
        return by_source(source, source_site, is_tagged=medium != "") or CAMPAIGN
    return by_site(site) if host else DIRECT


def _is_one_of(host: str, hosts: tuple[str, ...]) -> bool:
    normal = (parse_address(each).host for each in hosts)
    return any(host == each or host.endswith(f".{each}") for each in normal)


def _site_of_click(click_id: str) -> Site | None:
    return site_named(CLICK_IDS[click_id].source) if click_id else None


def _derived_campaign(click_id: str, host: str, site: Site | None) -> dict[str, str]:
    """Returns source and medium for an event that names neither, by its click id or else its referrer."""
    if click_id:
        return {"source": CLICK_IDS[click_id].source, "medium": CLICK_IDS[click_id].medium}
    if not host:
        return {}
    if site is None:
        return {"source": host, "medium": REFERRAL}
    return {"source": site.name, "medium": "organic" if site.kind == SEARCH else REFERRAL}


def _text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    return value[:MAX_TEXT] if type(value) is str else ""


def _address_text(members: dict[str, Any], name: str) -> str:
    value = members.get(name)
    return value[:MAX_ADDRESS] if type(value) is str else ""
