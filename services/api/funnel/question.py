"""A question about a funnel: its steps, what it is asked of, and how its sums are read and computed."""

from collections.abc import Mapping, Sequence
from typing import Literal
from urllib.parse import urlencode

from pydantic import Field
from sqlalchemy.ext.asyncio import AsyncConnection

from services.api.funnel.answers import Link
from services.api.funnel.breakdown import By, filter_of, read_counts
from services.api.funnel.queries import Outcome
from services.api.shared.days import Days, SpanParameters, read_days
from services.api.shared.phase_names import phase_number
from services.api.shared.queries import CustomerFilter
from services.api.shared.workspace import LiveModel
from throughline.analytics import funnel as funnels
from throughline.analytics.funnel import WINDOWS_US, Count
from throughline.journey.funnel import CUSTOMER, CYCLE
from throughline.kit.clock import rfc3339
from throughline.kit.errors import ServiceError

Unit = Literal["cycle", "customer"]
UNITS: Mapping[Unit, int] = {"cycle": CYCLE, "customer": CUSTOMER}
Window = Literal["1h", "1d", "3d", "7d", "14d", "30d", "60d", "90d", "180d", "365d", "none"]


class StepParameters(SpanParameters):
    """Which steps."""

    steps: str | None = Field(
        None,
        description="two or more phases in ascending order, with commas; without it all phases",
        examples=["discovery,decision,purchase"],
    )
    unit: Unit = Field(
        "cycle",
        description="cycle: each journey cycle counts once, and a lapse ends it; customer: each customer counts once, "
        "on the day it first ever stood at the first step or beyond",
    )
    window: Window = Field("30d", description="the time from the entry within which a step has to be reached")


class FunnelQuestion:
    """One funnel question: how its sums are read and computed."""

    def __init__(
        self,
        connection: AsyncConnection,
        live: LiveModel,
        parameters: StepParameters,
        phases: Sequence[int],
        customers: CustomerFilter,
    ) -> None:
        self._connection = connection
        self._live = live
        self._model = live.model
        self._parameters = parameters
        self._unit = UNITS[parameters.unit]
        self.window_us = None if parameters.window == "none" else WINDOWS_US[parameters.window]
        self._phases = phases
        self._customers = customers

    async def counts(self, days: Days, by: By | None = None) -> Mapping[int | str | None, list[Count]]:
        """The sums of the entries into the first step, by value of a dimension; without one, all under None."""
        return await read_counts(self._connection, self._live, self._unit, self._phases[0], days, self._customers, by)

    def funnel(self, days: Days, now_us: int, counts: Sequence[Count]) -> funnels.Funnel:
        return funnels.funnel(counts, days.seen_until(now_us), self._phases, self.window_us, self._unit)

    def link(self, days: Days, by: By | None = None, value: str = "", shown: Sequence[str] = ()) -> Link:
        """What makes the paths of the lists of customers of these days, with one value of a dimension.

        `shown`: all values, of which `(other)` is the rest.
        """
        asked_for = self._parameters
        question = {"model": self._model.name, "unit": asked_for.unit, "window": asked_for.window}
        question |= {"from": rfc3339(days.from_us), "to": rfc3339(days.end_us)}
        filters = {"source": asked_for.source, "channel": asked_for.channel} | filter_of(by, value, shown)
        first = self._model.phases[self._phases[0] - 1].name

        def path(phase: str, outcome: Outcome) -> str:
            steps = {"steps": f"{first},{phase}", "outcome": outcome}
            return f"/v1/funnel/customers?{urlencode(steps | question | filters, doseq=True)}"

        return path


def read_steps(live: LiveModel, parameters: StepParameters) -> tuple[Days, list[int], int]:
    """The days, the numbers of the phases and the watermark of a question.

    Raises:
        ServiceError: 400: a parameter is wrong; 409 `restage_needed`.
    """
    model = live.model
    if parameters.steps is None:
        phases = [phase.number for phase in model.phases]
    else:
        phases = [phase_number(model, name.strip(), "steps") for name in parameters.steps.split(",")]
        if len(phases) < 2 or phases != sorted(set(phases)):
            raise ServiceError(
                400,
                "invalid_parameter",
                f"steps: two or more phases of {model.name} in ascending order, such as "
                f"{model.phases[0].name},{model.phases[-1].name}",
                field="steps",
            )
    days, now_us = read_days(live, parameters)
    return days, phases, now_us


def window_name(window: Window) -> str | None:
    """The window as answers have it."""
    return None if window == "none" else window
