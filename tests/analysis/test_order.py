"""The measured order: its reference is right, its floor is kept out, and a wrong scheme shows."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm
from scipy.special import j1

import thalweg as tw
from thalweg.analysis import convergence_order, order
from thalweg.dynamics import AbstractFirstOrder, Phase, as_objective
from thalweg.schemes import ButcherTableau

LOPSIDED = tw.problems.lopsided()
F, START = LOPSIDED.objective, LOPSIDED.start
CURVATURE = np.array([0.5, 1.3, 4.0])
Q = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
HESSIAN = Q @ np.diag(CURVATURE) @ Q.T
QUADRATIC = tw.Objective(lambda x, H: 0.5 * x @ (H @ x), args=jnp.asarray(HESSIAN))
X0, V0 = np.array([1.0, -2.0, 0.5]), np.array([0.3, 0.8, -1.1])
T = 1.25


def gradient_flow():
    return tw.Method(tw.GradientFlow(QUADRATIC, rate=1.5), tw.Heun(), 0.1), None, expm(-1.5 * T * HESSIAN) @ X0


def heavy_ball():
    system = np.block([[np.zeros((3, 3)), np.eye(3)], [-HESSIAN / 2.0, -0.7 / 2.0 * np.eye(3)]])
    end = (expm(T * system) @ np.concatenate([X0, V0]))[:3]
    return tw.Method(tw.HeavyBall(QUADRATIC, friction=0.7, mass=2.0), tw.Leapfrog(), 0.1), V0, end


def nesterov_ode():
    """2 J_1(t sqrt(l)) / (t sqrt(l)) along each eigenvector (Su, Boyd and Candès 2016, section 3.1)."""
    z = T * np.sqrt(CURVATURE)
    end = Q @ (2 * j1(z) / z * (Q.T @ X0))
    return tw.Method(tw.NesterovFlow(QUADRATIC), tw.Leapfrog(), 0.1), None, end


@pytest.mark.parametrize("case", [gradient_flow, heavy_ball, nesterov_ode], ids=lambda case: case.__name__)
def test_the_reference_is_the_closed_form(case):
    method, velocity, end = case()
    velocity = None if velocity is None else jnp.asarray(velocity)
    found = convergence_order(method, jnp.asarray(X0), horizon=T, velocity=velocity)
    given = convergence_order(method, jnp.asarray(X0), horizon=T, velocity=velocity, reference=jnp.asarray(end))
    np.testing.assert_allclose(found.errors, given.errors, rtol=1e-7, atol=2e-14)
    assert found.order == pytest.approx(2.0, abs=0.02) and given.order == pytest.approx(2.0, abs=0.02)
    assert (found.reference, given.reference) == ("DOP853", "given")


def test_the_first_errors_are_those_of_the_steps():
    method = tw.Method(tw.GradientFlow(QUADRATIC), tw.Euler(), 0.1)
    found = convergence_order(method, jnp.asarray(X0), horizon=T, steps=[10, 20])
    for n, error in zip((10, 20), found.errors, strict=True):
        after = np.linalg.matrix_power(np.eye(3) - T / n * HESSIAN, n) @ X0
        assert error == pytest.approx(np.linalg.norm(after - expm(-T * HESSIAN) @ X0), rel=1e-9)
    assert found.slopes == pytest.approx([np.log2(found.errors[0] / found.errors[1])])


def test_a_wrong_coefficient_lowers_the_order():
    wrong = ButcherTableau("wrong", ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 0.9)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), 4)
    assert convergence_order(tw.Method(tw.GradientFlow(None), tw.RungeKutta(wrong), 0.1)).order < 1.1


def test_what_does_not_converge_has_no_order():
    method = tw.Method(tw.GradientFlow(F), tw.RK4(), 0.1)
    assert abs(convergence_order(method, START, horizon=1.0, reference=START).order) < 0.01


def test_rounding_does_not_enter():
    method = tw.Method(tw.GradientFlow(F), tw.RK4(), 0.1)
    found = convergence_order(method, START, steps=[64, 128, 256, 512, 4096, 8192])
    assert found.errors[-1] > found.errors[-3] / 8**4, "the last errors are rounding"
    assert found.order == pytest.approx(4.0, abs=0.1)
    with pytest.raises(tw.InputError, match="fewer than two runs have an error above rounding"):
        convergence_order(method, START, steps=[4096, 8192])


def test_runs_that_blow_up_do_not_enter():
    quartic = tw.Objective(lambda x: jnp.sum(x**4) / 4 + jnp.sum(x**2))
    law = tw.GradientFlow(quartic)
    found = convergence_order(tw.Method(law, tw.Heun(), 0.1), 3 * START, horizon=1.0, steps=[2, 4, 128, 256, 512])
    assert found.errors[0] > 1e40 and np.isnan(found.errors[1])
    assert found.order == pytest.approx(2.0, abs=0.1)


def test_a_tree_in_single_precision_is_measured_in_double():
    def f(tree):
        return jnp.sum(jnp.cosh(tree["a"])) + jnp.sum(jnp.sin(tree["b"]) * tree["a"][0]) + jnp.sum(tree["b"] ** 2)

    start = {"a": jnp.array([1.0, -0.5], jnp.float32), "b": jnp.array([[0.25]], jnp.float32)}
    velocity = {"a": jnp.array([0.5, 0.25], jnp.float32), "b": jnp.array([[-1.0]], jnp.float32)}
    method = tw.Method(tw.HeavyBall(f, 0.5), tw.RK4(), 0.1)
    found = convergence_order(method, start, velocity=velocity)
    assert found.order == pytest.approx(4.0, abs=0.1)
    with jax.enable_x64(False):
        again = convergence_order(tw.Method(tw.HeavyBall(f, 0.5), tw.RK4(), 0.1), start, velocity=velocity)
    np.testing.assert_allclose(again.errors, found.errors, rtol=1e-6, atol=1e-13)


def test_without_an_objective_it_is_lopsided():
    bare, given = tw.Method(tw.GradientFlow(None), tw.Heun(), 0.1), tw.Method(tw.GradientFlow(F), tw.Heun(), 0.1)
    np.testing.assert_array_equal(convergence_order(bare).errors, convergence_order(given, START).errors)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x0": None}, "x0 must be given where the method has an objective"),
        ({"steps": [32]}, "steps must hold at least two different numbers of steps"),
        ({"steps": [32, 32]}, "steps must hold at least two different numbers of steps"),
        ({"steps": [0, 32]}, "steps must be a whole number of at least 1"),
        ({"horizon": -1.0}, "horizon must be greater than 0"),
        ({"horizon": np.inf}, "horizon must be finite"),
        ({"reference": jnp.ones(2)}, "reference must be a position of the shape of x0"),
        ({"velocity": jnp.ones(3)}, "a starting velocity needs a second-order law"),
        ({"x0": jnp.array([1.0, jnp.nan, 0.0])}, "the start must be finite"),
    ],
)
def test_wrong_input_is_one_line(change, message):
    arguments = {"x0": START} | change
    with pytest.raises(tw.InputError, match=message) as caught:
        convergence_order(tw.Method(tw.GradientFlow(F), tw.Euler(), 0.1), **arguments)
    assert "\n" not in str(caught.value)


def test_a_mini_batch_has_no_order():
    noisy = tw.FiniteSum(lambda x, s: jnp.sum((x - s) ** 2), jnp.arange(12.0).reshape(4, 3), batch_size=2)
    with pytest.raises(tw.InputError, match="give the FiniteSum no batch_size"):
        convergence_order(tw.gradient_descent(noisy, 0.1), START)


def test_a_horizon_is_asked_for_where_no_time_scale_follows():
    method = tw.Method(tw.GradientFlow(lambda x: -jnp.sum(x**2)), tw.Heun(), 0.1)
    with pytest.raises(tw.InputError, match="horizon must be given: the curvature at the start is not positive"):
        convergence_order(method, START)
    assert convergence_order(method, START, horizon=1.0).order == pytest.approx(2.0, abs=0.1)


def test_a_law_that_blows_up_is_refused():
    method = tw.Method(tw.GradientFlow(lambda x: -jnp.sum(x**4)), tw.Heun(), 0.1)
    with pytest.raises(tw.InputError, match="DOP853 cannot follow the law up to the horizon 10"):
        convergence_order(method, START, horizon=10.0)


class Signs(AbstractFirstOrder):
    """Descent by signs alone, which has a kink where a slope changes its own."""

    objective: Any = eqx.field(converter=as_objective)

    def rates(self, time, phase, evaluation):
        del time, phase
        return Phase(jnp.sign(-evaluation.gradient))


def test_a_law_with_a_kink_is_given_up_in_one_line(monkeypatch):
    monkeypatch.setattr(order, "_MOST", 3000)
    method = tw.Method(Signs(None), tw.Euler(), 0.1)
    with pytest.raises(tw.InputError, match=r"after 3000 evaluations it is at time 0.45\d+, where the law has a kink"):
        convergence_order(method)


@pytest.mark.parametrize(
    "method",
    [
        tw.gradient_descent(QUADRATIC, 0.1),
        tw.Method(tw.HeavyBall(QUADRATIC, 1.0), tw.Leapfrog(), 0.1),
        tw.Method(tw.NesterovFlow(QUADRATIC), tw.RK4(), 0.1),
        tw.Method(tw.Field(lambda t, x, args: -args * x, 2.0), tw.Heun(), 0.1),
    ],
    ids=["flow", "ball", "nesterov", "field"],
)
def test_nothing_moves_from_a_stationary_point(method):
    with pytest.raises(tw.InputError, match="nothing moves from x0, a stationary point of the law"):
        convergence_order(method, jnp.zeros(3), horizon=1.0)


def test_from_zero_where_the_law_moves():
    """The tolerance of the reference is relative to the start, of which there is nothing here."""
    shifted = tw.Objective(lambda x: 0.5 * jnp.sum(jnp.array([0.5, 1.3, 4.0]) * (x - 1.0) ** 2))
    found = convergence_order(tw.Method(tw.GradientFlow(shifted), tw.Heun(), 0.1), jnp.zeros(3), horizon=1.0)
    assert abs(found.order - 2.0) < 0.05
