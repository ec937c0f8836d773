"""Mutations of a request that a fuzzer of bytes hardly ever makes: of its path, of a value in its JSON. Pure."""

import json
from random import Random
from typing import Any

from tests.fuzz.seeds import PATHS

VALUES = [
    "null", "true", "0", "-1", "1e15", "1e308", "1e999", "-0.0", "NaN", "Infinity", "9007199254740993", "9" * 20, '""',
    '"null"', '"\\u0000"', '"\\ud800"', '"\\udc80"', '"é"', '"1.2.3.4"', '"::1"', '"1795465713000"', '"  x "', "[]",
    "{}", "[[]]", '{"":{}}', '{"data":[]}', '"W10="', '"2026-11-23T20:28:33Z"', '"9999-12-31T23:59:59-14:00"',
    '"https://[/?utm_source=a"', '"//a@[::1]:x/?utm_medium=%00"', "9" * 400, "1" * 4301, "[" * 390 + "]" * 390,
    "[" * 900 + "]" * 900, '{"schema":"iglu:a/product/jsonschema/1-0-0","data":{"id":1}}', '"iglu:a/user/x"', '"cpc"',
    '"$identify"', *(f'"{sign * number}"' for sign in ("x", "é", "\\u0001") for number in (65, 101, 257, 513)),
    '"Googlebot/2.1"', '"+123456-01-01"', '"0001-01-01T00:00:00+14:00"', "1e11", "-62135596801", "0.1e-400",
]  # fmt: skip
"""Values as JSON writes them, and some that are no JSON."""


def mutated(data: bytes, seed: int) -> bytes | None:
    """The request with one change; None if the bytes are no request or have no JSON to change."""
    random = Random(seed)
    head, gap, body = data.partition(b"\n\n")
    if not gap:
        return None
    kind = random.randrange(10)
    if kind == 0:
        line, *others = head.split(b"\n")
        _, mark, query = line.partition(b"?")
        return b"\n".join([random.choice(PATHS).encode() + mark + query, *others]) + gap + body
    if kind == 1 and b"grow:" in head and body:
        start = random.randrange(len(body))
        lines = [line for line in head.split(b"\n") if not line.startswith(b"grow:")]
        end = start + random.choice((1, 2, 3, 8, 40, 200))
        return b"\n".join([*lines, b"grow: %d %d" % (start, end)]) + gap + body
    try:
        value = json.loads(body.decode("utf-8", "surrogateescape"))
        text = json.dumps(_changed(value, random), ensure_ascii=random.random() < 0.5, separators=(",", ":"))
        for number, replacement in enumerate(VALUES):
            text = text.replace(f'"\\u0007{number}\\u0007"', replacement)
        return head + gap + text.encode("utf-8", "surrogateescape")
    except (ValueError, RecursionError):
        return None


def _changed(value: Any, random: Random) -> Any:
    """The JSON value with one of its parts changed."""
    places: list[tuple[Any, Any]] = []
    stack = [value]
    while stack:
        part = stack.pop()
        for key in part if isinstance(part, dict) else range(len(part)) if isinstance(part, list) else ():
            places.append((part, key))
            stack.append(part[key])
    # A placeholder of one of `VALUES`, as `json` cannot write all of them.
    fresh = f"\a{random.randrange(len(VALUES))}\a"
    if not places:
        return fresh
    holder, key = random.choice(places)
    other = random.choice(places)
    kind = random.randrange(6)
    if kind <= 2:
        holder[key] = fresh
    elif kind == 3:
        holder[key] = json.loads(json.dumps(other[0][other[1]]))
    elif kind == 4:
        del holder[key]
    elif isinstance(holder, dict):
        name = random.choice([where for _, where in places if isinstance(where, str)])
        holder[name] = fresh if random.random() < 0.5 else holder[key]
    else:
        holder.insert(key, holder[key])
    return value
