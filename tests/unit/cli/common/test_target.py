"""Where a command sends events, and what it shows to whom."""

from pathlib import Path

import pytest

from throughline.cli.common.target import Target, TargetError, find_target
from throughline.kit.run_file import RunFile

RUNNING = RunFile(ingest_url="http://127.0.0.1:8081", write_key="tlw_run", operator_secret="of-the-running-stack")


@pytest.fixture(autouse=True)
def no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPERATOR_SECRET", raising=False)


def test_the_running_stacks_secret_goes_to_no_other_address(tmp_path: Path) -> None:
    RUNNING.write(tmp_path)
    assert find_target(None, None, tmp_path) == Target(RUNNING.ingest_url, "tlw_run", "of-the-running-stack")
    assert find_target("http://127.0.0.1:8081/", None, tmp_path).operator_secret == "of-the-running-stack"
    assert find_target(None, "tlw_other", tmp_path).operator_secret == "of-the-running-stack"
    elsewhere = find_target("https://ingest.example", None, tmp_path)
    assert (elsewhere.operator_secret, elsewhere.operator_headers) == ("", {})


def test_the_environments_secret_goes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    RUNNING.write(tmp_path)
    monkeypatch.setenv("OPERATOR_SECRET", "of-the-environment")
    for url in (None, "https://ingest.example"):
        target = find_target(url, "tlw_1", tmp_path)
        assert target.operator_headers == {"X-Throughline-Operator": "of-the-environment"}


def test_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(TargetError, match="give --url and --key"):
        find_target(None, "tlw_1", tmp_path)
    assert find_target("http://localhost:1", "tlw_1", tmp_path) == Target("http://localhost:1", "tlw_1")
