"""Modified equations against closed forms by hand, and against the steps that they pass through."""

import jax
import jaxtyping
import numpy as np
import pytest
import scipy.linalg

import thalweg as tw
from thalweg.analysis import modified_equation, modified_error, stationary_covariance, transient_covariance

HESSIAN = np.array([[1.6, 0.5], [0.5, 0.7]])
NOISE = np.array([[1.0, 0.4], [0.4, 2.0]])


def ball(h, scheme=None, friction=0.7):
    return tw.Method(tw.HeavyBall(None, friction), scheme or tw.Leapfrog(), h)


def bath(h, word="BAOAB"):
    return tw.Method(tw.UnderdampedLangevin(None, 0.7, 0.6, 1.4), tw.Splitting(word), h)


@pytest.mark.parametrize("h", [0.1, 0.4])
def test_gradient_descent(h):
    """M = log(1 - hl)/h, and D = 2 |M| hC/(l (2 - hl)), whose expansion is that of the docstring."""
    l, c = 1.7, 3.0
    method = tw.gradient_descent(None, h)
    drift = [l, h * l**2 / 2, h**2 * l**3 / 3]
    diffusion = [h * c, h * c * h * l, h * c * 5 / 6 * (h * l) ** 2]
    for order in (0, 1, 2):
        found = modified_equation(method, l, c, order)
        assert found.drift[0, 0] == pytest.approx(-sum(drift[: order + 1]), rel=1e-10)
        assert found.diffusion[0, 0] == pytest.approx(sum(diffusion[: order + 1]), rel=1e-10)
        assert found.genuine
    found = modified_equation(method, l, c, None)
    assert found.drift[0, 0] == pytest.approx(np.log(1 - h * l) / h, rel=1e-13)
    assert found.diffusion[0, 0] == pytest.approx(-2 * np.log(1 - h * l) / h * h * c / (l * (2 - h * l)), rel=1e-12)


def test_gradient_descent_flows_down_another_function():
    """f + (h/4)|grad f|^2 has the Hessian H + (h/2) H^2; the noise need not commute."""
    found = modified_equation(tw.gradient_descent(None, 0.1), HESSIAN, NOISE, 1)
    np.testing.assert_allclose(found.drift, -(HESSIAN + 0.05 * HESSIAN @ HESSIAN), atol=1e-11)
    correction = 0.1 / 2 * (HESSIAN @ NOISE + NOISE @ HESSIAN)
    np.testing.assert_allclose(found.diffusion, 0.1 * (NOISE + correction), atol=1e-11)


def test_euler_maruyama():
    """A = 1 + hM0 with Q = 2Th I, whatever the law: M1 = -M0^2/2, M2 = M0^3/3; D1 and D2 from the recurrence."""
    h, l, friction, heat = 0.2, 1.7, 0.7, 0.6
    m0 = np.array([[0.0, 1.0], [-l, -friction]])
    d0 = np.diag([0.0, 2 * friction * heat])
    m1, m2 = -m0 @ m0 / 2, m0 @ m0 @ m0 / 3
    d1 = -(m0 @ d0 + d0 @ m0.T) / 2
    square = m0 @ d1 + d1 @ m0.T
    d2 = -(square + m1 @ d0 + d0 @ m1.T) / 2 + 2 * square / 6
    method = tw.Method(tw.UnderdampedLangevin(None, friction, heat), tw.EulerMaruyama(), h)
    found = modified_equation(method, l, order=2)
    np.testing.assert_allclose(found.drift, m0 + h * m1 + h * h * m2, atol=1e-10)
    np.testing.assert_allclose(found.diffusion, d0 + h * d1 + h * h * d2, atol=1e-10)
    found = modified_equation(tw.sgld(None, h, heat), l, order=1)
    assert found.drift[0, 0] == pytest.approx(-(l + h * l * l / 2), rel=1e-10)
    assert found.diffusion[0, 0] == pytest.approx(2 * heat * (1 + h * l), rel=1e-10)


def test_momentum():
    """The velocity is half a step behind: M1 = [N, M0]/2 with N = (0, 0; l, g); and D1/K = (0, 1/2; 1/2, 0).

    A kick is h (1 - gh/2 + ...), Q = kick^2 K/h (h^2, h; h, 1), so Q2 = K (0, 1; 1, -g); L(D0)/2 is K (0, 1; 1, -2g)/2.
    """
    h, l, g, c = 0.1, 1.7, 0.7, 3.0
    zero, first = (modified_equation(ball(h), l, c, order) for order in (0, 1))
    np.testing.assert_allclose(zero.drift, [[0.0, 1.0], [-l, -g]], atol=1e-11)
    np.testing.assert_allclose(zero.diffusion, [[0.0, 0.0], [0.0, h * c]], atol=1e-11)
    np.testing.assert_allclose((first.drift - zero.drift) / h, [[-l / 2, -g / 2], [0.0, l / 2]], atol=1e-9)
    np.testing.assert_allclose((first.diffusion - zero.diffusion) / h**2 / c, [[0.0, 0.5], [0.5, 0.0]], atol=1e-9)
    assert zero.genuine and not first.genuine


METHODS = {
    "descent": (lambda h: tw.gradient_descent(None, h), NOISE, 1.0),
    "flow of another rate": (lambda h: tw.Method(tw.GradientFlow(None, 1.7), tw.RK4(), h), NOISE, 1.0),
    "sgld": (lambda h: tw.sgld(None, h, 0.6), None, 0.0),
    "leapfrog": (ball, NOISE, 1.0),
    "nesterov": (lambda h: ball(h, tw.Lookahead()), NOISE, 1.0),
    "baoab": (bath, None, 0.0),
    "obabo": (lambda h: bath(h, "OBABO"), None, 0.0),
}


@pytest.mark.parametrize("name", METHODS)
def test_orders(name):
    """The equation of order k is off the exact one by h^(k+1): what tells a wrong coefficient from a right one."""
    make, noise, scaled = METHODS[name]
    steps = (0.04, 0.02)
    parts = {order: [modified_equation(make(h), HESSIAN, None if noise is None else noise / h**scaled, order)
                     for h in steps] for order in (0, 1, 2, None)}  # fmt: skip
    for order in (0, 1, 2):
        for part in ("drift", "diffusion"):
            errors = [np.abs(getattr(a, part) - getattr(b, part)).max()
                      for a, b in zip(parts[order], parts[None], strict=True)]  # fmt: skip
            assert errors[1] < 1e-8 or np.log2(errors[0] / errors[1]) > order + 0.9


@pytest.mark.parametrize("name", METHODS)
def test_the_exact_equation_passes_through_every_step(name):
    make, noise, _ = METHODS[name]
    method = make(0.3)
    found = modified_equation(method, HESSIAN, noise, None)
    exact = stationary_covariance(method, HESSIAN, noise)
    np.testing.assert_allclose(found.stationary_covariance(), exact, rtol=1e-11)
    # On the way there too, by a quadrature of our own: 40 Gauss points over the first three steps.
    d = len(found.drift)
    nodes, weights = np.polynomial.legendre.leggauss(40)
    grown = [scipy.linalg.expm(found.drift * 0.45 * (1 + x)) for x in nodes]
    heap = sum(0.45 * w * e @ found.diffusion @ e.T for w, e in zip(weights, grown, strict=True))
    whole = transient_covariance(method, HESSIAN, 3, noise, of="phase")
    assert whole.shape == (d, d)
    np.testing.assert_allclose(heap, whole, atol=1e-12 * np.abs(whole).max())


def test_also_where_nothing_settles():
    """A direction without curvature: the walk goes on at its own pace."""
    method = tw.momentum(None, 0.1, 0.9)
    found = modified_equation(method, 0.0, 2.0, None)
    assert found.drift[1, 1] == pytest.approx(np.log(0.9) / float(method.step_size), rel=1e-12)
    friction = float(method.dynamics.friction)
    assert modified_equation(method, 0.0, 2.0, 0).drift[1, 1] == pytest.approx(-friction, rel=1e-10)
    with pytest.raises(tw.InputError, match="a mode of this equation grows at the rate"):
        found.stationary_covariance()


def test_the_drift_of_order_one_alone_is_further_off_than_the_limit():
    """Li, Tai and E: C a/(2l (1 + al/2)); exactly C a/(2l (1 - al/2)); the limit between them."""
    a, l, c = 0.2, 2.0, 1.0
    drift = modified_equation(tw.gradient_descent(None, a), l, c, 1).drift[0, 0]
    noise = modified_equation(tw.gradient_descent(None, a), l, c, 0).diffusion[0, 0]
    theirs, exact = noise / (-2 * drift), stationary_covariance(tw.gradient_descent(None, a), l, c)
    assert theirs == pytest.approx(a * c / (2 * l * (1 + a * l / 2)), rel=1e-9)
    assert exact == pytest.approx(a * c / (2 * l * (1 - a * l / 2)), rel=1e-12)
    assert theirs < a * c / (2 * l) < exact


def test_errors_shrink_with_the_order():
    for method, noise in ((tw.gradient_descent(None, 0.1), NOISE), (bath(0.1, "OBABO"), None)):
        errors = modified_error(method, HESSIAN, noise)
        assert [error.order for error in errors] == [0, 1, 2]
        assert errors[2].covariance < 0.1 * errors[0].covariance
        # The slow mode of a splitting below critical damping decays at half the friction, exactly.
        assert errors[2].rate < 0.1 * errors[0].rate or errors[0].rate < 1e-12
    # 1 - a l/2 of the exact variance, and l against log(1 - a l)/a.
    zero = modified_error(tw.gradient_descent(None, 0.1), 2.0, 1.0)[0]
    assert zero.covariance == pytest.approx(0.1, rel=1e-9)
    assert zero.rate == pytest.approx(1 - 2.0 / (-np.log(0.8) / 0.1), rel=1e-9)


def test_it_is_float64_in_a_float32_session():
    with jax.enable_x64(False):
        found = modified_equation(tw.gradient_descent(None, 0.125), 2.0, 1.0, 2)
        assert found.drift[0, 0] == pytest.approx(-(2 + 0.25 + 0.125**2 * 8 / 3), rel=1e-10)


def test_without_noise_it_is_a_flow():
    found = modified_equation(tw.gradient_descent(None, 0.1), 2.0)
    assert not found.diffusion.any() and found.rate == pytest.approx(2.2, rel=1e-10)


REFUSED = {
    "order": (lambda: modified_equation(tw.gradient_descent(None, 0.1), 1.0, order=3), "order must be 0, 1, 2 or None"),
    "turned": (lambda: modified_equation(tw.gradient_descent(None, 0.7), 2.0, order=None), "multiplies a direction by"),
    "large": (lambda: modified_equation(tw.gradient_descent(None, 0.1), np.eye(30), order=None), "up to 24"),
    "noise kept": (
        lambda: modified_equation(tw.Method(tw.OverdampedLangevin(None, 1.0), tw.LeimkuhlerMatthews(), 0.1), 1.0),
        "remembers noise of the last one",
    ),
    "batch kept": (lambda: modified_equation(bath(0.1), 1.0, 1.0), "remembers noise of the last one"),
    "law": (
        lambda: modified_equation(tw.Method(tw.HighResolutionFlow(None, 0.1, 1.0), tw.RK4(), 0.1), 1.0),
        "a diffusion limit is known of",
    ),
    "velocity": (
        lambda: modified_equation(tw.sgld(None, 0.1), 1.0).stationary_covariance("velocity"), "no velocity",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = REFUSED[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)
