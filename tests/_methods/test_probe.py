"""The linear probe against closed forms: amplification, radius, limits, contraction."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.dynamics import AbstractFirstOrder, Phase, combine
from thalweg.schemes import AbstractScheme, Draws, derivative, phase

A, B = 0.07, 0.8


@pytest.mark.parametrize("fraction", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("curvature", [0.3, 4.0, 25.0])
def test_eigenvalues_of_a_look_ahead(fraction, curvature):
    """z^2 - (1 + beta - al(1 + c beta)) z + beta - al c beta = 0, from the update written out."""
    make = {0.0: tw.momentum, 0.5: tw.midpoint_momentum, 1.0: tw.nesterov}[fraction]
    al, a = A * curvature, fraction * B
    roots = np.roots([1.0, -(1 + B - al * (1 + a)), B - al * a])
    found = np.linalg.eigvals(tw.analysis.amplification(make(None, A, B), curvature))
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(roots), rtol=0, atol=1e-13)


def test_the_matrix_is_the_step():
    """A z is the step of z, on a full Hessian."""
    hessian = np.array([[2.0, 0.5], [0.5, 1.0]])
    method = tw.Method(tw.HeavyBall(lambda x: 0.5 * jnp.vdot(x, jnp.asarray(hessian) @ x), 0.4), tw.RK4(), 0.3)
    matrix = tw.analysis.amplification(method, hessian)
    state = method.init(jnp.array([1.0, -2.0]), jnp.array([0.3, 0.7]))
    after = method.step(state)
    moved = matrix @ np.concatenate([state.position, state.velocity])
    np.testing.assert_allclose(moved, np.concatenate([after.position, after.velocity]), rtol=1e-14)


def test_several_curvatures_at_once():
    method = tw.nesterov(None, A, B)
    many = tw.analysis.amplification(method, [0.3, 4.0])
    assert many.shape == (2, 2, 2)
    np.testing.assert_array_equal(many[1], tw.analysis.amplification(method, 4.0))
    radii = tw.analysis.spectral_radius(method, [0.3, 4.0])
    np.testing.assert_allclose(radii, [tw.analysis.spectral_radius(method, c) for c in (0.3, 4.0)], rtol=1e-15)


def test_the_probe_is_float64_in_a_float32_session():
    with jax.enable_x64(False):
        limit = tw.analysis.largest_stable_learning_rate(tw.momentum(None, 0.1, 0.5), 1.0)
    assert abs(limit - 3.0) < 1e-6


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.9, 0.999])
@pytest.mark.parametrize("curvature", [0.01, 1.0, 300.0])
def test_learning_rate_limits(beta, curvature):
    """Mission 10: 2 + 2 beta, 2, (2 + 2 beta)/(1 + 2 beta)."""
    for make, closed in (
        (tw.momentum, 2 + 2 * beta),
        (tw.midpoint_momentum, 2.0),
        (tw.nesterov, (2 + 2 * beta) / (1 + 2 * beta)),
    ):
        found = tw.analysis.largest_stable_learning_rate(make(None, 0.1, beta), curvature)
        np.testing.assert_allclose(found * curvature, closed, rtol=1e-9)


@pytest.mark.parametrize("friction", [0.0, 0.1, 1.0, 30.0])
def test_leapfrogs_step_limit_does_not_depend_on_friction(friction):
    for mass in (1.0, 4.0):
        method = tw.Method(tw.HeavyBall(None, friction, mass), tw.Leapfrog(), 1.0)
        np.testing.assert_allclose(tw.analysis.largest_stable_step(method, 9.0), 2 * (mass / 9.0) ** 0.5, rtol=1e-9)


def test_no_step_is_stable_where_growth_is_weak():
    """Euler and the second-order Runge-Kutta methods on an oscillator without friction grow at every step."""
    oscillator = tw.HeavyBall(None, 0.0)
    for scheme in (tw.Euler(), tw.Midpoint(), tw.Heun(), tw.Ralston()):
        assert tw.analysis.largest_stable_step(tw.Method(oscillator, scheme, 1.0), 1.0) == 0.0
    limit = tw.analysis.largest_stable_step(tw.Method(oscillator, tw.RK4(), 1.0), 1.0)
    np.testing.assert_allclose(limit, 8**0.5, rtol=1e-9)


def test_the_largest_curvature_sets_the_limit():
    method = tw.gradient_descent(None, 1.0)
    np.testing.assert_allclose(tw.analysis.largest_stable_step(method, [0.1, 8.0, 3.0]), 0.25, rtol=1e-9)
    np.testing.assert_allclose(tw.analysis.largest_stable_step(method, np.diag([0.1, 8.0])), 0.25, rtol=1e-9)
    assert tw.analysis.largest_stable_step(method, -1.0) == 0.0


def test_a_rate_scales_the_limit():
    method = tw.Method(tw.GradientFlow(None, rate=5.0), tw.Euler(), 1.0)
    np.testing.assert_allclose(tw.analysis.largest_stable_step(method, 1.0), 0.4, rtol=1e-9)
    np.testing.assert_allclose(tw.analysis.largest_stable_learning_rate(method, 1.0), 2.0, rtol=1e-9)


@pytest.mark.slow
def test_contraction_per_gradient():
    """Plain Runge-Kutta never pays: on [mu, L] with its best step, each gradient buys less than Euler's."""
    spectrum = np.geomspace(0.01, 1.0, 50)

    def best(scheme):
        law = tw.GradientFlow(None)
        return min(
            tw.analysis.contraction_per_gradient(tw.Method(law, scheme, h), spectrum) for h in np.linspace(0.5, 3.5, 61)
        )

    euler = best(tw.Euler())
    np.testing.assert_allclose(euler, 0.99 / 1.01, rtol=2e-3)
    assert all(best(scheme) > euler for scheme in (tw.Midpoint(), tw.Heun(), tw.Ralston(), tw.RK4(), tw.Tsit5()))


def test_time_freezes_a_time_dependent_law():
    method = tw.Method(tw.NesterovFlow(None, damping=3.0), tw.Leapfrog(), 0.5)
    friction = 3.0 / 2.0
    frozen = tw.Method(tw.HeavyBall(None, friction), tw.Leapfrog(), 0.5)
    np.testing.assert_allclose(
        tw.analysis.amplification(method, 1.0, time=2.0), tw.analysis.amplification(frozen, 1.0), rtol=1e-14
    )


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: tw.analysis.amplification(tw.gradient_descent(None, 1.0), np.ones((2, 3))), "square Hessian"),
        (lambda: tw.analysis.amplification(tw.gradient_descent(None, 1.0), np.nan), "finite"),
        (
            lambda: tw.analysis.largest_stable_learning_rate(tw.Method(tw.NesterovFlow(None), tw.RK4(), 0.1), 1.0),
            "has no learning rate",
        ),
    ],
)
def test_wrong_input(call, says):
    with pytest.raises(tw.InputError, match=says):
        call()


class Bent(AbstractFirstOrder):
    """A law of which no matrix makes a step: its rates are those of `bend`."""

    objective: Any
    bend: Callable = eqx.field(static=True)
    elementwise: ClassVar[bool] = True

    def rates(self, time, phase, evaluation):
        del time
        return Phase(self.bend(evaluation.gradient))


class Remembering(AbstractFirstOrder):
    """Adam as a flow; with `held`, as a law that tells the probe what to hold."""

    objective: Any
    held: bool = eqx.field(default=False, static=True)
    frozen: bool = eqx.field(default=False, static=True)

    def initial_auxiliary(self, position):
        return jnp.zeros_like(position), jnp.full_like(position, 0.25)

    def linearised(self):
        return dataclasses.replace(self, frozen=self.held)

    def rates(self, time, phase, evaluation):
        del time
        mean, square = phase.auxiliary
        if self.frozen:
            return Phase(-mean / 0.5, auxiliary=(evaluation.gradient - mean, jnp.zeros_like(square)))
        return Phase(-mean / jnp.sqrt(square), auxiliary=(evaluation.gradient - mean, evaluation.gradient**2 - square))


@pytest.mark.parametrize(
    ("law", "told"),
    [
        (Bent(None, lambda g: -jnp.sign(g)), "not linear on a quadratic"),
        (Bent(None, lambda g: -g / jnp.linalg.norm(g)), "not linear on a quadratic"),
        (Bent(None, lambda g: -jnp.abs(g)), "not linear on a quadratic"),
        (Bent(None, lambda g: -jnp.linalg.svd(g)[0]), "raised TypeError on a quadratic of two parameters, one vector"),
        (Remembering(None), "not linear on a quadratic"),
    ],
)
@pytest.mark.parametrize("look", [tw.analysis.amplification, tw.analysis.largest_stable_step])
def test_a_law_that_is_not_linear_on_a_quadratic_is_not_told_a_limit(law, told, look):
    with pytest.raises(tw.InputError, match=rf"{type(law).__name__} .*{told}.*at=\(t, x\)"):
        look(tw.Method(law, tw.Euler(), 0.1), 1.0)


def test_what_is_not_linear_may_be_held():
    # x' = -m/0.5, m' = l x - m: a heavy ball of mass 1/2 and friction 1/2, whose limit by Euler is where |1 + h z| = 1.
    limit = tw.analysis.largest_stable_step(tw.Method(Remembering(None, held=True), tw.Euler(), 0.1), 1.0)
    roots = np.roots([1.0, 1.0, 2.0])
    assert limit == pytest.approx(min(-2.0 * roots.real / np.abs(roots) ** 2), rel=1e-9)


class Bashforth(AbstractScheme):
    """Adams and Bashforth's method of two steps; the first is Euler's."""

    order: ClassVar[int] = 2
    takes_learning_rate: ClassVar[bool] = True

    def init(self, dynamics, position, step_size, velocity=None, clock=None):
        state = super().init(dynamics, position, step_size, velocity, clock)
        return dataclasses.replace(state, memory=derivative(dynamics, None, phase(state), None).position)

    def step(self, dynamics, state, step_size, draws=Draws()):
        now = derivative(dynamics, state.time, phase(state), draws.batch).position
        position = combine((1, state.position), (1.5 * step_size, now), (-0.5 * step_size, state.memory))
        return dataclasses.replace(state, position=position, memory=now)


def test_a_scheme_of_several_steps_is_probed_with_what_it_keeps():
    h = 0.3
    method = tw.Method(tw.GradientFlow(None), Bashforth(), h)
    # x' = x - 3/2 h l x + h/2 m with m = the rate before; of x and m.
    found = tw.analysis.amplification(method, 2.0)
    np.testing.assert_allclose(found, [[1 - 1.5 * h * 2.0, -0.5 * h], [-2.0, 0.0]], atol=1e-14)
    # Stable on the real axis to h l = 1.
    assert tw.analysis.largest_stable_step(method, 2.0) == pytest.approx(0.5, rel=1e-9)
    assert tw.analysis.largest_stable_learning_rate(method, 2.0) == pytest.approx(0.5, rel=1e-9)
    field = tw.Method(tw.Field(lambda t, x, args: -2.0 * x), Bashforth(), h)
    assert tw.analysis.largest_stable_step(field, at=(0.0, jnp.ones(1))) == pytest.approx(0.5, rel=1e-9)


def test_what_a_scheme_keeps_to_spare_itself_is_no_variable():
    baoab = tw.Method(tw.UnderdampedLangevin(None, 1.0, 1.0), tw.Splitting("BAOAB"), 0.3)
    assert tw.analysis.amplification(baoab, 2.0).shape == (2, 2)
