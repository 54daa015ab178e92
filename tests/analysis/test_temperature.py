"""The temperature of a method: of its limit, and at its own step against closed forms."""

import numpy as np
import pytest

import thalweg as tw
from tests.table.test_noise import NOISY

# Of laws with a limit, by steps whose matrices are known.
LIMITED = [row for row in NOISY if hasattr(row.dynamics, "diffusion") and not row.scheme.exact_law]

HESSIAN = np.array([[1.6, 0.5], [0.5, 0.7]])
NOISE = np.array([[1.0, 0.4], [0.4, 2.0]])


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("convention", ["torch", "keras", "ema"])
def test_it_is_that_of_the_dictionary(momentum, convention):
    h = tw.Hyperparameters(0.1, momentum, batch_size=32, convention=convention)
    method = tw.momentum(None, h.scale, momentum) if momentum else tw.gradient_descent(None, h.scale)
    assert method.temperature(1 / 32) == pytest.approx(h.physical().temperature, rel=1e-12)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in LIMITED])
def test_thermal_and_gradient_noise_add_up(row):
    """Exactly at any step, since the equation of the covariance is linear; and each has its limit."""
    method = row.build(None, temperature=0.6)
    both = method.temperature(NOISE, HESSIAN)
    cold = row.build(None, temperature=0.0).temperature(NOISE, HESSIAN)
    np.testing.assert_allclose(both, method.temperature(hessian=HESSIAN) + cold, rtol=1e-10)
    h = float(method.step_size)
    share = h / 2 if row.dynamics.order == 1 else h / (2 * float(method.dynamics.friction))
    np.testing.assert_allclose(method.temperature(NOISE), 0.6 * np.eye(2) + share * NOISE, rtol=1e-12)


def test_boltzmanns_law_has_one_temperature():
    """BAOAB's positions, exactly; and OBABO's at T/(1 - h^2 l/4m) along an eigenvector."""
    bath = tw.UnderdampedLangevin(None, 0.9, 0.6, 1.4)
    found = tw.Method(bath, tw.Splitting("BAOAB"), 0.8).temperature(hessian=HESSIAN)
    np.testing.assert_allclose(found, 0.6 * np.eye(2), atol=1e-12)
    values, vectors = np.linalg.eigh(HESSIAN)
    found = vectors.T @ tw.Method(bath, tw.Splitting("OBABO"), 0.8).temperature(hessian=HESSIAN) @ vectors
    np.testing.assert_allclose(found, np.diag(0.6 / (1 - 0.64 * values / (4 * 1.4))), atol=1e-12)


def test_at_its_own_step():
    a, b, l, c = 0.3, 0.8, 1.7, 2.5
    assert tw.gradient_descent(None, a).temperature(c, l) == pytest.approx(a * c / (2 - a * l), rel=1e-12)
    expected = a * c / (2 * (1 - b)) / (1 - a * l / (2 * (1 + b)))
    assert tw.momentum(None, a, b).temperature(c, l) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("make", [tw.gradient_descent, lambda f, a: tw.momentum(f, a**2, 1 - a)])
def test_small_steps_tend_to_the_limit_along_each_eigenvector(make):
    """Off the diagonal they tend to another number where noise and Hessian do not commute."""
    vectors = np.linalg.eigh(HESSIAN)[1]
    errors = []
    for a in (0.02, 0.01):
        method = make(None, a)
        exact, near = (vectors.T @ part @ vectors for part in (method.temperature(NOISE, HESSIAN),
                                                              method.temperature(NOISE)))  # fmt: skip
        errors.append(np.abs(np.diag(exact) / np.diag(near) - 1).max())
        assert abs(exact[0, 1] / near[0, 1] - 1) > 0.05
    assert errors[1] < 0.01 and errors[1] < 0.55 * errors[0]


def test_wrong_input_is_one_line():
    with pytest.raises(tw.InputError, match="without noise the diffusion limit is the law itself"):
        tw.momentum(None, 0.1).temperature()
    with pytest.raises(tw.InputError, match="there is no stationary law"):
        tw.sgld(None, 0.1).temperature(hessian=np.diag([1.0, 0.0]))
