"""Logs: one line each on standard error, in UTC."""

import logging
import time

REPEAT_SECONDS = 10.0


class OncePerWhile(logging.Filter):
    """Lets each message of a logger through once in ten seconds: a client that cannot reach its server says so at every
    try, ten times a second."""

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to let it through. Messages are told apart by their format, of which there are few."""
        key = (record.name, str(record.msg)[:80])
        now = time.monotonic()
        if now - self._last.get(key, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        self._last[key] = now
        return True


def configure(level: str) -> None:
    """Set the process's log level and format; libraries speak up from warnings on, and do not repeat themselves."""
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if level == "debug":
        return
    once = OncePerWhile()
    handler.addFilter(lambda record: not record.name.startswith("aiokafka") or once.filter(record))
    for library in ("aiokafka", "alembic", "uvicorn", "sqlalchemy"):
        logging.getLogger(library).setLevel(logging.WARNING)
