"""Star lists for matchers: what is said about them holds."""

import numpy as np
import pytest

from astro_shared.testing.star_lists import FIELD_KINDS, FieldKind, make_star_field, with_defects


@pytest.mark.parametrize("kind", sorted(FIELD_KINDS))
def test_true_pairs_lie_on_one_similarity(kind):
    options, factor = FIELD_KINDS[kind]
    field = make_star_field(np.random.default_rng(7), options)
    known = field.catalog_index >= 0
    assert known.sum() >= 5
    ny, nx = field.shape
    pixel = (field.x[known] - nx / 2) + 1j * field.parity * (field.y[known] - ny / 2)
    sky = field.xi_deg[field.catalog_index[known]] + 1j * field.eta_deg[field.catalog_index[known]]
    sky = (sky - complex(*field.centre_deg)) / field.true_scale_deg
    # only a rotation is left: the best one, then residuals of at most the distortion and the scatter
    turn = np.vdot(pixel, sky)
    residual = np.abs(sky - pixel * turn / abs(turn))
    assert np.median(residual) < 0.6 * options.distortion_px + 3 * options.noise_px
    assert 1 / factor - 1e-9 <= field.true_scale_deg / field.nominal_scale_deg <= factor + 1e-9


def test_catalogue_covers_the_frame_wherever_it_lies():
    for seed in range(20):
        field = make_star_field(np.random.default_rng(seed), FieldKind(pointing_error_widths=2.0))
        half = 0.5 * np.hypot(*field.shape) * field.true_scale_deg
        assert np.hypot(*field.centre_deg) <= field.pointing_error_deg
        assert np.hypot(field.xi_deg, field.eta_deg).max() > 0.97 * (np.hypot(*field.centre_deg) + half)


def test_both_parities_occur():
    assert {make_star_field(np.random.default_rng(s)).parity for s in range(12)} == {-1, 1}


def test_spurious_detections_belong_to_no_star():
    field = make_star_field(np.random.default_rng(1), FieldKind(spurious=0.5, missing=0.0))
    assert np.mean(field.catalog_index < 0) == pytest.approx(1 / 3, abs=0.01)


def test_right_and_wrong_answers_are_told_apart():
    field = make_star_field(np.random.default_rng(2))
    found = np.flatnonzero(field.catalog_index >= 0)
    rows = field.catalog_index[found]
    assert field.is_right(field.parity, found, rows)
    assert not field.is_right(-field.parity, found, rows)
    assert not field.is_right(field.parity, found, np.roll(rows, 1))


def test_defects_add_false_detections_only():
    rng = np.random.default_rng(3)
    field = make_star_field(rng)
    spoiled = with_defects(rng, field)
    extra = spoiled.x.size - field.x.size
    assert extra == field.x.size // 3
    assert (spoiled.catalog_index[-extra:] == -1).all()
