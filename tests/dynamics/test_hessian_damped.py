"""Damping along the curvature: closed forms mode by mode, the form without a Hessian, and no oscillation."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import thalweg as tw
from thalweg._objectives.objective import Quadratic
from thalweg.analysis import convergence_order

CURVATURES = np.array([0.02, 0.5, 3.0, 40.0])
X0 = np.array([1.0, -0.7, 0.5, 1.3])
BOWL = Quadratic(jnp.asarray(CURVATURES))
LOPSIDED = tw.problems.lopsided()


def closed(t, friction, strength):
    """From rest, by the two roots of every mode."""
    half = (friction + strength * CURVATURES) / 2.0
    gap = np.sqrt((half**2 - CURVATURES).astype(complex))
    one, other = -half + gap, -half - gap
    t = t[:, None]
    return (X0 * (one * np.exp(other * t) - other * np.exp(one * t)) / (one - other)).real


def motion(law, start, time, steps):
    return tw.run(tw.Method(law, tw.RK4(), time / steps), start, steps, record=1)


def turns(positions):
    """Where any mode crosses 0."""
    return int(np.sum(positions[1:] * positions[:-1] < 0))


@pytest.mark.parametrize(("friction", "strength"), [(0.3, 0.0), (0.3, 0.2), (0.5, 2.1)])
def test_a_mode_has_the_damping_of_its_curvature(friction, strength):
    run = motion(tw.HessianDampedFlow(BOWL, strength, friction=friction), X0, 12.0, 4000)
    np.testing.assert_allclose(run.trace.position, closed(run.trace.time, friction, strength), rtol=0, atol=2e-7)
    # Between the two curvatures at which the damping is critical a mode rolls through, elsewhere it does not.
    rolls = friction + strength * CURVATURES < 2.0 * np.sqrt(CURVATURES)
    if strength:
        root = np.sqrt(max(1.0 - friction * strength, 0.0))
        np.testing.assert_array_equal(rolls, np.abs(strength * np.sqrt(CURVATURES) - 1.0) < root)
    for mode in range(4):
        rings = rolls[mode] and np.sqrt(CURVATURES[mode]) * 12.0 > 2 * np.pi
        assert (turns(run.trace.position[:, mode]) > 0) == rings
    assert bool(rolls.any()) == (friction * strength < 1.0)


@pytest.mark.slow
@pytest.mark.parametrize("friction", [0.4, None], ids=["constant", "fading"])
def test_the_form_without_a_hessian_is_the_same_motion(friction):
    """x' = w - b g, w' = -friction (w - b g) - g; from x' = 0, w starts as b g."""
    strength, horizon = 0.3, 2.0
    law = tw.HessianDampedFlow(LOPSIDED.objective, strength, friction=friction)
    start, begin = np.asarray(LOPSIDED.start), 1e-5 if friction is None else 0.0
    slope = jax.jit(lambda x: LOPSIDED.objective.gradient(x))

    def field(t, y):
        g = np.asarray(slope(jnp.asarray(y[:3])))
        v = y[3:] - strength * g
        return np.concatenate([v, -(3.0 / t if friction is None else friction) * v - g])

    first = np.concatenate([start, strength * np.asarray(slope(jnp.asarray(start)))])
    expected = solve_ivp(field, (begin, horizon), first, "DOP853", rtol=1e-10, atol=1e-12).y[:3, -1]
    found = motion(law, LOPSIDED.start, horizon, 400).final.position
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-8)


def test_it_is_the_high_resolution_equation_but_for_the_weight_of_the_force():
    s, mu = 0.04, 0.5
    high = tw.HighResolutionFlow(LOPSIDED.objective, s, mu)
    damped = tw.HessianDampedFlow(LOPSIDED.objective, np.sqrt(s), friction=2 * np.sqrt(mu))
    x, v = LOPSIDED.start, jnp.array([0.4, -0.9, 0.3])
    extra = np.sqrt(mu * s) * LOPSIDED.objective.gradient(x)
    np.testing.assert_allclose(high.acceleration(None, x, v), damped.acceleration(None, x, v) - extra, rtol=1e-13)


def test_it_keeps_its_order_through_the_singular_start():
    method = tw.Method(tw.HessianDampedFlow(LOPSIDED.objective, 0.3, damping=4.0), tw.RK4(), 0.1)
    assert convergence_order(method, LOPSIDED.start, horizon=2.0).order == pytest.approx(4.0, abs=0.1)


def test_wrong_input_is_one_line(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for wrong, says in (
        ({"curvature_damping": -1.0}, "curvature_damping must be at least 0"),
        ({"curvature_damping": 0.1, "damping": 0.0}, "damping must be greater than 0"),
        ({"curvature_damping": 0.1, "friction": np.nan}, "friction must be finite"),
    ):
        with pytest.raises(tw.InputError, match=says):
            tw.HessianDampedFlow(None, **wrong)
