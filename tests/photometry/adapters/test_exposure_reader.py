"""Raw files with overscan, amplifiers and masters, against the frame they were made from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astro_shared.contracts.settings import InputSettings
from astro_shared.testing.real_data import MISSING, find_real_data
from photometry_service.adapters.exposure_reader import MosaicError, read_exposure
from photometry_service.algorithms.detector.master_frames import CalibrationError, MasterKind
from photometry_service.workflows.prepare_frame import prepare_frame, with_variance

SKY_E, NOISE_E = 400.0, 4.0
GAINS, LEVELS = (1.5, 2.1, 1.2, 1.8), (1000.0, 1100.0, 900.0, 1050.0)
PLACES = (
    (slice(0, 64), slice(0, 80), "[1:80,1:64]"),
    (slice(0, 64), slice(80, 160), "[160:81,1:64]"),
    (slice(64, 128), slice(0, 80), "[1:80,128:65]"),
    (slice(64, 128), slice(80, 160), "[160:81,128:65]"),
)


def scene() -> np.ndarray:
    """(128, 160) electrons with a gradient and noise, no two corners alike."""
    y, x = np.mgrid[:128, :160]
    rng = np.random.default_rng(5)
    return SKY_E + 0.5 * x + 0.2 * y + rng.normal(0, np.sqrt(SKY_E + NOISE_E**2), (128, 160))


def turned(part: np.ndarray, place: str) -> np.ndarray:
    """The pixels in the order in which they are read."""
    x, y = (tuple(map(int, pair.split(":"))) for pair in place.strip("[]").split(","))
    return part[:: -1 if y[1] < y[0] else 1, :: -1 if x[1] < x[0] else 1]


def write_mosaic(path: Path) -> np.ndarray:
    truth = scene()
    rng = np.random.default_rng(6)
    hdus: list[fits.PrimaryHDU | fits.ImageHDU] = [fits.PrimaryHDU()]
    hdus[0].header["RDNOISE"], hdus[0].header["EXPTIME"] = NOISE_E, 30.0
    for (rows, columns, place), gain, level in zip(PLACES, GAINS, LEVELS, strict=True):
        light = turned(truth[rows, columns], place) / gain
        strip = rng.normal(0, NOISE_E / gain, (64, 20))
        image = fits.ImageHDU((np.hstack([light, strip]) + level).astype(np.float32))
        image.header.update({"GAIN": gain, "DATASEC": "[1:80,1:64]", "BIASSEC": "[81:100,1:64]", "DETSEC": place})
        hdus.append(image)
    fits.HDUList(hdus).writeto(path)
    return truth


def test_amplifiers_become_one_frame_in_electrons(tmp_path: Path) -> None:
    truth = write_mosaic(tmp_path / "m.fits")
    exposure = read_exposure(tmp_path / "m.fits", InputSettings(hdu="all"))
    prepared = with_variance(prepare_frame(exposure.raw, exposure.settings, "m.fits"), exposure.variance)
    assert prepared.frame.shape == (128, 160)
    # the overscan's level is known to 4 e / sqrt(20) per row, smoothed by a cubic over 64 rows: 0.3 e
    difference = prepared.frame.data - truth
    assert abs(np.median(difference)) < 0.5
    assert np.std(difference) < 1.0
    assert prepared.frame.noise_model == "header"
    assert prepared.frame.variance is not None
    assert np.median(prepared.frame.variance) == pytest.approx(np.median(truth) + NOISE_E**2, rel=0.03)
    assert any("4 amplifiers" in warning for warning in prepared.frame.warnings)


def test_first_amplifier_alone_without_all(tmp_path: Path) -> None:
    write_mosaic(tmp_path / "m.fits")
    assert read_exposure(tmp_path / "m.fits", InputSettings()).raw.shape == (64, 100)


def test_all_of_a_file_without_detector_sections_is_refused(tmp_path: Path) -> None:
    parts = [fits.ImageHDU(np.random.default_rng(1).normal(300, 9, (64, 64)).astype(np.float32)) for _ in range(2)]
    fits.HDUList([fits.PrimaryHDU(), *parts]).writeto(tmp_path / "m.fits")
    with pytest.raises(MosaicError, match="DETSEC"):
        read_exposure(tmp_path / "m.fits", InputSettings(hdu="all"))


def test_sky_coordinates_that_are_read_backwards_are_left_out_and_named(tmp_path: Path) -> None:
    write_mosaic(tmp_path / "m.fits")
    with fits.open(tmp_path / "m.fits", mode="update") as hdus:
        del hdus[1]  # the one that is read forwards; a quarter of the detector is missing then
        hdus[1].header.update({"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN", "CRPIX1": 1.0, "CRPIX2": 1.0})
    raw = read_exposure(tmp_path / "m.fits", InputSettings(hdu="all")).raw
    assert "CTYPE1" not in raw.header
    assert "sky coordinates are left out (CTYPE1, CTYPE2, CRPIX1, CRPIX2)" in " ".join(raw.warnings)


@pytest.mark.parametrize("reference", [66.0, "66.0"])
def test_overscan_and_trim_of_one_image_move_its_coordinates(tmp_path: Path, reference: float | str) -> None:
    rng = np.random.default_rng(3)
    data = rng.normal(500, 10, (100, 132)).astype(np.float32) + 300
    data[:, :20] = rng.normal(300, 3, (100, 20))
    header = fits.Header(
        {"BIASSEC": "[1:20,1:100]", "TRIMSEC": "[25:124,1:100]", "CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN",
         "CRPIX1": reference, "CRPIX2": 50.0, "CRVAL1": 10.0, "CRVAL2": 20.0, "CD1_1": 1e-4, "CD2_2": 1e-4}
    )  # fmt: skip
    fits.PrimaryHDU(data, header).writeto(tmp_path / "f.fits")
    raw = read_exposure(tmp_path / "f.fits", InputSettings(overscan=True)).raw
    assert raw.shape == (100, 100)
    assert np.median(raw.data) == pytest.approx(500, abs=2)
    assert raw.header["CRPIX1"] == 66.0 - 24


def test_masters_undo_what_the_camera_did(tmp_path: Path) -> None:
    rng = np.random.default_rng(8)
    shape = (96, 96)
    flat = 1 + 0.3 * np.linspace(-1, 1, 96)[None, :] * np.ones(shape)
    bias = 500 + rng.normal(0, 5, shape)
    light = 1000 * flat + rng.normal(0, 20, shape)
    header = fits.Header({"GAIN": 2.0, "RDNOISE": 5.0, "EXPTIME": 10.0, "SATURATE": 60000.0})
    fits.PrimaryHDU((light + bias).astype(np.float32), header).writeto(tmp_path / "raw.fits")
    fits.PrimaryHDU(bias.astype(np.float32)).writeto(tmp_path / "bias.fits")
    fits.PrimaryHDU((30000 * flat).astype(np.float32)).writeto(tmp_path / "flat.fits")
    masters = {MasterKind.BIAS: tmp_path / "bias.fits", MasterKind.FLAT: tmp_path / "flat.fits"}
    exposure = read_exposure(tmp_path / "raw.fits", InputSettings(), masters)
    assert np.median(exposure.raw.data) == pytest.approx(1000, rel=0.005)
    left, right = (np.median(exposure.raw.data[:, part]) for part in (slice(0, 30), slice(66, 96)))
    assert left == pytest.approx(right, rel=0.01)
    assert exposure.variance is not None and np.all(exposure.variance > 0)
    assert any("master bias, flat" in warning for warning in exposure.raw.warnings)


def test_master_of_another_shape_is_refused(tmp_path: Path) -> None:
    rng = np.random.default_rng(9)
    fits.PrimaryHDU(rng.normal(500, 9, (64, 64)).astype(np.float32)).writeto(tmp_path / "raw.fits")
    fits.PrimaryHDU(rng.normal(500, 9, (32, 64)).astype(np.float32)).writeto(tmp_path / "bias.fits")
    with pytest.raises(CalibrationError):
        read_exposure(tmp_path / "raw.fits", InputSettings(), {MasterKind.BIAS: tmp_path / "bias.fits"})


def test_quality_plane_masks_by_name_and_bits(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    quality = np.zeros((64, 64), np.int16)
    quality[10, 10], quality[20, 20] = 1, 4
    science = fits.ImageHDU(rng.normal(300, 9, (64, 64)).astype(np.float32), name="SCI")
    fits.HDUList([fits.PrimaryHDU(), science, fits.ImageHDU(quality, name="DQ")]).writeto(tmp_path / "f.fits")
    every = read_exposure(tmp_path / "f.fits", InputSettings(mask_hdu="DQ")).raw.mask
    some = read_exposure(tmp_path / "f.fits", InputSettings(mask_hdu="DQ", mask_bits=4)).raw.mask
    assert every[10, 10] and every[20, 20] and every.sum() == 2
    assert some[20, 20] and some.sum() == 1


@pytest.mark.skipif(find_real_data() is None, reason=MISSING)
def test_sinistro_amplifiers_join_to_a_healthy_frame() -> None:
    """The rms of the joined sky is that of its gains and read noise: 1.01 measured."""
    folder = find_real_data()
    assert folder is not None
    exposure = read_exposure(folder / "frames" / "lco_sinistro_mef_raw.fits", InputSettings(hdu="all"))
    assert exposure.raw.shape == (1024, 1024)
    data = exposure.raw.data
    halves = [np.median(data[rows, columns]) for rows in (slice(0, 512), slice(512, 1024))
              for columns in (slice(0, 512), slice(512, 1024))]  # fmt: skip
    assert np.ptp(halves) < 0.03 * np.mean(halves)
