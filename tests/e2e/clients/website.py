"""A website on another origin than ingest: one page for each SDK, bundled from a script of the Node project."""

import asyncio
import json
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.e2e.conftest import run

BUNDLE_SECONDS = 60.0
PAGE = "<!doctype html><meta charset=utf-8><title>Shop</title><h1>Shop</h1><script type=module src=/{name}.js></script>"


class Website:
    """Serves `/NAME?...`, a page that runs `NAME.page.mjs` of the Node project, bundled with its packages."""

    def __init__(self, project: Path) -> None:
        self._project = project
        self.url = ""

    async def page(self, name: str, **environment: str) -> str:
        """The address of the page that runs `NAME.page.mjs`; `environment` replaces its `process.env`."""
        bundle = self._project / f"{name}.js"
        if environment or not bundle.exists():
            await run(
                str(self._project / "node_modules" / ".bin" / "esbuild"),
                f"{name}.page.mjs",
                "--bundle",
                "--format=esm",
                "--log-level=error",
                f"--outfile={bundle}",
                *[f"--define:process.env.{key}={json.dumps(value)}" for key, value in environment.items()],
                folder=self._project,
                seconds=BUNDLE_SECONDS,
            )
        return f"{self.url}/{name}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        # Another host than ingest's 127.0.0.1: another site, not just another port.
        self.url = f"http://localhost:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
        except (asyncio.IncompleteReadError, ConnectionError):  # a connection the browser opened in advance
            writer.close()
            return
        path = head.split()[1].partition("?")[0].strip("/")
        script = self._project / path
        if path.endswith(".js") and script.is_file():
            kind, body = "text/javascript", script.read_bytes()
        else:
            kind, body = "text/html", PAGE.format(name=path).encode()
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n".encode())
        writer.write(b"Connection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()
