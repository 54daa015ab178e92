"""Metrics of one's own: traced into the step, or called between chunks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

START = {"w": jnp.arange(6.0).reshape(2, 3), "b": jnp.ones(2)}


def bowl(x):
    return 0.5 * jnp.sum(x["w"] ** 2) + jnp.sum(x["b"] ** 2)


def largest(seen):
    return jnp.max(seen.position["w"])


METHOD = tw.momentum(bowl, 0.05, 0.9)


def test_every_row_is_of_the_state_before_its_step():
    record = tw.Record(metrics=("loss", largest), positions=1)
    run = tw.run(METHOD, START, 12, record=record)
    np.testing.assert_array_equal(run.metrics["largest"], np.asarray(run.trace.position["w"]).max(axis=(1, 2)))
    np.testing.assert_array_equal(run.metrics["loss"], tw.run(METHOD, START, 12).metrics["loss"])


def test_what_is_seen_is_the_state_as_its_user_has_it():
    seen_by_step, law = {}, tw.nesterov(bowl, 0.05, 0.9)

    def look(seen):
        seen_by_step[int(seen.step)] = seen
        return 0.0

    run = tw.run(law, START, 6, record=tw.Record(metrics=("loss", ("look", look, 3))))
    state = law.init(START)
    for _ in range(3):
        state = law.step(state)
    seen = seen_by_step[3]
    for found, expected in (
        (seen.position, state.position), (seen.lookahead, state.lookahead), (seen.velocity, state.velocity),
        (seen.gradient, jax.grad(bowl)(state.lookahead)),
    ):  # fmt: skip
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-13), found, expected)
    np.testing.assert_allclose(seen.value, bowl(state.lookahead), rtol=1e-14)
    np.testing.assert_allclose(seen.time, 3 * law.step_size, rtol=1e-14)
    assert seen.batch is None
    assert seen.auxiliary is None
    assert run.status == "finished"


def test_a_metric_now_and_then_has_its_rows_and_the_last():
    calls = []

    def slow(seen):
        calls.append(int(seen.step))
        return float(np.max(np.asarray(seen.position["w"])))

    run = tw.run(METHOD, START, 10, record=tw.Record(metrics=("loss", largest, ("slow", slow, 4))))
    rows = np.flatnonzero(np.isfinite(run.metrics["slow"]))
    assert rows.tolist() == [0, 4, 8, 10]
    np.testing.assert_array_equal(run.metrics["slow"][rows], run.metrics["largest"][rows])
    assert calls[-3:] == [4, 8, 10]


def test_several_numbers_have_columns_each():
    run = tw.run(METHOD, START, 3, record=("sizes", lambda seen: {k: jnp.sum(v) for k, v in seen.position.items()}))
    assert set(run.metrics) == {"step", "time", "sizes.w", "sizes.b"}
    assert run.metrics["sizes.b"][0] == 2.0
    stopped = tw.run(METHOD, START, 50, record=("sizes", lambda seen: {"b": jnp.sum(seen.position["b"])}),
                     stop={"sizes.b": 0.5})  # fmt: skip
    assert stopped.status == "stopped"
    assert stopped.metrics["sizes.b"][-1] <= 0.5 < stopped.metrics["sizes.b"][-2]


def test_on_mini_batches_the_rows_are_those_of_the_batch_and_the_last_of_all_data():
    data = jnp.arange(8.0)
    f = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum((x - s) ** 2), data, batch_size=3)
    record = tw.Record(
        metrics=(
            "loss",
            ("mean", lambda seen: jnp.mean(data[seen.batch]) if seen.batch is not None else jnp.mean(data)),
        )
    )
    run = tw.run(tw.gradient_descent(f, 0.1), jnp.array([0.0]), 5, key=0, record=record)
    position, method = jnp.array([0.0]), tw.gradient_descent(f, 0.1)
    for k in range(5):
        batch = method.draw(jax.random.key(0), position, k).batch
        np.testing.assert_allclose(run.metrics["mean"][k], data[batch].mean(), rtol=1e-14)
    assert run.metrics["mean"][-1] == data.mean()


def test_a_metric_that_fails_on_the_way_costs_its_row_and_nothing_else(tmp_path):
    def fragile(seen):
        if 2 < seen.step < 8:
            raise ValueError("out of paper")
        return 1.0

    with pytest.warns(RuntimeWarning, match="metric 'fragile' raised ValueError: out of paper, at step 4"):
        run = tw.run(
            METHOD, START, 10, record=tw.Record(metrics=("loss", ("fragile", fragile, 2))), out=tmp_path / "run"
        )
    assert run.status == "finished"
    assert np.flatnonzero(np.isfinite(run.metrics["fragile"])).tolist() == [0, 2, 8, 10]
    np.testing.assert_array_equal(run.metrics["loss"], tw.run(METHOD, START, 10).metrics["loss"])


def test_nan_is_recorded_and_ends_nothing():
    run = tw.run(METHOD, START, 5, record=("loss", ("root", lambda seen: jnp.sqrt(2.0 - seen.step))))
    assert np.isnan(run.metrics["root"]).tolist() == [False] * 3 + [True] * 3
    assert run.status == "finished"


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        ("accuracy", r"metric 'accuracy' is unknown; .*one of your own has a function, \('accuracy', function\)"),
        (lambda seen: seen.value, "needs a name, such as"),
        (("loss", "loss"), "'loss' is there twice"),
        (("vector", lambda seen: seen.position["b"]), r"'vector' must give a real number, but gives shape \(2,\)"),
        (("tree", lambda seen: (seen.value, seen.value)), "a real number or a dictionary"),
        (("wrong", lambda seen: seen.missing), "metric 'wrong' raised AttributeError: 'Seen' object has no attribute"),
        (("wrong", lambda seen: seen.missing, 5), "metric 'wrong' raised AttributeError"),
        (("complex", lambda seen: seen.value + 1j), "must give a real number, but gives complex128"),
        (("often", lambda seen: seen.value, 0), "every must be a whole number of at least 1"),
        (("time", lambda seen: seen.value), "'time' is taken"),
        ("acceptance", "accepts or rejects its steps"),
    ],
)
def test_what_cannot_be_taken_is_refused_before_anything_is_written(metric, message, tmp_path):
    with pytest.raises(tw.InputError, match=message):
        tw.run(METHOD, START, 3, record=metric, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_resumed_run_takes_its_metrics_again(tmp_path):
    record = tw.Record(metrics=("loss", largest, ("slow", lambda seen: float(seen.value), 4)))
    whole = tw.run(METHOD, START, 30, record=record)
    tw.run(METHOD, START, 14, record=record, out=tmp_path / "run")
    resumed = tw.run(METHOD, START, 30, record=record, out=tmp_path / "run", resume=True)
    for name, column in whole.metrics.items():
        np.testing.assert_array_equal(column, resumed.metrics[name])
    with pytest.raises(tw.InputError, match="metrics"):
        tw.run(METHOD, START, 40, record="loss", out=tmp_path / "run", resume=True)


def test_acceptance_is_a_metric():
    law = tw.mala(lambda x: 0.5 * jnp.sum(x**2), 1.0)
    run = tw.run(law, jnp.ones(3), 50, key=0, record="acceptance")
    assert run.metrics["acceptance"][-1] == pytest.approx(float(law.scheme.acceptance(run.state)))
    assert 0.2 < run.metrics["acceptance"][-1] <= 1.0
