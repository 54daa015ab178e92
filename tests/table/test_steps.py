"""What holds for a step of every row: its state, its dtype, its hyperparameters as data, schedules, runs."""

import os
import subprocess
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import monitoring
from jax.flatten_util import ravel_pytree

import thalweg as tw
from tests.rows import quick, stepping
from thalweg._methods.linearity import has_linear_limit
from thalweg.analysis import spectral_radius

DETERMINISTIC = [row for row in tw.table() if not row.method.normals]
ROWS = quick(DETERMINISTIC)
STEPPING = quick(stepping(DETERMINISTIC))
LOPSIDED = tw.problems.lopsided()
F, START = LOPSIDED.objective, LOPSIDED.start
COUNT = np.arange(31)
# A row of each kind, where what is asked depends on no more.
FAMILIES = (
    "heun",
    "heavy_ball_heun",
    "momentum",
    "leapfrog",
    "nesterov",
    "nesterov_flow_lookahead",
    "high_resolution_rk4",
)
# Where 0.7 of a row's own value is none, or changes little.
MOVED = {
    "learning_rate": 0.03, "friction": 0.4, "damping": 4.0, "step": 0.02, "p": 2.5, "strength": 0.4,
    "curvature_damping": 0.2, "tolerance": 0.3,
}  # fmt: skip


def elsewhere(row):
    """Other values of all the row's hyperparameters."""
    return {name: MOVED.get(name, 0.7 * value) for name, value in row.defaults.items()}


def schedule(step):
    return 0.1 / (1.0 + 0.02 * step)


@eqx.filter_jit
def path(method, x, steps):
    """Every position, look-ahead point and velocity of the bare loop, the first ones included; `steps` is a range."""

    def step(state, _):
        return method.step(state), (state.position, state.lookahead, state.velocity)

    return jax.lax.scan(step, method.init(x), steps)[1]


def pulled(tree):
    """A nonlinear function of a tree: a weight matrix, a bias and a number."""
    product = jnp.sum((tree["b"] * tree["scale"] - 1.0) ** 2)
    return 0.3 * (jnp.sum(jnp.cosh(tree["w"] - 0.3)) + product + tree["scale"] ** 2)


def tree_of(dtype):
    w = jnp.linspace(-1.0, 1.0, 6, dtype=dtype).reshape(2, 3)
    return {"w": w, "b": jnp.array([0.5, -0.25], dtype), "scale": jnp.asarray(0.5, dtype)}


class Compilations:
    """Counts what XLA compiles while it is entered."""

    def __enter__(self):
        self.count = 0
        monitoring.register_event_duration_secs_listener(self._listen)
        return self

    def _listen(self, event, duration, **_):
        del duration
        self.count += event == "/jax/core/compile/backend_compile_duration"

    def __exit__(self, *_):
        monitoring.unregister_event_duration_listener(self._listen)


def test_compilations_are_counted():
    x = jnp.ones(17)
    with Compilations() as seen:
        jax.jit(lambda x: 3.0 * x + 1.25)(x)
    assert seen.count == 1


@pytest.mark.parametrize("row", ROWS)
def test_a_change_of_hyperparameters_compiles_nothing(row):
    start, other_start = tree_of(float), jax.tree.map(lambda leaf: leaf + 0.25, tree_of(float))
    run = tw.run(row.build(pulled), start, 15, record=1)
    with Compilations() as seen:
        other = tw.run(row.build(pulled, **elsewhere(row)), other_start, 15, record=1)
    assert seen.count == 0
    if row.scheme.controlled:
        # From wherever it starts it ends at the minimum.
        return
    ends = zip(jax.tree.leaves(run.final.position), jax.tree.leaves(other.final.position), strict=True)
    apart = [not np.allclose(one, two, rtol=1e-3) for one, two in ends]
    # Steps of one length, whatever the slope, meet where both lengths have led.
    assert all(apart) or (any(apart) and row.name == "sign_descent")


@pytest.mark.parametrize(
    "row",
    [
        pytest.param(*row.values, id=row.id, marks=pytest.mark.slow) if row.id == "auto" else row
        for row in ROWS
        if row.values[0].defaults
    ],
)
def test_vmap_over_hyperparameters_is_a_loop_over_them(row):
    settings = {name: np.linspace(row.defaults[name], value, 3) for name, value in elsewhere(row).items()}

    def walk(setting):
        return path(row.build(F, **setting), START, COUNT)[0]

    together = jax.vmap(walk)({name: jnp.asarray(values) for name, values in settings.items()})
    for i, positions in enumerate(together):
        alone = walk({name: float(values[i]) for name, values in settings.items()})
        np.testing.assert_allclose(positions, alone, rtol=1e-12, atol=1e-13)
    assert not np.allclose(together[0, -1], together[2, -1], rtol=1e-3)


@pytest.mark.parametrize("scheduled", [False, True], ids=["fixed", "scheduled"])
@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32, jnp.bfloat16], ids=lambda dtype: dtype.__name__)
@pytest.mark.parametrize("row", ROWS)
def test_a_step_keeps_the_state_a_pytree_of_arrays_and_its_dtypes(row, dtype, scheduled):
    start = tree_of(dtype)
    method = row.build(pulled)
    method = method.with_step_size(schedule) if scheduled else method

    def two(start):
        first = method.init(start)
        return first, method.step(first), (first.position, first.lookahead, first.velocity)

    first, second, parts = jax.eval_shape(two, start)
    assert first == second
    assert all(isinstance(leaf, jax.ShapeDtypeStruct) for leaf in jax.tree.leaves(first))
    assert (first.clock is None) == method.autonomous
    assert (parts[2] is None) == (method.dynamics.order == 1)
    assert all(part is None or part == jax.eval_shape(lambda: start) for part in parts)


@pytest.mark.parametrize("row", [row for row in ROWS if row.values[0].name in FAMILIES])
def test_low_precision_parameters_go_where_precise_ones_go(row):
    method = row.build(pulled)
    low = tw.run(method, tree_of(jnp.bfloat16), 5, record=None).final
    assert all(leaf.dtype == jnp.bfloat16 for leaf in jax.tree.leaves((low.position, low.lookahead, low.velocity)))
    high = jax.tree.map(lambda leaf: leaf[5], path(method, tree_of(float), COUNT)[0])
    rounded, exact = ravel_pytree(low.position)[0], ravel_pytree(high)[0]
    np.testing.assert_allclose(np.asarray(rounded, float), exact, atol=5 * float(jnp.finfo(jnp.bfloat16).eps))


@pytest.mark.parametrize("row", ROWS)
def test_every_row_runs_on_a_tree_and_keeps_its_path(row):
    """The run's loop goes over one vector and cuts it back; the bare loop goes over the tree itself."""
    method, start = row.build(pulled), tree_of(float)
    run = tw.run(method, start, len(COUNT) - 1, record=1)
    assert run.status == "finished" and len(run.trace) == len(COUNT)
    # A step that f controls depends on what is less than what, which rounding decides sooner or later, and on how much
    # the slope has shrunk, whose digits a polynomial of many stages takes.
    alike, rtol = (slice(5), 1e-8) if row.scheme.controlled else (slice(None), 1e-12)
    positions, lookaheads, velocities = path(method, start, COUNT)
    for name in start:
        np.testing.assert_allclose(run.trace.position[name][alike], positions[name][alike], rtol=rtol, atol=1e-13)
        if velocities is not None:
            np.testing.assert_allclose(run.trace.velocity[name], velocities[name], rtol=1e-12, atol=1e-12)
        if not row.scheme.controlled:
            np.testing.assert_allclose(run.final.lookahead[name], lookaheads[name][-1], rtol=1e-12, atol=1e-13)
    np.testing.assert_allclose(run.metrics["loss"][alike], jax.vmap(pulled)(lookaheads)[alike], rtol=rtol)
    assert run.metrics["loss"][-1] < run.metrics["loss"][0]


@pytest.mark.parametrize("row", STEPPING)
def test_every_row_takes_a_schedule_of_steps(row):
    method, steps = row.build(F), len(COUNT) - 1
    run = tw.run(method.with_step_size(schedule), START, steps, record=tw.Record(("step_size",), positions=1))
    np.testing.assert_allclose(run.metrics["step_size"], schedule(COUNT), rtol=1e-15)
    begin = float(method.dynamics.start_time)
    np.testing.assert_allclose(run.trace.time, begin + np.cumsum([0.0, *schedule(COUNT[:-1])]), rtol=1e-14)
    # It goes on from the first step's point as far as the fixed step does, and then falls behind.
    fixed = path(method.with_step_size(0.1), START, COUNT)[0]
    np.testing.assert_allclose(run.trace.position[1], fixed[1], rtol=1e-12)
    assert not np.allclose(run.trace.position[-1], fixed[-1], rtol=1e-3)


@pytest.mark.parametrize("row", [row for row in ROWS if row.values[0].name in FAMILIES])
def test_a_constant_schedule_is_a_fixed_step(row):
    method = row.build(F)
    scheduled = path(method.with_step_size(lambda step: 0.07), START, COUNT)[0]
    np.testing.assert_allclose(scheduled, path(method.with_step_size(0.07), START, COUNT)[0], rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("row", STEPPING)
def test_the_stability_a_row_prints_is_where_it_turns(row):
    shown = row.as_dict()
    assert list(shown) == [
        "name", "aliases", "dynamics", "scheme", "order", "gradients_per_step", "stability", "reference",
    ]  # fmt: skip
    if not has_linear_limit(row.method):
        assert shown["stability"] == "not told by a curvature: the law is not linear"
        with pytest.raises(tw.InputError, match=r"is not linear on a quadratic|the linear probe is"):
            spectral_radius(row.method, 1.0)
        return
    if shown["stability"].startswith("any "):
        knob = shown["stability"].removeprefix("any ")
        for value in (1e-6, 1.0, 1e6):
            assert spectral_radius(row.build(None, **{knob: value}), 1.0) <= 1 + 1e-9
        return
    knob, limit = shown["stability"].split(" at ")[0].split(" < ")
    inside, outside = (row.build(None, **{knob: float(limit) * factor}) for factor in (0.999, 1.001))
    assert spectral_radius(inside, 1.0) <= 1 + 1e-9
    assert spectral_radius(outside, 1.0) > 1 + 1e-6


LATE = """
import thalweg as tw
rows = tw.table()
import jax, equinox as eqx
jax.config.update("jax_enable_x64", True)
for row in rows:
    numbers = jax.tree.leaves(eqx.filter(row.build(None), eqx.is_inexact_array))
    print(row.name, *{str(number.dtype) for number in numbers} - {"float64"})
"""


def test_rows_have_the_precision_that_is_set_when_they_are_built():
    """As the command line does: a resumed run must find the numbers that it was begun with."""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    env.pop("JAX_ENABLE_X64", None)
    done = subprocess.run([sys.executable, "-c", LATE], env=env, capture_output=True, text=True, check=True)
    assert [line.strip() for line in done.stdout.splitlines()] == [row.name for row in tw.table()]
