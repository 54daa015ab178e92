"""The energy account: the three add up, at the stated order, and exactly where they should."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import thalweg as tw
from thalweg.analysis import energy_account

LOPSIDED = tw.problems.lopsided()
F, START = LOPSIDED.objective, LOPSIDED.start
VELOCITY = jnp.array([0.7, -0.4, 1.1])
QUADRATIC = tw.problems.quadratic([0.3, 1.1, 4.0])
HORIZON = 4.0


def waving(t):
    return 1.0 + 0.5 * jnp.sin(t)


def fading(t):
    return 1.0 / (1.0 + t)


LAWS = {
    "flow": lambda f: tw.GradientFlow(f, rate=1.5),
    "flow, rate of time": lambda f: tw.GradientFlow(f, rate=waving),
    "ball": lambda f: tw.HeavyBall(f, friction=0.7, mass=1.7),
    "ball, friction of time": lambda f: tw.HeavyBall(f, friction=fading),
    "ball, no friction": lambda f: tw.HeavyBall(f, friction=0.0),
    "Nesterov": tw.NesterovFlow,
    "high resolution": lambda f: tw.HighResolutionFlow(f, step=0.04),
}
RUNGE_KUTTA = {"Euler": tw.Euler(), "Heun": tw.Heun(), "RK4": tw.RK4(), "Tsit5": tw.Tsit5()}
STAGGERED = {
    "leapfrog": tw.Leapfrog(),
    "leapfrog from zero": tw.Leapfrog(start="zero"),
    "look-ahead": tw.Lookahead(1.0),
    "half look-ahead": tw.Lookahead(0.5),
}
DAMPED = [name for name in LAWS if name.startswith(("ball", "Nesterov"))]


def account(law, scheme, steps, objective=F, start=START, velocity=None, horizon=HORIZON):
    method = tw.Method(LAWS[law](objective), scheme, horizon / steps)
    return energy_account(tw.run(method, start, steps, record=1, velocity=velocity))


def slope(law, scheme, horizon=HORIZON, steps=320):
    """The order of the defect up to the horizon; both runs have as many steps, so that they are compiled once."""
    coarse, fine = (account(law, scheme, steps, horizon=factor * horizon) for factor in (2, 1))
    defect = np.max(np.abs(coarse.total - coarse.total[0])[: steps // 2 + 1])
    return np.log2(defect / fine.defect)


PAIRS = [*[(law, "leapfrog") for law in DAMPED], *[("ball", name) for name in STAGGERED], ("Nesterov", "look-ahead")]


@pytest.mark.parametrize(("law", "name"), dict.fromkeys(PAIRS))
def test_the_defect_of_half_step_velocities_is_second_order(law, name):
    assert slope(law, STAGGERED[name]) == pytest.approx(2.0, abs=0.05)


@pytest.mark.parametrize("name", ["Euler", pytest.param("RK4", marks=pytest.mark.slow)])
@pytest.mark.parametrize("law", LAWS)
def test_the_defect_of_runge_kutta_has_the_order_of_the_scheme(law, name):
    scheme = RUNGE_KUTTA[name]
    assert slope(law, scheme) == pytest.approx(scheme.order, abs=0.25)
    found = account(law, scheme, 320)
    assert found.order == scheme.order
    assert found.defect < {"Euler": 0.4, "RK4": 1e-5}[name]


def test_the_defect_of_tsit5_falls_by_thirty_two_or_more():
    assert slope("ball", RUNGE_KUTTA["Tsit5"], horizon=8.0) > 4.8


@pytest.mark.parametrize(("law", "name"), dict.fromkeys(PAIRS))
def test_on_a_quadratic_the_shadowed_total_is_exact_at_any_step(law, name):
    found = account(law, STAGGERED[name], 30, QUADRATIC.objective, QUADRATIC.start, horizon=9.0)
    shadowed = found.total + found.shadow
    assert found.defect > 0.05
    np.testing.assert_allclose(shadowed, shadowed[0], rtol=0, atol=2e-14)


def test_off_a_quadratic_it_is_not():
    found = account("ball", tw.Leapfrog(), 30)
    shadowed = found.total + found.shadow
    assert np.ptp(shadowed) > 1e-4


def test_the_identity_at_half_steps():
    """E_{n+1/2} - E_{n-1/2} = -h lambda |mean velocity|^2 with E = m |v|^2 / 2 + x_n H x_{n+1} / 2, step by step."""
    friction, mass, h = 0.6, 1.3, 0.5
    law = tw.HeavyBall(QUADRATIC.objective, friction, mass)
    trace = tw.run(tw.Method(law, tw.Leapfrog(), h), QUADRATIC.start, 40, record=1).trace
    x, v = trace.position, trace.velocity
    hessian = np.asarray(jax.hessian(QUADRATIC.objective.value)(QUADRATIC.start))
    energy = mass * np.sum(v[1:] ** 2, axis=1) / 2 + np.einsum("ni,ij,nj->n", x[:-1], hessian, x[1:]) / 2
    lost = h * friction * np.sum(((v[1:-1] + v[2:]) / 2) ** 2, axis=1)
    np.testing.assert_allclose(np.diff(energy), -lost, rtol=0, atol=1e-14)
    assert lost[0] > 0.01


@pytest.mark.parametrize(
    ("law", "velocity"), [("ball", VELOCITY), ("ball, friction of time", VELOCITY), ("Nesterov", None)]
)
@pytest.mark.parametrize("name", ["leapfrog", "RK4"])
def test_each_part_is_the_part_of_the_exact_motion(law, velocity, name):
    dynamics = LAWS[law](F)
    steps = 400
    found = account(law, (STAGGERED | RUNGE_KUTTA)[name], steps, velocity=velocity)

    @jax.jit
    def field(t, y):
        x, v = y[:3], y[3:6]
        power = dynamics.friction_at(t) * jnp.sum(v**2)
        return jnp.concatenate([v, dynamics.acceleration(t, x, v), power[None]])

    y0 = np.concatenate([START, np.zeros(3) if velocity is None else velocity, [0.0]])
    exact = solve_ivp(
        lambda t, y: np.asarray(field(t, y)), (0, HORIZON), y0, "DOP853", found.time, rtol=1e-11, atol=1e-12
    ).y
    tolerance = 1e-8 if name == "RK4" else 3e-3
    potential = jax.vmap(F.value)(jnp.asarray(exact[:3].T)) - F.minimum
    np.testing.assert_allclose(found.potential, potential, atol=tolerance)
    np.testing.assert_allclose(
        found.kinetic, float(dynamics.mass) * np.sum(exact[3:6] ** 2, axis=0) / 2, atol=tolerance
    )
    np.testing.assert_allclose(found.dissipated, exact[6], atol=tolerance)
    assert found.dissipated[-1] > 1.0 and np.all(np.diff(found.dissipated) >= 0)


def test_without_friction_nothing_is_dissipated():
    found = account("ball, no friction", tw.Leapfrog(), 200, velocity=VELOCITY)
    assert not found.dissipated.any() and found.defect < 0.01
    assert np.ptp(found.kinetic) > 1.0


def test_a_look_ahead_damps_along_the_curvature():
    """To first order it takes h c beta times the integral of v H v, on top of friction."""
    hessian = np.asarray(jax.hessian(QUADRATIC.objective.value)(QUADRATIC.start))
    ratios = []
    for steps in (400, 800):
        h = HORIZON / steps
        method = tw.Method(tw.HeavyBall(QUADRATIC.objective, 0.5), tw.Lookahead(1.0), h)
        run = tw.run(method, QUADRATIC.start, steps, record=1)
        found = energy_account(run)
        power = np.einsum("ni,ij,nj->n", run.trace.velocity, hessian, run.trace.velocity)
        ratios.append(found.lookahead[-1] / (h * h * np.sum(power)))
        assert 0.005 < found.lookahead[-1] < 0.2 * found.dissipated[-1]
    assert ratios[1] == pytest.approx(1.0, abs=0.01)
    assert abs(ratios[1] - 1) < 0.6 * abs(ratios[0] - 1)
    assert not account("ball", tw.Leapfrog(), 40).lookahead.any()


def test_gradient_flow_turns_all_it_loses_into_heat():
    found = account("flow", tw.RK4(), 200)
    assert not found.kinetic.any()
    assert found.potential[0] == pytest.approx(float(F.value(START)) - F.minimum, rel=1e-14)
    assert found.dissipated[-1] == pytest.approx(found.potential[0] - found.potential[-1], abs=1e-6)


def test_a_schedule_of_steps_keeps_the_books():
    def defect(h):
        method = tw.Method(LAWS["ball"](F), tw.Leapfrog(), lambda i: h * (1.0 + 0.5 * jnp.sin(6.0 * h * i)))
        found = energy_account(tw.run(method, START, 320, record=1))
        return np.max(np.abs(found.total - found.total[0])[: round(4 / h) + 1])

    assert np.log2(defect(0.025) / defect(0.0125)) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("name", ["leapfrog", "look-ahead", "RK4"])
def test_the_books_of_another_law_do_not_balance(name):
    method = tw.Method(LAWS["ball"](F), (STAGGERED | RUNGE_KUTTA)[name], 0.02)
    run = tw.run(method, START, 200, record=1)
    assert energy_account(run).defect < 0.01
    other = tw.Method(tw.HeavyBall(F, friction=0.9, mass=1.7), method.scheme, 0.02)
    assert energy_account(dataclasses.replace(run, method=other)).defect > 0.2


def test_a_tree_in_single_precision_has_its_account():
    def f(tree):
        return jnp.sum(jnp.cosh(tree["a"])) + jnp.sum(tree["b"] ** 2)

    start = {"a": jnp.array([1.0, -0.5], jnp.float32), "b": jnp.array([[0.25]], jnp.float32)}
    found = energy_account(tw.run(tw.nesterov(f, 0.01, 0.8), start, 100, record=1))
    assert found.total.dtype == np.float64 and found.total.shape == (101,)
    value = np.cosh(1.0) + np.cosh(0.5) + 0.0625
    assert found.potential[0] == pytest.approx(value, rel=1e-7)
    assert found.defect < 0.05 * found.dissipated[-1]


def noisy():
    data = tw.FiniteSum(lambda x, s: jnp.sum((x - s) ** 2), jnp.arange(12.0).reshape(4, 3), batch_size=2)
    return tw.run(tw.gradient_descent(data, 0.1), START, 3, key=0, record=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: tw.run(tw.momentum(F, 0.01), START, 3),
            "the run kept no positions; make it with tw.run(..., record=1)",
        ),
        (lambda: tw.run(tw.momentum(F, 0.01), START, 0, record=1), "the run kept no positions"),
        (lambda: tw.run(tw.momentum(F, 0.01), START, 4, record=2), "needs the position at every step"),
        (noisy, "must be deterministic"),
        (
            lambda: dataclasses.replace(tw.run(tw.momentum(F, 0.01), START, 3, record=1), method=None),
            "does not know its method",
        ),
    ],
    ids=["no trace", "no step", "stride 2", "mini-batches", "no method"],
)
def test_wrong_input_is_one_line(make, message):
    run = make()
    with pytest.raises(tw.InputError) as caught:
        energy_account(run)
    assert message in str(caught.value) and "\n" not in str(caught.value)
