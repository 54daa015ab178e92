"""States kept at chosen steps and times: which they are, their order, their derivatives, the memory they take."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

CURVATURE = jnp.array([1.0, 3.0])
X0 = jnp.array([1.0, -2.0])


def bowl(x):
    return 0.5 * jnp.sum(CURVATURE * x**2)


def quartic(x):
    return bowl(x) + 0.1 * jnp.sum(x**4)


def swing(t, x, args):
    del t, args
    return jnp.stack([x[1], -x[0]])


def circle(t):
    """The motion of `swing` from X0 at t = 0."""
    t = np.asarray(t)[..., None]
    return np.concatenate([np.cos(t) * X0[0] + np.sin(t) * X0[1], np.cos(t) * X0[1] - np.sin(t) * X0[0]], -1)


SLOW = pytest.mark.slow


@pytest.mark.parametrize("at", [[0, 3, 4, 17], *(pytest.param(at, marks=SLOW) for at in ([23], [0, 23]))], ids=str)
def test_chosen_steps_are_rows_of_all(at):
    """Values and derivatives of the rows that are chosen, beside those picked from all."""

    def cost(x0, momentum, gradient, chosen):
        method = tw.momentum(quartic, 0.05, momentum)
        found = tw.solve(
            method, x0, 23, save=lambda s: jnp.sin(s.position), at=at if chosen else None, gradient=gradient
        )
        rows = found.saved if chosen else found.saved[np.array(at)]
        assert rows.shape == (len(at), 2)
        return jnp.sum(rows**2) + quartic(found.final.position)

    wanted = jax.value_and_grad(cost, (0, 1))(X0, 0.95, "direct", False)
    for gradient in ("direct", "checkpoint", "reversible"):
        found = jax.value_and_grad(cost, (0, 1))(X0, 0.95, gradient, True)
        for one, other in zip(jax.tree.leaves(found), jax.tree.leaves(wanted), strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11 if gradient == "reversible" else 1e-12)


def test_what_is_not_chosen_has_no_slope():
    """The root has no derivative at the start, which is not kept."""

    def cost(x0):
        found = tw.solve(
            tw.gradient_descent(bowl, -0.1 + 0.2), x0, 6, save=lambda s: jnp.sqrt(s.position + 2.0), at=[3]
        )
        return jnp.sum(found.saved)

    slope = jax.grad(cost)(jnp.array([1.0, -2.0]))
    shrunk = (1 - 0.1 * CURVATURE) ** 3
    np.testing.assert_allclose(slope, 0.5 * shrunk / jnp.sqrt(shrunk * X0 + 2.0), rtol=1e-12)


def temporary(gradient, count, rows=None, times=False):
    """Bytes that the compiled derivative takes beside its arguments and results."""
    side = 64

    def end(weights):
        f = lambda x: 0.5 * jnp.sum(jnp.tanh(weights @ x) ** 2)  # noqa: E731
        method = tw.Method(tw.GradientFlow(f), tw.Midpoint(), 0.1) if times else tw.momentum(f, 1e-3, 0.9999)
        at = np.linspace(0, count, rows).astype(int) if rows and not times else None
        kept = jnp.linspace(0.0, 0.1 * count, rows) if times and rows else None
        found = tw.solve(method, jnp.ones(side), count, at=at, times=kept, gradient=gradient)
        return jnp.sum(found.final.position) + (0.0 if rows is None else jnp.sum(found.saved**2))

    compiled = jax.jit(jax.grad(end)).lower(jnp.ones((side, side)) / side).compile()
    return compiled.memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("gradient", [pytest.param("checkpoint", marks=SLOW), "reversible"])
def test_memory_is_that_of_the_chosen(gradient):
    """Eight of 4,096 states of 512 bytes: a few rows and numbers of each step, where all would be 2 MB."""
    more = temporary(gradient, 4096, 8) - temporary(gradient, 4096)
    assert more < 4096 * 40 + 20 * 8 * 512
    assert temporary(gradient, 4096, 8, times=gradient == "checkpoint") < 4096 * 512


@pytest.mark.slow
def test_the_memory_of_checkpoints_grows_as_the_root():
    counts = np.array([256, 1024, 4096, 16384])
    for rows in (None, 8):
        found = np.array([temporary("checkpoint", int(count), rows) for count in counts], float)
        # Numbers of each step, not states, are all that may grow as the steps.
        states = found - 16.0 * counts * (rows is not None)
        slope = np.polyfit(np.log(counts), np.log(states), 1)[0]
        assert slope < 0.6
    direct = np.array([temporary("direct", int(count)) for count in counts[:3]], float)
    assert np.polyfit(np.log(counts[:3]), np.log(direct), 1)[0] == pytest.approx(1.0, abs=0.05)


@SLOW
@pytest.mark.parametrize(("name", "order"), [("Heun", 2), ("RK4", 4), ("Tsit5", 4)])
def test_states_between_steps_have_their_order(name, order):
    """A forced van der Pol oscillator, a third and two thirds of the way between steps."""
    field = tw.Field(lambda t, x, mu: jnp.stack([x[1], mu * (1 - x[0] ** 2) * x[1] - x[0] + 0.3 * jnp.cos(2 * t)]), 1.0)
    places = np.arange(1, 30, 3)
    fine = tw.solve(tw.Method(field, tw.Tsit5(), 1.0 / 480), X0, 960, at=32 * places).saved
    errors = []
    for count in (40, 80, 160):
        method = tw.Method(field, getattr(tw, name)(), 2.0 / count)
        errors.append(np.mean(np.abs(tw.solve(method, X0, count, times=places / 15.0).saved - fine)))
    assert -np.diff(np.log2(errors))[-1] == pytest.approx(order, abs=0.1)


def test_the_error_between_steps_is_the_one_that_is_stated():
    """In the middle of a step of a scheme of higher order: h^4 / 384 of the fourth derivative, which is x itself."""
    h = 0.05
    middles = h * (jnp.arange(40) + 0.5)
    found = tw.solve(tw.Method(tw.Field(swing), tw.Tsit5(), h), X0, 40, times=middles).saved
    np.testing.assert_allclose(found - circle(middles), -(h**4) / 384 * circle(middles), atol=0.03 * h**4 / 384)


@SLOW
def test_times_go_down_and_along_schedules_and_grids():
    times = jnp.array([0.0, 0.97, 1.4, 2.0])
    start = jnp.asarray(circle(2.0))
    back = tw.solve(tw.Method(tw.Field(swing), tw.Tsit5(), times=jnp.linspace(2.0, 0.0, 81)), start, times=times[::-1])
    np.testing.assert_allclose(back.saved, circle(times)[::-1], atol=1e-8)
    uneven = jnp.concatenate([jnp.linspace(0.0, 1.0, 31), jnp.linspace(1.0, 2.0, 71)[1:]])
    for method in (
        tw.Method(tw.Field(swing), tw.Tsit5(), times=uneven),
        tw.Method(tw.Field(swing), tw.Tsit5(), lambda k: jnp.where(k < 50, 0.016, 0.024)),
    ):
        found = tw.solve(method, X0, 100, times=times, save=lambda s: (s.position, s.time))
        np.testing.assert_allclose(found.saved[0], circle(times), atol=1e-8)
        np.testing.assert_array_equal(found.saved[1], times)


@pytest.mark.parametrize("count", [3, 7, 8, 9, 30])
def test_as_many_times_as_steps_and_fewer(count):
    """Eight rows for four times: of as many states, of more, of fewer; two times within one step."""
    times = jnp.array([0.1, 0.11, 0.6, 0.9])
    found = tw.solve(tw.Method(tw.Field(swing), tw.Tsit5(), 1.0 / count), X0, count, times=times).saved
    np.testing.assert_allclose(found, circle(times), atol=2.0 * count**-4.0 / 384 * 3)


def test_velocity_between_steps():
    push = jnp.array([0.3, 0.1])
    method = tw.Method(tw.HeavyBall(lambda x: 0.5 * jnp.sum(x**2), 0.0), tw.Tsit5(), 0.05)
    found = tw.solve(method, X0, 40, velocity=push, times=[0.13, 1.9], save=lambda s: (s.position, s.velocity, s.time))
    x, v, t = found.saved
    np.testing.assert_allclose(x, np.outer(np.cos(t), X0) + np.outer(np.sin(t), push), atol=1e-7)
    np.testing.assert_allclose(v, np.outer(np.cos(t), push) - np.outer(np.sin(t), X0), atol=1e-7)


@SLOW
def test_times_under_jit_vmap_and_grad():
    """The slope of a state by its time is the rate there; by the start, the motion of what is linear."""

    def at(x0, times, gradient):
        method = tw.Method(tw.Field(swing), tw.Tsit5(), 0.05)
        return tw.solve(method, x0, 40, times=times, gradient=gradient).saved

    starts, times = jnp.stack([X0, -2.0 * X0]), jnp.array([[0.13, 1.2], [0.5, 1.9]])
    for gradient in ("direct", "checkpoint"):
        found = jax.jit(jax.vmap(lambda x, t: at(x, t, gradient)))(starts, times)  # noqa: B023
        np.testing.assert_allclose(found[0], circle(times[0]), atol=1e-6)
        np.testing.assert_allclose(found[1], -2.0 * circle(times[1]), atol=1e-6)
        by_start, by_time = jax.jacrev(lambda x, t: at(x, t, gradient)[:, 0], (0, 1))(X0, times[0])  # noqa: B023
        t = times[0]
        np.testing.assert_allclose(by_start, np.stack([np.cos(t), np.sin(t)], 1), atol=1e-6)
        np.testing.assert_allclose(by_time, np.diag(circle(t)[:, 1]), atol=1e-5)


def test_a_module_is_kept_as_many_at_once():
    net = eqx.nn.MLP(2, 2, 3, 1, key=jax.random.key(0))
    found = tw.solve(tw.momentum(lambda net: jnp.sum(net(X0) ** 2), 0.05, 0.9), net, 6, at=[2, 6])
    outputs = eqx.filter_vmap(lambda net: net(X0))(found.saved)
    np.testing.assert_allclose(outputs[1], found.final.position(X0), rtol=1e-12)
    assert not np.allclose(outputs[0], outputs[1])


OK = tw.Method(tw.Field(swing), tw.RK4(), 0.1)
ADAPTIVE = tw.Method(tw.Field(swing), tw.Adaptive(until=1.0), 0.1)
DATA = tw.FiniteSum(lambda x, s: jnp.sum((x - s) ** 2), jnp.ones((4, 2)), batch_size=2)
BALL = tw.GradientFlow(bowl, geometry=tw.geometry.Sphere())
WRONG = {
    "both": (lambda: tw.solve(OK, X0, 10, at=[1], times=[0.1]), "one of them"),
    "at number": (lambda: tw.solve(OK, X0, 10, at=3), "at must be step numbers that go up, from 0 to 10"),
    "at float": (lambda: tw.solve(OK, X0, 10, at=[0.5]), "at must be step numbers"),
    "at beyond": (lambda: tw.solve(OK, X0, 10, at=[0, 11]), r"such as \[0, 10\], but are \[0, 11\]"),
    "at down": (lambda: tw.solve(OK, X0, 10, at=[4, 2]), "at must be step numbers that go up"),
    "at none": (lambda: tw.solve(OK, X0, 10, at=[]), "at must be step numbers"),
    "at traced": (lambda: jax.jit(lambda at: tw.solve(OK, X0, 10, at=at))(jnp.array([1])), "but are traced"),
    "times number": (lambda: tw.solve(OK, X0, 10, times=0.5), "times must be numbers that go one way"),
    "times back and forth": (lambda: tw.solve(OK, X0, 10, times=[0.5, 0.2, 0.3]), "times must be numbers that go one"),
    "times nan": (lambda: tw.solve(OK, X0, 10, times=[np.nan]), "times must be numbers that go one way"),
    "times beyond": (lambda: tw.solve(OK, X0, 10, times=[0.5, 1.1]), "within the steps, from 0 to 1, but are"),
    "no steps": (lambda: tw.solve(OK, X0, 0, times=[0.0]), "of which there are 0"),
    "momentum": (lambda: tw.solve(tw.momentum(bowl, 0.1), X0, 9, times=[0.1]), "Leapfrog are not interpolated: its"),
    "noise": (lambda: tw.solve(tw.sgld(bowl, 0.1), X0, 9, 0, times=[0.1]), "makes no smooth path; keep"),
    "batches": (lambda: tw.solve(tw.gradient_descent(DATA, 0.1), X0, 9, 0, times=[0.1]), "makes no smooth path"),
    "sphere": (
        lambda: tw.solve(tw.Method(BALL, tw.RK4(), 0.1), jnp.array([0.6, 0.8]), 9, times=[0.1]),
        "a cubic leaves Sphere",
    ),
    "adaptive, down": (lambda: tw.solve(ADAPTIVE, X0, 50, times=[0.5, 0.2]), "must go up, from 0 to 1"),
    "adaptive, beyond": (lambda: tw.solve(ADAPTIVE, X0, 50, times=[0.5, 1.2]), "must go up, from 0 to 1"),
    "adaptive, before": (lambda: tw.solve(ADAPTIVE, X0, 50, times=[-0.5, 0.2]), "must go up, from 0 to 1"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(case):
    attempt, says = WRONG[case]
    with pytest.raises(tw.InputError, match=says):
        attempt()


def test_times_that_are_traced_are_looked_at_in_the_program():
    at = jax.jit(lambda times: tw.solve(OK, X0, 10, times=times).saved)
    np.testing.assert_allclose(at(jnp.array([0.25, 1.0])), circle(np.array([0.25, 1.0])), atol=1e-5)
    with pytest.raises(Exception, match="times must lie within the steps"):
        jax.block_until_ready(at(jnp.array([0.25, 1.5])))
