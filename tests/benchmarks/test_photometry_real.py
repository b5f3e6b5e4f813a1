"""Photometry of real frames as a table of docs/validation.md; what must hold is in tests/photometry/test_real_data.py."""

from __future__ import annotations

import importlib.util
from itertools import pairwise
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from astro_shared.testing.real_data import MISSING, find_real_data
from photometry_service.algorithms.calibration.zero_point import ZeroPointOptions, fit_zero_point

TESTS = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.benchmark,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(find_real_data() is None, reason=MISSING),
]


def _load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


page = _load(TESTS / "support" / "photometry_page.py")
real = _load(TESTS / "photometry" / "test_real_data.py")

FRAMES: dict[str, dict[str, Any]] = {
    "spitzer_irac_glon.fits": {},
    "hst_wfc3_pluto_flc.fits": {"cosmic_rays": {"enabled": "on"}},
    "vst_kids_r.fits": {},
    "hatp32/HATP-32171220013343.FITS": {},
    "tess_difference.fits.fz": {},
    "lco_sinistro_mef_raw.fits": {"input": {"hdu": "all"}},
}


def _show(value: float | None, digits: int = 2) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _lco_row(band: str, published: str) -> list[str]:
    t = real.catalog("lco_cpt1m_refcat_matched.fits")
    t = t[(t["fluxaper6"] > 0) & (t[band] > 0)]
    mag, flux = np.asarray(t[band], float), np.asarray(t["fluxaper6"], float)
    error = 1.0857 * np.asarray(t["fluxerr6"], float) / flux
    x, y = (2 * np.asarray(t[axis], float) / 4096 - 1 for axis in ("x", "y"))
    color = np.asarray(t["gmag"], float) - np.asarray(t["rmag"], float)
    options = ZeroPointOptions(mode="classic", color_term=False, spatial_order=0, clip_sigma=10.0)
    reference_error = np.asarray(t[f"{band}err"], float)
    instrumental = -2.5 * np.log10(flux)
    plain = fit_zero_point(
        mag, reference_error, instrumental, error, x=x, y=y, color=np.full(len(t), np.nan), options=options
    )
    full = fit_zero_point(mag, reference_error, instrumental, error, x=x, y=y, color=color)
    return [
        band[0], published, f"{plain.value:.3f}", f"{full.value:.3f} ± {full.error:.3f}",
        f"{full.color_term:.3f} ± {full.color_term_err:.3f}", f"{full.rms:.3f}", f"{int(full.used.sum())} of {len(t)}",
    ]  # fmt: skip


EY_UMA_EDGES = (-11.0, -9.0, -8.0, -7.0, -6.0, -5.0)


def _repeatability() -> tuple[list[list[str]], str]:
    """Rows by magnitude, and a sentence about the star that varies most."""
    series = real.ey_uma_series()
    total = np.hypot(series.error, series.zero_error)
    quoted, whole = series.pulls(series.error), series.pulls(total)
    scatter = np.array([real.robust_sigma(star[np.isfinite(star)]) for star in (series.calibrated - series.mean).T])
    rows = []
    for low, high in pairwise(EY_UMA_EDGES):
        chosen = (series.mean >= low) & (series.mean < high)
        rows.append([
            f"{low:g} to {high:g}", str(chosen.sum()), f"{1e3 * np.median(scatter[chosen]):.1f}",
            f"{1e3 * np.nanmedian(series.error[:, chosen]):.1f}", f"{1e3 * np.median(series.zero_error):.1f}",
            f"{np.median(quoted[chosen]):.2f}", f"{np.median(whole[chosen]):.2f}",
        ])  # fmt: skip
    most = int(np.argmax(whole))
    rest = np.delete(whole, most)
    return rows, (
        f"All {whole.size} stars: median pull {np.median(quoted):.2f} with the quoted errors alone, {np.median(whole):.2f} "
        f"with those of the zero points. One star ({series.mean[most]:.2f}) varies, pull {whole[most]:.2f}; the others lie "
        f"between {rest.min():.2f} and {rest.max():.2f}."
    )


def test_table_of_real_frames(tmp_path: Path) -> None:
    rows = []
    for name, sections in FRAMES.items():
        result, _ = real.measure(real.frame(name), tmp_path, **sections)
        rows.append([
            name, f"{result.frame.width_px} x {result.frame.height_px}", str(result.sources),
            _show(result.fwhm_psf_px), result.psf_kind,
            "left in" if result.cosmic_ray_pixels is None else str(result.cosmic_ray_pixels),
            f"{_show(result.rms_ratio)} ({result.frame.noise_model})", _show(result.chi2_median),
            "yes" if result.no_sky else "no",
        ])  # fmt: skip
    header = [
        "frame",
        "px",
        "sources",
        "FWHM (px)",
        "PSF",
        "cosmic-ray px",
        "noise / model",
        "median chi2",
        "no plain sky",
    ]
    repeatability, remark = _repeatability()
    zero = [_lco_row("rmag", "29.56"), _lco_row("gmag", "30.51")]
    text = [
        "## Photometry of real frames",
        "`make bench` with the data of `ALIDADE_TEST_DATA`. A noise far from its model where the gain is assumed says how "
        "wrong the assumption is; it is in the warnings of such a frame.",
        page.table(header, rows),
        "Zero points of the LCO table (`fluxaper6`): the published value and the classic one are medians without cuts, the "
        "robust one has a colour term (at the median colour g - r) and a polynomial in place.",
        page.table(["band", "published", "classic", "robust", "colour term", "rms", "used"], zero),
        "EY UMa: 41 stars on 94 frames in R (aperture sums and errors as published), every frame with the zero point of the "
        "ensemble. Scatter of each star about its median, errors quoted with the table and of our zero points, medians; "
        "pulls are robust sigmas of the deviations in errors.",
        page.table(
            [
                "instrumental magnitude",
                "stars",
                "scatter (mmag)",
                "quoted (mmag)",
                "zero point (mmag)",
                "pull, quoted",
                "pull, both",
            ],
            repeatability,
        ),
        remark,
    ]
    page.write_section("photometry-real", "\n\n".join(text))
    assert all(row[-1] == ("yes" if "difference" in row[0] else "no") for row in rows)
