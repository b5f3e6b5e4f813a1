"""``alidade extinction``: extinction of a night from its reductions."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alidade.cli.console import out, plain_errors, say
from alidade.cli.jobs import ServerOption
from alidade.session import client_session


def extinction(
    reduction_ids: Annotated[list[str], typer.Argument(metavar="REDUCTION...", help="Five or more of one band.")],
    to: Annotated[Path | None, typer.Option("--out", "-o", metavar="DIR", help="Folder for table and plot.")] = None,
    server: ServerOption = None,
) -> None:
    """Fit extinction to calibrated reductions that span 0.3 in airmass, with the zero point of every frame."""
    with plain_errors(), client_session(server, say=say) as client:
        work = client.finished(client.extinction(reduction_ids))
        if to is not None:
            for file in work.files:
                path = to / file.name
                path.parent.mkdir(parents=True, exist_ok=True)
                client.fetch(work, file.name, path)
    fit = work.result or {}
    second = "" if fit["k2"] is None else f"  k'' {fit['k2']:.4f} ± {fit['k2_err']:.4f}"
    used = [frame for frame in fit["frames"] if frame["used"]]
    for frame in fit["frames"]:
        if not frame["used"]:
            say(f"{frame['name']}: left out, {frame['reason']}")
    out.print(
        f"{fit['band']}  k {fit['k_mag']:.4f} ± {fit['k_err_mag']:.4f} mag per airmass{second}  zero point "
        f"{fit['zero_point_mag']:.4f} ± {fit['zero_point_err_mag']:.4f}  {len(used)} frames, {fit['stars']} stars"
    )
