"""What a shared link may ask."""

from typing import Any, get_args, get_type_hints
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.api.app import ROUTERS
from services.api.shared.answers import Answer
from services.api.shared.openapi import AnswerRoute
from services.api.sharing.questions import SHAREABLE, check_questions
from throughline.kit.errors import ServiceError
from throughline.store.access.shares import question_digest

ROUTES = {
    route.path: route
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, AnswerRoute) and "GET" in (route.methods or ())
}
PERSONAL = {"customer", "actor", "user_id", "anonymous_id", "payload"}


def fields_of(kind: Any) -> set[str]:
    """The names of all fields within a type."""
    names: set[str] = set()
    if isinstance(kind, type) and issubclass(kind, Answer):
        for name, field in get_type_hints(kind).items():
            names |= {name, *fields_of(field)}
    return names.union(*(fields_of(part) for part in get_args(kind)))


@pytest.mark.parametrize("path", sorted(SHAREABLE))
def test_what_is_shared_names_no_person(path: str) -> None:
    assert not fields_of(ROUTES[path].answer) & PERSONAL


def test_what_names_persons_is_told_by_its_fields() -> None:
    for path in ("/v1/customers", "/v1/customers/search", "/v1/journey", "/v1/events/recent"):
        assert fields_of(ROUTES[path].answer) & PERSONAL, path


@pytest.mark.parametrize(
    "question", ["", "/v1/customers", "/v1/phases/", "/V1/phases", "/v1/phases?cursor=", "x?/v1/phases"]
)
def test_what_cannot_be_shared(question: str) -> None:
    with pytest.raises(ServiceError) as refusal:
        check_questions(["/v1/phases", question])
    assert refusal.value.field == "questions"


_parameters = st.lists(st.tuples(st.text(max_size=3), st.text(max_size=3)), max_size=4)


@given(_parameters, st.randoms())
def test_a_question_is_the_same_in_any_order_and_no_other_question_is(
    parameters: list[tuple[str, str]], random: Any
) -> None:
    shuffled = random.sample(parameters, len(parameters))
    query = "&".join(f"{quote_plus(name)}={quote_plus(value)}" for name, value in parameters)
    same = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in shuffled)
    assert question_digest("/v1/phases", query) == question_digest("/v1/phases", same)
    assert question_digest("/v1/phases", query) != question_digest("/v1/funnel", query)
    assert question_digest("/v1/phases", query) != question_digest("/v1/phases", f"{query}&model=x")
