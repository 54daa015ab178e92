"""The limit of small steps against closed forms of 50 digits, quadrature, and the methods that tend to it."""

import jax.numpy as jnp
import jaxtyping
import mpmath
import numpy as np
import pytest
import scipy.linalg

import thalweg as tw
from thalweg.analysis import stationary_covariance, transient_covariance

HESSIAN = np.array([[1.6, 0.5], [0.5, 0.7]])
NOISE = np.array([[1.0, 0.4], [0.4, 2.0]])


def kramers(stiffness, friction, diffusion, t):
    """E xx, E xv, E vv of x'' + g x' + k x = noise of variance D dt, from a point, in exact arithmetic.

    The answer to a kick is p(u) = (exp(a u) - exp(b u))/(a - b), a and b the roots of z^2 + g z + k, or
    u exp(-g u/2) where they are one; xx is D times the integral of p^2, xv D p(t)^2/2, vv D times that of p'^2.
    """
    with mpmath.workdps(50):
        k, g, d, t = (mpmath.mpf(float(value)) for value in (stiffness, friction, diffusion, t))
        root = mpmath.sqrt(mpmath.mpc(g * g / 4 - k))
        if root == 0:
            e = mpmath.exp(-g * t)
            one, u, uu = (1 - e) / g, (1 - e * (1 + g * t)) / g**2, (2 - e * (2 + 2 * g * t + (g * t) ** 2)) / g**3
            parts = (uu, t * t * e / 2, one - g * u + g * g / 4 * uu)
        else:
            a, b = -g / 2 + root, -g / 2 - root

            def grown(z):
                return t if z == 0 else mpmath.expm1(z * t) / z

            gap = (a - b) ** 2
            p = (mpmath.exp(a * t) - mpmath.exp(b * t)) ** 2 / gap
            xx = (grown(2 * a) - 2 * grown(a + b) + grown(2 * b)) / gap
            vv = (a * a * grown(2 * a) - 2 * a * b * grown(a + b) + b * b * grown(2 * b)) / gap
            parts = (xx, p / 2, vv)
        return [float(mpmath.re(d * part)) for part in parts]


def test_the_reference_is_the_integral():
    for k, g in ((2.0, 0.3), (2.0, 5.0), (1.0, 2.0), (0.0, 1.0), (-0.5, 0.4)):
        with mpmath.workdps(50):
            root = mpmath.sqrt(mpmath.mpc(mpmath.mpf(g) ** 2 / 4 - k))

            def answer(u, g=g, root=root):
                return mpmath.re(mpmath.exp(-g * u / 2) * (mpmath.sinh(root * u) / root if root else u))

            def speed(u, g=g, root=root, answer=answer):
                return mpmath.re(mpmath.exp(-g * u / 2) * mpmath.cosh(root * u)) - g / mpmath.mpf(2) * answer(u)

            integrals = [mpmath.quad(f, [0, 0.7, 1.4]) for f in (
                lambda u: answer(u) ** 2, lambda u: answer(u) * speed(u), lambda u: speed(u) ** 2)]  # fmt: skip
        np.testing.assert_allclose(kramers(k, g, 1.0, 1.4), [float(part) for part in integrals], rtol=1e-14)


CRITICAL = 2.0 * np.sqrt(1.7 * 2.3)
FRICTIONS = {
    "under": 0.31, "over": 9.0, "far over": 4e4, "hardly": 1e-6, "critical": None, "below": CRITICAL * (1 - 1e-9),
    "above": CRITICAL * (1 + 1e-9), "near below": CRITICAL * (1 - 1e-4), "near above": CRITICAL * (1 + 1e-4),
}  # fmt: skip


@pytest.mark.parametrize("damping", FRICTIONS)
def test_kramers_from_a_point(damping):
    """Mission 19: every part of the covariance at five times, to 1e-10 (here to 1e-12)."""
    curvature, mass, friction = (1.7, 2.3, FRICTIONS[damping]) if damping != "critical" else (1.0, 1.0, 2.0)
    law = tw.UnderdampedLangevin(None, friction, 0.6, mass)
    limit = tw.Method(law, tw.Splitting("BAOAB"), 0.1).diffusion_limit()
    times = np.array([1e-5, 0.03, 0.9, 4.0, 33.0])
    found = limit.covariance(curvature, times, of="phase")
    assert found.shape == (5, 2, 2)
    diffusion = 2 * friction * 0.6 / mass**2
    exact = np.array([kramers(curvature / mass, friction / mass, diffusion, t) for t in times])
    np.testing.assert_allclose(found[:, [0, 0, 1], [0, 1, 1]], exact, rtol=1e-12)
    np.testing.assert_allclose(found[:, 0, 1], found[:, 1, 0], rtol=1e-14)
    np.testing.assert_array_equal(limit.covariance(curvature, times), found[:, 0, 0])
    np.testing.assert_array_equal(limit.covariance(curvature, times, of="velocity"), found[:, 1, 1])


@pytest.mark.parametrize(("curvature", "friction"), [(0.0, 0.7), (-0.4, 0.7), (-0.4, 0.0), (0.0, 0.0), (1.3, 0.0)])
def test_where_it_never_settles(curvature, friction):
    limit = tw.Method(tw.HeavyBall(None, friction), tw.Leapfrog(), 0.1).diffusion_limit(noise_covariance=3.0)
    for t in (0.01, 2.0, 9.0):
        found = limit.covariance(curvature, t, of="phase")
        if curvature or friction:
            exact = kramers(curvature, friction, 0.3, t)
        else:
            exact = [0.1 * t**3, 0.15 * t**2, 0.3 * t]
        np.testing.assert_allclose([found[0, 0], found[0, 1], found[1, 1]], exact, rtol=1e-12)


def van_loan(drift, diffusion, t):
    """(e^{Mt}, Q_t) by the exponential of a block matrix."""
    n = len(drift)
    grown = scipy.linalg.expm(t * np.block([[-drift, diffusion], [np.zeros((n, n)), drift.T]]))
    step = grown[n:, n:].T
    return step, step @ grown[:n, n:]


@pytest.mark.parametrize("kind", ["sgld", "descent", "momentum", "bath"])
def test_noise_that_does_not_commute(kind):
    """All against van Loan's blocks, from a covariance; and the stationary law against SciPy's equation."""
    method = {
        "sgld": lambda: tw.sgld(None, 0.2, 0.6),
        "descent": lambda: tw.Method(tw.GradientFlow(None, 1.7), tw.Euler(), 0.2),
        "momentum": lambda: tw.momentum(None, 0.2, 0.7),
        "bath": lambda: tw.Method(tw.UnderdampedLangevin(None, 1.4, 0.6, 2.0), tw.Splitting("OBABO"), 0.2),
    }[kind]()
    limit = method.diffusion_limit(NOISE)
    of = "phase" if method.dynamics.order == 2 else "position"
    drift = limit.drift(HESSIAN)
    diffusion = limit.diffusion if of == "position" else np.kron(np.diag([0.0, 1.0]), limit.diffusion)
    start = np.array([[1.0, -0.2], [-0.2, 0.3]])
    wide = start if of == "position" else np.kron(np.array([[1.0, 0.3], [0.3, 0.4]]), start)
    for t in (0.05, 0.7, 3.0):
        step, heap = van_loan(drift, diffusion, t)
        found = limit.covariance(HESSIAN, t, start=wide, of=of)
        np.testing.assert_allclose(found, step @ wide @ step.T + heap, rtol=1e-11, atol=1e-14)
    settled = limit.stationary_covariance(HESSIAN, of=of)
    np.testing.assert_allclose(
        settled, scipy.linalg.solve_continuous_lyapunov(drift, -diffusion), rtol=1e-11, atol=1e-14
    )
    np.testing.assert_allclose(limit.covariance(HESSIAN, 400.0, of=of), settled, rtol=1e-11, atol=1e-14)
    at_rest = limit.covariance(HESSIAN, [0.0, 1.0], start=start)
    np.testing.assert_allclose(at_rest[0], start, atol=1e-15)


def test_the_stationary_law_is_boltzmanns_where_noise_is_thermal():
    for method in (tw.sgld(None, 0.2, 0.6), tw.Method(tw.UnderdampedLangevin(None, 1.4, 0.6), tw.Splitting(), 0.2)):
        np.testing.assert_allclose(
            method.diffusion_limit().stationary_covariance(HESSIAN), 0.6 * np.linalg.inv(HESSIAN)
        )


@pytest.mark.parametrize(("make", "order"), [
    (lambda h: tw.sgld(None, h, 0.6), 1),
    (lambda h: tw.gradient_descent(None, h), 1),
    (lambda h: tw.Method(tw.HeavyBall(None, 0.8, 1.4), tw.Leapfrog(), h), 1),
    (lambda h: tw.Method(tw.HeavyBall(None, 0.8, 1.4), tw.Lookahead(), h), 1),
    (lambda h: tw.Method(tw.UnderdampedLangevin(None, 0.8, 0.6, 1.4), tw.EulerMaruyama(), h), 1),
    (lambda h: tw.Method(tw.UnderdampedLangevin(None, 0.8, 0.6, 1.4), tw.Splitting("BAOAB"), h), 2),
    (lambda h: tw.Method(tw.UnderdampedLangevin(None, 0.8, 0.6, 1.4), tw.Splitting("OBABO"), h), 2),
])  # fmt: skip
def test_methods_tend_to_their_limit(make, order):
    """At a fixed time, from a covariance, the gradient noise K = hC of the limit held; the order is the method's.

    (The sum over left ends of a look-back at every kick makes leapfrog with gradient noise first order.)
    """
    start, errors = 0.5 * np.eye(2), []
    for h in (0.02, 0.01):
        noise = None if order == 2 else NOISE / h
        exact = make(h).diffusion_limit(noise).covariance(HESSIAN, 1.4, start=start)
        found = transient_covariance(make(h), HESSIAN, round(1.4 / h), noise, start=start)
        errors.append(np.abs(found - exact).max())
    assert errors[1] < 0.05
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)


def test_temperatures():
    assert tw.gradient_descent(None, 0.1).diffusion_limit(3.0).temperature == pytest.approx(0.1 * 3.0 / 2)
    assert tw.Method(tw.GradientFlow(None, 5.0), tw.Euler(), 0.02).diffusion_limit(3.0).temperature == pytest.approx(
        0.15
    )
    known = tw.Hyperparameters(0.1, 0.9, batch_size=8).physical().temperature
    assert tw.momentum(None, 0.1, 0.9).diffusion_limit(1 / 8).temperature == pytest.approx(known, rel=1e-12)
    both = tw.sgld(None, 0.1, 2.0).diffusion_limit(NOISE)
    np.testing.assert_allclose(both.temperature, 2.0 * np.eye(2) + 0.05 * NOISE)
    np.testing.assert_allclose(both.diffusion, 4.0 * np.eye(2) + 0.1 * NOISE)


def test_the_limit_is_a_law_to_run():
    """Mini-batches are in its temperature, and taken no more."""
    data = jnp.asarray(np.random.default_rng(0).normal(size=(40, 1)))
    f = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum((x - s) ** 2), data, batch_size=4, replace=False, epochs=True)
    limit = tw.momentum(f, 0.1, 0.9).diffusion_limit(x=jnp.zeros(1))
    variance = float(np.var(data)) / 4 * 36 / 39
    assert limit.temperature[0, 0] == pytest.approx(0.1 * variance / (2 * 0.1), rel=1e-9)
    assert isinstance(limit.law, tw.UnderdampedLangevin) and limit.law.objective.batch_size is None
    settled = stationary_covariance(tw.Method(limit.law, tw.Splitting("BAOAB"), 0.3), 1.0)
    assert settled == pytest.approx(limit.stationary_covariance(np.eye(1))[0, 0], rel=1e-9)
    overdamped = tw.gradient_descent(None, 0.1).diffusion_limit(3.0).law
    assert isinstance(overdamped, tw.OverdampedLangevin) and float(overdamped.temperature) == pytest.approx(0.15)


def test_it_prints_what_it_is():
    assert str(tw.sgld(None, 0.1, 2.0).diffusion_limit(10.0)) == (
        "dθ = -∇f dt + √(2T) dW\nT = 2.5 (2 thermal, the rest of gradient noise)"
    )
    ball = tw.Method(tw.HeavyBall(None, 0.5, 2.0), tw.Leapfrog(), 0.1)
    assert str(ball.diffusion_limit(3.0)) == "dθ = η dt, 2 dη = -(∇f + 0.5 η) dt + √(1 T) dW\nT = 0.3"
    assert "D = [[0.1" in str(tw.gradient_descent(None, 0.1).diffusion_limit(NOISE))
    free = tw.Method(tw.HeavyBall(None, 0.0), tw.Leapfrog(), 0.1).diffusion_limit(9.0)
    assert str(free) == "dθ = η dt, dη = -∇f dt + 0.9487 dW\nno friction: the energy grows for ever"


def test_without_friction_the_energy_grows_as_is_said():
    free = tw.Method(tw.HeavyBall(None, 0.0, 2.0), tw.Leapfrog(), 0.1).diffusion_limit(3.0)
    with pytest.raises(tw.InputError, match=r"the energy grows by 0\.075 a unit of time"):
        free.stationary_covariance(1.7)
    at = free.covariance(1.7, 50.0, of="phase")
    assert 0.5 * 2.0 * at[1, 1] + 0.5 * 1.7 * at[0, 0] == pytest.approx(0.075 * 50.0, rel=1e-12)


def test_the_former_names_are_aliases():
    method = tw.gradient_descent(None, 0.1)
    assert tw.analysis.Limit is tw.analysis.DiffusionLimit
    assert str(method.limit(3.0)) == str(method.diffusion_limit(3.0))


SGD = tw.gradient_descent(None, 0.1)
REFUSED = {
    "no noise": (lambda: SGD.diffusion_limit(), "without noise the diffusion limit is the law itself"),
    "a schedule": (
        lambda: tw.gradient_descent(None, lambda k: 0.1).diffusion_limit(1.0), "needs constant hyperparameters",
    ),
    "another law": (
        lambda: tw.Method(tw.HighResolutionFlow(None, 0.1, 1.0), tw.RK4(), 0.1).diffusion_limit(1.0),
        "HighResolutionFlow",
    ),
    "negative": (lambda: SGD.diffusion_limit(-1.0), "noise_covariance must be at least 0"),
    "indefinite": (lambda: SGD.diffusion_limit(np.diag([1.0, -1.0])), "positive semidefinite"),
    "two noises": (lambda: SGD.diffusion_limit(1.0, x=jnp.zeros(1)), "not both"),
    "nothing to measure": (lambda: SGD.diffusion_limit(x=jnp.zeros(1)), "must be a tw.FiniteSum"),
    "crooked law": (lambda: SGD.diffusion_limit(NOISE).law, "not the same in all directions"),
    "a rate": (
        lambda: tw.Method(tw.GradientFlow(None, 2.0), tw.Euler(), 0.1).diffusion_limit(1.0).law, "has the rate 1",
    ),
    "flat": (
        lambda: SGD.diffusion_limit(1.0).stationary_covariance(np.diag([1.0, 0.0])), "the smallest curvature is 0",
    ),
    "velocity": (lambda: SGD.diffusion_limit(1.0).covariance(1.0, 1.0, of="velocity"), "no velocity"),
    "before": (lambda: SGD.diffusion_limit(1.0).covariance(1.0, -1.0), "time must be finite and at least 0"),
    "a word": (lambda: SGD.diffusion_limit(1.0).covariance(1.0, "x"), "time must be a number"),
    "shape": (lambda: SGD.diffusion_limit(NOISE).covariance(1.0, 1.0), "must have the shape of the noise"),
    "a start": (lambda: SGD.diffusion_limit(1.0).covariance(1.0, 1.0, start=np.eye(2)), "start must be"),
    "no friction": (
        lambda: tw.Method(tw.HeavyBall(None, 0.0), tw.Leapfrog(), 0.1).diffusion_limit(1.0).temperature,
        "without friction",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = REFUSED[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)
