"""Laws on the sphere by every scheme that moves along it: closed forms, orders, and what a long run keeps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
from scipy.integrate import solve_ivp

import thalweg as tw
from thalweg.dynamics import AbstractFirstOrder, Phase

SPHERE = tw.geometry.Sphere()
MATRIX = jnp.array([[1.3, 0.3, 0.1], [0.3, 2.3, 0.5], [0.1, 0.5, 5.0]])
START = jnp.array([0.48, -0.64, 0.6])
PUSH = jnp.array([0.8, 0.6, 0.0])
FRICTION, MASS = 0.4, 1.5


def rayleigh(x):
    return 0.5 * x @ MATRIX @ x


FLOW = tw.GradientFlow(rayleigh, geometry=SPHERE)
BALL = tw.HeavyBall(rayleigh, FRICTION, MASS, geometry=SPHERE)
FREE = tw.HeavyBall(lambda x: 0.0 * jnp.sum(x), 0.0, geometry=SPHERE)


@eqx.filter_jit
def follow(law, scheme, step, steps, start, velocity=None):
    method = tw.Method(law, scheme, step)
    return jax.lax.fori_loop(0, steps, lambda _, state: method.step(state), method.init(start, velocity))


def order(law, scheme, exact, end, velocity=None, counts=(64, 128)):
    errors = []
    for n in counts:
        last = follow(law, scheme, jnp.asarray(end / n), jnp.asarray(n), START, velocity)
        assert abs(float(jnp.linalg.norm(last.position)) - 1.0) < 4e-16
        errors.append(float(jnp.linalg.norm(last.position - exact)))
    return np.log2(errors[0] / errors[1])


def flowed(time):
    """The flow of the Rayleigh quotient: x(t) goes as exp(-At) x(0)."""
    x = scipy.linalg.expm(-np.asarray(MATRIX) * time) @ np.asarray(START)
    return x / np.linalg.norm(x)


def rolled(time):
    """The heavy ball in the surrounding space, by a reference of high order."""
    a = np.asarray(MATRIX)

    def field(_, y):
        x, v = y[:3], y[3:]
        force = -(a @ x) + x * (x @ a @ x)
        return np.concatenate([v, (force - FRICTION * v) / MASS - x * (v @ v)])

    y0 = np.concatenate([START, PUSH])
    return solve_ivp(field, (0.0, time), y0, method="DOP853", rtol=1e-13, atol=1e-13).y[:3, -1]


@pytest.mark.parametrize(
    ("scheme", "expected"), [(tw.Euler(), 1), (tw.Heun(), 2), (tw.RK4(), 4)], ids=lambda s: str(s)[:9]
)
def test_gradient_flow_has_the_order_of_its_scheme(scheme, expected):
    assert order(FLOW, scheme, flowed(1.0), 1.0) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(
    ("scheme", "expected", "counts"),
    [
        (tw.Leapfrog(), 2, (64, 128)),
        (tw.Lookahead(), 1, (256, 512)),
        (tw.Lookahead(0.5), 1, (256, 512)),
        (tw.Euler(), 1, (512, 1024)),
        (tw.RK4(), 4, (128, 256)),
    ],
)
def test_the_heavy_ball_has_the_order_of_its_scheme(scheme, expected, counts):
    assert order(BALL, scheme, rolled(2.0), 2.0, PUSH, counts) == pytest.approx(expected, abs=0.1)


def test_adaptive_steps_keep_their_tolerance():
    ball = tw.Method(BALL, tw.Adaptive(rtol=1e-10, atol=1e-12, until=2.0), 0.1)
    end = tw.run(ball, START, 1000, velocity=PUSH, record=None)
    assert end.status == "finished"
    np.testing.assert_allclose(end.final.position, rolled(2.0), rtol=0, atol=1e-9)
    assert abs(np.linalg.norm(end.final.position) - 1.0) < 4e-16
    assert abs(end.final.position @ end.final.velocity) < 4e-16


def test_the_order_is_measured_against_the_law_itself():
    found = tw.analysis.convergence_order(tw.Method(BALL, tw.Leapfrog(), 0.1), START, 2.0, (64, 128), PUSH)
    assert found.order == pytest.approx(2.0, abs=0.05)


def test_a_free_motion_by_leapfrog_is_a_great_circle():
    push = 1.7 * PUSH
    state = follow(FREE, tw.Leapfrog(), jnp.asarray(0.3), jnp.asarray(50), START, push)
    angle = 1.7 * 15.0
    np.testing.assert_allclose(state.position, np.cos(angle) * START + np.sin(angle) * PUSH, rtol=0, atol=3e-14)
    np.testing.assert_allclose(state.velocity, 1.7 * (np.cos(angle) * PUSH - np.sin(angle) * START), rtol=0, atol=5e-14)


def test_a_long_run_stays_on_the_sphere_and_keeps_its_energy():
    law, step = tw.HeavyBall(rayleigh, 0.0, MASS, geometry=SPHERE), 0.2
    method = tw.Method(law, tw.Leapfrog(), step)

    def energy(state):
        # The velocity is half a step behind; another half kick brings it to the time of the position.
        now = state.velocity + 0.5 * step / MASS * law.force(None, state.position)
        return rayleigh(state.position) + 0.5 * MASS * now @ now

    @jax.jit
    def run(state):
        def body(_, carry):
            state, off, tilted, low, high = carry
            state = method.step(state)
            x, e = state.position, energy(state)
            off = jnp.maximum(off, jnp.abs(jnp.linalg.norm(x) - 1.0))
            tilted = jnp.maximum(tilted, jnp.abs(x @ state.velocity))
            return state, off, tilted, jnp.minimum(low, e), jnp.maximum(high, e)

        e = energy(state)
        return jax.lax.fori_loop(0, 100_000, body, (state, jnp.zeros(()), jnp.zeros(()), e, e))

    begin = method.init(START, PUSH)
    _, off, tilted, low, high = run(begin)
    assert off < 1e-14 and tilted < 1e-14
    exact = float(rayleigh(START) + 0.5 * MASS * PUSH @ PUSH)
    # Of second order in the step, and no more after many revolutions: a drift of 1e-6 a step would be 0.1.
    assert float(energy(begin)) == pytest.approx(exact, abs=1e-14)
    assert abs(low - exact) < 0.03 and abs(high - exact) < 0.03
    assert high - low > 1e-4


def test_the_look_ahead_point_is_on_the_sphere_and_the_gradient_is_taken_there():
    seen = []

    def f(x):
        jax.debug.callback(lambda x: seen.append(np.asarray(x)), x)
        return rayleigh(x)

    method = tw.Method(tw.HeavyBall(f, FRICTION, MASS, geometry=SPHERE), tw.Lookahead(start="zero"), 0.2)
    state = method.init(START, PUSH)
    way = state.lookahead_weight * state.buffer
    assert float(jnp.linalg.norm(way)) > 0.1
    np.testing.assert_allclose(state.lookahead, SPHERE.move(START, way), rtol=0, atol=1e-15)
    after = method.step(state)
    jax.effects_barrier()
    np.testing.assert_allclose(seen[-1], state.lookahead, rtol=0, atol=1e-15)
    # The kick lies in the tangent space of where it began.
    beta = (1 - FRICTION * 0.1 / MASS) / (1 + FRICTION * 0.1 / MASS)
    ahead = -SPHERE.tangent(state.lookahead, MATRIX @ state.lookahead)
    back = SPHERE.log(state.lookahead, START)
    force = SPHERE.transport(state.lookahead, back, ahead)
    kicked = beta * PUSH + 0.2 / MASS / (1 + FRICTION * 0.1 / MASS) * force
    assert abs(float(START @ kicked)) < 1e-15
    np.testing.assert_allclose(after.position, SPHERE.move(START, 0.2 * kicked), rtol=0, atol=1e-15)
    run = tw.run(method, START, 3, velocity=PUSH, record=1)
    assert abs(np.linalg.norm(run.final.lookahead) - 1.0) < 4e-16
    np.testing.assert_allclose(np.linalg.norm(run.trace.position, axis=1), 1.0, rtol=0, atol=4e-16)


@pytest.mark.parametrize(
    "scheme",
    [
        tw.Leapfrog(),
        *(pytest.param(scheme, marks=pytest.mark.slow) for scheme in (tw.Lookahead(), tw.RK4(), tw.Euler())),
    ],
    ids=["leap", "ahead", "rk4", "euler"],
)
def test_a_tree_of_spheres_moves_as_each_of_them(scheme):
    """By `tw.run` (on one vector) and by steps on the tree."""
    other = SPHERE.project(jnp.array([[1.0, 2.0], [-0.5, 0.3]]))

    def cubic(x):
        return jnp.sum(x[:, 0] ** 3)

    start, push = {"a": START, "b": other}, {"a": PUSH, "b": jnp.zeros((2, 2))}
    law = tw.HeavyBall(lambda x: rayleigh(x["a"]) + cubic(x["b"]), FRICTION, MASS, geometry=SPHERE)
    whole = tw.run(tw.Method(law, scheme, 0.05), start, 40, velocity=push, record=None).final
    tree = follow(law, scheme, 0.05, 40, start, push)
    for name, f, x, v in (("a", rayleigh, START, PUSH), ("b", cubic, other, push["b"])):
        alone = follow(tw.HeavyBall(f, FRICTION, MASS, geometry=SPHERE), scheme, 0.05, 40, x, v)
        for found in (whole, tree):
            np.testing.assert_allclose(found.position[name], alone.position, rtol=0, atol=1e-14)
            np.testing.assert_allclose(found.velocity[name], alone.velocity, rtol=0, atol=1e-14)
        # That of the run comes from the state on one vector.
        np.testing.assert_allclose(whole.lookahead[name], alone.lookahead, rtol=0, atol=1e-14)


@pytest.mark.parametrize(
    ("dtype", "scheme"),
    [(jnp.float32, tw.Leapfrog()), (jnp.float32, tw.Lookahead(0.0)), (jnp.bfloat16, tw.RK4())],
    ids=["leap", "ahead", "rk4"],
)
def test_low_precision_keeps_its_dtype_without_x64(dtype, scheme):
    expected = rolled(2.0)
    with jax.enable_x64(False):
        matrix = jnp.asarray(MATRIX, dtype)
        scheme = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), scheme)
        law = tw.HeavyBall(lambda x: 0.5 * x @ matrix @ x, FRICTION, MASS, geometry=SPHERE)
        start = SPHERE.project(START.astype(dtype))
        push = SPHERE.tangent(start, PUSH.astype(dtype))
        run = tw.run(tw.Method(law, scheme, 0.02), start, 100, velocity=push, record=None)
    assert run.status == "finished" and run.final.position.dtype == run.final.velocity.dtype == dtype
    position, eps = np.asarray(run.final.position, float), float(jnp.finfo(dtype).eps)
    assert abs(np.linalg.norm(position) - 1.0) < 2 * eps
    # The scheme's error, or so many roundings.
    np.testing.assert_allclose(position, expected, rtol=0, atol=2e-4 + 100 * eps)


class Tangential(AbstractFirstOrder):
    """A law of somebody's own: the gradient's tangent part, written out."""

    objective: tw.Objective
    geometry: tw.geometry.AbstractGeometry | None = None

    def rates(self, time, phase, evaluation):
        del time
        x, g = phase.position, evaluation.gradient
        return Phase(-(g - jnp.sum(x * g) * x))


def test_a_law_of_ones_own_stays_where_its_geometry_is():
    f = tw.Objective(rayleigh)
    adrift = tw.run(tw.Method(Tangential(f), tw.Euler(), 0.3), START, 30, record=None).final.position
    assert abs(float(jnp.linalg.norm(adrift)) - 1.0) > 0.02
    kept = tw.run(tw.Method(Tangential(f, SPHERE), tw.Euler(), 0.3), START, 30, record=None)
    assert abs(float(jnp.linalg.norm(kept.final.position)) - 1.0) < 4e-16
    ours = tw.run(tw.Method(FLOW, tw.Euler(), 0.3), START, 30, record=None)
    np.testing.assert_allclose(kept.final.position, ours.final.position, rtol=0, atol=1e-14)
    assert kept.gradients == ours.gradients == 30


def test_mini_batches_on_the_sphere():
    samples = jnp.asarray(np.random.default_rng(3).normal(size=(8, 3)))
    f = tw.FiniteSum(lambda x, s: 0.5 * (s @ x) ** 2, samples, batch_size=2)
    method = tw.Method(tw.HeavyBall(f, 1.0, geometry=SPHERE), tw.Lookahead(start="zero"), 0.1)
    run = tw.run(method, START, 12, key=0, record="loss")
    state = method.init(START)
    for k in range(12):
        state = method.step(state, method.draw(jax.random.key(0), state.position, k))
    np.testing.assert_allclose(run.final.position, state.position, rtol=0, atol=1e-13)
    assert abs(np.linalg.norm(run.final.position) - 1.0) < 4e-16 and run.gradients == 12


def test_hyperparameters_keep_the_geometry():
    method = tw.Method(BALL, tw.Leapfrog(), 0.1)
    for changed in (method.with_hyperparameters(momentum=0.5), method.with_learning_rate(0.01)):
        assert changed.dynamics.geometry == SPHERE
    assert method.gradients_per_step == 1 and method.gradients_at_start == 1
    found = tw.sweep(
        lambda friction: tw.Method(tw.HeavyBall(rayleigh, friction, geometry=SPHERE), tw.Leapfrog(), 0.1),
        {"friction": [0.5, 1.0]}, START, 50,
    )  # fmt: skip
    np.testing.assert_allclose(np.linalg.norm(np.asarray(found.final), axis=-1), 1.0, rtol=0, atol=4e-16)
    alone = tw.run(tw.Method(tw.HeavyBall(rayleigh, 1.0, geometry=SPHERE), tw.Leapfrog(), 0.1), START, 50, record=None)
    np.testing.assert_allclose(found.final[1, 0], alone.final.position, rtol=0, atol=1e-13)


def test_a_run_on_the_sphere_is_written_and_resumed(tmp_path):
    method = tw.Method(BALL, tw.Lookahead(), 0.1)
    whole = tw.run(method, START, 40, velocity=PUSH)
    tw.run(method, START, 20, velocity=PUSH, out=tmp_path / "run")
    assert 'geometry = "Sphere()"' in (tmp_path / "run" / "run.toml").read_text()
    flat = tw.Method(tw.HeavyBall(rayleigh, FRICTION, MASS), tw.Lookahead(), 0.1)
    with pytest.raises(tw.InputError, match="geometry"):
        tw.run(flat, START, 40, velocity=PUSH, out=tmp_path / "run", resume=True)
    resumed = tw.run(method, START, 40, velocity=PUSH, out=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(resumed.final.position, whole.final.position)
    np.testing.assert_array_equal(resumed.metrics["loss"], whole.metrics["loss"])


@pytest.mark.parametrize("scheme", [tw.Leapfrog(), tw.Lookahead(), tw.Euler()], ids=["leap", "ahead", "euler"])
def test_coefficients_and_steps_that_change_in_time_keep_the_order(scheme):
    ball = tw.HeavyBall(rayleigh, lambda t: 1.0 / (1.0 + t), MASS, geometry=SPHERE)
    found = tw.analysis.convergence_order(tw.Method(ball, scheme, 0.1), START, 1.0, (256, 512), PUSH)
    assert found.order == pytest.approx(scheme.order, abs=0.1)
    run = tw.run(tw.Method(ball, scheme, lambda k: 0.1 / (1 + 0.1 * k)), START, 20, velocity=PUSH, record=None)
    for point in (run.final.position, run.final.lookahead):
        assert abs(np.linalg.norm(point) - 1.0) < 4e-16
    assert abs(run.final.position @ run.final.velocity) < 1e-15


def test_a_derivative_goes_through_a_run_from_rest():
    @jax.jit
    def end(friction):
        method = tw.Method(tw.HeavyBall(rayleigh, friction, geometry=SPHERE), tw.Leapfrog(), 0.1)
        return tw.solve(method, START, 10).final.position

    slope = jax.jit(jax.jacrev(end))(0.5)
    close = (end(0.5 + 1e-5) - end(0.5 - 1e-5)) / 2e-5
    assert jnp.linalg.norm(slope) > 1e-3
    np.testing.assert_allclose(slope, close, rtol=0, atol=1e-9)


def test_lengths_are_those_of_the_metric():
    run = tw.run(tw.Method(FLOW, tw.RK4(), 0.2), START, 200, record="gradient_norm", stop={"gradient_norm": 1e-9})
    assert run.status == "stopped" and run.metrics["gradient_norm"][-1] <= 1e-9
    # It comes to rest at the eigenvector of the smallest eigenvalue, where the slope itself is as large as that.
    values, vectors = np.linalg.eigh(MATRIX)
    assert abs(run.final.position @ vectors[:, 0]) == pytest.approx(1.0, abs=1e-15)
    assert np.linalg.norm(MATRIX @ run.final.position) == pytest.approx(values[0], rel=1e-9)


def accelerated(end, damping):
    """Nesterov's flow in the surrounding space, by a reference of high order, from its series at the start."""
    a, t0 = np.asarray(MATRIX), 1e-4

    def field(t, y):
        x, v = y[:3], y[3:]
        return np.concatenate([v, -(a @ x) + x * (x @ a @ x) - damping / t * v - x * (v @ v)])

    x = np.asarray(START)
    slope = (-(a @ x) + x * (x @ a @ x)) / (1.0 + damping)
    y0 = np.concatenate([x + 0.5 * t0**2 * slope, t0 * slope])
    return solve_ivp(field, (t0, end), y0, method="DOP853", rtol=1e-12, atol=1e-13).y[:3, -1]


@pytest.mark.parametrize(
    ("scheme", "expected", "counts"),
    [
        (tw.Leapfrog(), 2, (64, 128)),
        pytest.param(tw.Lookahead(), 1, (512, 1024), marks=pytest.mark.slow),
    ],
    ids=lambda s: type(s).__name__,
)
def test_nesterovs_flow_has_the_order_of_its_scheme(scheme, expected, counts):
    law = tw.NesterovFlow(rayleigh, geometry=SPHERE)
    assert order(law, scheme, accelerated(2.0, 3.0), 2.0, None, counts) == pytest.approx(expected, abs=0.1)


def test_nesterovs_flow_lowers_the_rayleigh_quotient_as_the_square_of_time():
    method = tw.Method(tw.NesterovFlow(rayleigh, geometry=SPHERE), tw.Leapfrog(), 0.1)
    run = tw.run(method, START, 1000, record=tw.Record(("loss",), 10))
    gap = run.metrics["loss"] - 0.5 * np.linalg.eigvalsh(MATRIX)[0]
    time = 0.1 * np.arange(len(gap))
    # Of a great circle's half length at most, for the distance to the minimum.
    assert np.all(gap[1:] * time[1:] ** 2 <= 2.0 * (0.5 * np.pi) ** 2) and gap[-1] > -1e-14
    restarted = tw.Method(tw.NesterovFlow(rayleigh, geometry=SPHERE), tw.Restarted(by="gradient"), 0.1)
    end = tw.run(restarted, START, 1000, record=None)
    assert int(restarted.scheme.restarts(end.state)) > 0
    assert rayleigh(end.final.position) - 0.5 * np.linalg.eigvalsh(MATRIX)[0] < 1e-12


def test_momentum_on_the_sphere_by_its_own_numbers():
    method = tw.riemannian_momentum(rayleigh, 0.05, 0.9, SPHERE)
    found = method.hyperparameters
    assert found["learning_rate"] == pytest.approx(0.05) and found["momentum"] == pytest.approx(0.9)
    # From an empty buffer, by hand.
    x, v = START, jnp.zeros(3)
    state = method.init(START)
    for _ in range(5):
        v = 0.9 * v - 0.05 * SPHERE.tangent(x, MATRIX @ x)
        x, v = SPHERE.move(x, v), SPHERE.transport(x, v, v)
        state = method.step(state)
    np.testing.assert_allclose(state.position, x, rtol=0, atol=1e-14)
