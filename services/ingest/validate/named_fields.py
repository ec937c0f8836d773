"""A source's settings `drop`, `hash` and `strip-queries`: what is kept of members that its owner names. Pure.

A path names a member by the end of the way to it: `email` wherever it stands, `traits.email` in traits, those of the
context too. Case and punctuation of names say nothing, and a dialect's name for what is kept under another one is the
same name. An event is rid of them before anything of it is read, so that no copy has them.
"""

import base64
import binascii
import hmac
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import unquote_plus

import msgspec
from msgspec import Raw

from services.ingest.dialects.base import ParsedEvent, ParsedRequest, Rules
from services.ingest.enrich.address import UTM_FACTS
from services.ingest.enrich.click_ids import CLICK_IDS
from services.ingest.enrich.context import Context, build_context
from services.ingest.event import tolerant_json
from services.ingest.event.event import Event
from services.ingest.event.verdict import Verdict
from throughline.kit.errors import ServiceError
from throughline.store.access.keys import SourceKey

HASH_PREFIX = "hmac:"
"""How the text begins that is kept of a hashed member."""
_HASHED = re.compile(f"{HASH_PREFIX}[0-9a-f]{{32}}")
_KEPT_PARAMETERS = frozenset({*UTM_FACTS, *CLICK_IDS})
_PARAMETER = re.compile("[&;?]")
_ADDRESSES = frozenset({"url", "referrer"})
"""Members that dialects put into several places: a path that ends with one of them names it everywhere."""
_QUERY = "search"
"""Member that browser libraries put the query of an address into, and shops what somebody looked for."""
_OBJECTS = ("traits", "integrations", "groupId", "category", "channel", "rudderId", "receivedAt", "metadata")
"""Members of `Event`, beside properties and context, that are kept as they were sent."""
_DROP, _HASH, _STRIP, _STRIP_QUERY = range(4)
_GONE = object()
_NOT_QUOTED = "the value is wrong; it is not quoted, as the source does not keep it"
_ANY = msgspec.json.Decoder()
_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError, ServiceError)


class _Rule(NamedTuple):
    action: int
    parents: tuple[str, ...]
    """Names above the member, the nearest first."""


class NamedFields:
    """The members that a source's owner has named, and what becomes of each."""

    def __init__(
        self,
        drop: Sequence[str],
        hashed: Sequence[str],
        strip: Sequence[str],
        key: bytes,
        names: Mapping[str, str],
        encoded: Sequence[str],
    ) -> None:
        self._key = key
        self._names = {_plain(sent): _plain(name) for sent, name in names.items()}
        self._encoded = frozenset(encoded)
        self._rules: dict[str, list[_Rule]] = {}
        for action, paths in ((_DROP, drop), (_HASH, hashed), (_STRIP, strip)):
            for path in paths:
                *parents, name = (self._name(part) for part in path.split("."))
                is_address = name in _ADDRESSES
                self._rules.setdefault(name, []).append(_Rule(action, () if is_address else tuple(reversed(parents))))
                if is_address and action == _STRIP:
                    self._rules.setdefault(_QUERY, []).append(_Rule(_STRIP_QUERY, ()))
        for rules in self._rules.values():
            rules.sort()  # of several actions on one member, the one that keeps least

    def apply(self, value: Any, path: tuple[str, ...] = ()) -> Any:
        """Returns what is kept of a value that stands at a path; the same object when nothing of it is named."""
        return self._apply(value, tuple(self._name(part) for part in path), is_sent=False)

    def kept_of_raw(self, raw: bytes) -> bytes:
        """Returns what is kept of an event as it was sent; nothing of one that cannot be read."""
        try:
            value = tolerant_json.load(raw)
            remaining = self._apply(value, (), is_sent=True)
        except (ServiceError, RecursionError):
            return b""
        return raw if remaining is value else tolerant_json.dump(remaining)

    def events(self, request: ParsedRequest) -> Iterator[ParsedEvent]:
        """Returns the events of a request without the named members."""
        last: tuple[Context, Context] | None = None
        for parsed in request.events:
            event, context = parsed.event, parsed.context
            if event is not None:
                if context is not None:
                    if last is None or last[0] is not context:
                        last = context, self._context(context)
                    parsed.context = last[1]
                self._clear(event, parsed)
            if parsed.rejection is not None:
                parsed.rejection = self._without_quotes(parsed.rejection)
            parsed.raw = self.kept_of_raw(bytes(parsed.raw))
            yield parsed

    def members(self, members: Mapping[str, Raw], *path: str) -> Mapping[str, Raw]:
        """Returns what is kept of members that a request gives once for all its events."""
        return {
            name: part for name, sent in members.items() if (part := self._raw_member(sent, *path, name)) is not None
        }

    def _without_quotes(self, verdict: Verdict) -> Verdict:
        """Returns a verdict of a dialect whose message quotes no named member."""
        others = tuple([self._without_quotes(other) for other in verdict.others])
        path = tuple([self._name(part) for part in verdict.field.split(".")])
        is_named = self._action(path) is not None
        return verdict._replace(others=others, message=_NOT_QUOTED if is_named else verdict.message)

    def _clear(self, event: Event, parsed: ParsedEvent) -> None:
        properties = parsed.properties
        if properties is None:
            event.properties = self._raw(event.properties, "properties")
        else:
            remaining = self.apply(properties, ("properties",))
            if remaining is not properties:
                parsed.properties = remaining or None
                event.properties = Raw(tolerant_json.dump(remaining)) if remaining else Raw()
        event.context = self._raw(event.context, "context")
        for name in _OBJECTS:
            part: Raw = getattr(event, name)
            if part:
                setattr(event, name, self._raw(part, name))
        if parsed.extra:
            extra = f"{{{parsed.extra}}}".encode()
            parsed.extra = str(self._raw(Raw(extra)), "utf-8")[1:-1]

    def _context(self, context: Context) -> Context:
        remaining = self.apply(context.decoded, ("context",))
        return context if remaining is context.decoded else build_context(remaining)

    def _raw(self, part: Raw, *path: str) -> Raw:
        return (self._raw_member(part, *path) or Raw()) if part else part

    def _raw_member(self, part: Raw, *path: str) -> Raw | None:
        """Returns what is kept of a member as JSON, None for nothing. One that cannot be decoded is for validation."""
        try:
            value = _ANY.decode(part)
        except _UNREADABLE:
            return part
        if path:
            remaining = self._member(value, tuple(self._name(name) for name in path), path[-1], is_sent=False)
        else:
            remaining = self._apply(value, (), is_sent=False)
        if remaining is _GONE:
            return None
        return part if remaining is value else Raw(tolerant_json.dump(remaining))

    def _name(self, name: str) -> str:
        name = _plain(name)
        return self._names.get(name, name)

    def _action(self, path: tuple[str, ...]) -> int | None:
        for action, parents in self._rules.get(path[-1], ()):
            if not parents or path[-2 : -2 - len(parents) : -1] == parents:
                return action
        return None

    def _apply(self, value: Any, path: tuple[str, ...], *, is_sent: bool) -> Any:
        if type(value) is dict:
            remaining = {}
            is_changed = False
            for name, member in value.items():
                part = self._member(member, (*path, self._name(name)), name, is_sent=is_sent)
                is_changed |= part is not member
                if part is not _GONE:
                    remaining[name] = part
            return remaining if is_changed else value
        if type(value) is list:
            parts = [self._apply(part, path, is_sent=is_sent) for part in value]
            return value if all(map(_is_same, parts, value)) else parts
        if type(value) is str and value[:1] in ("{", "["):
            return self._text(value, path, is_sent=is_sent)
        return value

    def _member(self, value: Any, path: tuple[str, ...], name: str, *, is_sent: bool) -> Any:
        action = self._action(path)
        if action == _DROP:
            return _GONE
        if action == _HASH:
            return _of_leaves(value, self._hash)
        if action == _STRIP:
            return _of_leaves(value, _stripped)
        if action == _STRIP_QUERY and type(value) is str and value[:1] == "?":
            return _stripped(value)
        if is_sent and name in self._encoded and type(value) is str:
            return self._base64(value, path)
        return self._apply(value, path, is_sent=is_sent)

    def _text(self, text: str, path: tuple[str, ...], *, is_sent: bool) -> str:
        """Returns what is kept of JSON that stands inside of a text."""
        try:
            value = tolerant_json.load_text(text)
        except _UNREADABLE:
            return text
        remaining = self._apply(value, path, is_sent=is_sent)
        return text if remaining is value else tolerant_json.dump(remaining).decode("utf-8", "surrogateescape")

    def _base64(self, text: str, path: tuple[str, ...]) -> Any:
        """Returns what is kept of JSON in base64; nothing of what cannot be read."""
        try:
            data = binascii.a2b_base64(text.translate(_FROM_URL) + "==")
            value = tolerant_json.load(data)
        except (ValueError, *_UNREADABLE):
            return _GONE
        remaining = self._apply(value, path, is_sent=True)
        return text if remaining is value else base64.b64encode(tolerant_json.dump(remaining)).decode()

    def _hash(self, leaf: Any) -> Any:
        if leaf is None or leaf == "":
            return leaf
        text = leaf if isinstance(leaf, str) else tolerant_json.dump(leaf).decode()
        if _HASHED.fullmatch(text):  # an event that is sent again
            return leaf
        digest = hmac.digest(self._key, text.encode("utf-8", "surrogatepass"), "sha256")
        return f"{HASH_PREFIX}{digest.hex()[:32]}"


_FROM_URL = str.maketrans("-_ ", "+/+")
"""What base64 for addresses, and a plus sign that went through a query, has in place of + and /."""


def named_fields(source: SourceKey, rules: Rules, names: Mapping[str, str]) -> NamedFields | None:
    """Returns what a source's owner has named, None for nothing. `names` are the request's own names of fields."""
    settings = source.settings
    if not (settings.drop_fields or settings.hash_fields or settings.strip_queries):
        return None
    paths = settings.drop_fields, settings.hash_fields, settings.strip_queries
    return _named_fields(*paths, source.hash_key, rules.kept_names, rules.base64_members, tuple(names.items()))


@lru_cache(maxsize=256)
def _named_fields(
    drop: tuple[str, ...],
    hashed: tuple[str, ...],
    strip: tuple[str, ...],
    key: bytes,
    kept_names: tuple[tuple[str, str], ...],
    base64_members: tuple[str, ...],
    names: tuple[tuple[str, str], ...],
) -> NamedFields:
    of_request = {
        sent.rpartition(".")[2]: name.removeprefix("properties.")
        for name, sent in names
        if name.startswith("properties.")
    }
    return NamedFields(drop, hashed, strip, key, dict(kept_names) | of_request, base64_members)


def _is_same(part: Any, value: Any) -> bool:
    return part is value


def _plain(name: str) -> str:
    return "".join(filter(str.isalnum, name)).casefold() or name


def _of_leaves(value: Any, change: Callable[[Any], Any]) -> Any:
    if type(value) is dict:
        return {name: _of_leaves(part, change) for name, part in value.items()}
    if type(value) is list:
        return [_of_leaves(part, change) for part in value]
    return change(value)


def _stripped(leaf: Any) -> Any:
    """Returns an address with none but the parameters of campaigns and clicks in its query, and in those behind #."""
    if type(leaf) is not str or not ("?" in leaf or "#" in leaf or "=" in leaf):
        return leaf
    first, *fragments = leaf.split("#")
    parts = [_strip_query(first), *map(_strip_query, fragments)]
    return "#".join([parts[0], *(part for part in parts[1:] if part)])


def _strip_query(text: str) -> str:
    before, has_query, query = text.partition("?")
    if "=" in before and not has_query and "/" not in before.partition("=")[0]:
        return _kept_parameters(before)  # a query by itself
    if "=" in before and "/" not in before:
        before = ""
    remaining = _kept_parameters(query)
    return f"{before}?{remaining}" if remaining else before


def _kept_parameters(query: str) -> str:
    return "&".join(
        part
        for part in _PARAMETER.split(query)
        if "=" in part and unquote_plus(part.partition("=")[0]).strip().lower() in _KEPT_PARAMETERS
    )
