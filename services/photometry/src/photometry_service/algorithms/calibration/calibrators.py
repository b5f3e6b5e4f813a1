"""Choosing reference stars for the zero point and saying why each other one was left out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import cKDTree

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Cuts:
    """What a calibrator must meet. A cut whose column the list does not have is skipped and reported."""

    min_snr: float = 20.0
    max_ruwe: float = 1.4
    color_range: tuple[float, float] = (-0.5, 3.0)
    saturation_fraction: float = 0.7
    min_flux_snr: float = 50.0
    neighbour_radius_fwhm: float = 2.0


@dataclass(frozen=True)
class SkyMatches:
    """One-to-one pairs.

    Attributes
    ----------
    source, reference : (n,) row numbers
    separation_arcsec : (n,)
    """

    source: NDArray[np.int64]
    reference: NDArray[np.int64]
    separation_arcsec: Array


def unit_vectors(ra_deg: Array, dec_deg: Array) -> Array:
    """(n, 3) directions."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


def match_mutual(sources: Array, reference: Array, radius_arcsec: float) -> SkyMatches:
    """Pairs in which each is the other's nearest, within a radius.

    Parameters
    ----------
    sources, reference : (n, 3), (m, 3) unit vectors
    """
    if len(sources) == 0 or len(reference) == 0:
        nothing = np.zeros(0, np.int64)
        return SkyMatches(nothing, nothing, np.zeros(0))
    chord = 2 * np.sin(np.radians(radius_arcsec / 3600) / 2)
    distance, nearest = cKDTree(reference).query(sources, distance_upper_bound=chord)
    found = np.flatnonzero(np.isfinite(distance))
    back = cKDTree(sources).query(reference[nearest[found]])[1]
    source = found[back == found]
    separation = np.degrees(2 * np.arcsin(np.clip(distance[source] / 2, 0, 1))) * 3600
    return SkyMatches(source, nearest[source].astype(np.int64), separation)


def crowded(
    reference: Array, magnitude: Array, radius_arcsec: float, *, fainter_by_mag: float = 3.0
) -> NDArray[np.bool_]:
    """Reference stars with another one nearby that is not much fainter.

    Parameters
    ----------
    reference : (n, 3) unit vectors
    """
    result = np.zeros(len(reference), bool)
    if len(reference) < 2:
        return result
    chord = 2 * np.sin(np.radians(radius_arcsec / 3600) / 2)
    pairs = cKDTree(reference).query_pairs(chord, output_type="ndarray")
    for one, other in ((0, 1), (1, 0)):
        a, b = pairs[:, one], pairs[:, other]
        close = ~(magnitude[b] > magnitude[a] + fainter_by_mag)
        result[a[close]] = True
    return result


def reasons(tests: dict[str, NDArray[np.bool_]], rows: int) -> NDArray[np.str_]:
    """For each row the first test that it fails, in words; empty where it passes all."""
    text = np.zeros(rows, "U60")
    for word, failed in tests.items():
        text = np.where((text == "") & failed, word, text)
    return text
