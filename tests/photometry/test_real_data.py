"""Zero points and frames of real telescopes; skipped with a reason where the data are not here."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from scipy.ndimage import binary_dilation

from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import MeasureRequest, MeasureResult
from astro_shared.contracts.settings import InputSettings
from astro_shared.fits import read_frame
from astro_shared.fits.tables import read_columns
from astro_shared.jobs.task import LocalLink, TaskContext
from astro_shared.testing.real_data import MISSING, find_real_data
from astro_shared.testing.truth import robust_sigma
from photometry_service import tasks
from photometry_service.algorithms.calibration.zero_point import ZeroPointOptions, fit_zero_point
from photometry_service.algorithms.cosmic_rays.search import remove_cosmic_rays
from photometry_service.algorithms.fwhm import bright_peaks
from photometry_service.errors import NoStarsError
from photometry_service.workflows.prepare_frame import prepare_frame

DATA = find_real_data()
pytestmark = pytest.mark.skipif(DATA is None, reason=MISSING)


def frame(name: str) -> Path:
    assert DATA is not None
    return DATA / "frames" / name


def catalog(name: str) -> Table:
    assert DATA is not None
    return Table.read(DATA / "catalogs" / name)


def measure(path: Path, folder: Path, **sections: object) -> tuple[MeasureResult, dict[str, np.ndarray]]:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    frame_ref = ObjectRef(key="frame", sha256=digest, size=path.stat().st_size)
    request = MeasureRequest(
        frame=frame_ref, frame_name=path.name, products={"plots": False, "maps": False}, **sections
    )  # type: ignore[arg-type]
    done = tasks.measure(request, TaskContext(folder, {"frame": path}, LocalLink(None)))
    return MeasureResult.model_validate(done.result), read_columns(folder / "sources.fits")


@pytest.mark.parametrize(("band", "blue", "red", "value", "mad"), [
    ("rmag", "gmag", "rmag", 29.56, 0.11), ("gmag", "gmag", "rmag", 30.51, 0.25),
])  # fmt: skip
def test_zero_points_of_the_lco_table(band: str, blue: str, red: str, value: float, mad: float) -> None:
    """Published with the table: 29.56 (MAD 0.11) in r, 30.51 (MAD 0.25, colour term) in g, medians without cuts."""
    t = catalog("lco_cpt1m_refcat_matched.fits")
    good = (t["fluxaper6"] > 0) & (t[band] > 0)
    t = t[good]
    flux, flux_err = np.asarray(t["fluxaper6"], float), np.asarray(t["fluxerr6"], float)
    options = ZeroPointOptions(mode="classic", color_term=False, spatial_order=0, clip_sigma=10.0)
    ours = fit_zero_point(
        np.asarray(t[band], float), np.asarray(t[f"{band}err"], float), -2.5 * np.log10(flux), 1.0857 * flux_err / flux,
        x=np.zeros(len(t)), y=np.zeros(len(t)), color=np.full(len(t), np.nan), options=options,
    )  # fmt: skip
    # the published figure is the median of all stars; its own error is 1.25 MAD / sqrt(2700) = 0.005
    assert ours.value == pytest.approx(value, abs=0.05)
    color = np.asarray(t[blue], float) - np.asarray(t[red], float)
    robust = fit_zero_point(
        np.asarray(t[band], float), np.asarray(t[f"{band}err"], float), -2.5 * np.log10(flux), 1.0857 * flux_err / flux,
        x=2 * np.asarray(t["x"], float) / 4096 - 1, y=2 * np.asarray(t["y"], float) / 4096 - 1, color=color,
    )  # fmt: skip
    assert robust.has_color
    # with colour and place the scatter falls below that of the median
    used = robust.residual[robust.used]
    assert robust_sigma(used) < mad


@dataclass(frozen=True)
class Series:
    """Stars on many frames, each frame with the zero point of the ensemble: (frames, stars), mag; NaN where missing."""

    calibrated: np.ndarray
    error: np.ndarray
    zero_error: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        """(stars,), median magnitude."""
        return np.nanmedian(self.calibrated, axis=0)

    def pulls(self, error: np.ndarray) -> np.ndarray:
        """(stars,), robust sigma of the deviations from the mean in errors."""
        deviation = (self.calibrated - self.mean) / error
        return np.array([robust_sigma(star[np.isfinite(star)]) for star in deviation.T])


def ey_uma_series() -> Series:
    """41 stars on 94 frames; means and zero points are found in turn."""
    t = catalog("eyuma_instrumental_94frames.fits")
    stars, frames = np.unique(np.asarray(t["star_id"])), np.unique(np.asarray(t["date-obs"]))
    mags, errors = (np.full((len(frames), len(stars)), np.nan) for _ in range(2))
    row, column = (np.searchsorted(k, np.asarray(t[c])) for k, c in ((frames, "date-obs"), (stars, "star_id")))
    mags[row, column] = np.asarray(t["mag_inst_R"], float)
    errors[row, column] = np.asarray(t["mag_error"], float)
    usable = np.isfinite(mags).sum(axis=0) > 0.8 * len(frames)
    mags, errors = mags[:, usable], errors[:, usable]
    none, mean = np.zeros(mags.shape[1]), np.nanmedian(mags, axis=0)
    options = ZeroPointOptions(color_term=False, spatial_order=0)
    for _ in range(3):
        fits = [
            fit_zero_point(mean, none, m, e, x=none, y=none, color=np.full(len(mean), np.nan), options=options)
            for m, e in zip(mags, errors, strict=True)
        ]
        calibrated = mags + np.array([fit.value for fit in fits])[:, None]
        mean = np.nanmedian(calibrated, axis=0)
    return Series(calibrated, errors, np.array([fit.error for fit in fits])[:, None])


def test_ey_uma_stars_repeat_within_their_errors() -> None:
    """Each frame gets its zero point from the ensemble; constant stars scatter as their errors say."""
    series = ey_uma_series()
    pulls = series.pulls(np.hypot(series.error, series.zero_error))
    assert series.mean.size > 30
    assert 0.8 < np.median(pulls) < 1.25
    assert np.median(series.zero_error) < 0.01


def test_crowded_spitzer_frame(tmp_path: Path) -> None:
    result, columns = measure(frame("spitzer_irac_glon.fits"), tmp_path)
    assert result.sources > 500
    assert result.no_sky is None
    assert np.isfinite(columns["flux_psf"]).mean() > 0.99


def test_hst_frame_full_of_cosmic_rays(tmp_path: Path) -> None:
    """Hits flagged by the pipeline (DQ 8192 or 4096) are to a large part ours too; the flags are no full truth."""
    path = frame("hst_wfc3_pluto_flc.fits")
    result, _ = measure(path, tmp_path, cosmic_rays={"enabled": "on"}, input={"hdu": 1})
    assert (result.cosmic_ray_pixels or 0) > 1000
    masked, _ = measure(path, tmp_path, input={"hdu": 1, "mask_hdu": 3})
    assert masked.sources > 10


def test_lossy_frame_of_tiny_fluxes_is_measured_relatively(tmp_path: Path) -> None:
    raw = read_frame(frame("vst_kids_r.fits"))
    assert np.abs(np.median(raw.data)) < 1e-6
    result, columns = measure(frame("vst_kids_r.fits"), tmp_path)
    assert result.sources > 50
    assert 1.5 < (result.fwhm_psf_px or 0) < 12
    assert np.all(columns["snr"][:20] > 20)


def test_undersampled_series_counts_alike(tmp_path: Path) -> None:
    counts = []
    for path in sorted(frame("hatp32").glob("*.FITS"))[:3]:
        result, _ = measure(path, tmp_path)
        counts.append(result.sources)
    assert min(counts) > 20
    # the counts follow the width of the stars, 2.05 to 1.58 px
    assert max(counts) < 1.5 * min(counts)


def test_what_is_taken_for_cosmic_rays_in_the_undersampled_series_is_no_star() -> None:
    """Hits at the same pixel in half of the frames are hot; those that move with the sky would be cores of stars."""
    paths = sorted(frame("hatp32").glob("*.FITS"))[:6]
    frames = [prepare_frame(read_frame(path), InputSettings(), path.name).frame for path in paths]
    masks = [remove_cosmic_rays(one).mask for one in frames]
    hot = np.sum(masks, axis=0) >= len(paths) / 2
    assert hot.sum() > 0.4 * np.mean([mask.sum() for mask in masks])
    clear = ~binary_dilation(hot, np.ones((5, 5)))
    flagged = bright = 0
    for one, mask in zip(frames, masks, strict=True):
        y, x = bright_peaks(one.data, ~clear | (one.data >= one.saturation_e))
        ny, nx = one.shape
        inside = (np.minimum(x, y) > 6) & (x < nx - 7) & (y < ny - 7)  # bands without exposure at the edges
        y, x = y[inside], x[inside]
        sky = np.median(one.data)
        beside = np.median([one.data[y + j, x + i] for j, i in ((0, 1), (0, -1), (1, 0), (-1, 0))], axis=0) - sky
        star = beside > 0.1 * (one.data[y, x] - sky)
        bright += np.count_nonzero(star)
        flagged += np.count_nonzero(mask[y, x] & star)
    assert bright > 1000
    assert flagged <= 0.02 * bright


def test_a_frame_reduced_sixteen_fold_says_that_its_stars_are_within_a_pixel(tmp_path: Path) -> None:
    result, _ = measure(frame("nova_thumbnail.fit.gz"), tmp_path)
    assert (result.fwhm_psf_px or 9) < 1
    assert any("narrower than a pixel" in warning for warning in result.frame.warnings)


@pytest.mark.parametrize(("name", "most", "word"), [
    ("l1448_13co.fits", 5, "was assumed"), ("panoptes_rotation.fits", 150, "shape of a star"),
    ("M13_blue_0003.fits", 120, "was assumed"),
])  # fmt: skip
def test_frames_without_clear_stars_are_warned_about(tmp_path: Path, name: str, most: int, word: str) -> None:
    result, _ = measure(frame(name), tmp_path)
    assert result.sources <= most
    assert any(word in warning for warning in result.frame.warnings)


def test_a_flat_has_no_stars_and_is_named(tmp_path: Path) -> None:
    """A speck of it may reach the threshold; whether it does is left to the noise."""
    try:
        result, _ = measure(frame("not_alfosc_flat.fits.gz"), tmp_path)
    except NoStarsError as error:
        assert "flat frame" in str(error)
    else:
        assert result.sources <= 5
        assert any("taken for a flat frame" in warning for warning in result.frame.warnings)


def test_dark_rows_and_dead_pixels_make_no_difference_image(tmp_path: Path) -> None:
    for name in ("hatp32/HATP-32171220020012.FITS", "M13_blue_0002.fits"):
        assert measure(frame(name), tmp_path)[0].no_sky is None


def test_a_nebula_is_no_star_cluster(tmp_path: Path) -> None:
    result, columns = measure(frame("ukidss.fits"), tmp_path)
    assert 7 <= result.sources <= 18
    assert np.count_nonzero(columns["snr"] > 10) >= 7


def test_tess_difference_is_recognised(tmp_path: Path) -> None:
    result, _ = measure(frame("tess_difference.fits.fz"), tmp_path)
    assert result.no_sky is not None and "difference of two images" in result.no_sky
