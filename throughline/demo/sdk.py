"""The unmodified `segment-analytics-python` client, with what a long run needs around it.

That is: a bound on the backlog, counts of the verdicts, and an end that does not hang.
"""

import atexit
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from queue import Queue
from typing import Any

from segment.analytics.client import Client

from throughline.demo.responses import Answer, ResponseListener, read_verdicts

BACKLOG = 5_000
"""Maximum number of events that wait in one client; `send` blocks while there are more."""
RETRIED = frozenset({408, 410, 429, 460})
"""Statuses below 500 that the SDK tries again."""


@dataclass
class DeliveryCounts:
    """Number of events by what became of them, and number of requests."""

    sent: int = 0
    """Events handed to the SDK."""
    requests: int = 0
    """HTTP requests, repeated ones included."""
    failures: int = 0
    """Requests that got no 200."""
    accepted: int = 0
    """Events whose verdict is ok or warning."""
    warned: int = 0
    """Accepted events whose verdict is warning."""
    refused: int = 0
    """Events with another verdict."""
    lost: int = 0
    """Events that the SDK gave up."""
    errors: Counter[str] = field(default_factory=Counter)
    """Number of refused or lost events by reason."""
    warnings: Counter[str] = field(default_factory=Counter)
    """Number of warned events by warning."""


class Sender:
    """Sends through one or more SDK clients and keeps the counts. Close it.

    Args:
        url: the address of ingest.
        write_key: of the source.
        clients: number of SDK clients (one uploading thread each) that share the work.
        batch: maximum number of events per request.
        interval: seconds for which a client collects events before it sends fewer.
        persistent: put back what the SDK gives up because ingest was away. Otherwise that ends the run (`failed`).
        report: called with a sentence when ingest goes away or comes back, in the SDK's threads.
    """

    def __init__(
        self,
        url: str,
        write_key: str,
        *,
        clients: int = 1,
        batch: int = 100,
        interval: float = 0.1,
        persistent: bool = False,
        report: Callable[[str], None] = lambda _: None,
    ) -> None:
        self.url = url.rstrip("/")
        self.counts = DeliveryCounts()
        self.failed = ""
        """Why it is useless to go on; "" while it is not."""
        self.away = ""
        """Why ingest does not take events at present; "" while it does."""
        self._persistent = persistent
        self._report = report
        self._lock = threading.Lock()
        self._turn = 0
        # The SDK reports its own errors through `on_error`; without this Python prints them a second time.
        logging.getLogger("segment").addHandler(logging.NullHandler())
        self._listener = ResponseListener(self.url, self._count_answer)
        self._clients = [self._create_client(write_key, batch, interval) for _ in range(clients)]

    def send(self, method: str, arguments: Mapping[str, Any], *, stop: threading.Event | None = None) -> bool:
        """Hand one call to the SDK, and wait while the backlog is full.

        Returns:
            False when `stop` was set or sending has failed meanwhile, and the SDK did not get the call.

        Raises:
            ValueError: the SDK refuses the call (too large, a value of a type that it does not send).
        """
        self._turn += 1
        client = self._clients[self._turn % len(self._clients)]
        stop = stop or threading.Event()
        while client.queue.qsize() >= BACKLOG and not self.failed and not stop.is_set():
            stop.wait(0.02)
        if self.failed or stop.is_set():
            return False
        try:
            getattr(client, method)(**arguments)
        except (AssertionError, RuntimeError, TypeError) as error:
            raise ValueError(f"the SDK refuses this event: {error}") from None
        self.counts.sent += 1
        return True

    def close(self, seconds: float = 60.0) -> int:
        """Wait at most so long for the backlog to be sent (not at all when sending has failed), then end the SDK's
        threads. Returns the number of events that were not delivered."""
        deadline = time.monotonic() + seconds
        for client in self._clients:
            self._drain(client.queue, deadline)
        for client in self._clients:
            for consumer in client.consumers:
                consumer.pause()
        for client in self._clients:
            for consumer in client.consumers:
                consumer.join(timeout=max(1.0, deadline - time.monotonic()))
            # The SDK would wait once more at exit, without a bound.
            atexit.unregister(client.join)
        self._listener.remove()
        return sum(client.queue.unfinished_tasks for client in self._clients)

    def _drain(self, queue: Queue[dict[str, Any]], deadline: float) -> None:
        with queue.all_tasks_done:
            while queue.unfinished_tasks and not self.failed and time.monotonic() < deadline:
                queue.all_tasks_done.wait(0.1)

    def _create_client(self, write_key: str, batch: int, interval: float) -> Client:
        client = Client(
            write_key,
            host=self.url,
            max_queue_size=0,  # unbounded: a full queue drops events, and also those it takes back on Retry-After
            upload_size=batch,
            upload_interval=interval,
            max_retries=6 if self._persistent else 8,
            max_rate_limit_duration=600,
        )
        for consumer in client.consumers:
            consumer.on_error = lambda error, events: self._on_given_up(client, error, events)
        return client

    def _count_answer(self, answer: Answer) -> None:
        is_taken = answer.status == 200
        with self._lock:
            self.counts.requests += 1
            if is_taken:
                self.counts.accepted += answer.events
                for status, reason in read_verdicts(answer.body):
                    self._count_verdict(status, reason)
            else:
                self.counts.failures += 1
        if is_taken:
            self._note_back()
        elif not _is_final(answer.status):
            self._note_away(f"it answers {answer.status}" if answer.status else answer.error)

    def _count_verdict(self, status: str, reason: str) -> None:
        if status == "warning":
            self.counts.warned += 1
            self.counts.warnings[reason] += 1
        else:
            self.counts.accepted -= 1
            self.counts.refused += 1
            self.counts.errors[reason] += 1

    def _note_away(self, reason: str) -> None:
        with self._lock:
            is_news, self.away = not self.away, reason
        if is_news:
            self._report(f"ingest at {self.url} takes no events ({reason}); the SDK keeps them and tries again")

    def _note_back(self) -> None:
        with self._lock:
            is_news, self.away = bool(self.away), ""
        if is_news:
            self._report(f"ingest at {self.url} takes events again")

    def _on_given_up(self, client: Client, error: Exception, events: list[dict[str, Any]]) -> None:
        if self._persistent and not _is_final(getattr(error, "status", 0)):
            for event in events:
                client.queue.put(event)
            return
        with self._lock:
            self.counts.lost += len(events)
            self.counts.errors[str(error)] += 1
            self.failed = self.failed or str(error)


def _is_final(status: int) -> bool:
    """Whether the same request would get the same answer; status 0 stands for no answer at all."""
    return 300 <= status < 500 and status not in RETRIED
