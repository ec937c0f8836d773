"""The process: one worker, or a supervisor of several that restarts those that die.

Imports neither metrics nor the app: the folder of the workers' shared metrics has to be in the environment before
prometheus_client is first imported, in every worker.
"""

import logging
import shutil
import signal
import tempfile
from pathlib import Path

import uvicorn
from uvicorn.supervisors import Multiprocess

from services.ingest.process.connection_limits import LimitedHttpProtocol
from throughline.kit import logs
from throughline.kit.settings import IngestSettings, load_or_exit, set_environment

BACKLOG = 4096


def serve() -> None:
    """Listen until SIGTERM or SIGINT, then finish what was accepted and return."""
    settings = load_or_exit(IngestSettings)
    logs.configure(settings.log_level)
    # uvicorn raises the signal it was stopped by once more when it is done: that must not be this process's end.
    for stop in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop, lambda *_: None)
    folder = Path(settings.metrics_dir or tempfile.mkdtemp(prefix="throughline-ingest-"))
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.db"):
        stale.unlink()
    set_environment("PROMETHEUS_MULTIPROC_DIR", str(folder))
    config = uvicorn.Config(
        "services.ingest.main:create_app",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        loop="uvloop",
        http=LimitedHttpProtocol,
        ws="none",
        lifespan="on",
        interface="asgi3",
        backlog=BACKLOG,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        log_config=None,
        log_level=settings.log_level,
        timeout_graceful_shutdown=int(settings.drain_seconds) or 1,
    )
    try:
        if settings.workers == 1:
            uvicorn.Server(config).run()
        else:
            Multiprocess(config, sockets=[config.bind_socket()]).run()
    finally:
        if settings.metrics_dir is None:
            shutil.rmtree(folder, ignore_errors=True)
        logging.shutdown()
