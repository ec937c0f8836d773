"""`throughline run`: the whole system on this machine, until Ctrl-C."""

import asyncio
import contextlib
import shlex
import signal
import sys
import sysconfig
import time

import typer
from rich.text import Text

from throughline.cli.common.options import DataOption
from throughline.cli.common.output import stderr_console
from throughline.cli.common.status import Status
from throughline.kit.run_file import RunFile
from throughline.kit.settings import RunSettings, base_environment, load_or_exit
from throughline.local import LocalError
from throughline.local.run import RunOptions, Stack
from throughline.store.migrate import MigrateError


def run(data: DataOption = None) -> None:
    """Start Kafka, Postgres, the three services, a demo shop and a live page; Ctrl-C stops all, the data stays.

    Set by variables: PORT (8080), INGEST_PORT (8081), 0 = any free one; DATA (.throughline); DEMO=0, DEMO_RATE (5),
    DEMO_CUSTOMERS (3000, with whose 90 days the shop begins); KAFKA, DATABASE_URL for your own; BROKERS=3 for an
    embedded Kafka of three.
    """
    settings = load_or_exit(RunSettings)
    options = RunOptions(
        data=data or settings.data,
        port=settings.port,
        ingest_port=settings.ingest_port,
        kafka=settings.kafka,
        brokers=settings.brokers,
        database_url=settings.database_url,
        demo_rate=settings.demo_rate if settings.demo else 0.0,
        demo_customers=settings.demo_customers,
        encryption_keys=settings.encryption_keys,
    )
    output = RunOutput()
    try:
        asyncio.run(_run_until_stopped(options, output))
    except (LocalError, MigrateError) as error:
        output.fail(str(error))
        raise typer.Exit(Status.CANNOT) from None


async def _run_until_stopped(options: RunOptions, output: "RunOutput") -> None:
    """Run until SIGINT, SIGTERM or SIGHUP; a second signal kills what is still stopping."""
    stack = Stack(options, base=base_environment(), step=output.step, say=output.say)
    main = asyncio.create_task(_run(stack, output))
    stopping = False

    def on_signal() -> None:
        nonlocal stopping
        if stopping:
            output.say("killing what still runs")
            stack.kill()
        else:
            stopping = True
            output.stopping()
            main.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, on_signal)
    with contextlib.suppress(asyncio.CancelledError):
        await main
    if stopping:
        output.say("stopped")


async def _run(stack: Stack, output: "RunOutput") -> None:
    async with stack.running() as running:
        output.ready(running.addresses, running.link)
        await running.forever()


class RunOutput:
    """Prints what happens: plain lines, or on a terminal colours, and a spinner while the system starts."""

    def __init__(self) -> None:
        self._console = stderr_console()
        self._status = self._console.status("starting")
        self._began = time.monotonic()
        if self._console.is_terminal:
            self._status.start()

    def step(self, news: str) -> None:
        """Print progress: one line, which the next one replaces on a terminal."""
        if self._console.is_terminal:
            self._status.update(Text(news))
        else:
            self._console.print(Text(news))

    def say(self, news: str) -> None:
        """Print a line that stays on the screen."""
        self._console.print(Text(news))

    def stopping(self) -> None:
        """Print that the system is stopping."""
        self._status.stop()
        self.say("stopping; data stays (once more to kill at once)")

    def fail(self, news: str) -> None:
        """Print why the system does not run."""
        self._status.stop()
        self._console.print(Text(news, style="red"))

    def ready(self, addresses: RunFile, link: str) -> None:
        """Print the addresses and snippets on standard output, as they can be pasted."""
        self._status.stop()
        self._console.print(Text(f"ready after {time.monotonic() - self._began:.1f} s", style="green"))
        print(describe(addresses, link), flush=True)


def describe(addresses: RunFile, link: str) -> str:
    """The first steps of a person, with the real addresses and keys. `link` opens the page once."""
    key, token = addresses.write_key, addresses.read_token
    event = '{"userId": "ada", "event": "Order Completed", "properties": {"order_id": "1001", "revenue": 42.5}}'
    return f"""
  page      {link}
            (works once, within ten minutes; `throughline token link` prints another)
  ingest    {addresses.ingest_url}
  write key {key}
  commands  export PATH={shlex.quote(sysconfig.get_path("scripts"))}:$PATH    (then: throughline --help)

Send an event with curl:

curl -sS {addresses.ingest_url}/v1/track -u {key}: -H 'Content-Type: application/json' -d {shlex.quote(event)}

Send an event with the Segment SDK, in {sys.executable}:

from segment.analytics import Client
analytics = Client("{key}", host="{addresses.ingest_url}")
analytics.track("ada", "Order Completed", {{"order_id": "1001", "revenue": 42.5}})
analytics.shutdown()

See that customer's journey:

curl -sS {addresses.api_url}/v1/customers/ada/journey -H 'Authorization: Bearer {token}'

Ctrl-C stops all; data stays.
"""
