"""Process of the embedded platform that serves the five APIs, each on its own loopback port.

python -m alidade.local.apis auth=8001 photometry=8002 ...
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import signal
import socket
import sys
from collections.abc import Iterator

import uvicorn


class _Server(uvicorn.Server):
    """A server among others: signals are handled once for all of them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def main(arguments: list[str]) -> None:
    ports = {name: int(port) for name, _, port in (argument.partition("=") for argument in arguments)}
    sockets = {name: _bound(port) for name, port in ports.items()}
    migrate(list(ports))
    asyncio.run(_serve(sockets))


def _bound(port: int) -> socket.socket:
    """A socket on the port, before anything that takes time: until then another program's connection may get it."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("127.0.0.1", port))
    return made


def migrate(services: list[str]) -> None:
    """Bring every service's database to the newest schema, one after the other: alembic's context is one per process."""
    for service in services:
        importlib.import_module(f"{service}_service.cli").migrate()


async def _serve(sockets: dict[str, socket.socket]) -> None:
    servers = []
    for name in sockets:
        app = importlib.import_module(f"{name}_service.main").create_app()
        # no proxy stands before them: whoever is on this machine could write any X-Forwarded-For
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", proxy_headers=False)
        servers.append(_Server(config))

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    serving = zip(servers, sockets.values(), strict=True)
    await asyncio.gather(*(server.serve(sockets=[bound]) for server, bound in serving))


if __name__ == "__main__":
    main(sys.argv[1:])
