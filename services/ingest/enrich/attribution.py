"""The attribution of an event: what its context and properties say of where it came from and by what device. Pure.

Kept is what campaigns, click ids and referrers are compared by, never a whole address: those can hold anything.
"""

from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from services.ingest.enrich.address import CODES, MAX_ADDRESS, MAX_TEXT, NOWHERE, UTM, Landing, clean, landing
from services.ingest.enrich.channels import CAMPAIGN, DIRECT, REFERRAL, by_medium, by_site, by_source, given
from services.ingest.enrich.click_ids import CLICKS
from services.ingest.enrich.devices import Signs, device_of, signs_of
from services.ingest.enrich.referrers import SEARCH, Site, site_named, site_of

CONTEXT_HINTS = frozenset({"campaign", "page", "userAgent", "userAgentData", "device", "os"})
_CODE_PROPERTIES = ("referral_code", "referralCode")
_OWN = ("acquisition_channel", *_CODE_PROPERTIES, *UTM, *CLICKS)
"""Properties that say something by themselves."""
_OWN_NAMES = frozenset(_OWN)
ATTRIBUTION_PROPERTIES = (*_OWN, "referrer", "url")
ATTRIBUTION_PROPERTY_SET = frozenset(ATTRIBUTION_PROPERTIES)
"""An event with none of these properties, and no context, has `NO_ATTRIBUTION`: callers need not ask
`attribution_of`."""

MAX_CHANNEL = 64
MAX_CLICKS = 5
"""Click ids that are kept of one event."""
_CAMPAIGN = ("source", "medium", "name", "term", "content")
"""Members of `context.campaign`, in the order of `UTM`."""
_CLICK_ORDER = {name: number for number, name in enumerate(CLICKS)}
_EMPTY: dict[str, Any] = {}
_Own = tuple[tuple[str, str], ...]
"""What an event's own properties say, by `_OWN`, uncleaned."""


class Attribution(NamedTuple):
    """The acquisition channel, in lower case, and the JSON object that is kept, "" when nothing is known."""

    channel: str
    facts: str


class Origin(NamedTuple):
    """What a context says of where its events came from, uncleaned."""

    campaign: tuple[str, ...] = ()
    """By `_CAMPAIGN`, or empty."""
    url: str = ""
    referrer: str = ""
    signs: Signs | None = None
    """Of the device."""


NO_ATTRIBUTION = Attribution(DIRECT, "")
NOWHERE_FROM = Origin()


def origin_of(context: dict[str, Any]) -> Origin:
    """What a context says, which many events share. What is not text where text belongs is left out."""
    page, campaign = context.get("page"), context.get("campaign")
    url = referrer = ""
    if type(page) is dict:
        url, referrer = _address(page, "url"), _address(page, "referrer")
    said = tuple([_text(campaign, name) for name in _CAMPAIGN]) if type(campaign) is dict else ()
    return Origin(said, url, referrer, signs_of(context))


def attribution_of(origin: Origin, properties: dict[str, Any] = _EMPTY, call: str = "") -> Attribution:
    """Where an event came from: what its context says, and its own properties."""
    own: _Own = ()
    if properties:
        if not _OWN_NAMES.isdisjoint(properties):
            own = _own(properties)
        referrer = _address(properties, "referrer")
        # With a call other than `page` the address may be a product's.
        url = _address(properties, "url") if call == "page" and not origin.url else ""
        if referrer or "?" in url or (url and origin.referrer):
            origin = Origin(origin.campaign, url or origin.url, referrer or origin.referrer, origin.signs)
    return _attribution(origin, own)


def _own(properties: dict[str, Any]) -> _Own:
    many = len(properties) > len(_OWN)  # as browser libraries send, most of `_OWN` as null among them
    pairs = zip(_OWN, map(properties.get, _OWN), strict=True) if many else properties.items()
    # One character more than is kept, so that a click id that is too long shows.
    return tuple([(name, text[: MAX_TEXT + 1]) for name, text in pairs if type(text) is str and name in _OWN_NAMES])


@lru_cache(maxsize=1024)
def _attribution(origin: Origin, sent: _Own) -> Attribution:
    said, url, referrer, signs = origin
    own = dict(sent)
    here = landing(url) if url else NOWHERE
    there = landing(referrer) if referrer else NOWHERE
    inside = there.host != "" and _same_site(there.host, here.host)
    if inside:
        there = NOWHERE
    campaign = _campaign(said, own, here)
    clicks = _clicks(here.said, own)
    click = next(iter(clicks), "")
    codes = [clean(own.get(name, "")) for name in _CODE_PROPERTIES] + [here.said.get(name, "") for name in CODES]
    code = next(filter(None, codes), "")
    site = site_of(there.host, there.path) if there.host else None

    channel = clean(own.get("acquisition_channel", "")).lower()[:MAX_CHANNEL] or _channel(
        campaign, click, there.host, site
    )
    if channel == DIRECT and code and not inside:
        channel = REFERRAL
    if "source" not in campaign and "medium" not in campaign:
        campaign = _derived(click, there.host, site) | campaign
    facts: dict[str, Any] = campaign
    if clicks:
        facts["click_ids"] = clicks
    if there.host:
        facts["referrer"] = there.host
    if code:
        facts["referral_code"] = code
    if signs is not None:
        device = {name: text for name, text in device_of(signs)._asdict().items() if text}
        if device:
            facts["device"] = device
    return Attribution(channel, msgspec.json.encode(facts).decode() if facts else "")


def _campaign(said: tuple[str, ...], own: dict[str, str], here: Landing) -> dict[str, Any]:
    """Of each the first that says anything: the context's campaign, the properties, the page's address."""
    found: dict[str, Any] = {}
    for number, (parameter, name) in enumerate(UTM.items()):
        text = (said and clean(said[number])) or clean(own.get(parameter, "")) or here.said.get(parameter, "")
        if text and given(text):
            found[name] = text
    return found


def _clicks(said: dict[str, str], own: dict[str, str]) -> dict[str, str]:
    """In the order of `CLICKS`."""
    found = {name: text for name, text in said.items() if name in CLICKS}
    found |= {
        name: text
        for name, value in own.items()
        if name in CLICKS and len(value) <= MAX_TEXT and (text := clean(value))
    }
    return {name: found[name] for name in sorted(found, key=_CLICK_ORDER.__getitem__)[:MAX_CLICKS]} if found else found


def _channel(campaign: dict[str, Any], click: str, host: str, site: Site | None) -> str:
    """The first of medium, click id, source and referrer that says anything."""
    source, medium = campaign.get("source", ""), campaign.get("medium", "")
    named = site_named(source.lower()) if source else None
    channel = by_medium(medium, named) if medium else ""
    if channel:
        return channel
    if click:
        return CLICKS[click].channel
    if source or medium:
        return by_source(source, named) or CAMPAIGN
    return by_site(site) if host else DIRECT


def _derived(click: str, host: str, site: Site | None) -> dict[str, Any]:
    """What stands for source and medium in an event that names neither."""
    if click:
        return {"source": CLICKS[click].source, "medium": CLICKS[click].medium}
    if not host:
        return {}
    if site is None:
        return {"source": host, "medium": REFERRAL}
    return {"source": site.name, "medium": "organic" if site.kind == SEARCH else REFERRAL}


def _same_site(host: str, own: str) -> bool:
    return own != "" and (host == own or host.endswith(f".{own}") or own.endswith(f".{host}"))


def _text(said: dict[str, Any], name: str) -> str:
    value = said.get(name)
    return value[:MAX_TEXT] if type(value) is str else ""


def _address(said: dict[str, Any], name: str) -> str:
    value = said.get(name)
    return value[:MAX_ADDRESS] if type(value) is str else ""
