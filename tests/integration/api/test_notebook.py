"""The lines of the notebook's page run as they stand there."""

import asyncio
import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.rows import AT_US, SECOND_US, Rows
from tests.support.stack import Service, Stack

PAGE = (Path(__file__).parents[3] / "docs" / "notebook.md").read_text()
(CODE,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


async def test_the_numbers_in_pandas(
    stack: Stack, service: Service, api: httpx.AsyncClient, rows: Rows, monkeypatch: pytest.MonkeyPatch
) -> None:
    await rows.through(AT_US + 60 * SECOND_US)
    await rows.count(1, 12, channel="email")
    await rows.count(4, 3, channel="direct")
    await rows.customer("ada", [(0, 4)], memory='{"standing":2}\n{}')
    await rows.customer("ben", [(0, 1)])
    monkeypatch.setenv("READ_TOKEN", stack.read_token)
    monkeypatch.setenv("API", service.url)
    names: dict[str, Any] = {}
    await asyncio.to_thread(exec, CODE, names)
    assert names["counts"].loc["email", "discovery"] == 12
    assert names["counts"].loc["direct"].sum() == 3
    assert names["days"]["discovery"].sum() == 12
    buyers = names["buyers"]
    assert (buyers.customer.tolist(), buyers.orders.tolist()) == (["ada"], [2])
    assert buyers.last_seen.dt.year.tolist() == [2026]
    assert len([line for line in CODE.splitlines() if line.strip()]) <= 10
