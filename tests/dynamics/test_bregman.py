"""Bregman flows: Bessel functions on a quadratic, one curve for all p, the rate, and no stable step."""

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy.special import j1

import thalweg as tw
from thalweg._objectives.objective import Quadratic
from thalweg.analysis import convergence_order, largest_stable_step, spectral_radius

CURVATURES = np.array([0.3, 1.0, 4.0])
X0 = np.array([1.0, -0.8, 0.5])
BOWL = Quadratic(jnp.asarray(CURVATURES))
LOPSIDED = tw.problems.lopsided()


def closed(t, p, strength):
    phase = 2.0 * np.sqrt(strength) * np.multiply.outer(t ** (p / 2.0), np.sqrt(CURVATURES))
    return X0 * 2.0 * j1(phase) / phase


def motion(law, start, time, steps):
    return tw.run(tw.Method(law, tw.RK4(), time / steps), start, steps, record=1)


@pytest.mark.parametrize(("p", "strength"), [(2.0, 0.25), (2.0, 1.0), (3.0, 0.4), (4.0, 0.1)])
def test_on_a_quadratic_it_is_a_bessel_function_and_within_the_rate(p, strength):
    run = motion(tw.BregmanFlow(BOWL, p, strength), X0, 4.0, 2000)
    t = run.trace.time[1:]
    np.testing.assert_allclose(run.trace.position[1:], closed(t, p, strength), rtol=0, atol=3e-7)
    bound = np.sum(X0**2) / (2.0 * strength * t**p)
    assert 0.1 < np.max(run.metrics["loss"][1:] / bound) < 1.0


def test_every_p_follows_one_curve():
    """At t = 1.6 of p, 2 is at 1.6^(p/2), on a function where nothing is known in closed form."""
    for p in (3.0, 4.0):
        fast = motion(tw.BregmanFlow(LOPSIDED.objective, p), LOPSIDED.start, 1.6, 400)
        slow = motion(tw.BregmanFlow(LOPSIDED.objective), LOPSIDED.start, 1.6 ** (p / 2), 400)
        np.testing.assert_allclose(fast.final.position, slow.final.position, rtol=0, atol=1e-8)
        np.testing.assert_allclose(fast.final.velocity, p / 2 * 1.6 ** (p / 2 - 1) * slow.final.velocity, atol=1e-7)


@pytest.mark.slow
def test_at_two_and_a_quarter_it_is_nesterovs():
    ours, theirs = tw.BregmanFlow(LOPSIDED.objective), tw.NesterovFlow(LOPSIDED.objective)
    for t in (0.0, 0.7):
        v = jnp.zeros(3) if t == 0.0 else jnp.array([0.3, -1.0, 0.2])
        one, other = (law.acceleration(jnp.asarray(t), LOPSIDED.start, v) for law in (ours, theirs))
        np.testing.assert_allclose(one, other, rtol=1e-14)


@pytest.mark.slow
@pytest.mark.parametrize(("p", "order"), [(3.0, 4.0), pytest.param(2.5, 2.5, marks=pytest.mark.slow)])
def test_the_start_is_as_smooth_as_its_power(p, order):
    method = tw.Method(tw.BregmanFlow(LOPSIDED.objective, p), tw.RK4(), 0.1)
    assert convergence_order(method, LOPSIDED.start, horizon=2.0).order == pytest.approx(order, abs=0.1)


@pytest.mark.slow
def test_the_speed_of_time_is_paid_for_by_the_step():
    """No step is stable for ever where the force grows; a fixed step that is stable early blows up."""
    method = tw.Method(tw.BregmanFlow(BOWL, 3.0), tw.RK4(), 0.1)
    assert largest_stable_step(method, CURVATURES) == 0.0
    assert spectral_radius(method, 1.0) == np.inf
    assert spectral_radius(method, 1.0, time=5.0) < 1.0
    run = tw.run(method, X0, 5000)
    assert run.status != "finished"
    # Along the imaginary axis RK4 is stable to sqrt(8): h^2 9/4 t l < 8, less than t = 89 at l = 4.
    assert 40 < run.trace.time[-1] < 150 if run.trace is not None else run.steps * 0.1 < 150


def test_wrong_input_is_one_line(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError, match=r"p must be at least 2, but is 1\.5"):
        tw.BregmanFlow(None, 1.5)
    with pytest.raises(tw.InputError, match="strength must be greater than 0"):
        tw.BregmanFlow(None, strength=0.0)
    with pytest.raises(tw.InputError, match="BregmanFlow starts from rest"):
        tw.run(tw.Method(tw.BregmanFlow(BOWL), tw.RK4(), 0.1), X0, 3, velocity=np.ones(3))
    with pytest.raises(tw.InputError, match="BregmanFlow has no separate force"):
        tw.Method(tw.BregmanFlow(None), tw.Leapfrog(), 0.1)
