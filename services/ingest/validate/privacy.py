"""A source's setting `ip`: what is kept of people's IP addresses. Pure.

`shorten` (the default) keeps the first 24 bits of an IPv4 address and the first 48 of an IPv6 address, which a town or
a provider shares, and nothing of a text that is no address. `drop` keeps no address, `keep` every one.
"""

import re
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from services.ingest.dialects.base import Rules
from throughline.store.access.modes import IpMode

_IPV4_MASK = 0xFFFFFF00
_IPV6_MASK = ((1 << 48) - 1) << 80

_FIELDS = msgspec.json.Decoder(dict[str, Raw])


class _Patterns(NamedTuple):
    """Where addresses stand in bytes that may not even be JSON."""

    hints: tuple[bytes, ...]
    """Bytes without any of which there is no address."""
    in_json: re.Pattern[bytes]
    in_query: re.Pattern[bytes]


def shorten(address: str) -> str:
    """Returns an address without what tells one household from the next; "" for a text that is no address."""
    try:
        return str(IPv4Address(int(IPv4Address(address)) & _IPV4_MASK))
    except AddressValueError:
        pass
    try:
        long = IPv6Address(address.partition("%")[0])
    except AddressValueError:
        return ""
    if long.ipv4_mapped is not None:
        return f"::ffff:{shorten(str(long.ipv4_mapped))}"
    return str(IPv6Address(int(long) & _IPV6_MASK))


def kept_of_context(context: dict[str, Any], raw: Raw, mode: IpMode) -> Raw:
    """Returns what is kept of a context that holds an `ip`: `raw`, and `context` the same decoded."""
    if mode is IpMode.KEEP:
        return raw
    address = context["ip"]
    short = shorten(address) if mode is IpMode.SHORTEN and type(address) is str else ""
    fields = _FIELDS.decode(raw)  # of a name given twice, the last
    if short:
        fields["ip"] = Raw(msgspec.json.encode(short))
    else:
        del fields["ip"]
    return Raw(msgspec.json.encode(fields))


def kept_of_rejected(raw: bytes, mode: IpMode, rules: Rules) -> bytes:
    """Returns what is kept of a rejected event, whatever is wrong with it: all its bytes but those of addresses."""
    if mode is IpMode.KEEP:
        return raw
    patterns = _patterns(rules.address_members, rules.address_parameters)
    if not any(hint in raw for hint in patterns.hints):
        return raw

    def short(value: bytes) -> bytes:
        return shorten(value.decode("latin-1")).encode() if mode is IpMode.SHORTEN else b""

    raw = patterns.in_json.sub(lambda match: b'%s"%s"' % (match[1], short(match[2])), raw)
    return patterns.in_query.sub(
        lambda match: match[1] + short(match[2].replace(b"%3A", b":").replace(b"%3a", b":")), raw
    )


@lru_cache(maxsize=4)
def _patterns(members: tuple[str, ...], parameters: tuple[str, ...]) -> _Patterns:
    names = {*members, *parameters}
    hints = {name for name in names if not any(other in name for other in names - {name})}
    return _Patterns(
        tuple(hint.encode() for hint in sorted(hints)),
        re.compile(rb'("(?:%s)"\s*:\s*)"((?:[^"\\]++|\\.)*+)"' % _any_of(members)),
        re.compile(rb"((?:^|[?&])(?:%s)=)([^&\s\"]*)" % _any_of(parameters)),
    )


def _any_of(names: tuple[str, ...]) -> bytes:
    return "|".join(map(re.escape, names)).encode()
