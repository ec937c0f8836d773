"""The settings of a source, of what is stored of the source and of its workspace."""

from collections.abc import Sequence

import pytest
from msgspec.structs import astuple, replace

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
    stored = replace(SourceSettings(), no_visit_hosts=source)  # as a row has them
    assert settings_of(str, workspace, *astuple(stored)) == SourceSettings(no_visit_hosts=expected)
