"""Folds a log in the checkout that it is run in: run as `python -c` with this text, so that it imports nothing of ours.

Reads touchpoints as Kafka has them, each after its length as four bytes, from the file named first; the second argument
is the number of times. Prints events per CPU second: of whole histories, and of one event after another.
"""

import gc
import sys
from pathlib import Path
from time import process_time

from throughline.journey.fold import fold
from throughline.journey.touchpoint import Touchpoint
from throughline.models import load_model
from throughline.wire.codec import decode


def main(file: str, times: int) -> None:
    """Print the best rate of each kind."""
    data = Path(file).read_bytes()
    by_actor: dict[str, list[Touchpoint]] = {}
    at = events = 0
    while at < len(data):
        length = int.from_bytes(data[at : at + 4], "big")
        touchpoint = decode(data[at + 4 : at + 4 + length])
        by_actor.setdefault(touchpoint.actor, []).append(touchpoint)
        at += 4 + length
        events += 1
    model = load_model("seven_phase")
    watermark_us = max(touchpoints[-1].occurred_us for touchpoints in by_actor.values())
    gc.freeze()
    whole, single = [], []
    for _ in range(times):
        began = process_time()
        for touchpoints in by_actor.values():
            fold(model, None, touchpoints, watermark_us)
        whole.append(events / (process_time() - began))
        began = process_time()
        for touchpoints in by_actor.values():
            journey = None
            for touchpoint in touchpoints:
                journey = fold(model, journey, (touchpoint,)).journey
        single.append(events / (process_time() - began))
    print(max(whole), max(single))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
