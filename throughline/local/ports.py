"""Ports on 127.0.0.1."""

import asyncio
import errno
import socket

from throughline.local.errors import LocalError, PortInUseError

HOST = "127.0.0.1"


def free_port() -> int:
    """A port of 127.0.0.1 nobody listens on now. Another process can take it before it is used: be ready to retry."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def require_free(port: int, variable: str) -> None:
    """Raises `PortInUseError` when something already listens on `port`, naming the `variable` that changes it."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are only waiting out their time counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise PortInUseError(
                    f"port {port} is in use by another process; "
                    f"stop it, or set {variable} to another port (0 = any free one)"
                ) from None
            raise LocalError(
                f"cannot listen on port {port}: {error.strerror}; set {variable} to another port"
            ) from None


async def accepts(port: int) -> bool:
    """Whether something accepts connections on 127.0.0.1:`port`."""
    try:
        _, writer = await asyncio.wait_for(asyncio.open_connection(HOST, port), 1)
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
