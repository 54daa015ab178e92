"""Rosenbrock-Wanner methods: order conditions, order where time matters, stiff limits, systems solved either way."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import thalweg as tw
from tests.table.test_tableaus import density, trees
from thalweg.schemes.rosenbrock_tableau import RODAS5P

START = np.array([1.0, 0.3, -0.7])
TABLEAUS = {tableau.name: tableau for tableau in (RODAS5P,)}


def turning(t, x, args):
    """Nonlinear, not symmetric, and another at every time."""
    del args
    return jnp.stack(
        [
            jnp.sin(3 * t) * x[1] - x[0] ** 2 * x[2],
            -2 * x[0] + jnp.cos(x[1] * t),
            x[0] * x[1] - 0.5 * x[2] + t**2 * x[0],
        ]
    )


@pytest.fixture(scope="module")
def exact():
    field = jax.jit(lambda t, x: turning(t, x, None))
    return solve_ivp(lambda t, x: np.asarray(field(t, x)), (0, 1), START, "DOP853", rtol=3e-14, atol=1e-15).y[:, -1]


def end(method, steps, x=START):
    return jax.jit(lambda x: jax.lax.fori_loop(0, steps, lambda _, s: method.step(s), method.init(x)))(jnp.asarray(x))


def residuals(tableau, weights, order):
    """The order conditions: a vertex with one branch takes alpha + gamma, with several alpha alone."""
    alpha, gamma = tableau.classical
    beta = alpha + gamma

    def elementary(tree):
        matrix = beta if len(tree) == 1 else alpha
        return math.prod((matrix @ elementary(branch) for branch in tree), start=np.ones(len(weights)))

    b = np.asarray(weights) @ gamma
    return [float(b @ elementary(tree)) - 1.0 / density(tree) for tree in trees(order)]


@pytest.mark.parametrize("name", TABLEAUS)
def test_the_conditions_hold_up_to_the_order_and_not_beyond(name):
    tableau = TABLEAUS[name]
    for weights, order in ((tableau.m, tableau.order), (tableau.embedded, tableau.order - 1)):
        for k in range(1, order + 1):
            np.testing.assert_allclose(residuals(tableau, weights, k), 0.0, atol=1e-13, err_msg=f"order {k}")
        assert max(map(abs, residuals(tableau, weights, order + 1))) > 1e-3


@pytest.mark.parametrize("name", TABLEAUS)
def test_it_is_stable_for_all_that_decays_and_forgets_what_does_so_at_once(name):
    """A-stable on the imaginary axis and 0 at infinity, the embedded one too."""
    tableau = TABLEAUS[name]
    alpha, gamma = tableau.classical
    one = np.ones(len(tableau.m))

    def factor(weights, z):
        return 1 + z * (np.asarray(weights) @ gamma) @ np.linalg.solve(np.eye(len(one)) - z * (alpha + gamma), one)

    for weights in (tableau.m, tableau.embedded):
        assert max(abs(factor(weights, 1j * w)) for w in np.geomspace(1e-3, 1e4, 400)) < 1 + 1e-10
        assert abs(factor(weights, -1e9)) < 1e-7


def test_its_order_is_measured_where_the_field_depends_on_time(exact):
    method = [tw.Method(tw.Field(turning), tw.Rodas5P(), 1 / n) for n in (32, 64)]
    errors = [np.linalg.norm(end(m, n).position - exact) for m, n in zip(method, (32, 64), strict=True)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(5.0, abs=0.1)


def test_an_objective_that_depends_on_time_is_followed_as_the_field_that_it_gives():
    f = tw.Objective(lambda x, t: 0.5 * jnp.sum((x - jnp.sin(t)) ** 2) + 0.25 * t * jnp.sum(x**4), time_dependent=True)
    field = tw.Field(lambda t, x, args: -(x - jnp.sin(t)) - t * x**3)
    ends = [end(tw.Method(law, tw.Rodas5P(), 0.1), 10, np.array([2.0])).position for law in (tw.GradientFlow(f), field)]
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-13)


def test_eliminated_and_iterated_systems_give_one_step(exact):
    states = [end(tw.Method(tw.Field(turning), tw.Rodas5P(1e-13, dense=dense), 0.1), 10) for dense in (256, 0)]
    np.testing.assert_allclose(states[0].position, states[1].position, rtol=0, atol=1e-11)
    # Eight evaluations a step; of the Jacobian three columns, or what the systems took, and the derivative in time.
    assert [int(s.memory.gradients) for s in states] == [80, 80] and int(states[0].memory.products) == 40
    assert 10 * (8 * 2 + 1) < int(states[1].memory.products) <= 10 * (8 * 3 + 1)
    assert [int(s.memory.failures) for s in states] == [0, 0]


@pytest.mark.slow
def test_systems_that_are_not_solved_are_counted_and_in_adaptive_steps_rejected():
    n = 50
    matrix = jnp.asarray(np.random.default_rng(0).normal(size=(n, n))) * 30.0
    law = tw.Field(lambda t, x, a: a @ x, matrix - 300.0 * jnp.eye(n))
    scheme = tw.Rodas5P(1e-12, products=2, dense=0)
    assert int(scheme.failures(end(tw.Method(law, scheme, 1.0), 3, np.ones(n)))) == 3
    adaptive = tw.Adaptive(scheme, 1e-10, 1e-10, until=1.0)
    state = end(tw.Method(law, adaptive, 1.0), 6, np.ones(n))
    assert int(adaptive.failures(state)) > 0 and float(state.memory.step) < 0.2
    with pytest.raises(tw.InputError, match="RungeKutta solves for nothing in a step"):
        tw.Adaptive().failures(state)


def test_a_stiff_mode_is_forgotten_and_a_slow_curve_is_followed():
    """Prothero and Robinson's: x' = -r (x - cos t) - sin t, which is cos t."""
    law = tw.Field(lambda t, x, r: -r * (x - jnp.cos(t)) - jnp.sin(t), 1e8)
    state = end(tw.Method(law, tw.Rodas5P(), 0.1), 10, np.array([1.0]))
    assert float(state.position[0]) == pytest.approx(np.cos(1.0), abs=1e-9)
    away = end(tw.Method(law, tw.Rodas5P(), 0.1), 1, np.array([2.0]))
    assert float(away.position[0]) == pytest.approx(np.cos(0.1), abs=1e-5)


def test_all_of_a_phase_is_moved():
    """A heavy ball with a rate of time, on a tree, in closed form: x'' = -4 x."""
    start = {"a": jnp.array([1.0, -2.0]), "b": jnp.array(0.5)}
    law = tw.HeavyBall(lambda x: 2.0 * jnp.sum(x["a"] ** 2) + 2.0 * x["b"] ** 2, friction=0.0)
    method = tw.Method(law, tw.Rodas5P(), 0.05)
    state = jax.jit(lambda x: jax.lax.fori_loop(0, 20, lambda _, s: method.step(s), method.init(x)))(start)
    for name, leaf in start.items():
        np.testing.assert_allclose(state.position[name], leaf * np.cos(2.0), rtol=0, atol=1e-7)
        np.testing.assert_allclose(state.velocity[name], -2.0 * leaf * np.sin(2.0), rtol=0, atol=1e-7)


@pytest.mark.parametrize("law", [tw.NesterovFlow, tw.BregmanFlow])
def test_a_law_that_is_singular_at_its_start_is_followed(law):
    """x'' + 3 x'/t + 4 x = 0 is 2 J1(2 t) / (2 t): Su, Boyd and Candes."""
    from scipy.special import j1

    method = tw.Method(law(lambda x: 2.0 * jnp.sum(x**2)), tw.Adaptive(tw.Rodas5P(), 1e-8, 1e-8, until=2.0), 1e-3)
    run = tw.run(method, jnp.array([1.0, -2.0]), 1000, record=None)
    assert run.status == "finished"
    np.testing.assert_allclose(run.final.position, j1(4.0) / 2.0 * np.array([1.0, -2.0]), rtol=0, atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_the_precision_of_the_parameters_is_kept(dtype):
    law = tw.Field(lambda t, x, a: -1e3 * (x - jnp.cos(t).astype(x.dtype)))
    method = tw.Method(law, tw.Adaptive(tw.Rodas5P(), 1e-2, 1e-2, until=1.0), 0.01)
    state = method.step(method.init(jnp.ones(2, dtype)))
    assert state.position.dtype == dtype and float(state.time) == pytest.approx(0.01)
    np.testing.assert_allclose(
        np.asarray(state.position, float), np.cos(0.01), atol=2e-5 + 4 * float(jnp.finfo(dtype).eps)
    )


@pytest.mark.slow
@pytest.mark.parametrize("dense", [256, 0])
def test_a_derivative_goes_through_its_steps(dense):
    @jax.jit
    def last(rate):
        law = tw.Field(lambda t, x, r: jnp.stack([x[1], -r * (x[0] ** 2 - 1.0) * x[1] - x[0]]), rate)
        return tw.solve(tw.Method(law, tw.Rodas5P(1e-12, dense=dense), 0.05), jnp.array([2.0, 0.0]), 3).final.position[
            0
        ]

    across = (last(3.0 + 1e-5) - last(3.0 - 1e-5)) / 2e-5
    forwards = jax.jvp(last, (3.0,), (1.0,))[1]
    assert float(forwards) == pytest.approx(float(across), rel=1e-6)
    assert float(jax.grad(last)(3.0)) == pytest.approx(float(forwards), rel=1e-9)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"m": RODAS5P.m[:-1]}, "a must have one row a stage"),
        ({"c": (*RODAS5P.a[:-1], (1.0,))}, "row i must have i entries, but m has 8"),
        ({"times": (0.5, *RODAS5P.times[1:])}, r"times must be \[0.0, 0.635813.*the sums that a and c give"),
        ({"slopes": (1.0,)}, "slopes must have 8 entries, but has 1"),
        ({"embedded": (2.0, *RODAS5P.m[1:])}, "the weights embedded must be of order 1, 1 in sum"),
    ],
)
def test_a_tableau_that_does_not_fit_together_is_refused(changes, message):
    with pytest.raises(tw.InputError, match=message):
        dataclasses.replace(RODAS5P, **changes)


def test_wrong_input_is_one_line():
    with pytest.raises(tw.InputError, match="tolerance must be at least 0"):
        tw.Rodas5P(tolerance=-1.0)
    with pytest.raises(tw.InputError, match="dense must be a whole number of at least 0"):
        tw.Rodas5P(dense=-1)
    with pytest.raises(tw.InputError, match="has no embedded weights to see its error by"):
        tw.Adaptive(tw.RosenbrockWanner(dataclasses.replace(RODAS5P, embedded=None)))
    with pytest.raises(tw.InputError, match="has noise, which RosenbrockWanner would leave out"):
        tw.Method(tw.OverdampedLangevin(None, 1.0), tw.Rodas5P(), 0.1)
