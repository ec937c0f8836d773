"""Credit of conversions to the touches before them, by rules. Fractions are integers of a millionth, so sums are exact.

A path is a sequence of touches; each conversion's credit is shared among its touches by a rule, in millionths that
add up to one exactly (largest remainder, the earlier touch first). Credits of touches with one value add up to the
value's. Without a touch the credit is that of `NONE`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple, get_args

MICRO: Final = 1_000_000
"""One conversion, in units of credit."""

Rule = Literal[
    "first", "last", "last_non_direct", "linear", "position", "j_shaped", "inverse_j", "time_decay", "custom",
    "participation", "unique_linear",
]  # fmt: skip
RULES: tuple[Rule, ...] = get_args(Rule)
SUMS_TO_MORE: Final = frozenset({"participation"})
"""Rules that give more than a conversion in all."""
Direct = Literal["keep", "drop_if_others", "drop_if_last"]
Transform = Literal["none", "unique", "exposure", "first"]
"""`unique` is Snowplow's name of `none`: every touch counts as one of its own."""

NONE = "(none)"
"""The row of conversions without a touch."""
OTHER = "(other)"


class Touch(NamedTuple):
    """One touch of a path."""

    value: str
    """Of the dimension that is asked for."""
    is_direct: bool = False
    age_us: int = 0
    """How long before the conversion."""


Path = tuple[Touch, ...]
Weights = tuple[int, int, int]
"""Of the first touch, of those between together, and of the last."""


class Settings(NamedTuple):
    """What rules take."""

    half_life_us: int = 7 * 86_400_000_000
    weights: Weights = (40, 20, 40)
    """Of `custom`."""


DEFAULTS = Settings()
_SHAPES: Mapping[str, Weights] = {
    "position": (40, 20, 40),
    "j_shaped": (20, 20, 60),
    "inverse_j": (60, 20, 20),
}


def apportion(total: int, shares: Sequence[int]) -> list[int]:
    """Returns integers in proportion to some shares, which add up to `total` exactly (largest remainder).

    Of equal remainders the earlier is rounded up. Shares are not negative, and not all 0.
    """
    whole = sum(shares)
    parts, remainders = map(list, zip(*(divmod(total * share, whole) for share in shares), strict=True))
    left = total - sum(parts)
    if left:
        for n in sorted(range(len(parts)), key=remainders.__getitem__, reverse=True)[:left]:
            parts[n] += 1
    return parts


def rounded_to(total: int, parts: Sequence[int], unit: int = MICRO) -> list[int]:
    """Returns parts in whole units that add up to a total of whole units; the parts add up to `total * unit`.

    Each is rounded down or up (largest remainder, the earlier first), whatever its sign.
    """
    floors = [part // unit for part in parts]
    by_remainder = sorted(range(len(parts)), key=lambda n: -(parts[n] % unit))
    for n in by_remainder[: total - sum(floors)]:
        floors[n] += 1
    return floors


def prepared(path: Path, direct: Direct = "keep", transform: Transform = "none") -> Path:
    """Returns a path without the direct touches that are not to count, and with repeats put together."""
    if direct != "keep" and any(not touch.is_direct for touch in path):
        if direct == "drop_if_others":
            path = tuple(touch for touch in path if not touch.is_direct)
        else:
            end = max(n for n, touch in enumerate(path) if not touch.is_direct)
            path = path[: end + 1]
    if transform == "exposure":
        return tuple(touch for n, touch in enumerate(path) if n == 0 or path[n - 1].value != touch.value)
    if transform == "first":
        firsts: dict[str, Touch] = {}
        for touch in path:
            firsts.setdefault(touch.value, touch)
        return tuple(firsts.values())
    return path


def _in_order(path: Iterable[Touch]) -> list[str]:
    return list(dict.fromkeys(touch.value for touch in path))


def shares_of(path: Path, rule: Rule, settings: Settings = DEFAULTS) -> list[int]:
    """Returns the credit of each touch of a path, in millionths; `participation` gives each value's to its first."""
    count = len(path)
    if count == 0:
        return []
    if rule in ("participation", "unique_linear"):
        values = _in_order(path)
        each = [MICRO] * len(values) if rule == "participation" else apportion(MICRO, [1] * len(values))
        credit = dict(zip(values, each, strict=True))
        return [credit.pop(touch.value, 0) for touch in path]
    return apportion(MICRO, weights_of(path, rule, settings))


def weights_of(path: Path, rule: Rule, settings: Settings = DEFAULTS) -> Sequence[int]:
    """Returns in what proportion a rule by places or ages shares a conversion among the touches of a path."""
    return _SHARES[rule](path, settings)


def _one(count: int, at: int) -> list[int]:
    return [int(n == at) for n in range(count)]


def _last_non_direct(path: Path, _: Settings) -> list[int]:
    count = len(path)
    return _one(count, max((n for n, touch in enumerate(path) if not touch.is_direct), default=count - 1))


def _shaped(count: int, weights: Weights) -> list[int]:
    first, middle, last = weights
    if count == 1:
        return [1]
    if count == 2:
        # Those between are not there.
        return [first, last] if first + last else [1, 1]
    between = count - 2
    return [first * between, *[middle] * between, last * between]


_DECAY_SCALE = 1 << 60


def _decay(path: Path, settings: Settings) -> list[int]:
    # By the age beyond that of the latest, so that not all are too small for a number.
    latest = min(touch.age_us for touch in path)
    return [round(_DECAY_SCALE * 2.0 ** (-(touch.age_us - latest) / settings.half_life_us)) for touch in path]


_SHARES: Mapping[str, Callable[[Path, Settings], Sequence[int]]] = {
    "first": lambda path, _: _one(len(path), 0),
    "last": lambda path, _: _one(len(path), len(path) - 1),
    "last_non_direct": _last_non_direct,
    "linear": lambda path, _: [1] * len(path),
    "position": lambda path, _: _shaped(len(path), _SHAPES["position"]),
    "j_shaped": lambda path, _: _shaped(len(path), _SHAPES["j_shaped"]),
    "inverse_j": lambda path, _: _shaped(len(path), _SHAPES["inverse_j"]),
    "time_decay": _decay,
    "custom": lambda path, settings: _shaped(len(path), settings.weights),
}


class Converting(NamedTuple):
    """Conversions of one path and currency."""

    path: Path
    currency: str
    conversions: int
    gross: int
    """Minor units of the currency."""
    net: int


class Credit(NamedTuple):
    """What is credited to one value: conversions, and amounts in the currency's minor units, all in millionths."""

    conversions: int = 0
    gross: int = 0
    net: int = 0

    def plus(self, other: "Credit") -> "Credit":
        """Both together."""
        return Credit(self.conversions + other.conversions, self.gross + other.gross, self.net + other.net)


NO_CREDIT = Credit()
Credits = dict[str, dict[str, Credit]]
"""Value -> currency -> credit."""


def credit(
    conversions: Iterable[Converting],
    rule: Rule,
    settings: Settings = DEFAULTS,
    direct: Direct = "keep",
    transform: Transform = "none",
) -> Credits:
    """Returns what a rule credits to each value, and to `NONE` for conversions without a touch."""
    credits: Credits = {}
    for path, currency, number, gross, net in conversions:
        touches = prepared(path, direct, transform)
        shares = zip(touches, shares_of(touches, rule, settings), strict=True) if touches else [(Touch(NONE), MICRO)]
        for touch, share in shares:
            if share:
                of_value = credits.setdefault(touch.value, {})
                before = of_value.get(currency, NO_CREDIT)
                of_value[currency] = before.plus(Credit(number * share, gross * share, net * share))
    return credits


def shared_out(conversions: Iterable[Converting], shares: Mapping[str, float]) -> Credits:
    """Returns the credit of a model, which says what share of all conversions each value has.

    Conversions without a touch are among them if `shares` has `NONE`, or else credited to `NONE` as they are.

    Args:
        conversions: by path.
        shares: value -> its share, which may be negative; they add up to 1. Empty: all are credited to `NONE`.
    """
    credits: Credits = {}
    of_all: dict[str, Credit] = {}
    for path, currency, number, gross, net in conversions:
        part = Credit(number * MICRO, gross * MICRO, net * MICRO)
        if (path and shares) or NONE in shares:
            of_all[currency] = of_all.get(currency, NO_CREDIT).plus(part)
        else:
            of_none = credits.setdefault(NONE, {})
            of_none[currency] = of_none.get(currency, NO_CREDIT).plus(part)
    for currency, whole in of_all.items():
        columns = [_parts(total, [*shares.values()]) for total in whole]
        for value, *numbers in zip(shares, *columns, strict=True):
            of_value = credits.setdefault(value, {})
            of_value[currency] = of_value.get(currency, NO_CREDIT).plus(Credit(*numbers))
    return credits


def _parts(total: int, shares: Sequence[float]) -> list[int]:
    """Returns integers in proportion to shares of any sign, which add up to a total."""
    scaled = [round(share * _SHARE_SCALE) for share in shares]
    largest = max(range(len(scaled)), key=scaled.__getitem__)
    scaled[largest] += _SHARE_SCALE - sum(scaled)
    return rounded_to(total, [total * share for share in scaled], _SHARE_SCALE)


_SHARE_SCALE = 1 << 60
