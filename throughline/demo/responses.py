"""Ingest's answers to the SDK's requests, which the SDK itself throws away."""

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import segment.analytics.request as sdk_request
from requests import PreparedRequest, Response


class Answer(NamedTuple):
    """The outcome of one request of the SDK."""

    status: int
    """0 when there was no answer."""
    events: int
    """Number of events in the request."""
    body: bytes
    error: str = ""
    """Why there was no answer."""


class ResponseListener:
    """Stands before the transport of the SDK's HTTP session for one address, until removed. Changes nothing.

    `on_answer` is called in the thread of the SDK that makes the request.
    """

    def __init__(self, url: str, on_answer: Callable[[Answer], None]) -> None:
        self._prefix = f"{url}/"
        self._on_answer = on_answer
        self._transport = sdk_request._session.get_adapter(self._prefix)
        sdk_request._session.mount(self._prefix, self)

    def remove(self) -> None:
        """Give the session its own transport back."""
        sdk_request._session.adapters.pop(self._prefix, None)

    def send(self, request: PreparedRequest, **options: Any) -> Response:
        """Make one request; the session calls this in place of its transport's."""
        assert isinstance(request.body, str | bytes)
        events = len(json.loads(request.body)["batch"])
        try:
            response: Response = self._transport.send(request, **options)
            body = response.content
        except Exception as error:
            self._on_answer(Answer(0, events, b"", type(error).__name__))
            raise
        self._on_answer(Answer(response.status_code, events, body))
        return response

    def close(self) -> None:
        """Close the transport; the session calls this when it is closed."""
        self._transport.close()


def read_verdicts(body: bytes) -> list[tuple[str, str]]:
    """The verdicts in ingest's answer that are not ok: (status, code and message)."""
    try:
        reply = json.loads(body)
    except ValueError:
        return []
    events = reply.get("verdicts") if isinstance(reply, dict) else None
    return [
        (event["verdict"], f"{event.get('code', '')}: {event.get('message', '')}")
        for event in events or ()
        if event.get("verdict", "ok") != "ok"
    ]
