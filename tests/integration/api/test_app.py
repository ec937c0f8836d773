"""What holds for every request: problems, the OpenAPI document, metrics."""

import json

import httpx

from tests.support.answers import refused
from tests.support.stack import Service


async def test_every_other_error_is_a_problem_too(api: httpx.AsyncClient) -> None:
    assert "openapi.json" in (await refused(api, 404, "not_found", "/v1/nothing"))["message"]
    response = await api.post("/v1/phases")
    assert (response.status_code, response.json()["code"]) == (405, "method_not_allowed")
    assert response.headers["allow"] == "GET"


async def test_openapi_says_what_is_answered(api: httpx.AsyncClient) -> None:
    document = (await api.get("/openapi.json")).json()
    lists = ("models", "phases", "events/recent", "events/unmapped", "sources", "channels", "customers", "rejected")
    views = ("phases/counts", "phases/counts/stream", "phases/history", "customers/{customer}/journey", "journey")
    sums = ("funnel", "funnel/trend", "funnel/time", "flows", "variants", "identity/suspects")
    assert {f"/v1/{path}" for path in lists + views + sums} <= set(document["paths"])
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    text = json.dumps(document)
    assert "ValidationError" not in text
    for path, operations in document["paths"].items():
        for operation in operations.values():
            assert operation["security"], path
            assert {"401", "429", "503"} <= set(operation["responses"]), path


async def test_metrics_carry_templates_and_no_ids(api: httpx.AsyncClient, service: Service) -> None:
    await api.get("/v1/customers/somebody/journey")
    await api.get("/invented/path")
    samples = await service.metrics()
    name = "throughline_api_request_seconds_count"
    assert samples[f'{name}{{route="/v1/customers/{{customer:path}}/journey",status="4xx"}}'] == 1
    assert samples[f'{name}{{route="unmatched",status="4xx"}}'] == 1
    assert samples['throughline_api_query_seconds_count{query="journey"}'] == 1
    assert not [sample for sample in samples if "somebody" in sample or "invented" in sample]
