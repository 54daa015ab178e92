"""Implicit, linearly implicit and exponential steps of laws that are not those of a gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.linalg import expm

import thalweg as tw
from tests.schemes.test_rosenbrock_wanner import START, end, turning

# Turns, decays, and has a fast mode; not symmetric.
MATRIX = np.array([[-1.0, 5.0, 0.3], [-4.0, -0.5, 0.0], [0.2, 0.1, -300.0]])
ONE = np.eye(3)
SOLVING = {
    "implicit": (tw.ImplicitEuler(1e-13), 1, lambda z: np.linalg.inv(ONE - z)),
    "midpoint": (tw.ImplicitMidpoint(1e-13), 2, lambda z: np.linalg.solve(ONE - z / 2, ONE + z / 2)),
    "rosenbrock": (tw.RosenbrockEuler(1e-13), 1, lambda z: np.linalg.inv(ONE - z)),
    "exponential": (tw.ExponentialEuler(), 2, expm),
}


def failures(method, state):
    return int(method.scheme.failures(state))


def on_a_tree(t, x, matrix):
    del t
    whole = matrix @ jnp.append(x["u"], x["v"])
    return {"u": whole[:2], "v": whole[2]}


@pytest.mark.parametrize("h", [0.3, -0.01])
@pytest.mark.parametrize("name", SOLVING)
def test_a_linear_field_is_followed_by_the_factor_of_the_scheme(name, h):
    scheme, _, factor = SOLVING[name]
    start = {"u": jnp.asarray(START[:2]), "v": jnp.asarray(START[2])}
    method = tw.Method(tw.Field(on_a_tree, jnp.asarray(MATRIX)), scheme, times=[0.0, h])
    state = jax.jit(lambda x: method.step(method.init(x)))(start)
    found = np.append(state.position["u"], state.position["v"])
    np.testing.assert_allclose(found, factor(h * MATRIX) @ START, rtol=0, atol=1e-12)
    assert failures(method, state) == 0


@pytest.mark.parametrize("name", SOLVING)
def test_the_order_is_kept_where_the_field_depends_on_time(name):
    scheme, order, _ = SOLVING[name]
    field = jax.jit(lambda t, x: turning(t, x, None))
    exact = solve_ivp(lambda t, x: np.asarray(field(t, x)), (0, 1), START, "DOP853", rtol=1e-12, atol=1e-14).y[:, -1]

    @jax.jit
    def last(steps):
        method = tw.Method(tw.Field(turning), scheme, 1.0 / steps)
        return jax.lax.fori_loop(0, steps, lambda _, s: method.step(s), method.init(jnp.asarray(START)))

    errors = [float(np.linalg.norm(last(steps).position - exact)) for steps in (128, 256)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)
    assert int(last(128).memory.failures) == 0


def transport(t, u, speed):
    """Advection and diffusion on a ring, whose Fourier modes turn and decay."""
    del t
    n = u.shape[0]
    right, left = jnp.roll(u, -1), jnp.roll(u, 1)
    return -speed * n * (right - left) / 2 + 1e-3 * n**2 * (right - 2 * u + left)


@pytest.mark.parametrize("name", ["implicit", pytest.param("midpoint", marks=pytest.mark.slow), "exponential"])
def test_large_systems_are_solved_by_products_alone(name):
    """In closed form by the Fourier transform, which makes the field diagonal."""
    scheme, n, h = SOLVING[name][0], 300, 0.02
    u = np.exp(np.cos(2 * np.pi * np.arange(n) / n))
    angle = 2 * np.pi * np.fft.fftfreq(n)
    eigenvalues = -1j * n * np.sin(angle) + 1e-3 * n**2 * (2 * np.cos(angle) - 2)
    z = h * eigenvalues
    factor = {"implicit": 1 / (1 - z), "midpoint": (1 + z / 2) / (1 - z / 2), "exponential": np.exp(z)}[name]
    if name == "exponential":
        scheme = tw.ExponentialEuler(krylov=60)
    method = tw.Method(tw.Field(transport, 1.0), scheme, h)
    state = end(method, 1, u)
    exact = np.fft.ifft(factor * np.fft.fft(u)).real
    np.testing.assert_allclose(state.position, exact, rtol=0, atol=1e-8)
    assert failures(method, state) == 0 and 0 < int(state.memory.products) < 200


def test_a_space_that_is_too_small_is_counted():
    method = tw.Method(tw.Field(transport, 1.0), tw.ExponentialEuler(krylov=3), 0.1)
    assert failures(method, end(method, 2, np.exp(np.cos(2 * np.pi * np.arange(300) / 300)))) == 2


def test_newtons_method_is_led_to_the_solution_and_says_where_there_is_none():
    """x' = -atan(100 x): whole steps overshoot ever farther. x' = x^2 has no implicit step beyond h = 1/(4 x)."""
    law = tw.Field(lambda t, x, a: -jnp.arctan(100.0 * x))
    method = tw.Method(law, tw.ImplicitEuler(1e-12), 1.0)
    state = end(method, 1, np.array([1.0]))
    assert abs(float(state.position[0] + np.arctan(100.0 * float(state.position[0])) - 1.0)) < 1e-11
    assert failures(method, state) == 0
    blowing = tw.Method(tw.Field(lambda t, x, a: x**2), tw.ImplicitEuler(), 1.0)
    assert failures(blowing, end(blowing, 1, np.array([1.0]))) == 1
    small = tw.Method(tw.Field(lambda t, x, a: x**2), tw.ImplicitEuler(1e-12), 0.1)
    assert float(end(small, 1, np.array([1.0])).position[0]) == pytest.approx((1 - np.sqrt(0.6)) / 0.2, rel=1e-11)


@pytest.mark.parametrize("n", [3, 300])
def test_at_rest_a_step_is_solved_in_spite_of_rounding(n):
    """A steady state of large rates, whose field is nothing but rounding."""
    rest = jnp.linspace(0.1, 0.7, n)
    law = tw.Field(lambda t, x, r: 1e6 * (jnp.roll(x - r, 1) - 2.0 * x + 2.0 * r) / 3.0 + (r - x) * jnp.exp(x), rest)
    method = tw.Method(law, tw.ImplicitEuler(0.0), 10.0)
    state = end(method, 5, rest * (1.0 + 1e-15))
    np.testing.assert_allclose(state.position, rest, rtol=1e-12)
    assert failures(method, state) == 0


def test_laws_with_another_force_are_solved_for_as_a_whole():
    f = tw.problems.lopsided()
    law = tw.HighResolutionFlow(f.objective, 0.1)
    exact = end(tw.Method(law, tw.Tsit5(), 1 / 400), 400, f.start)
    errors = []
    for steps in (32, 64):
        state = end(tw.Method(law, tw.ImplicitMidpoint(1e-12), 1.0 / steps), steps, f.start)
        errors.append(np.linalg.norm([state.position - exact.position, state.velocity - exact.velocity]))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize("name", ["midpoint", "exponential"])
def test_an_objective_that_depends_on_time_is_followed_as_the_field_that_it_gives(name):
    f = tw.Objective(lambda x, t: 0.5 * jnp.sum((x - jnp.sin(t)) ** 2) + 0.25 * t * jnp.sum(x**4), time_dependent=True)
    field = tw.Field(lambda t, x, args: -(x - jnp.sin(t)) - t * x**3)
    methods = [tw.Method(law, SOLVING[name][0], 0.1) for law in (tw.GradientFlow(f), field)]
    ends = [end(method, 10, np.array([2.0])).position for method in methods]
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-12)


@pytest.mark.parametrize("name", ["implicit", pytest.param("rosenbrock", marks=pytest.mark.slow)])
def test_the_derivative_of_a_step_is_that_of_its_equation(name):
    def last(rate):
        law = tw.Field(lambda t, x, r: jnp.stack([x[1], -r * (x[0] ** 2 - 1.0) * x[1] - x[0]]), rate)
        return tw.solve(tw.Method(law, SOLVING[name][0], 0.1), jnp.array([2.0, 0.3]), 2).final.position[1]

    last = jax.jit(last)
    across = (last(3.0 + 1e-5) - last(3.0 - 1e-5)) / 2e-5
    assert float(jax.jvp(last, (3.0,), (1.0,))[1]) == pytest.approx(float(across), rel=1e-6)
    assert float(jax.grad(last)(3.0)) == pytest.approx(float(across), rel=1e-6)


@pytest.mark.parametrize("name", SOLVING)
def test_float32_stays_float32(name):
    method = tw.Method(tw.Field(on_a_tree, jnp.asarray(MATRIX, jnp.float32)), SOLVING[name][0], 0.1)
    start = {"u": jnp.asarray(START[:2], jnp.float32), "v": jnp.asarray(START[2], jnp.float32)}
    state = method.step(method.init(start))
    found = np.append(state.position["u"], state.position["v"])
    assert found.dtype == np.float32 and failures(method, state) == 0
    np.testing.assert_allclose(found, SOLVING[name][2](0.1 * MATRIX) @ START, rtol=0, atol=2e-5)


def test_stages_are_chosen_by_the_spectral_radius():
    n = 60
    law = tw.Field(lambda t, u, a: n**2 * (jnp.roll(u, 1) - 2 * u + jnp.roll(u, -1)))
    method = tw.Method(law, tw.RungeKuttaChebyshev(order=2), 0.05)
    state = end(method, 20, np.cos(2 * np.pi * np.arange(n) / n))
    rate = 2 * n**2 * (1 - np.cos(2 * np.pi / n))
    np.testing.assert_allclose(state.position, np.cos(2 * np.pi * np.arange(n) / n) * np.exp(-rate), atol=1e-3)
    # Of the radius 4 n^2 the power iteration may miss some, and the margin is a tenth.
    assert 0.85 < float(state.memory.curvature) / (4 * n**2) < 1.001
