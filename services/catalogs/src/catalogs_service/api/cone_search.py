"""The Virtual Observatory's face: Simple Cone Search 1.03 on every list at hand, and VOSI availability.

Parameters come as text and every error leaves as a VOTable with status 200, as the standard says.
"""

from __future__ import annotations

import asyncio
import math

import numpy as np
from fastapi import APIRouter, Request, Response

from astro_shared.errors import AlidadeError
from catalogs_service.adapters.votable_writer import cone_votable, error_votable
from catalogs_service.api.reference import Parts, Reader
from catalogs_service.domain.regions import Cone
from catalogs_service.domain.stars import Selection
from catalogs_service.errors import RegionError

router = APIRouter(prefix="/v1", tags=["virtual-observatory"])

_MEDIA_TYPE = "text/xml;content=x-votable"
_MOST_ROWS = 100_000
_BRIEF = ("source_id", "ra", "dec")
_USUAL = (*_BRIEF, "ra_error", "dec_error", "pmra", "pmdec", "parallax", "ref_epoch")


@router.get(
    "/scs/{name}",
    summary="Simple Cone Search on a list",
    description="RA, DEC, SR in degrees, VERB 1 to 3; SR=0 gives the columns only.",
    response_class=Response,
    responses={200: {"content": {"application/x-votable+xml": {}}, "description": "A VOTable, also for errors"}},
)
async def cone_search(name: str, request: Request, caller: Reader, parts: Parts) -> Response:
    try:
        ra, dec, radius, verbosity = _parameters({key.upper(): value for key, value in request.query_params.items()})
        region = Cone(ra % 360.0, dec, radius or 1e-6)
        found = await parts.find_stars_at_hand.find(name, region, Selection(max_rows=_MOST_ROWS), owner=caller.user)
    except AlidadeError as error:
        return Response(error_votable(error.message), media_type=_MEDIA_TYPE)
    stars = found.stars.take(np.empty(0, np.int64)) if radius == 0 else found.stars
    columns = {key: stars[key] for key in stars.names if _wanted(key, verbosity)}
    content = await asyncio.to_thread(
        cone_votable, columns, description=f"{name}, {found.layer}", overflow=found.truncated and radius > 0
    )
    return Response(content, media_type=_MEDIA_TYPE)


@router.get("/vosi/availability", summary="VOSI availability", response_class=Response)
async def availability() -> Response:
    content = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        '<vosi:availability xmlns:vosi="http://www.ivoa.net/xml/VOSIAvailability/v1.0">'
        "<vosi:available>true</vosi:available></vosi:availability>\n"
    )
    return Response(content, media_type="text/xml")


def _wanted(name: str, verbosity: int) -> bool:
    if verbosity == 1:
        return name in _BRIEF
    return verbosity == 3 or name in _USUAL or name.endswith("_mag")


def _parameters(given: dict[str, str]) -> tuple[float, float, float, int]:
    ra, dec, radius = (_number(given, name) for name in ("RA", "DEC", "SR"))
    if not (0 <= radius <= 90 and -90 <= dec <= 90 and 0 <= ra <= 360):
        raise RegionError("RA is between 0 and 360, DEC between -90 and 90, SR between 0 and 90 degrees.")
    verbosity = given.get("VERB", "2")
    if verbosity not in ("1", "2", "3"):
        raise RegionError("VERB is 1, 2 or 3.")
    return ra, dec, radius, int(verbosity)


def _number(given: dict[str, str], name: str) -> float:
    text = given.get(name)
    try:
        value = float(text) if text is not None else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise RegionError(f"The parameter {name} is missing or not a number.")
    return value
