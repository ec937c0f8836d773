"""Links from numbers to the lists of exactly those that they count. Pure."""

from collections.abc import Mapping, Sequence
from typing import Annotated, NamedTuple
from urllib.parse import quote, urlencode

from msgspec import Meta

Links = Annotated[
    dict[str, str],
    Meta(
        description="path of the list of exactly those that a number counts, by the number's name; empty where the "
        "workspace withholds small counts",
        examples=[{"now": "/v1/customers?model=seven_phase&phase=purchase"}],
    ),
]
Query = Mapping[str, str | Sequence[str] | None]
"""Parameters by name; those that are None or empty are left out, a sequence is repeated."""

MOVES: Mapping[str, Mapping[str, str | Sequence[str]]] = {
    "entered": {"kind": ["enter", "return"]},
    "left": {"kind": ["enter", "return"]},
    "returned": {"kind": "return"},
}
"""Numbers that count moves: which kinds."""
STANDINGS: Mapping[str, Mapping[str, str]] = {
    "now": {},
    "active": {"activity": "active"},
    "lapsed": {"activity": "lapsed"},
    "abandoned": {"lapse": "abandoned"},
    "churned": {"lapse": "churned"},
}
"""Numbers of a phase that count customers: which of them."""


class ListLinks(NamedTuple):
    """The lists of one question: under a model, of customers of some sources and channels."""

    model: str
    sources: Sequence[str] = ()
    channels: Sequence[str] = ()

    def customers(self, query: Query, template: str = "") -> str:
        """A list of customers. `template`: further parameters as they shall stand in the path."""
        return self.path("/v1/customers", query, template)

    def moves(self, query: Query, template: str = "") -> str:
        """A list of moves."""
        return self.path("/v1/moves", query, template)

    def path(self, path: str, query: Query, template: str = "") -> str:
        """Any list by the same customers."""
        parameters = {"model": self.model, "source": self.sources, "channel": self.channels, **query}
        text = urlencode({name: value for name, value in parameters.items() if value}, doseq=True, quote_via=quote)
        return f"{path}?{text}{template and '&'}{template}"
