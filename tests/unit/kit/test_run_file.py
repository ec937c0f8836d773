"""run.json is read as it was written, is private, and says what is wrong with it."""

import json
from pathlib import Path

import pytest

from throughline.kit.run_file import RunFile, RunFileError

WRITTEN = RunFile(
    ingest_url="http://127.0.0.1:1",
    api_url="http://127.0.0.1:2",
    kafka="127.0.0.1:3",
    database_url="postgresql://throughline@127.0.0.1:4/throughline",
    workspace="local",
    write_key="tlw_1",
    read_token="tlr_1",
    pids={"kafka": 5, "api": 6},
)


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert RunFile.read(tmp_path) is None
    WRITTEN.write(tmp_path)
    file = tmp_path / "run.json"
    assert RunFile.read(tmp_path) == WRITTEN
    assert file.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [file]
    assert json.loads(file.read_text())["pids"] == {"kafka": 5, "api": 6}


@pytest.mark.parametrize("text", ["{", "[]", '{"pids": 5}', '{"kafka": null}'])
def test_one_that_cannot_be_read_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(RunFileError, match=r"run\.json cannot be read \("):
        RunFile.read(tmp_path)
