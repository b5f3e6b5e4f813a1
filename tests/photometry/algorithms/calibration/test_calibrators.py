"""Matching and choosing of reference stars."""

from __future__ import annotations

import numpy as np
import pytest

from photometry_service.algorithms.calibration.calibrators import crowded, match_mutual, reasons, unit_vectors
from photometry_service.algorithms.calibration.reference_magnitudes import choose_magnitudes
from photometry_service.errors import TooFewCalibratorsError


def test_pairs_are_mutual_and_within_the_radius() -> None:
    sources = unit_vectors(np.array([10.0, 10.001, 11.0]), np.zeros(3))
    reference = unit_vectors(np.array([10.0002, 12.0]), np.zeros(2))
    pairs = match_mutual(sources, reference, 5.0)
    assert pairs.source.tolist() == [0]
    assert pairs.reference.tolist() == [0]
    assert pairs.separation_arcsec[0] == pytest.approx(0.72, abs=1e-6)


def test_pairs_across_zero_hours_and_at_the_pole_are_found() -> None:
    sources = unit_vectors(np.array([359.9999, 10.0]), np.array([0.0, 89.9999]))
    reference = unit_vectors(np.array([0.0001, 190.0]), np.array([0.0, 89.9999]))
    pairs = match_mutual(sources, reference, 1.0)
    assert pairs.source.tolist() == [0, 1]
    assert pairs.separation_arcsec == pytest.approx([0.72, 0.72], abs=1e-3)


def test_nothing_matches_nothing() -> None:
    assert len(match_mutual(np.zeros((0, 3)), unit_vectors(np.array([1.0]), np.array([1.0])), 1.0).source) == 0


def test_faint_neighbour_does_not_count_as_crowding() -> None:
    places = unit_vectors(np.array([10.0, 10.0005, 20.0]), np.zeros(3))
    assert crowded(places, np.array([12.0, 18.0, 12.0]), 3.0).tolist() == [False, True, False]
    assert crowded(places, np.array([12.0, 13.0, 12.0]), 3.0).tolist() == [True, True, False]


def test_first_failed_test_is_the_reason() -> None:
    text = reasons({"a": np.array([True, False, False]), "b": np.array([True, True, False])}, 3)
    assert text.tolist() == ["a", "b", ""]


def reference() -> dict[str, np.ndarray]:
    return {
        "ra": np.array([1.0]), "phot_g_mean_mag": np.array([15.0]), "phot_bp_mean_mag": np.array([15.4]),
        "phot_rp_mean_mag": np.array([14.5]), "vt_mag": np.array([15.1]), "vt_mag_error": np.array([0.02]),
    }  # fmt: skip


def test_band_of_the_filter_is_taken_and_asked_band_wins() -> None:
    assert choose_magnitudes(reference(), band=None, color=None, filter_name="VT").band == "vt"
    assert choose_magnitudes(reference(), band="rp", color=None, filter_name="VT").band == "RP"
    assert choose_magnitudes(reference(), band=None, color=None, filter_name="Clear").band == "G"


def test_color_and_errors_come_from_the_list() -> None:
    chosen = choose_magnitudes(reference(), band="vt", color=None, filter_name=None)
    assert chosen.color_name == "BP-RP"
    assert chosen.color[0] == pytest.approx(0.9)
    assert chosen.error[0] == pytest.approx(0.02)


def test_missing_band_says_what_there_is() -> None:
    with pytest.raises(TooFewCalibratorsError, match="no band J; it has G, BP, RP, vt"):
        choose_magnitudes(reference(), band="J", color=None, filter_name=None)


def test_filter_rp_of_a_header_is_r_prime_while_the_band_rp_is_gaias() -> None:
    assert choose_magnitudes(reference(), band=None, color=None, filter_name="rp").band == "r"
    assert choose_magnitudes(reference(), band="rp", color=None, filter_name=None).band == "RP"
    assert choose_magnitudes(reference(), band="g", color=None, filter_name=None).band == "g"
    assert choose_magnitudes(reference(), band="G", color=None, filter_name=None).band == "G"
