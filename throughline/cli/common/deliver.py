"""One request to ingest, again until it is answered for good: what every command that sends events does."""

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import httpx

PATIENCE_SECONDS = 300.0
"""How long one request is tried before the command gives up; what it does can be gone on with."""
_WAIT_SECONDS = 1.0
_LONGEST_WAIT_SECONDS = 15.0


class NotTakenError(Exception):
    """Ingest does not take the events; the message says why."""


class Reason(NamedTuple):
    """Why a request failed as a whole."""

    code: str
    message: str


async def deliver(
    client: httpx.AsyncClient, path: str, body: bytes, headers: Mapping[str, str], say: Callable[[str], None]
) -> httpx.Response:
    """The answer that is no "not now" (408, 429, 5xx, no connection); `say` is told once when it has to wait.

    Raises:
        NotTakenError: there was none for `PATIENCE_SECONDS`.
    """
    began, wait, told = time.monotonic(), _WAIT_SECONDS, False
    while True:
        try:
            answer = await client.post(path, content=body, headers=headers)
            why = f"it answers {answer.status_code}"
        except httpx.TransportError as error:
            answer, why = None, str(error) or type(error).__name__
        if answer is not None and answer.status_code not in (408, 429) and answer.status_code < 500:
            return answer
        if time.monotonic() - began > PATIENCE_SECONDS:
            raise NotTakenError(f"ingest at {client.base_url} takes nothing ({why})")
        if not told:
            say(f"ingest takes nothing now ({why}); trying again")
            told = True
        await asyncio.sleep(_after(answer) or wait)
        wait = min(2 * wait, _LONGEST_WAIT_SECONDS)


def reason_of(answer: httpx.Response) -> Reason:
    """What the answer to a request that failed as a whole says."""
    try:
        said = answer.json()
        return Reason(str(said["code"]), str(said["message"]))
    except (ValueError, KeyError, TypeError):
        return Reason(f"http_{answer.status_code}", answer.text[:200])


def _after(answer: httpx.Response | None) -> float:
    said = "" if answer is None else answer.headers.get("Retry-After", "")
    return min(float(said), _LONGEST_WAIT_SECONDS) if said.isdigit() else 0.0
