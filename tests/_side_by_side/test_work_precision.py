"""Work and precision: errors, gradients and costs are those of closed forms and loops by hand."""

import dataclasses
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from jaxtyping import Array, Float, Int

import thalweg as tw
from thalweg._side_by_side.solution import solution
from thalweg._side_by_side.work_precision import WorkPoint, WorkPrecision
from thalweg._tree import ravel, unraveler
from thalweg.analysis.order import reference_end
from thalweg.schemes import AbstractScheme, Report, State, Termination

SPECTRUM = np.array([0.3, 1.0, 5.0])
PROBLEM = tw.problems.quadratic(SPECTRUM, seed=3)
FLOW = tw.GradientFlow(PROBLEM.objective, rate=2.0)
START = jnp.array([1.0, -2.0, 0.7])
SCHEMES = {"Euler": (tw.Euler(), 1), "Heun": (tw.Heun(), 2), "RK4": (tw.RK4(), 4), "Tsit5": (tw.Tsit5(), 5)}
METHODS = {name: tw.Method(FLOW, scheme, 0.1) for name, (scheme, _) in SCHEMES.items()}


@pytest.fixture(scope="module")
def measured():
    return tw.work_precision(METHODS, START, until=1.5, repeats=2)


def test_errors_of_euler_are_those_of_its_powers(measured):
    basis = PROBLEM.objective.args["basis"]
    modes = np.asarray(START @ basis)
    exact = np.exp(-2.0 * 1.5 * SPECTRUM) * modes
    assert measured.scale == pytest.approx(np.linalg.norm(modes), rel=1e-14)
    seen = 0
    for point in measured.of("Euler"):
        end = (1.0 - 2.0 * SPECTRUM * 1.5 / point.steps) ** point.steps * modes
        error = np.linalg.norm(end - exact) / np.linalg.norm(modes)
        assert (point.gradients, point.step_size) == (point.steps, 1.5 / point.steps)
        assert not point.diverged
        assert point.error == pytest.approx(error, rel=1e-8)
        seen += 1
    assert seen == 11


def test_the_ladder_is_one_of_gradients_and_ends_at_the_accuracy_of_the_reference(measured):
    for name, each in (("Euler", 1), ("Heun", 2), ("RK4", 4), ("Tsit5", 6)):
        points = measured.of(name)
        assert [p.steps for p in points] == [2**k // each for k in range(4, 4 + len(points))]
        assert all(p.gradients == each * p.steps and p.seconds > 0 and p.tolerance is None for p in points)
        assert all(p.error is None or p.error > 1e-13 for p in points[:-1])
    assert len(measured.of("Tsit5")) < len(measured.of("RK4")) < 11
    assert measured.of("Tsit5")[-1].error <= 1e-13
    assert measured.reference.startswith("closed form")


def test_the_orders_are_those_of_the_schemes(measured):
    # Tsitouras' fifth order hides behind the sixth.
    for name, (_, order) in SCHEMES.items():
        assert measured.orders[name] == pytest.approx(order, abs=0.01 if order < 5 else 0.6)
    # A method of order p halves its error 2^p times where the step is small.
    assert measured.of("Heun")[-1].order == pytest.approx(2.0, abs=0.01)
    assert measured.of("Heun")[0].order is None


def test_on_a_mode_a_run_diverges_where_its_step_is_too_long():
    f = tw.problems.quadratic([1.0, 100.0], rotated=False)
    method = tw.Method(tw.GradientFlow(f.objective), tw.Euler(), 0.1)
    result = tw.work_precision({"Euler": method}, jnp.ones(2), 1.0, [10, 40, 60, 80], repeats=1)
    lost, _, good, better = result.points
    assert (lost.diverged, lost.error, lost.order) == (True, None, None)
    assert 9.0**10 > 1e9
    # 1.5^40 is larger than the limit, too; 60 steps of z = 5/3 are stable.
    assert result.points[1].diverged
    assert (good.diverged, good.order) == (False, None)
    assert good.error == pytest.approx(abs((1 - 1 / 60) ** 60 - np.exp(-1)) / np.sqrt(2), rel=1e-6)
    assert better.order == pytest.approx(1.0, abs=0.02)
    assert repr(result).count("diverged") == 2
    assert result.cost("Euler", 1e-2) == 60.0


def result_of(*rows):
    points = tuple(
        WorkPoint(name, n, 1.0 / n, None, n, 1e-3 * n * (2 if name == "b" else 1), error, error is None, None)
        for name, n, error in rows
    )
    return WorkPrecision(points, {"a": 2.0, "b": None}, "law", 1.0, "given", 1.0)


def test_costs_are_interpolated_in_the_logarithms():
    result = result_of(("a", 10, 1e-2), ("a", 100, 1e-4), ("b", 5, None), ("b", 20, 1e-3), ("b", 40, 0.0))
    assert result.cost("a", 1e-3) == pytest.approx(10 * 10**0.5)
    assert result.cost("a", 1e-3, "seconds") == pytest.approx(1e-2 * 10**0.5)
    assert result.cost("a", 1e-4) == 100
    assert result.cost("a", 1e-5) is None
    # Nothing to interpolate from: the run before diverged, or there is none.
    assert result.cost("a", 0.5) == 10
    assert result.cost("b", 1e-2) == 20
    assert result.cost("b", 1e-9) == 40
    assert (result.cheapest(1e-3), result.cheapest(1e-3, "seconds")) == ("b", "a")
    assert (result.cheapest(1e-4), result.cheapest(1e-9)) == ("b", "b")
    assert result_of(("a", 10, 1e-2)).cheapest(1e-3) is None
    with pytest.raises(tw.InputError, match="of 'time' is unknown"):
        result.cost("a", 1e-3, "time")
    with pytest.raises(tw.InputError, match="error must be greater than 0"):
        result.cost("a", 0.0)
    with pytest.raises(tw.InputError, match="method 'c' is unknown"):
        result.of("c")


def ball(c, friction, x0, v0, t):
    """The damped oscillator in closed form, underdamped."""
    half = friction / 2
    w = np.sqrt(c - half**2)
    return np.exp(-half * t) * (x0 * np.cos(w * t) + (v0 + half * x0) / w * np.sin(w * t))


def known(method, x0, until, velocity=None):
    flat = method.flattened(unraveler(x0))
    start_velocity = None if velocity is None else ravel(velocity)
    return solution(method, x0, flat, start_velocity, until)


@pytest.mark.parametrize("rotated", [False, True])
def test_the_closed_form_of_the_heavy_ball(rotated):
    problem = tw.problems.quadratic([2.0, 7.0], rotated=rotated, seed=1)
    method = tw.Method(tw.HeavyBall(problem.objective, friction=0.8), tw.RK4(), 0.1)
    x0, v0 = jnp.array([1.0, -0.5]), jnp.array([0.3, 2.0])
    basis = np.asarray(problem.objective.args["basis"]) if rotated else np.eye(2)
    expected = basis @ ball(np.array([2.0, 7.0]), 0.8, np.asarray(x0) @ basis, np.asarray(v0) @ basis, 3.0)
    found = known(method, x0, 3.0, v0)
    np.testing.assert_allclose(found.position, expected, rtol=0, atol=1e-14)
    assert found.known.startswith("closed form")


def test_steps_of_order_8_agree_with_the_closed_form():
    curved = tw.Objective(lambda x: 0.5 * jnp.sum(jnp.asarray(SPECTRUM) * x**2))
    found = known(tw.Method(tw.GradientFlow(curved), tw.Euler(), 0.1), START, 2.0)
    assert found.known.startswith("DOP853 in ")
    np.testing.assert_allclose(found.position, np.exp(-2.0 * SPECTRUM) * START, rtol=0, atol=1e-14)


@pytest.mark.slow
def test_steps_of_order_8_follow_a_law_that_begins_singular():
    law = tw.NesterovFlow(tw.problems.rosenbrock().objective, 3.0)
    x0 = jnp.array([-1.2, 1.0])
    found = known(tw.Method(law, tw.RK4(), 0.1), x0, 0.5, jnp.zeros(2))
    flat = tw.Method(law, tw.RK4(), 0.1).flattened(unraveler(x0)).dynamics
    np.testing.assert_allclose(found.position, reference_end(flat, x0, jnp.zeros(2), 0.5), rtol=0, atol=3e-13)


def test_a_law_that_is_not_linear_has_no_closed_form():
    """A rate in time, on a quadratic: the exponent is its integral."""
    law = tw.GradientFlow(PROBLEM.objective, rate=lambda t: 1.0 + t)
    found = known(tw.Method(law, tw.RK4(), 0.1), START, 1.0)
    basis = np.asarray(PROBLEM.objective.args["basis"])
    expected = basis @ (np.exp(-1.5 * SPECTRUM) * (np.asarray(START) @ basis))
    assert found.known.startswith("DOP853")
    np.testing.assert_allclose(found.position, expected, rtol=0, atol=1e-13)


@pytest.mark.slow
def test_a_tree_and_a_second_order_law():
    f = tw.Objective(lambda p: jnp.sum(jnp.cos(p["a"])) + 0.5 * jnp.sum(p["b"] ** 2))
    law = tw.HeavyBall(f, friction=0.5)
    both = {"leapfrog": tw.Method(law, tw.Leapfrog(), 0.1), "RK4": tw.Method(law, tw.RK4(), 0.1)}
    x0 = {"a": jnp.array([[2.0], [3.0]]), "b": jnp.array(1.0)}
    velocity = {"a": jnp.array([[0.1], [0.0]]), "b": jnp.array(-1.0)}
    result = tw.work_precision(both, x0, 2.0, [64, 128, 256], velocity=velocity, repeats=1)
    orders = {name: round(order, 1) for name, order in result.orders.items()}
    assert orders == {"leapfrog": 2.0, "RK4": 4.0}
    # A velocity that starts right takes a gradient.
    assert [p.gradients for p in result.of("leapfrog")] == [65, 129, 257]
    exact = tw.analysis.convergence_order(both["RK4"], x0, 2.0, [64, 128, 256], velocity)
    np.testing.assert_allclose([p.error * result.scale for p in result.of("RK4")], exact.errors, rtol=1e-3)


def test_gradients_of_a_scheme_whose_steps_differ_are_counted():
    method = tw.Method(FLOW, tw.RungeKuttaChebyshev(2), 0.1)
    assert method.gradients_vary
    result = tw.work_precision({"rkc": method}, START, 1.5, [10, 20], repeats=1)
    for point in result.points:
        run = tw.run(method.with_step_size(point.step_size), START, point.steps, progress=False)
        assert point.gradients == run.gradients


class Controlled(AbstractScheme):
    """Euler in as many steps as a tolerance asks for; a stand-in for what controls its error on the way."""

    rtol: Float[Array, ""]
    atol: Float[Array, ""]
    until: Float[Array, ""] | float | None = None
    most: int = eqx.field(static=True, default=10**6)
    order: ClassVar[int] = 1
    controlled: ClassVar[bool] = True

    def init(self, dynamics, position, step_size, velocity=None, clock=None):
        count: Int[Array, ""] = jnp.zeros((), int)
        return State(position, memory=count)

    def step(self, dynamics, state, step_size, draws=None):
        h = self.rtol * (1.0 if self.until is None else self.until)
        position = state.position + h * dynamics.velocity(None, state.position)
        return dataclasses.replace(state, position=position, memory=state.memory + 1)

    def report(self, state):
        return Report(ended=(state.memory >= jnp.round(1.0 / self.rtol)) | (state.memory >= self.most))

    def termination(self, state):
        return Termination("stalled" if int(state.memory) == self.most else "finished", "", int(state.memory))


@pytest.mark.slow
def test_adaptive_steps_are_those_of_a_run_at_the_same_tolerance():
    method = tw.Method(FLOW, tw.Adaptive(), 0.1)
    result = tw.work_precision({"adaptive": method}, START, 1.5, tolerances=[1e-4, 1e-8], repeats=1)
    for point in result.points:
        scheme = tw.Adaptive(rtol=point.tolerance, atol=point.tolerance, until=1.5)
        run = tw.run(tw.Method(FLOW, scheme, 0.1), START, 1000, record=None)
        assert run.status == "finished" and point.gradients == run.gradients
    coarse, fine = result.points
    assert 0 < fine.error < 1e-2 * coarse.error < 1e-5


@pytest.mark.slow
def test_a_scheme_that_sets_its_steps_is_run_at_tolerances():
    methods = {"free": tw.Method(FLOW, Controlled(jnp.ones(()), jnp.ones(())), 0.1), "Euler": METHODS["Euler"]}
    result = tw.work_precision(methods, START, 1.5, [20, 40], [0.025, 0.05], repeats=1)
    for by_tolerance, by_step in zip(result.of("free"), result.of("Euler"), strict=True):
        assert by_tolerance.error == pytest.approx(by_step.error, rel=1e-12)
        assert by_tolerance.gradients == by_step.gradients
        assert (by_tolerance.steps, by_tolerance.step_size, by_tolerance.order) == (None, None, None)
    assert [p.tolerance for p in result.of("free")] == [0.05, 0.025]
    assert "tolerance 0.05" in repr(result)
    assert result.orders["free"] is None
    stalls = {"free": tw.Method(FLOW, Controlled(jnp.ones(()), jnp.ones(()), most=7), 0.1)}
    assert all(p.diverged for p in tw.work_precision(stalls, START, 1.5, tolerances=[0.01], repeats=1).points)


def test_a_scheme_that_does_not_say_when_it_has_ended_is_refused():
    class Endless(Controlled):
        def report(self, state):
            return Report()

    endless = {"free": tw.Method(FLOW, Endless(jnp.ones(()), jnp.ones(())), 0.1)}
    with pytest.raises(tw.InputError, match=r"Endless sets the length of its steps, but its report .*ended"):
        tw.work_precision(endless, START, 1.5, tolerances=[0.05], repeats=1)


def test_nothing_is_left_in_another_precision():
    jax.config.update("jax_enable_x64", False)
    try:
        f = tw.problems.quadratic([1.0, 4.0])
        result = tw.work_precision(
            [tw.Method(tw.GradientFlow(f.objective), tw.RK4(), 0.1)], f.start, 1.0, [64], repeats=1
        )
        z = np.array([1.0, 4.0]) / 64
        error = np.linalg.norm((1 - z + z**2 / 2 - z**3 / 6 + z**4 / 24) ** 64 - np.exp(-64 * z)) / np.sqrt(2)
        assert result.points[0].error == pytest.approx(error, rel=1e-3)
        assert result.reference.startswith("DOP853")
        assert result.methods == ("GradientFlow RK4",)
    finally:
        jax.config.update("jax_enable_x64", True)


NOISY = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum((x - s) ** 2), jnp.ones((4, 3)), batch_size=2)
FREE = tw.Method(FLOW, tw.AdaptiveChebyshev(), 1.0)
LANGEVIN = tw.Method(tw.OverdampedLangevin(PROBLEM.objective, 0.1), tw.EulerMaruyama(), 0.1)
OTHER = tw.Method(tw.GradientFlow(PROBLEM.objective, 1.0), tw.Euler(), 0.1)
SECOND = tw.Method(tw.HeavyBall(PROBLEM.objective, 1.0), tw.Leapfrog(), 0.1)


@pytest.mark.parametrize(
    ("methods", "options", "match"),
    [
        ({}, {}, "at least one method"),
        ({"a": METHODS["Euler"], "b": OTHER}, {}, r"one law.*'a' follows GradientFlow\(rate 2\) and 'b' .*rate 1\)"),
        ({"a": METHODS["Euler"], "b": SECOND}, {}, r"'b' HeavyBall\(friction 1, mass 1\)"),
        ({"a": LANGEVIN}, {}, r"methods\['a'\] draws noise"),
        ({"a": tw.gradient_descent(NOISY, 0.1)}, {}, r"methods\['a'\] draws noise or mini-batches"),
        ({"a": FREE}, {}, "AdaptiveChebyshev sets its own steps, and not by tolerances"),
        (METHODS, {"until": 0.0}, "until must be greater than 0"),
        (METHODS, {"until": float("inf")}, "until must be finite"),
        (METHODS, {"steps": []}, "steps must hold at least one number"),
        (METHODS, {"steps": [0]}, "steps must be a whole number of at least 1"),
        (METHODS, {"tolerances": [0.0]}, "tolerances must be greater than 0"),
        (METHODS, {"repeats": 0}, "repeats must be a whole number of at least 1"),
        (METHODS, {"velocity": START}, "a starting velocity needs a second-order law"),
    ],
)
def test_bad_input_is_one_line(methods, options, match, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError, match=match) as refused:
        tw.work_precision(methods, START, **({"until": 1.0} | options))
    assert "\n" not in str(refused.value)


def test_where_no_reference_can_be_had_it_is_said():
    rough = tw.Objective(lambda x: jnp.sum(jnp.abs(x) ** 1.5))
    with pytest.raises(tw.InputError, match=r"no reference to 1e-13 .* DOP853 in 16384 and 32768 steps differs by"):
        tw.work_precision([tw.gradient_descent(rough, 0.1)], jnp.ones(1), 3.0, [4])
