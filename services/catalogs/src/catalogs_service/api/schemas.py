"""Requests as the domain sees them."""

from __future__ import annotations

from astro_shared.contracts.catalogs import ReferenceConeRequest
from catalogs_service.domain.regions import Cone, Polygon, Region
from catalogs_service.domain.stars import Selection


def region_of(request: ReferenceConeRequest) -> Region:
    """The region that a request asks for."""
    if request.polygon is not None:
        return Polygon(request.polygon)
    if request.ra_deg is None or request.dec_deg is None or request.radius_deg is None:
        raise ValueError("the request model lets no cone through that is not whole")
    return Cone(request.ra_deg, request.dec_deg, request.radius_deg)


def selection_of(request: ReferenceConeRequest) -> Selection:
    """The cuts that a request asks for."""
    return Selection(
        mag_limit=request.mag_limit,
        mag_band=request.mag_band,
        max_rows=request.max_rows,
        max_ruwe=request.max_ruwe,
        color_range=request.color_range,
        drop_duplicated=request.drop_duplicated,
        drop_variable=request.drop_variable,
        min_flux_over_error=request.min_flux_over_error,
        max_excess_sigma=request.max_excess_sigma,
        epoch_jyear=request.epoch_jyear,
        propagate=request.propagate,
    )
