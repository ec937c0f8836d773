"""One request to ingest, tried until it has its final answer: for every command that sends events."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import httpx
from tenacity import AsyncRetrying, RetryCallState, RetryError, retry_if_exception_type, stop_after_delay
from tenacity.wait import wait_exponential

PATIENCE_SECONDS = 300.0
"""How long one request is tried before the command gives up; every such command can be continued."""
LONGEST_PAUSE_SECONDS = 15.0
_PAUSES = wait_exponential(multiplier=1.0, max=LONGEST_PAUSE_SECONDS)


class NotTakenError(Exception):
    """Ingest does not take the events; the message says why."""


class IngestAwayError(NotTakenError):
    """Ingest does not answer, or is not ready, for longer than is waited for it."""


class Problem(NamedTuple):
    """Why a request failed as a whole."""

    code: str
    message: str


class _NotNowError(Exception):
    """Ingest may take the same request later; the message says why not now."""

    def __init__(self, reason: str, retry_after_seconds: float = 0.0) -> None:
        super().__init__(reason)
        self.retry_after_seconds = retry_after_seconds


async def deliver(
    client: httpx.AsyncClient, path: str, body: bytes, headers: Mapping[str, str], say: Callable[[str], None]
) -> httpx.Response:
    """POST a request until its answer is other than "not now" (408, 429, 5xx, no connection).

    `say` gets one sentence when the request has to wait for the first time.

    Raises:
        IngestAwayError: there was no such answer within `PATIENCE_SECONDS`.
    """

    def announce(state: RetryCallState) -> None:
        if state.attempt_number == 1:
            say(f"ingest takes nothing now ({_failure_of(state)}); trying again")

    retrying = AsyncRetrying(
        retry=retry_if_exception_type(_NotNowError),
        wait=_pause_seconds,
        stop=stop_after_delay(PATIENCE_SECONDS),
        before_sleep=announce,
    )
    try:
        return await retrying(_post, client, path, body, headers)
    except RetryError as error:
        reason = error.last_attempt.exception()
        raise IngestAwayError(f"ingest at {client.base_url} takes nothing ({reason})") from None


def problem_of(answer: httpx.Response) -> Problem:
    """Code and message of the answer to a request that failed as a whole."""
    try:
        details = answer.json()
        return Problem(str(details["code"]), str(details["message"]))
    except (ValueError, KeyError, TypeError):
        return Problem(f"http_{answer.status_code}", answer.text[:200])


async def _post(client: httpx.AsyncClient, path: str, body: bytes, headers: Mapping[str, str]) -> httpx.Response:
    try:
        answer = await client.post(path, content=body, headers=headers)
    except httpx.TransportError as error:
        raise _NotNowError(str(error) or type(error).__name__) from None
    if answer.status_code in (408, 429) or answer.status_code >= 500:
        raise _NotNowError(f"it answers {answer.status_code}", _retry_after_seconds(answer))
    return answer


def _retry_after_seconds(answer: httpx.Response) -> float:
    seconds = answer.headers.get("Retry-After", "")
    return min(float(seconds), LONGEST_PAUSE_SECONDS) if seconds.isdigit() else 0.0


def _pause_seconds(state: RetryCallState) -> float:
    failure = _failure_of(state)
    requested = failure.retry_after_seconds if isinstance(failure, _NotNowError) else 0.0
    return requested or _PAUSES(state)


def _failure_of(state: RetryCallState) -> BaseException | None:
    return None if state.outcome is None else state.outcome.exception()
