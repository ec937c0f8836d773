"""What every request is answered from: the database, the topic whose offsets hold the watermarks, tokens, quotas."""

from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from services.api.persons.claims import ClaimLog
from services.api.shared.csv_streams import CsvStreams
from services.api.shared.database import Database
from services.api.shared.quotas import RequestRate
from services.api.tokens import Tokens


@dataclass(frozen=True, eq=False)
class ApiContext:
    """What one process answers from. Caches tell contexts apart by identity."""

    database: Database
    topic: str
    """The touchpoints topic."""
    tokens: Tokens
    rate: RequestRate
    claims: ClaimLog
    log_seconds: float | None = None
    """The time after which Kafka holds nothing any more of what it holds now; None: unknown."""
    csv_streams: CsvStreams = field(default_factory=CsvStreams)
    ingest_url: str | None = None
    """Where browsers reach ingest; None: unknown."""


def _context_of(request: Request) -> ApiContext:
    context: ApiContext = request.app.state.context
    return context


Context = Annotated[ApiContext, Depends(_context_of)]
"""The parameter of an endpoint that receives the process's context."""
