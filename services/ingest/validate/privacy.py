"""A source's setting `ip`: what is kept of people's IP addresses. Pure.

`shorten` (the default) keeps the first 24 bits of an IPv4 address and the first 48 of an IPv6 address, which a town or
a provider shares, and nothing of a text that is no address. `drop` keeps no address, `keep` every one.
"""

import json
import re
from collections.abc import Mapping
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


_ESCAPED_NAME = re.compile(rb'"((?:[^"\\]++|\\.)*+)"(?=\s*:)')
_TEXT = re.compile(rb'"((?:[^"\\]++|\\.)*+)"')
_NAMED = re.compile(r'ip(?:["=]|(?<="ip))').search
_CAPITAL = re.compile("I[pP]").search
_MEMBER = re.compile(rb'("(?:[^"\\]++|\\.)*+"\s*:\s*)' + _TEXT.pattern)


class _Patterns(NamedTuple):
    """Where addresses stand in bytes that may not even be JSON."""

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


def may_hold_address(text: str) -> bool:
    """Whether JSON may have a member or parameter that holds an address."""
    # From its end a long text is searched in half of the time that `in` takes.
    if text.rpartition("ip")[1] and _NAMED(text) is not None:
        return True
    # To look for one character takes a fiftieth of the time that two take.
    return ("I" in text and _CAPITAL(text) is not None) or ("\\" in text and "\\u00" in text)


def has_no_address(members: Mapping[str, Any], text: str, start: int, rules: Rules) -> bool:
    """Whether an object holds no address, as far as its own members tell: False says nothing.

    `members` is the object decoded, which stands in `text` from `start` on. For a long text, this takes a tenth of the
    time of `may_hold_address`, which has to look at every character.
    """
    return (
        text.find("{", start + 1) < 0
        and "\\" not in text
        and members.keys().isdisjoint(rules.address_members)
        and not [part for part in _parameters(rules.address_parameters) if text.rpartition(part)[1]]
    )


def kept_of_text(text: str, mode: IpMode, rules: Rules) -> str:
    """Returns what is kept of members of an accepted event, as JSON: the same as of a rejected one."""
    if not may_hold_address(text) or mode is IpMode.KEEP:
        return text
    return kept_of_rejected(text.encode(), mode, rules).decode()


def kept_of_rejected(raw: bytes, mode: IpMode, rules: Rules) -> bytes:
    """Returns what is kept of a rejected event, whatever is wrong with it: all its bytes but those of addresses."""
    if mode is IpMode.KEEP or not may_hold_address(raw.decode("latin-1")):
        return raw
    patterns = _patterns(rules.address_members, rules.address_parameters)

    def short(value: bytes) -> bytes:
        return shorten(value.decode("latin-1")).encode() if mode is IpMode.SHORTEN else b""

    def of_member(match: re.Match[bytes]) -> bytes:
        if match[2][:1].isdigit() or match[2][:1] == b"-":
            return match[1] + b'""'
        if match[2][:1] == b"{":
            return match[1] + _MEMBER.sub(lambda member: b'%s"%s"' % (member[1], short(member[2])), match[2])
        return match[1] + _TEXT.sub(lambda text: b'"%s"' % short(text[1]), match[2])

    if b"\\u00" in raw:
        raw = _ESCAPED_NAME.sub(_unescaped, raw)
    raw = patterns.in_json.sub(of_member, raw)
    return patterns.in_query.sub(
        lambda match: match[1] + short(match[2].replace(b"%3A", b":").replace(b"%3a", b":")), raw
    )


@lru_cache(maxsize=4)
def _parameters(names: tuple[str, ...]) -> list[str]:
    """Returns texts of which every parameter has one before its value: that of `_uip` ends as that of `ip` does."""
    return [f"{name}=" for name in names if not any(name != other and name.endswith(other) for other in names)]


@lru_cache(maxsize=4)
def _patterns(members: tuple[str, ...], parameters: tuple[str, ...]) -> _Patterns:
    text = rb'"(?:[^"\\]++|\\.)*+"'
    a_list, an_object = rb"\[(?:\s*+%s\s*+,?)*+\]" % text, rb"\{(?:\s*+%s\s*+:\s*+%s\s*+,?)*+\}" % (text, text)
    value = b"|".join((text, a_list, an_object, rb"-?\d[\d.eE+-]*+"))
    return _Patterns(
        re.compile(rb'("(?:%s)"\s*:\s*)(%s)' % (_any_of(members), value)),
        re.compile(rb"((?:^|[?&#;]|\\u0026|\\u003[fF])(?:%s)=)([^&#\s\"\\]*)" % _any_of(parameters)),
    )


def _unescaped(name: re.Match[bytes]) -> bytes:
    """Returns a member's name without the escapes that it does not need."""
    if b"\\u00" not in name[1]:
        return name[0]
    try:
        return json.dumps(json.loads(name[0]), ensure_ascii=True).encode()
    except ValueError:  # not JSON, or bytes that are not UTF-8
        return name[0]


def _any_of(names: tuple[str, ...]) -> bytes:
    return "|".join(map(re.escape, names)).encode()
