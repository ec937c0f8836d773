"""What is taken away of the addresses of people before anything is kept: a source's setting `ip`. Pure.

`shorten` (the default) leaves an IPv4 address its first 24 bits and an IPv6 address its first 48, what a town or a
provider shares; what is no address is taken away. `drop` takes all away, `keep` nothing.
"""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Any

import msgspec
from msgspec import Raw

SHORTEN, DROP, KEEP = MODES = ("shorten", "drop", "keep")
_IPV4_MASK = 0xFFFFFF00
_IPV6_MASK = ((1 << 48) - 1) << 80

_FIELDS = msgspec.json.Decoder(dict[str, Raw])
# The fields that the protocols name for it, in JSON and in queries.
_IN_JSON = re.compile(rb'("(?:\$?ip|ip_override|ip_address|ipAddress|_uip)"\s*:\s*)"((?:[^"\\]++|\\.)*+)"')
_IN_QUERY = re.compile(rb"((?:^|[?&])(?:ip|_uip)=)([^&\s\"]*)")


def shorten(address: str) -> str:
    """An address without what tells one household from the next; "" for what is not an address."""
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


def of_context(context: dict[str, Any], raw: Raw, mode: str) -> Raw:
    """A context as it is kept: `raw`, and `context` the same decoded, which holds an `ip`."""
    if mode == KEEP:
        return raw
    address = context["ip"]
    short = shorten(address) if mode == SHORTEN and type(address) is str else ""
    fields = _FIELDS.decode(raw)  # of a name given twice, the last
    if short:
        fields["ip"] = Raw(msgspec.json.encode(short))
    else:
        del fields["ip"]
    return Raw(msgspec.json.encode(fields))


def of_refused(raw: bytes, mode: str) -> bytes:
    """A refused event as it is kept, whatever is wrong with it: the rest of its bytes as they came."""
    if mode == KEEP or b"ip" not in raw:
        return raw

    def short(value: bytes) -> bytes:
        return shorten(value.decode("latin-1")).encode() if mode == SHORTEN else b""

    raw = _IN_JSON.sub(lambda found: b'%s"%s"' % (found[1], short(found[2])), raw)
    return _IN_QUERY.sub(lambda found: found[1] + short(found[2].replace(b"%3A", b":").replace(b"%3a", b":")), raw)
