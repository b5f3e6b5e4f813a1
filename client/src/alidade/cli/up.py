"""``alidade up``: the embedded platform until Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Callable
from threading import Event
from types import FrameType
from typing import Annotated

import typer

from alidade.cli.console import out, plain_errors, say
from alidade.local.platform import LocalPlatform
from alidade.local.state import StateFolder, default_folder


def up(
    port: Annotated[int, typer.Option(help="Port of the gateway; 0 takes a free one.", min=0, max=65535)] = 8000,
) -> None:
    """Run the whole platform on this machine. Ctrl-C stops it; unfinished work goes on at the next start."""
    stop = Event()
    state = StateFolder(default_folder())
    platform = LocalPlatform(state, port=port, say=say)
    with plain_errors():
        try:
            _on_signals(_interrupt)
            platform.start()
            _on_signals(lambda *_: stop.set())
        except KeyboardInterrupt:
            say("Stopped before it was ready")
            raise typer.Exit(130) from None
    out.print(f"Alidade is ready at {platform.url}  (API: {platform.url}/docs)")
    out.print(f"Data, logs and the token of the user `local` are in {state.root}. Ctrl-C stops.")
    try:
        with plain_errors():
            platform.run(stop.is_set)
    finally:
        say("Stopping")
        platform.stop()


def _on_signals(handler: Callable[[int, FrameType | None], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, handler)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
