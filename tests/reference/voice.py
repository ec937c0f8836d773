"""What customers say, by looking at each of their facts."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from math import floor
from typing import NamedTuple

from tests.reference.asked import facts_of
from tests.reference.replay import Customer
from tests.reference.walk import LAPSE
from throughline.journey.durations import DAY_US
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model

MODEL = load_model("seven_phase")
WORDS = {"nps", "csat", "ces"}


class Spoken(NamedTuple):
    """An answer, or a request for one."""

    event: Touchpoint
    is_answer: bool
    bucket: int | None
    scale: int | None
    survey: str
    phase: int


def properties_of(event: Touchpoint) -> dict[str, object]:
    if "\\u0000" in event.rest:
        return {}
    properties = json.loads(event.rest).get("properties")
    return properties if isinstance(properties, dict) else {}


def number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def first(*values: float | None) -> float | None:
    return next((value for value in values if value is not None), None)


def measure_of(event: Touchpoint, properties: dict[str, object]) -> str:
    word = event.name.lower().replace(" ", "").replace("_", "")
    for measure in WORDS:
        if word in (measure, f"{measure}answered", f"{measure}sent"):
            return measure
    named = next((properties[key] for key in ("measure", "survey_type", "type") if key in properties), None)
    if isinstance(named, str) and named.lower() in WORDS:
        return named.lower()
    if {"csat", "csat_score"} & properties.keys():
        return "csat"
    return "ces" if {"ces", "ces_score"} & properties.keys() else "nps"


def may_speak(event: Touchpoint, measure: str) -> bool:
    """Whether the name is one of a kind that the measure is about, and says no other measure."""
    kind = MODEL.kind(event.call, event.name)
    if kind is None:
        return False
    if measure == "sentiment":
        return kind.name in ("survey", "review", "share", "support")
    if measure == "rating":
        return kind.name == "review"
    word = event.name.lower().replace(" ", "").replace("_", "")
    return kind.name in ("survey", "survey_asked") and not any(word.startswith(other) for other in WORDS - {measure})


def spoken(event: Touchpoint, customer: Customer, measure: str) -> Spoken | None:
    kind = MODEL.kind(event.call, event.name)
    assert kind is not None
    properties = properties_of(event)
    is_answer = kind.name != "survey_asked"
    scale = number(properties.get("scale"))
    scale = None if scale is None or not 2 <= scale <= 100 else scale
    value: float | None = None
    bounds = (0.0, 100.0)
    if measure in WORDS:
        if measure_of(event, properties) != measure:
            return None
        if measure == "nps":
            value, bounds, scale = event.score, (0, 10), None
        else:
            value = first(
                number(properties.get(f"{measure}_score")), number(properties.get(measure)), event.score, event.rating
            )
            bounds = (0, scale or 100)
    elif measure == "rating":
        value, bounds = None if event.rating is None else event.rating * 5 / (scale or 5), (0, 5)
        scale = None
    else:
        label = properties.get("sentiment")
        labels = {"positive": 1.0, "negative": -1.0, "neutral": 0.0, "mixed": 0.0}
        value = labels.get(label.lower()) if isinstance(label, str) else None
        value, bounds, scale = first(value, number(label)), (-1, 1), None
    if is_answer and value is None:
        return None
    bucket: int | None = None
    if value is not None and bounds[0] <= value <= bounds[1]:
        if measure == "sentiment":
            bucket = 0 if abs(value) < 0.05 else 1 if value > 0 else -1
        else:
            bucket = floor(value) if measure == "nps" else round(value)
    survey = next((str(properties[key]) for key in ("survey_id", "survey", "survey_name") if key in properties), "")
    phase = phase_before(event, customer)
    return Spoken(event, is_answer, bucket, None if scale is None else round(scale), survey, phase)


def phase_before(event: Touchpoint, customer: Customer) -> int:
    """Where the customer stood before an event."""
    before = [step.target for step in customer.transitions if step[:4] < event.order_key and step.kind != LAPSE]
    return before[-1] if before else 0


def part_of(event: Touchpoint, phase: int, by: str | None) -> str:
    """The value of a dimension of an event, before which the customer stood in a phase."""
    values = {None: "", "phase": str(phase), "channel": event.channel, "product": event.product_id}
    return values[by] or "(none)"


def counted(
    log: Iterable[Touchpoint], customers: Iterable[Customer], measure: str, *, each: bool
) -> list[tuple[Spoken, bool]]:
    """What customers said, each with whether a later answer replaced it."""
    log = list(log)
    result: list[tuple[Spoken, bool]] = []
    for customer in customers:
        messages: set[str] = set()
        series: dict[tuple[object, ...], list[Spoken]] = defaultdict(list)
        for event in facts_of(log, customer):
            if event.message_id in messages or not may_speak(event, measure):
                continue
            messages.add(event.message_id)
            item = spoken(event, customer, measure)
            if item is None:
                continue
            about = item.event.product_id if measure == "rating" else item.survey
            series[item.is_answer, about].append(item)
        for (is_answer, subject), items in series.items():
            for place, item in enumerate(items):
                later = items[place + 1 : place + 2]
                replaced = bool(is_answer and later and not each and measure != "sentiment")
                if measure == "rating":
                    replaced = replaced and subject != ""
                elif replaced:
                    replaced = later[0].event.occurred_us - item.event.occurred_us < 90 * DAY_US
                result.append((item, replaced))
    return result


def by_part(items: Iterable[tuple[Spoken, bool]], by: str | None) -> dict[str, Counter[tuple[object, ...]]]:
    """Value -> (is an answer, replaced, scale, bucket) -> how many."""
    parts: dict[str, Counter[tuple[object, ...]]] = defaultdict(Counter)
    for item, replaced in items:
        parts[part_of(item.event, item.phase, by)][item.is_answer, replaced, item.scale, item.bucket] += 1
    return dict(parts)
