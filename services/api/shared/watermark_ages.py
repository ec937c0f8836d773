"""How old answers are, by workspace, as a metric: a replica or partition that lags shows as readers see it."""

from collections.abc import Callable

from throughline.kit.clock import now_us
from throughline.kit.metrics import API_WATERMARK_AGE_SECONDS

MAX_WORKSPACES = 500
"""Workspaces that a process tells one by one: a metric must not grow with the workspaces that administrators make."""
OTHERS = "(others)"


class WatermarkAges:
    """Tells the age of the watermark that was read for a workspace, in seconds, under the workspace's number."""

    def __init__(self, tell: Callable[[str, float], object]) -> None:
        self._tell = tell
        self._told: set[int] = set()

    def observe(self, workspace: int, watermark_us: int | None) -> None:
        """Tell the age. None: nothing was staged yet, so there is none."""
        if watermark_us is None:
            return
        if len(self._told) < MAX_WORKSPACES:
            self._told.add(workspace)
        name = str(workspace) if workspace in self._told else OTHERS
        self._tell(name, max(0, now_us() - watermark_us) / 1_000_000)


WATERMARK_AGES = WatermarkAges(lambda workspace, seconds: API_WATERMARK_AGE_SECONDS.labels(workspace).set(seconds))
