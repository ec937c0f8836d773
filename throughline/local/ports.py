"""Ports on 127.0.0.1."""

import asyncio
import errno
import socket

import portpicker

from throughline.local.errors import LocalError, PortInUseError

HOST = "127.0.0.1"


def free_port() -> int:
    """A port that nobody uses and that this process has not been given before.

    Another process can take the port before it is used: be ready to choose again.

    Raises:
        LocalError: no port is free.
    """
    try:
        port: int = portpicker.pick_unused_port()
    except portpicker.NoFreePortFoundError:
        raise LocalError("no port is free on this machine; stop some of its servers") from None
    return port


def require_free(port: int, variable: str) -> None:
    """Check that nobody listens on `port`; `variable` is the setting that changes it.

    Raises:
        LocalError: something listens on the port (then a `PortInUseError`), or listening on it is not allowed.
    """
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
