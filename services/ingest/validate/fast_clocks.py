"""Batches from fast clocks: their events keep the time between them. Pure.

Where a batch says when it was sent, each of its events is corrected by that. One that does not, and has a time in the
future, comes from a clock that is ahead by at least as much: its events, of the same device, are moved by that.
"""

from collections.abc import Mapping, Sequence

from throughline.wire.codec import Touchpoint

MAX_SPREAD_US = 86_400_000_000
"""Maximum time between the events of one clock. In a batch with more between them one time is wrong, not the clock."""


def move_back(touchpoints: Sequence[Touchpoint], ahead_us: Mapping[str, int], received_us: int) -> list[Touchpoint]:
    """Returns a request's touchpoints, those of fast clocks moved so that the latest of each happened when received.

    Args:
        touchpoints: in their order.
        ahead_us: device -> how far its latest time lies in the future.
        received_us: when the request was received.
    """
    by_device: dict[str, list[int]] = {}
    for number, touchpoint in enumerate(touchpoints):
        device = touchpoint.anonymous_id or touchpoint.user_id
        # Those that were corrected by a time of sending, or have no time, stand elsewhere.
        if device in ahead_us and touchpoint.occurred_us == min(touchpoint.client_us, received_us):
            by_device.setdefault(device, []).append(number)
    moved = list(touchpoints)
    for device, numbers in by_device.items():
        clocks = [touchpoints[number].client_us for number in numbers]
        if max(clocks) - min(clocks) > MAX_SPREAD_US:
            continue
        for number in numbers:
            moved[number] = moved[number]._replace(occurred_us=moved[number].client_us - ahead_us[device])
    return moved
