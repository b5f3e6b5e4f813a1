"""``alidade demo``: see the platform at work on a sky whose truth is known."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from alidade.cli.console import out, plain_errors, say
from alidade.session import local_platform


def demo(
    to: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="Folder for the result.")] = Path(
        "demo-result"
    ),
) -> None:
    """Simulate a frame, reduce it, and compare every figure with the truth. Exit code 0 only when all are right."""
    from alidade.demonstration import run_demo, seconds_since

    begin = time.monotonic()
    with plain_errors(), local_platform(say=say) as (url, _):
        out.print(f"Alidade at {url} ({seconds_since(begin)})")
        checks = run_demo(url, to, out.print)
    out.print()
    for check in checks:
        mark = "[green]ok  [/green]" if check.good else "[red]OFF [/red]"
        out.print(f"{mark} {check.name:<15} {check.text}")
    out.print(f"\nResult folder: {(to / 'demo_frame').absolute()}   ({seconds_since(begin)} in all)")
    bad = [check.name for check in checks if not check.good]
    if bad:
        out.print(f"demo: {', '.join(bad)} off")
        raise typer.Exit(1)
    out.print("demo: ok")
