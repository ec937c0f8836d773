"""The settings of a source, of what is stored of the source and of its workspace."""

from collections.abc import Sequence

import pytest

from throughline.store.access.keys import SourceSettings, settings_of


@pytest.mark.parametrize(
    ("workspace", "source", "expected"),
    [
        (None, None, ()),
        (["pay.bank.example"], None, ("pay.bank.example",)),
        (None, ["login.example"], ("login.example",)),
        (
            ["pay.bank.example", "b.example"],
            ["login.example", "b.example"],
            ("pay.bank.example", "b.example", "login.example"),
        ),
        ([], [], ()),
    ],
)
def test_hosts_of_a_workspace_hold_for_its_sources(
    workspace: Sequence[str] | None, source: Sequence[str] | None, expected: tuple[str, ...]
) -> None:
    stored = SourceSettings()._replace(no_visit_hosts=source)  # type: ignore[arg-type]  # as a row has them
    assert settings_of(str, workspace, *stored) == SourceSettings(no_visit_hosts=expected)
