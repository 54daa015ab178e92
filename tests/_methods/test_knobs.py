"""The numbers of methods that are no rows: a user's own laws and schemes, and what is read by which names."""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

import thalweg as tw
from thalweg._methods.knobs import KNOBS, knobs_of
from thalweg.dynamics import AbstractFirstOrder, Phase, combine, scalar
from thalweg.schemes import AbstractScheme


class Own(AbstractScheme):
    """A user's own Euler method, of the names that every scheme has."""

    order: ClassVar[int] = 1
    takes_learning_rate: ClassVar[bool] = False

    def step(self, dynamics, state, step_size, draws=None):
        velocity = dynamics.velocity(state.time, state.position)
        return eqx.tree_at(lambda s: s.position, state, combine((1, state.position), (step_size, velocity)))


class Learning(Own):
    takes_learning_rate: ClassVar[bool] = True


class Steering(Own):
    """Sets its steps itself, by a number of its own."""

    eagerness: Float[Array, ""] = eqx.field(default=0.5, converter=scalar)
    name: str = eqx.field(default="steering", static=True)
    controlled: ClassVar[bool] = True


class Confusing(AbstractFirstOrder):
    """A law whose constants have the names of a framework's numbers."""

    objective: tw.Objective | None
    momentum: Float[Array, ""] = eqx.field(converter=scalar)
    learning_rate: Float[Array, ""] = eqx.field(converter=scalar)

    def rates(self, time, phase, evaluation):
        del time, evaluation
        return Phase(combine((-self.momentum, phase.position)))


FLOW = tw.GradientFlow(None, rate=4.0)


def test_a_scheme_of_ones_own_has_a_step_size_and_the_constants_of_the_law():
    method = tw.Method(FLOW, Own(), 0.25)
    assert method.hyperparameters == {"step_size": 0.25, "rate": 4.0}
    other = method.with_hyperparameters(step_size=0.5, rate=2.0)
    assert other.hyperparameters == {"step_size": 0.5, "rate": 2.0}
    with pytest.raises(tw.InputError, match="GradientFlow by Own has no learning rate"):
        method.with_learning_rate(0.1)


def test_a_scheme_that_takes_a_learning_rate_has_one_on_a_first_order_law():
    method = tw.Method(FLOW, Learning(), 0.25)
    assert method.hyperparameters == {"learning_rate": 1.0}
    moved = method.with_learning_rate(2.0)
    assert (moved.step_size, moved.dynamics.rate) == (0.5, 4.0)


def test_a_scheme_that_sets_its_steps_is_tuned_by_its_own_arrays():
    method = tw.Method(FLOW, Steering(), 0.25)
    assert method.hyperparameters == {"eagerness": 0.5}
    moved = method.with_hyperparameters(eagerness=0.75)
    assert (moved.scheme.eagerness, moved.scheme.name, moved.step_size, moved.dynamics) == (
        0.75,
        "steering",
        0.25,
        FLOW,
    )
    # The first step of an adaptive scheme is a user's.
    assert list(tw.Method(FLOW, tw.Adaptive(), 0.25).hyperparameters) == ["step_size", "rate"]


def test_the_constants_of_a_law_are_its_own_by_whatever_name():
    method = tw.Method(Confusing(None, 0.5, 3.0), tw.Euler(), 0.1)
    assert method.hyperparameters == pytest.approx({"step_size": 0.1, "momentum": 0.5, "learning_rate": 3.0})
    moved = method.with_hyperparameters(momentum=7.0)
    assert (moved.dynamics.momentum, moved.dynamics.learning_rate) == (7.0, 3.0)
    with pytest.raises(tw.InputError, match="Confusing by RungeKutta has no learning rate"):
        method.with_learning_rate(0.1)


@pytest.mark.parametrize(
    ("method", "step"),
    [
        (tw.gradient_descent(None, 0.1), "learning_rate"),
        (tw.gradient_descent(None, lambda k: 0.1), "step_size"),
        (tw.Method(tw.GradientFlow(None, rate=lambda t: 1.0 + t), tw.Euler(), 0.1), "step_size"),
        (tw.Method(tw.HeavyBall(None, 1.0), tw.Restarted(), 0.1), "learning_rate"),
        (tw.Method(tw.HeavyBall(None, lambda t: 1.0 + t), tw.Leapfrog(), 0.1), "step_size"),
        (tw.Method(tw.HeavyBall(None, 1.0), tw.RK4(), 0.1), "step_size"),
        (tw.Method(tw.OverdampedLangevin(None, lambda t: 1.0 + t), tw.EulerMaruyama(), 0.1), "step_size"),
        (tw.Method(tw.UnderdampedLangevin(None, 1.0, 1.0), tw.EulerMaruyama(), 0.1), "step_size"),
        (tw.Method(FLOW, tw.PseudoTransient(), 1.0), None),
    ],
)
def test_every_method_has_the_number_that_its_step_is(method, step):
    knobs = knobs_of(method)
    assert knobs.step == step and knobs in KNOBS
    assert next(iter(knobs.read(method))) == (step or "tolerance")


def test_a_rate_of_the_flow_and_a_mass_of_the_ball_stay_as_they_are():
    flow = tw.Method(FLOW, tw.Heun(), 0.25).with_hyperparameters(learning_rate=2.0)
    assert (flow.dynamics.rate, flow.step_size) == (4.0, 0.5)
    ball = tw.Method(tw.HeavyBall(None, 0.6, mass=2.5), tw.Lookahead(), 0.3)
    moved = ball.with_hyperparameters(**tw.momentum(None, 0.02, 0.7).hyperparameters)
    assert moved.dynamics.mass == 2.5
    # At mass m the same numbers are a step and a friction larger by its root.
    unit = tw.momentum(None, 0.02, 0.7)
    np.testing.assert_allclose(moved.step_size, unit.step_size * jnp.sqrt(2.5), rtol=1e-15)
    np.testing.assert_allclose(moved.dynamics.friction, unit.dynamics.friction * jnp.sqrt(2.5), rtol=1e-15)


@pytest.mark.parametrize(("value", "says"), [(2.5, "whole number, but is 2.5"), (-1.0, "at least 1, but is -1")])
def test_a_count_may_be_written_as_a_float_but_must_be_whole(value, says):
    method = tw.Method(FLOW, tw.PseudoTransient(max_gradients=50), 1.0)
    assert method.with_hyperparameters(max_gradients=70.0).hyperparameters["max_gradients"] == 70
    with pytest.raises(tw.InputError, match=f"max_gradients must be a .*{says}"):
        method.with_hyperparameters(max_gradients=value)
