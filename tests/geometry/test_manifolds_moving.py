"""Motion on manifolds by the schemes that move along them: orders, energies, what a long run keeps, closed forms."""

from functools import cache
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import scipy.special
from scipy.integrate import solve_ivp

import thalweg as tw
from thalweg.dynamics import Phase

FRICTION, MASS = 0.4, 1.5
MATRIX = jnp.array([[1.3, 0.3, 0.1, 0.2], [0.3, 2.3, 0.5, -0.1], [0.1, 0.5, 3.0, 0.4], [0.2, -0.1, 0.4, 0.7]])
SIDE = jnp.array([[0.3, -0.2], [0.1, 0.5], [-0.4, 0.2], [0.6, 0.1]])
FRAME = jnp.array([[0.6, 0.2], [-0.3, 0.7], [0.5, -0.1], [0.2, 0.6]])
SPREAD = jnp.array([[1.1, 0.3, 0.0], [0.3, 0.8, -0.2], [0.0, -0.2, 0.6]])
COST = jnp.array([[0.9, -0.2, 0.1], [-0.2, 1.4, 0.0], [0.1, 0.0, 0.7]])
AIM = jnp.array([0.3, -0.4, 0.2])


def rayleigh(x):
    return 0.5 * x @ MATRIX @ x


def brockett(x):
    return 0.5 * jnp.sum((MATRIX @ x) * x * jnp.array([[1.0, 2.0]])) + jnp.sum(SIDE * x)


def likelihood(p):
    return 0.5 * jnp.trace(COST @ p) - 0.5 * jnp.linalg.slogdet(p)[1] + 0.1 * p[0, 1]


def hyperbolic(x):
    return 0.5 * x[1:] @ MATRIX[:3, :3] @ x[1:] - AIM @ x[1:]


def bowl(x):
    return 2.0 * jnp.sum((x - AIM) ** 2) + x[0] * x[1]


def mixed(x):
    return rayleigh(x["turned"]) + likelihood(x["spread"]) + 0.5 * jnp.sum(x["flat"] ** 2) * (1.5 + x["turned"][0])


class Case(NamedTuple):
    geometry: Any
    f: Any
    start: Any
    push: Any

    def ball(self, friction=FRICTION):
        return tw.HeavyBall(self.f, friction, MASS, geometry=self.geometry)


SPHERE, SPD, BALL, SPACE = (tw.geometry.Sphere(), tw.geometry.SPD(), tw.geometry.PoincareBall(),
                            tw.geometry.Hyperboloid())  # fmt: skip
PARTS = tw.geometry.Product({"turned": SPHERE, "spread": SPD, "flat": None})
RAW = {
    "sphere": (SPHERE, rayleigh, jnp.array([0.5, -0.6, 0.6, 0.2]), jnp.array([0.8, 0.6, 0.0, -0.3])),
    "canonical": (tw.geometry.Stiefel(), brockett, FRAME, SIDE + 0.5 * FRAME[::-1]),
    "euclidean": (tw.geometry.Stiefel("euclidean"), brockett, FRAME, SIDE + 0.5 * FRAME[::-1]),
    "spd": (SPD, likelihood, SPREAD, 0.5 * COST - 0.3 * SPREAD),
    "hyperboloid": (SPACE, hyperbolic, jnp.array([1.0, 0.5, -0.3, 0.4]), jnp.array([0.0, 0.6, 0.2, -0.5])),
    "ball": (BALL, bowl, jnp.array([-0.2, 0.3, 0.1]), jnp.array([0.3, 0.1, -0.2])),
}
RAW["product"] = (
    PARTS,
    mixed,
    {"turned": RAW["sphere"][2], "spread": SPREAD, "flat": jnp.array([0.7, -0.4])},
    {"turned": RAW["sphere"][3], "spread": RAW["spd"][3], "flat": jnp.array([0.1, 0.5])},
)
# On those that compile in seconds, in every suite.
NAMES = [
    pytest.param(name, marks=[pytest.mark.slow] if name in ("canonical", "euclidean", "product") else [])
    for name in RAW
]


@cache
def case(name):
    geometry, f, start, push = RAW[name]
    start = geometry.project(start)
    return Case(geometry, tw.Objective(f), start, geometry.tangent(start, push))


@eqx.filter_jit
def begin(law, scheme, step, start, velocity=None):
    return tw.Method(law, scheme, step).init(start, velocity)


@eqx.filter_jit
def follow(law, scheme, step, steps, state):
    return jax.lax.fori_loop(0, steps, lambda _, state: tw.Method(law, scheme, step).step(state), state)


def apart(x, y):
    return float(jnp.linalg.norm(jax.flatten_util.ravel_pytree(x)[0] - jax.flatten_util.ravel_pytree(y)[0]))


def reference(law, time, start, velocity=None):
    """The position in the surrounding space, by a method of high order on the law's own right-hand side."""
    y0, cut = jax.flatten_util.ravel_pytree(Phase(start, velocity))

    @jax.jit
    def field(y):
        phase = cut(y)
        rates = law.rates(None, phase, law.evaluate(None, phase))
        return jax.flatten_util.ravel_pytree(rates)[0]

    found = solve_ivp(lambda _, y: field(y), (0.0, time), y0, method="DOP853", rtol=1e-12, atol=1e-13)
    return cut(jnp.asarray(found.y[:, -1])).position


@cache
def rolled(name):
    one = case(name)
    return reference(one.ball(), 1.0, one.start, one.push)


def order(law, scheme, exact, one, velocity, counts):
    errors = []
    for count in counts:
        step = jnp.asarray(1.0 / count)
        state = begin(law, scheme, step, one.start, velocity)
        errors.append(apart(follow(law, scheme, step, jnp.asarray(count), state).position, exact))
    return np.log2(errors[0] / errors[1])


@pytest.mark.parametrize("name", NAMES)
def test_momentum_is_of_order_two_and_keeps_its_energy(name):
    one, scheme = case(name), tw.Leapfrog()
    assert order(one.ball(), scheme, rolled(name), one, one.push, (64, 128)) == pytest.approx(2.0, abs=0.1)
    free, step = one.ball(0.0), 0.02

    @jax.jit
    def energies(state):
        kick = jax.tree.map(lambda g: 0.5 * step / MASS * g, free.force(None, state.position))
        now = jax.tree.map(jnp.add, state.velocity, kick)
        return one.f.value(state.position), 0.5 * MASS * one.geometry.inner(state.position, now, now)

    state = begin(free, scheme, jnp.asarray(step), one.start, one.push)
    found = [energies(state)]
    for _ in range(10):
        state = follow(free, scheme, jnp.asarray(step), jnp.asarray(100), state)
        found.append(energies(state))
    potential, kinetic = np.asarray(found).T
    scale = np.max(kinetic) + np.ptp(potential)
    assert np.ptp(potential) > 0.05 * scale
    assert np.max(np.abs(potential + kinetic - potential[0] - kinetic[0])) <= 1e-3 * scale


@pytest.mark.slow
@pytest.mark.parametrize("name", RAW)
def test_nesterovs_method_is_of_order_one(name):
    one = case(name)
    found = order(one.ball(), tw.Lookahead(), rolled(name), one, one.push, (256, 512))
    assert found == pytest.approx(1.0, abs=0.1)


@pytest.mark.parametrize("name", NAMES)
def test_gradient_flow_by_rk4_is_of_order_four(name):
    one = case(name)
    law = tw.GradientFlow(one.f, geometry=one.geometry)
    exact = reference(law, 1.0, one.start)
    assert order(law, tw.RK4(), exact, one, None, (16, 32)) == pytest.approx(4.0, abs=0.15)


def off(geometry, x):
    """How far a point is from its manifold, of its size."""
    pairs = zip(jax.tree.leaves(x), jax.tree.leaves(geometry.project(x)), strict=True)
    return max(float(jnp.linalg.norm(a - b) / jnp.linalg.norm(a)) for a, b in pairs)


@pytest.mark.slow
@pytest.mark.parametrize("name", RAW)
def test_a_hundred_thousand_steps_stay_on_the_manifold(name):
    one = case(name)
    free = one.ball(0.0)
    state = begin(free, tw.Leapfrog(), jnp.asarray(0.02), one.start, one.push)
    worst = 0.0
    for _ in range(20):
        state = follow(free, tw.Leapfrog(), jnp.asarray(0.02), jnp.asarray(5_000), state)
        worst = max(worst, off(one.geometry, state.position))
        one.geometry.check(state.position)
        one.geometry.check_tangent(state.position, state.velocity)
    assert worst <= 1e-12


def accurately(law, until, start, velocity=None):
    """The end of a motion by steps of a small tolerance."""
    method = tw.Method(law, tw.Adaptive(tw.DormandPrince(), rtol=1e-12, atol=1e-14, until=until), 0.01)
    run = tw.run(method, start, 5000, velocity=velocity, record=None)
    assert run.status == "finished"
    return run.final.position


@pytest.mark.slow
def test_the_angle_to_the_pole_of_a_linear_function():
    # Along a meridian theta' = -sin(theta), so that tan(theta/2) falls as exp(-t).
    pole, start = jnp.array([0.6, 0.0, 0.8]), SPHERE.project(jnp.array([-0.7, 0.5, 0.1]))
    end = accurately(tw.GradientFlow(lambda x: -pole @ x, geometry=SPHERE), 2.0, start)
    angle = 2.0 * np.arctan(np.tan(0.5 * np.arccos(start @ pole)) * np.exp(-2.0))
    side = SPHERE.project(SPHERE.tangent(pole, start))
    np.testing.assert_allclose(end, np.cos(angle) * pole + np.sin(angle) * side, rtol=0, atol=1e-10)


def test_the_pendulum_swings_by_jacobis_functions():
    # From rest at the angle 2 arcsin(k) to the vertical, the sine of half the angle is k cn/dn.
    down, k, time = jnp.array([0.0, 0.6, -0.8]), 0.8, 3.3
    side = jnp.array([1.0, 0.0, 0.0])
    widest = 2.0 * np.arcsin(k)
    law = tw.HeavyBall(lambda x: -down @ x, 0.0, geometry=SPHERE)
    end = accurately(law, time, np.cos(widest) * down + np.sin(widest) * side)
    _, cn, dn, _ = scipy.special.ellipj(time, k * k)
    angle = 2.0 * np.arcsin(k * cn / dn)
    assert angle < -0.5
    np.testing.assert_allclose(end, np.cos(angle) * down + np.sin(angle) * side, rtol=0, atol=1e-10)


@pytest.mark.parametrize(
    ("f", "inverse"),
    [
        # (P^-1)' = C, and (P^-1)' = 1 - P^-1, also where P does not commute with either.
        (lambda p: jnp.trace(COST @ p), lambda q, t: q + t * COST),
        pytest.param(
            lambda p: jnp.trace(p) - jnp.linalg.slogdet(p)[1],
            lambda q, t: np.eye(3) + np.exp(-t) * (q - np.eye(3)),
            marks=pytest.mark.slow,
        ),
    ],
    ids=["trace", "entropy"],
)
def test_flows_of_positive_definite_matrices(f, inverse):
    end = accurately(tw.GradientFlow(f, geometry=SPD), 1.5, SPREAD)
    np.testing.assert_allclose(end, np.linalg.inv(inverse(np.linalg.inv(SPREAD), 1.5)), rtol=0, atol=1e-10)


@pytest.mark.slow
def test_one_by_one_is_the_logarithm():
    def f(p):
        return p[0, 0] - jnp.log(p[0, 0])

    found, flat = (
        tw.run(tw.Method(tw.HeavyBall(g, 0.3, geometry=geometry), tw.Leapfrog(), 0.1), start, 50, velocity=push).final
        for g, geometry, start, push in (
            (f, SPD, jnp.array([[2.0]]), jnp.array([[1.0]])),
            (lambda x: f(jnp.exp(x)), None, jnp.log(jnp.array([[2.0]])), jnp.array([[0.5]])),
        )
    )
    np.testing.assert_allclose(jnp.log(found.position), flat.position, rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.velocity / found.position, flat.velocity, rtol=0, atol=1e-13)


def to_ball(x):
    """The point of the ball that a point of the hyperboloid is seen at from (-1, 0, ..., 0)."""
    return x[1:] / (1.0 + x[0])


@pytest.mark.parametrize("hyperboloid", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_the_flow_of_half_the_squared_distance_decays_along_a_geodesic(hyperboloid):
    aim, start, time = 0.3 - 0.4j, -0.5 + 0.6j, 1.2
    # The disc turned so that the aim is its centre, where geodesics are rays and a distance is 2 artanh of the radius.
    seen = (start - aim) / (1.0 - np.conj(aim) * start)
    left = np.tanh(np.exp(-time) * np.arctanh(abs(seen))) * seen / abs(seen)
    exact = (left + aim) / (1.0 + np.conj(aim) * left)
    there, begin = (jnp.array([z.real, z.imag]) for z in (aim, start))
    space = BALL
    if hyperboloid:
        up = [jnp.concatenate([1.0 + x @ x, 2.0 * x], axis=None) / (1.0 - x @ x) for x in (there, begin)]
        (there, begin), space = up, SPACE
    law = tw.GradientFlow(lambda x: 0.5 * space.squared_distance(x, there), geometry=space)
    end = accurately(law, time, begin)
    end = to_ball(end) if hyperboloid else end
    np.testing.assert_allclose(end, [exact.real, exact.imag], rtol=0, atol=1e-10)


@pytest.mark.slow
def test_a_subspace_turns_to_the_smallest_eigenvalues():
    # Of f = tr(X'AX)/2 in either metric: X spans exp(-At) X(0).
    start = tw.geometry.Stiefel().project(FRAME)
    exact, _ = np.linalg.qr(scipy.linalg.expm(-1.3 * np.asarray(MATRIX)) @ start)
    for metric in ("canonical", "euclidean"):
        law = tw.GradientFlow(lambda x: 0.5 * jnp.sum(x * (MATRIX @ x)), geometry=tw.geometry.Stiefel(metric))
        end = accurately(law, 1.3, start)
        np.testing.assert_allclose(end @ end.T, exact @ exact.T, rtol=0, atol=1e-10)


BOTH = [tw.Leapfrog(), pytest.param(tw.Lookahead(), marks=pytest.mark.slow)]


def ended(law, start, velocity, scheme):
    method = tw.Method(law, scheme, 0.1)
    return tw.run(method, start, 40, velocity=velocity, record=None).final


@pytest.mark.parametrize(
    "scheme", [tw.Leapfrog(), pytest.param(tw.Lookahead(), marks=pytest.mark.slow)], ids=["leap", "ahead"]
)
@pytest.mark.parametrize("metric", ["canonical", pytest.param("euclidean", marks=pytest.mark.slow)])
def test_one_orthonormal_column_is_a_point_of_the_sphere(metric, scheme):
    one = case("sphere")
    of = tw.HeavyBall(lambda x: rayleigh(x[:, 0]), FRICTION, MASS, geometry=tw.geometry.Stiefel(metric))
    found = ended(of, one.start[:, None], one.push[:, None], scheme)
    exact = ended(one.ball(), one.start, one.push, scheme)
    np.testing.assert_allclose(found.position[:, 0], exact.position, rtol=0, atol=1e-13)
    np.testing.assert_allclose(found.velocity[:, 0], exact.velocity, rtol=0, atol=1e-13)


@pytest.mark.parametrize(
    "scheme", [tw.Leapfrog(), pytest.param(tw.Lookahead(), marks=pytest.mark.slow)], ids=["leap", "ahead"]
)
def test_the_ball_and_the_hyperboloid_are_one_space(scheme):
    one = case("hyperboloid")
    place, push = jax.jvp(to_ball, (one.start,), (one.push,))

    def f(x):
        depth = 1.0 - x @ x
        return hyperbolic(jnp.concatenate([jnp.array([1.0 + x @ x]), 2.0 * x]) / depth)

    exact = ended(one.ball(), one.start, one.push, scheme)
    found = ended(tw.HeavyBall(f, FRICTION, MASS, geometry=BALL), place, push, scheme)
    np.testing.assert_allclose(found.position, to_ball(exact.position), rtol=0, atol=1e-13)
    there = jax.jvp(to_ball, (exact.position,), (exact.velocity,))[1]
    np.testing.assert_allclose(found.velocity, there, rtol=0, atol=1e-13)


@pytest.mark.slow
def test_the_parts_of_a_product_move_as_each_alone():
    one = case("product")

    def f(x):
        return rayleigh(x["turned"]) + likelihood(x["spread"]) + 0.5 * jnp.sum(x["flat"] ** 2)

    found = ended(tw.HeavyBall(f, FRICTION, MASS, geometry=PARTS), one.start, one.push, tw.Leapfrog())
    flat = tw.HeavyBall(lambda x: 0.5 * jnp.sum(x**2), FRICTION, MASS)
    for part, law in (("turned", case("sphere").ball()), ("spread", case("spd").ball()), ("flat", flat)):
        alone = ended(law, one.start[part], one.push[part], tw.Leapfrog())
        np.testing.assert_allclose(found.position[part], alone.position, rtol=0, atol=1e-13)
        np.testing.assert_allclose(found.velocity[part], alone.velocity, rtol=0, atol=1e-13)


def test_a_point_that_a_stage_takes_out_of_the_ball_ends_the_run():
    # The slope is 1/lambda^2 in the coordinates, of which the second stage is out of the ball.
    law = tw.GradientFlow(lambda x: -10.0 * x[0], geometry=BALL)
    run = tw.run(tw.Method(law, tw.RK4(), 1.0), jnp.array([0.1, 0.0]), 5)
    assert run.status == "not finite"
    law = tw.GradientFlow(lambda p: 10.0 * jnp.trace(p), geometry=SPD)
    assert tw.run(tw.Method(law, tw.RK4(), 1.0), jnp.eye(2), 5).status == "not finite"
