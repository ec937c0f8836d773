"""The unmodified `segment-analytics-python` client with what a long run needs around it.

That is: a bound on what waits, a count of what each request came to, and an end that does not hang.
"""

import atexit
import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from segment.analytics.client import Client

from throughline.demo.watch import Answer, Watch, verdicts

BACKLOG = 5_000
"""Events that may wait in one client before `send` blocks."""
RETRIED = frozenset({408, 410, 429, 460})
"""Statuses below 500 that the SDK tries again."""


@dataclass
class Tally:
    """What came of a run, in events unless said otherwise."""

    sent: int = 0
    """Handed to the SDK."""
    requests: int = 0
    """HTTP requests made, tries included."""
    failures: int = 0
    """Requests that got no 200."""
    accepted: int = 0
    """Answered 200 with a verdict of ok or warning."""
    warned: int = 0
    """Of the accepted: with a warning."""
    refused: int = 0
    """Answered 200 with another verdict."""
    lost: int = 0
    """Given up on by the SDK."""
    errors: Counter[str] = field(default_factory=Counter)
    """Why events were refused or lost, and how often that was said."""
    warnings: Counter[str] = field(default_factory=Counter)
    """What was mended, and how often."""


class Sender:
    """Sends through one or more SDK clients and keeps the tally. Close it.

    Args:
        url: the address of ingest.
        write_key: of the source.
        clients: how many SDK clients (one uploading thread each) share the work.
        batch: events per request at most.
        interval: seconds a client collects events before it sends fewer.
        persistent: put back what the SDK gives up on because ingest was away. Else that ends the run (`failed`).
        report: told when ingest goes away or comes back; called from the SDK's threads.
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
        self.tally = Tally()
        self.failed = ""
        """Why sending on is in vain; empty while it is not."""
        self.away = ""
        """Why ingest does not take events right now; empty while it does."""
        self._persistent = persistent
        self._report = report
        self._lock = threading.Lock()
        self._turn = 0
        # The SDK reports its own errors through `on_error`; without this Python prints them a second time.
        logging.getLogger("segment").addHandler(logging.NullHandler())
        self._watch = Watch(self.url, self._notice)
        self._clients = [self._client(write_key, batch, interval) for _ in range(clients)]

    def send(self, call: str, arguments: Mapping[str, Any], *, stop: threading.Event | None = None) -> bool:
        """Hand one call to the SDK, waiting while too much waits already.

        Returns:
            False when `stop` was set or sending has failed meanwhile; the call was then not taken.

        Raises:
            ValueError: the SDK refuses the call (too large, a value of a type it does not send).
        """
        self._turn += 1
        client = self._clients[self._turn % len(self._clients)]
        stop = stop or threading.Event()
        while client.queue.qsize() >= BACKLOG and not self.failed and not stop.is_set():
            stop.wait(0.02)
        if self.failed or stop.is_set():
            return False
        try:
            getattr(client, call)(**arguments)
        except (AssertionError, RuntimeError, TypeError) as error:
            raise ValueError(f"the SDK refuses this event: {error}") from None
        self.tally.sent += 1
        return True

    def close(self, seconds: float = 60.0) -> int:
        """Flush, at most for so long (not at all when sending has failed), and end the SDK's threads.

        Returns:
            How many events were still waiting: they were not delivered.
        """
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
        self._watch.remove()
        return sum(client.queue.unfinished_tasks for client in self._clients)

    def _drain(self, queue: Any, deadline: float) -> None:
        with queue.all_tasks_done:
            while queue.unfinished_tasks and not self.failed and time.monotonic() < deadline:
                queue.all_tasks_done.wait(0.1)

    def _client(self, write_key: str, batch: int, interval: float) -> Any:
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
            consumer.on_error = lambda error, events: self._gave_up(client, error, events)
        return client

    def _notice(self, answer: Answer) -> None:
        taken = answer.status == 200
        with self._lock:
            self.tally.requests += 1
            if taken:
                self.tally.accepted += answer.events
                for verdict, said in verdicts(answer.body):
                    self._note(verdict, said)
            else:
                self.tally.failures += 1
        if taken:
            self._is_back()
        elif not _is_final(answer.status):
            self._is_away(f"it answers {answer.status}" if answer.status else answer.error)

    def _note(self, verdict: str, said: str) -> None:
        if verdict == "warning":
            self.tally.warned += 1
            self.tally.warnings[said] += 1
        else:
            self.tally.accepted -= 1
            self.tally.refused += 1
            self.tally.errors[said] += 1

    def _is_away(self, reason: str) -> None:
        with self._lock:
            news, self.away = not self.away, reason
        if news:
            self._report(f"ingest at {self.url} takes no events ({reason}); the SDK keeps them and tries again")

    def _is_back(self) -> None:
        with self._lock:
            news, self.away = bool(self.away), ""
        if news:
            self._report(f"ingest at {self.url} takes events again")

    def _gave_up(self, client: Any, error: Exception, events: list[Any]) -> None:
        if self._persistent and not _is_final(getattr(error, "status", 0)):
            for event in events:
                client.queue.put(event)
            return
        with self._lock:
            self.tally.lost += len(events)
            self.tally.errors[str(error)] += 1
            self.failed = self.failed or str(error)


def _is_final(status: int) -> bool:
    """Whether sending the same again is in vain; 0 stands for no answer at all."""
    return 300 <= status < 500 and status not in RETRIED
