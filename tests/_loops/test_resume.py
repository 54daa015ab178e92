"""A run that was killed, interrupted or extended ends where one never stopped ends, to the last bit.

Every kill is a real SIGKILL of a process of its own, at a moment drawn from a fixed seed; the runs that are compared
are the files they wrote.
"""

import concurrent.futures
import contextlib
import importlib.util
import os
import random
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._loops.interrupt import Interrupt, Terminated
from thalweg.cli._app import _status

STEPS = 20_000
# In a module of its own, so that the run and who resumes it name the same objective.
SLOW = f"""
import sys

import jax
import jax.numpy as jnp
import numpy as np
import thalweg as tw
from thalweg._loops import drive as loop

# Many chunks, so that a kill falls between all kinds of them.
loop.CHUNK_SECONDS = 0.02
D = 120
MATRIX = jax.random.normal(jax.random.key(1), (200, D)) / 15.0
X0 = {{"a": jnp.linspace(-1.0, 2.0, D - 20), "b": jnp.ones((4, 5))}}


def vector(p):
    return jnp.concatenate([p["a"], p["b"].ravel()])


def smooth(p):
    '''About 40 microseconds a step.'''
    x = vector(p)
    for _ in range(3):
        x = x + 0.1 * MATRIX.T @ jnp.tanh(MATRIX @ x)
    return 0.5 * jnp.sum(jnp.linspace(0.1, 3.0, D) * vector(p) ** 2) + 0.01 * jnp.sum(jnp.cos(x))


def one(p, row):
    return jnp.log1p(jnp.exp(-(row @ vector(p)))) + 0.5e-2 * jnp.sum(vector(p) ** 2)


ROWS = np.asarray(MATRIX)


def batches(step):
    return ROWS[np.random.default_rng(step).integers(0, 200, 32)]


def schedule(k):
    return 0.1 / (1.0 + 1e-4 * k)


METHODS = {{
    "momentum": tw.momentum(smooth, 0.01, 1.0),
    "mini-batches": tw.nesterov(tw.FiniteSum(one, MATRIX, batch_size=32), 0.05, 0.9),
    "flow": tw.Method(tw.NesterovFlow(smooth), tw.Lookahead(0.5), schedule),
    "stream": tw.nesterov(tw.Stream(one, batches), 0.05, 0.9),
}}


def go(name, path, resume, stop=None):
    record = tw.Record(("loss", "speed"), positions=50, checkpoint_seconds=0.05)
    return tw.run(METHODS[name], X0, {STEPS}, key=5, record=record, out=path, resume=resume, stop=stop)


def tell(metrics):
    print("moving", flush=True)
    return 0 * metrics["step"]


if __name__ == "__main__":
    print("begun", flush=True)
    run = go(sys.argv[1], sys.argv[2], sys.argv[3] == "resume", tell)
    assert (run.status, run.steps) == ("finished", {STEPS})
"""
KINDS = ("momentum", "mini-batches", "flow")
ENV = dict(
    os.environ, JAX_ENABLE_X64="1", PYTHONDONTWRITEBYTECODE="1", PYTHONPATH=os.pathsep.join(filter(None, sys.path))
)  # fmt: skip


def import_file(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Workshop:
    """Where runs are made by other processes, and what they must come to."""

    def __init__(self, root):
        self.root = root
        self.wholes = {}
        (root / "slow.py").write_text(SLOW)
        self.module = import_file("slow", root / "slow.py")

    def spawn(self, kind, path, resume):
        """A process that runs; it is left as soon as it has begun."""
        process = subprocess.Popen(
            [sys.executable, "slow.py", kind, path, "resume" if resume else "new"],
            cwd=self.root,
            env=ENV,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert process.stdout.readline() == "begun\n", process.communicate()[1]
        return process

    def whole(self, kind):
        """(the directory of a run never stopped, the seconds of its steps, the seconds of compilation)."""
        if kind not in self.wholes:
            run = self.module.go(kind, self.root / f"whole-{kind}", False)
            # It must be still on the move, or whatever is resumed ends where it does.
            assert run.metrics["speed"][-1] > 1e-6
            self.wholes[kind] = run.path, run.seconds, run.compile_seconds
        return self.wholes[kind]

    def kill(self, kind, path, draw):
        """Kill a run, begun anew or resumed, at a random moment: one in four before its steps; True if it still ran."""
        _, seconds, compilation = self.whole(kind)
        process = self.spawn(kind, path, path.exists())
        if draw.random() < 0.25:
            time.sleep(draw.uniform(0.0, compilation))
        else:
            process.stdout.readline()
            time.sleep(draw.uniform(0.0, seconds))
        process.kill()
        _, said = process.communicate()
        assert said == ""
        assert process.returncode in (0, -signal.SIGKILL)
        return process.returncode != 0

    def ends_alike(self, kind, path):
        """Resume to the end, then compare every byte that was written."""
        process = self.spawn(kind, path, True)
        _, said = process.communicate()
        assert process.returncode == 0, said
        return same_record(self.whole(kind)[0], path)


def same_record(a, b):
    """Metrics and trace byte by byte, the last state bit by bit."""
    files = sorted(p.relative_to(a).as_posix() for p in (*a.glob("metrics.jsonl"), *a.glob("trace/*.npy")))
    assert files == sorted(p.relative_to(b).as_posix() for p in (*b.glob("metrics.jsonl"), *b.glob("trace/*.npy")))
    assert files
    with np.load(a / "checkpoint/state.npz") as was, np.load(b / "checkpoint/state.npz") as now:
        leaves = [name for name in was.files if name != "about"]
        assert leaves == [name for name in now.files if name != "about"]
        states = all(was[name].tobytes() == now[name].tobytes() for name in leaves)
    return states and all((a / file).read_bytes() == (b / file).read_bytes() for file in files)


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    return Workshop(tmp_path_factory.mktemp("workshop"))


def step_of(path):
    """Where a killed run stands: the step of its newest checkpoint, -1 before the first."""
    try:
        return tw.Run.load(path).steps
    except tw.InputError:
        return -1


def kill_and_resume(workshop, kind, kills, seed):
    """Kill one run several times at random moments and resume it: where it stood, and whether it ended alike."""
    draw, where = random.Random(seed), []
    path, aside = workshop.root / f"{kind}-{seed}", workshop.root / f"{kind}-{seed}-aside"
    while len(where) < kills:
        if path.exists():
            shutil.copytree(path, aside)
        if workshop.kill(kind, path, draw):
            where.append(step_of(path))
        else:
            # It came to its end before the kill; that counts for nothing.
            shutil.rmtree(path)
            if aside.exists():
                shutil.copytree(aside, path)
        shutil.rmtree(aside, ignore_errors=True)
    alike = workshop.ends_alike(kind, path)
    if alike:
        shutil.rmtree(path)
    return where, alike


@pytest.mark.parametrize(
    ("kind", "seed"),
    [
        pytest.param("momentum", 5, marks=pytest.mark.slow),
        pytest.param("mini-batches", 2, marks=pytest.mark.slow),
        pytest.param("flow", 3, marks=pytest.mark.slow),
        pytest.param("stream", 4, marks=pytest.mark.slow),
    ],
)
def test_a_killed_run_ends_as_one_never_killed(workshop, kind, seed):
    where, alike = kill_and_resume(workshop, kind, 1, seed)
    print(f"{kind}: killed when step {where} of {STEPS} was saved (-1: nothing was)")
    assert alike


@pytest.mark.slow
def test_fifty_kills_out_of_fifty(workshop, capsys):
    """30 runs killed once and 10 killed twice, of the three kinds in turn."""
    for kind in KINDS:
        workshop.whole(kind)
    plan = [(KINDS[i % 3], 1 if i < 30 else 2, 100 + i) for i in range(40)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda job: kill_and_resume(workshop, *job), plan))
    where = sorted(step for steps, _ in found for step in steps)
    good = sum(len(steps) for steps, alike in found if alike)
    with capsys.disabled():
        print(f"\n{good} kills out of {len(where)} ended bit-identical")
        print(f"the step saved when killed, of {STEPS} (-1: nothing was): {where}")
    assert len(where) == 50
    assert good == 50


# Without a kill: whatever is cut off by hand can be resumed too.


def bowl(x):
    return 0.5 * jnp.sum(jnp.array([1.0, 4.0, 9.0]) * x**2) + 0.1 * jnp.sum(jnp.cos(x))


X0 = jnp.array([1.0, -2.0, 0.5])
RECORD = tw.Record(("loss", "speed"), positions=7)
METHOD = tw.nesterov(bowl, 0.05, 0.9)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "run"


def test_resume_where_there_is_nothing_yet_is_a_start(path):
    run = tw.run(METHOD, X0, 30, record=RECORD, out=path, resume=True)
    assert (run.status, run.steps) == ("finished", 30)


def test_a_directory_cut_before_its_first_checkpoint(path, tmp_path):
    """As a kill leaves it between the configuration and the first state, with lines that were streamed."""
    tw.run(METHOD, X0, 100, record=RECORD, out=path)
    whole = shutil.copytree(path, tmp_path / "whole")
    shutil.rmtree(path / "checkpoint")
    (path / "env.json").unlink()
    (path / "metrics.jsonl").write_bytes((path / "metrics.jsonl").read_bytes()[:1000])
    (path / "trace" / "velocity.npy").unlink()
    tw.run(METHOD, X0, 100, record=RECORD, out=path, resume=True)
    assert same_record(whole, path)


def test_what_a_killed_start_leaves_aside_is_in_nobodys_way(path):
    path.mkdir()
    (path / ".run.toml.1234").write_text("[run")
    assert tw.run(METHOD, X0, 10, out=path, resume=True).status == "finished"


def test_resume_of_a_finished_run_changes_nothing(path, tmp_path):
    tw.run(METHOD, X0, 100, record=RECORD, out=path)
    whole = shutil.copytree(path, tmp_path / "whole")
    run = tw.run(METHOD, X0, 100, record=RECORD, out=path, resume=True)
    assert (run.status, run.gradients) == ("finished", 100)
    assert same_record(whole, path)


@pytest.mark.parametrize("steps", [100, *(pytest.param(n, marks=pytest.mark.slow) for n in (98, 64)), 1, 0])
@pytest.mark.parametrize("kind", ["nesterov", "flow", "mini-batches"])
def test_more_steps_extend_a_run(kind, steps, path, tmp_path):
    data = jnp.arange(12.0).reshape(4, 3)
    method = {
        "nesterov": METHOD,
        "flow": tw.Method(tw.NesterovFlow(bowl), tw.Leapfrog(), lambda k: 0.1 / (1 + 0.1 * k)),
        "mini-batches": tw.momentum(tw.FiniteSum(lambda x, s: jnp.sum((x - s) ** 2), data, 2), 0.02, 0.5),
    }[kind]
    whole = tw.run(method, X0, 150, record=RECORD, out=tmp_path / "whole", key=4)
    tw.run(method, X0, steps, record=RECORD, out=path, key=4)
    run = tw.run(method, X0, 150, record=RECORD, out=path, key=4, resume=True)
    assert (run.status, run.steps, run.gradients) == ("finished", 150, whole.gradients)
    assert same_record(tmp_path / "whole", path)
    assert run.config["run"]["steps"] == 150


def test_a_stopped_run_stays_stopped_and_goes_on_without_the_condition(path, tmp_path):
    tw.run(METHOD, X0, 200, record=RECORD, out=path, stop={"loss": 1.0})
    whole = shutil.copytree(path, tmp_path / "stopped")
    again = tw.run(METHOD, X0, 200, record=RECORD, out=path, stop={"loss": 1.0}, resume=True)
    assert again.status == "stopped"
    assert same_record(whole, path)
    tw.run(METHOD, X0, 200, record=RECORD, out=tmp_path / "whole")
    assert tw.run(METHOD, X0, 200, record=RECORD, out=path, resume=True).status == "finished"
    assert same_record(tmp_path / "whole", path)


def test_a_run_that_diverged_diverges_again(path):
    first = tw.run(tw.momentum(bowl, 0.9, 0.9), X0, 500, out=path)
    again = tw.run(tw.momentum(bowl, 0.9, 0.9), X0, 500, out=path, resume=True)
    assert first.status == again.status == "diverged"
    assert first.message == again.message
    np.testing.assert_array_equal(first.metrics["loss"], again.metrics["loss"])


def named_bowl(f):
    """As if `bowl` had been edited since."""
    f.__qualname__ = "bowl"
    return f


CHANGES = {
    "learning rate": (
        lambda: dict(method=tw.nesterov(bowl, 0.04, 0.9)),
        r"hyperparameters\.learning_rate was 0\.0[45]",
    ),
    "momentum": (
        lambda: dict(method=tw.nesterov(bowl, 0.05, 0.8)),
        r"hyperparameters\.momentum was 0\.[89]\d*, is 0\.8",
    ),
    "scheme": (lambda: dict(method=tw.momentum(bowl, 0.05, 0.9)), r"method\.scheme was .Lookahead\(.*, is .Leapfrog\("),
    "law": (
        lambda: dict(method=tw.Method(tw.NesterovFlow(bowl), tw.Leapfrog(), 0.1)),
        "method.dynamics was 'HeavyBall', is 'NesterovFlow'",
    ),
    "objective": (
        lambda: dict(method=tw.nesterov(lambda x: bowl(x), 0.05, 0.9)),
        r"objective\.name was '.*bowl', is '.*lambda",
    ),
    "data": (
        lambda: dict(method=tw.nesterov(tw.Objective(lambda x, a: a * bowl(x), 2.0), 0.05, 0.9)),
        "method.digest was",
    ),
    "edited objective": (
        lambda: dict(method=tw.nesterov(named_bowl(lambda x: bowl(x) + 0.1), 0.05, 0.9)),
        r"start\.loss was \d+\.\d+, is \d",
    ),
    "start": (lambda: dict(x0=X0 + 1e-12), "start.digest was"),
    "velocity": (lambda: dict(velocity=X0), "start.digest was"),
    "precision": (lambda: dict(x0=X0.astype(jnp.float32)), "start.digest was .*, is .*"),
    "key": (lambda: dict(key=6), r"run\.key was \[0, 5\], is \[0, 6\]"),
    "no key": (lambda: dict(key=None), r"run\.key was \[0, 5\], is 'not set'"),
    "metrics": (
        lambda: dict(record=tw.Record(("loss",), 7)),
        r"record\.metrics was \['loss', 'speed'\], is \['loss'\]",
    ),
    "positions": (lambda: dict(record=tw.Record(("loss", "speed"), 5)), r"record\.positions was 7, is 5"),
    "fewer steps": (lambda: dict(steps=59), r"run\.steps was 60, is 59"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_changed_configuration_is_refused_and_the_difference_named(what, path, tmp_path):
    given = dict(method=METHOD, x0=X0, steps=60, key=5, record=RECORD)
    tw.run(**given, out=path)
    before = shutil.copytree(path, tmp_path / "before")
    change, message = CHANGES[what]
    given |= change()
    with pytest.raises(tw.InputError, match=message) as caught:
        tw.run(**given, out=path, resume=True)
    assert str(caught.value).startswith(f"{path} was run with another configuration: ")
    assert "\n" not in str(caught.value)
    for file in before.rglob("*"):
        if file.is_file():
            assert (path / file.relative_to(before)).read_bytes() == file.read_bytes()


def test_a_changed_schedule_is_refused(path):
    def at(scale):
        def schedule(k):
            return scale / (1 + 0.1 * k)

        return tw.Method(tw.GradientFlow(bowl), tw.Euler(), schedule)

    tw.run(at(0.1), X0, 20, out=path)
    with pytest.raises(
        tw.InputError, match=r"step_size was '.*schedule: 0\.0909091 0\.05 .*, is '.*schedule: 0\.181818 0\.1 "
    ):
        tw.run(at(0.2), X0, 20, out=path, resume=True)
    assert tw.run(at(0.1), X0, 25, out=path, resume=True).status == "finished"


def test_a_changed_friction_is_refused(path):
    def at(scale):
        return tw.Method(tw.HeavyBall(bowl, lambda t: scale / (1 + t)), tw.Leapfrog(), 0.1)

    tw.run(at(1.0), X0, 20, out=path)
    with pytest.raises(tw.InputError, match=r"hyperparameters\.friction was"):
        tw.run(at(2.0), X0, 20, out=path, resume=True)


# The command line, as people use it.


SLOW_SUM = """
import jax, jax.numpy as jnp
import thalweg as tw

DATA = jax.random.normal(jax.random.key(1), (200, 60))
X0 = jnp.linspace(-1.0, 1.0, 60)
f = tw.FiniteSum(lambda x, row: jnp.log1p(jnp.exp(-(row @ x))) + 0.01 * jnp.sum(x**2), DATA, batch_size=100)
"""


SETTINGS = [
    *("run", "slow_sum:f", "--start", "slow_sum:X0", "-m", "nesterov", "--learning-rate", "0.03", "--momentum", "0.9"),
    *("--positions", "100", "--record", "loss", "--record", "speed", "--seed", "4"),
]


@pytest.fixture(scope="module")
def valley(tmp_path_factory):
    """A directory with an objective that `thalweg resume` finds again, and a run of it that was never stopped."""
    root = tmp_path_factory.mktemp("valley")
    (root / "slow_sum.py").write_text(SLOW_SUM)
    with contextlib.chdir(root), pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(root)
        assert _status([*SETTINGS, "--steps", "25000", "--out", "whole"]) == 0
    return root


def begin(steps, out):
    """A process that has made its first chunk of steps."""
    arguments = [sys.executable, "-m", "thalweg", *SETTINGS, "--steps", str(steps), "--out", out]
    process = subprocess.Popen(arguments, env=ENV, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    file = Path(out) / "metrics.jsonl"
    while not file.exists() or file.stat().st_size == 0:
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return process


def test_ctrl_c_saves_and_exits_130_and_resume_ends_alike(valley, monkeypatch):
    monkeypatch.chdir(valley)
    process = begin(25_000, "interrupted")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out) == (130, "")
    found = re.fullmatch(
        r"interrupted after (\d+) of 25000 steps; saved in interrupted, go on with: thalweg resume interrupted "
        r"--objective slow_sum:f --start slow_sum:X0\n", err
    )  # fmt: skip
    assert found, err
    saved = tw.Run.load("interrupted")
    assert (saved.status, saved.steps) == ("interrupted", int(found[1]))
    assert _status(["resume", "interrupted", "--trust"]) == 0
    assert same_record(valley / "whole", valley / "interrupted")


def test_a_run_killed_on_the_command_line_is_resumed_there_with_more_steps(valley, monkeypatch, capsys):
    monkeypatch.chdir(valley)
    process = begin(24_000, "killed")
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert _status(["resume", "killed", "--steps", "100", "--trust"]) == 2
    assert capsys.readouterr().err == "error: steps must be at least the 24000 the run was begun with, but is 100\n"
    assert _status(["resume", "killed", "--steps", "25000", "--trust"]) == 0
    assert same_record(valley / "whole", valley / "killed")


def test_settings_survive_the_command_line_to_the_last_bit(tmp_path, capsys, monkeypatch):
    """A learning rate and momentum go through step size and friction, and come back with their last bit."""
    monkeypatch.chdir(tmp_path)
    draw = random.Random(3)
    for i in range(12):
        given = ["--learning-rate", str(draw.uniform(1e-5, 1e-3)), "--momentum", str(draw.random())]
        assert _status(["run", "rosenbrock", "--steps", "5", "--out", f"run{i}", *given]) == 0
        assert _status(["resume", f"run{i}", "--steps", "6"]) == 0, capsys.readouterr().err


@pytest.mark.slow
def test_sigterm_saves_and_exits_143_and_resume_ends_alike(valley, monkeypatch):
    monkeypatch.chdir(valley)
    process = begin(25_000, "terminated")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert (process.returncode, out) == (143, "")
    words = r"interrupted after (\d+) of 25000 steps; saved in terminated, go on with: (thalweg resume .*)\n"
    found = re.fullmatch(words, err)
    assert found, err
    saved = tw.Run.load("terminated")
    assert (saved.status, saved.steps) == ("interrupted", int(found[1]))
    # What it says is what is to be typed.
    assert _status(shlex.split(found[2])[1:]) == 0
    assert same_record(valley / "whole", valley / "terminated")


def test_sigterm_is_as_ever_where_nothing_is_saved_or_its_user_handles_it(path):
    flag = threading.Event()
    with Interrupt(flag):
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    guard = Interrupt(flag)
    guard.saved = True
    before = signal.signal(signal.SIGTERM, lambda number, frame: None)
    try:
        with guard:
            assert signal.getsignal(signal.SIGTERM) != guard._handle
    finally:
        signal.signal(signal.SIGTERM, before)
    # A run that ends before anything is judged by it is whole, and whoever ends the process is heard.
    with pytest.raises(Terminated, match="ended by SIGTERM; stopped at step 0"):
        tw.run(METHOD, X0, 10, out=path, stop=lambda found: os.kill(os.getpid(), signal.SIGTERM) or found["loss"] > 0)
    assert tw.Run.load(path).status == "stopped"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_sigterm_closes_a_recorder(path):
    recorder = tw.Recorder(path)

    def loop():
        with recorder:
            recorder.log(loss=1.0)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(SystemExit):
        loop()
    run = recorder.run
    assert (run.status, run.message) == ("interrupted", "ended by SIGTERM after 1 step")
    assert run.metrics["loss"].tolist() == [1.0] and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
