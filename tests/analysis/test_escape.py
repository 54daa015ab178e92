import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy.integrate import quad, solve_ivp
from scipy.special import erfi

import thalweg as tw
from thalweg.analysis import escape_time, kramers_time


def tilted(x):
    """Two wells of unequal depth, so that a lost sign or a swapped end shows."""
    return 0.25 * (x**2 - 1.0) ** 2 + 0.1 * x


def slope(x):
    return x**3 - x + 0.1


def by_an_ode(a, b, T):
    """w' = (L' w + 1)/T with w = 0 far on the left is the inner integral times exp(L/T)/T; the time is its integral."""
    settings = {"method": "DOP853", "rtol": 1e-12, "atol": 1e-14}
    far = min(-3.0 - 3.0 * T**0.25, a - 1.0)
    before = solve_ivp(lambda y, w: (slope(y) * w + 1) / T, (far, a), [0.0], **settings)
    after = solve_ivp(
        lambda y, w: [(slope(y) * w[0] + 1) / T, w[0]], (a, b), [before.y[0, -1], 0.0], **settings
    )  # fmt: skip
    return after.y[1, -1]


@pytest.mark.parametrize("temperature", [10, 0.3, 0.02])
@pytest.mark.parametrize(("start", "end"), [(-1.0, 1.0), (-1.0, 0.1), (-2.5, 0.9), (0.5, 1.0)])
def test_against_an_ode(start, end, temperature):
    found = escape_time(tilted, start, end, temperature)
    np.testing.assert_allclose(found, by_an_ode(start, end, temperature), rtol=1e-10)


def test_a_well_far_behind_a_barrier_counts():
    """From 0.5 to 1 at T = 1/1000: seldom a path goes the other way, but then it is gone for long."""
    found = escape_time(tilted, 0.5, 1.0, 1e-3)
    np.testing.assert_allclose(found, by_an_ode(0.5, 1.0, 1e-3), rtol=1e-10)
    assert found > 1e80


@pytest.mark.parametrize("potential", [tilted, lambda x: 3.0 * x**20 + x], ids=["wells", "walls"])
def test_against_nested_adaptive_quadrature(potential):
    T = 0.2

    def inner(y):
        def weight(z):
            return np.exp((potential(y) - potential(z)) / T)

        return quad(weight, -4.0, y, points=[max(-1.5, y - 1.0)], epsabs=0, epsrel=1e-12, limit=400)[0] / T

    expected = quad(inner, -0.8, 1.2, epsabs=0, epsrel=1e-11, limit=200)[0]
    np.testing.assert_allclose(escape_time(potential, -0.8, 1.2, T), expected, rtol=1e-9)


@pytest.mark.parametrize(("a", "b"), [(-1.0, 1.2), (-2, 0)])
def test_from_right_to_left_is_the_mirror_image(a, b):
    np.testing.assert_allclose(
        escape_time(tilted, b, a, 0.3), escape_time(lambda x: tilted(-x), -b, -a, 0.3), rtol=1e-10
    )
    assert abs(escape_time(tilted, b, a, 0.3) / escape_time(tilted, a, b, 0.3) - 1) > 0.1


@pytest.mark.parametrize("stiffness", [1e-4, 1.0, 1e6])
def test_a_spring_in_closed_form(stiffness):
    """From -r to r, r = sqrt(T/k): pi erfi(1/sqrt 2)/k; whatever the units of x and L."""
    T = 3.0
    r = np.sqrt(T / stiffness)
    found = escape_time(lambda x: 0.5 * stiffness * x**2 + 7.0, -r, r, T)
    np.testing.assert_allclose(found * stiffness, np.pi * erfi(np.sqrt(0.5)), rtol=1e-11)


def test_a_large_constant_costs_its_rounding_alone():
    """At 1e6/T the exponent is rounded to 4e-10."""
    found = escape_time(lambda x: tilted(x) + 1e6, -1.0, 1.0, 0.3)
    np.testing.assert_allclose(found, escape_time(tilted, -1.0, 1.0, 0.3), rtol=1e-8)


def test_a_time_is_additive():
    """A path from -1 to 1 goes through 0.3 first and starts afresh."""
    whole = escape_time(tilted, -1.0, 1.0, 0.1)
    np.testing.assert_allclose(
        escape_time(tilted, -1.0, 0.3, 0.1) + escape_time(tilted, 0.3, 1.0, 0.1), whole, rtol=1e-10
    )
    assert escape_time(tilted, 0.3, 0.3, 0.1) == 0.0


@pytest.mark.slow
def test_against_paths(key):
    """Euler-Maruyama at T = 1 with the end moved by 0.5826 sqrt(2Th), as paths are seen only at the steps."""
    T, h, count = 1.0, 3e-3, 3000
    end = 1.0 - 0.5826 * np.sqrt(2 * T * h)

    def step(carry, key):
        x, time, gone = carry
        x = x - h * slope(x) + jnp.sqrt(2 * T * h) * jax.random.normal(key, (count,))
        time = time + h * (~gone)
        return (x, time, gone | (x >= end)), None

    start = (jnp.full(count, -1.0), jnp.zeros(count), jnp.zeros(count, bool))
    (_, times, gone), _ = jax.jit(lambda keys: jax.lax.scan(step, start, keys))(jax.random.split(key, 12_000))
    assert jnp.mean(gone) > 0.999
    error = jnp.std(times) / np.sqrt(count)
    assert abs(jnp.mean(times) - escape_time(tilted, -1.0, 1.0, T)) < 4 * error + 0.01


@pytest.mark.parametrize("temperature", [0.02, 0.01])
def test_kramers_is_the_limit(temperature):
    """The ratio is 1 + O(T); for this double well 1 + 3T/2 + O(T^2). The barrier is half way in time."""
    well = tw.problems.double_well(1)
    kramers = kramers_time(well, -1.0, 0.0, temperature)
    np.testing.assert_allclose(kramers, np.pi * np.sqrt(2) * np.exp(0.25 / temperature), rtol=1e-13)
    ratio = escape_time(well, -1.0, 1.0, temperature) / kramers
    np.testing.assert_allclose((ratio - 1) / temperature, 1.5, rtol=0.15)
    np.testing.assert_allclose(2 * escape_time(well, -1.0, 0.0, temperature) / kramers, ratio, rtol=1e-3)


def test_kramers_by_hand():
    """Minimum of curvature 3 at 1 and maximum of curvature -6 at 3, 2 higher."""

    def potential(x):
        y = x - 1.0
        return 1.5 * y**2 + 0.75 * y**3 - 0.4375 * y**4

    bend = jax.grad(jax.grad(potential))
    top = float(np.roots([-1.75, 2.25, 3.0]).max()) + 1.0
    expected = 2 * np.pi / np.sqrt(3.0 * -bend(top)) * np.exp(float(potential(top)) / 0.5)
    np.testing.assert_allclose(kramers_time(potential, 1, top, 0.5), expected, rtol=1e-12)


def test_a_function_an_objective_and_a_problem_are_the_same_and_in_float64():
    problem = tw.problems.double_well(1)
    shared = tw.Objective(lambda x, a: a * (x**2 - 1.0) ** 2, jnp.array(0.25))
    expected = escape_time(problem, -1.0, 1.0, 0.05)
    np.testing.assert_allclose(escape_time(shared, -1.0, 1.0, 0.05), expected, rtol=1e-11)
    with jax.enable_x64(False):
        narrow = tw.problems.double_well(1)
        assert narrow.start.dtype == jnp.float32
        np.testing.assert_allclose(escape_time(narrow, -1.0, 1.0, 0.05), expected, rtol=1e-12)
        found = kramers_time(narrow, -1.0, 0.0, 0.05)
    np.testing.assert_allclose(found, kramers_time(problem, -1.0, 0.0, 0.05), rtol=1e-14)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f: escape_time(f, -1.0, 1.0, 0.0), "temperature must be greater than 0, but is 0"),
        (lambda f: escape_time(f, np.nan, 1.0), "start must be finite, but is nan"),
        (lambda f: escape_time(f, 0.0, "1"), "end must be a real number, but is '1'"),
        (lambda f: escape_time(f, -1.0, 1.0, 1e-4), "temperature must be higher: at 0.0001 the time exceeds"),
        (lambda f: escape_time(lambda x: -x, 1.0, -1.0), "must grow on the far side of the start, else"),
        (lambda f: escape_time(lambda x: x, -1.0, 1.0), "must grow on the far side of the start, else"),
        (lambda f: escape_time(lambda x: jnp.log(x), 1.0, 2.0), "must be a finite number, but at"),
        (lambda f: escape_time(lambda x: x[0], 1.0, 2.0), "the potential raised IndexError at a number"),
        (lambda f: escape_time(lambda x: jnp.ones(2), 1.0, 2.0), "must return one number for one number, but returns"),
        (lambda f: escape_time(tw.problems.double_well(2), -1.0, 1.0), "in one dimension, but double-well has 2"),
        (lambda f: escape_time(3.0, -1.0, 1.0), "must be a function of one number or a problem, but is 3.0"),
        (lambda f: escape_time(lambda x: jnp.floor(7 * x**2), -1.0, 2.0), "must be smooth enough for a quadrature"),
        (lambda f: kramers_time(f, -1.0, 0.0, -1), "temperature must be greater than 0, but is -1"),
        (lambda f: kramers_time(f, 0.0, -1.0), "well must be a minimum of the potential, but at 0 its"),
        (lambda f: kramers_time(f, -1.0, 0.1), "barrier must be a maximum of the potential, but at 0.1 its slope"),
        (lambda f: kramers_time(f, -1.0, 0.0, 1e-4), "temperature must be higher: at 0.0001 the time exceeds"),
    ],
)
def test_wrong_input(call, message, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError) as caught:
        call(tw.problems.double_well(1))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
