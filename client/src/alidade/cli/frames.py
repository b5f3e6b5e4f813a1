"""``alidade frames``: which of one's frames hold a position."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.markup import escape

from alidade.cli.console import out, plain_errors, say
from alidade.cli.jobs import ServerOption
from alidade.positions import parse_position
from alidade.session import client_session


def frames(
    at: Annotated[str, typer.Option(metavar="RA,DEC", help="Degrees, ICRS.")],
    as_json: Annotated[bool, typer.Option("--json", help="JSON with the outlines.")] = False,
    server: ServerOption = None,
) -> None:
    """List the solved frames that hold a position, newest first."""
    with plain_errors():
        place = parse_position(at, pixels=False)
        with client_session(server, say=say) as client:
            found = client.frames_at(place["ra_deg"], place["dec_deg"])
    if as_json:
        out.print(json.dumps(found, ensure_ascii=False), markup=False, soft_wrap=True)
        return
    for frame in found["items"]:
        origin = f"reduction {frame['reduction_id']}" if frame["reduction_id"] else f"solution {frame['solution_id']}"
        epoch = f"J{frame['epoch_jyear']:.4f}" if frame["epoch_jyear"] is not None else "epoch not known"
        out.print(f"{escape(frame['frame_name'])}  {epoch}  {frame['scale_arcsec_px']:.3f} arcsec/px  {origin}")
    say(f"{len(found['items'])} frames hold {place['ra_deg']:.5f} {place['dec_deg']:+.5f}")
