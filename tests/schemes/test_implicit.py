"""Implicit Euler and the implicit midpoint rule: closed forms, the proximal point, tolerances, failures, input."""

import re

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import thalweg as tw
from thalweg.analysis import amplification, convergence_order

SPECTRUM = jnp.array([0.3, 2.0, 40.0])
BOWL = tw.Objective(lambda x: 0.5 * jnp.sum(SPECTRUM * x * x))
START = jnp.array([1.0, -2.0, 0.5])
BENT = tw.problems.lopsided()
SOLVING = [tw.ImplicitEuler(), tw.ImplicitMidpoint(), tw.RosenbrockEuler(), tw.ExponentialEuler()]


def name(value):
    return type(value).__name__


def after(method, x, velocity=None):
    return jax.jit(lambda x, v: method.step(method.init(x, v)))(x, velocity)


@pytest.mark.parametrize("curvature", [0.5, 3.0, -0.1])
@pytest.mark.parametrize("h", [1e-3, 0.7, 9.0])
def test_the_factors_on_gradient_flow(h, curvature):
    z = h * curvature
    closed = [1 / (1 + z), (1 - z / 2) / (1 + z / 2), 1 / (1 + z), np.exp(-z)]
    for scheme, factor in zip(SOLVING, closed, strict=True):
        [[found]] = amplification(tw.Method(tw.GradientFlow(None), scheme, h), curvature)
        assert found == pytest.approx(factor, rel=0, abs=1e-12 * max(1.0, factor)), name(scheme)


@pytest.mark.parametrize("friction", [0.0, 0.6, 30.0])
@pytest.mark.parametrize("curvature", [0.0, 3.0, -0.1])
def test_the_matrices_on_the_heavy_ball(curvature, friction):
    from scipy.linalg import expm

    mass, h = 1.7, 0.9
    law = np.array([[0.0, 1.0], [-curvature / mass, -friction / mass]])
    one = np.eye(2)
    implicit = np.linalg.inv(one - h * law)
    midpoint = np.linalg.solve(one - h / 2 * law, one + h / 2 * law)
    for scheme, closed in zip(SOLVING, (implicit, midpoint, implicit, expm(h * law)), strict=True):
        found = amplification(tw.Method(tw.HeavyBall(None, friction, mass), scheme, h), curvature)
        np.testing.assert_allclose(found, closed, rtol=0, atol=1e-12, err_msg=name(scheme))


@pytest.mark.slow
@pytest.mark.parametrize(
    "scheme",
    [
        tw.ImplicitMidpoint(tolerance=0.0),
        pytest.param(tw.RosenbrockEuler(tolerance=0.0), marks=pytest.mark.slow),
        pytest.param(tw.ExponentialEuler(), marks=pytest.mark.slow),
    ],
    ids=name,
)
def test_the_matrix_on_a_hessian_is_the_step(scheme):
    """The probe differentiates the equation, a run goes by iterations: to a tight tolerance both are one map."""
    hessian = np.array([[2.0, 0.5, 0.0], [0.5, 1.0, -0.3], [0.0, -0.3, 7.0]])
    f = tw.Objective(lambda x: 0.5 * jnp.vdot(x, jnp.asarray(hessian) @ x))
    eta = jnp.array([0.3, 0.7, -1.0])
    method = tw.Method(tw.HeavyBall(f, 0.4), scheme, 0.8)
    state = after(method, START, eta)
    moved = amplification(method, hessian) @ np.concatenate([START, eta])
    np.testing.assert_allclose(np.concatenate([state.position, state.velocity]), moved, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "scheme",
    [tw.ImplicitEuler(tolerance=0.0), pytest.param(tw.RosenbrockEuler(tolerance=0.0), marks=pytest.mark.slow)],
    ids=name,
)
def test_the_derivative_of_a_step_is_that_of_its_equation(scheme):
    """Against a difference quotient, on a nonlinear function; backwards as well as forwards."""
    method = tw.Method(tw.GradientFlow(BENT.objective), scheme, 0.7)

    def end(x):
        return method.step(method.init(x)).position

    push = 1e-5 * jnp.array([1.0, -2.0, 0.5])
    forward, backward, quotient = jax.jit(
        lambda x: (jax.jacfwd(end)(x), jax.jacrev(end)(x), (end(x + push) - end(x - push)) / 2)
    )(BENT.start)
    np.testing.assert_allclose(forward, backward, rtol=0, atol=1e-12)
    np.testing.assert_allclose(forward @ push, quotient, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "scheme",
    SOLVING,
    ids=name,
)
@pytest.mark.slow
def test_a_rate_of_time_keeps_the_order(scheme):
    law = tw.GradientFlow(BENT.objective, rate=lambda t: 1.0 + 0.5 * jnp.sin(3.0 * t))
    found = convergence_order(tw.Method(law, scheme, 0.1), BENT.start, steps=(32, 64, 128, 256, 512))
    assert found.order == pytest.approx(scheme.order, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", SOLVING, ids=name)
def test_a_friction_of_time_and_a_mass_keep_the_order(scheme):
    law = tw.HeavyBall(BENT.objective, lambda t: 1.0 / (1.0 + t), mass=1.7)
    found = convergence_order(tw.Method(law, scheme, 0.1), BENT.start, velocity=jnp.array([0.7, -0.4, 1.1]))
    assert found.order == pytest.approx(scheme.order, abs=0.1)


def test_the_midpoint_rule_conserves_quadratic_energy():
    """At steps far beyond the leapfrog's limit, 2 / sqrt(40)."""
    for h in (0.1, 3.0):
        method = tw.Method(tw.HeavyBall(BOWL, 0.0, 1.3), tw.ImplicitMidpoint(tolerance=0.0), h)

        def step(state, _, method=method):
            energy = BOWL.value(state.position) + 0.5 * 1.3 * jnp.sum(state.velocity**2)
            return method.step(state), energy

        first = method.init(START, jnp.array([0.5, 3.0, -1.0]))
        energies = np.asarray(jax.jit(lambda s, step=step: jax.lax.scan(step, s, length=200))(first)[1])
        np.testing.assert_allclose(energies, energies[0], rtol=1e-12)
    # What is nearly the same scheme does not.
    state = after(tw.Method(tw.HeavyBall(BOWL, 0.0, 1.3), tw.ImplicitEuler(), 0.1), START, jnp.zeros(3))
    assert BOWL.value(state.position) + 0.65 * jnp.sum(state.velocity**2) < 0.99 * BOWL.value(START)


# In one dimension: steeper on one side, convex and nearly straight far off, and two wells.
HILLS = {
    "steep": lambda x: jnp.sum(jnp.where(x > 0, 0.5, 50.0) * x**2),
    "hyperbola": lambda x: jnp.sum(jnp.sqrt(1.0 + x**2)),
    "wells": lambda x: jnp.sum((x**2 - 1.0) ** 2),
}


@pytest.mark.parametrize(
    ("scheme", "rising"),
    [(tw.ImplicitEuler, set()), (tw.ImplicitMidpoint, {"steep"}), (tw.RosenbrockEuler, {"hyperbola"})],
)
def test_of_the_implicit_steps_on_gradient_flow_implicit_euler_alone_never_ends_higher(scheme, rising):
    starts, steps = np.repeat([-2.5, -0.6, 0.02, 1.5], 3), np.tile([0.1, 3.0, 1000.0], 4)
    for which, f in HILLS.items():

        def both(x, h, f=f):
            method = tw.Method(tw.GradientFlow(f), scheme(), h)
            return f(x), f(method.step(method.init(x[None])).position)

        before, ends = jax.jit(jax.vmap(both))(starts, steps)
        rises = bool(jnp.any(ends > before * (1.0 + 1e-12) + 1e-12))
        assert rises == (which in rising) or (which == "wells" and scheme is not tw.ImplicitEuler), which


def test_a_long_newton_step_leaves_the_minimum_of_a_convex_function():
    """Of the square root of 1 + x²: f'/f'' is x + x³, so that x goes to -x³; at h = 1000 all but that, for ever."""
    method = tw.Method(tw.GradientFlow(HILLS["hyperbola"]), tw.RosenbrockEuler(), 1000.0)
    state, ends = method.init(jnp.array([1.5])), [1.5]
    for _ in range(3):
        state = method.step(state)
        ends.append(abs(float(state.position[0])))
    assert ends[1] == pytest.approx(1.5**3, rel=0.02) and np.all(np.diff(ends) > 1.0)


BREAST = tw.problems.logistic_breast_cancer()


@pytest.mark.parametrize("tolerance", [1e-10, pytest.param(1e-4, marks=pytest.mark.slow)])
def test_the_proximal_point_of_a_logistic_regression(tolerance):
    """It minimises f + |x - theta|^2 / 2h to the tolerance, and goes down, at steps from 1e-3 to 1e6."""
    f, scheme = BREAST.objective, tw.ImplicitEuler(tolerance=tolerance)

    def walk(h):
        method = tw.Method(tw.GradientFlow(f), scheme, h)
        first = method.init(BREAST.start)
        second = method.step(first)
        gap = jax.tree.map(lambda new, old: (new - old) / h, second.position, first.position)
        left = jax.tree.map(jnp.add, gap, f.gradient(second.position))
        norm = jax.flatten_util.ravel_pytree(left)[0]
        return jnp.linalg.norm(norm), f.value(second.position), second.memory.failures

    lefts, values, failures = jax.jit(jax.vmap(walk))(jnp.array([1e-3, 1.0, 1e3, 1e6]))
    slope = np.linalg.norm(jax.flatten_util.ravel_pytree(f.gradient(BREAST.start))[0])
    assert np.all(lefts <= tolerance * slope) and not np.any(failures)
    assert np.all(np.diff([float(f.value(BREAST.start)), *values]) < 0)
    assert np.all(lefts > 1e-3 * tolerance**2 * slope)


@pytest.mark.slow
@pytest.mark.parametrize(
    "make",
    [tw.ImplicitEuler, *(pytest.param(m, marks=pytest.mark.slow) for m in (tw.ImplicitMidpoint, tw.RosenbrockEuler))],
)
def test_a_preconditioner_saves_products_and_leaves_the_answer(make):
    curvatures = jnp.geomspace(1e-3, 1e3, 40)
    f = tw.Objective(lambda x: 0.5 * jnp.sum(curvatures * x * x) + jnp.sum(jnp.cos(x)) * 1e-4)
    rough = 1.5 * curvatures + 0.1
    found = {}
    for which, given in (("none", None), ("array", rough), ("function", lambda v: v / (0.1 + rough))):
        method = tw.Method(tw.GradientFlow(f), make(tolerance=1e-12, preconditioner=given), 10.0)
        found[which] = after(method, jnp.ones(40))
    counts = {which: int(make().hessian_products(state)) for which, state in found.items()}
    assert max(counts["array"], counts["function"]) < 0.5 * counts["none"]
    for which in ("array", "function"):
        np.testing.assert_allclose(found[which].position, found["none"].position, rtol=0, atol=1e-9)


def test_curvatures_as_a_tree_are_those_of_the_parameters():
    def f(tree):
        return 0.5 * jnp.sum(SPECTRUM * tree["a"] ** 2) + 3.0 * tree["b"] ** 2

    start = {"a": START, "b": jnp.asarray(2.0)}
    scheme = tw.ImplicitEuler(preconditioner={"a": SPECTRUM, "b": jnp.asarray(6.0)})
    run = tw.run(tw.Method(tw.GradientFlow(f), scheme, 5.0), start, 1)
    # The inverse itself: a product for the move, and none to mend it.
    assert int(scheme.hessian_products(run.state)) == 1
    # The end is the start less a move of nearly its size: eight roundings of the start.
    rounding, largest = 4 * np.finfo(float).eps, float(jnp.max(jnp.abs(START)))
    np.testing.assert_allclose(run.final.position["a"], START / (1 + 5.0 * SPECTRUM), rtol=0, atol=rounding * largest)
    np.testing.assert_allclose(run.final.position["b"], 2.0 / 31.0, rtol=0, atol=rounding * 2.0)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.float64], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("dimension", [1, pytest.param(30, marks=pytest.mark.slow), 1000])
def test_badly_conditioned_in_either_precision(dimension, dtype):
    """Condition number 1e8: without a preconditioner at a moderate step, with one at a huge one."""
    curvatures = jnp.geomspace(1.0, 1e-8, dimension).astype(dtype)
    f = tw.Objective(lambda x: 0.5 * jnp.sum(curvatures * x * x))
    exact = np.asarray(curvatures, float)
    eps = float(jnp.finfo(dtype).eps)
    for scheme, h in ((tw.ImplicitEuler(), 100.0), (tw.ImplicitEuler(preconditioner=curvatures), 1e8)):
        state = after(tw.Method(tw.GradientFlow(f), scheme, h), jnp.ones(dimension, dtype))
        assert state.position.dtype == dtype and int(scheme.failures(state)) == 0
        # The residual is within the tolerance times |l|, the position within 1 + 100 times that, over the identity.
        bound = max(1e-8, 8 * eps) * np.linalg.norm(exact) * 100 if scheme.preconditioner is None else 20 * eps
        assert np.max(np.abs(np.asarray(state.position, float) - 1 / (1 + h * exact))) < bound


@pytest.mark.slow
def test_what_is_not_solved_is_counted_and_kept():
    few, enough = tw.ImplicitEuler(iterations=1), tw.ImplicitEuler()
    for scheme, failures in ((few, 4), (enough, 0)):
        run = tw.run(tw.Method(tw.GradientFlow(BREAST.objective), scheme, 1e3), BREAST.start, 4)
        assert int(scheme.failures(run.state)) == failures
        assert np.all(np.diff(run.metrics["loss"]) < 0)


def test_beyond_negative_curvature_a_step_still_goes_down():
    """A double well, from beside its top: 1/h is far less than the curvature -1 there."""
    well = tw.Objective(lambda x: jnp.sum(0.25 * x**4 - 0.5 * x**2))
    for scheme in (tw.ImplicitEuler(), tw.RosenbrockEuler()):
        method = tw.Method(tw.GradientFlow(well), scheme, 50.0)
        run = tw.run(method, jnp.array([0.1, -0.2]), 30)
        # A linear system that is indefinite is not solved; a minimum from which curvature leads away is found.
        assert (int(scheme.failures(run.state)) > 0) == isinstance(scheme, tw.RosenbrockEuler)
        np.testing.assert_allclose(run.final.position, [1.0, -1.0], atol=1e-8)
        # One linear system says where down is, not how far: only the minimum is never higher.
        assert isinstance(scheme, tw.RosenbrockEuler) or np.all(np.diff(run.metrics["loss"]) <= 1e-15)
    # The energy of a saddle has no minimum: nothing to find, which is said.
    saddle = tw.Objective(lambda x: 0.5 * (x[0] ** 2 - x[1] ** 2))
    scheme = tw.ImplicitEuler()
    assert int(scheme.failures(after(tw.Method(tw.GradientFlow(saddle), scheme, 2.0), jnp.array([1.0, 0.1])))) == 1
    assert int(scheme.failures(after(tw.Method(tw.GradientFlow(saddle), scheme, 0.5), jnp.array([1.0, 0.1])))) == 0


def test_at_rest_nothing_is_spent_but_a_gradient():
    scheme = tw.ImplicitEuler()
    run = tw.run(tw.Method(tw.GradientFlow(BOWL), scheme, 1.0), jnp.zeros(3), 5)
    assert (run.gradients, int(scheme.failures(run.state))) == (5, 0)


def test_nesterovs_flow_through_its_start():
    from scipy.special import j1

    z = 2.0 * np.sqrt(np.asarray(SPECTRUM))
    exact = 2 * j1(z) / z * np.asarray(START)
    errors = []
    for n in (100, 200):
        method = tw.Method(tw.NesterovFlow(BOWL), tw.ImplicitMidpoint(), 2.0 / n)
        errors.append(np.max(np.abs(np.asarray(tw.run(method, START, n, record=None).final.position) - exact)))
    assert 3.8 < errors[0] / errors[1] < 4.2


def test_what_cannot_be_solved_for_is_refused():
    for scheme in SOLVING:
        with pytest.raises(tw.InputError, match="UnderdampedLangevin has noise, which"):
            tw.Method(tw.UnderdampedLangevin(None, 1.0, 1.0), scheme, 0.1)


def test_wrong_input_is_one_line(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for make in (tw.ImplicitEuler, tw.ImplicitMidpoint, tw.RosenbrockEuler):
        for wrong, says in (
            ({"tolerance": -1.0}, "tolerance must be at least 0, but is -1"),
            ({"tolerance": 1.0}, "tolerance must be less than 1"),
            ({"tolerance": "tight"}, "tolerance must be a real number"),
            ({"products": 0}, "products must be a whole number of at least 1, but is 0"),
            ({"preconditioner": jnp.array([1.0, -1.0])}, "curvatures, finite and at least 0; take their absolute"),
            ({"preconditioner": "diagonal"}, "preconditioner must be a function or an array of curvatures"),
        ):
            with pytest.raises(tw.InputError, match=says):
                make(**wrong)
        method = tw.Method(tw.GradientFlow(BOWL), make(preconditioner=jnp.ones(2)), 0.1)
        with pytest.raises(tw.InputError, match="to which HighResolutionFlow does not lead; leave it out"):
            tw.Method(tw.HighResolutionFlow(None, 0.1), make(preconditioner=jnp.ones(3)), 0.1)
        with pytest.raises(tw.InputError, match="a curvature for each of the 3 parameters, but holds 2"):
            tw.run(method, START, 1)
    with pytest.raises(tw.InputError, match="iterations must be a whole number"):
        tw.ImplicitEuler(iterations=2.5)
    with pytest.raises(tw.InputError, match="krylov must be a whole number"):
        tw.ExponentialEuler(krylov=0)


@pytest.mark.parametrize(
    "law", [tw.GradientFlow, lambda f: tw.Field(lambda t, x, args: -jax.grad(f)(x))], ids=["flow", "field"]
)
def test_a_run_says_how_many_steps_were_not_solved(law):
    def quartic(x):
        return jnp.sum(x**4)

    for iterations, words in (
        (1, r"made 3 steps, \d of which were not solved to the tolerance 1e-08 of Impl"),
        (100, r"made 3 steps$"),
    ):
        method = tw.Method(law(quartic), tw.ImplicitEuler(iterations=iterations), 1.0)
        run = tw.run(method, jnp.array([3.0, -2.0]), 3)
        assert re.match(words, run.message), run.message
        assert bool(int(method.scheme.failures(run.state))) == (iterations == 1)
