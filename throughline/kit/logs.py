"""Logs: one line each on standard error, in UTC."""

import logging
import time


def configure(level: str) -> None:
    """Set the process's log level and format; libraries speak up from warnings on."""
    formatter = logging.Formatter("%(asctime)s.%(msecs)03dZ %(levelname)s %(name)s: %(message)s", "%Y-%m-%dT%H:%M:%S")
    formatter.converter = time.gmtime
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if level != "debug":
        for library in ("aiokafka", "alembic", "uvicorn", "sqlalchemy"):
            logging.getLogger(library).setLevel(logging.WARNING)
