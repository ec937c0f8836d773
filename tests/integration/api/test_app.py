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
    assert set(document["paths"]) == {f"/v1/{path}" for path in lists + views}
    assert document["components"]["securitySchemes"]["token"]["scheme"] == "bearer"
    text = json.dumps(document)
    assert "ValidationError" not in text
    for path, operations in document["paths"].items():
        assert operations["get"]["security"], path
        assert {"200", "401", "503"} <= set(operations["get"]["responses"]), path


async def test_metrics_carry_templates_and_no_ids(api: httpx.AsyncClient, service: Service) -> None:
    await api.get("/v1/customers/somebody/journey")
    await api.get("/invented/path")
    samples = await service.metrics()
    name = "throughline_api_request_seconds_count"
    assert samples[f'{name}{{route="/v1/customers/{{customer:path}}/journey",status="4xx"}}'] == 1
    assert samples[f'{name}{{route="unmatched",status="4xx"}}'] == 1
    assert samples['throughline_api_query_seconds_count{query="journey"}'] == 1
    assert not [sample for sample in samples if "somebody" in sample or "invented" in sample]
