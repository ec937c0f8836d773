"""Ctrl-C for commands that watch: it is noticed between two steps, never in the middle of one."""

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupted() -> Iterator[asyncio.Event]:
    """An event that the first SIGINT sets; a second SIGINT ends the command at once.

    The event is read between statements: a statement that is cancelled half-way can leave its connection waiting for an
    answer that never comes, and the command with it.
    """
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()

    def end() -> None:
        loop.remove_signal_handler(signal.SIGINT)
        ended.set()

    if threading.current_thread() is not threading.main_thread():  # where no signal arrives
        yield ended
        return
    loop.add_signal_handler(signal.SIGINT, end)
    try:
        yield ended
    finally:
        loop.remove_signal_handler(signal.SIGINT)
