import numpy as np
import pytest
from scipy.spatial import cKDTree

from astrometry_service.algorithms.refinement.depth_match import (
    DepthMatchOptions,
    depth_match,
    match_radius,
    rank_windows,
)


def literal_match(
    source_xy: np.ndarray,
    source_mag: np.ndarray,
    target_xy: np.ndarray,
    target_mag: np.ndarray,
    radius: np.ndarray,
    windows: np.ndarray,
    max_mag: float,
) -> tuple[list[int], list[int]]:
    """The method as it is told: a KD-tree of the first S free targets for every source."""
    free = list(range(len(target_xy)))
    sources, targets = [], []
    for k in range(len(source_xy)):
        some = free[: windows[k]]
        tree = cKDTree(target_xy[some])
        near = tree.query_ball_point(source_xy[k], radius[k])
        near.sort(key=lambda n: np.hypot(*(target_xy[some[n]] - source_xy[k])))
        for n in near:
            if not abs(source_mag[k] - target_mag[some[n]]) > max_mag:
                sources.append(k)
                targets.append(some[n])
                free.remove(some[n])
                break
    return sources, targets


def crowded(seed: int, n: int = 250, m: int = 400, box: float = 60.0) -> dict[str, np.ndarray]:
    """A field so crowded that sources compete for targets."""
    rng = np.random.default_rng(seed)
    target_mag = np.sort(rng.uniform(10, 20, m))
    target_xy = rng.uniform(0, box, (m, 2))
    pick = rng.permutation(m)[:n]
    mag = target_mag[pick] + rng.normal(0, 0.5, n)
    order = np.argsort(mag)
    return {
        "source_xy": (target_xy[pick] + rng.normal(0, 1.0, (n, 2)))[order],
        "source_mag": mag[order],
        "target_xy": target_xy,
        "target_mag": target_mag,
        "radius": rng.uniform(1.0, 4.0, n),
    }


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("size", [20, 60, 400])
def test_fast_form_equals_the_literal_form(seed: int, size: int) -> None:
    scene = crowded(seed)
    windows = np.full(250, size, np.intp)
    expected = literal_match(**scene, windows=windows, max_mag=1.2)
    found = depth_match(**scene, windows=windows, max_mag_difference=1.2)
    assert found.method == "ranked"
    assert (found.sources.tolist(), found.targets.tolist()) == expected


def test_fast_form_equals_the_literal_form_with_its_own_windows() -> None:
    scene = crowded(99)
    windows = rank_windows(scene["source_mag"], scene["target_mag"], DepthMatchOptions())
    assert windows.min() >= 60
    expected = literal_match(**scene, windows=windows, max_mag=1.5)
    found = depth_match(**scene, windows=windows, max_mag_difference=1.5)
    assert (found.sources.tolist(), found.targets.tolist()) == expected


def test_pairs_are_one_to_one_and_within_their_radius() -> None:
    scene = crowded(5)
    found = depth_match(**scene, windows=np.full(250, 400, np.intp), max_mag_difference=1.5)
    assert np.unique(found.targets).size == found.targets.size == np.unique(found.sources).size
    assert (found.distance <= scene["radius"][found.sources]).all()


def test_the_brighter_source_chooses_first() -> None:
    found = depth_match(
        np.array([[0.0, 0.0], [0.1, 0.0]]), np.array([10.0, 11.0]), np.array([[0.15, 0.0], [5.0, 5.0]]), np.array([10.5, 12.0]),
        np.ones(2), windows=np.full(2, 2, np.intp), max_mag_difference=3.0,
    )  # fmt: skip
    assert found.sources.tolist() == [0] and found.targets.tolist() == [0]


def test_a_target_of_the_wrong_brightness_is_passed_over() -> None:
    found = depth_match(
        np.zeros((1, 2)), np.array([12.0]), np.array([[0.1, 0.0], [0.5, 0.0]]), np.array([8.0, 12.3]), np.ones(1),
        windows=np.array([60]), max_mag_difference=1.5,
    )  # fmt: skip
    assert found.targets.tolist() == [1]
    unknown = depth_match(
        np.zeros((1, 2)), np.array([np.nan]), np.array([[0.1, 0.0], [0.5, 0.0]]), np.array([8.0, 12.3]), np.ones(1),
        windows=np.array([60]), max_mag_difference=1.5,
    )  # fmt: skip
    assert unknown.targets.tolist() == [0]


def test_more_sources_than_targets_goes_to_the_failsafe_with_duplicates() -> None:
    sources = np.array([[0.0, 0.0], [0.05, 0.0], [3.0, 3.0]])
    found = depth_match(
        sources, np.full(3, 10.0), np.array([[0.04, 0.0], [3.0, 3.1]]), np.full(2, 10.0), np.ones(3),
        windows=np.full(3, 60, np.intp), max_mag_difference=1.5,
    )  # fmt: skip
    assert found.method == "nearest_neighbour" and found.reason == "more_sources"
    assert found.sources.tolist() == [1, 2] and found.targets.tolist() == [0, 1] and found.duplicates.tolist() == [0]


def test_exhausted_targets_go_to_the_failsafe() -> None:
    """The first source takes the only target of both; the second finds the list empty."""
    found = depth_match(
        np.array([[0.0, 0.0]]), np.array([10.0]), np.array([[0.1, 0.0]]), np.array([10.0]), np.ones(1),
        windows=np.full(1, 60, np.intp), max_mag_difference=1.5,
    )  # fmt: skip
    assert found.method == "ranked" and found.sources.tolist() == [0]
    empty = depth_match(
        np.zeros((0, 2)),
        np.zeros(0),
        np.zeros((3, 2)),
        np.zeros(3),
        np.zeros(0),
        windows=np.zeros(0, np.intp),
        max_mag_difference=1.0,
    )
    assert empty.sources.size == 0


def test_radius_keeps_chance_pairs_rare() -> None:
    options = DepthMatchOptions()
    radius = match_radius(np.array([0.01, 0.5, 100.0]), 0.002, options, pixel=1.0)
    assert radius[0] == 0.3 and radius[1] == 1.5
    assert np.pi * radius[2] ** 2 * 0.002 == pytest.approx(options.false_match_rate)
