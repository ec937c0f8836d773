"""Looks on while the SDK talks to ingest: the SDK itself throws the answers to its requests away."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import segment.analytics.request as sdk_request


class Answer(NamedTuple):
    """What one request came to: `status` 0 and `error` when there was no answer. `events` is how many it carried."""

    status: int
    events: int
    body: bytes
    error: str = ""


class Watch:
    """Stands before the transport of the SDK's HTTP session for one address, until removed. Changes nothing."""

    def __init__(self, url: str, notice: Callable[[Answer], None]) -> None:
        self._prefix = f"{url}/"
        self._notice = notice
        self._inner = sdk_request._session.get_adapter(self._prefix)
        sdk_request._session.mount(self._prefix, self)

    def remove(self) -> None:
        """Take it away again."""
        sdk_request._session.adapters.pop(self._prefix, None)

    def send(self, request: Any, **options: Any) -> Any:
        """Called by the session for each request, in the thread of the SDK that makes it."""
        events = len(json.loads(request.body)["batch"])
        try:
            response = self._inner.send(request, **options)
            body = response.content
        except Exception as error:
            self._notice(Answer(0, events, b"", f"{type(error).__name__}"))
            raise
        self._notice(Answer(response.status_code, events, body))
        return response

    def close(self) -> None:
        """Called by the session when it is closed."""
        self._inner.close()


def verdicts(body: bytes) -> list[tuple[str, str]]:
    """What ingest's reply says about the events that were not simply ok: (verdict, code and message)."""
    try:
        reply = json.loads(body)
    except ValueError:
        return []
    events = reply.get("verdicts") if isinstance(reply, dict) else None
    said = [event for event in events or () if event.get("verdict", "ok") != "ok"]
    return [(event["verdict"], f"{event.get('code', '')}: {event.get('message', '')}") for event in said]
