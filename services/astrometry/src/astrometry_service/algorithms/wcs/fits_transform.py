"""Any world coordinate system that wcslib reads, as a map between pixels and ICRS."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np
from astropy.coordinates import ICRS, SkyCoord, UnitSphericalRepresentation
from astropy.io import fits
from astropy.wcs import WCS, FITSFixedWarning, NoConvergence
from astropy.wcs.utils import wcs_to_celestial_frame
from numpy.typing import ArrayLike, NDArray

from astro_shared.science.sky_time import separation_deg

__all__ = ["FitsTransform"]

Floats = NDArray[np.float64]

# What wcslib's parser and astropy's wrapper of it raise for cards that make no sense (WcsError is a ValueError).
_PARSER_ERRORS = (
    ValueError,
    KeyError,
    TypeError,
    IndexError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    MemoryError,
    RuntimeError,
)
# A pixel that does not lead back to its sky position within this many arcseconds was not found.
_LOST_ARCSEC = 0.01


class FitsTransform:
    """A celestial WCS of two axes; other axes are dropped, other frames are carried to ICRS.

    Parameters
    ----------
    cards : from `wcs_cards.clean_cards`; nothing else is safe to parse

    Raises
    ------
    ValueError
        wcslib refuses the cards, or there are no two celestial axes.
    """

    def __init__(self, cards: Mapping[str, Any]) -> None:
        header = fits.Header()
        for name, value in cards.items():
            header[name] = value
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FITSFixedWarning)
            try:
                full = WCS(header, fix=True)
                self._wcs = full.celestial
                self._wcs.wcs.set()
                self._frame = wcs_to_celestial_frame(self._wcs)
            except _PARSER_ERRORS as error:
                raise ValueError(f"wcslib: {str(error).strip().splitlines()[-1] if str(error) else error!r}") from error
        if self._wcs.naxis != 2 or self._wcs.wcs.lng < 0 or self._wcs.wcs.lat < 0:
            raise ValueError("no two celestial axes")
        self._order = (self._wcs.wcs.lng, self._wcs.wcs.lat)
        self._is_icrs = isinstance(self._frame, ICRS)
        self._axes = tuple(sorted((full.wcs.lng + 1, full.wcs.lat + 1)))
        self._given = dict(cards)

    @property
    def frame_name(self) -> str:
        """Celestial frame of the header."""
        return str(self._frame.name)

    @property
    def cards(self) -> dict[str, Any]:
        """The cards of this map as a header of two axes, with its celestial frame spelled out."""
        renamed = {_of_two_axes(name, self._axes): value for name, value in self._given.items()}
        renamed.pop("", None)
        head: dict[str, Any] = {} if "AMDX1" in renamed else {"WCSAXES": 2}
        head |= {name: renamed[name] for name in sorted(renamed, key=_writing_order) if name not in head}
        system = str(self._wcs.wcs.radesys).strip()
        if system and self._frame.name in ("icrs", "fk5", "fk4", "fk4noeterms"):
            head["RADESYS"] = system
            head["EQUINOX"] = 2000.0 if self._is_icrs else float(self._wcs.wcs.equinox)
        return head

    @property
    def reference_deg(self) -> tuple[float, float] | None:
        """CRVAL in ICRS degrees; None where it is no place."""
        crval = self._wcs.wcs.crval
        lon, lat = (np.array([float(crval[axis])]) for axis in self._order)
        ra, dec = self._to_icrs(lon, lat)
        return (float(ra[0]), float(dec[0])) if np.isfinite(ra[0] + dec[0]) else None

    @property
    def north_meridian_deg(self) -> float | None:
        """Right ascension of the meridian along which the map's own north lies at its reference point, ICRS; at the north
        pole, where every direction is south, the one that makes the linear part that of any other place: LONPOLE turns
        the meridians there as CRVAL1 does (Calabretta & Greisen 2002, section 2.4)."""
        if not self._is_icrs or self.reference_deg is None:
            return None
        ra, dec = self.reference_deg
        return (ra + 180.0 - float(self._wcs.wcs.lonpole)) % 360.0 if dec > 90.0 - _AT_POLE_DEG else ra

    @property
    def cd_deg(self) -> Floats:
        """Linear part (2, 2), deg / pixel, longitude first."""
        matrix = np.asarray(self._wcs.pixel_scale_matrix, float)
        return matrix[list(self._order)]

    def pixel_to_sky(self, x: ArrayLike, y: ArrayLike) -> tuple[Floats, Floats]:
        """ICRS degrees of 0-based pixels; NaN outside the projection."""
        px, py = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
        world = self._wcs.all_pix2world(np.stack([px.ravel(), py.ravel()], axis=1), 0)
        lon, lat = world[:, self._order[0]], world[:, self._order[1]]
        lon, lat = self._to_icrs(lon, lat)
        return lon.reshape(px.shape), lat.reshape(px.shape)

    def sky_to_pixel(self, ra_deg: ArrayLike, dec_deg: ArrayLike) -> tuple[Floats, Floats]:
        """0-based pixels of ICRS degrees; NaN where there is no image or the inversion does not converge."""
        ra, dec = np.broadcast_arrays(np.asarray(ra_deg, float), np.asarray(dec_deg, float))
        shape, ra, dec = ra.shape, ra.ravel(), dec.ravel()
        x, y = np.full(ra.size, np.nan), np.full(ra.size, np.nan)
        here = np.flatnonzero(np.isfinite(ra) & np.isfinite(dec))
        if here.size == 0:
            return x.reshape(shape), y.reshape(shape)
        lon, lat = self._from_icrs(ra[here], dec[here])
        world = np.empty((here.size, 2))
        world[:, self._order[0]], world[:, self._order[1]] = lon, lat
        pixels = self._invert(world)
        back_ra, back_dec = self.pixel_to_sky(pixels[:, 0], pixels[:, 1])
        with np.errstate(invalid="ignore"):
            lost = ~(separation_deg(back_ra, back_dec, ra[here], dec[here]) * 3600.0 < _LOST_ARCSEC)
        pixels[lost] = np.nan
        x[here], y[here] = pixels[:, 0], pixels[:, 1]
        return x.reshape(shape), y.reshape(shape)

    def _invert(self, world: Floats) -> Floats:
        """Pixels of native world coordinates; SIP by astropy's iteration, the rest by wcslib."""
        try:
            with np.errstate(all="ignore"):
                if self._wcs.sip is None:
                    return np.array(self._wcs.wcs_world2pix(world, 0), dtype=np.float64)
                return np.array(
                    self._wcs.all_world2pix(world, 0, tolerance=1e-7, maxiter=40, adaptive=True, quiet=True), np.float64
                )
        except (NoConvergence, ValueError, MemoryError):
            return np.full(world.shape, np.nan)

    def _to_icrs(self, lon: Floats, lat: Floats) -> tuple[Floats, Floats]:
        if self._is_icrs:
            return np.mod(lon, 360.0), lat
        return _carry(lon, lat, self._frame, ICRS())

    def _from_icrs(self, ra: Floats, dec: Floats) -> tuple[Floats, Floats]:
        if self._is_icrs:
            return ra, dec
        return _carry(ra, dec, ICRS(), self._frame)


_AT_POLE_DEG = 1e-9
_AXIS_NUMBERS = re.compile(r"^(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA|PV|PS|WAT|CD|PC)(\d+)(_\d+)?$")
_ORDER = ("CTYPE", "CUNIT", "CRVAL", "CRPIX", "CDELT", "CROTA", "CD", "PC", "LONPOLE", "LATPOLE", "PV")


def _of_two_axes(name: str, axes: tuple[int, ...]) -> str:
    """The name of a card when the celestial axes are the only ones; empty for cards of others."""
    found = _AXIS_NUMBERS.match(name)
    if found is None:
        return "" if name == "WCSAXES" else name
    head, axis, rest = found.groups()
    if int(axis) not in axes:
        return ""
    if head in ("CD", "PC"):
        other = int((rest or "_0")[1:])
        return f"{head}{axes.index(int(axis)) + 1}_{axes.index(other) + 1}" if other in axes else ""
    return f"{head}{axes.index(int(axis)) + 1}{rest or ''}"


def _writing_order(name: str) -> tuple[int, str]:
    """Axes before matrices before parameters; what remains, among it SIP, last."""
    return next((k for k, head in enumerate(_ORDER) if name.startswith(head)), len(_ORDER)), name


def _carry(lon: Floats, lat: Floats, source: Any, target: Any) -> tuple[Floats, Floats]:
    """Positions from one frame to another; NaN stays NaN."""
    good = np.isfinite(lon) & np.isfinite(lat) & (np.abs(lat) <= 90.0)
    out_lon, out_lat = np.full(lon.shape, np.nan), np.full(lon.shape, np.nan)
    if good.any():
        places = SkyCoord(lon[good], lat[good], unit="deg", frame=source).transform_to(target)
        sphere = places.represent_as(UnitSphericalRepresentation)
        out_lon[good], out_lat[good] = np.mod(sphere.lon.deg, 360.0), sphere.lat.deg
    return out_lon, out_lat
