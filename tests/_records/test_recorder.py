"""A loop of optax or torch, recorded: what is on disk is what the loop saw, at every moment."""

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.metadata import version

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
import torch

import thalweg as tw
from thalweg._records import recorder as recorder_module
from thalweg._records.storage import RecordError

ENV = dict(os.environ, JAX_ENABLE_X64="1", PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
CURVATURES = np.array([[1.0, 4.0], [2.0, 9.0]])
X0 = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([0.25])}
H = tw.Hyperparameters(0.05, 0.9)


def bowl(p):
    return 0.5 * jnp.sum(jnp.array(CURVATURES) * p["w"] ** 2) + 0.5 * jnp.sum((p["b"] - p["w"][0, 0]) ** 2)


def optax_loop(recorder, h=H, steps=40, x=X0, every_parameters=False):
    """The loop, and one row more for where it ended, as in our own runs."""
    optimizer = optax.sgd(h.learning_rate, h.momentum or None, h.nesterov)
    state, value = optimizer.init(x), jax.jit(jax.value_and_grad(bowl))
    for k in range(steps + 1):
        loss, gradient = value(x)
        update, state = optimizer.update(gradient, state, x)
        given = {"parameters": x} if every_parameters or k == steps else {}
        recorder.log(loss=loss, gradient=gradient, update=update, **given)
        if k < steps:
            x = optax.apply_updates(x, update)
    return x


def torch_loop(recorder, h=H, steps=40):
    w = torch.nn.Parameter(torch.tensor(np.array(X0["w"])))
    b = torch.nn.Parameter(torch.tensor(np.array(X0["b"])))
    optimizer = torch.optim.SGD([w, b], h.learning_rate, h.momentum, nesterov=h.nesterov)
    for k in range(steps + 1):
        optimizer.zero_grad()
        loss = 0.5 * (torch.tensor(CURVATURES) * w**2).sum() + 0.5 * ((b - w[0, 0]) ** 2).sum()
        loss.backward()
        given = {"parameters": {"w": w, "b": b}} if k == steps else {}
        recorder.log(loss=loss, gradient=[w.grad, b.grad, None], **given)
        if k < steps:
            optimizer.step()


@pytest.fixture
def unchecked(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


# What is recorded.


@pytest.mark.parametrize("loop", [optax_loop, torch_loop])
@pytest.mark.parametrize("nesterov", [False, True])
def test_a_recorded_loop_is_our_own_run(loop, nesterov, tmp_path):
    h = tw.Hyperparameters(0.05, 0.9, nesterov)
    ours = tw.run((tw.nesterov if nesterov else tw.momentum)(bowl, 0.05, 0.9), X0, 40, record=("loss", "gradient_norm"))
    with tw.Recorder(tmp_path / "run", h, "a bowl") as recorder:
        loop(recorder, h)
    run = tw.Run.load(tmp_path / "run")
    assert (run.status, run.message, run.steps, run.gradients) == ("finished", "logged 41 steps", 41, 41)
    for name in ("step", "time", "loss", "gradient_norm"):
        np.testing.assert_allclose(run.metrics[name], ours.metrics[name], rtol=1e-12, atol=1e-15)
    # Frameworks hold the point ahead.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-14), run.final.position, ours.final.lookahead
    )
    assert (run.final.step, run.final.time) == (40, pytest.approx(ours.final.time, rel=1e-12))
    assert run.trace is None and run.method is None


def test_the_directory_is_one_of_ours(tmp_path):
    with tw.Recorder(tmp_path / "run", H, "a bowl") as recorder:
        optax_loop(recorder)
    files = {file.relative_to(tmp_path / "run").as_posix() for file in (tmp_path / "run").rglob("*") if file.is_file()}
    assert files == {"run.toml", "env.json", "metrics.jsonl", "checkpoint/state.npz"}
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert list(rows[0]) == ["step", "time", "loss", "gradient_norm", "update_norm"]
    config = recorder.run.config
    assert (config["kind"], config["run"]) == ("recorded", {"version": tw.__version__})
    assert config["method"] == {"name": "momentum", "hyperparameters": {"learning_rate": 0.05, "momentum": 0.9}}
    assert config["objective"] == {"name": "a bowl"}
    assert json.loads((tmp_path / "run" / "env.json").read_text())["packages"]["torch"] == version("torch")


@pytest.mark.parametrize(
    ("method", "name", "numbers"),
    [
        (None, "unknown", {}),
        ("adam", "adam", {}),
        ({"name": "adam", "rate": np.float32(0.5), "amsgrad": True}, "adam", {"rate": 0.5, "amsgrad": True}),
        (tw.Hyperparameters(0.1), "gradient_descent", {"learning_rate": 0.1, "momentum": 0.0}),
        (
            tw.Hyperparameters(1, 0.9, True, batch_size=32, convention="ema"), "nesterov",
            {"learning_rate": 1.0, "momentum": 0.9, "nesterov": True, "batch_size": 32, "convention": "ema"},
        ),
    ],
)  # fmt: skip
def test_what_is_told_of_the_method(method, name, numbers, tmp_path, unchecked):
    with tw.Recorder(tmp_path / "run", method) as recorder:
        recorder.log(loss=1.0)
    assert recorder.run.config["method"] == {"name": name, "hyperparameters": numbers}


def test_a_method_of_ours_counts_its_gradients(tmp_path):
    method = tw.Method(tw.HeavyBall(None, 1.0), tw.RK4(), 0.1)
    with tw.Recorder(tmp_path / "a", method) as recorder:
        for _ in range(5):
            recorder.log(loss=1.0)
    assert recorder.run.gradients == 20
    np.testing.assert_allclose(recorder.run.metrics["time"], 0.1 * np.arange(5), rtol=1e-12)
    with tw.Recorder(tmp_path / "b", method, gradients_per_step=7) as recorder:
        recorder.log(loss=1.0)
    assert recorder.run.gradients == 7


@pytest.mark.parametrize(
    "value",
    [
        3, 3.0, np.float32(3), np.array(3.0), np.array([[3]]), jnp.array(3.0), jnp.array([3], jnp.int32),
        jnp.array(3.0, jnp.bfloat16), torch.tensor(3.0, requires_grad=True) * 1, torch.tensor([3], dtype=torch.int16),
        torch.tensor(3.0, dtype=torch.bfloat16), np.asarray(jnp.array(3.0, jnp.bfloat16)),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)  # fmt: skip
def test_a_number_of_any_kind(value, tmp_path):
    with tw.Recorder(tmp_path / "run") as recorder:
        recorder.log(value=value, other=None)
    assert recorder.run.metrics["value"].tolist() == [3.0]
    assert np.isnan(recorder.run.metrics["other"]).all()


def test_a_tensor_of_another_device_is_not_waited_for(tmp_path, monkeypatch):
    """It is copied there, since the loop may change it, and read in the writer's thread, with others of its kind."""

    class Elsewhere(torch.Tensor):
        device = torch.device("cuda")

        def item(self):
            raise AssertionError("the loop waits")

        __float__ = item

    waited = []
    monkeypatch.setattr(torch.cuda, "synchronize", waited.append)
    with tw.Recorder(tmp_path / "run") as recorder:
        losses = []
        for k in range(10):
            loss = torch.tensor(float(k)).as_subclass(Elsewhere)
            recorder.log(loss=loss, double=torch.tensor(2.0 * k, dtype=torch.float64).as_subclass(Elsewhere), plain=k)
            losses.append(loss)
            torch.Tensor.mul_(loss, -1.0)
    metrics = recorder.run.metrics
    assert metrics["loss"].tolist() == list(range(10))
    assert metrics["double"].tolist() == list(range(0, 20, 2))
    assert 0 < len(waited) < 10


def test_what_changes_later_was_captured_at_once(tmp_path):
    value, weights, tensor = np.array(1.0), np.array([1.0, 2.0]), torch.tensor([3.0])
    with tw.Recorder(tmp_path / "run") as recorder:
        recorder.log(loss=value, other=tensor, gradient=weights, parameters=[weights, tensor])
        value *= 0
        weights *= 0
        tensor *= 0
    run = recorder.run
    assert (run.metrics["loss"].tolist(), run.metrics["other"].tolist()) == ([1.0], [3.0])
    np.testing.assert_allclose(run.metrics["gradient_norm"], np.sqrt(5.0), rtol=1e-15)
    assert {name: leaf.tolist() for name, leaf in run.final.position.items()} == {"0": [1.0, 2.0], "1": [3.0]}


def test_donated_parameters_were_copied(tmp_path):
    step = jax.jit(lambda x: 2.0 * x, donate_argnums=0)
    x = jnp.arange(4.0)
    with tw.Recorder(tmp_path / "run") as recorder:
        for _ in range(3):
            recorder.log(gradient=x, parameters=x)
            x = step(x)
    np.testing.assert_allclose(recorder.run.metrics["gradient_norm"], np.sqrt(14.0) * np.array([1, 2, 4]), rtol=1e-14)
    assert recorder.run.final.position.tolist() == [0.0, 4.0, 8.0, 12.0]


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize("library", ["jax", "torch", "numpy"])
def test_norms_are_accumulated_in_float32_at_least(library, dtype, tmp_path, request):
    """The square of 300 is beyond float16; a sum of 10,000 ones in bfloat16 stops at 256."""
    if dtype == "float16" and library != "torch":
        request.getfixturevalue("float16")
    make = {
        "jax": lambda v: jnp.asarray(v, dtype),
        "numpy": lambda v: np.asarray(jnp.asarray(v, dtype)),
        "torch": lambda v: torch.tensor(v, dtype=getattr(torch, dtype)),
    }[library]
    tree = [make(np.full(10_000, 1.0)), make(np.full((2, 3), 300.0)), None]
    with tw.Recorder(tmp_path / "run") as recorder:
        recorder.log(gradient=tree, update=iter(tree))
    expected = np.sqrt(10_000 + 6 * 9e4)
    metrics = recorder.run.metrics
    np.testing.assert_allclose([metrics["gradient_norm"], metrics["update_norm"]], expected, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e25), ("float32", 1e-25), ("float64", 1e200)])
@pytest.mark.parametrize("library", ["jax", "torch", "numpy"])
def test_norms_whose_squares_no_number_holds(library, dtype, size, tmp_path):
    make = {"jax": jnp.asarray, "numpy": np.asarray, "torch": torch.tensor}[library]
    kind = getattr(torch, dtype) if library == "torch" else dtype
    tree = [make(np.full(3, size), dtype=kind), make(np.full((2, 3), -2.0 * size), dtype=kind)]
    with tw.Recorder(tmp_path / "run") as recorder:
        recorder.log(gradient=tree, update=[0.0 * leaf for leaf in tree])
    np.testing.assert_allclose(recorder.run.metrics["gradient_norm"], np.sqrt(27.0) * size, rtol=1e-6)
    assert recorder.run.metrics["update_norm"] == 0.0


def test_trees_of_equinox_and_sparse_or_mixed_tensors(tmp_path):
    model = eqx.nn.MLP(2, 1, 3, 1, key=jax.random.key(0))
    gradient = eqx.filter_grad(lambda m: jnp.sum(m(jnp.ones(2))))(model)
    leaves = jax.tree.leaves(gradient)
    mixed = torch.nn.Embedding(5, 2, sparse=True)
    mixed(torch.tensor([1, 1, 3])).sum().backward()
    with tw.Recorder(tmp_path / "a") as recorder:
        recorder.log(gradient=gradient, parameters=eqx.filter(model, eqx.is_array))
    expected = np.sqrt(sum(float(jnp.sum(leaf**2)) for leaf in leaves))
    np.testing.assert_allclose(recorder.run.metrics["gradient_norm"], expected, rtol=1e-12)
    assert recorder.run.final.position["layers/0/weight"].shape == (3, 2)
    with tw.Recorder(tmp_path / "b") as recorder:
        recorder.log(gradient=(p.grad for p in mixed.parameters()), update=[torch.ones(2), torch.ones(2).double()])
    metrics = recorder.run.metrics
    np.testing.assert_allclose(metrics["gradient_norm"], np.sqrt(2 * 4 + 2 * 1), rtol=1e-6)
    np.testing.assert_allclose(metrics["update_norm"], 2.0, rtol=1e-7)


def test_parameters_of_a_torch_module_come_back(tmp_path):
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3).bfloat16())
    for i, given in enumerate([module.state_dict(), module.named_parameters()]):
        with tw.Recorder(tmp_path / f"{i}") as recorder:
            recorder.log(loss=1.0, parameters=given)
        back = recorder.run.final.position
        assert set(back) == {name for name, _ in (module.state_dict().items() if i == 0 else module.named_parameters())}
        assert back["1.weight"].dtype == jnp.bfloat16
    whole = tw.Run.load(tmp_path / "0").final.position
    assert whole["1.num_batches_tracked"].dtype == np.int64
    tensors = {name: torch.tensor(np.asarray(leaf, float)) for name, leaf in whole.items()}
    other = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3).bfloat16())
    other.load_state_dict(tensors)
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), other.parameters(), strict=True))


def test_parameters_alone_are_those_after_the_loop(tmp_path):
    with tw.Recorder(tmp_path / "run", tw.Hyperparameters(0.25)) as recorder:
        for k in range(4):
            recorder.log(loss=1.0, parameters=jnp.array(float(k)))
        recorder.log(parameters=jnp.array(4.0))
        assert recorder.step == 4
    run = recorder.run
    assert (len(run.metrics["step"]), run.steps, run.final.step, run.final.time) == (4, 4, 4, 1.0)
    assert run.final.position.tolist() == 4.0


# The stability margin.


@pytest.mark.parametrize(
    ("h", "closed"),
    [
        (tw.Hyperparameters(0.1, 0.7), lambda c: 2 * 1.7 / (0.1 * c)),
        (tw.Hyperparameters(0.1), lambda c: 2 / (0.1 * c)),
        (tw.Hyperparameters(0.1, 0.7, True), lambda c: 2 * 1.7 / (2.4 * 0.1 * c)),
        (tw.Hyperparameters(0.5, 0.7, convention="ema"), lambda c: 2 * 1.7 / (0.15 * c)),
        (tw.Hyperparameters(0.1, 0.7, dampening=0.5), lambda c: 2 * 1.7 / (0.05 * c)),
        (tw.Hyperparameters(0.1, 0.7, weight_decay=1.5), lambda c: 2 * 1.7 / (0.1 * (c + 1.5))),
        (tw.momentum(None, 0.1, 0.7), lambda c: 2 * 1.7 / (0.1 * c)),
        (tw.Method(tw.HeavyBall(None, 0.8), tw.Leapfrog(), lambda k: 0.3), lambda c: 2 / np.sqrt(c) / 0.3),
        (tw.gradient_descent(None, lambda k: 0.1 / (1 + k)), lambda c: 2 / (c * 0.1) * np.arange(1, 5)),
    ],
)  # fmt: skip
def test_the_margin_is_the_closed_form(h, closed, tmp_path):
    with tw.Recorder(tmp_path / "run", h) as recorder:
        for _ in range(4):
            recorder.log(loss=1.0, curvature=jnp.array(4.0))
    np.testing.assert_allclose(recorder.run.metrics["stability_margin"], closed(4.0) * np.ones(4), rtol=1e-9)


def test_a_learning_rate_that_changes_is_the_one_in_use(tmp_path):
    rates, beta = np.array([0.1, 0.1, 0.05, 0.2]), 0.7
    with tw.Recorder(tmp_path / "run", tw.Hyperparameters(0.1, beta, convention="ema")) as recorder:
        for rate in rates:
            recorder.log(learning_rate=jnp.array(rate), curvature=2.0)
    metrics = recorder.run.metrics
    scale = rates * (1 - beta)
    np.testing.assert_allclose(metrics["stability_margin"], 2 * (1 + beta) / (scale * 2.0), rtol=1e-9)
    lasts = np.sqrt(2 * scale / (1 + beta))
    np.testing.assert_allclose(metrics["time"], np.concatenate([[0], np.cumsum(lasts)[:-1]]), rtol=1e-12)


def test_a_curvature_now_and_then_is_null_between(tmp_path):
    with tw.Recorder(tmp_path / "run", H) as recorder:
        for k in range(6):
            recorder.log(loss=1.0, curvature=[None, None, 4.0, None, 0.0, -1.0][k])
            if k == 0:
                # The first row is on disk before there was a curvature.
                wait_for(lambda: (tmp_path / "run" / "metrics.jsonl").exists())
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert "curvature" not in lines[0] and '"stability_margin": null' in lines[1]
    metrics = recorder.run.metrics
    np.testing.assert_array_equal(metrics["curvature"], [np.nan, np.nan, 4.0, np.nan, 0.0, -1.0])
    # Without curvature there is no limit.
    np.testing.assert_allclose(metrics["stability_margin"], [np.nan] * 2 + [3.8 / 0.2] + [np.nan] * 3, rtol=1e-9)


def test_a_curvature_function_is_called_every_so_many_steps(tmp_path):
    called = []

    def curvature():
        called.append(recorder.step)
        return torch.tensor(2.0)

    with tw.Recorder(tmp_path / "run", H, curvature=curvature, curvature_every=3) as recorder:
        for _ in range(7):
            recorder.log(loss=1.0)
        recorder.log(loss=1.0, step=9, curvature=5.0)
    assert called == [0, 3, 6]
    nan = np.nan
    np.testing.assert_array_equal(recorder.run.metrics["curvature"], [2, nan, nan, 2, nan, nan, 2, 5])


# How it ends, and what is there before.


def ended_by(error, path, losses):
    """The run of a loop that an exception ends, which passes on."""

    def loop():
        with tw.Recorder(path) as recorder:
            for loss in losses:
                recorder.log(loss=loss)
            raise error

    with pytest.raises(type(error)) as caught:
        loop()
    assert caught.value is error
    return tw.Run.load(path)


def test_an_exception_is_told_and_passes_on(tmp_path):
    run = ended_by(ValueError("too big\nto be true"), tmp_path / "a", [1.0])
    assert (run.status, run.message) == ("failed", "failed after 1 step: ValueError: too big to be true")
    assert run.metrics["loss"].tolist() == [1.0]
    run = ended_by(KeyboardInterrupt(), tmp_path / "b", [1.0, 1.0])
    assert (run.status, run.message) == ("interrupted", "interrupted after 2 steps")
    assert ended_by(SystemExit(), tmp_path / "c", [1.0]).status == "finished"
    assert ended_by(SystemExit(3), tmp_path / "d", [1.0]).status == "failed"


@pytest.mark.parametrize("bad", [float("nan"), jnp.inf, torch.tensor(-torch.inf)])
def test_a_loss_that_is_not_finite_is_null_and_the_status_says_so(bad, tmp_path):
    with tw.Recorder(tmp_path / "run") as recorder:
        for k in range(5):
            recorder.log(loss=bad if k in (2, 4) else None if k == 1 else 1.0, other=bad)
    assert (recorder.run.status, recorder.run.message) == ("not finite", "the loss became not finite at step 2")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[2], parse_constant=pytest.fail)["loss"] is None
    run = ended_by(ValueError("stop"), tmp_path / "failed", [bad])
    expected = "failed after 1 step: ValueError: stop; the loss became not finite at step 0"
    assert (run.status, run.message) == ("failed", expected)


def test_close_gives_the_run_and_may_be_called_again(tmp_path):
    recorder = tw.Recorder(tmp_path / "run")
    assert (recorder.step, recorder.path) == (0, tmp_path / "run")
    recorder.log(loss=1.0)
    assert repr(recorder) == f"Recorder({str(tmp_path / 'run')!r}, open after 1 step)"
    run = recorder.close("stopped", "far enough")
    assert recorder.close() is run is recorder.run
    assert (run.status, run.message, run.path) == ("stopped", "far enough", tmp_path / "run")


def test_steps_may_be_told_and_leave_gaps(tmp_path):
    with tw.Recorder(tmp_path / "run", tw.Hyperparameters(0.25)) as recorder:
        for step in (np.int64(5), 10, None, 20):
            recorder.log(loss=1.0, step=step)
    run = recorder.run
    assert run.metrics["step"].tolist() == [5, 10, 11, 20]
    np.testing.assert_allclose(run.metrics["time"], [1.25, 2.5, 2.75, 5.0], rtol=1e-12)
    assert (run.steps, run.gradients) == (21, 21)


def wait_for(condition):
    """Wait for a thread, so many looks and not so many seconds; one that never comes fails the test."""
    for _ in range(3000):
        if condition():
            return
        time.sleep(0.02)
    pytest.fail("what was waited for never came")


def test_rows_come_to_the_disk_without_another_call_and_can_be_read_then(tmp_path):
    assert recorder_module._FLUSH_SECONDS <= 1.0
    recorder = tw.Recorder(tmp_path / "run", H, "a bowl")
    recorder.log(loss=jnp.array(1.0))
    wait_for(lambda: len(tw.Run.load(tmp_path / "run").metrics.get("loss", ())) == 1)
    run = recorder.run
    assert (run.status, run.final.position) == ("running", None)
    recorder.close()


KILLED = """
import sys, jax.numpy as jnp, thalweg as tw, time
recorder = tw.Recorder(sys.argv[1], tw.Hyperparameters(0.1, 0.9), "killed", resume=True)
first = recorder.step
for k in range(first, 10**9):
    tree = {"w": jnp.full(3, float(k))}
    recorder.log(loss=jnp.array(1.0 / (k + 1)), gradient=tree, parameters=tree)
    time.sleep(1e-4)
"""


def killed_loop(path, rows):
    process = subprocess.Popen([sys.executable, "-c", KILLED, str(path)], env=ENV, stderr=subprocess.PIPE)
    try:
        metrics = path / "metrics.jsonl"
        wait_for(lambda: process.poll() is not None or (metrics.exists() and metrics.read_bytes().count(b"\n") > rows))
        assert process.poll() is None, process.stderr.read()
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()


def test_a_killed_loop_stays_readable_and_goes_on(tmp_path):
    path = tmp_path / "run"
    for rows in (300, 2000):
        killed_loop(path, rows)
        run = tw.Run.load(path)
        assert run.status == "running"
        steps = run.metrics["step"]
        assert len(steps) > rows
        assert steps.tolist() == list(range(len(steps)))
        np.testing.assert_allclose(run.metrics["loss"], 1.0 / (steps + 1), rtol=1e-7)
        np.testing.assert_allclose(run.metrics["gradient_norm"], np.sqrt(3.0) * steps, rtol=1e-6)
        np.testing.assert_allclose(
            run.metrics["time"], steps * tw.Hyperparameters(0.1, 0.9).physical().step, rtol=1e-12
        )
        if run.final.position is not None:
            assert run.final.position["w"].tolist() == [run.final.step] * 3


def test_a_program_that_forgets_to_close_loses_nothing(tmp_path):
    code = "import sys, thalweg as tw\nr = tw.Recorder(sys.argv[1])\nfor k in range(3): r.log(loss=1.0)"
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "run")], env=ENV, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    run = tw.Run.load(tmp_path / "run")
    assert (run.status, len(run.metrics["loss"])) == ("interrupted", 3)
    assert run.message == "the program ended after 3 steps without closing the recorder"


# Going on.


@pytest.fixture
def half(tmp_path):
    recorder = tw.Recorder(tmp_path / "run", H, "a bowl")
    for k in range(5):
        recorder.log(loss=float(k), curvature=1.0 if k == 1 else None, parameters={"w": np.array([float(k)])})
    recorder.close()
    return tmp_path / "run"


def test_resume_appends_after_the_last_whole_row(half):
    with open(half / "metrics.jsonl", "a") as file:
        file.write('{"step": 5, "ti')
    with tw.Recorder(half, H, "a bowl", resume=True) as recorder:
        assert recorder.step == 5
        assert tw.Run.load(half).status in ("running", "finished")
        recorder.log(loss=5.0)
    run = tw.Run.load(half)
    assert run.metrics["step"].tolist() == run.metrics["loss"].tolist() == [0, 1, 2, 3, 4, 5]
    np.testing.assert_allclose(run.metrics["time"], np.arange(6) * H.physical().step, rtol=1e-12)
    assert np.isfinite(run.metrics["curvature"]).tolist() == [False, True, False, False, False, False]
    assert (run.status, run.steps, run.final.step) == ("finished", 6, 4)
    assert run.final.position["w"].tolist() == [4.0]
    assert run.seconds > 0


def test_a_loop_that_goes_on_from_an_older_state_writes_its_rows_anew(half):
    with tw.Recorder(half, H, "a bowl", resume=True) as recorder:
        recorder.log(loss=20.0, step=2)
        recorder.log(loss=30.0)
    run = tw.Run.load(half)
    assert run.metrics["step"].tolist() == [0, 1, 2, 3]
    assert run.metrics["loss"].tolist() == [0.0, 1.0, 20.0, 30.0]
    np.testing.assert_allclose(run.metrics["time"], np.arange(4) * H.physical().step, rtol=1e-12)


def test_a_loss_that_was_not_finite_is_remembered_unless_it_is_made_anew(tmp_path):
    with tw.Recorder(tmp_path / "run") as recorder:
        for loss in (1.0, 2.0, float("nan")):
            recorder.log(loss=loss)
    kept = shutil.copytree(tmp_path / "run", tmp_path / "kept")
    with tw.Recorder(kept, resume=True) as recorder:
        recorder.log(loss=1.0)
    assert (recorder.run.status, recorder.run.message) == ("not finite", "the loss became not finite at step 2")
    with tw.Recorder(tmp_path / "run", resume=True) as recorder:
        recorder.log(loss=1.0, step=1)
    assert recorder.run.status == "finished"


def test_a_loss_that_was_not_given_stays_so_when_the_loop_goes_on(tmp_path):
    for _ in range(2):
        with tw.Recorder(tmp_path / "run", resume=True) as recorder:
            for loss in (1.0, None):
                recorder.log(loss=loss)
    assert (recorder.run.status, recorder.run.steps) == ("finished", 4)


def test_resume_of_nothing_begins(tmp_path):
    with tw.Recorder(tmp_path / "run", resume=True) as recorder:
        assert recorder.step == 0
        recorder.log(loss=1.0)
    assert recorder.run.steps == 1


# Wrong input.


def snapshot(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() if p.is_file() else None for p in path.rglob("*")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"path": 3}, "path must be that of a directory, but is 3"),
        ({"path": "file"}, "file is a file; choose a directory"),
        ({"path": "full"}, "full is not an empty directory; choose another"),
        ({"path": "half"}, "half already holds a run; continue it with resume=True, or choose another"),
        ({"path": "half", "resume": True, "objective": "a cup"}, "objective.name was 'a bowl', is 'a cup'"),
        ({"path": "half", "resume": True, "method": tw.Hyperparameters(0.1, 0.9)}, "learning_rate was 0.05, is 0.1"),
        ({"path": "ours", "resume": True}, r"ours holds a run, not a recorded run; go on with tw.run\("),
        ({"objective": bowl}, "objective must be a few words, such as 'digits, 2 layers', but is <function"),
        ({"method": 0.1}, "method must be tw.Hyperparameters, a tw.Method, a name or a dictionary of numbers"),
        (
            {"method": {"learning_rate": [0.1]}},
            r"one number \(or text\) by name, but method\['learning_rate'\] is \[0.1\]",
        ),
        (
            {"curvature": 3.0},
            r"curvature must be a function .* but is 3.0; a number of the moment goes to log\(curvature=\)",
        ),
        (
            {"curvature": bowl, "method": "adam"},
            "a stability margin needs to know the method: give tw.Hyperparameters or",
        ),
        ({"curvature_every": 0}, "curvature_every must be a whole number of at least 1, but is 0"),
        ({"gradients_per_step": 1.5}, "gradients_per_step must be a whole number, but is 1.5"),
        ({"resume": 1}, "resume must be True or False, but is 1"),
    ],
)
def test_a_recorder_that_cannot_be_begun_is_one_line(arguments, message, half, tmp_path, monkeypatch, unchecked):
    shutil.copytree(half, tmp_path / "here" / "half")
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "file").write_text("a file")
    (tmp_path / "here" / "full").mkdir()
    (tmp_path / "here" / "full" / "thesis.txt").write_text("three years")
    tw.run(tw.momentum(bowl, 0.05), X0, 1, out="ours")
    before = snapshot(tmp_path)
    with pytest.raises(tw.InputError, match=message) as caught:
        tw.Recorder(**({"path": "new", "method": H} | arguments))
    assert "\n" not in str(caught.value)
    assert snapshot(tmp_path) == before


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"loss": np.ones(3)}, r"loss must be one number, but is an array of shape \(3,\); take its mean"),
        ({"loss": torch.ones(2, 2)}, r"loss must be one number, but is an array of shape \(2, 2\); take its mean"),
        ({"loss": jnp.ones(0)}, r"loss must be one number, but is an array of shape \(0,\)"),
        ({"loss": "0.5"}, "loss must be a real number, but is '0.5'"),
        ({"loss": True}, "loss must be a real number, but is True"),
        ({"loss": [1.0]}, r"loss must be a real number, but is \[1.0\]"),
        ({"loss": 1j}, "loss must be a real number, but is 1j"),
        ({"loss": jnp.array(1j)}, "loss must be a real number, but is an array of complex128"),
        ({"loss": jax.random.key(0)}, "loss must be a real number, but is an array of key"),
        ({"loss": torch.tensor(True)}, "loss must be a real number, but is an array of torch.bool"),
        ({"loss": 10**400}, "loss is too large for a number of double precision"),
        ({}, "log needs at least one number, such as loss="),
        ({"accuracy": 1.0}, r"gives the same columns \(loss\), but here loss missing and accuracy new"),
        ({"loss": 1.0, "accuracy": 1.0}, r"\(loss\), but here accuracy new; give None where there is no value"),
        ({"los": 1.0}, r"but here loss missing and los new"),
        ({"loss": 1.0, "gradient": jnp.ones(2)}, "gradient_norm new"),
        ({"loss": 1.0, "step": -1}, "step must be a whole number of at least 0, but is -1"),
        ({"loss": 1.0, "step": 1.5}, "step must be a whole number, but is 1.5"),
        ({"loss": 1.0, "step": 0}, "step must be greater than that of the row before, 0, but is 0"),
        ({"loss": 1.0, "gradient": [None]}, "gradient holds no array; log it before the gradients are set to None"),
        (
            {"loss": 1.0, "gradient": torch.nn.Linear(1, 1)},
            r"gradient must be .* but holds Linear; .* give \[p.grad for p",
        ),
        ({"loss": 1.0, "gradient": ["text"]}, "gradient must be a tree of arrays or tensors, but holds str"),
        ({"loss": 1.0, "update": [jnp.ones(1), torch.ones(1)]}, "update must be arrays of JAX and NumPy or tensors"),
        ({"loss": 1.0, "update": jnp.ones(2, int)}, "update must be floating point, but holds an array of int64"),
        ({"loss": 1.0, "gradient": 1.0, "gradient_norm": 1.0}, "gradient_norm is computed from gradient=; give one of"),
        (
            {"loss": 1.0, "parameters": torch.nn.Linear(1, 1)},
            r"it is Linear; of a torch module give module.state_dict\(\)",
        ),
        ({"loss": 1.0, "parameters": {"f": jnp.tanh}}, "f is .*; of an equinox module give eqx.filter"),
        ({"loss": 1.0, "parameters": {"f": np.array(["a"])}}, "parameters must be numbers, but f is an array of <U1"),
        ({"loss": 1.0, "parameters": {"k": jax.random.key(0)}}, "parameters must be numbers, but k is an array of key"),
        ({"loss": 1.0, "parameters": {}}, "parameters hold no array"),
        ({"parameters": [1.0, "a"]}, "parameters must be a tree of arrays or tensors, but 1 is str"),
        ({"loss": 1.0, "curvature": "much"}, "curvature must be a real number, but is 'much'"),
    ],
)
def test_a_row_that_cannot_be_logged_is_one_line_and_leaves_no_trace(row, message, tmp_path, unchecked):
    recorder = tw.Recorder(tmp_path / "run", H)
    recorder.log(loss=1.0)
    with pytest.raises(tw.InputError, match=message) as caught:
        recorder.log(**row)
    assert "\n" not in str(caught.value)
    assert recorder.step == 1
    recorder.log(loss=2.0)
    run = recorder.close()
    assert run.metrics["loss"].tolist() == [1.0, 2.0]
    assert set(run.metrics) == {"step", "time", "loss"}


@pytest.mark.parametrize("name", ["time", "stability_margin"])
def test_columns_of_the_recorder_are_its_own(name, tmp_path):
    recorder = tw.Recorder(tmp_path / "run")
    with pytest.raises(tw.InputError, match=f"{name} is a column of the recorder's own"):
        recorder.log(**{name: 1.0})
    with pytest.raises(tw.InputError, match="log needs at least one number, such as loss="):
        recorder.log()
    with pytest.raises(tw.InputError, match="a stability margin needs to know the method"):
        recorder.log(loss=1.0, curvature=1.0)
    assert recorder.close().metrics == {}


def test_log_in_a_compiled_function_is_refused(tmp_path):
    recorder = tw.Recorder(tmp_path / "run")
    for given in ({}, {"gradient": jnp.ones(2)}, {"parameters": jnp.ones(2)}):

        @jax.jit
        def step(x, given=given):
            recorder.log(**({name: x * value for name, value in given.items()} or {"loss": x}))
            return x

        with pytest.raises(tw.InputError, match=r"is traced: call log outside of jax\.jit"):
            step(1.0)
    recorder.close()


def test_a_closed_recorder_says_so(tmp_path):
    recorder = tw.Recorder(tmp_path / "run")
    recorder.close()
    with pytest.raises(tw.InputError, match=r"is closed; go on with tw.Recorder\(..., resume=True\)"):
        recorder.log(loss=1.0)


def test_a_loss_that_was_donated_is_told(tmp_path):
    recorder = tw.Recorder(tmp_path / "run")
    loss = jnp.array(1.0) * 2
    recorder.log(loss=loss)
    loss.delete()
    with pytest.raises(tw.InputError, match="can no longer be read, was it donated"):
        recorder.close()


def test_a_full_disk_is_one_line_and_the_record_stays_readable(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_module, "_FLUSH_SECONDS", 0.01)
    recorder = tw.Recorder(tmp_path / "run")
    recorder.log(loss=1.0)
    wait_for(lambda: (tmp_path / "run" / "metrics.jsonl").exists())

    def full(text):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(recorder._directory, "write_lines", full)

    def until_it_fails():
        while True:
            recorder.log(loss=2.0)
            time.sleep(0.01)

    with pytest.raises(RecordError, match=r"could not write to .*: No space left on device; what was recorded"):
        until_it_fails()
    with pytest.raises(tw.InputError, match="is closed"):
        recorder.log(loss=3.0)
    run = recorder.close()
    assert (run.status, run.metrics["loss"].tolist()) == ("running", [1.0])
    with tw.Recorder(tmp_path / "run", resume=True) as again:
        again.log(loss=2.0)
    assert again.run.metrics["loss"].tolist() == [1.0, 2.0]


def test_a_loop_far_ahead_of_the_disk_waits(tmp_path, monkeypatch):
    monkeypatch.setattr(recorder_module, "_ROWS_AHEAD", 100)
    monkeypatch.setattr(recorder_module, "_FLUSH_SECONDS", 0.05)
    with tw.Recorder(tmp_path / "run") as recorder:
        for k in range(1000):
            recorder.log(loss=float(k))
            assert len(recorder._rows) <= 101
    assert recorder.run.metrics["loss"].tolist() == list(range(1000))
