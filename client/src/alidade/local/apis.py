"""Process of the embedded platform that serves the five APIs, each on its own loopback port.

python -m alidade.local.apis auth=8001 photometry=8002 ...
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import signal
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
    migrate(list(ports))
    asyncio.run(_serve(ports))


def migrate(services: list[str]) -> None:
    """Bring every service's database to the newest schema, one after the other: alembic's context is one per process."""
    for service in services:
        importlib.import_module(f"{service}_service.cli").migrate()


async def _serve(ports: dict[str, int]) -> None:
    servers = []
    for name, port in ports.items():
        app = importlib.import_module(f"{name}_service.main").create_app()
        config = uvicorn.Config(app, host="127.0.0.1", port=port, log_config=None, access_log=False, lifespan="on")
        servers.append(_Server(config))

    def stop() -> None:
        for server in servers:
            server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    await asyncio.gather(*(server.serve() for server in servers))


if __name__ == "__main__":
    main(sys.argv[1:])
