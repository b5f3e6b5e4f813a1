import numpy as np
import pytest

from astrometry_service.algorithms.wcs.polynomials import (
    degree_of,
    exponents,
    legendre_design,
    legendre_gradients,
    legendre_to_monomials,
    monomial_design,
    monomial_gradients,
    n_terms,
    substitute_affine,
)


@pytest.fixture
def places() -> tuple[np.ndarray, np.ndarray]:
    return tuple(np.random.default_rng(1).uniform(-1, 1, (2, 200)))  # type: ignore[return-value]


@pytest.mark.parametrize("degree", [0, 1, 3, 7])
def test_terms_are_counted_and_ordered_as_in_tpv(degree: int) -> None:
    terms = exponents(degree)
    assert len(terms) == n_terms(degree) and degree_of(len(terms)) == degree
    assert terms[:6] == ((0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2))[: len(terms)]


@pytest.mark.parametrize("degree", [1, 4, 7])
def test_legendre_and_monomial_forms_are_one_polynomial(places: tuple[np.ndarray, np.ndarray], degree: int) -> None:
    coefficients = np.random.default_rng(2).normal(size=(2, n_terms(degree)))
    one = legendre_design(*places, degree) @ coefficients.T
    other = monomial_design(*places, degree) @ (coefficients @ legendre_to_monomials(degree).T).T
    # Legendre polynomials of degree 7 have monomial coefficients up to 43: a few digits are lost.
    np.testing.assert_allclose(one, other, atol=1e-12)


def test_legendre_values_are_those_of_numpy(places: tuple[np.ndarray, np.ndarray]) -> None:
    u, v = places
    design = legendre_design(u, v, 7)
    for column, (i, j) in enumerate(exponents(7)):
        expected = np.polynomial.legendre.legval(u, np.eye(8)[i]) * np.polynomial.legendre.legval(v, np.eye(8)[j])
        np.testing.assert_allclose(design[:, column], expected, atol=1e-13)


@pytest.mark.parametrize("kind", ["legendre", "monomial"])
def test_gradients_agree_with_differences(places: tuple[np.ndarray, np.ndarray], kind: str) -> None:
    design, gradients = {
        "legendre": (legendre_design, legendre_gradients),
        "monomial": (monomial_design, monomial_gradients),
    }[kind]
    u, v = places
    h = 1e-6
    du, dv = gradients(u, v, 7)
    np.testing.assert_allclose(du, (design(u + h, v, 7) - design(u - h, v, 7)) / (2 * h), atol=1e-7)
    np.testing.assert_allclose(dv, (design(u, v + h, 7) - design(u, v - h, 7)) / (2 * h), atol=1e-7)


def test_change_of_variables_is_exact(places: tuple[np.ndarray, np.ndarray]) -> None:
    rng = np.random.default_rng(3)
    coefficients, offset, matrix = rng.normal(size=(2, n_terms(6))), rng.normal(size=2), rng.normal(size=(2, 2))
    p, q = places
    u, v = offset[:, None] + matrix @ np.stack([p, q])
    expected = monomial_design(u, v, 6) @ coefficients.T
    found = monomial_design(p, q, 6) @ substitute_affine(coefficients, offset, matrix).T
    np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-10)


def test_the_basis_is_well_conditioned_where_raw_pixels_are_not() -> None:
    u, v = np.random.default_rng(4).uniform(-1, 1, (2, 5000))
    assert np.linalg.cond(legendre_design(u, v, 7)) < 25
    assert np.linalg.cond(monomial_design(2000 * u, 2000 * v, 5)) > 1e12
