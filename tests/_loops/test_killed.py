"""Kinds of run beside plain ones, killed by SIGKILL at random moments and gone on with: the same to the last bit."""

import os
import random
import subprocess
import sys
import time

import numpy as np
import pytest

# In a process of its own, which says when it has begun; the rest of its time is drawn.
PROGRAM = """
import contextlib, functools, io, pathlib, sys, time

import jax
import jax.numpy as jnp
import numpy as np
import optax
import thalweg as tw
from thalweg._loops import drive

drive.CHUNK_SECONDS = 0.02
name, path = sys.argv[1:]
DATA = np.random.default_rng(0).normal(size=(64, 5))
RECORD = tw.Record(("loss", "speed"), positions=20, checkpoint_seconds=0.02)

QUICK = tw.Record(("loss", "gradient_norm"), checkpoint_seconds=0.02)


def one(x, row):
    return jnp.log1p(jnp.exp(-(row @ x))) + 0.5e-2 * jnp.sum(x**2)


def bowl(x):
    return 0.5 * jnp.sum(jnp.arange(1.0, 6.0) * x**2) + jnp.sum(jnp.cos(x))


def flat(x):
    return jnp.sum((x[1:] - x[:-1] ** 2) ** 2 * 100 + (1 - x[:-1]) ** 2)


def batches(step):
    return DATA[np.random.default_rng(step).integers(0, 64, 8)]


def told(metrics):
    print("moving", flush=True)
    return 0 * metrics["step"]


def go(method, steps):
    x0 = jnp.linspace(-1.0, 2.0, 5)
    return tw.run(method, x0, steps, key=3, record=RECORD, out=path, resume=True, stop=told)


def draw(keep):
    drive.AbstractJob.checkpoint_seconds = 0.02
    print("moving", flush=True)
    tw.sample(tw.sgld(bowl, 0.05), jnp.ones(5), 40_000, 2, 50, keep=keep, out=path, resume=True, diagnostics=False)


def swept():
    drive.AbstractJob.checkpoint_seconds = 0.02
    print("moving", flush=True)
    rates = {"rate": np.linspace(0.01, 0.1, 40)}
    tw.sweep(lambda rate: tw.gradient_descent(bowl, rate), rates, jnp.ones(5), 3000, out=path, resume=True)


def minimized():
    # Chunks of a step or two, so that it takes its time.
    drive.CHUNK_SECONDS = 0.0
    print("moving", flush=True)
    tw.minimize(flat, jnp.linspace(-1.2, 1.0, 6), 1e-6, record=QUICK, out=path, resume=True)


def recorded():
    optimizer = optax.adam(1e-2)
    with tw.Recorder(path, method="adam", objective="a bowl", resume=True) as recorder:
        x = jnp.linspace(-1.0, 2.0, 5)
        state = optimizer.init(x)
        step = jax.jit(lambda x, s: (lambda v, g: (v, *optimizer.update(g, s, x)))(*jax.value_and_grad(bowl)(x)))
        print("moving", flush=True)
        for k in range(1500):
            value, update, state = step(x, state)
            # The loop itself begins anew; what is on disk is what it logs then.
            recorder.log(step=k, loss=value, update=update)
            x = optax.apply_updates(x, update)
            time.sleep(5e-4)
        recorder.log(parameters=x)


def flowed(*options):
    # As a user does: `thalweg flow`, and `thalweg resume` of what it has begun.
    from thalweg.cli._app import _status
    from thalweg.measures import _flow

    class Told(drive.Progress):
        def update(self, done, *rest):
            # After a chunk: what goes before takes longer than the flow.
            print("moving", file=sys.__stdout__, flush=True)
            super().update(done, *rest)

    drive.Progress, _flow.Record = Told, functools.partial(tw.Record, checkpoint_seconds=0.02)
    begun = (pathlib.Path(path) / "run.toml").exists()
    line = ["resume", path] if begun else ["flow", "double-well", "--time", "2", *options, "--out", path]
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        assert _status([*line, "--no-progress"]) == 0, said.getvalue()


KINDS = {
    "momentum": lambda: go(tw.momentum(bowl, 0.01, 0.9), 150_000),
    "epochs": lambda: go(tw.momentum(tw.FiniteSum(one, jnp.asarray(DATA), 8, replace=False), 0.02, 0.5), 60_000),
    "stream": lambda: go(tw.nesterov(tw.Stream(one, batches), 0.02, 0.9), 8_000),
    "minimize": minimized,
    "draws": lambda: draw("draws"),
    "moments": lambda: draw("moments"),
    "sweep": swept,
    "recorder": recorded,
    "flow of a grid": lambda: flowed("--on", "grid", "--cells", "40", "--steps", "8000"),
    "flow of particles": lambda: flowed("--on", "particles", "--count", "300", "--steps", "100000", "--seed", "3"),
}
KINDS[name]()
print("done", flush=True)
"""
ENV = dict(
    os.environ, JAX_ENABLE_X64="1", PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=os.pathsep.join(filter(None, sys.path))
)  # fmt: skip
KINDS = ("momentum", "epochs", "stream", "minimize", "draws", "moments", "sweep", "recorder",
         "flow of a grid", "flow of particles")  # fmt: skip


def begin(root, kind, path):
    process = subprocess.Popen(
        [sys.executable, "program.py", kind, path], cwd=root, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    said = process.stdout.readline()
    # Of one that had come to its end, the second.
    assert said in ("moving\n", "done\n"), process.communicate()[1]
    return process


def content(path):
    """The bytes of all rows, and of the leaves of the state."""
    files = {file.name: file.read_bytes() for file in (*path.glob("metrics.jsonl"), *path.glob("trace/*.npy"))}
    with np.load(path / "checkpoint" / "state.npz") as state:
        return files, {name: state[name].tobytes() for name in state.files if name != "about"}


def kill(root, kind, kills, draw):
    """Kill a run so often, each time in the midst, and go on to the end; how often it was still running."""
    whole = root / f"{kind}-whole"
    process = begin(root, kind, whole)
    begun = time.monotonic()
    assert process.communicate()[0].endswith("done\n")
    lasts, killed = time.monotonic() - begun, 0
    path = root / f"{kind}-killed"
    for _ in range(kills):
        process = begin(root, kind, path)
        # So that it seldom comes to its end before the last kill.
        time.sleep(draw.uniform(0.0, 1.5 * lasts / kills))
        process.kill()
        _, said = process.communicate()
        assert said == "" and process.returncode in (0, -9)
        killed += process.returncode == -9
    process = begin(root, kind, path)
    process.communicate()
    assert process.returncode == 0
    assert content(path) == content(whole), kind
    return killed


@pytest.fixture
def root(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_seven_kills_of_each_kind(kind, root, seed):
    assert kill(root, kind, 7, random.Random(seed)) >= 3
