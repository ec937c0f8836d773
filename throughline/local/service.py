"""A service as a child process: its command, its environment, and whether it is ready."""

import asyncio
import http.client
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from throughline.local.errors import LocalError
from throughline.local.ports import HOST
from throughline.local.process import Child, until_deadline

READY_SECONDS = 90
REQUEST_SECONDS = 5
STOP_SECONDS = 40.0
"""Longer than the services take to drain."""


class Service(Child):
    """`python -m services.NAME` on 127.0.0.1:`port`, with `settings` over the `base` environment."""

    def __init__(
        self, name: str, *, port: int, log: Path, base: Mapping[str, str], settings: Mapping[str, str]
    ) -> None:
        super().__init__(
            name,
            [sys.executable, "-m", f"services.{name}"],
            log=log,
            env={**base, **settings, "HOST": HOST, "PORT": str(port), "PYTHONUNBUFFERED": "1"},
            grace_s=STOP_SECONDS,
        )
        self.port = port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    async def until_ready(self) -> None:
        """Wait for 200 from `/readyz`; the supervisor restarts a service that crashes meanwhile.

        Raises:
            LocalError: the service is not ready in time; the message has its reasons and its last lines.
        """
        deadline = time.monotonic() + READY_SECONDS
        while missing := await asyncio.to_thread(self._missing):
            if not await until_deadline(deadline, pause_s=0.1):
                raise LocalError(
                    f"{self.name} is not ready after {READY_SECONDS} s: {missing}; "
                    f"the end of {self.log}:\n{self.tail()}"
                )

    def _missing(self) -> str:
        """What /readyz says is missing; "" when the service is ready. No proxy of the environment is used."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=REQUEST_SECONDS)
        try:
            connection.request("GET", "/readyz")
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, http.client.HTTPException) as error:
            return str(error) or type(error).__name__
        finally:
            connection.close()
        if answer.status == 200:
            return ""
        try:
            checks = json.loads(body)["checks"]
            return "; ".join(f"{name}: {state}" for name, state in checks.items() if state != "ok")
        except (ValueError, KeyError, TypeError, AttributeError):
            return f"/readyz answers {answer.status}"
