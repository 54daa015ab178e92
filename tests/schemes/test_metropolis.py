"""Metropolis-adjusted Langevin: detailed balance of the step that runs, and what it refuses and counts."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import thalweg as tw
from thalweg.analysis import amplification, largest_stable_learning_rate, stationary_covariance
from thalweg.schemes import Draws
from thalweg.schemes.metropolis import EvaluatedPoint

T, H = 0.7, 0.35


def potential(x):
    """Neither symmetric nor quadratic."""
    return jnp.sum(0.25 * x**4 - 0.4 * x**3 + 0.3 * x)


METHOD = tw.mala(potential, H, T)
X = np.linspace(-3.0, 3.6, 1201)


def step_from(x, normal, uniform):
    draws = Draws(noise=(jnp.array([normal]),), uniforms=(jnp.asarray(uniform),))
    return METHOD.step(METHOD.init(jnp.array([x])), draws).position[0]


def kernel(log_acceptance):
    """p(x) q(x -> y) a(x -> y) on the grid: mean and spread of the proposal are the step's own, p is the law."""
    middle, moved = (
        X - H * np.asarray(jax.vmap(jax.grad(potential))(X)),
        np.asarray(jax.vmap(lambda x: step_from(x, 0.0, 0.0))(X)),
    )
    # Far out the probability of acceptance is below what float64 holds, and nothing moves.
    assert np.mean(moved == X) < 0.2
    np.testing.assert_allclose(moved[moved != X], middle[moved != X], rtol=0, atol=1e-14)
    spread = float(step_from(0.3, 1.0, 0.0) - step_from(0.3, 0.0, 0.0))
    q = np.exp(-0.5 * ((X[None, :] - middle[:, None]) / spread) ** 2) / (spread * np.sqrt(2 * np.pi))
    points = jax.vmap(lambda x: EvaluatedPoint(x[None], potential(x), -jax.grad(potential)(x)[None]))(X)
    accept = jax.vmap(lambda a: jax.vmap(lambda b: log_acceptance(a, b))(points))(points)
    law = np.exp(-np.asarray(jax.vmap(potential)(X)) / T)
    law /= law.sum()
    return law, q, np.exp(np.minimum(np.asarray(accept), 0.0))


def broken(a, b, wrong):
    """An acceptance with a mistake in it."""
    q = jnp.sum((b.position - a.position - H * a.force) ** 2) / (4 * H)
    back = jnp.sum((a.position - b.position - H * b.force) ** 2) / (4 * H)
    return {
        "no mistake": -(b.energy - a.energy + back - q) / T,
        "no proposal": -(b.energy - a.energy) / T,
        "a sign": -(b.energy - a.energy + q - back) / T,
        "a temperature": -(b.energy - a.energy + back - q),
    }[wrong]


def unbalance(log_acceptance):
    """How far one step moves the law, by quadrature, and the largest flow that has no counterflow."""
    law, q, accept = kernel(log_acceptance)
    width = X[1] - X[0]
    flow = law[:, None] * q * accept
    after = width * flow.sum(0) + law * (1.0 - width * (q * accept).sum(1))
    return np.abs(after - law).max() / law.max(), np.abs(flow - flow.T).max() / flow.max()


@pytest.mark.slow
def test_the_step_keeps_its_law():
    moved, flow = unbalance(lambda a, b: METHOD.scheme.log_acceptance(METHOD.dynamics, H, a, b))
    assert moved < 1e-12 and flow < 1e-12
    moved, flow = unbalance(lambda a, b: broken(a, b, "no mistake"))
    assert moved < 1e-12 and flow < 1e-12


@pytest.mark.parametrize("wrong", ["no proposal", "a sign", "a temperature"])
def test_a_wrong_acceptance_is_told_apart(wrong):
    moved, flow = unbalance(lambda a, b: broken(a, b, wrong))
    assert moved > 1e-4 and flow > 1e-2


def test_the_step_accepts_with_that_probability(rng):
    rejected = 0
    for x, normal in zip(rng.normal(size=20), rng.normal(size=20), strict=True):
        there = step_from(x, normal, 0.0)
        ends = [EvaluatedPoint(p[None], potential(p), -jax.grad(potential)(p)[None]) for p in (jnp.asarray(x), there)]
        chance = np.exp(min(float(METHOD.scheme.log_acceptance(METHOD.dynamics, H, *ends)), 0.0))
        assert step_from(x, normal, chance * (1 - 1e-9)) == there != x
        if chance < 1.0:
            assert step_from(x, normal, chance * (1 + 1e-9)) == x
            rejected += 1
    assert rejected > 3


def test_the_ratio_keeps_its_digits_in_single_precision(rng):
    """In 1000 dimensions: the squares are of order 1000, what is left of them is not."""
    x = rng.normal(size=1000)
    y = x + np.sqrt(2 * 1e-4) * rng.normal(size=1000)

    def ratio(dtype):
        a, b = (jnp.asarray(p, dtype) for p in (x, y))
        ends = [EvaluatedPoint(p, 0.5 * jnp.sum(p * p), -p) for p in (a, b)]
        # The energies themselves are the objective's, so that they are left out.
        ends = [EvaluatedPoint(p.position, jnp.zeros((), dtype), p.force) for p in ends]
        return float(METHOD.scheme.log_acceptance(METHOD.dynamics, 1e-4, *ends))

    assert ratio(jnp.float32) == pytest.approx(ratio(jnp.float64), rel=1e-5)


def test_a_run_counts_what_it_accepts(key):
    run = tw.run(tw.mala(potential, 1.5, T), jnp.array([0.5]), 400, key=key, record=1)
    positions = run.trace.position[:, 0]
    moved = np.mean(np.diff(positions) != 0)
    assert METHOD.scheme.acceptance(run.state) == moved
    assert 0.05 < moved < 0.9


def test_what_is_not_finite_is_rejected():
    """A logarithm beyond its wall is NaN, with a NaN force; a hole of minus infinity is refused as well."""
    for f in (lambda x: -jnp.sum(jnp.log(x)) + jnp.sum(x), lambda x: jnp.sum(jnp.where(x > 0, x, -jnp.inf))):
        method = tw.mala(f, 0.5)
        state = method.init(jnp.array([0.4]))
        after = method.step(state, Draws(noise=(jnp.array([-5.0]),), uniforms=(jnp.asarray(0.0),)))
        assert after.position == state.position and np.isfinite(after.memory.energy)
        assert np.isfinite(after.memory.force).all()
        again = method.step(after, Draws(noise=(jnp.array([0.5]),), uniforms=(jnp.asarray(0.0),)))
        assert again.position != state.position


def test_a_step_of_any_size_runs(key):
    run = tw.run(tw.mala(potential, 1e8, T), jnp.array([0.5]), 20, key=key)
    assert run.status == "finished" and run.final.position == 0.5


def test_gradients_are_counted():
    assert (METHOD.gradients_at_start, METHOD.gradients_per_step) == (1, 1)


def test_a_run_resumed_is_one_never_stopped(tmp_path):
    whole = tw.run(METHOD, jnp.ones(2), 40, key=3)
    tw.run(METHOD, jnp.ones(2), 15, key=3, out=tmp_path / "a")
    again = tw.run(METHOD, jnp.ones(2), 40, key=3, out=tmp_path / "a", resume=True)
    assert all((a == b).all() for a, b in zip(*map(jax.tree.leaves, (whole.state, again.state)), strict=True))


def test_it_has_no_limit_and_the_exact_law():
    assert largest_stable_learning_rate(METHOD, 4.0) == np.inf
    np.testing.assert_allclose(stationary_covariance(METHOD, np.diag([2.0, 5.0])), T * np.diag([0.5, 0.2]), rtol=1e-15)


BATCHES = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum((x - s) ** 2), np.ones((9, 2)), batch_size=3)
REFUSED = {
    "a schedule": (lambda: tw.mala(None, 0.1, lambda t: 1.0), "temperature must be a real number, but is"),
    "cold": (lambda: tw.mala(None, 0.1, 0.0), "temperature must be greater than 0, but is 0"),
    "mini-batches": (lambda: tw.mala(BATCHES, 0.1), "needs the exact energy, but the objective draws mini-batches"),
    "mini-batches later": (
        lambda: tw.mala(None, 0.1).with_objective(BATCHES).init(jnp.ones(2)), "the objective draws mini-batches",
    ),
    "underdamped": (
        lambda: tw.Method(tw.UnderdampedLangevin(None, 1.0, 1.0), tw.MetropolisAdjustedLangevin(), 0.1),
        'no separate velocity; use tw.Splitting("BAOAB")',
    ),
    "gradient noise": (lambda: stationary_covariance(METHOD, 1.0, 0.1), "takes no noise_covariance"),
    "flat": (lambda: stationary_covariance(METHOD, 0.0), "the Hessian is not positive definite"),
    "a matrix": (lambda: amplification(METHOD, 1.0), "accepted or rejected, so that no matrix makes it"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = REFUSED[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)
