"""Tables and lists as CSV, over HTTP."""

import csv
import io

import httpx

from services.api.app import ROUTERS
from services.api.customers.answers import Customers
from services.api.shared.csv_answers import PAGE_ROWS
from services.api.shared.openapi import AnswerRoute
from tests.support.answers import ok, refused
from tests.support.rows import AT_US, Rows
from tests.support.stack import Stack

CSV = {"Accept": "text/csv"}
TABLES = sorted(
    route.path
    for router in ROUTERS
    for route in router.routes
    if isinstance(route, AnswerRoute) and route.table is not None and "{" not in route.path
)

NEEDED = {
    "/v1/customers/search": {"text": "ada"},
    "/v1/funnel/time": {"phase": "discovery"},
    "/v1/abandonment": {"phase": "discovery"},
    "/v1/abandonment/customers": {"phase": "discovery"},
    "/v1/abandonment/last": {"phase": "discovery"},
    "/v1/abandonment/last/list": {"phase": "discovery"},
    "/v1/abandonment/friction": {"phase": "discovery", "kind": "checkout"},
    "/v1/abandonment/friction/list": {"phase": "discovery"},
    "/v1/abandonment/visits": {"kind": "checkout", "next": "order"},
    "/v1/abandonment/visits/list": {"kind": "checkout", "next": "order"},
}
"""Parameters that a table cannot do without."""


def read(response: httpx.Response) -> list[dict[str, str]]:
    """The rows of a file."""
    assert response.status_code == 200, response.text
    assert response.headers["content-type"].startswith("text/csv")
    return list(csv.DictReader(io.StringIO(response.text, newline="")))


async def test_counts_are_the_same_as_json(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.count(1, 10, lapsed=2, churned=1, left=3)
    await rows.count(2, 7, channel="email")
    for which in ({}, {"channel": "email"}):
        body = await ok(api, "/v1/phases/counts", **which)
        for answer in (
            await api.get("/v1/phases/counts.csv", params=which),
            await api.get("/v1/phases/counts", params=which, headers=CSV),
        ):
            listed = read(answer)
            assert [(row["phase"], int(row["now"]), row["withheld"]) for row in listed] == [
                (phase["phase"], phase["now"], "false") for phase in body["phases"]
            ]
            assert "Accept" in answer.headers["vary"]
            unchanged = await api.get(
                "/v1/phases/counts.csv", params=which, headers={"If-None-Match": answer.headers["etag"]}
            )
            assert (unchanged.status_code, unchanged.content) == (304, b"")


async def test_a_list_is_sent_whole(api: httpx.AsyncClient, rows: Rows) -> None:
    names = [*(f"c{number}" for number in range(PAGE_ROWS + 90)), "=1+1", 'a "b",\nc']
    for name in names:
        await rows.customer(name, [(0, 1)])
    whole = read(await api.get("/v1/customers.csv"))
    assert sorted(row["customer"].removeprefix("'") for row in whole) == sorted(names)
    assert "'=1+1" in {row["customer"] for row in whole}
    # With a limit a file is a page, and says where the next one is.
    listed: list[str] = []
    url: str | None = "/v1/customers.csv?limit=200"
    while url is not None:
        page = await api.get(url)
        listed += [row["customer"] for row in read(page)]
        url = page.links["next"]["url"] if "next" in page.links else None
    assert listed == [row["customer"] for row in whole]
    first = await ok(api, "/v1/customers", Customers, limit=200)
    assert [item["customer"] for item in first["items"]] == [name.removeprefix("'") for name in listed[:200]]


async def test_every_table_has_a_header(api: httpx.AsyncClient, rows: Rows, stack: Stack) -> None:
    await rows.through(AT_US)
    await rows.customer("ada", [(0, 4)], touchpoints=1)
    tokens = dict.fromkeys(("/v1/exports", "/v1/erasures"), await stack.admin_token())
    for path in TABLES:
        token = tokens.get(path, stack.read_token)
        answer = await api.get(f"{path}.csv", params=NEEDED.get(path), headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code == 200, (path, answer.text)
        header = next(csv.reader(io.StringIO(answer.text, newline="")))
        assert len(header) == len(set(header)) >= 1, path
        assert answer.text.endswith("\r\n")


async def test_what_is_no_table_is_not_there_as_csv(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.customer("ada", [(0, 4)])
    await refused(api, 404, "not_found", "/v1/journey.csv", customer="ada")
    assert (await api.get("/v1/journey?customer=ada", headers=CSV)).headers["content-type"] == "application/json"
    await refused(api, 404, "not_found", "/v1/nothing.csv")
    await refused(api, 400, "unknown_phase", "/v1/customers.csv", phase="buying")


async def test_a_repeated_parameter_is_refused_or_means_any_of(api: httpx.AsyncClient, rows: Rows) -> None:
    await rows.count(1, 10, channel="email")
    await rows.count(1, 5, channel="direct")
    await rows.count(2, 3, channel="social")
    either = await ok(api, "/v1/phases/counts", channel=["email", "social"])
    assert either["customers"] == 13
    problem = await refused(api, 400, "repeated_parameter", "/v1/phases/counts", model=["seven_phase", "six_stage"])
    assert problem["field"] == "model"
    long = await refused(api, 400, "invalid_parameter", "/v1/phases/counts", channel=["x" * 600, "email"])
    assert long["field"] == "channel"
