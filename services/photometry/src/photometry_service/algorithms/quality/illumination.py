"""Whether the sky of a frame falls off to its sides as light does behind optics without a flat field.

A flat field takes two things off: pixels that see less, and corners that get less. The second shows in the sky: one broad
maximum near the middle and a fall in every direction that grows with the distance, which neither a gradient (it rises to
one side) nor an object (it ends within the frame) has. An object that fills the whole frame evenly can look the same.

References
----------
Goldman & Chen (2005), ICCV, 88 (radial polynomials of vignetting).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from astro_shared.frame_warnings import FrameWarning, WarningCode
from photometry_service.algorithms.background.map import Background

__all__ = ["UNFLATTENED", "FallOff", "find_fall_off", "unflattened_words"]

UNFLATTENED = "the frame looks unflattened"
"""Opens the warning; other programs may look for it."""

FEWEST_MESHES = 16
SMALLEST_FALL, LARGEST_FALL = 0.08, 0.7
"""Fall to the darkest corner, in units of the maximum: less is a matter of good flats, more is no vignetting."""

SHARE_EXPLAINED = 0.9
"""Of the variance of the level over the frame, by a paraboloid; objects that end within the frame leave more."""

ROUNDNESS, FARTHEST_CENTRE = 0.35, 0.5
"""Smaller over larger curvature, and how far the maximum may lie outside of the frame, in units of half its sides."""

FALL_SIGMA = 10.0
"""Times the error of a mesh: below that a fall is not seen."""


@dataclass(frozen=True)
class FallOff:
    """How light falls off.

    Attributes
    ----------
    fall : at the darkest corner, in units of the maximum, 0 to 1
    x, y : place of the maximum, px; may lie outside of the frame
    """

    fall: float
    x: float
    y: float


def find_fall_off(background: Background) -> FallOff | None:
    """The fall of the sky to the sides, if that is what its shape is.

    Returns
    -------
    FallOff or None
        None where the sky is even, slanted, spotted, not above zero, or known on fewer than 16 meshes.

    Notes
    -----
    L = c + g . r + r . H r / 2 by least squares over the meshes that were measured; both curvatures must be negative. Of
    a profile that is flat inside and falls steeply outside, the paraboloid still explains most.
    """
    ny, nx = background.shape
    measured = background.mesh_pixels > 0
    if np.count_nonzero(measured) < FEWEST_MESHES or min(background.mesh.shape) < 3 or not background.median > 0:
        return None
    half = 0.5 * float(np.hypot(ny, nx))
    terms = _terms(background)
    level = background.mesh[measured]
    coefficients = np.linalg.lstsq(terms[measured], level, rcond=None)[0]
    left = level - terms[measured] @ coefficients
    curvature = np.array([[2 * coefficients[3], coefficients[4]], [coefficients[4], 2 * coefficients[5]]])
    least, most = -np.linalg.eigvalsh(curvature)[::-1]
    if not least > ROUNDNESS * most or np.var(left) > (1 - SHARE_EXPLAINED) * np.var(level):
        return None
    centre = np.linalg.solve(curvature, -coefficients[1:3])
    if np.any(np.abs(centre) > (1 + FARTHEST_CENTRE) * np.array([nx, ny]) / (2 * half)):
        return None
    fitted = terms.reshape(-1, 6) @ coefficients
    top = float(fitted.max())
    error = background.rms_median / np.sqrt(np.median(background.mesh_pixels[measured]))
    fall = 1 - float(fitted.min()) / top
    if not SMALLEST_FALL < fall < LARGEST_FALL or top * fall < FALL_SIGMA * error:
        return None
    return FallOff(fall, *(float(0.5 * (n - 1) + c * half) for n, c in zip((nx, ny), centre, strict=True)))


def unflattened_words(background: Background) -> tuple[FrameWarning, ...]:
    """A warning where a frame looks as if no flat field had been applied; else nothing."""
    found = find_fall_off(background)
    if found is None:
        return ()
    told = (
        f"{UNFLATTENED}: its sky falls off by {100 * found.fall:.0f} % from a maximum at x {found.x:.0f}, y {found.y:.0f} "
        "to the corners, as light does without a flat field; fluxes fall with it, and calibrated magnitudes are right only "
        "as far as the zero point follows it over the frame (apply a flat field if there is one)"
    )
    return (WarningCode.NOT_FLATTENED(told),)


def _terms(background: Background) -> NDArray[np.float64]:
    """(my, mx, 6): 1, u, v, u^2, u v, v^2 of the centre of each mesh, in units of half the diagonal of the frame."""
    ny, nx = background.shape
    half = 0.5 * np.hypot(ny, nx)
    axes = []
    for n, count in ((ny, background.mesh.shape[0]), (nx, background.mesh.shape[1])):
        axes.append(((np.arange(count) + 0.5) * n / count - 0.5 * n) / half)
    v, u = np.meshgrid(*axes, indexing="ij")
    return np.stack([np.ones_like(u), u, v, u * u, u * v, v * v], axis=-1)
