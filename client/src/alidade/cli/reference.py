"""``alidade reference``: reference lists of one's own."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Annotated
from urllib.parse import quote

import typer
from rich.table import Table

from alidade.cli.console import out, plain_errors, say
from alidade.cli.jobs import ServerOption
from alidade.client import AlidadeClientError
from alidade.crossmatch import match_surveys
from alidade.processing import import_reference
from alidade.service_jobs import finished_job
from alidade.session import client_session

_MIRRORS = "/api/v1/admin/mirrors"
app = typer.Typer(no_args_is_help=True, help="Reference lists used in place of Gaia.")


@app.command("import")
def import_list(
    file: Annotated[Path | None, typer.Argument(help="CSV, ECSV, FITS, VOTable or Parquet.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the list; default: the file's.")] = None,
    tycho2_index: Annotated[Path | None, typer.Option(help="An index file of astrometry.net: its star table.")] = None,
    epoch: Annotated[
        float | None, typer.Option(help="Epoch of the positions, Julian year, where rows say none.")
    ] = None,
    column: Annotated[
        list[str] | None, typer.Option(metavar="GAIA=YOURS", help="Column names, e.g. ra=RAJ2000.")
    ] = None,
    server: ServerOption = None,
) -> None:
    """Make a reference list of a file."""
    with plain_errors():
        path = file or tycho2_index
        if path is None or (file is not None and tycho2_index is not None):
            raise AlidadeClientError("Give a file, or --tycho2-index PATH.")
        columns = dict(entry.split("=", 1) for entry in column or [] if "=" in entry)
        options = {"columns": columns, "ref_epoch": epoch, "format": "tycho2_index" if tycho2_index else "auto"}
        with client_session(server, say=say) as client:
            upload = client.upload(path, purpose="reference")
            made = import_reference(client, upload.id, name or path.name.split(".")[0].lower(), **options)
    out.print(f"{made['name']}: {made['rows']} rows, bands {', '.join(b['name'] for b in made['bands']) or 'none'}")
    for note in made["notes"]:
        say(note)


@app.command("list")
def list_lists(server: ServerOption = None) -> None:
    """What there is."""
    with plain_errors(), client_session(server, say=say) as client:
        items = client.get("/api/v1/references")["items"]
    table = Table("name", "rows", "bands", "epoch", "scope", "from", box=None)
    for item in items:
        bands = ", ".join(band["name"] for band in item["bands"])
        table.add_row(
            item["name"], str(item["rows"]), bands, f"{item['ref_epoch_min'] or ''}", item["scope"], item["source"]
        )
    out.print(table)


@app.command()
def remove(name: str, server: ServerOption = None) -> None:
    """Remove one."""
    with plain_errors(), client_session(server, say=say) as client:
        client.delete(f"/api/v1/references/{quote(name, safe='')}")
    out.print(f"{name} was removed.")


# a declination may begin with a minus
@app.command(context_settings={"ignore_unknown_options": True})
def cone(
    to: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="FITS table for the stars.")],
    ra: Annotated[float | None, typer.Argument(help="Centre, deg, ICRS.")] = None,
    dec: Annotated[float | None, typer.Argument(help="Centre, deg, ICRS.")] = None,
    radius: Annotated[float | None, typer.Argument(help="Radius, deg.")] = None,
    polygon: Annotated[
        str | None, typer.Option(metavar='"RA,DEC RA,DEC ..."', help="In place of a cone: corners, convex, deg.")
    ] = None,
    name: Annotated[str, typer.Option(help="Reference list.")] = "gaia",
    release: Annotated[str, typer.Option(help="Gaia release.")] = "dr3",
    mag_limit: Annotated[float | None, typer.Option(help="Faintest magnitude.")] = None,
    band: Annotated[str | None, typer.Option(help="Its band; default: G, or the list's first.")] = None,
    max_rows: Annotated[int | None, typer.Option(help="The brightest so many.")] = None,
    max_ruwe: Annotated[float | None, typer.Option(help="Largest RUWE; 1.4 is usual.")] = None,
    color: Annotated[str | None, typer.Option(metavar="LOW,HIGH", help="Range of BP-RP.")] = None,
    single: Annotated[bool, typer.Option("--no-duplicated", help="Without duplicated sources.")] = False,
    constant: Annotated[bool, typer.Option("--no-variable", help="Without stars known to vary.")] = False,
    snr: Annotated[float | None, typer.Option(help="Least G flux over its error.")] = None,
    excess: Annotated[float | None, typer.Option(help="Largest corrected flux excess, sigma.")] = None,
    epoch: Annotated[float | None, typer.Option(help="Move positions and errors to this Julian year.")] = None,
    server: ServerOption = None,
) -> None:
    """Stars of a reference list around a position or in a polygon."""
    with plain_errors():
        body = {
            "name": name, "release": release, "ra_deg": ra, "dec_deg": dec, "radius_deg": radius,
            "polygon": _numbers(polygon, "--polygon") if polygon else None, "mag_limit": mag_limit, "mag_band": band,
            "max_rows": max_rows, "max_ruwe": max_ruwe, "color_range": _numbers(color, "--color")[0] if color else None,
            "drop_duplicated": single, "drop_variable": constant, "min_flux_over_error": snr, "max_excess_sigma": excess,
            "epoch_jyear": epoch, "propagate": epoch is not None,
        }  # fmt: skip
        with client_session(server, say=say) as client:
            headers = client.post_for_file("/api/v1/references/cone", body, to)
    out.print(f"{to}: {headers['x-reference-rows']} stars of {name} from {headers['x-reference-layer']}")


@app.command()
def mirror(
    name: Annotated[str, typer.Argument(help="gaia; no other catalogue can be mirrored.")],
    region: Annotated[str, typer.Option(metavar="RA,DEC,RADIUS", help="Centre and radius, deg, ICRS.")],
    depth: Annotated[int, typer.Option(help="Faintest G magnitude: 17, 19 or 21.")] = 19,
    release: Annotated[str, typer.Option(help="Gaia release.")] = "dr3",
    server: ServerOption = None,
) -> None:
    """Keep a region of Gaia at hand for nights without a network (administrators); replaces the list gaia."""
    with plain_errors(), client_session(server, say=say) as client:
        if name != "gaia":
            raise AlidadeClientError(f"Only gaia can be mirrored; import {name} from a file instead.")
        (place,) = _numbers(region, "--region")
        if len(place) != 3:
            raise AlidadeClientError(f"--region takes RA,DEC,RADIUS, not {region!r}.")
        body = {"ra_deg": place[0], "dec_deg": place[1], "radius_deg": place[2], "depth_mag": depth, "release": release}
        job = client.post(_MIRRORS, body, repeat=True, key=uuid.uuid4().hex)
        made = finished_job(client, job, _MIRRORS, watch=say)["result"]["reference"]
    out.print(f"gaia: {made['rows']} stars to G = {depth}")


@app.command()
def match(
    left: Annotated[str, typer.Argument(help="The list whose rows are looked up.")],
    right: Annotated[str, typer.Argument(help="The list that they are looked up in.")],
    to: Annotated[Path, typer.Option("--out", "-o", metavar="FILE", help="Tar of a HATS catalogue for the pairs.")],
    radius: Annotated[float, typer.Option(help="Never farther than this, arcsec.")] = 1.0,
    neighbours: Annotated[int, typer.Option(help="The nearest so many of each row.")] = 1,
    every_column: Annotated[bool, typer.Option("--all-columns", help="Every column of both lists.")] = False,
    server: ServerOption = None,
) -> None:
    """Match a list to another by position, for surveys too large for `alidade crossmatch`; needs LSDB at the worker."""
    options = {"radius_arcsec": radius, "neighbours": neighbours, "columns": "all" if every_column else "positions"}
    with plain_errors(), client_session(server, say=say) as client:
        made = match_surveys(client, left, right, to, watch=say, **options)
    out.print(
        f"{to}: {made['pairs']} pairs, {made['matched']} of {made['left_rows']} rows matched "
        f"to {made['right_rows']} in {made['seconds']:.1f} s"
    )


def _numbers(text: str, option: str) -> list[list[float]]:
    """Groups of numbers: blanks between groups, commas inside."""
    try:
        return [[float(number) for number in group.split(",")] for group in text.split()]
    except ValueError:
        raise AlidadeClientError(f"{option} takes numbers with commas between, not {text!r}.") from None
