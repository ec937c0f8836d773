"""Starts ingest: one worker, or a supervisor that starts several and restarts those that die.

Must import neither metrics nor the app: prometheus_client reads the folder of the workers' shared metrics from the
environment when it is first imported, in every worker.
"""

import logging
import shutil
import signal
import tempfile
from pathlib import Path

import uvicorn
from uvicorn.supervisors import Multiprocess

from throughline.kit import logs
from throughline.kit.connection_limits import LimitedHttpProtocol
from throughline.kit.server import port_config
from throughline.kit.settings import IngestSettings, load_or_exit, set_environment

BACKLOG = 4096
"""Maximum number of connections that wait to be accepted."""


def serve(http: type[LimitedHttpProtocol]) -> None:
    """Listens until SIGTERM or SIGINT, then answers the requests that were accepted and returns.

    `http` is the class of the workers' connections.
    """
    settings = load_or_exit(IngestSettings)
    logs.configure(settings.log_level)
    # When uvicorn is done it raises the signal that stopped it once more, which must not end this process.
    for stop_signal in (signal.SIGTERM, signal.SIGINT):
        signal.signal(stop_signal, lambda *_: None)
    folder = Path(settings.metrics_dir or tempfile.mkdtemp(prefix="throughline-ingest-"))
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.db"):
        stale.unlink()
    set_environment("PROMETHEUS_MULTIPROC_DIR", str(folder))
    config = port_config(
        "services.ingest.main:create_app",
        settings,
        http=http,
        factory=True,
        workers=settings.workers,
        loop="uvloop",
        lifespan="on",
        interface="asgi3",
        backlog=BACKLOG,
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
