"""``alidade masters``: a master bias, dark or flat from raw frames."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from alidade.cli.console import out, plain_errors, say
from alidade.cli.jobs import ServerOption
from alidade.cli.process import settings_from_options
from alidade.client import AlidadeClientError
from alidade.frames import find_frames
from alidade.processing import use_masters
from alidade.session import client_session

AT_ONCE = 3


class Kind(StrEnum):
    BIAS = "bias"
    DARK = "dark"
    FLAT = "flat"


def masters(
    kind: Annotated[Kind, typer.Argument(help="What the frames are.")],
    frames: Annotated[list[str], typer.Argument(metavar="FRAME...", help="Raw frames: files, folders, patterns.")],
    to: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Where the master goes.")],
    bias: Annotated[str | None, typer.Option(metavar="FILE|ID", help="Master bias, for darks and flats.")] = None,
    dark: Annotated[str | None, typer.Option(metavar="FILE|ID", help="Master dark, for flats.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="input.KEY=VALUE", help="e.g. input.overscan=true.")
    ] = None,
    server: ServerOption = None,
) -> None:
    """Combine raw frames. The master holds the variance of every pixel; give it to `alidade process --bias` and the like."""
    with plain_errors():
        settings = settings_from_options(overrides or [], None, None)
        if set(settings) - {"input"}:
            raise AlidadeClientError("--set takes settings of the section `input` here.")
        paths = [frame.path for frame in find_frames(frames)]
        with client_session(server, say=say) as client, ThreadPoolExecutor(AT_ONCE) as pool:
            uploads = [upload.id for upload in pool.map(client.upload, paths)]
            known = use_masters(client, {"bias": bias, "dark": dark})
            work = client.finished(client.master(kind.value, uploads, settings=settings.get("input"), **known))
            client.fetch(work, "master.fits", to)
    made = work.result or {}
    for warning in made["warnings"]:
        say(warning)
    unit = "" if kind is Kind.FLAT else " ADU"
    out.print(
        f"{to}: {made['n_frames']} frames, median {made['median']:.5g}{unit}, error {made['error']:.3g}{unit}, "
        f"{made['masked_pixels']} pixels masked, id {work.id}"
    )
