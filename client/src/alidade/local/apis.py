"""Process of the embedded platform that serves the five APIs, each on its own loopback port.

python -m alidade.local.apis auth=8001 photometry=8002 ...
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
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
    sockets = {name: _bound(name, port) for name, port in ports.items()}
    migrate(list(ports))
    asyncio.run(_serve(sockets))


def _bound(name: str, port: int) -> socket.socket:
    """A socket on the port, before anything that takes time: until then another program's connection may get it."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind(("127.0.0.1", port))
    except OSError as error:
        raise SystemExit(f"Port {port} of {name} cannot be used: {error.strerror}.") from None
    return made


def migrate(services: list[str]) -> None:
    """Bring every service's database to the newest schema, one after the other: alembic's context is one per process."""
    for service in services:
        importlib.import_module(f"{service}_service.cli").migrate()


async def _serve(sockets: dict[str, socket.socket]) -> None:
    """Serve until told to stop; raises SystemExit where an API ends by itself, since the others are of no use alone."""
    servers = {}
    for name in sockets:
        app = importlib.import_module(f"{name}_service.main").create_app()
        # no proxy stands before them: whoever is on this machine could write any X-Forwarded-For
        config = uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", proxy_headers=False)
        servers[name] = _Server(config)
    asked = False

    def stop() -> None:
        for server in servers.values():
            server.should_exit = True

    def stop_when_asked() -> None:
        nonlocal asked
        asked = True
        stop()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_when_asked)
    serving = {name: asyncio.create_task(server.serve(sockets=[sockets[name]])) for name, server in servers.items()}
    await asyncio.wait(serving.values(), return_when=asyncio.FIRST_COMPLETED)
    ended = [name for name, task in serving.items() if task.done()]
    stop()
    results = await asyncio.gather(*serving.values(), return_exceptions=True)
    if not asked:
        for error in results:
            if isinstance(error, BaseException):
                raise SystemExit(f"The API of {ended[0]} ended: {type(error).__name__}: {error}")
        # a start that failed has said why in the log, as an error
        logging.getLogger("alidade.local").warning("the API of %s ended", ended[0])
        raise SystemExit(1)


if __name__ == "__main__":
    main(sys.argv[1:])
