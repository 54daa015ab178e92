"""The law after n steps: closed forms, recursions written out, runs, and the stationary law in the end."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import thalweg as tw
from tests.table.test_noise import NOISY, assert_covariance, is_linear
from thalweg.analysis import stationary_covariance, transient_covariance, transient_mean

HESSIAN = np.array([[1.6, 0.5], [0.5, 0.7]])
NOISE = np.array([[1.0, 0.4], [0.4, 2.0]])
LINEAR = [row for row in NOISY if is_linear(row.dynamics) and not row.scheme.exact_law]


@pytest.mark.parametrize("a", [0.1, 1.3])  # the second is beyond the stability limit
def test_gradient_descent(a):
    l, c, spread, n = 1.7, 2.5, 3.0, np.array([0, 1, 2, 7, 40])
    q = (1 - a * l) ** 2
    found = transient_covariance(tw.gradient_descent(None, a), l, n, c, start=spread)
    np.testing.assert_allclose(found, q**n * spread + a**2 * c * (1 - q**n) / (1 - q), rtol=1e-13)


@pytest.mark.parametrize("ahead", [0.0, 1.0])
def test_momentum_written_out(ahead):
    """E xx, E xv and E vv of v' = b v - a (l (x + c b v) + xi), x' = x + v', step by step."""
    a, b, l, c = 0.3, 0.8, 1.7, 2.5
    xx, xv, vv, spread = 3.0, 0.0, 0.0, [3.0]
    e, f = b - a * l * ahead * b, -a * l
    for _ in range(25):
        new_vv = e * e * vv + 2 * e * f * xv + f * f * xx + a * a * c
        new_xv = (e * xv + f * xx) + new_vv
        xx = xx + 2 * (e * xv + f * xx) + new_vv
        xv, vv = new_xv, new_vv
        spread.append(xx)
    make = tw.nesterov if ahead else tw.momentum
    found = transient_covariance(make(None, a, b), l, np.arange(26), c, start=3.0)
    np.testing.assert_allclose(found, spread, rtol=1e-12)


@pytest.mark.parametrize("row", [pytest.param(row, id=row.name) for row in LINEAR])
def test_in_the_end_it_is_the_stationary_law(row):
    """Also at a number of steps that no loop would reach, whatever the start."""
    for of in ["position", *(["velocity"] if row.dynamics.order == 2 else [])]:
        exact = stationary_covariance(row.method, HESSIAN, NOISE, of)
        found = transient_covariance(row.method, HESSIAN, [10**4, 10**9], NOISE, start=NOISE, of=of)
        np.testing.assert_allclose(found, [exact, exact], rtol=1e-10)


def test_a_run_spreads_as_predicted(key, chance):
    """BAOAB keeps a force, and leapfrog starts half a step back: both know the start."""
    many, spread = 20_000, np.array([[1.0, -0.6], [-0.6, 0.8]])

    def bowl(x):
        return 0.5 * jnp.einsum("...i,ij,...j->", x, HESSIAN, x)

    starts = jax.random.normal(key, (many, 2)) @ np.linalg.cholesky(spread).T
    bath = tw.Method(tw.UnderdampedLangevin(bowl, 0.4, 0.6), tw.Splitting("BAOAB"), 0.7)
    ball = tw.Method(tw.HeavyBall(bowl, 0.4), tw.Leapfrog(), 0.7)
    for method in (bath, ball):
        state = method.init(starts)
        for k in range(5):
            draws = method.draw(jax.random.fold_in(key, k), state.position) if method.normals else tw.schemes.Draws()
            state = method.step(state, draws)
        for of in ("position", "velocity"):
            predicted = transient_covariance(method, HESSIAN, 5, start=spread, of=of)
            assert_covariance(np.asarray(getattr(state, of)), predicted, chance, checks=4)


def test_a_direction_without_curvature_is_a_walk():
    n = np.array([1, 1000, 10**9])
    found = transient_covariance(tw.sgld(None, 0.1, 0.7), np.diag([0.0, 2.0]), n)
    np.testing.assert_allclose(found[:, 0, 0], 2 * 0.7 * 0.1 * n, rtol=1e-12)
    # Momentum as a walk: n a^2 C/(1 - b)^2 in the end.
    found = transient_covariance(tw.momentum(None, 0.1, 0.9), 0.0, 10**8, 3.0)
    assert found == pytest.approx(1e8 * 0.01 * 3.0 / 0.01, rel=1e-6)


def test_the_mean_is_a_run():
    method = tw.nesterov(lambda x: 0.5 * x @ HESSIAN @ x, 0.3, 0.8)
    start = np.array([1.0, -2.0])
    run = tw.run(method, jnp.asarray(start), 9)
    np.testing.assert_allclose(transient_mean(method, HESSIAN, 9, start), run.final.position, rtol=1e-12)
    seen = transient_mean(method, HESSIAN, [[0, 9]], start, of="lookahead")
    assert seen.shape == (1, 2, 2)
    np.testing.assert_allclose(seen[0, 1], run.final.lookahead, rtol=1e-12)


REFUSED = {
    "half a step": (lambda: transient_covariance(tw.sgld(None, 0.1), 1.0, 2.5), "steps must be a whole number"),
    "truth": (lambda: transient_covariance(tw.sgld(None, 0.1), 1.0, True), "steps must be a whole number"),
    "none": (lambda: transient_covariance(tw.sgld(None, 0.1), 1.0, []), "steps must be a whole number"),
    "back": (lambda: transient_covariance(tw.sgld(None, 0.1), 1.0, [3, -1]), "at least 0, but is -1"),
    "no noise": (lambda: transient_covariance(tw.momentum(None, 0.1), 1.0, 3), "a point stays a point"),
    "far": (lambda: transient_covariance(tw.gradient_descent(None, 3.0), 1.0, 10**4, 1.0), "beyond the range"),
    "a start": (lambda: transient_covariance(tw.sgld(None, 0.1), np.eye(2), 3, start=np.eye(3)), "start must be"),
    "a mean": (lambda: transient_mean(tw.sgld(None, 0.1), np.eye(2), 3, start=1.0), "finite array of shape (2,)"),
    "a word": (lambda: transient_mean(tw.sgld(None, 0.1), 1.0, 3, start="x"), "start must be"),
    "schedule": (lambda: transient_covariance(tw.gradient_descent(None, lambda k: 0.1), 1.0, 3, 1.0), "constant"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = REFUSED[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)
