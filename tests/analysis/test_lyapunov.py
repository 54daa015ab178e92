"""Lyapunov functions along runs: they fall where theory says so, and a wrong one does not."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.analysis import lyapunov
from thalweg.analysis.lyapunov import decay_rate

LOPSIDED = tw.problems.lopsided()
F, START = LOPSIDED.objective, LOPSIDED.start
MU = F.strong_convexity
VELOCITY = jnp.array([0.7, -0.4, 1.1])
Q = np.linalg.qr(np.random.default_rng(3).normal(size=(3, 3)))[0]
# Convex and nothing more: no curvature at the minimum, along no eigenvector of anything else.
FLAT = tw.Objective(
    lambda x, Q: jnp.sum(jnp.array([0.2, 1.0, 3.0]) * (Q @ x) ** 4), args=jnp.asarray(Q), minimum=0.0,
    minimiser=jnp.zeros(3),
)  # fmt: skip
# Hardly curved away from its minimum: there x . grad f is f, where a quadratic has 2 f.
CORNER = tw.Objective(
    lambda x: jnp.sum(jnp.logaddexp(8 * x, -8 * x) - jnp.log(2.0)) / 8, minimum=0.0, minimiser=jnp.zeros(3)
)
OBJECTIVES = {"lopsided": F, "flat": FLAT, "corner": CORNER}
SCHEMES = {"RK4": tw.RK4(), "leapfrog": tw.Leapfrog(), "look-ahead": tw.Lookahead(), "Euler": tw.Euler()}
CRITICAL = 2 * np.sqrt(MU)


def waving(t):
    return 1.0 + 0.5 * jnp.sin(t)


def fading(t):
    return 1.0 / (1.0 + t)


LAWS = {
    "flow": lambda f: tw.GradientFlow(f, rate=1.5),
    "flow, rate of time": lambda f: tw.GradientFlow(f, rate=waving),
    "light friction": lambda f: tw.HeavyBall(f, friction=0.4 * CRITICAL),
    "critical friction": lambda f: tw.HeavyBall(f, friction=CRITICAL),
    "heavy friction": lambda f: tw.HeavyBall(f, friction=2.5 * CRITICAL),
    "mass": lambda f: tw.HeavyBall(f, friction=1.2, mass=2.5),
    "friction of time": lambda f: tw.HeavyBall(f, friction=fading),
    "Nesterov": tw.NesterovFlow,
    "Nesterov, r = 5": lambda f: tw.NesterovFlow(f, damping=5.0),
    "Nesterov, r = 2": lambda f: tw.NesterovFlow(f, damping=2.0),
}
BALLS = ["light friction", "critical friction", "heavy friction", "mass"]
CASES = [
    *[
        (law, "lopsided", which)
        for law in ("flow", "flow, rate of time")
        for which in ("gap", "convex", "strongly_convex")
    ],
    ("flow", "flat", "convex"),
    *[(law, "lopsided", which) for law in BALLS for which in ("energy", "strongly_convex")],
    ("friction of time", "flat", "energy"),
    *[(law, name, "convex") for law in ("Nesterov", "Nesterov, r = 5") for name in ("lopsided", "flat")],
    ("Nesterov, r = 2", "lopsided", "energy"),
]  # fmt: skip


STEPS = 400


@functools.cache
def moved(law, name, scheme="RK4", h=0.02, steps=STEPS, record=1):
    """A run; most have as many steps, so that they are compiled once."""
    dynamics, scheme = LAWS[law](OBJECTIVES[name]), SCHEMES[scheme]
    velocity = VELOCITY if isinstance(dynamics, tw.HeavyBall) else None
    return tw.run(tw.Method(dynamics, scheme, h), START, steps, record=record, velocity=velocity)


def parts(run):
    """Time, f - f*, x - x* and the velocity, row by row, for functions written out by hand."""
    f = run.method.objective
    x, v = run.trace.position, run.trace.velocity
    gap = np.asarray(jax.vmap(f.value)(jnp.asarray(x))) - f.minimum
    return run.trace.time, gap, np.asarray(x) - np.asarray(f.minimiser), v


def rise(values):
    return float(np.max(values - np.minimum.accumulate(values)))


@pytest.mark.parametrize(("law", "name", "which"), CASES)
def test_it_never_rises_along_a_fine_run(law, name, which):
    found = lyapunov(moved(law, name), which)
    assert found.name == which and found.value.shape == found.time.shape == (STEPS + 1,)
    assert found.increase < 1e-7 * found.value[0]
    assert found.value[-1] < 0.95 * found.value[0]


@pytest.mark.parametrize(
    ("law", "scheme", "which"),
    [
        ("critical friction", "leapfrog", "strongly_convex"),
        ("critical friction", "look-ahead", "strongly_convex"),
        ("Nesterov", "leapfrog", "convex"),
        ("flow", "Euler", "convex"),
    ],
)
def test_on_a_coarse_run_it_rises_no_more_than_the_scheme_errs(law, scheme, which):
    found = lyapunov(moved(law, "lopsided", scheme, h=0.1), which)
    early = found.value[:80]
    assert np.max(early - np.minimum.accumulate(early)) < 0.02 * early[0]


def test_a_half_step_velocity_is_brought_to_the_time_of_the_position():
    """So that leapfrog's error in the function is of second order; with the velocity as recorded it is of first."""
    exact = lyapunov(moved("critical friction", "lopsided", h=0.01), "energy").value
    errors, raw = [], []
    for stride in (4, 2):
        run = moved("critical friction", "lopsided", "leapfrog", h=0.01 * stride)
        rows = slice(STEPS // stride + 1)
        errors.append(np.max(np.abs(lyapunov(run, "energy").value[rows] - exact[::stride])))
        _, gap, _, v = parts(run)
        raw.append(np.max(np.abs((gap + np.sum(v**2, axis=1) / 2)[rows] - exact[::stride])))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)
    assert np.log2(raw[0] / raw[1]) == pytest.approx(1.0, abs=0.1)


def test_the_values_are_the_formulas():
    run = moved("Nesterov, r = 5", "lopsided")
    t, gap, u, v = parts(run)
    expected = t**2 / 2 * gap + 4 * np.sum((u + t[:, None] * v / 4) ** 2, axis=1)
    np.testing.assert_allclose(lyapunov(run).value, expected, rtol=1e-11)

    run = moved("critical friction", "lopsided")
    t, gap, u, v = parts(run)
    a = np.sqrt(MU)
    expected = np.exp(a * t) * (gap + np.sum((a * u + v) ** 2, axis=1) / 2)
    np.testing.assert_allclose(lyapunov(run).value, expected, rtol=1e-6)

    run = moved("mass", "lopsided")
    t, gap, u, v = parts(run)
    np.testing.assert_allclose(lyapunov(run, "energy").value, gap + 1.25 * np.sum(v**2, axis=1), rtol=1e-11)

    run = moved("flow, rate of time", "lopsided")
    t, gap, u, _ = parts(run)
    tau = t + 0.5 * (1 - np.cos(t))
    np.testing.assert_allclose(lyapunov(run, "convex").value, tau * gap + np.sum(u**2, axis=1) / 2, rtol=1e-8)
    expected = np.exp(2 * MU * tau) * gap
    np.testing.assert_allclose(lyapunov(run, "strongly_convex").value[:100], expected[:100], rtol=1e-8)


def test_wrong_signs_and_rates_rise():
    """Along the same runs, so that a test of decrease can fail."""
    t, gap, u, v = parts(moved("Nesterov", "lopsided"))
    assert rise(t**2 * gap + 2 * np.sum((u + t[:, None] * v / 2) ** 2, axis=1)) < 1e-7
    assert rise(t**2 * gap + 2 * np.sum((u - t[:, None] * v / 2) ** 2, axis=1)) > 1.0

    t, gap, u, v = parts(moved("critical friction", "lopsided"))
    a = np.sqrt(MU)
    assert rise(np.exp(a * t) * (gap + np.sum((a * u + v) ** 2, axis=1) / 2)) < 1e-7
    assert rise(np.exp(a * t) * (gap + np.sum((a * u - v) ** 2, axis=1) / 2)) > 1.0
    assert rise(np.exp(4 * a * t) * (gap + np.sum((a * u + v) ** 2, axis=1) / 2)) > 1.0

    t, gap, u, _ = parts(moved("flow", "lopsided"))
    early = t < 2
    assert rise(np.exp(2 * MU * 1.5 * t)[early] * gap[early]) < 1e-7
    assert rise(np.exp(2 * F.smoothness * 1.5 * t)[early] * gap[early]) > 1.0


def test_below_three_the_function_of_nesterov_may_rise():
    run = moved("Nesterov, r = 2", "corner")
    t, gap, u, v = parts(run)
    assert rise(2 * t**2 * gap + np.sum((u + t[:, None] * v) ** 2, axis=1)) > 1.0
    with pytest.raises(tw.InputError, match="needs a damping of at least 3"):
        lyapunov(run, "convex")
    assert lyapunov(run).name == "energy"
    assert lyapunov(moved("Nesterov", "corner"), "convex").increase < 1e-5


def test_its_consequence_is_the_rate_of_the_theorem():
    """f - f* <= (r - 1)^2 |x0 - x*|^2 / (2 t^2): Su, Boyd and Candès (2016), theorem 5."""
    for law, r in (("Nesterov", 3.0), ("Nesterov, r = 5", 5.0)):
        t, gap, u, _ = parts(moved(law, "flat"))
        bound = (r - 1) ** 2 * np.sum(u[0] ** 2) / (2 * t[1:] ** 2)
        assert np.all(gap[1:] <= bound)
        assert np.max(gap[1:] / bound) > 0.01


@pytest.mark.parametrize(("law", "scheme"), [("critical friction", "leapfrog"), ("Nesterov", "look-ahead")])
def test_a_strided_run_gives_the_same_values(law, scheme):
    every, fourth = (lyapunov(moved(law, "lopsided", scheme, h=0.01, record=stride)) for stride in (1, 4))
    np.testing.assert_allclose(fourth.value, every.value[::4], rtol=1e-12)
    np.testing.assert_allclose(fourth.time, every.time[::4], rtol=1e-13)


@pytest.mark.parametrize(
    ("friction", "mass", "mu", "rate"),
    [(1.0, 1.0, 0.25, 0.5), (0.4, 1.0, 0.16, 0.2), (1.0, 1.0, 0.16, 0.2), (2.0, 2.0, 0.32, 0.2)],
)
def test_the_rate_is_half_the_friction_up_to_critical_damping_and_the_slower_root_beyond(friction, mass, mu, rate):
    assert decay_rate(friction, mass, mu) == pytest.approx(rate, rel=1e-14)


@pytest.mark.parametrize(
    ("law", "objective", "name"),
    [
        ("flow", "lopsided", "strongly_convex"),
        ("flow", "flat", "convex"),
        ("mass", "lopsided", "strongly_convex"),
        ("friction of time", "flat", "energy"),
        ("Nesterov", "lopsided", "convex"),
        ("Nesterov, r = 2", "lopsided", "energy"),
    ],
)
def test_the_strongest_function_that_is_known_to_hold_is_the_default(law, objective, name):
    assert lyapunov(moved(law, objective)).name == name


def bare(**facts):
    return tw.Objective(lambda x: jnp.sum(jnp.cosh(x)), **facts)


@pytest.mark.parametrize(
    ("law", "facts", "which", "message"),
    [
        ("flow", {}, None, "needs minimum and minimiser; give tw.Objective(f, minimum=..., minimiser=...)"),
        ("flow", {}, "gap", "needs minimum; give tw.Objective(f, minimum=...)"),
        ("flow", {"minimum": 3.0}, "strongly_convex", "needs strong_convexity"),
        ("flow", {"minimum": 3.0, "strong_convexity": 0.0}, "strongly_convex", "needs a positive strong_convexity"),
        ("mass", {"minimum": 3.0, "strong_convexity": 1.0}, "strongly_convex", "needs minimiser"),
        ("Nesterov", {"minimum": 3.0}, None, "needs minimiser"),
        ("Nesterov", {"minimum": 3.0, "minimiser": jnp.zeros(2)}, None, "minimiser does not have the shape"),
        ("mass", {"minimum": 3.0}, "energie", "did you mean 'energy'?"),
        ("mass", {"minimum": 3.0}, "convex", "the Lyapunov function of HeavyBall 'convex' is unknown"),
        (
            "friction of time",
            {"minimum": 3.0, "minimiser": jnp.zeros(3), "strong_convexity": 1.0},
            "strongly_convex",
            "needs a constant friction",
        ),
    ],
)
def test_wrong_input_is_one_line(law, facts, which, message):
    run = tw.run(tw.Method(LAWS[law](bare(**facts)), tw.RK4(), 0.1), START, 2, record=1)
    with pytest.raises(tw.InputError) as caught:
        lyapunov(run, which)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_law_without_one_and_a_run_without_a_path_are_refused():
    high = tw.Method(tw.HighResolutionFlow(F, 0.01), tw.RK4(), 0.1)
    with pytest.raises(tw.InputError, match="no Lyapunov function of HighResolutionFlow is known here"):
        lyapunov(tw.run(high, START, 2, record=1))
    with pytest.raises(tw.InputError, match="the run kept no positions"):
        lyapunov(tw.run(tw.gradient_descent(F, 0.1), START, 2))
