"""``alidade up``: the embedded platform until Ctrl-C."""

from __future__ import annotations

import signal
from threading import Event
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
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    state = StateFolder(default_folder())
    platform = LocalPlatform(state, port=port, say=say)
    with plain_errors():
        platform.start()
    out.print(f"Alidade is ready at {platform.url}  (API: {platform.url}/docs)")
    out.print(f"Data, logs and the token of the user `local` are in {state.root}. Ctrl-C stops.")
    try:
        platform.run(stop.is_set)
    finally:
        say("Stopping")
        platform.stop()
