"""How old answers are, by workspace, as a metric: a replica or partition that lags shows as readers see it."""

from collections.abc import Callable

from throughline.kit.clock import now_us
from throughline.kit.metrics import API_WATERMARK_AGE_SECONDS

MAX_WORKSPACES = 500
"""Maximum number of workspaces with a series of their own: a metric must not grow with the workspaces there are."""
OTHERS = "(others)"


class WatermarkAges:
    """Keeps a metric of how old the watermark was that was last read for each workspace.

    Args:
        set_age: takes the label of a workspace, its number or `OTHERS`, and the age in seconds.
    """

    def __init__(self, set_age: Callable[[str, float], object]) -> None:
        self._set_age = set_age
        self._labelled: set[int] = set()

    def observe(self, workspace: int, watermark_us: int | None) -> None:
        """Set the age. A watermark of None has none: nothing was staged yet."""
        if watermark_us is None:
            return
        if len(self._labelled) < MAX_WORKSPACES:
            self._labelled.add(workspace)
        name = str(workspace) if workspace in self._labelled else OTHERS
        self._set_age(name, max(0, now_us() - watermark_us) / 1_000_000)


WATERMARK_AGES = WatermarkAges(lambda workspace, seconds: API_WATERMARK_AGE_SECONDS.labels(workspace).set(seconds))
