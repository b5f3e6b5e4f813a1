"""``alidade solve``: where frames are on the sky, from lists of stars or from the frames, without photometry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape

from alidade.cli.console import out, plain_errors, say
from alidade.cli.jobs import ServerOption
from alidade.cli.process import check_writable, settings_from_options
from alidade.client import AlidadeClient, AlidadeClientError
from alidade.processing import use_reference
from alidade.session import client_session
from alidade.star_lists import is_fits, read_star_list


def solve(
    inputs: Annotated[list[Path], typer.Argument(metavar="LIST|FRAME...", help="CSV or FITS lists, or FITS frames.")],
    to: Annotated[Path, typer.Option("--out", "-o", metavar="DIR", help="A folder per input is made in it.")],
    size: Annotated[str | None, typer.Option(metavar="WIDTH,HEIGHT", help="Pixels; inputs are lists, then.")] = None,
    epoch: Annotated[float | None, typer.Option(metavar="YEAR", help="Of the exposures, for lists: 2024.53.")] = None,
    hint: Annotated[str | None, typer.Option(metavar="RA,DEC[,RADIUS]", help="Degrees, ICRS.")] = None,
    scale: Annotated[str | None, typer.Option(metavar="LOW,HIGH", help="Arcseconds per pixel.")] = None,
    reference: Annotated[str | None, typer.Option(metavar="NAME|FILE", help="Reference stars instead of Gaia.")] = None,
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="SECTION.KEY=VALUE", help="Any setting.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="The report of each input on a line.")] = False,
    server: ServerOption = None,
) -> None:
    """Find and refine the WCS. A CSV list with x, y, flux (0-based) is sent as it is, and no pixels are.

    Lists of SExtractor (FITS_LDAC too), SEP, photutils, DAOPHOT, astrometry.net and more are known by their columns.

    Exit code 0: all solved, 2: some not, 1: the command itself failed.
    """
    unsolved = 0
    with plain_errors():
        settings = settings_from_options(overrides or [], hint, scale)
        size_px = _size(size)
        check_writable(to)
        with client_session(server, say=say) as client:
            if reference is not None:
                settings.setdefault("reference", {})["name"] = use_reference(client, reference, say=say)
            for path in inputs:
                report = _solved(client, path, to / path.name.split(".")[0], size_px, epoch, settings)
                unsolved += not report["solved"]
                shown = json.dumps({"input": str(path), **report}, ensure_ascii=False) if as_json else None
                for line in [shown] if shown else report_lines(path, report):
                    out.print(line, markup=not as_json, soft_wrap=as_json)
    if unsolved:
        raise typer.Exit(2)


def _solved(
    client: AlidadeClient,
    path: Path,
    folder: Path,
    size_px: tuple[int, int] | None,
    epoch_jyear: float | None,
    settings: Mapping[str, Any],
) -> Mapping[str, Any]:
    """The report of one input; its files are in the folder."""
    given: dict[str, Any] = {}
    fits = is_fits(path)
    if not fits and size_px is None:
        raise AlidadeClientError(f"{path} is a list: give the size of its image as --size WIDTH,HEIGHT.")
    plain = None if fits else read_star_list(path)
    if plain is not None:
        given = {"stars": plain}
    elif size_px is not None:
        given = {"list_upload_id": client.upload(path, purpose="reference").id}
    else:
        given = {"frame_upload_id": client.upload(path).id}
    begun = client.solve(name=path.name, size_px=size_px, epoch_jyear=epoch_jyear, settings=settings, **given)
    work = client.finished(begun)
    for file in work.files:
        target = folder / file.name
        target.parent.mkdir(parents=True, exist_ok=True)
        client.fetch(work, file.name, target)
    report: Mapping[str, Any] = (work.result or {})["astrometry"]
    return report


def report_lines(path: Path, report: Mapping[str, Any]) -> list[str]:
    """One line for what was solved; the reason and what to try for what was not."""
    name = escape(path.name)
    if not report["solved"]:
        advice = [f"    [dim]try:[/dim] {escape(line)}" for line in report["advice"]]
        kept = ", positions of the header, unverified" if report.get("header_kept") else ""
        return [f"{name}  [yellow]unsolved{kept}[/yellow]  {escape(str(report['reason']))}", *advice]
    rms = f"{report['rms_mas']:.0f} mas, " if report.get("rms_mas") is not None else ""
    why = f"  [dim]{escape(str(report['reason']))}[/dim]" if report.get("reason") else ""
    line = (
        f"{name}  [green]{report['state']}[/green]  {report['ra_center_deg']:.5f} {report['dec_center_deg']:+.5f}  "
        f"{report['scale_arcsec_px']:.4f} arcsec/px  {rms}{report['n_used']} stars  by {report['engine']}{why}"
    )
    return [line]


def _size(text: str | None) -> tuple[int, int] | None:
    if text is None:
        return None
    try:
        width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise AlidadeClientError(f"--size {text}: write it as WIDTH,HEIGHT in pixels.") from None
    return width, height


__all__ = ["report_lines", "solve"]
