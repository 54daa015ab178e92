"""The one loop: what it records, where it stops, and that chunks, keys and hyperparameters change nothing else."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import types

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._loops import drive as loop
from thalweg._loops import progress

CURVATURE = jnp.array([1.0, 4.0, 9.0])
X0 = jnp.array([1.0, -2.0, 0.5])


def bowl(x):
    """Lopsided, so that a sign or an order that is wrong shows."""
    return 0.5 * jnp.sum(CURVATURE * x**2) + 0.1 * jnp.sum(jnp.cos(x + 1.0)) + 0.05 * jnp.sum(x**4)


def tree_bowl(p):
    return bowl(p["a"]) + 0.5 * jnp.sum((p["b"] - 1.0) ** 2 * (1.0 + p["a"][0] ** 2))


TREE = {"a": X0, "b": jnp.array([[0.5, 2.0], [-1.0, 0.0]])}

METHODS = {
    "gradient_descent": tw.gradient_descent(bowl, 0.1),
    "rk4": tw.Method(tw.GradientFlow(bowl), tw.RK4(), 0.2),
    "momentum": tw.momentum(bowl, 0.05, 0.9),
    "nesterov": tw.nesterov(bowl, 0.05, 0.9),
    "leapfrog": tw.leapfrog(bowl, 0.05, 0.9),
    "nesterov_flow": tw.Method(tw.NesterovFlow(bowl), tw.Leapfrog(), 0.1),
    "schedule": tw.Method(tw.HeavyBall(bowl, 1.0), tw.Lookahead(1.0), lambda k: 0.1 / (1.0 + 0.01 * k)),
}


def by_scan(method, x0, steps, velocity=None):
    """The states before each step and at the end, by a plain scan of the method's own step."""
    return types.SimpleNamespace(**scanned(method, method.init(x0, velocity), steps))


@eqx.filter_jit
def scanned(method, state, steps):
    def parts(state):
        names = ("position", "lookahead", "velocity", "time")
        return {name: getattr(state, name) for name in names}

    last, kept = jax.lax.scan(lambda state, _: (method.step(state), parts(state)), state, None, length=steps)
    return jax.tree.map(lambda rows, end: jnp.concatenate([rows, end[None]]), kept, parts(last))


@pytest.mark.parametrize("name", METHODS)
def test_row_k_of_the_metrics_is_the_state_before_step_k(name):
    method, steps = METHODS[name], 57
    second = method.dynamics.order == 2
    wanted = ("loss", "gradient_norm", "step_size", *(("speed",) if second else ()))
    run = tw.run(method, X0, steps, record=wanted)
    states = by_scan(method, X0, steps)
    objective = method.objective
    expected = {
        "loss": jax.vmap(objective.value)(states.lookahead),
        "gradient_norm": jnp.linalg.norm(jax.vmap(objective.gradient)(states.lookahead), axis=1),
        "step_size": [float(method.step_size(k)) for k in range(58)] if name == "schedule" else method.step_size,
        "time": jnp.arange(58) * method.step_size if states.time is None else states.time,
    }
    if second:
        expected["speed"] = jnp.linalg.norm(states.velocity, axis=1)
    assert set(run.metrics) == {"step", *expected}
    assert run.metrics["step"].tolist() == list(range(58))
    for metric, values in expected.items():
        np.testing.assert_allclose(run.metrics[metric], values, rtol=2e-14, atol=2e-15, err_msg=metric)
    np.testing.assert_allclose(run.final.position, states.position[-1], rtol=0, atol=2e-15)
    np.testing.assert_allclose(run.final.lookahead, states.lookahead[-1], rtol=0, atol=2e-15)
    assert (run.status, run.steps, run.message) == ("finished", 57, "made 57 steps")


@pytest.mark.parametrize("steps", [0, 1, 63, 64, 65, 200])
def test_rows_at_the_edges_of_the_first_chunk(steps):
    run = tw.run(METHODS["momentum"], X0, steps)
    assert run.metrics["step"].tolist() == list(range(steps + 1))
    states = by_scan(METHODS["momentum"], X0, steps)
    np.testing.assert_allclose(run.metrics["loss"], jax.vmap(bowl)(states.lookahead), rtol=1e-14)


@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize("stride", [0, 1, 7, 30, 100, 1000])
def test_positions_every_so_many_steps(stride, where, tmp_path):
    method, steps = tw.nesterov(tree_bowl, 0.05, 0.9), 150
    out = tmp_path / "run" if where == "disk" else None
    run = tw.run(method, TREE, steps, record=stride, out=out)
    if stride == 0:
        assert run.trace is None
        return
    states = by_scan(method, TREE, steps)
    picked = np.arange(0, steps + 1, stride)
    assert len(run.trace) == len(picked)
    assert run.trace.step.tolist() == picked.tolist()
    np.testing.assert_allclose(run.trace.time, picked * float(method.step_size), rtol=1e-14)
    for part in ("position", "velocity"):
        for leaf in ("a", "b"):
            kept, every = getattr(run.trace, part)[leaf], getattr(states, part)[leaf]
            assert kept.shape == (len(picked), *TREE[leaf].shape)
            np.testing.assert_allclose(kept, every[picked], rtol=0, atol=5e-15)


def test_a_trace_without_metrics_and_a_law_of_first_order():
    run = tw.run(METHODS["gradient_descent"], X0, 20, record=tw.Record(metrics=(), positions=6))
    assert run.metrics["step"].tolist() == list(range(21))
    assert set(run.metrics) == {"step", "time"}
    assert run.trace.step.tolist() == [0, 6, 12, 18]
    assert run.trace.velocity is None
    states = by_scan(METHODS["gradient_descent"], X0, 18)
    np.testing.assert_allclose(run.trace.position[3], states.position[-1], atol=2e-15)


def test_position_and_lookahead_are_both_right():
    """Against Nesterov's method by hand, on a quadratic."""
    a, b = 0.05, 0.8
    x, v = np.array([1.0, -2.0, 0.5]), np.zeros(3)
    for _ in range(25):
        v = b * v - a * np.asarray(CURVATURE) * (x + b * v)
        x = x + v
    run = tw.run(tw.nesterov(lambda y: 0.5 * jnp.sum(CURVATURE * y**2), a, b), X0, 25)
    np.testing.assert_allclose(run.final.position, x, rtol=1e-12)
    np.testing.assert_allclose(run.final.lookahead, x + b * v, rtol=1e-12)
    np.testing.assert_allclose(run.method.step_size * run.final.velocity, v, rtol=1e-12)
    assert np.abs(run.final.position - run.final.lookahead).max() > 1e-4


def test_a_starting_velocity():
    method = tw.Method(tw.HeavyBall(tree_bowl, 0.5, mass=2.0), tw.Leapfrog(), 0.1)
    velocity = {"a": jnp.array([3.0, 0.0, -1.0]), "b": jnp.ones((2, 2))}
    run = tw.run(method, TREE, 30, velocity=velocity)
    states = by_scan(method, TREE, 30, velocity)
    np.testing.assert_allclose(run.final.position["b"], states.position["b"][-1], rtol=1e-14)
    assert np.abs(run.final.position["a"] - tw.run(method, TREE, 30).final.position["a"]).max() > 0.1


@pytest.mark.parametrize("name", ["momentum", "nesterov_flow", "schedule"])
@pytest.mark.parametrize(
    "patch",
    [{"drive.CHUNK_SECONDS": 0.0}, {"running._SCALARS": 8}, {"running._SCALARS": 40, "running._POSITION_BYTES": 200}],
)
def test_the_size_of_chunks_changes_nothing(name, patch, monkeypatch):
    record = tw.Record(("loss", "speed"), positions=4)
    whole = tw.run(METHODS[name], X0, 130, record=record)
    for constant, value in patch.items():
        monkeypatch.setattr(f"thalweg._loops.{constant}", value)
    cut = tw.run(METHODS[name], X0, 130, record=record)
    for metric, values in whole.metrics.items():
        np.testing.assert_array_equal(values, cut.metrics[metric], err_msg=metric)
    np.testing.assert_array_equal(whole.trace.step, cut.trace.step)
    np.testing.assert_array_equal(whole.trace.position, cut.trace.position)
    np.testing.assert_array_equal(whole.trace.velocity, cut.trace.velocity)
    np.testing.assert_array_equal(whole.final.position, cut.final.position)


def test_the_size_of_chunks_changes_no_mini_batch(monkeypatch):
    f = tw.FiniteSum(lambda x, s: jnp.sum((x - s) ** 2), jnp.arange(12.0).reshape(4, 3), batch_size=2)
    whole = tw.run(tw.momentum(f, 0.05, 0.5), X0, 130, key=3)
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)
    cut = tw.run(tw.momentum(f, 0.05, 0.5), X0, 130, key=3)
    np.testing.assert_array_equal(whole.metrics["loss"], cut.metrics["loss"])
    np.testing.assert_array_equal(whole.final.position, cut.final.position)


@pytest.mark.parametrize("chunk", [0.5, 0.0])
@pytest.mark.parametrize(
    ("stop", "when"),
    [
        ({"loss": 1.0}, lambda m: m["loss"] <= 1.0),
        ({"gradient_norm": 0.1}, lambda m: m["gradient_norm"] <= 0.1),
        ({"loss": -10.0, "speed": 0.3}, lambda m: m["speed"] <= 0.3),
        (lambda m: m["step"] >= 77, lambda m: m["step"] >= 77),
        (lambda m: (m["time"] > 3.0) & (m["loss"] < 0.5), lambda m: (m["time"] > 3.0) & (m["loss"] < 0.5)),
    ],
)
def test_stops_at_the_first_step_that_meets_the_condition(stop, when, chunk, monkeypatch):
    monkeypatch.setattr(loop, "CHUNK_SECONDS", chunk)
    # Started with a push, so that the speed is not small at once.
    push = jnp.array([2.0, 1.0, 0.0])
    metrics = ("loss", "gradient_norm", "speed")
    free = tw.run(METHODS["leapfrog"], X0, 300, record=metrics, velocity=push)
    expected = int(np.argmax(when(free.metrics)))
    assert 0 < expected < 300
    run = tw.run(METHODS["leapfrog"], X0, 300, stop=stop, velocity=push)
    assert run.status == "stopped"
    assert run.steps == expected == run.metrics["step"][-1]
    assert f"step {expected}," in run.message
    states = by_scan(METHODS["leapfrog"], X0, expected, push)
    np.testing.assert_allclose(run.final.position, states.position[-1], rtol=0, atol=5e-15)
    if isinstance(stop, dict):
        assert set(stop) <= set(run.metrics)


def test_a_condition_never_met_lets_the_run_finish():
    run = tw.run(METHODS["momentum"], X0, 40, stop={"loss": -1e9})
    assert (run.status, run.steps) == ("finished", 40)


@pytest.mark.parametrize("chunk", [0.5, 0.0])
def test_a_stop_before_a_divergence_is_a_stop(chunk, monkeypatch):
    """Both in one chunk or not: what comes first decides."""
    monkeypatch.setattr(loop, "CHUNK_SECONDS", chunk)
    for record in (("loss",), None):
        run = tw.run(tw.gradient_descent(bowl, 0.9), X0, 64, record=record, stop=lambda m: m["step"] >= 2)
        assert (run.status, run.steps) == ("stopped", 2)
        run = tw.run(tw.gradient_descent(bowl, 0.9), X0, 64, record=record, stop=lambda m: m["step"] >= 60)
        assert run.status == "diverged"
        assert run.steps < 60


STEEP = tw.momentum(lambda x: 0.5 * jnp.sum(CURVATURE * x**2), 0.5, 0.9)


@pytest.mark.parametrize("chunk", [0.5, 0.0])
@pytest.mark.parametrize("record", [("loss",), ("speed",), None, 3])
def test_divergence_is_reported_with_the_step_size_and_the_limit(record, chunk, monkeypatch):
    monkeypatch.setattr(loop, "CHUNK_SECONDS", chunk)
    f = STEEP.objective
    run = tw.run(STEEP, X0, 5000, record=record)
    assert run.status == "diverged"
    assert 0 < run.steps < 2000
    # 2 (1 + momentum) / curvature
    assert run.message == (
        f"diverged at step {run.steps + 1} with learning_rate 0.5, momentum 0.9; "
        "at curvature 9 the stability limit is learning_rate 0.4222"
    )
    assert np.isfinite(run.final.position).all()
    assert run.metrics["step"].tolist() == list(range(run.steps + 1))
    states, at = by_scan(STEEP, X0, 2000), run.steps
    np.testing.assert_allclose(run.final.position, states.position[at], rtol=1e-9)
    if record == ("loss",):
        threshold = float(f.value(X0)) + 1e10 * max(1.0, float(f.value(X0)))
        assert f.value(states.lookahead[at]) <= threshold < f.value(states.lookahead[at + 1])
    elif record == 3:
        assert run.trace.step[-1] <= run.steps
    else:
        assert not np.isfinite(states.position[at + 1]).all()


def test_a_schedule_that_diverges_names_the_step_size_it_had():
    run = tw.run(tw.gradient_descent(bowl, lambda k: jnp.where(k < 10, 0.1, 2.0)), X0, 500)
    assert run.status == "diverged"
    assert run.steps > 10
    assert f"at step {run.steps + 1} with step_size 2, rate 1; " in run.message
    assert "the stability limit is step_size 0.2" in run.message


@pytest.mark.parametrize("chunk", [0.5, 0.0])
@pytest.mark.parametrize("bad", [jnp.nan, jnp.inf])
@pytest.mark.parametrize("at", [1, 40, 64, 100])
def test_not_finite_in_mid_run(at, bad, chunk, monkeypatch):
    """The loss of state `at` is bad, its position is not; 64 is the first of the second chunk, 100 the last state."""
    monkeypatch.setattr(loop, "CHUNK_SECONDS", chunk)

    def f(x):
        return jnp.sum(x) + jax.lax.stop_gradient(jnp.where(x[0] < 1.0 - 0.01 * (at - 0.5), bad, 0.0))

    run = tw.run(tw.gradient_descent(f, 0.01), jnp.ones(2), 100, record=1)
    assert run.status == ("not finite" if np.isnan(bad) else "diverged")
    assert run.steps == at - 1
    assert f"at step {at} with learning_rate 0.01; the curvature at the start is not positive" in run.message
    assert run.metrics["step"].tolist() == run.trace.step.tolist() == list(range(at))
    assert np.isfinite(run.metrics["loss"]).all()
    np.testing.assert_allclose(run.final.position, 1.0 - 0.01 * (at - 1), rtol=1e-12)


def test_nan_in_the_position_without_a_recorded_loss():
    def f(x):
        return jnp.sum(x) + jnp.sum(jnp.where(x < 0.5, jnp.sqrt(x - 0.5), 0.0))

    run = tw.run(tw.gradient_descent(f, 0.01), jnp.array([1.0, 3.0]), 200, record=None)
    assert run.status == "not finite"
    assert f"at step {run.steps + 1}" in run.message
    assert np.isfinite(run.final.position).all()
    np.testing.assert_allclose(run.final.position[0], 0.5, atol=0.011)


def test_an_objective_without_second_derivatives_ends_all_the_same():
    @jax.custom_vjp
    def f(x):
        return 0.5 * jnp.sum(CURVATURE * x**2)

    f.defvjp(lambda x: (f(x), x), lambda x, g: (g * CURVATURE * x,))
    run = tw.run(tw.gradient_descent(f, 0.5), X0, 500)
    assert run.status == "diverged"
    assert run.message == f"diverged at step {run.steps + 1} with learning_rate 0.5"


def samples(batch_size, replace=True):
    data = jax.random.normal(jax.random.key(5), (20, 3))
    return tw.FiniteSum(lambda x, s: 0.5 * jnp.sum(CURVATURE * (x - s) ** 2), data, batch_size, replace)


@pytest.mark.parametrize("replace", [True, False])
def test_mini_batches_follow_the_key(replace):
    method = tw.momentum(samples(4, replace), 0.02, 0.5)
    with pytest.raises(tw.InputError, match="draws mini-batches; give a key, such as key=0"):
        tw.run(method, X0, 3)
    one = tw.run(method, X0, 80, key=1)
    same = tw.run(method, X0, 80, key=jax.random.key(1))
    other = tw.run(method, X0, 80, key=2)
    np.testing.assert_array_equal(one.metrics["loss"], same.metrics["loss"])
    np.testing.assert_array_equal(one.final.position, same.final.position)
    assert np.abs(one.final.position - other.final.position).max() > 1e-3


@eqx.filter_jit
def value_and_gradient(f, x, batch):
    return f.value_and_gradient(x, batch)


def test_step_k_draws_with_the_key_folded_with_k():
    f = samples(4)
    method, key = tw.gradient_descent(f, 0.02), jax.random.key(7)
    x, losses = X0, []
    for k in range(15):
        loss, slope = value_and_gradient(f, x, f.draw(jax.random.fold_in(key, k)))
        losses.append(loss)
        x = x - 0.02 * slope
    run = tw.run(method, X0, 15, key=7)
    np.testing.assert_allclose(run.final.position, x, rtol=1e-13)
    np.testing.assert_allclose(run.metrics["loss"], [*losses, f.value(x)], rtol=1e-13)


def test_the_full_sum_needs_no_key():
    np.testing.assert_array_equal(
        tw.run(tw.momentum(samples(None), 0.02), X0, 10).final.position,
        tw.run(tw.momentum(samples(20, replace=False), 0.02), X0, 10).final.position,
    )


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("name", ["rk4", "nesterov", "nesterov_flow"])
def test_low_precision_stays(dtype, name, tmp_path):
    method = METHODS[name].with_objective(tw.Objective(lambda x: 0.5 * jnp.sum(CURVATURE.astype(x.dtype) * x**2)))
    run = tw.run(method, X0.astype(dtype), 20, record=5, out=tmp_path / "run")
    for point in (run.final, tw.Run.load(tmp_path / "run").final):
        assert point.position.dtype == point.lookahead.dtype == dtype
        assert point.velocity is None or point.velocity.dtype == dtype
        np.testing.assert_array_equal(point.position, run.final.position)
    assert run.trace.position.dtype == dtype
    np.testing.assert_array_equal(run.trace.position[-1], run.final.position)
    assert run.metrics["loss"].dtype == np.float64
    double = tw.run(method, X0, 20)
    scale = 20 * float(jnp.finfo(dtype).eps)
    np.testing.assert_allclose(np.asarray(run.final.position, float), double.final.position, atol=scale)


def test_leaves_of_two_precisions_stay_as_they_are():
    x0 = {"a": X0.astype(jnp.float32), "b": TREE["b"]}
    run = tw.run(tw.momentum(tree_bowl, 0.05, 0.9), x0, 20, record=10)
    assert {k: v.dtype.name for k, v in run.final.position.items()} == {"a": "float32", "b": "float64"}
    assert {k: v.dtype.name for k, v in run.trace.position.items()} == {"a": "float32", "b": "float64"}


def test_other_hyperparameters_compile_nothing():
    traced = []

    def f(x):
        traced.append(1)
        return 0.5 * jnp.sum(CURVATURE * x**2)

    def go(learning_rate, momentum, x0):
        before = len(traced)
        tw.run(tw.nesterov(f, learning_rate, momentum), x0, 100, record=("loss", "speed"))
        return len(traced) - before

    assert go(0.1, 0.9, X0) > 0
    assert go(0.05, 0.5, X0) == 0
    assert go(0.01, 0.0, 2.0 * X0) == 0


def test_other_data_compile_nothing():
    traced = []

    def f(x, scale):
        traced.append(1)
        return 0.5 * jnp.sum(scale * x**2)

    tw.run(tw.momentum(tw.Objective(f, CURVATURE), 0.1, 0.9), X0, 50)
    before = len(traced)
    run = tw.run(tw.momentum(tw.Objective(f, 2.0 * CURVATURE), 0.05, 0.9), X0, 50)
    assert len(traced) == before
    np.testing.assert_allclose(run.metrics["loss"][0], 2.0 * float(0.5 * jnp.sum(CURVATURE * X0**2)))


@pytest.mark.parametrize("name", ["gradient_descent", "rk4", "momentum", "leapfrog", "nesterov"])
def test_gradients_are_counted_and_the_loss_costs_none(name):
    """Counted as they are evaluated, by the backward pass of the objective itself."""
    calls = []

    @jax.custom_vjp
    def f(x):
        return 0.5 * jnp.sum(CURVATURE * x**2)

    def backward(x, g):
        jax.debug.callback(lambda: calls.append(1))
        return (g * CURVATURE * x,)

    f.defvjp(lambda x: (f(x), x), backward)
    method = METHODS[name].with_objective(tw.Objective(f))
    evaluated, reported = [], []
    for steps in (40, 70):
        before = len(calls)
        reported.append(tw.run(method, X0, steps, record=("loss", "gradient_norm")).gradients)
        jax.effects_barrier()
        evaluated.append(len(calls) - before)
    assert reported == [method.gradients_at_start + steps * method.gradients_per_step for steps in (40, 70)]
    assert evaluated[1] - evaluated[0] == reported[1] - reported[0]
    assert method.gradients_per_step == (4 if name == "rk4" else 1)


def test_repr_is_one_line_that_says_how_it_went():
    run = tw.run(METHODS["rk4"], X0, 12)
    expected = f"Run(finished after 12 steps, 48 gradients, loss {run.metrics['loss'][-1]:.6g}; made 12 steps)"
    assert repr(run) == expected
    assert "loss" not in repr(tw.run(METHODS["rk4"], X0, 12, record=None))


def test_compilation_is_timed_apart():
    def f(x):
        return bowl(1.0 * x)

    first = tw.run(tw.momentum(f, 0.05, 0.9), X0, 100)
    second = tw.run(tw.momentum(f, 0.04, 0.9), X0, 100)
    assert first.compile_seconds > 0 < first.seconds
    assert second.compile_seconds == 0


def interrupting(at):
    """A stop condition that stops nothing and, past a step, presses Ctrl-C."""

    def stop(metrics):
        if at in metrics["step"]:
            signal.raise_signal(signal.SIGINT)
        return np.zeros(len(metrics["step"]), bool)

    return stop


def test_ctrl_c_returns_a_run_in_memory(monkeypatch):
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)
    before = signal.getsignal(signal.SIGINT)
    run = tw.run(METHODS["momentum"], X0, 500, stop=interrupting(100))
    assert signal.getsignal(signal.SIGINT) is before
    assert (run.status, run.steps) == ("interrupted", 101)
    assert run.message == "interrupted after 101 of 500 steps"
    assert run.metrics["step"].tolist() == list(range(102))
    np.testing.assert_allclose(run.final.position, by_scan(METHODS["momentum"], X0, 101).position[-1], atol=2e-15)


def test_ctrl_c_saves_a_run_on_disk_which_goes_on_as_if_nothing_had_been(monkeypatch, tmp_path):
    record = tw.Record(("loss", "speed"), positions=3)
    whole = tw.run(METHODS["nesterov"], X0, 300, record=record)
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)
    with pytest.raises(KeyboardInterrupt, match=r"after 101 of 300 steps; saved in .*run, go on with resume=True"):
        tw.run(METHODS["nesterov"], X0, 300, record=record, out=tmp_path / "run", stop=interrupting(100))
    saved = tw.Run.load(tmp_path / "run")
    assert (saved.status, saved.steps) == ("interrupted", 101)
    monkeypatch.undo()
    run = tw.run(METHODS["nesterov"], X0, 300, record=record, out=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(run.final.position, whole.final.position)
    np.testing.assert_array_equal(run.metrics["loss"], whole.metrics["loss"])
    np.testing.assert_array_equal(run.trace.position, whole.trace.position)


def test_a_job_that_ignores_ctrl_c_goes_on_ignoring_it(monkeypatch):
    """As one in the background of a shell does."""
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)

    def stop(metrics):
        if 80 in metrics["step"]:
            signal.raise_signal(signal.SIGINT)
        return np.zeros(len(metrics["step"]), bool)

    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert tw.run(METHODS["momentum"], X0, 200, stop=stop).status == "finished"
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_second_ctrl_c_is_as_ever(monkeypatch):
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)

    def stop(metrics):
        if 80 in metrics["step"]:
            signal.raise_signal(signal.SIGINT)
            signal.raise_signal(signal.SIGINT)
        return np.zeros(len(metrics["step"]), bool)

    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        tw.run(METHODS["momentum"], X0, 500, stop=stop)
    assert signal.getsignal(signal.SIGINT) is before


def test_a_stop_condition_that_raises_leaves_the_handler_and_the_record_in_order(tmp_path):
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(ZeroDivisionError):
        tw.run(METHODS["momentum"], X0, 100, stop=lambda m: 1 / 0, out=tmp_path / "run")
    assert signal.getsignal(signal.SIGINT) is before
    assert not any(thread.name == "thalweg-writer" for thread in threading.enumerate())
    assert tw.Run.load(tmp_path / "run").status == "running"


def test_in_another_thread():
    found = []
    thread = threading.Thread(target=lambda: found.append(tw.run(METHODS["momentum"], X0, 20)))
    thread.start()
    thread.join()
    np.testing.assert_array_equal(found[0].final.position, tw.run(METHODS["momentum"], X0, 20).final.position)


def test_progress_is_plain_lines_where_there_is_no_terminal(monkeypatch, capsys):
    monkeypatch.setattr(progress, "_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0.0)
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)
    run = tw.run(METHODS["momentum"], X0, 66, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0] == "HeavyBall: compiling"
    assert [line.rsplit(", ", 1)[1] for line in lines[1:]] == ["step 64 of 66", "step 65 of 66", "step 66 of 66"]
    assert lines[-1].startswith(f"HeavyBall: loss {run.metrics['loss'][65]:.6g}")


def test_progress_waits_and_can_be_silenced(monkeypatch, capsys):
    tw.run(METHODS["momentum"], X0, 66)
    monkeypatch.setattr(progress, "_FIRST_SECONDS", 0.0)
    monkeypatch.setattr(progress, "_PLAIN_SECONDS", 0.0)
    tw.run(METHODS["momentum"], X0, 66, progress=False)
    monkeypatch.setattr(progress, "_PATIENCE_SECONDS", 0.0)
    assert capsys.readouterr() == ("", "")
    tw.run(METHODS["momentum"], X0, 66)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].endswith("step 66 of 66")


def test_progress_is_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    tw.run(METHODS["momentum"], X0, 200, progress=True)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "/200" in captured.err


@pytest.mark.slow
def test_a_sharded_position_keeps_its_sharding(tmp_path):
    script = textwrap.dedent(
        """
        import sys
        import jax, jax.numpy as jnp, numpy as np
        from jax.sharding import NamedSharding, PartitionSpec
        import thalweg as tw

        assert jax.device_count() == 2
        mesh = jax.make_mesh((2,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
        spread = NamedSharding(mesh, PartitionSpec("d"))
        whole = NamedSharding(mesh, PartitionSpec())
        scale = jnp.linspace(1.0, 5.0, 64)
        f = lambda p: 0.5 * jnp.sum(scale * p["w"] ** 2) + 0.5 * (p["b"] - jnp.sum(p["w"])) ** 2 / 64
        x0 = {"w": jnp.linspace(-1.0, 2.0, 64), "b": jnp.array(1.0)}
        placed = {"w": jax.device_put(x0["w"], spread), "b": jax.device_put(x0["b"], whole)}
        record = tw.Record(("loss", "speed"), positions=7)
        method = tw.nesterov(f, 0.1, 0.8)
        one = tw.run(method, x0, 90, record=record)
        two = tw.run(method, placed, 90, record=record)
        for point in (two.final.position, two.final.lookahead, two.final.velocity):
            assert point["w"].sharding.is_equivalent_to(spread, 1), point["w"].sharding
        np.testing.assert_allclose(two.final.position["w"], one.final.position["w"], atol=1e-13)
        np.testing.assert_allclose(two.metrics["loss"], one.metrics["loss"], rtol=1e-12)
        assert two.trace.step.tolist() == one.trace.step.tolist()
        np.testing.assert_allclose(two.trace.position["w"], one.trace.position["w"], atol=1e-13)
        disk = tw.run(method, placed, 90, record=record, out=sys.argv[1])
        more = tw.run(method, placed, 120, record=record, out=sys.argv[1], resume=True)
        assert more.final.position["w"].sharding.is_equivalent_to(spread, 1)
        whole = tw.run(method, placed, 120, record=record)
        np.testing.assert_array_equal(more.final.position["w"], whole.final.position["w"])
        np.testing.assert_array_equal(tw.Run.load(sys.argv[1]).final.position["w"], more.final.position["w"])
        """
    )
    env = dict(os.environ, JAX_ENABLE_X64="1", JAX_PLATFORMS="cpu", PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    env["XLA_FLAGS"] = "--xla_force_host_platform_device_count=2"
    arguments = [sys.executable, "-c", script, tmp_path / "run"]
    done = subprocess.run(arguments, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
