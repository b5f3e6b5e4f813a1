"""How commands speak: results on standard output, everything else on standard error, errors in one sentence."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape

from alidade.client import AlidadeClientError
from alidade.local.errors import LocalPlatformError

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)


def say(text: str) -> None:
    """A word on what happens, for people."""
    err.print(f"[dim]{escape(text)}[/dim]")


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what can go wrong into one sentence and exit code 1."""
    try:
        yield
    except (AlidadeClientError, LocalPlatformError) as error:
        err.print(f"[red]alidade:[/red] {escape(str(error))}")
        raise typer.Exit(1) from None
    except KeyboardInterrupt:
        err.print("alidade: interrupted; reductions that were sent go on at the server.")
        raise typer.Exit(130) from None
