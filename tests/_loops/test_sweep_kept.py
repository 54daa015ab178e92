"""A sweep that is kept: in a directory, stopped and gone on with, with metrics of its user's."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._loops import drive, sweeping, width
from thalweg._loops.interrupt import Interrupt

CURVATURE = jnp.array([1.0, 4.0, 9.0])
X0 = jnp.array([1.0, -2.0, 0.5])
GRID = {"learning_rate": np.linspace(0.01, 0.15, 5), "momentum": [0.0, 0.5, 0.9]}
DATA = jax.random.normal(jax.random.key(5), (20, 3))
SUM = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum(CURVATURE * (x - s) ** 2), DATA, batch_size=4)


def bowl(x):
    return 0.5 * jnp.sum(CURVATURE * x**2) + 0.1 * jnp.sum(jnp.cos(x + 1.0))


def make(learning_rate, momentum):
    return tw.nesterov(bowl, learning_rate, momentum)


def drawing(learning_rate, momentum):
    return tw.momentum(SUM, learning_rate, momentum)


def largest(seen):
    return jnp.max(jnp.abs(seen.position))


def same(found, expected):
    assert found.metrics.keys() == expected.metrics.keys()
    for name, array in expected.metrics.items():
        np.testing.assert_array_equal(found.metrics[name], array)
    np.testing.assert_array_equal(found.final_loss, expected.final_loss)
    np.testing.assert_array_equal(found.final, expected.final)
    for name, array in expected.settings.items():
        np.testing.assert_array_equal(found.settings[name], array)
    assert (found.shape, found.status) == (expected.shape, "finished")


class Stopped(Interrupt):
    """Ctrl-C before the first chunk."""

    def __init__(self, flag):
        super().__init__(flag)
        flag.set()


@pytest.fixture
def four_abreast(monkeypatch):
    monkeypatch.setattr(width, "width", lambda *_: 4)
    monkeypatch.setattr("thalweg._loops.sweep.width", lambda *_: 4)


@pytest.mark.parametrize("rows", [2**26, 4 * 8 * 2 * 20], ids=["whole batches", "some steps"])
@pytest.mark.parametrize("method", [make, drawing])
def test_stopped_anywhere_and_gone_on_with_it_is_as_if_never_stopped(method, rows, four_abreast, monkeypatch, tmp_path):
    def sweep(**more):
        return tw.sweep(method, GRID, X0, 70, 2, keep=("loss", largest), **more)

    monkeypatch.setattr(sweeping, "_ROW_BYTES", rows)
    monkeypatch.setattr(sweeping, "_FEWEST_STEPS", 8)
    monkeypatch.setattr(sweeping, "_FIRST_QUICK", 64)
    whole = sweep()
    monkeypatch.setattr(drive, "CHUNK_SECONDS", 1e-6)
    with monkeypatch.context() as patch:
        # A chunk each time, of steps within a batch or up to its end.
        patch.setattr(drive, "Interrupt", Stopped)
        for times in range(8):
            with pytest.raises(KeyboardInterrupt, match=r"of 30 runs; saved in"):
                sweep(out=tmp_path / "sweep", resume=times > 0)
    found = sweep(out=tmp_path / "sweep", resume=True)
    same(found, whole)
    same(tw.Sweep.load(tmp_path / "sweep"), whole)
    assert found.path == tmp_path / "sweep"


def test_one_that_is_stopped_in_memory_has_what_it_made(four_abreast, monkeypatch):
    whole = tw.sweep(make, GRID, X0, 70)
    monkeypatch.setattr(sweeping, "_FIRST_QUICK", 64)
    monkeypatch.setattr(drive, "CHUNK_SECONDS", 1e-6)
    chunks = []

    class Late(Interrupt):
        def __init__(self, flag):
            super().__init__(flag)
            chunks.append(flag)

    advance = sweeping._advance
    monkeypatch.setattr(drive, "Interrupt", Late)
    monkeypatch.setattr(
        sweeping,
        "_advance",
        lambda *a: (chunks.append(a), chunks[0].set() if len(chunks) > 80 else None, advance(*a))[2],
    )
    found = tw.sweep(make, GRID, X0, 70)
    assert found.status == "interrupted" and "of 15 runs" in found.message
    made = np.isfinite(found.final_loss[:, 0])
    assert 0 < made.sum() < 15 and made.sum() % 4 == 0 and made[: made.sum()].all()
    np.testing.assert_array_equal(found.losses[made], whole.losses[made])
    assert found.best["momentum"] in GRID["momentum"]


def test_another_sweep_is_not_gone_on_with(tmp_path):
    tw.sweep(make, GRID, X0, 5, out=tmp_path / "sweep")
    with pytest.raises(tw.InputError, match="already holds a run"):
        tw.sweep(make, GRID, X0, 5, out=tmp_path / "sweep")
    other = GRID | {"momentum": [0.0, 0.5, 0.8]}
    for sweep, told in (
        (lambda **more: tw.sweep(make, other, X0, 5, **more), "sweep.digest"),
        (lambda **more: tw.sweep(make, GRID, X0, 6, **more), "sweep.steps"),
        (lambda **more: tw.sweep(make, GRID, X0, 5, 2, **more), "sweep.seeds"),
        (lambda **more: tw.sweep(make, GRID, X0, 5, keep="final", **more), "sweep.columns"),
        (lambda **more: tw.sweep(make, GRID, X0 + 1.0, 5, **more), "start.digest"),
    ):
        with pytest.raises(tw.InputError, match=rf"was run with another configuration: .*{told} was"):
            sweep(out=tmp_path / "sweep", resume=True)


def test_metrics_are_those_of_runs():
    found = tw.sweep(
        make, GRID, X0, 12, keep=("loss", "speed", largest, ("both", lambda seen: {"a": seen.value, "b": 1}))
    )
    assert set(found.metrics) == {"loss", "speed", "largest", "both.a", "both.b"}
    record = tw.Record(("loss", "speed", largest))
    for i in (0, 7, 14):
        run = tw.run(make(*(float(values[i]) for values in found.settings.values())), X0, 12, record=record)
        for name in record.names:
            np.testing.assert_allclose(found.metrics[name][i, 0], run.metrics[name], rtol=1e-12, atol=1e-14)
    np.testing.assert_array_equal(found.metrics["loss"], found.losses)


def test_hyperparameters_may_vary_together():
    pairs = [(0.1, 0.0), (0.02, 0.9)]
    found = tw.sweep(
        lambda a, b, w: tw.momentum(lambda x: w * bowl(x), a, b), {("a", "b"): pairs, "w": [1.0, 0.5, 2.0]}, X0, 9
    )
    assert found.shape == (2, 3)
    assert found.settings["a"].tolist() == [0.1] * 3 + [0.02] * 3
    assert found.settings["b"].tolist() == [0.0] * 3 + [0.9] * 3
    assert found.settings["w"].tolist() == [1.0, 0.5, 2.0] * 2
    run = tw.run(tw.momentum(lambda x: 2.0 * bowl(x), 0.02, 0.9), X0, 9)
    np.testing.assert_allclose(found.losses[5, 0], run.metrics["loss"], rtol=1e-13)


def test_a_field_is_swept_by_what_its_user_asks_of_it():
    def circle(h):
        return tw.Method(tw.Field(lambda t, x, args: jnp.stack([-x[1], x[0]])), tw.Euler(), h)

    found = tw.sweep(
        circle, {"h": [0.1, 0.2]}, jnp.array([1.0, 0.0]), 10, keep=("size", lambda s: jnp.sum(s.position**2))
    )
    # A step of Euler on the circle makes |x|^2 larger by 1 + h^2.
    expected = (1 + np.array([0.1, 0.2])[:, None] ** 2) ** np.arange(11)
    np.testing.assert_allclose(found.metrics["size"][:, 0], expected, rtol=1e-13)
    assert np.isnan(found.final_loss).all() and found.losses is None
    assert tw.sweep(circle, {"h": [0.1, 0.2]}, jnp.array([1.0, 0.0]), 10).final.shape == (2, 1, 2)


@pytest.mark.parametrize(
    ("grid", "more", "told"),
    [
        ({("learning_rate", "momentum"): [0.1, 0.2]}, {}, "vary together, so each of their values must be 2 numbers"),
        (
            {("learning_rate", "momentum"): [(0.1, 0.2)], "momentum": [0.1]},
            {},
            "each hyperparameter once, but has 'momentum' twice",
        ),
        ({3: [0.1]}, {}, "must have names of hyperparameters"),
        (GRID, {"keep": ("size", largest, 5)}, "takes metrics at every step.*'size' has an every"),
        (GRID, {"keep": "sped"}, "metric must be one of|did you mean"),
        (GRID, {"keep": lambda seen: seen.position}, "needs a name"),
        (GRID, {"keep": ("all", lambda seen: seen.position)}, "metric 'all' must give a real number"),
        (GRID, {"resume": True}, "resume needs the directory"),
        (GRID, {"keep": 3}, "keeps no positions but the last"),
        (GRID, {"keep": tw.Record(positions=2)}, "keeps no positions but the last"),
        (GRID, {"keep": "loss", "losses": False}, "give one of losses and keep"),
    ],
)
def test_what_is_wrong_is_said_first(grid, more, told):
    with pytest.raises(tw.InputError, match=told):
        tw.sweep(make, grid, X0, 5, **more)


def test_what_a_directory_does_not_hold(tmp_path):
    tw.run(make(0.1, 0.5), X0, 5, out=tmp_path / "run")
    with pytest.raises(tw.InputError, match=r"holds a run, not a sweep; read it with tw\.Run\.load"):
        tw.Sweep.load(tmp_path / "run")
    tw.sweep(make, GRID, X0, 5, out=tmp_path / "sweep")
    with pytest.raises(tw.InputError, match=r"tw.Sweep.load"):
        tw.Run.load(tmp_path / "sweep")
