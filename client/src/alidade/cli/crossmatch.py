"""``alidade crossmatch``: rows of a table and their partners on the sky."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from alidade.cli.console import out, plain_errors, say
from alidade.cli.jobs import ServerOption
from alidade.crossmatch import crossmatch as match_tables
from alidade.session import client_session


def crossmatch(
    left: Annotated[Path, typer.Argument(help="Table: CSV, ECSV, FITS, VOTable or Parquet.")],
    right: Annotated[str, typer.Argument(metavar="FILE|LIST", help="Another table, or a reference list.")],
    to: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Parquet file for the pairs.")],
    every_pair: Annotated[bool, typer.Option("--all", help="Every pair within the radius, not one to one.")] = False,
    sigma: Annotated[float, typer.Option(help="Match radius in combined errors.")] = 3.0,
    floor: Annotated[float, typer.Option(help="Added to the match radius, arcsec.")] = 1.0,
    cap: Annotated[float, typer.Option(help="Never farther than this, arcsec.")] = 60.0,
    epoch: Annotated[float | None, typer.Option(help="Move both sides to this Julian year first.")] = None,
    server: ServerOption = None,
) -> None:
    """Match a table to another, or to a reference list, by position, errors and proper motion."""
    other = Path(right) if Path(right).is_file() else right
    options = {
        "pairs": "all" if every_pair else "one_to_one",
        "radius_sigma": sigma,
        "radius_floor_arcsec": floor,
        "radius_cap_arcsec": cap,
        "epoch_jyear": epoch,
    }
    with plain_errors(), client_session(server, say=say) as client:
        made = match_tables(client, left, other, to, watch=say, **options)
    out.print(
        f"{to}: {made['pairs']} pairs, {made['matched']} of {made['left_rows']} rows matched "
        f"to {made['right_rows']} in {made['seconds']:.1f} s"
    )
