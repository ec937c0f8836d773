"""The generated protobuf code is what `make proto` makes of `proto/`."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "throughline" / "wire" / "v1"


def test_generated_code_is_up_to_date(tmp_path: Path) -> None:
    source = ROOT / "proto" / "throughline"
    protos = [file.relative_to(source).as_posix() for file in source.rglob("*.proto")]
    outputs = [f"--python_out={tmp_path}", f"--pyi_out={tmp_path}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{source}", *outputs, *protos]
    subprocess.run(command, cwd=source, check=True, timeout=120)

    fresh = {file.name: file.read_bytes() for file in (tmp_path / "v1").iterdir()}
    committed = {file.name: file.read_bytes() for file in GENERATED.glob("*_pb2.py*")}
    assert protos
    assert committed == fresh, "the generated code differs from proto/: run `make proto`"
