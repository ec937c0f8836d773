"""The counts of a phase model: live, of a past moment, and as a stream; and the values that their filters take."""

from collections.abc import AsyncIterator, Iterable, Mapping
from typing import Annotated, NamedTuple

from fastapi import APIRouter, Depends, Header, Query, Request
from pydantic import Field
from sse_starlette import EventSourceResponse

from services.api.auth import Secret, Token, authenticate
from services.api.history.queries import read_past_counts
from services.api.live.feeds import Feed, Feeds
from services.api.live.sse import event_stream
from services.api.phases.answers import (
    MAX_GROUPS,
    Channels,
    CountedGroup,
    Counts,
    SourceItem,
    Sources,
    counts_answer,
)
from services.api.phases.queries import Dimension, list_channels, read_groups, read_live_counts
from services.api.shared.answers import EncodedAnswer
from services.api.shared.cache import cached
from services.api.shared.cells import NO_LEVEL, Level, shown
from services.api.shared.context import ApiContext, Context
from services.api.shared.cursors import CursorCodec, split_page
from services.api.shared.links import ListLinks
from services.api.shared.openapi import AnswerRoute, problem_responses
from services.api.shared.parameters import (
    CustomerParameters,
    InstantText,
    ModelParameters,
    NamesParameters,
    parse_optional_instant,
)
from services.api.shared.queries import CustomerFilter, read_workspace
from services.api.shared.responses import AnswerResponse, ConditionalResponse
from services.api.shared.steps import floored, since
from services.api.shared.sums import Sums
from services.api.shared.watermark_ages import WATERMARK_AGES
from services.api.shared.workspace import (
    customer_filter,
    list_links,
    live_generation,
    min_cell_of,
    name_of_source,
    reading_model,
    source_names,
    sources_of,
)
from throughline.journey.durations import MINUTE_US
from throughline.kit.errors import ServiceError
from throughline.models import model_of
from throughline.store.admission import OTHER

router = APIRouter(tags=["phases"], route_class=AnswerRoute)

COUNTS_SECONDS = 0.25
"""Maximum age of counts: the database answers each distinct question about them at most this often."""


class MomentParameters(CustomerParameters):
    """Which customers to count, and when."""

    group_by: Dimension | None = Field(
        None, description="also divided by this fact of the customer's first touchpoint", examples=["channel"]
    )

    as_of: InstantText | None = Field(
        None,
        description="a past instant (RFC 3339), floored to the minute within two days, to the hour within 90 days, "
        "else to the day of the workspace's time zone; the answer's as_of says to which",
    )


class ChannelsParameters(ModelParameters, NamesParameters):
    """Which page of a model's channels."""


class CountsQuestion(NamedTuple):
    """A distinct question about counts. `model`: None asks for the workspace's default model."""

    workspace: int
    model: str | None
    customers: CustomerFilter


class PastQuestion(NamedTuple):
    """A distinct question about the counts of a past moment."""

    counts: CountsQuestion
    at_us: int


class GroupedQuestion(NamedTuple):
    """A distinct question about the counts of each source or channel; `at_us` None: live."""

    counts: CountsQuestion
    at_us: int | None
    by: Dimension


async def counts_question(context: ApiContext, workspace: int, parameters: CustomerParameters) -> CountsQuestion:
    """The question that a request's parameters ask.

    Raises:
        ServiceError: 400 `unknown_source`.
    """
    return CountsQuestion(workspace, parameters.model, await customer_filter(context, workspace, parameters))


@cached(seconds=COUNTS_SECONDS)
async def live_counts(context: ApiContext, question: CountsQuestion) -> EncodedAnswer[Counts]:
    """The live counts.

    Raises:
        ServiceError: 400 `unknown_model`; 403 `withheld`; 503 `no_model` or `database_away`.
    """
    min_cell = await min_cell_of(context, question.workspace, question.model)
    async with context.database.reading("counts", question.workspace) as connection:
        live = await read_live_counts(
            connection, question.workspace, question.model, context.topic, question.customers, min_cell
        )
        if live is None:
            live_generation(await read_workspace(connection, question.workspace, context.topic), question.model)
            raise ServiceError(503, "no_model", "the model is being switched; try again")
    WATERMARK_AGES.observe(question.workspace, live.applied_watermark_us)
    return counts_answer(
        model_of(live.generation.name, live.generation.document),
        live.sums,
        as_of_us=live.applied_watermark_us,
        applied_watermark_us=live.applied_watermark_us,
        retention_cutoff_us=live.retention_cutoff_us,
        min_cell=min_cell,
        lists=await list_links(context, question.workspace, live.generation.name, question.customers),
    )


@cached(seconds=COUNTS_SECONDS)
async def past_counts(context: ApiContext, question: PastQuestion) -> EncodedAnswer[Counts]:
    """The counts of a past moment, floored to a stored step; those of the watermark for a later moment.

    Raises:
        ServiceError: 400 `unknown_model`; 403 `withheld`; 503 `no_model` or `database_away`.
    """
    workspace, model, customers = question.counts
    min_cell = await min_cell_of(context, workspace, model)
    async with reading_model(context, "past", workspace, model) as (connection, live):
        state = live.workspace
        if state.applied_watermark_us is None:
            return counts_answer(live.model, {}, as_of_us=None, applied_watermark_us=None, min_cell=min_cell)
        moment = floored(min(question.at_us, state.applied_watermark_us), state.latest_watermark_us, live.zone)
        past = await read_past_counts(
            connection,
            live.generation.id,
            context.topic,
            customers,
            later=since(moment, live.zone),
            min_cell=min_cell,
        )
    return counts_answer(
        live.model,
        past.closing,
        as_of_us=moment.at_us,
        applied_watermark_us=past.applied_watermark_us,
        retention_cutoff_us=state.retention_cutoff_us,
        min_cell=min_cell,
        lists=await list_links(context, workspace, live.model.name, customers),
        is_past=True,
    )


@cached(seconds=COUNTS_SECONDS)
async def grouped_counts(context: ApiContext, question: GroupedQuestion) -> EncodedAnswer[Counts]:
    """The counts, live or of a past moment, with those of each source or channel.

    Raises:
        ServiceError: 400 `unknown_model`; 403 `withheld`; 503 `no_model` or `database_away`.
    """
    (workspace, model_name, customers), at_us, by = question
    min_cell = await min_cell_of(context, workspace, model_name)
    async with reading_model(context, "counts", workspace, model_name) as (connection, live):
        state, model = live.workspace, live.model
        applied_us = state.applied_watermark_us
        is_past = at_us is not None and applied_us is not None
        moment = floored(min(at_us or 0, applied_us or 0), state.latest_watermark_us, live.zone) if is_past else None
        later = [] if moment is None else since(moment, live.zone)
        groups = await read_groups(connection, live.generation.id, customers, by, later=later, min_cell=min_cell)
    names = await source_names(context, workspace)
    lists = await list_links(context, workspace, model.name, customers)
    return counts_answer(
        model,
        _shown(groups.values(), min_cell, is_whole=customers.is_everybody),
        as_of_us=applied_us if moment is None else moment.at_us,
        applied_watermark_us=applied_us,
        retention_cutoff_us=state.retention_cutoff_us,
        min_cell=min_cell,
        lists=lists,
        is_past=moment is not None,
        groups=_groups(groups, names, lists, by, min_cell),
    )


def _groups(
    groups: Mapping[int | str, Mapping[int, Level]],
    names: Mapping[int, str],
    lists: ListLinks,
    by: Dimension,
    min_cell: int | None,
) -> list[CountedGroup]:
    """The groups by name, the largest first; those beyond `MAX_GROUPS` together, with what is counted as `(other)`."""

    def list_of(name: str) -> ListLinks | None:
        if by == "source":
            return lists._replace(sources=[name]) if name in names.values() else None
        return lists._replace(channels=[name])

    named = [
        (name_of_source(names, value) if isinstance(value, int) else value, levels) for value, levels in groups.items()
    ]
    shown = [(name, _shown([levels], min_cell, is_whole=False), levels) for name, levels in named]
    shown.sort(key=lambda group: (group[0] == OTHER, -sum(sums.now for sums in group[1].values()), group[0]))
    counted = [
        CountedGroup(name, sums, list_of(name)) for name, sums, _ in shown[:MAX_GROUPS] if any(map(any, sums.values()))
    ]
    if rest := shown[MAX_GROUPS:]:
        is_one = len(rest) == 1 and rest[0][0] == OTHER
        sums = _shown([levels for _, _, levels in rest], min_cell, is_whole=False)
        counted.append(CountedGroup(OTHER, sums, list_of(OTHER) if is_one else None))
    return counted


def _shown(groups: Iterable[Mapping[int, Level]], min_cell: int | None, *, is_whole: bool) -> dict[int, Sums]:
    """The counts of some groups together that may be shown."""
    levels: dict[int, Level] = {}
    for group in groups:
        for phase, level in group.items():
            levels[phase] = levels.get(phase, NO_LEVEL).plus(level)
    return {phase: shown(level, min_cell or 1, is_whole=is_whole) for phase, level in levels.items()}


@router.get(
    "/v1/phases/counts",
    responses={304: {"description": "nothing changed since the If-None-Match"}, **problem_responses(400, 403)},
    summary="Where all customers stand, or stood",
)
async def get_counts(
    context: Context,
    token: Token,
    parameters: Annotated[MomentParameters, Query()],
    if_none_match: Annotated[str, Header(description="the ETag of the counts you have")] = "",
) -> ConditionalResponse[Counts]:
    """Counts per phase, of one moment. `now = active + lapsed` and `entered = now + left` hold in each phase.
    The ETag names the last change of the counts, not the time of asking."""
    at_us = parse_optional_instant(parameters.as_of, "as_of")
    question = await counts_question(context, token.workspace, parameters)
    if parameters.group_by is not None:
        minute_us = None if at_us is None else at_us - at_us % MINUTE_US
        counts = await grouped_counts(context, GroupedQuestion(question, minute_us, parameters.group_by))
    elif at_us is None:
        counts = await live_counts(context, question)
    else:
        counts = await past_counts(context, PastQuestion(question, at_us - at_us % MINUTE_US))
    return ConditionalResponse(counts, if_none_match)


async def _subscribed(
    request: Request, context: Context, token: Token, parameters: Annotated[CustomerParameters, Query()]
) -> AsyncIterator[Feed]:
    """The feed of the request's question, from before the response starts until it has ended."""
    feeds: Feeds[CountsQuestion] = request.app.state.feeds
    async with feeds.subscribe(await counts_question(context, token.workspace, parameters), token.owner) as feed:
        yield feed


@router.get(
    "/v1/phases/counts/stream",
    responses={
        200: {
            "description": "Server-sent events `counts`: `data` as in /v1/phases/counts, `id` its ETag. The first at "
            "once, then one per change, at most four a second; a comment `as_of ...` after 15 s without.",
            "content": {
                "text/event-stream": {
                    "schema": {"type": "string"},
                    "example": 'id: W/"6c0f"\nevent: counts\ndata: {"model":"seven_phase",...}\n\n',
                }
            },
        },
        **problem_responses(400, 403),
    },
    summary="Follow the counts",
)
async def stream_counts(
    context: Context,
    secret: Secret,
    feed: Annotated[Feed, Depends(_subscribed)],
    last_event_id: Annotated[str, Header(description="the last id you saw: the same counts are not sent again")] = "",
) -> EventSourceResponse:
    """The counts whenever they change. Ends when the token is revoked or the service stops: connect again then."""

    async def still_allowed() -> bool:
        try:
            await authenticate(context, secret)
        except ServiceError as error:
            return error.status != 401
        return True

    return event_stream(feed, event="counts", seen=last_event_id, still_allowed=still_allowed)


class NamePosition(NamedTuple):
    """The place of a name in a list."""

    name: str


source_cursors = CursorCodec("s", NamePosition)
channel_cursors = CursorCodec("c", NamePosition)


@router.get("/v1/sources", responses=problem_responses(400), summary="The sources")
async def get_sources(
    context: Context, token: Token, parameters: Annotated[NamesParameters, Query()]
) -> AnswerResponse[Sources]:
    """What the source filter takes."""
    after = source_cursors.decode(parameters.cursor)
    sources = await sources_of(context, token.workspace)
    following = [source for source in sources if after is None or source.name > after.name]
    page, last = split_page(following, parameters.limit)
    items = [SourceItem(source.name, source.enabled) for source in page]
    return AnswerResponse(Sources(items, None if last is None else source_cursors.encode(NamePosition(last.name))))


@router.get("/v1/channels", responses=problem_responses(400, 403), summary="The channels")
async def get_channels(
    context: Context, token: Token, parameters: Annotated[ChannelsParameters, Query()]
) -> AnswerResponse[Channels]:
    """What the channel filter takes: the channels that brought today's customers, the first 200 each by its name."""
    after = channel_cursors.decode(parameters.cursor)
    min_cell = await min_cell_of(context, token.workspace, parameters.model)
    async with reading_model(context, "channels", token.workspace, parameters.model) as (connection, live):
        channels = await list_channels(
            connection, live.generation.id, None if after is None else after.name, parameters.limit + 1, min_cell
        )
    page, last = split_page(channels, parameters.limit)
    return AnswerResponse(Channels(list(page), None if last is None else channel_cursors.encode(NamePosition(last))))
