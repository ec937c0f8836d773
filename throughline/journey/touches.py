"""Which touchpoints are touches by their kind, and by which channel a customer came where a fact names none.

A touch is an own touchpoint that opens a visit, or that carries another origin than the touches of its visit before,
or that is one by its kind: a click on a message or an ad, a call, a visit to a store. What was shown or delivered to
the customer is an exposure, which counts only if asked for.
"""

from collections.abc import Mapping
from typing import NamedTuple

from throughline.journey.durations import MINUTE_US
from throughline.journey.model import Kind

VISIT_US = 30 * MINUTE_US
"""A silence after which the next own touchpoint opens a visit."""
FIRST_TOUCHES, LAST_TOUCHES = 8, 56
"""Of a path with more touches, so many of the first and of the last are kept."""


class KindOfTouch(NamedTuple):
    """What a kind makes of a touchpoint."""

    is_exposure: bool
    """Whether it was done to the customer."""
    channel: str
    """Where the fact's own channel says nothing; "": that stays."""


_BY_KIND: Mapping[str, KindOfTouch] = {
    "message_clicked": KindOfTouch(False, ""),
    "store_visit": KindOfTouch(False, "store_visit"),
    "ad_shown": KindOfTouch(True, "display"),
    "message_delivered": KindOfTouch(True, ""),
}
_BY_NAME: Mapping[str, KindOfTouch] = {
    "adclick": KindOfTouch(False, "display"),
    "call": KindOfTouch(False, "call"),
}
"""Of kinds that are more than touches, those that are: by the event's name in lower case without separators."""
_MESSAGES = ("email", "push", "sms")
CHANNELS = ("", "display", "store_visit", "call", *_MESSAGES)
"""Every channel of a `KindOfTouch`."""


def kind_of_touch(word: str, kind: Kind) -> KindOfTouch | None:
    """Returns what makes a touchpoint a touch; None: its kind does not.

    Args:
        word: the event's name in lower case without separators; of a kind by call the call.
        kind: of the touchpoint.
    """
    kind_of_touchpoint = _BY_KIND.get(kind.name) or _BY_NAME.get(word)
    if kind_of_touchpoint is None or kind_of_touchpoint.channel:
        return kind_of_touchpoint
    return kind_of_touchpoint._replace(channel=next((channel for channel in _MESSAGES if word.startswith(channel)), ""))
