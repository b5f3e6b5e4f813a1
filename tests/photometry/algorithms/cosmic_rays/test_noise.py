"""The search must find the same hits whatever was done to the frame before."""

import numpy as np
import pytest

from astro_shared.testing.defects import CosmicRays as Hits
from astro_shared.testing.exposures import Exposure
from astro_shared.testing.frames import simulate_frame
from astro_shared.testing.optics import Camera
from photometry_service.algorithms.cosmic_rays.noise import search_pixels
from photometry_service.algorithms.cosmic_rays.search import remove_cosmic_rays
from photometry_service.domain.frame import Frame, NoiseModel

GAIN, READ_NOISE = 1.5, 5.0


@pytest.fixture(scope="module")
def simulated():
    exposure = Exposure(cosmic_rays=Hits(per_megapixel=400.0))
    return simulate_frame(21, n_stars=150, camera=Camera(shape=(384, 384)), exposure=exposure)


def as_frame(data, gain=GAIN, read_noise=READ_NOISE, model=NoiseModel.HEADER, **more):
    return Frame(data.astype(np.float32), np.zeros(data.shape, bool), gain, read_noise, 80000.0, model, **more)


def found_share(mask, simulated):
    inside = np.zeros(mask.shape, bool)
    inside[3:-3, 3:-3] = True
    true = simulated.cosmic_ray_mask & inside
    return (mask & true).sum() / true.sum()


def test_right_constants_leave_the_frame_as_it_is(simulated):
    frame = as_frame(simulated.data_e)
    pixels = search_pixels(frame)
    assert pixels.data is frame.data
    assert pixels.variance is None
    assert pixels.warnings == ()


def test_given_variance_is_trusted(simulated):
    variance = np.full(simulated.data_e.shape, 1e6, np.float32)
    assert search_pixels(as_frame(simulated.data_e, variance=variance)).variance is variance


@pytest.mark.parametrize(
    ("change", "gain", "read_noise", "model"),
    [
        (lambda e: e - 320.0, GAIN, READ_NOISE, NoiseModel.HEADER),
        (lambda e: e + 20000.0, GAIN, READ_NOISE, NoiseModel.HEADER),
        (lambda e: (e - 320.0) * 1e-13, 1.0, 10.0, NoiseModel.ASSUMED),
        (lambda e: e * 200.0, 1.0, 10.0, NoiseModel.ASSUMED),
        (lambda e: e / 400.0, 1.0, 10.0, NoiseModel.ASSUMED),
    ],
)
def test_hits_are_found_with_the_measured_noise(simulated, change, gain, read_noise, model):
    data = change(simulated.data_e.astype(np.float64))
    frame = Frame(data.astype(np.float32), np.zeros(data.shape, bool), gain, read_noise, np.inf, model)
    found = remove_cosmic_rays(frame)
    assert "measured noise" in found.warnings[0]
    assert found_share(found.mask, simulated) > 0.9
    plain = remove_cosmic_rays(as_frame(simulated.data_e))
    assert found.count < 1.3 * plain.count
    assert np.array_equal(found.clean(frame.data)[~found.mask], frame.data[~found.mask])
    sky = float(change(np.array(320.0)))
    noise = float(np.std(frame.data[~found.mask & (np.abs(frame.data - sky) < np.ptp(frame.data) * 1e-3)]))
    assert abs(np.median(found.values) - sky) < 0.5 * noise + 1e-6 * abs(sky)


def test_a_mask_of_everything_is_dropped():
    checks = (np.indices((128, 128)).sum(axis=0) % 7 == 0) * 30000.0
    data = checks + np.random.default_rng(1).normal(300, 18, (128, 128))
    found = remove_cosmic_rays(as_frame(data))
    assert not found.mask.any()
    assert found.count == 0
    assert "none was used" in found.warnings[-1]


def test_frames_without_noise_pass():
    found = remove_cosmic_rays(as_frame(np.full((64, 64), 100.0)))
    assert not found.mask.any()
