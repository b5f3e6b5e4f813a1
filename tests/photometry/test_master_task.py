"""The job ``master`` on files, and the masters it makes in ``measure``."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from astro_shared.contracts.objects import ObjectRef
from astro_shared.contracts.photometry import MasterRequest, MasterResult, MeasureRequest
from astro_shared.contracts.settings import InputSettings
from astro_shared.jobs.task import LocalLink, TaskContext
from astro_shared.testing.frames import Camera, simulate_frame
from astro_shared.testing.truth import robust_sigma
from photometry_service import tasks
from photometry_service.adapters.exposure_reader import read_exposure
from photometry_service.adapters.held_planes import PlaneFolder
from photometry_service.adapters.master_files import read_master
from photometry_service.algorithms.detector.master_frames import CalibrationError, MasterKind, build_flat

SHAPE = (96, 128)
NOISE_ADU, DARK_ADU_S = 4.0, 0.5


def bias_level() -> np.ndarray:
    return np.broadcast_to(500 + 3 * np.sin(np.arange(SHAPE[1]) / 4), SHAPE)


def flat_field() -> np.ndarray:
    y, x = np.indices(SHAPE)
    plane = 1 - 0.3 * (((y - 48) / 96) ** 2 + ((x - 64) / 128) ** 2)
    return plane / np.median(plane)


def write(path: Path, data: np.ndarray, **cards: object) -> Path:
    fits.writeto(path, data.astype(np.float32), fits.Header(cards), overwrite=True)
    return path


def raws(folder: Path, kind: str, count: int) -> list[Path]:
    rng = np.random.default_rng({"bias": 1, "dark": 2, "flat": 3}[kind])
    paths = []
    for number in range(count):
        seconds = {"bias": 0.0, "dark": 60.0 * (1 + number % 2), "flat": 2.0}[kind]
        light = {"bias": 0.0, "dark": 0.0, "flat": 20_000.0 * (1 + 0.1 * number)}[kind] * flat_field()
        data = bias_level() + DARK_ADU_S * seconds + rng.normal(light, np.sqrt(light + NOISE_ADU**2))
        cards = {"EXPTIME": seconds, "FILTER": "r"} if seconds else {}
        paths.append(write(folder / f"{kind}{number}.fits", data, **cards))
    return paths


def reference(path: Path) -> ObjectRef:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return ObjectRef(key=str(path), sha256=digest, size=path.stat().st_size)


def build(folder: Path, kind: str, paths: list[Path], **more: object) -> tuple[Path, MasterResult]:
    masters = {name: more.pop(name) for name in ("bias", "dark") if name in more}
    request = MasterRequest(
        kind=kind, frames=tuple(map(reference, paths)), frame_names=tuple(path.name for path in paths),
        **{name: reference(path) for name, path in masters.items()}, **more,
    )  # type: ignore[arg-type]  # fmt: skip
    workspace = folder / f"made_{kind}"
    workspace.mkdir(exist_ok=True)
    inputs = {str(path): path for path in (*paths, *masters.values())}
    done = tasks.master(request, TaskContext(workspace, inputs, LocalLink(None)))
    return done.files["master.fits"].path, MasterResult.model_validate(done.result)


def test_the_three_masters_are_the_detector_and_say_how_sure_they_are(tmp_path: Path) -> None:
    bias, of_bias = build(tmp_path, "bias", raws(tmp_path, "bias", 15))
    dark, of_dark = build(tmp_path, "dark", raws(tmp_path, "dark", 8), bias=bias)
    flat, of_flat = build(tmp_path, "flat", raws(tmp_path, "flat", 7), bias=bias, dark=dark)
    assert of_bias.error == pytest.approx(NOISE_ADU / np.sqrt(15), rel=0.1)
    assert of_dark.exposure_s == 120 and of_dark.bias_subtracted
    assert of_dark.median == pytest.approx(120 * DARK_ADU_S, abs=0.3)
    assert of_flat.median == pytest.approx(1, abs=1e-3)
    assert fits.getheader(flat)["FILTER"] == "r"
    for path, kind, truth in (
        (bias, MasterKind.BIAS, bias_level()),
        (dark, MasterKind.DARK, np.full(SHAPE, 120 * DARK_ADU_S)),
        (flat, MasterKind.FLAT, flat_field()),
    ):
        master = read_master(path, kind, with_bias=True)
        pulls = (master.data - truth) / np.sqrt(master.variance)
        assert abs(np.median(pulls)) < 0.15, kind  # the flat's own normalisation and the bias in the darks are shared
        assert 0.9 < robust_sigma(pulls) < 1.3, kind


def test_a_master_flat_is_used_by_a_reduction_with_its_variance(tmp_path: Path) -> None:
    bias, _ = build(tmp_path, "bias", raws(tmp_path, "bias", 5))
    flat, _ = build(tmp_path, "flat", raws(tmp_path, "flat", 5), bias=bias)
    science = write(tmp_path / "science.fits", bias_level() + 3000 * flat_field(), GAIN=1.0, RDNOISE=NOISE_ADU)
    exposure = read_exposure(science, InputSettings(), {MasterKind.BIAS: bias, MasterKind.FLAT: flat})
    assert exposure.variance is not None
    without = np.median((3000 * flat_field() + NOISE_ADU**2) / flat_field() ** 2)
    flat_variance = np.median(read_master(flat, MasterKind.FLAT, with_bias=True).variance)
    assert np.median(exposure.raw.data) == pytest.approx(3000, rel=1e-3)
    assert np.median(exposure.variance) == pytest.approx(without + 3000**2 * flat_variance, rel=0.05)


def test_a_dark_without_a_bias_keeps_it_and_says_so(tmp_path: Path) -> None:
    path, result = build(tmp_path, "dark", raws(tmp_path, "dark", 4)[::2])
    assert not result.bias_subtracted and result.exposure_s == 60
    assert not read_master(path, MasterKind.DARK, with_bias=True).bias_subtracted
    assert any("2 frames" in warning for warning in result.warnings)


def test_frames_that_do_not_fit_are_named(tmp_path: Path) -> None:
    paths = raws(tmp_path, "bias", 2)
    odd = write(tmp_path / "odd.fits", np.random.default_rng(4).normal(500, 4, (64, 64)))
    with pytest.raises(CalibrationError, match=r"odd\.fits has 64 x 64 px, the frames before it 128 x 96 px"):
        build(tmp_path, "bias", [*paths, odd])
    with pytest.raises(CalibrationError, match=r"bias0\.fits does not say its exposure"):
        build(tmp_path, "dark", paths)
    with pytest.raises(CalibrationError, match="the master bias is"):
        build(tmp_path, "flat", raws(tmp_path, "flat", 2), bias=odd)


def test_saturated_pixels_of_a_flat_are_left_out(tmp_path: Path) -> None:
    paths = raws(tmp_path, "flat", 3)
    with fits.open(paths[0], mode="update") as hdus:
        hdus[0].data[10, 10] = 65_000
        hdus[0].header["SATURATE"] = 60_000
    path, _ = build(tmp_path, "flat", paths)
    value = read_master(path, MasterKind.FLAT, with_bias=False).data[10, 10]
    assert value == pytest.approx((20_000 * flat_field()[10, 10] + 500) / 20_500, rel=0.02)


def test_amplifiers_keep_their_places_and_their_own_levels(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    paths = []
    for number in range(5):
        hdus = [fits.PrimaryHDU()]
        for level, place in ((900.0, "[1:80,1:64]"), (1100.0, "[160:81,1:64]")):
            image = fits.ImageHDU((rng.normal(7.0, 2.0, (64, 100)) + level).astype(np.float32))
            image.data[:, 80:] -= 7
            image.header.update({"DATASEC": "[1:80,1:64]", "BIASSEC": "[81:100,1:64]", "DETSEC": place})
            hdus.append(image)
        paths.append(tmp_path / f"mosaic{number}.fits")
        fits.HDUList(hdus).writeto(paths[-1])
    path, result = build(tmp_path, "bias", paths, input=InputSettings(hdu="all"))
    assert result.median == pytest.approx(7.0, abs=0.2)  # the overscan took the levels off
    for hdu in (1, 2):
        master = read_master(path, MasterKind.BIAS, hdu=hdu, with_bias=True)
        assert master.data.shape == (64, 80)
        assert np.mean(master.variance) == pytest.approx(2.0**2 / 5, rel=0.1)


def test_planes_on_disk_give_the_same_flat(tmp_path: Path) -> None:
    rng = np.random.default_rng(6)
    frames = [rng.normal(1000, 30, SHAPE).astype(np.float32) for _ in range(4)]
    folder = PlaneFolder(tmp_path)
    held = build_flat([folder.hold(frame) for frame in frames], hold=folder.hold)
    np.testing.assert_array_equal(held.data, build_flat(frames).data)


def test_a_simulated_sky_through_masters_is_measured(tmp_path: Path) -> None:
    sky = simulate_frame(7, n_stars=120, camera=Camera(shape=(256, 256)))
    x = np.arange(256) * np.ones((256, 1))
    shade = 1 - 0.4 * ((x - 128) / 256) ** 2
    shade = shade / np.median(shade)
    rng = np.random.default_rng(8)
    flats = [
        write(tmp_path / f"f{n}.fits", 300 + rng.normal(30_000 * shade, np.sqrt(30_000 * shade))) for n in range(6)
    ]
    bias = write(tmp_path / "bias.fits", np.full((256, 256), 300.0) + rng.normal(0, 0.01, (256, 256)))
    flat, _ = build(tmp_path, "flat", flats, bias=bias)
    shaded = replace(sky, data=(sky.data * shade + 300).astype(np.float32))
    shaded.write(tmp_path / "raw.fits")
    request = MeasureRequest(
        frame=reference(tmp_path / "raw.fits"), frame_name="raw.fits", bias=reference(bias), flat=reference(flat),
        products={"plots": False, "maps": False},
    )  # type: ignore[arg-type]  # fmt: skip
    inputs = {str(path): path for path in (tmp_path / "raw.fits", bias, flat)}
    done = tasks.measure(request, TaskContext(tmp_path, inputs, LocalLink(None)))
    assert done.result["sources"] > 30
    assert any("calibrated with the master bias, flat" in text for text in done.result["frame"]["warnings"])
