import numpy as np
import pytest

from astrometry_service.algorithms.refinement.degree_selection import DegreeOptions, cross_validate, select_degree
from astrometry_service.algorithms.wcs.plane_fit import PixelFrame
from astrometry_service.algorithms.wcs.polynomials import n_terms

FRAME = PixelFrame.of(2000, 2000)


def scene(seed: int, count: int, degree: int, *, size: float = 60.0, turbulence: float = 0.0) -> dict[str, np.ndarray]:
    """Targets (mas) from a polynomial of a degree plus noise of 10 mas, and a coherent field on 10 cells per side."""
    rng = np.random.default_rng(seed)
    x, y = rng.uniform(0, 2000, (2, count))
    u, v = FRAME.normalise(x, y)
    design = FRAME.design(x, y, 7)
    coefficients = rng.choice([-1.0, 1.0], (2, n_terms(degree))) * size
    target = design[:, : n_terms(degree)] @ coefficients.T + rng.normal(0, 10.0, (count, 2))
    waves = rng.normal(size=(2, 40)) * 10.0
    phase = rng.uniform(0, 2 * np.pi, 40)
    field = np.cos(waves[0] * u[:, None] + waves[1] * v[:, None] + phase) @ rng.normal(size=(40, 2)) / np.sqrt(20)
    target += turbulence * field
    return {
        "design": design,
        "target_mas": target,
        "variance_mas2": np.full(count, 100.0 + turbulence**2),
        "u": u,
        "v": v,
    }


@pytest.mark.parametrize("degree", [1, 3, 5])
def test_finds_the_degree_of_the_truth(degree: int) -> None:
    chosen = [select_degree(**scene(seed, 800, degree)).degree for seed in range(10)]
    assert chosen == [degree] * 10


def test_bic_agrees_on_clear_cases() -> None:
    choice = select_degree(**scene(3, 800, 3))
    assert choice.best_bic_degree == choice.degree == 3
    assert choice.cv_rms_mas[3] == pytest.approx(10.0, rel=0.1)


def test_few_stars_limit_the_candidates() -> None:
    choice = select_degree(**scene(4, 55, 3))
    assert max(choice.scores) == 3


def test_blocks_keep_a_coherent_field_from_raising_the_degree() -> None:
    chosen = [select_degree(**scene(100 + seed, 1500, 3, turbulence=25.0)).degree for seed in range(8)]
    assert max(chosen) <= 4


def test_scores_equal_those_of_fits_fold_by_fold() -> None:
    """The QR factors of the folds against plain least squares."""
    s = scene(5, 300, 3)
    options = DegreeOptions()
    squares, _ = cross_validate(*s.values(), [2, 3, 4], options)
    deal = np.random.default_rng(options.seed).permutation(64) % 5
    span = np.abs(s["v"]).max()
    i = np.clip(((s["u"] + 1) * 4).astype(int), 0, 7)
    j = np.clip(((s["v"] / span + 1) * 4).astype(int), 0, 7)
    fold = deal[j * 8 + i]
    for degree in (2, 3, 4):
        design = s["design"][:, : n_terms(degree)]
        expected = np.zeros(300)
        for k in range(5):
            train, test = fold != k, fold == k
            coefficients = np.linalg.lstsq(design[train], s["target_mas"][train], rcond=None)[0]
            z2 = ((s["target_mas"][test] - design[test] @ coefficients) ** 2).sum(1) / s["variance_mas2"][test]
            expected[test] = np.minimum(z2, 30.0)
        np.testing.assert_allclose(squares[degree], expected, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("count", [3, 4, 6, 8])
def test_stars_that_leave_a_fold_without_a_fit_are_survived(count: int) -> None:
    """All in one corner: the training part of their fold is empty."""
    rng = np.random.default_rng(5)
    x, y = rng.uniform(0, 100, (2, count))
    choice = select_degree(
        FRAME.design(x, y, 3), rng.normal(0, 10.0, (count, 2)), np.full(count, 100.0), *FRAME.normalise(x, y)
    )
    assert choice.degree == 1 and np.isfinite(choice.scores[1])
