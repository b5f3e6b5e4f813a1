"""One photometric chain on one frame in a process of its own: ``photometry_chains.py CHAIN FOLDER OUTPUT.npz``.

FOLDER holds ``raw.fits`` (as from the camera), ``clean.npy`` (electrons, cosmic rays mended), ``mask.npy`` (their
pixels) and ``saturation_e.txt``. The peers get the cleaned pixels; Alidade cleans its own, which is not counted in
its measure stage. Printed: JSON of CPU seconds per step and the peak memory; positions and fluxes go to OUTPUT.npz.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

FWHM_GUESS_PX = 3.2
RADII_FWHM = (1.0, 1.5, 2.0)


class Steps:
    """CPU seconds of this process and its children, per step."""

    def __init__(self) -> None:
        self.cpu: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        begun = _cpu()
        yield
        self.cpu[name] = round(self.cpu.get(name, 0.0) + _cpu() - begun, 4)


def _cpu() -> float:
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _load(folder: Path) -> tuple[np.ndarray, np.ndarray, float]:
    saturation = float((folder / "saturation_e.txt").read_text())
    return np.load(folder / "clean.npy"), np.load(folder / "mask.npy"), saturation


def alidade(folder: Path, output: Path) -> dict[str, float]:
    from astro_shared.contracts.objects import ObjectRef
    from astro_shared.contracts.photometry import MeasureRequest
    from photometry_service.adapters.exposure_reader import read_exposure
    from photometry_service.workflows.measure_sources import MeasureSources
    from photometry_service.workflows.prepare_frame import prepare_frame, with_variance

    request = MeasureRequest(frame=ObjectRef(key="a", sha256="0" * 64, size=1), frame_name="raw.fits")
    steps = Steps()
    exposure = read_exposure(folder / "raw.fits", request.input)
    with steps("measure"):
        prepared = with_variance(prepare_frame(exposure.raw, exposure.settings, "raw.fits"), exposure.variance)
        del exposure  # as the service's task does
        measured = MeasureSources()(prepared, request, lambda *_: None)
    rays = measured.result.cpu_seconds["cosmic_rays"]
    cpu = {name: value for name, value in measured.result.cpu_seconds.items() if name != "cosmic_rays"}
    # what no step claims (checks of the pixels, the conversion to electrons) is charged too
    cpu["other"] = round(steps.cpu["measure"] - rays - sum(cpu.values()), 4)
    columns = measured.columns
    np.savez(
        output, x=columns["x"], y=columns["y"], flux=columns["flux_psf"], flux_err=columns["flux_psf_err"],
        x_err=np.sqrt(columns["x_var"]), y_err=np.sqrt(columns["y_var"]), flags=columns["flags"],
        aperture=columns["flux_aper_1"], aperture_err=columns["flux_aper_err_1"],
    )  # fmt: skip
    return cpu


def cosmic_rays(folder: Path, output: Path, *, engine: str, medians: str) -> dict[str, float]:
    from astro_shared.contracts.settings import InputSettings
    from astro_shared.fits import read_frame
    from photometry_service.algorithms.cosmic_rays.search import CosmicRayOptions, remove_cosmic_rays
    from photometry_service.workflows.prepare_frame import prepare_frame

    frame = prepare_frame(read_frame(folder / "raw.fits"), InputSettings(), "raw.fits").frame
    steps = Steps()
    if engine == "astroscrappy":
        import astroscrappy  # noqa: F401  loaded before the clock starts
    options = CosmicRayOptions(engine=engine, medians=medians)  # type: ignore[arg-type]
    with steps("cosmic_rays"):
        rays = remove_cosmic_rays(frame, options)
    np.savez(output, mask=rays.mask, cleaned=rays.clean(frame.data))
    return steps.cpu


def psf_fit(folder: Path, output: Path) -> dict[str, float]:
    """One fit of all stars from rounded places and poor fluxes, with a PSF that is there."""
    from photometry_service.algorithms.background.estimate import estimate_background
    from photometry_service.algorithms.detection.fit_frame import fit_frame
    from photometry_service.algorithms.psf.fit import fit_psf
    from photometry_service.algorithms.psf.photometry import measure_psf

    data, mask, saturation = _load(folder)
    background = estimate_background(data, mask)
    flat, rms = background.subtract_from(data), background.rms_map()
    first = measure_psf(flat, rms, mask=mask, saturated=data >= saturation)
    assert first.psf is not None
    frame = fit_frame(flat, rms, mask=mask, saturated=data >= saturation)
    times = []
    for _ in range(3):
        begun = time.process_time()
        fit_psf(frame, first.psf, np.rint(first.x), np.rint(first.y), 0.9 * first.flux)
        times.append(time.process_time() - begun)
    np.savez(output, n=len(first))
    return {"psf_fit": float(np.median(times)), "stars": float(len(first))}


def photutils(folder: Path, output: Path, *, every_step: bool = True) -> dict[str, float]:
    """What a reader of photutils' documentation would write; without ``every_step`` only what the last list needs."""
    warnings.simplefilter("ignore")
    from astropy.nddata import NDData
    from astropy.stats import SigmaClip
    from astropy.table import Table
    from photutils.aperture import ApertureStats, CircularAnnulus, CircularAperture, aperture_photometry
    from photutils.background import Background2D, SExtractorBackground
    from photutils.detection import DAOStarFinder
    from photutils.psf import EPSFBuilder, IterativePSFPhotometry, PSFPhotometry, SourceGrouper, extract_stars

    data, mask, saturation = _load(folder)
    data = data.astype(np.float64)
    steps = Steps()
    with steps("background"):
        background = Background2D(
            data,
            (64, 64),
            filter_size=(3, 3),
            mask=mask,
            sigma_clip=SigmaClip(3.0),
            bkg_estimator=SExtractorBackground(),
        )
        level, rms = background.background, background.background_rms
        flat = data - level
        error = np.sqrt(rms**2 + np.maximum(flat, 0))
    with steps("detection"):
        first = DAOStarFinder(threshold=5 * np.median(rms), fwhm=FWHM_GUESS_PX).find_stars(flat, mask=mask)
    with steps("marginal_fwhm"):
        fwhm = _marginal_fwhm(flat, first)
    with steps("detection"):
        finder = DAOStarFinder(
            threshold=4 * np.median(rms), fwhm=fwhm, sharpness_range=(0.2, 1.0), roundness_range=(-1.0, 1.0)
        )
        stars = finder.find_stars(flat, mask=mask)
    places = np.column_stack([stars["x_centroid"], stars["y_centroid"]])
    if every_step:
        with steps("apertures"):
            aperture_photometry(flat, [CircularAperture(places, r * fwhm) for r in RADII_FWHM], error=error, mask=mask)
            sky = ApertureStats(data, CircularAnnulus(places, 4 * fwhm, 6 * fwhm), sigma_clip=SigmaClip(3.0), mask=mask)
            assert len(sky.median) == len(places)
    with steps("epsf"):
        chosen = _psf_stars(stars, places, data, saturation, fwhm)
        size = 2 * round(3.75 * fwhm) + 1
        cutouts = extract_stars(NDData(flat, mask=mask), Table({"x": chosen[:, 0], "y": chosen[:, 1]}), size=size)
        built = EPSFBuilder(oversampling=2, smoothing_kernel="quadratic", maxiters=3, progress_bar=False)(cutouts)
        epsf = built.epsf
    shape = 2 * round(1.25 * fwhm) + 1
    if every_step:
        with steps("psf_photometry"):
            guesses = Table({"x_init": places[:, 0], "y_init": places[:, 1]})
            PSFPhotometry(epsf, shape, aperture_radius=fwhm)(flat, mask=mask, error=error, init_params=guesses)
    with steps("iterative"):
        fit = IterativePSFPhotometry(
            epsf, shape, finder, grouper=SourceGrouper(fwhm), aperture_radius=fwhm, maxiters=3
        )(flat, mask=mask, error=error)
    good = np.isfinite(np.asarray(fit["flux_fit"], float)) & (np.asarray(fit["flux_fit"], float) > 0)
    fit = fit[good]
    names = {"x": "x_fit", "y": "y_fit", "flux": "flux_fit", "flux_err": "flux_err", "x_err": "x_err", "y_err": "y_err"}
    np.savez(output, **{ours: np.asarray(fit[theirs], float) for ours, theirs in names.items()})
    return steps.cpu | {"stars": float(len(places))}


def _marginal_fwhm(flat: np.ndarray, stars: object, half: int = 7) -> float:
    from scipy.optimize import curve_fit

    def gaussian(u: np.ndarray, a: float, m: float, s: float, c: float) -> np.ndarray:
        return a * np.exp(-0.5 * ((u - m) / s) ** 2) + c

    grid, widths = np.arange(-half, half + 1.0), []
    order = np.argsort(-np.asarray(stars["flux"]))[:1000]  # type: ignore[index]
    xs, ys = (np.rint(np.asarray(stars[k])[order]).astype(int) for k in ("x_centroid", "y_centroid"))  # type: ignore[index]
    for x, y in zip(xs, ys, strict=True):
        cut = flat[y - half : y + half + 1, x - half : x + half + 1]
        if min(x, y) < half or cut.shape != (2 * half + 1, 2 * half + 1):
            continue
        for axis in (0, 1):
            line = cut.sum(axis=axis)
            try:
                widths.append(abs(curve_fit(gaussian, grid, line, (line.max(), 0, 1.5, 0))[0][2]))
            except RuntimeError:
                continue
    return float(2.3548 * np.median(widths))


def _psf_stars(stars: object, places: np.ndarray, data: np.ndarray, saturation: float, fwhm: float) -> np.ndarray:
    from scipy.spatial import cKDTree

    flux = np.asarray(stars["flux"])  # type: ignore[index]
    near, which = cKDTree(places).query(places, k=2)
    peak = data[np.rint(places[:, 1]).astype(int), np.rint(places[:, 0]).astype(int)]
    good = ((near[:, 1] > 4 * fwhm) | (flux[which[:, 1]] < 0.05 * flux)) & (peak < 0.8 * saturation)
    inside = ((places > 20) & (places < np.array(data.shape)[::-1] - 21)).all(axis=1)
    order = np.argsort(-flux)
    return places[order[(good & inside)[order]]][:200]


SEX_COMMON = {
    "CATALOG_TYPE": "FITS_LDAC", "DETECT_MINAREA": "5", "DETECT_THRESH": "1.5", "ANALYSIS_THRESH": "1.5",
    "FILTER": "Y", "FILTER_NAME": "/usr/share/source-extractor/default.conv", "BACK_SIZE": "64",
    "STARNNW_NAME": "/usr/share/source-extractor/default.nnw", "GAIN": "1.0", "GAIN_KEY": "NOKEY", "SATUR_KEY": "NOKEY",
    "SEEING_FWHM": "3.2", "PIXEL_SCALE": "1.0", "PHOT_APERTURES": "6.4,9.6,12.8", "VERBOSE_TYPE": "QUIET",
    "NTHREADS": "1", "WRITE_XML": "N",
}  # fmt: skip


def sextractor(folder: Path, output: Path, *, spread_model: bool = True) -> dict[str, float]:
    """SExtractor, PSFEx, SExtractor with the PSF, on request with SPREAD_MODEL; single thread each."""
    from astropy.io import fits

    saturation = (folder / "saturation_e.txt").read_text().strip()
    data, mask, _ = _load(folder)
    work = output.parent / f"{output.stem}_sex"
    work.mkdir(exist_ok=True)
    fits.PrimaryHDU(data).writeto(work / "clean.fits", overwrite=True)
    fits.PrimaryHDU(mask.astype(np.uint8)).writeto(work / "flags.fits", overwrite=True)
    (work / "first.param").write_text(
        "X_IMAGE\nY_IMAGE\nFLUX_RADIUS\nFLUX_APER(1)\nFLUXERR_APER(1)\nELONGATION\nFLAGS\nSNR_WIN\nVIGNET(35,35)\n"
    )
    columns = "XPSF_IMAGE\nYPSF_IMAGE\nERRX2PSF_IMAGE\nERRY2PSF_IMAGE\nFLUX_PSF\nFLUXERR_PSF\nFLUX_APER(3)\nFLAGS\n"
    (work / "second.param").write_text(columns)
    (work / "spread.param").write_text(columns + "SPREAD_MODEL\nSPREADERR_MODEL\n")
    program = "source-extractor"

    def run(parameters: str, catalog: str, **more: str) -> None:
        options = (
            SEX_COMMON | {"PARAMETERS_NAME": parameters, "CATALOG_NAME": catalog, "SATUR_LEVEL": saturation} | more
        )
        words = [word for key, value in options.items() for word in (f"-{key}", value)]
        empty = work / "empty.conf"
        empty.touch()
        subprocess.run([program, "clean.fits", "-c", str(empty), *words], cwd=work, check=True, capture_output=True)

    steps = Steps()
    with steps("first"):
        run("first.param", "first.cat")
    with steps("psfex"):
        (work / "psfex.conf").touch()
        words = ["-PSFVAR_DEGREES", "2", "-PSF_SIZE", "31,31", "-CHECKPLOT_TYPE", "NONE", "-CHECKIMAGE_TYPE", "NONE",
                 "-VERBOSE_TYPE", "QUIET", "-WRITE_XML", "N", "-NTHREADS", "1", "-CHECKPLOT_DEV", "NULL"]  # fmt: skip
        subprocess.run(["psfex", "first.cat", "-c", "psfex.conf", *words], cwd=work, check=True, capture_output=True)
    with steps("second"):
        run("second.param", "second.cat", PSF_NAME="first.psf")
    if spread_model:
        with steps("second_with_spread_model"):
            run("spread.param", "spread.cat", PSF_NAME="first.psf")
    table = fits.getdata(work / "second.cat", 2)
    good = np.isfinite(table["FLUX_PSF"]) & (table["FLUX_PSF"] > 0)
    table = table[good]
    np.savez(
        output, x=table["XPSF_IMAGE"] - 1.0, y=table["YPSF_IMAGE"] - 1.0, flux=table["FLUX_PSF"],
        flux_err=table["FLUXERR_PSF"], x_err=np.sqrt(table["ERRX2PSF_IMAGE"]), y_err=np.sqrt(table["ERRY2PSF_IMAGE"]),
    )  # fmt: skip
    return steps.cpu


CHAINS = {
    "alidade": alidade,
    "photutils": photutils,
    "sextractor": sextractor,
    "photutils_iterative": lambda f, o: photutils(f, o, every_step=False),
    "sextractor_psf": lambda f, o: sextractor(f, o, spread_model=False),
    "psf_fit": psf_fit,
    "rays_sparse_full": lambda f, o: cosmic_rays(f, o, engine="sparse", medians="full"),
    "rays_sparse_separable": lambda f, o: cosmic_rays(f, o, engine="sparse", medians="separable"),
    "rays_astroscrappy_full": lambda f, o: cosmic_rays(f, o, engine="astroscrappy", medians="full"),
    "rays_astroscrappy_separable": lambda f, o: cosmic_rays(f, o, engine="astroscrappy", medians="separable"),
}


def _own_peak_mb() -> float:
    """Peak of this process alone; ``ru_maxrss`` keeps that of the process that started it."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return int(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024


if __name__ == "__main__":
    chain, folder, output = sys.argv[1:]
    cpu = CHAINS[chain](Path(folder), Path(output))
    if chain.startswith("sextractor"):
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    else:
        peak = _own_peak_mb()
    print(json.dumps({"cpu": cpu, "peak_mb": round(peak)}))
