"""The process that serves the APIs of the embedded platform."""

import socket

import pytest

from alidade.local import apis
from astro_shared.testing.embedded import free_port


def test_ports_are_taken_before_the_databases_are_migrated(monkeypatch):
    """Migrating takes seconds, in which the system gave one of the ports to a connection of another program."""
    port = free_port()

    def migrate(services):
        with socket.socket() as other, pytest.raises(OSError, match="in use"):
            other.bind(("127.0.0.1", port))
        raise InterruptedError(services)

    monkeypatch.setattr(apis, "migrate", migrate)
    with pytest.raises(InterruptedError, match="auth"):
        apis.main([f"auth={port}"])
