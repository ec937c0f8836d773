"""Dividing funnel sums by a dimension: by kept ones at once, by those of the cycle's opening when asked."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, get_args

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.asked.queries import MAX_VALUES, Opening, ValueFilter, count_by_opening
from services.api.funnel.queries import Dimension, read_funnel
from services.api.shared.context import ApiContext
from services.api.shared.days import Days, require_trails
from services.api.shared.parameters import MAX_NAME, TEXT, Parameters
from services.api.shared.parameters import MAX_VALUES as MAX_LISTED
from services.api.shared.queries import CustomerFilter
from services.api.shared.workspace import LiveModel, name_of_source, source_id, source_names
from throughline.analytics.funnel import Count
from throughline.journey.funnel import CYCLE, ENTRY
from throughline.kit.errors import ServiceError
from throughline.store.admission import OTHER

By = Literal["source", "channel", "campaign", "device", "cycle"]
"""Dimensions: facts of the customer's first touchpoint (kept), and of the opening of the cycle (asked)."""
BY_DESCRIPTION = (
    "divide by a fact of the customer's first touchpoint (source, channel) or of the opening of the cycle "
    "(campaign, device; cycle: the first, second or a later one)"
)


def opening_of(by: By | None) -> Opening | None:
    """Returns a dimension if it is one of the cycle's opening."""
    return next((opening for opening in get_args(Opening) if opening == by), None)


class ValueParameters(Parameters):
    """Which part of a breakdown."""

    by: By | None = Field(None, description="with `value`: only those counted under it")
    value: list[Annotated[str, Field(pattern=TEXT, max_length=MAX_NAME)]] = Field(
        [], max_length=MAX_LISTED, description="of the dimension in `by`; repeated: any of these", examples=[["mobile"]]
    )
    other: bool = Field(False, description="under none of these values: the row `(other)` of a breakdown")


def require_trails_of(live: LiveModel, opening: Opening | None) -> None:
    """See that transitions of a generation say a dimension.

    Raises:
        ServiceError: 409 `restage_needed`.
    """
    if opening in ("campaign", "device"):
        require_trails(live)


async def value_filter(context: ApiContext, workspace: int, parameters: ValueParameters) -> ValueFilter | None:
    """The part of a breakdown that a request is about; None: the whole.

    Raises:
        ServiceError: 400 `invalid_parameter` or `unknown_source`.
    """
    by, values = parameters.by, tuple(sorted(set(parameters.value)))
    if (by is None) != (not values and not parameters.other):
        raise ServiceError(400, "invalid_parameter", "value: by and value go together", field="value")
    if by is None:
        return None
    opening = opening_of(by)
    if opening is not None:
        return ValueFilter(opening, values, is_other=parameters.other)
    sources: tuple[int, ...] = ()
    if by == "source":
        ids = {await source_id(context, workspace, name) for name in values}
        sources = tuple(sorted(id_ for id_ in ids if id_ is not None))
    customers = CustomerFilter(sources, values if by == "channel" else ())
    return ValueFilter(customers=customers, is_other=parameters.other)


def filter_of(by: By | None, value: str, shown: Sequence[str] = ()) -> dict[str, list[str]]:
    """Returns the parameters of a list that stand for one value of a dimension; for `(other)`, all but those shown."""
    if by is None:
        return {}
    if value == OTHER:
        return {"by": [by], "value": [name for name in shown if name != OTHER], "other": ["true"]}
    return {by: [value]} if opening_of(by) is None else {"by": [by], "value": [value]}


def others_of(by: By, value: str, shown: Sequence[str]) -> dict[str, list[str]] | None:
    """Returns the parameters of a list that stand for all others than one value of a dimension; None: there are none.

    `shown`: all values, of which `(other)` is the rest.
    """
    if value != OTHER:
        return {"by": [by], "value": [value], "other": ["true"]}
    names = [name for name in shown if name != OTHER]
    return {"by": [by], "value": names} if names else None


async def read_counts(
    connection: AsyncConnection,
    live: LiveModel,
    unit: int,
    phase: int,
    days: Days,
    customers: CustomerFilter,
    by: By | None = None,
    bins: Sequence[int] | None = None,
    values: Sequence[str] | None = None,
    ways: Sequence[int] | None = None,
) -> Mapping[int | str | None, list[Count]]:
    """The sums of the entries into a phase, by value of a dimension; without one, all under None.

    `days`: of entry, or groups of days: each has sums of its own. `bins`: those of kept sums that need not be told
    apart, as of `read_funnel`. `values`: those of an opening to tell apart; None: the most frequent. `ways`: those of
    kept sums that are read; None: all.

    Raises:
        ServiceError: 400 `invalid_parameter`: they would be too many, or the dimension is none of customers; 409
            `restage_needed`.
    """
    opening = opening_of(by)
    if opening is None:
        dimension: Dimension | None = "source" if by == "source" else "channel" if by == "channel" else None
        return await read_funnel(connection, live.generation.id, unit, phase, days, customers, dimension, bins, ways)
    if unit != CYCLE:
        raise ServiceError(
            400, "invalid_parameter", f"by: {by} is a fact of cycles; ask for unit=cycle, or by source or channel",
            field="by",
        )  # fmt: skip
    require_trails_of(live, opening)
    return await count_by_opening(connection, live.generation.id, phase, days, customers, opening, values)


async def largest(
    context: ApiContext,
    workspace: int,
    by: By,
    counts: Mapping[int | str | None, Sequence[Count]],
    told_apart: Sequence[str] | None = None,
) -> list[tuple[str, list[Count]]]:
    """Returns counts by the name of the value, the largest cohorts first.

    Those that are not `told_apart` (None: those beyond `MAX_VALUES`) are `(other)` together, with the values that are
    counted as that.
    """
    names = await source_names(context, workspace) if by == "source" else {}

    def entries(value: int | str) -> int:
        return sum(count.entries for count in counts[value] if count.way == ENTRY)

    values = [value for value in counts if value is not None and value != OTHER]
    values.sort(key=lambda value: (-entries(value), str(value)))
    named = [(name_of_source(names, value) if isinstance(value, int) else value, counts[value]) for value in values]
    if told_apart is None:
        told_apart = [name for name, _ in named[:MAX_VALUES]]
    rest = [*counts.get(OTHER, ()), *(count for name, each in named if name not in told_apart for count in each)]
    shown = [(name, list(each)) for name, each in named if name in told_apart]
    return [*shown, *([(OTHER, rest)] if rest else [])]
