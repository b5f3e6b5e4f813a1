"""Rich frames teach a camera's distortion, sparse ones learn from it."""

from dataclasses import replace

import numpy as np
import pytest

from astro_shared.testing.optics import Camera, Distortion
from astro_shared.testing.source_lists import SimulatedList, simulate_source_list
from astrometry_service.algorithms.refinement.options import RefineOptions
from astrometry_service.algorithms.wcs.plane_fit import PixelFrame, fit_plane
from astrometry_service.domain.distortion import DistortionSample
from astrometry_service.domain.plane_affine import PlaneAffine
from astrometry_service.domain.reference import ReferenceStars
from astrometry_service.domain.sources import FrameGeometry, SourceList
from astrometry_service.workflows.refine_with_prior import RefineWithPrior

# The simulator's tilt belongs to the sky: a camera that is turned between frames has none here.
CAMERA = Camera(shape=(1500, 2000), distortion=Distortion(cubic_px=8.0, tilt_px=0.0))


class Kept:
    """Distortions in memory."""

    def __init__(self):
        self.rows: list[DistortionSample] = []

    def samples(self, nx, ny):
        return (len(self.rows) or None), list(self.rows)

    def keep(self, sample):
        self.rows.append(sample)


def rich(seed: int) -> SimulatedList:
    return simulate_source_list(600 + seed, n_stars=2000, camera=replace(CAMERA, rotation_deg=70.0 * seed))


def sparse(seed: int, camera: Camera = CAMERA) -> SimulatedList:
    return simulate_source_list(700 + seed, n_stars=50, camera=replace(camera, rotation_deg=33.0, mirrored=False))


def run(sim: SimulatedList, earlier, **why):
    start = PlaneAffine(sim.start_matrix(), sim.sky.ra_deg, sim.sky.dec_deg)
    geometry = FrameGeometry(sim.camera.shape[1], sim.camera.shape[0], sim.exposure.epoch)
    sources = SourceList.from_columns(sim.columns, position_kind="psf")
    reference = ReferenceStars.from_columns(sim.reference_columns)
    return RefineWithPrior(RefineOptions(), earlier, **why).run(sources, reference, start, geometry)


def error_mas(sim: SimulatedList, transform) -> float:
    ny, nx = sim.camera.shape
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, 40), np.linspace(0, ny - 1, 40)))
    return sim.grid_error_mas(*transform.pixel_to_sky(x, y), x, y)


def linear_floor_mas(sim: SimulatedList) -> float:
    """Solution error of an ideal linear fit to all stars with S/N > 10."""
    columns, (ny, nx) = sim.columns, sim.camera.shape
    good = columns["flux_psf"] > 10 * columns["flux_psf_err"]
    frame = PixelFrame.of(nx, ny)
    design = frame.design(sim.true_x[good], sim.true_y[good], 1)
    variance = columns["x_var"][good] * (1000 * sim.camera.scale_arcsec) ** 2
    fit = fit_plane(frame, design, np.zeros((int(good.sum()), 2)), variance, ra0_deg=0, dec0_deg=0)
    x, y = (g.ravel() for g in np.meshgrid(np.linspace(0, nx - 1, 40), np.linspace(0, ny - 1, 40)))
    return float(np.sqrt(fit.variance_mas2(frame.design(x, y, 1)).mean()))


@pytest.fixture(scope="module")
def taught() -> Kept:
    kept = Kept()
    for seed in range(4):
        solution, prior = run(rich(seed), kept)
        assert solution.improved and not prior.used and "of its own" in prior.reason
    return kept


def test_sparse_frames_are_limited_by_their_pointing_no_longer_by_distortion(taught):
    alone_mas, helped_mas, floor_mas = [], [], []
    for seed in range(5):
        frame = sparse(seed)
        helped, prior = run(frame, taught)
        assert prior.used and prior.version == len(taught.rows) == prior.frames == 4
        alone_mas.append(error_mas(frame, run(frame, None)[0].transform))
        helped_mas.append(error_mas(frame, helped.transform))
        floor_mas.append(linear_floor_mas(frame))
    assert np.median(helped_mas) < 0.05 * np.median(alone_mas)
    # what is left is that of a linear map of the frame's own stars, as if there were no distortion at all
    assert np.median(np.divide(helped_mas, floor_mas)) < 1.5


def test_a_sparse_frame_teaches_nothing(taught):
    before = len(taught.rows)
    run(sparse(9), taught)
    assert len(taught.rows) == before


def test_two_frames_are_not_enough_and_the_report_says_so(taught):
    few = Kept()
    few.rows = taught.rows[:2]
    solution, prior = run(sparse(1), few)
    assert not prior.used and "2 earlier frames" in prior.reason and prior.version == 2
    assert error_mas(sparse(1), solution.transform) > 0


def test_it_can_be_switched_off():
    _, prior = run(sparse(1), None, why_none="switched off by astrometry.use_prior")
    assert not prior.used and prior.reason == "switched off by astrometry.use_prior"


def test_the_distortion_of_another_camera_is_not_forced_on_a_frame(taught):
    other = replace(CAMERA, distortion=Distortion(cubic_px=-25.0))
    frame = simulate_source_list(720, n_stars=150, camera=replace(other, rotation_deg=10.0))
    alone, _ = run(frame, None)
    found, _ = run(frame, taught)
    assert error_mas(frame, found.transform) <= 1.1 * error_mas(frame, alone.transform)
