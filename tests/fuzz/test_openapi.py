"""Both services answer as their OpenAPI documents say, in status, type and shape, whether a request fits these or not.

Over real sockets, real Kafka and PostgreSQL, with a valid key. New cases at every `make test-deep`.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import APIOperation, Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from tests.support.rows import AT_US, Rows
from tests.support.stack import Stack

CHECKS: list[Any] = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    response_headers_conformance,
]
ENDLESS = "/v1/phases/counts/stream"
"""A path whose answer never ends."""
MODES = (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)
SECONDS = 10


def fuzz(url: str, key: str, *, few: int, many: int) -> int:
    """The number of requests sent: `few` for each operation of a service and mode, `many` in the deep profile."""
    document = schemathesis.openapi.from_url(f"{url}/openapi.json")
    requests = 0
    for result in document.get_all_operations():
        assert isinstance(result, Ok), result
        operation = result.ok()
        if operation.path == ENDLESS:
            continue
        for mode in MODES:
            requests += _fuzz_one(operation, mode, key, many if settings().max_examples > 1000 else few)
    return requests


def _fuzz_one(operation: APIOperation[Any, Any, Any, Any], mode: GenerationMode, key: str, examples: int) -> int:
    requests = 0

    @settings(
        max_examples=examples,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation.as_strategy(generation_mode=mode))
    def attempt(case: Case[Any]) -> None:
        nonlocal requests
        requests += 1
        case.call_and_validate(
            headers={"Authorization": f"Bearer {key}", "Accept": "application/json"}, checks=CHECKS, timeout=SECONDS
        )

    run: Callable[[], None] = attempt
    try:
        run()
    except Unsatisfiable:
        assert mode is GenerationMode.NEGATIVE  # no request to this operation can be wrong
    return requests


async def test_ingest_answers_as_it_is_documented(stack: Stack) -> None:
    ingest = await stack.start("ingest")
    assert await asyncio.to_thread(fuzz, ingest.url, stack.write_key, few=2, many=300) > 100


async def test_the_api_answers_as_it_is_documented(stack: Stack) -> None:
    async with Rows(stack.database, stack.workspace_id, topic=stack.touchpoints) as rows:
        await rows.customer("ada", [(0, 1), (10, 4)], touchpoints=3)
        await rows.through(AT_US + 60_000_000)
    api = await stack.start("api", TOKEN_REQUESTS="0")  # a fuzzer asks more than a token may
    assert await asyncio.to_thread(fuzz, api.url, stack.read_token, few=6, many=1000) > 100
