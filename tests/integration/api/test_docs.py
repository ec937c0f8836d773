"""The requests of the api's page work as they stand there."""

import re
import shlex
from itertools import pairwise
from pathlib import Path

import httpx
import pytest

from tests.support.rows import AT_US, Rows
from tests.support.stack import Stack

PAGE = Path(__file__).parents[3] / "docs" / "reference" / "api.md"
COMMANDS = re.findall(r"^curl .*\$READ_TOKEN.*$", PAGE.read_text(), re.MULTILINE)
"""Those that administer are for another token, and change things."""
BASE = "http://localhost:8080"


@pytest.fixture
async def customer(rows: Rows) -> None:
    """The customer that the page asks for."""
    await rows.through(AT_US)
    await rows.count(4, 1)
    await rows.customer("ada", [(0, 4)], touchpoints=1)


async def test_every_request_of_the_page_is_answered(stack: Stack, api: httpx.AsyncClient, customer: None) -> None:
    assert len(COMMANDS) > 10
    for command in COMMANDS:
        words = shlex.split(command.replace("$READ_TOKEN", stack.read_token))
        (url,) = (word for word in words if word.startswith(BASE))
        header = words[words.index("-H") + 1]
        parameters = [word for option, word in pairwise(words) if option == "--data-urlencode"]
        name, _, value = header.partition(": ")
        query = dict(parameter.split("=", 1) for parameter in parameters)
        request = httpx.URL(url.removeprefix(BASE)).copy_merge_params(query)
        async with api.stream("GET", request, headers={name: value}) as response:
            assert response.status_code == 200, command
            async for chunk in response.aiter_raw():
                assert chunk
                break
