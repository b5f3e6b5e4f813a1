"""Maps as files: rounded where that is enough, as they are where it is not."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from photometry_service.adapters.product_files import write_map

SHAPE = (200, 300)


def written(path: Path, values: np.ndarray, **options: float) -> np.ndarray:
    write_map(path, values, what="a map", gain_e_per_adu=2.0, **options)
    return fits.getdata(path)


def noise(scale: float = 1.0) -> np.ndarray:
    return np.random.default_rng(1).normal(0, scale, SHAPE).astype(np.float32)


def test_values_are_within_half_a_step(tmp_path: Path) -> None:
    values = 300 + noise(10)
    read = written(tmp_path / "a.fits", values, step=0.1)
    assert fits.getheader(tmp_path / "a.fits")["BUNIT"] == "electron"
    assert np.abs(read - values).max() <= 0.0501
    plain = tmp_path / "b.fits"
    written(plain, values)
    size = {path: len(zlib.compress(path.read_bytes(), 1)) for path in (tmp_path / "a.fits", plain)}
    assert size[tmp_path / "a.fits"] < 0.5 * size[plain]


def test_a_wide_range_takes_coarser_steps_up_to_a_limit(tmp_path: Path) -> None:
    values = noise()
    values[0, 0] = 10_000
    read = written(tmp_path / "a.fits", values, step=1 / 16, coarsest=0.25)
    assert np.abs(read - values).max() <= 0.5 * 10_010 / 65_000 * 1.01
    values[0, 0] = 100_000
    read = written(tmp_path / "a.fits", values, step=1 / 16, coarsest=0.25)
    np.testing.assert_array_equal(read, values)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_not_finite_is_kept(tmp_path: Path, value: float) -> None:
    values = noise()
    values[3, 4] = value
    np.testing.assert_array_equal(written(tmp_path / "a.fits", values, step=0.01), values)


def test_a_constant_map_is_itself(tmp_path: Path) -> None:
    read = written(tmp_path / "a.fits", np.full(SHAPE, 7.25, np.float32), step=0.01)
    np.testing.assert_allclose(read, 7.25, rtol=1e-7)
