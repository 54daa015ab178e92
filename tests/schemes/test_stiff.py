"""Stiff and other fields with known ends: the test set for initial value problems, Lorenz' system, Kepler's orbit."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import solve_ivp

import thalweg as tw


def van_der_pol(t, y, mu):
    del t
    return jnp.stack([y[1], mu * (1.0 - y[0] ** 2) * y[1] - y[0]])


def scaled_van_der_pol(t, y, epsilon):
    del t
    return jnp.stack([y[1], ((1.0 - y[0] ** 2) * y[1] - y[0]) / epsilon])


def robertson(t, y, args):
    del t, args
    first, second, third = 0.04 * y[0], 3e7 * y[1] ** 2, 1e4 * y[1] * y[2]
    return jnp.stack([third - first, first - second - third, second])


def hires(t, y, args):
    del t, args
    a, b, c, d, e, f, g, h = y
    return jnp.stack(
        [
            -1.71 * a + 0.43 * b + 8.32 * c + 0.0007,
            1.71 * a - 8.75 * b,
            -10.03 * c + 0.43 * d + 0.035 * e,
            8.32 * b + 1.71 * c - 1.12 * d,
            -1.745 * e + 0.43 * f + 0.43 * g,
            -280.0 * f * h + 0.69 * d + 1.71 * e - 0.43 * f + 0.69 * g,
            280.0 * f * h - 1.81 * g,
            -280.0 * f * h + 1.81 * g,
        ]
    )


# Field, its constant, start, end, absolute tolerance and the published values there: Mazzia and Magherini (2008).
PROBLEMS = {
    "van der Pol": (van_der_pol, 1000.0, [2.0, 0.0], 2000.0, 1e-8, [1.706167732170483, -8.928097010247975e-4]),
    "van der Pol, scaled": (
        scaled_van_der_pol, 1e-6, [2.0, 0.0], 2.0, 1e-6, [1.706167732170483, -0.8928097010247975]
    ),
    "Robertson": (
        robertson, None, [1.0, 0.0, 0.0], 1e11, 1e-14,
        [0.2083340149701255e-7, 0.8333360770334713e-13, 0.9999999791665050],
    ),
    "HIRES": (
        hires, None, [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0057], 321.8122, 1e-10,
        [
            0.7371312573325668e-3, 0.1442485726316185e-3, 0.5888729740967575e-4, 0.1175651343283149e-2,
            0.2386356198831331e-2, 0.6238968252742796e-2, 0.2849998395185769e-2, 0.2850001604814231e-2,
        ],
    ),
}  # fmt: skip


def followed(law, scheme, until, x, first=1e-6, velocity=None, **tolerances):
    """The state at the end, by a compiled loop of attempts."""
    method = tw.Method(law, tw.Adaptive(scheme, until=until, **tolerances), first)
    loop = jax.jit(
        lambda x: jax.lax.while_loop(
            lambda s: ~method.scheme.report(s).ended, lambda s: method.step(s), method.init(x, velocity)
        )
    )
    state = loop(jnp.asarray(x))
    return state, method.scheme.termination(state)


@pytest.mark.parametrize("name", PROBLEMS)
def test_stiff_fields_end_at_their_published_values(name):
    field, args, start, until, atol, published = PROBLEMS[name]
    state, end = followed(tw.Field(field, args), tw.Rodas5P(), until, start, rtol=1e-6, atol=atol)
    assert end.status == "finished" and float(state.time) == until
    # An explicit method would take millions of steps; the error is some tens of the tolerance.
    assert end.steps < 1000
    np.testing.assert_allclose(state.position, published, rtol=5e-5)
    assert int(state.memory.own.failures) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", PROBLEMS)
def test_the_published_values_are_those_of_radau_too(name):
    field, args, start, until, atol, published = PROBLEMS[name]
    slope = jax.jit(lambda y: field(0.0, y, args))
    bent = jax.jit(jax.jacfwd(lambda y: field(0.0, y, args)))
    solved = solve_ivp(
        lambda t, y: np.asarray(slope(y)), (0.0, until), start, "Radau", jac=lambda t, y: np.asarray(bent(y)),
        rtol=1e-9, atol=1e-5 * atol,
    )  # fmt: skip
    np.testing.assert_allclose(solved.y[:, -1], published, rtol=1e-8)


@pytest.mark.slow
def test_an_error_falls_with_the_tolerance_on_a_stiff_field():
    field, args, start, until, _, published = PROBLEMS["HIRES"]
    errors = []
    for tolerance in (1e-4, 1e-6, 1e-8):
        state, _ = followed(tw.Field(field, args), tw.Rodas5P(), until, start, rtol=tolerance, atol=1e-4 * tolerance)
        errors.append(float(np.max(np.abs(np.asarray(state.position) / published - 1.0))))
    assert errors[0] > 10 * errors[1] > 100 * errors[2] and errors[2] < 1e-6


def test_tolerances_of_each_number_see_a_small_one():
    """Robertson's second number is 1e-13 of the others: with one absolute tolerance for all it is only followed."""
    field, args, start, until, _, published = PROBLEMS["Robertson"]
    atol = jnp.array([1e-10, 1e-18, 1e-8])
    state, end = followed(tw.Field(field, args), tw.Rodas5P(), until, start, rtol=1e-5, atol=atol)
    assert end.status == "finished"
    np.testing.assert_allclose(state.position, published, rtol=1e-3)


@pytest.mark.slow
def test_a_parabolic_field_by_stabilised_steps():
    """Heat on a rod with a source that is made for u = exp(-t) sin(pi x) + t x (1 - x)."""
    n = 60
    grid = jnp.arange(1, n + 1) / (n + 1)
    # The eigenvalue of the differences, for which the sine is exact; the parabola is exact by itself.
    rate = 4 * (n + 1) ** 2 * jnp.sin(jnp.pi / (2 * (n + 1))) ** 2

    def field(t, u, args):
        del args
        beside = jnp.concatenate([jnp.zeros(1), u, jnp.zeros(1)])
        curved = (n + 1) ** 2 * (beside[2:] - 2 * u + beside[:-2])
        source = (rate - 1) * jnp.exp(-t) * jnp.sin(jnp.pi * grid) + grid * (1 - grid) + 2 * t
        return curved + source

    exact = np.exp(-1.0) * np.sin(np.pi * np.asarray(grid)) + np.asarray(grid * (1 - grid))
    taken = {}
    for tolerance in (1e-4, 1e-6):
        scheme = tw.RungeKuttaChebyshev(order=2)
        state, end = followed(
            tw.Field(field), scheme, 1.0, jnp.sin(jnp.pi * grid), 1e-4, rtol=tolerance, atol=tolerance
        )
        assert end.status == "finished"
        np.testing.assert_allclose(state.position, exact, rtol=0, atol=20 * tolerance)
        taken[tolerance] = int(state.memory.own.gradients) + 1
    # One slope at the start. Euler's method takes 7442 evaluations, of steps that are stable.
    assert taken[1e-4] < 1500
    fixed, _ = followed(
        tw.Field(field), tw.RungeKuttaChebyshev(2, stages=20), 1.0, jnp.sin(jnp.pi * grid), 1e-4, rtol=1e-5, atol=1e-5
    )
    np.testing.assert_allclose(fixed.position, exact, rtol=0, atol=2e-4)


def test_the_lorenz_system_for_a_short_time():
    def field(t, x, args):
        del t
        sigma, rho, beta = args
        return jnp.stack([sigma * (x[1] - x[0]), x[0] * (rho - x[2]) - x[1], x[0] * x[1] - beta * x[2]])

    args, start = (10.0, 28.0, 8.0 / 3.0), [1.0, 1.0, 1.0]
    state, _ = followed(tw.Field(field, args), tw.Tsit5(), 5.0, start, 1e-3, rtol=1e-10, atol=1e-10)
    by_scipy = jax.jit(lambda x: field(0.0, x, args))
    exact = solve_ivp(lambda t, x: np.asarray(by_scipy(x)), (0, 5), start, "DOP853", rtol=1e-13, atol=1e-13).y[:, -1]
    np.testing.assert_allclose(state.position, exact, rtol=0, atol=1e-6)


def test_keplers_orbit_closes_and_keeps_its_energy():
    e = 0.5

    def field(t, x, args):
        del t, args
        return {"q": x["p"], "p": -x["q"] / jnp.sum(x["q"] ** 2) ** 1.5}

    def energy(x):
        return 0.5 * jnp.sum(x["p"] ** 2) - 1.0 / jnp.sqrt(jnp.sum(x["q"] ** 2))

    start = {"q": jnp.array([1.0 - e, 0.0]), "p": jnp.array([0.0, np.sqrt((1 + e) / (1 - e))])}
    method = tw.Method(tw.Field(field), tw.Adaptive(tw.Tsit5(), 1e-10, 1e-10, until=2 * jnp.pi), 1e-3)
    run = tw.run(method, start, 2000, record=None)
    assert run.status == "finished"
    for name, leaf in start.items():
        np.testing.assert_allclose(run.final.position[name], leaf, rtol=0, atol=1e-7)
    assert float(energy(run.final.position)) == pytest.approx(-0.5, abs=1e-8)
