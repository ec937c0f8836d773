"""The `throughline` command, run in the process of the test."""

import asyncio
import json
import re
from typing import Any, NamedTuple

from typer.testing import CliRunner

from tests.support.stack import ENCRYPTION_KEY, OPERATOR_SECRET
from throughline.cli import app

WIDE = {"COLUMNS": "200"}

ANSI = re.compile(r"\x1b\[[0-9;]*m")  # some CI services ask for colours


class Result(NamedTuple):
    """What a command printed and its exit status."""

    out: str
    err: str
    status: int

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Throughline:
    """The command, as with DATABASE_URL set to `database`."""

    def __init__(self, database: str | None) -> None:
        self.environment: dict[str, str | None] = {
            **WIDE,
            "DATABASE_URL": database,
            "DATA": None,
            "OPERATOR_SECRET": OPERATOR_SECRET,
            "ENCRYPTION_KEYS": ENCRYPTION_KEY,
        }

    async def __call__(self, *words: str, typed: str | None = None) -> Result:
        result = await asyncio.to_thread(CliRunner().invoke, app, list(words), input=typed, env=self.environment)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(ANSI.sub("", result.stdout), ANSI.sub("", result.stderr), result.exit_code)
