"""`throughline run`: the whole system on this machine, until Ctrl-C."""

import asyncio
import contextlib
import shlex
import signal
import sys
import time

import typer
from rich.console import Console
from rich.text import Text

from throughline.kit.settings import RunSettings, base_environment, load_or_exit
from throughline.local import LocalError
from throughline.local.run import Running, Stack, Wanted
from throughline.store.migrate import MigrateError


def run() -> None:
    """Start Kafka, Postgres, the three services, a demo shop and a live page; Ctrl-C stops all, the data stays.

    Set by variables: PORT (8080), INGEST_PORT (8081), 0 = any free one; DATA (.throughline); DEMO=0, DEMO_RATE (20);
    KAFKA, DATABASE_URL for your own.
    """
    settings = load_or_exit(RunSettings)
    wanted = Wanted(
        data=settings.data,
        port=settings.port,
        ingest_port=settings.ingest_port,
        kafka=settings.kafka,
        database_url=settings.database_url,
        demo_rate=settings.demo_rate if settings.demo else 0.0,
    )
    teller = Teller()
    try:
        asyncio.run(_until_stopped(wanted, teller))
    except (LocalError, MigrateError) as error:
        teller.fail(str(error))
        raise typer.Exit(1) from None


async def _until_stopped(wanted: Wanted, teller: "Teller") -> None:
    """Run until SIGINT, SIGTERM or SIGHUP; a second one kills what is still stopping."""
    stack = Stack(wanted, base=base_environment(), step=teller.step, say=teller.say)
    main = asyncio.create_task(_run(stack, teller))
    stopping = False

    def on_signal() -> None:
        nonlocal stopping
        if stopping:
            teller.say("killing what still runs")
            stack.kill()
        else:
            stopping = True
            teller.stopping()
            main.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    with contextlib.suppress(asyncio.CancelledError):
        await main
    if stopping:
        teller.say("stopped")


async def _run(stack: Stack, teller: "Teller") -> None:
    async with stack.running() as running:
        teller.ready(running)
        await running.forever()


class Teller:
    """Says what happens: plain lines, or on a terminal a spinner while starting and colours."""

    def __init__(self) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._status = self._console.status("starting")
        self._began = time.monotonic()
        if self._console.is_terminal:
            self._status.start()

    def step(self, news: str) -> None:
        """Progress: one line, replaced by the next one on a terminal."""
        if self._console.is_terminal:
            self._status.update(Text(news))
        else:
            self._console.print(Text(news))

    def say(self, news: str) -> None:
        """What stays on the screen."""
        self._console.print(Text(news))

    def stopping(self) -> None:
        self._status.stop()
        self.say("stopping; data stays (once more to kill at once)")

    def fail(self, news: str) -> None:
        self._status.stop()
        self._console.print(Text(news, style="red"))

    def ready(self, running: Running) -> None:
        """The addresses and two snippets, on stdout, as they are to be pasted."""
        self._status.stop()
        self._console.print(Text(f"ready after {time.monotonic() - self._began:.1f} s", style="green"))
        print(describe(running), flush=True)


def describe(running: Running) -> str:
    """What a person does next, with the real addresses and keys."""
    key, token = running.keys.write_key, running.keys.read_token
    event = '{"userId": "ada", "event": "Order Completed", "properties": {"order_id": "1001", "revenue": 42.5}}'
    return f"""
  page      {running.api_url.replace("127.0.0.1", "localhost")}
  ingest    {running.ingest_url}
  write key {key}

Send an event with curl:

curl -sS {running.ingest_url}/v1/track -u {key}: -H 'Content-Type: application/json' -d {shlex.quote(event)}

Send an event with the Segment SDK, in {sys.executable}:

from segment.analytics import Client
analytics = Client("{key}", host="{running.ingest_url}")
analytics.track("ada", "Order Completed", {{"order_id": "1001", "revenue": 42.5}})
analytics.shutdown()

See that customer's journey:

curl -sS {running.api_url}/v1/customers/ada/journey -H 'Authorization: Bearer {token}'

Ctrl-C stops all; data stays.
"""
