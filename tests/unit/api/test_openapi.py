"""The OpenAPI document and the api's page in docs/: every path, parameter and error code is in both."""

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter

from services.api.app import ROUTERS, create_app
from services.api.live.feeds import Feeds
from services.api.persons.claims import ClaimLog
from services.api.phases.routes import CountsQuestion
from services.api.shared.answers import Answer, EncodedAnswer
from services.api.shared.context import ApiContext
from services.api.shared.database import Database
from services.api.shared.openapi import AnswerRoute
from services.api.shared.quotas import RequestRate
from services.api.shared.responses import AnswerResponse
from services.api.shared.shares import Shares
from services.api.tokens import Tokens
from throughline.store.engine.pool import create_engine

ROOT = Path(__file__).parents[3]
PAGE = (ROOT / "docs" / "reference" / "api.md").read_text()
URL = "postgresql://nowhere/none"


async def no_counts(_: CountsQuestion) -> EncodedAnswer[Answer]:
    raise NotImplementedError


def openapi() -> dict[str, Any]:
    database = Database(create_engine(URL), create_engine(URL), URL, Shares(slots=1, each=1, queue=1))
    tokens = Tokens(database.read_tokens, database.write_last_uses)
    context = ApiContext(database, "touchpoints", tokens, RequestRate(1), ClaimLog("localhost:1", "touchpoints"))
    return create_app(context, Feeds(no_counts)).openapi()


DOCUMENT = openapi()
PATHS = sorted(f"{method.upper()} {path}" for path, operations in DOCUMENT["paths"].items() for method in operations)


def operation(path: str) -> dict[str, Any]:
    """A method and path as the document describes it."""
    method, _, path = path.partition(" ")
    described: dict[str, Any] = DOCUMENT["paths"][path][method.lower()]
    return described


def section(path: str) -> str:
    """What the page says of a method and path, with what its chapter says of all of its own."""
    before, heading, rest = PAGE.partition(f"\n### {path}\n")
    assert heading, f"docs/reference/api.md has no heading `### {path}`"
    chapter = before.rpartition("\n## ")[2].partition("\n### ")[0]
    return chapter + re.split(r"^##", rest, maxsplit=1, flags=re.MULTILINE)[0]


def codes_of(folder: Path) -> set[str]:
    """The codes with which the source of a folder raises ServiceError."""
    codes: set[str] = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "ServiceError":
                code = node.args[1]
                assert isinstance(code, ast.Constant | ast.Name), f"{file.name}:{node.lineno}: write the code out"
                codes |= {str(code.value)} if isinstance(code, ast.Constant) else set()
    return codes


@pytest.mark.parametrize("path", PATHS)
def test_the_page_has_every_path_with_its_parameters_and_a_request(path: str) -> None:
    text = section(path)
    parameters = operation(path).get("parameters", [])
    named = [parameter["name"] for parameter in parameters if parameter["in"] != "path"]
    missing = [name for name in named if f"`{name}`" not in text.lower()]
    assert not missing, f"{path}: the page does not name {missing}"
    assert "curl " in text


def test_the_page_has_no_path_that_is_not_there() -> None:
    assert sorted(re.findall(r"^### ((?:GET|POST|PATCH|DELETE) \S+)$", PAGE, re.MULTILINE)) == PATHS


def test_the_page_has_every_error_code_and_no_other() -> None:
    _, _, errors = PAGE.partition("\n## Errors\n")
    rows = [line for line in errors.partition("\n## ")[0].splitlines() if re.match(r"\| \d", line)]
    listed = {code for row in rows for code in re.findall(r"`([a-z_]+)`", row.split("|")[2])}
    raised = codes_of(ROOT / "services" / "api") | codes_of(ROOT / "throughline" / "kit")
    assert listed == raised - {"http_error"}  # what no request to the api can cause


def test_the_document_has_the_answers_schemas_and_only_errors_that_are_sent() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    answers = {route.answer for router in ROUTERS for route in router.routes if isinstance(route, AnswerRoute)}
    assert {answer.__name__ for answer in answers if answer} <= schemas.keys()
    assert "Problem" in schemas
    for name, schema in schemas.items():
        assert schema["description"], name
        assert schema["additionalProperties"] is False, name
    references = set(re.findall(r"#/components/schemas/(\w+)", str(DOCUMENT)))
    assert references == schemas.keys()
    for path in PATHS:
        responses = operation(path)["responses"]
        assert "422" not in responses
        assert {"200", "401", "503"} <= responses.keys()


def test_the_schema_of_an_answer_is_the_type_that_the_endpoint_returns() -> None:
    class Greeting(Answer):
        """A greeting."""

        text: str

    router = APIRouter(route_class=AnswerRoute)

    async def get_greeting() -> AnswerResponse[Greeting]:
        return AnswerResponse(Greeting("hello"))

    router.get("/greeting")(get_greeting)
    (route,) = router.routes
    assert isinstance(route, AnswerRoute)
    assert route.answer is Greeting
    assert route.responses[200]["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Greeting"}


def test_operations_have_names_of_their_own_and_a_server() -> None:
    names = [operation(path)["operationId"] for path in PATHS]
    assert len(set(names)) == len(names)
    assert all(re.fullmatch(r"(get|post|patch|delete|stream)(_[a-z]+)+", name) for name in names), names
    assert DOCUMENT["servers"]


@pytest.mark.parametrize("path", PATHS)
def test_instants_are_date_times(path: str) -> None:
    instants = {"from", "to", "as_of", "entered_from", "entered_to", "seen_from", "seen_to"}
    for parameter in operation(path).get("parameters", []):
        if parameter["name"] in instants:
            assert {"type": "string", "format": "date-time"} in [
                {key: option.get(key) for key in ("type", "format")} for option in parameter["schema"]["anyOf"]
            ], parameter["name"]


def test_every_list_is_a_table() -> None:
    answers = {route.answer for router in ROUTERS for route in router.routes if isinstance(route, AnswerRoute)}
    lists = {answer for answer in answers if answer and "next_cursor" in answer.__struct_fields__}
    assert len(lists) > 10
    assert all(answer.TABLE for answer in lists)


def test_only_lists_of_values_may_be_repeated() -> None:
    for path in PATHS:
        repeated = {
            parameter["name"]
            for parameter in operation(path).get("parameters", [])
            if parameter["schema"].get("type") == "array"
        }
        assert repeated <= {
            "source", "channel", "phase", "kind", "from_phase", "to_phase", "from_node", "to_node", "value",
            "campaign", "except",
        }, path  # fmt: skip
