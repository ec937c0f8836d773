"""The age of the watermark by workspace: bounded, whatever number of workspaces ask."""

import pytest

from services.api.shared import watermark_ages
from services.api.shared.watermark_ages import MAX_WORKSPACES, OTHERS, WatermarkAges

NOW_US = 1_000_000_000


def test_each_workspace_has_the_age_of_its_last_answer_and_those_beyond_a_limit_share_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(watermark_ages, "now_us", lambda: NOW_US)
    told: dict[str, float] = {}
    ages = WatermarkAges(told.__setitem__)
    ages.observe(7, None)
    for workspace in range(1, 2 * MAX_WORKSPACES):
        ages.observe(workspace, NOW_US - workspace * 1_000_000)
    ages.observe(2, NOW_US + 5)
    ages.observe(3, NOW_US - 250_000)
    assert len(told) == MAX_WORKSPACES + 1
    assert (told["1"], told["2"], told["3"], told[OTHERS]) == (1, 0, 0.25, 2 * MAX_WORKSPACES - 1)
