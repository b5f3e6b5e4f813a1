import numpy as np
import pytest

from astrometry_service.algorithms.refinement._regions import mutual_nearest
from astrometry_service.algorithms.refinement.affine_fit import fit_affine, median_scatter
from astrometry_service.algorithms.refinement.mean_affine import mean_affine
from astrometry_service.algorithms.refinement.regions import RegionOptions, RegionStars, match_regions, region_grid

NX, NY = 3000, 2000
CD = np.array([[-2.0e-4, 3.0e-5], [2.5e-5, 2.1e-4]])


def scene(
    count: int, *, seed: int = 1, shift: tuple[float, float] = (7.0, -4.0), spurious: int = 0, bend: float = 0.0
) -> RegionStars:
    """Sources on a linear map; the start puts the reference stars off by ``shift``."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, NX, count), rng.uniform(0, NY, count)
    u, v = (x - NX / 2) / 1500, (y - NY / 2) / 1500
    curved = np.stack([x + bend * u**3, y + bend * v * u**2])
    plane = (CD @ (curved - [[NX / 2], [NY / 2]])).T
    noise = rng.normal(0, 0.05, (2, count))
    extra = rng.uniform(0, 1, (2, spurious)) * [[NX], [NY]]
    sx, sy = np.concatenate([x + noise[0], extra[0]]), np.concatenate([y + noise[1], extra[1]])
    order = rng.permutation(sx.size)
    return RegionStars(sx[order], sy[order], x + shift[0], y + shift[1], plane, NX, NY)


def affine_of(centre: np.ndarray) -> np.ndarray:
    return np.hstack([CD, (CD @ (centre - [NX / 2, NY / 2]))[:, None]])


@pytest.mark.parametrize(("sources", "grid"), [(500, (6, 4)), (100, (3, 2)), (30, (1, 1))])
def test_regions_merge_when_stars_are_few(sources: int, grid: tuple[int, int]) -> None:
    options = RegionOptions()
    assert region_grid(NX, NY, sources, options) == grid
    assert region_grid(NY, NX, sources, options) == grid[::-1]


@pytest.mark.parametrize("seeds", ["nearest", "astroalign", "auto"])
def test_every_region_finds_its_pairs(seeds: str) -> None:
    stars = scene(700)
    regions = match_regions(stars, RegionOptions(seeds=seeds))
    assert len(regions) == 24 and all(region.accepted for region in regions)
    distance = np.concatenate(
        [np.hypot(stars.x[r.source_rows] + 7 - stars.ref_x[r.reference_rows],
                  stars.y[r.source_rows] - 4 - stars.ref_y[r.reference_rows]) for r in regions]
    )  # fmt: skip
    assert distance.size > 500 and (distance < 0.5).mean() > 0.98


def test_astroalign_finds_what_lies_beyond_the_reach_of_the_offset() -> None:
    """A start that is off by 40 pixels; the offset is looked for within 25."""
    stars = scene(700, seed=3, shift=(34.0, -21.0))
    assert not any(region.accepted for region in match_regions(stars, RegionOptions(seeds="nearest")))
    found = match_regions(stars)
    # The brightness of this scene's sources tells nothing, so that many triangles are of different stars.
    assert sum(region.accepted for region in found) >= 3
    assert {region.method for region in found if region.accepted} == {"astroalign"}


def test_false_detections_do_not_mislead() -> None:
    regions = match_regions(scene(700, spurious=200))
    assert sum(region.accepted for region in regions) >= 22


def test_mean_affine_is_the_map_at_the_centre() -> None:
    mean = mean_affine(match_regions(scene(900)))
    centre = np.array([(NX - 1) / 2, (NY - 1) / 2])
    offset = np.abs(mean - affine_of(centre)) / 2e-4
    # 0.05 pixel noise over 700 pairs: 2 millipixels; slopes 3e-6.
    assert offset[:, 2].max() < 0.02 and offset[:, :2].max() < 2e-5


def test_a_region_that_contradicts_the_others_is_refused() -> None:
    stars = scene(700)
    plane = stars.ref_plane.copy()
    odd = (stars.ref_x < 500) & (stars.ref_y < 500)
    plane[odd] = plane[odd] * 1.2
    regions = match_regions(RegionStars(stars.x, stars.y, stars.ref_x, stars.ref_y, plane, NX, NY))
    assert not regions[0].accepted and regions[0].reason
    assert sum(region.accepted for region in regions) >= 22


def test_distortion_alone_refuses_no_region() -> None:
    assert all(region.accepted for region in match_regions(scene(900, bend=20.0)))


def test_empty_lists_are_regions_without_a_match() -> None:
    none = np.zeros(0)
    regions = match_regions(RegionStars(none, none, none, none, np.zeros((0, 2)), NX, NY))
    assert len(regions) == 1 and regions[0].reason == "too_few_stars" and not regions[0].accepted
    with pytest.raises(ValueError, match="no accepted region"):
        mean_affine(regions)


def test_threads_give_the_same_regions() -> None:
    one, two = (match_regions(scene(500), RegionOptions(workers=n)) for n in (1, 2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a.source_rows, b.source_rows)


def test_robust_affine_ignores_outliers() -> None:
    rng = np.random.default_rng(3)
    x, y = rng.uniform(-500, 500, (2, 80))
    target = np.stack([1.01 * x + 0.02 * y + 3, -0.02 * x + 0.99 * y - 5], axis=1) + rng.normal(0, 0.1, (80, 2))
    target[:12] += rng.uniform(5, 50, (12, 2))
    matrix, covariance, weights, sigma = fit_affine(x, y, target)
    assert (weights[:12] == 0).all() and sigma == pytest.approx(0.1, rel=0.25)
    np.testing.assert_allclose(matrix, [[1.01, 0.02, 3.0], [-0.02, 0.99, -5.0]], atol=5 * np.sqrt(covariance[2, 2]))
    assert median_scatter(np.hypot(*rng.normal(0, 2.0, (2, 20000)))) == pytest.approx(2.0, rel=0.03)


def test_mutual_nearest_pairs_are_those_of_a_brute_force() -> None:
    rng = np.random.default_rng(4)
    for n, m in ((30, 45), (45, 30), (1, 5), (0, 4)):
        places, others = rng.uniform(0, 20, (n, 2)), rng.uniform(0, 20, (m, 2))
        distance = np.hypot(*(places[:, None] - others[None]).T).T
        near = [(i, int(np.argmin(distance[i]))) for i in range(n)]
        mine = [
            (i, j)
            for i, j in near
            if distance[i, j] < 3 and distance[i, j] == min(distance[k, j] for k, h in near if h == j)
        ]
        rows, hits = mutual_nearest(places, others, 3.0)
        assert list(zip(rows, hits, strict=True)) == mine


def test_an_affine_equals_plain_weighted_least_squares() -> None:
    rng = np.random.default_rng(5)
    for n in (6, 7, 40):
        x, y = rng.uniform(-50, 50, (2, n))
        target = np.stack([0.9 * x - 0.1 * y + 4, 0.1 * x + 1.1 * y], axis=1) + rng.normal(0, 0.2, (n, 2))
        matrix, covariance, weights, _ = fit_affine(x, y, target, rounds=1)
        plain = np.linalg.lstsq(np.stack([x, y, np.ones(n)], axis=1), target, rcond=None)[0].T
        np.testing.assert_allclose(matrix, plain, rtol=1e-9, atol=1e-9)
        away = np.hypot(*(target - np.stack([x, y, np.ones(n)], axis=1) @ plain.T).T)
        scaled = away / (4.685 * np.median(away) / 1.1774)
        np.testing.assert_allclose(weights, np.where(scaled < 1, (1 - scaled**2) ** 2, 0.0), atol=1e-9)
        assert np.all(np.linalg.eigvalsh(covariance) > 0)


def test_stars_on_a_line_fix_no_affine_and_no_region() -> None:
    along = np.linspace(-100, 100, 12)
    with pytest.raises(np.linalg.LinAlgError, match="on a line"):
        fit_affine(along, 0.5 * along, np.stack([along, along], axis=1))
    x, y = np.linspace(10, 90, 12), np.linspace(20, 60, 12)
    regions = match_regions(RegionStars(x, y, x, y, np.stack([x, y], axis=1) / 3600, 100, 100))
    assert [region.reason for region in regions] == ["stars_on_a_line"]
