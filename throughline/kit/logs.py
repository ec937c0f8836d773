"""Logs of every service: one line for each message on standard error, its instant in UTC first."""

import logging
import time

REPEAT_SECONDS = 10.0
LIBRARIES = ("aiokafka", "alembic", "uvicorn", "sqlalchemy")
"""Loggers whose messages matter from warnings on, unless everything is asked for."""


class OncePerWhile(logging.Filter):
    """Lets each message of a logger through once in `REPEAT_SECONDS`.

    A client that cannot reach its server logs the same message at every try, ten times a second.
    """

    def __init__(self) -> None:
        super().__init__()
        self._last: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record passes. Records are the same when their format is, whatever its arguments."""
        key = (record.name, str(record.msg)[:80])
        now = time.monotonic()
        if now - self._last.get(key, -REPEAT_SECONDS) < REPEAT_SECONDS:
            return False
        self._last[key] = now
        return True


def configure(level: str) -> None:
    """Set the log level and the format of this process. At `debug`, nothing of the libraries is left out."""
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if level == "debug":
        return
    once = OncePerWhile()
    handler.addFilter(lambda record: not record.name.startswith("aiokafka") or once.filter(record))
    for library in LIBRARIES:
        logging.getLogger(library).setLevel(logging.WARNING)
