"""Stabilised methods: coefficients, intervals, times, order, counted gradients, and what they buy in descent."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import mpmath
import numpy as np
import pytest

import thalweg as tw
from thalweg.analysis import convergence_order, largest_stable_step
from thalweg.schemes.chebyshev import best_angle, best_step

FAMILIES = {
    "rkc1": (lambda s: tw.RungeKuttaChebyshev(1, s)),
    "rkc2": (lambda s: tw.RungeKuttaChebyshev(2, s)),
    "rkl1": (lambda s: tw.RungeKuttaLegendre(1, s)),
    "rkl2": (lambda s: tw.RungeKuttaLegendre(2, s)),
}
ORDER = {name: int(name[-1]) for name in FAMILIES}
LOPSIDED = tw.problems.lopsided()
BARE = tw.Objective(LOPSIDED.objective.fn, LOPSIDED.objective.args)


def polynomial(name, s):
    """The stability function in 50 digits, from the definition: w1 and the weights by derivatives."""
    mpmath.mp.dps = 50
    legendre, order = name.startswith("rkl"), ORDER[name]
    damping = mpmath.mpf(0) if legendre else (mpmath.mpf("0.05") if order == 1 else mpmath.mpf(2) / 13)
    w0 = 1 + damping / s**2
    value = (lambda x: legendre_value(s, x)) if legendre else (lambda x: mpmath.chebyt(s, x))
    t, first, second = derivatives(legendre, s, w0)
    if order == 1:
        return lambda z: value(w0 + t / first * z) / t
    b = second / first**2
    return lambda z: 1 - b * t + b * value(w0 + first / second * z)


def legendre_value(s, x):
    before, now = mpmath.mpf(1), mpmath.mpf(x)
    for k in range(1, s):
        before, now = now, ((2 * k + 1) * x * now - k * before) / (k + 1)
    return now


def derivatives(legendre, s, w0):
    rows = [(mpmath.mpf(1), mpmath.mpf(0), mpmath.mpf(0)), (w0, mpmath.mpf(1), mpmath.mpf(0))]
    for k in range(1, s):
        a, c = (mpmath.mpf(2 * k + 1) / (k + 1), mpmath.mpf(k) / (k + 1)) if legendre else (2, 1)
        (p, dp, ddp), (q, dq, ddq) = rows
        rows = [rows[1], (a * w0 * q - c * p, a * (q + w0 * dq) - c * dp, a * (2 * dq + w0 * ddq) - c * ddp)]
    return rows[1]


def flow(scheme, h: Any = 1.0, f=None, rate: Any = 1.0):
    return tw.Method(tw.GradientFlow(f, rate), scheme, h)


@pytest.mark.parametrize("s", [2, 10, *(pytest.param(s, marks=pytest.mark.slow) for s in (5, 50, 200))])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_interval_of_the_probe_is_where_the_polynomial_leaves_the_unit_disc(name, s):
    scheme, factor = FAMILIES[name](s), polynomial(name, s)
    found = largest_stable_step(flow(scheme), 1.0)
    assert scheme.interval == pytest.approx(found, rel=1e-10)
    # In 50 digits: inside up to there on a fine grid, and outside at once.
    inside = (1 - 1e-10) * found
    assert all(abs(factor(-z)) <= 1 for z in np.linspace(inside / 50, inside, 50))
    assert abs(factor(-(1 + 1e-10) * found)) > 1


def test_the_intervals_in_closed_form():
    for s in (2, 5, 10, 50, 200):
        w0 = np.cosh(angle := np.arccosh(1 + 0.05 / s**2))
        w1 = np.sinh(angle) / (s * np.tanh(s * angle))
        assert tw.RungeKuttaChebyshev(1, s).interval == pytest.approx(2 * w0 / w1, rel=1e-9)
        assert tw.RungeKuttaChebyshev(1, s).reach(s, damped=True) == pytest.approx((w0 + 1) / w1, rel=1e-9)
        assert tw.RungeKuttaChebyshev(1, s, damping=0.0).interval == pytest.approx(2 * s**2, rel=1e-12)
        assert tw.RungeKuttaLegendre(1, s).interval == s**2 + s
        near = (s**2 + s - 2) / 2
        assert tw.RungeKuttaLegendre(2, s).reach(s, damped=True) == near
        assert (tw.RungeKuttaLegendre(2, s).interval > near) == bool(s % 2)
        # Sommeijer, Shampine and Verwer: about 2/3 (s^2 - 1)(1 - 2/15 eps).
        published = 2 / 3 * (s**2 - 1) * (1 - 2 / 15 * 2 / 13)
        assert tw.RungeKuttaChebyshev(2, s).reach(s, damped=True) == pytest.approx(published, rel=0.03)


def rounding(s):
    """The rounding of a step of s stages.

    A stage makes some 16 roundings, coefficients and all, and what is made in one grows linearly with the stages after
    it: Verwer, Hundsdorfer and Sommeijer (1990), on internal stability.
    """
    return 8 * s * (s + 1) / 2 * float(np.finfo(float).eps)


@pytest.mark.parametrize("s", [3, 10, 200])
@pytest.mark.parametrize("name", FAMILIES)
def test_a_step_is_the_polynomial(name, s):
    scheme, factor = FAMILIES[name](s), polynomial(name, s)
    z = scheme.interval * np.array([1e-4, 0.1, 0.37, 0.71, 0.98])
    f = tw.Objective(lambda x: 0.5 * jnp.sum(z * x**2))
    method = flow(scheme, f=f)
    found = method.step(method.init(jnp.ones(5))).position
    np.testing.assert_allclose(found, [float(factor(-v)) for v in z], rtol=0, atol=rounding(s))


@pytest.mark.parametrize("name", FAMILIES)
def test_float32_states_are_stable_as_far_with_200_stages(name):
    scheme = FAMILIES[name](200)

    @eqx.filter_jit
    def growth(x, h):
        method = flow(scheme, h, tw.Objective(lambda x: 0.5 * jnp.sum(x**2)))
        run = jax.lax.fori_loop(0, 300, lambda _, state: method.step(state), method.init(x))
        return jnp.abs(run.position)

    x = jnp.ones(1, jnp.float32)
    inside = [float(growth(x, scheme.interval * part)[0]) for part in (0.3, 0.9, 0.99)]
    assert max(inside) <= 1.0
    assert not float(growth(x, scheme.interval * 1.01)[0]) < 1.0


@pytest.mark.parametrize("s", [2, *(pytest.param(s, marks=pytest.mark.slow) for s in (9, 50)), 200])
@pytest.mark.parametrize("name", FAMILIES)
def test_time_is_kept_by_the_stages(name, s):
    """u' = -1 arrives at -h, and u' = -b(t) at the integral of a polynomial of degree order - 1 (and no higher)."""
    f = tw.Objective(lambda x: jnp.sum(x))
    method = flow(FAMILIES[name](s), 0.7, f)
    assert float(method.step(method.init(jnp.zeros(1))).position[0]) == pytest.approx(-0.7, rel=rounding(s))
    for degree in range(3):
        timed = flow(FAMILIES[name](s), 0.7, f, rate=lambda t, degree=degree: 1.0 + t**degree)
        end = float(timed.step(timed.init(jnp.zeros(1))).position[0])
        exact = -(0.7 + 0.7 ** (degree + 1) / (degree + 1))
        if degree < ORDER[name]:
            assert end == pytest.approx(exact, rel=rounding(s))
        elif degree == ORDER[name]:
            assert abs(end / exact - 1) > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("s", [5, 30])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_order_with_a_rate_of_time(name, s):
    method = flow(FAMILIES[name](s), 0.1, BARE, rate=lambda t: 1.0 + 0.5 * jnp.sin(3.0 * t))
    assert convergence_order(method, LOPSIDED.start).order == pytest.approx(ORDER[name], abs=0.1)


@pytest.mark.parametrize(
    "scheme",
    [
        tw.RungeKuttaChebyshev(1),
        pytest.param(tw.RungeKuttaChebyshev(2), marks=pytest.mark.slow),
        tw.RungeKuttaLegendre(2),
    ],
    ids=["1", "2", "rkl2"],
)
def test_stages_chosen_as_the_step_needs_and_counted(scheme):
    """Of a stiff quadratic: fewer stages for smaller steps, stable at all of them, and every gradient counted."""
    curvature = jnp.array([1.0, 30.0, 1000.0])
    known = tw.Objective(lambda x: 0.5 * jnp.sum(curvature * x**2), smoothness=1000.0)
    blind = tw.Objective(lambda x: 0.5 * jnp.sum(curvature * x**2))
    exact, errors = np.exp(-np.array([1.0, 30.0, 1000.0])), []
    for n in (2, 4, 8, 16, 32):
        method = tw.Method(tw.GradientFlow(known), scheme, 1.0 / n)
        run = tw.run(method, jnp.ones(3), n, record=("loss", "gradients"))
        s = next(s for s in scheme._eligible() if scheme.reach(s, damped=True) >= 1000.0 / n)
        assert run.gradients == n * s and run.metrics["gradients"].tolist() == [i * s for i in range(n + 1)]
        errors.append(abs(run.final.position[0] - exact[0]))
        other = tw.run(tw.Method(tw.GradientFlow(blind), scheme, 1.0 / n), jnp.ones(3), n)
        # A margin of a tenth in curvature is one of a twentieth in stages; the estimate costs what it says.
        products = 2 * (20 + 4 * ((n - 1) // 5))
        assert s <= (other.gradients - products) / n <= 1.06 * s + 2
        assert np.all(np.abs(other.final.position) <= 1.0)
    assert np.log2(errors[-2] / errors[-1]) == pytest.approx(scheme.order, abs=0.1)


@pytest.mark.slow
def test_compare_keeps_the_budget_of_a_method_whose_steps_differ():
    curvature = jnp.array([1.0, 30.0, 1000.0])
    f = tw.Objective(lambda x: 0.5 * jnp.sum(curvature * x**2), minimum=0.0)
    method = tw.Method(tw.GradientFlow(f), tw.RungeKuttaChebyshev(), 1.0)
    assert (
        method.gradients_vary and method.uneven and method.gradients_per_step == 1 and method.gradients_at_start == 40
    )
    found = tw.compare({"rkc": method}, jnp.ones(3), tolerance=1e-3, max_steps=3000, limits=False)["rkc"]
    gap = found.gradients - 40 - 8 * ((found.steps - 1) // 5)
    assert found.reached and gap % found.steps == 0 and found.steps * 20 < gap < found.steps * 30
    short = tw.compare({"rkc": method}, jnp.ones(3), tolerance=1e-3, max_steps=100, limits=False)["rkc"]
    assert not short.reached and short.gradients < 140


@pytest.mark.parametrize("s", [1, 7, 50, 200])
def test_gradients_are_counted_through_the_loop(s):
    assert flow(tw.RungeKuttaChebyshev(1, s)).gradients_per_step == s


@pytest.mark.parametrize("kappa", [20.0, 1e3])
@pytest.mark.parametrize("part", [0.01, 0.5, 1.0, 1.0001])
def test_the_damping_is_the_best_of_all(kappa, part):
    s = 9
    h = part * best_step(s, 1 / kappa, 1.0)
    z = np.concatenate([np.linspace(h / kappa, h, 4001), np.geomspace(h / kappa, h, 1001)])

    def worst(phi):
        x = np.cosh(phi) - np.sinh(phi) / (s * np.tanh(s * phi)) * z
        return np.max(np.abs(np.polynomial.chebyshev.chebval(x, [0] * s + [1]))) / np.cosh(s * phi)

    best = min(worst(phi) for phi in np.geomspace(1e-6, 5.0, 800))
    assert worst(float(best_angle(float(s), h / kappa, h))) <= best * (1 + 1e-5)


def quadratic(kappa, d=1000):
    return np.geomspace(1.0 / kappa, 1.0, d)


def gradients_to(factors, tolerance=1e-8):
    """Steps until the modes, all 1 at first, have shrunk to this in norm."""
    low, high = 0, 1
    while np.sqrt(np.mean(factors ** (2 * high))) > tolerance:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if np.sqrt(np.mean(factors ** (2 * middle))) > tolerance else (low, middle)
    return high


def heavy_ball_gradients(kappa, tolerance=1e-8):
    curvature, root = quadratic(kappa), np.sqrt(1 / kappa)
    alpha, beta = 4 / (1 + root) ** 2, ((1 - root) / (1 + root)) ** 2
    before = now = np.ones_like(curvature)
    for n in range(10**6):
        if np.sqrt(np.mean(now**2)) <= tolerance:
            return n
        before, now = now, now - alpha * curvature * now + beta * (now - before)
    raise AssertionError


@pytest.mark.parametrize(("kappa", "s"), [(1e2, 45), (1e4, 400), pytest.param(1e6, 4000, marks=pytest.mark.slow)])
def test_stabilised_descent_against_heavy_ball_and_gradient_descent(kappa, s):
    curvature = jnp.asarray(quadratic(kappa))
    f = tw.Objective(lambda x, c: 0.5 * jnp.sum(c * x**2), curvature, smoothness=1.0, strong_convexity=1.0 / kappa)
    method = tw.stabilised_descent(f, stages=s)
    run = tw.run(method, jnp.ones(1000), 40, record=1)
    distance = np.linalg.norm(run.trace.position, axis=1) / np.sqrt(1000)
    taken = s * int(np.argmax(distance <= 1e-8))
    assert distance[taken // s] <= 1e-8
    assert taken <= 1.6 * heavy_ball_gradients(kappa)
    if kappa >= 1e4:
        assert taken <= 0.05 * gradients_to(np.abs(1 - 2 / (1 + 1 / kappa) * quadratic(kappa)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: tw.RungeKuttaChebyshev(3), "order of RungeKuttaChebyshev must be 1 or 2, but is 3"),
        (lambda: tw.RungeKuttaLegendre(2, 1), "stages must be a whole number of at least 2, but is 1"),
        (lambda: tw.RungeKuttaChebyshev(1, 2.5), "stages must be a whole number, but is 2.5"),
        (lambda: tw.RungeKuttaChebyshev(1, 5, -1.0), "damping must be at least 0, but is -1"),
        (lambda: tw.RungeKuttaChebyshev(1).interval, "give one, stages=10"),
        (lambda: tw.Method(tw.HeavyBall(None, 1.0), tw.RungeKuttaChebyshev(1, 5), 0.1), "those of HeavyBall oscillate"),
        (lambda: tw.Method(tw.OverdampedLangevin(None, 1.0), tw.RungeKuttaLegendre(1, 5), 0.1), "would leave out"),
        (lambda: tw.stabilised_descent(lambda x: x @ x), "learning_rate must be given, unless the objective states"),
    ],
)
def test_bad_input_is_refused_in_one_line(make, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError, match=message):
        make()
