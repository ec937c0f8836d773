"""Free ports are chosen once each; a port that a person chose is checked before anything starts on it."""

import socket

import pytest

from throughline.local.errors import PortInUseError
from throughline.local.ports import HOST, accepts, free_port, require_free


def test_no_port_is_chosen_twice() -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    for port in ports:
        require_free(port, "PORT")


async def test_a_port_in_use_is_named_with_the_setting_that_changes_it() -> None:
    with socket.create_server((HOST, 0)) as server:
        port = server.getsockname()[1]
        assert await accepts(port)
        with pytest.raises(PortInUseError, match=rf"port {port} is in use .* set INGEST_PORT to another port"):
            require_free(port, "INGEST_PORT")
    assert not await accepts(port)
