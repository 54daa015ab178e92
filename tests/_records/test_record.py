"""The run directory: what is in it, at every moment, and that it outlives what writes it."""

import errno
import json
import os
import shutil
import subprocess
import sys
import textwrap
import threading
import time
import tomllib

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import thalweg as tw
from thalweg._loops import drive as loop
from thalweg._records import growing as files
from thalweg._records import run as records
from thalweg._records import storage
from thalweg._records.directory import Directory, compare_configs
from thalweg._records.growing import GrowingArray
from thalweg._records.lines import read_metrics
from thalweg._records.storage import RecordError, read_checkpoint

X0 = {"w": jnp.array([[1.0, -2.0], [0.5, 3.0]]), "b": jnp.array([0.25])}
RECORD = tw.Record(("loss", "gradient_norm", "speed", "step_size"), positions=10)
ENV = dict(os.environ, JAX_ENABLE_X64="1", PYTHONPATH=os.pathsep.join(filter(None, sys.path)))


def bowl(p):
    curvature = jnp.array([[1.0, 4.0], [2.0, 9.0]])
    return 0.5 * jnp.sum(curvature * p["w"] ** 2) + 0.5 * jnp.sum((p["b"] - p["w"][0, 0]) ** 2)


METHOD = tw.nesterov(bowl, 0.05, 0.9)


@pytest.fixture(scope="module")
def memory():
    return tw.run(METHOD, X0, 100, record=RECORD)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "run"
    return tw.run(METHOD, X0, 100, record=RECORD, out=path, key=3)


@pytest.fixture
def copy(finished, tmp_path):
    return shutil.copytree(finished.path, tmp_path / "copy")


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


def test_a_run_on_disk_is_the_run_in_memory(finished, memory):
    assert (finished.status, finished.steps, finished.gradients) == (memory.status, memory.steps, memory.gradients)
    same(finished.metrics, memory.metrics)
    for part in ("step", "time", "position", "velocity"):
        same(getattr(finished.trace, part), getattr(memory.trace, part))
    same(finished.final.position, memory.final.position)


def test_a_run_read_back_is_the_run(finished):
    read = tw.Run.load(str(finished.path))
    for name in ("status", "message", "steps", "gradients", "path"):
        assert getattr(read, name) == getattr(finished, name), name
    assert repr(read) == repr(finished)
    assert read.method is None
    assert (read.final.step, read.final.time) == (100, finished.final.time)
    for part in ("position", "lookahead", "velocity"):
        assert set(getattr(read.final, part)) == {"w", "b"}
        same(getattr(read.final, part), getattr(finished.final, part))
    same(read.metrics, finished.metrics)
    same(read.trace.position, finished.trace.position)
    assert read.trace.position["w"].shape == (11, 2, 2)


def test_the_configuration_is_complete_and_readable(finished):
    config = tomllib.loads((finished.path / "run.toml").read_text())
    assert config["run"] == {"steps": 100, "version": tw.__version__, "key": [0, 3]}
    assert config["method"]["dynamics"] == "HeavyBall"
    assert config["method"]["scheme"].startswith("Lookahead(")
    assert config["method"]["hyperparameters"] == METHOD.hyperparameters
    assert config["objective"]["name"] == f"{__name__}:bowl"
    assert [leaf["path"] for leaf in config["start"]["leaves"]] == ["b", "w"]
    assert config["start"]["leaves"][1] == {"path": "w", "shape": [2, 2], "dtype": "float64"}
    assert config["record"] == {"metrics": ["loss", "gradient_norm", "speed", "step_size"], "positions": 10}
    assert config == finished.config == tw.Run.load(finished.path).config


def test_the_environment_is_recorded(finished):
    env = json.loads((finished.path / "env.json").read_text())
    assert env["packages"]["jax"] == jax.__version__
    assert env["python"] == ".".join(map(str, sys.version_info[:3]))
    assert env["backend"] == jax.default_backend()


def test_metrics_are_one_json_object_a_line(finished, memory):
    text = (finished.path / "metrics.jsonl").read_text()
    assert text.endswith("\n")
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["step"] for row in rows] == list(range(101))
    assert set(rows[0]) == {"step", "time", "loss", "gradient_norm", "speed", "step_size"}
    # Written so that nothing is lost: read back to the last bit.
    assert [row["loss"] for row in rows] == memory.metrics["loss"].tolist()


def test_what_is_not_finite_is_no_json_token(tmp_path):
    """The loss and the square of the velocity overflow while the position does not."""
    run = tw.run(
        tw.Method(tw.HeavyBall(lambda x: jnp.sum(jnp.exp(x)), 0.0), tw.Leapfrog(), 1.0),
        jnp.array([700.0]), 30, record=("square", lambda seen: jnp.sum(seen.velocity**2)), out=tmp_path / "run",
    )  # fmt: skip
    text = (tmp_path / "run" / "metrics.jsonl").read_text().lower()
    assert "null" in text
    for line in text.splitlines():
        json.loads(line, parse_constant=lambda token: pytest.fail(token))
    assert np.isnan(tw.Run.load(tmp_path / "run").metrics["square"]).any()
    assert run.status == "finished"


def test_nothing_is_pickled(finished):
    files = [file for file in finished.path.rglob("*") if file.is_file()]
    assert {file.relative_to(finished.path).as_posix() for file in files} == {
        "run.toml", "env.json", "metrics.jsonl", "checkpoint/state.npz",
        "trace/step.npy", "trace/time.npy", "trace/position.npy", "trace/velocity.npy",
    }  # fmt: skip
    for file in files:
        if file.suffix == ".npy":
            np.load(file, allow_pickle=False)
        elif file.suffix == ".npz":
            with np.load(file, allow_pickle=False) as stored:
                assert all(stored[name].dtype != object for name in stored.files)


def test_source_is_kept(tmp_path):
    source = {"objective": "rosenbrock", "seed": 3, "hyperparameters": {"learning_rate": 0.1}}
    run = tw.run(METHOD, X0, 2, out=tmp_path / "run", source=source)
    assert tw.Run.load(run.path).config["source"] == source


@pytest.mark.parametrize("record", [None, "loss", tw.Record(metrics=(), positions=3)])
def test_only_what_was_asked_for_is_written(record, tmp_path):
    tw.run(METHOD, X0, 10, record=record, out=tmp_path / "run")
    run = tw.Run.load(tmp_path / "run")
    assert set(run.metrics) == ({"step", "time", "loss"} if record == "loss" else set())
    if isinstance(record, tw.Record):
        assert run.trace.step.tolist() == [0, 3, 6, 9]
    else:
        assert run.trace is None
        assert not (tmp_path / "run" / "trace").exists()


def test_records_as_people_write_them(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    assert tw.Record("speed").metrics == ("speed",)
    assert tw.Record(["loss", "speed"]).metrics == ("loss", "speed")
    assert records.as_record(True) == tw.Record()
    assert records.as_record(False) == records.as_record(None) == tw.Record(metrics=())
    assert records.as_record(5) == tw.Record(positions=5)
    assert records.as_record(["loss"]) == tw.Record(("loss",))


@pytest.mark.parametrize(
    "x0", [jnp.ones(()), [jnp.ones(2), jnp.zeros((1, 3))], {"layer": {"w": jnp.ones(2)}, "a": jnp.ones(1)}]
)
def test_parameters_of_any_tree_are_read_back(x0, tmp_path):
    def f(p):
        return sum(jnp.sum((leaf - 0.5) ** 2) for leaf in jax.tree.leaves(p))

    run = tw.run(tw.momentum(f, 0.1, 0.5), x0, 12, record=4, out=tmp_path / "run")
    read = tw.Run.load(tmp_path / "run")
    shapes = [leaf.shape for leaf in jax.tree.leaves(read.trace.position)]
    assert shapes == [(4, *leaf.shape) for leaf in jax.tree.leaves(x0)]
    for a, b in zip(jax.tree.leaves(read.final.position), jax.tree.leaves(run.final.position), strict=True):
        np.testing.assert_array_equal(a, b)
    if isinstance(x0, dict):
        assert set(read.final.position) == {"a", "layer/w"}


# While it is written, and where it was cut off.


def test_the_trace_can_be_read_at_every_moment_of_its_growth(tmp_path):
    path = tmp_path / "position.npy"
    rows = np.arange(3000.0).reshape(1000, 3)
    wrong, stop = [], threading.Event()

    def read():
        seen = 0
        while not stop.is_set():
            if path.exists():
                array = np.load(path, mmap_mode="r", allow_pickle=False)
                if len(array) < seen or not np.array_equal(array, rows[: len(array)]):
                    wrong.append((seen, len(array)))
                seen = len(array)

    reader = threading.Thread(target=read)
    reader.start()
    growing = GrowingArray(path)
    for at in range(0, 1000, 5):
        growing.append(rows[at : at + 5])
    growing.close()
    stop.set()
    reader.join()
    assert wrong == []
    np.testing.assert_array_equal(np.load(path), rows)


class Watched:
    """A file that is read back after whatever is done to it, as by a process that comes at that moment."""

    def __init__(self, path, look):
        self._file, self._look = open(path, "r+b", buffering=0), look  # noqa: SIM115

    def __getattr__(self, name):
        def call(*arguments):
            found = getattr(self._file, name)(*arguments)
            self._look()
            return found

        return call


def test_the_trace_can_be_read_between_any_two_writes(tmp_path, monkeypatch):
    """The rows come before their count."""
    path, seen = tmp_path / "position.npy", []

    def look():
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        np.testing.assert_array_equal(array[:, 0], np.arange(len(array)))
        seen.append(len(array))

    monkeypatch.setattr(files, "open", lambda path, mode: Watched(path, look), raising=False)
    monkeypatch.setattr(files, "write_atomically", lambda path, content: path.write_bytes(content))
    growing = GrowingArray(path)
    for at in (0, 2, 4):
        growing.append(np.arange(at, at + 2.0)[:, None])
    growing.close()
    assert seen == sorted(seen)
    assert set(seen) == {0, 2, 4, 6}


def test_a_growing_array_goes_on_after_a_cut(tmp_path):
    path = tmp_path / "a.npy"
    for rows in (range(7), range(4, 9)):
        array = GrowingArray(path)
        array.cut(4)
        array.append(np.array(rows, dtype=np.float32))
        array.close()
    found = np.load(path)
    assert (found.dtype, found.tolist()) == (np.float32, [0, 1, 2, 3, 4, 5, 6, 7, 8])
    assert path.stat().st_size == 128 + 4 * 9


def test_bytes_written_beyond_the_count_are_no_rows(tmp_path):
    """Killed between the rows and the count in the header."""
    path = tmp_path / "a.npy"
    array = GrowingArray(path)
    array.append(np.arange(5.0))
    array.close()
    with open(path, "ab") as file:
        file.write(b"12345678901")
    assert np.load(path, mmap_mode="r").tolist() == [0, 1, 2, 3, 4]
    array = GrowingArray(path)
    array.append(np.array([5.0]))
    array.close()
    assert np.load(path).tolist() == [0, 1, 2, 3, 4, 5]


def test_a_run_can_be_read_while_it_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)
    path, seen = tmp_path / "run", []

    def look(metrics):
        if metrics["step"][0] in (100, 200):
            time.sleep(0.3)  # the writer's thread catches up
            read = tw.Run.load(path)
            seen.append((read.status, read.steps, len(read.metrics["loss"]), len(read.trace)))
            same(read.trace.position["w"][0], X0["w"])
        return np.zeros(len(metrics["step"]), bool)

    record = tw.Record(("loss",), positions=2, checkpoint_seconds=0.0)
    whole = tw.run(METHOD, X0, 300, record=record, out=path, stop=look)
    assert whole.status == "finished"
    (first, second) = seen
    assert first[0] == second[0] == "running"
    assert 64 <= first[1] <= 100
    assert first[1] <= first[2] <= 101
    assert first[1] < second[1] <= 200


def going_on(path):
    """Make a run that has ended one of which the writer was killed, behind its checkpoint."""
    about = read_checkpoint(path, derived=True)
    leaves, derived = about.pop("leaves"), about.pop("derived")
    del about["whole"]
    storage.write_checkpoint(path, leaves, about | {"status": "running"}, derived)


def test_the_last_line_cut_off_is_left_out(copy, finished):
    going_on(copy)
    file = copy / "metrics.jsonl"
    file.write_bytes(file.read_bytes()[:-7])
    metrics = tw.Run.load(copy).metrics
    assert metrics["step"].tolist() == list(range(100))
    np.testing.assert_array_equal(metrics["loss"], finished.metrics["loss"][:-1])


@pytest.mark.parametrize("what", ["metrics.jsonl", "trace", "env.json", "trace/velocity.npy"])
def test_a_partial_directory_is_read_for_what_it_holds(what, copy, finished):
    shutil.rmtree(copy / what) if (copy / what).is_dir() else (copy / what).unlink()
    read = tw.Run.load(copy)
    same(read.final.position, finished.final.position)
    if what == "metrics.jsonl":
        assert read.metrics == {}
    elif what == "trace":
        assert read.trace is None
    elif what == "trace/velocity.npy":
        assert read.trace.velocity is None
        same(read.trace.position, finished.trace.position)
    assert repr(read).startswith("Run(finished after 100 steps")


def test_rows_that_not_every_array_has_are_left_out(copy, finished):
    going_on(copy)
    array = GrowingArray(copy / "trace" / "velocity.npy")
    array.cut(10)
    read = tw.Run.load(copy)
    assert len(read.trace) == len(read.trace.position["w"]) == 10
    same(read.trace.position["b"], finished.trace.position["b"][:10])
    array.cut(6)
    with pytest.raises(RecordError, match=r"velocity\.npy is damaged: it has 6 rows, fewer than the 10 that its"):
        _ = tw.Run.load(copy).trace


def test_what_is_no_run_is_refused(copy, tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(tw.InputError, match=r"is not a run directory: it holds no run\.toml"):
            tw.Run.load(path)
    (copy / "checkpoint" / "state.npz").unlink()
    with pytest.raises(tw.InputError, match="holds no checkpoint yet"):
        tw.Run.load(copy)
    (copy / "run.toml").write_text("steps = = 3")
    with pytest.raises(tw.InputError, match=r"run\.toml is not readable as TOML"):
        tw.Run.load(copy)


def test_a_damaged_line_is_named(copy):
    file = copy / "metrics.jsonl"
    file.write_text("{broken\n" + file.read_text())
    with pytest.raises(RecordError, match=r"metrics\.jsonl is damaged"):
        _ = tw.Run.load(copy).metrics


def test_a_damaged_checkpoint_is_named(copy):
    file = copy / "checkpoint" / "state.npz"
    file.write_bytes(file.read_bytes()[:300])
    with pytest.raises(RecordError, match=r"state\.npz is damaged"):
        tw.Run.load(copy)


def test_a_checkpoint_keeps_every_bit(tmp_path):
    leaves = [
        np.array([1.0, -0.0, np.pi]), np.array(3, np.int64), np.array([[1.5]], np.float32),
        np.asarray(jnp.array([1.0, 3.14], jnp.bfloat16)), np.zeros((0, 2)),
    ]  # fmt: skip
    storage.write_checkpoint(tmp_path, leaves, {"step": 7})
    about = read_checkpoint(tmp_path)
    assert about["step"] == 7
    for old, new in zip(leaves, about["leaves"], strict=True):
        assert (old.dtype, old.shape, old.tobytes()) == (new.dtype, new.shape, new.tobytes())
    assert [entry.name for entry in (tmp_path / "checkpoint").iterdir()] == ["state.npz"]


def test_write_atomically_keeps_the_old_file_where_the_new_one_fails(tmp_path, monkeypatch):
    file = tmp_path / "a"
    file.write_text("old")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        storage.write_atomically(file, b"new")
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def test_configurations_are_compared_leaf_by_leaf():
    was = {"run": {"steps": 10, "version": "1"}, "method": {"hyperparameters": {"momentum": 0.9}}, "old": 1}
    now = {"run": {"steps": 20, "version": "2"}, "method": {"hyperparameters": {"momentum": 0.8}}, "new": 2}
    assert compare_configs(was, now) == [
        "method.hyperparameters.momentum was 0.9, is 0.8",
        "new was 'not set', is 2",
        "old was 1, is 'not set'",
    ]
    assert compare_configs(was, was | {"run": {"steps": 5}}) == ["run.steps was 10, is 5"]


# Where a run may go.


def snapshot(path):
    return {p.relative_to(path).as_posix(): p.read_bytes() if p.is_file() else None for p in path.rglob("*")}


def test_a_directory_that_holds_something_is_left_untouched(tmp_path, copy):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.txt").write_text("three years")
    (tmp_path / "file").write_text("a file")
    before = snapshot(tmp_path)
    cases = {
        copy: "already holds a run; continue it with resume=True",
        tmp_path / "full": "is not an empty directory; choose another",
        tmp_path / "file": "is a file; choose a directory",
    }
    for out, message in cases.items():
        for resume in (False, True) if out != copy else (False,):
            with pytest.raises(tw.InputError, match=message):
                tw.run(METHOD, X0, 5, out=out, resume=resume)
    assert snapshot(tmp_path) == before


def test_an_empty_directory_and_one_not_there_are_taken(tmp_path):
    (tmp_path / "empty").mkdir()
    assert tw.run(METHOD, X0, 5, out=tmp_path / "empty").status == "finished"
    assert tw.run(METHOD, X0, 5, out=str(tmp_path / "a" / "b" / "c")).path == tmp_path / "a" / "b" / "c"


def test_nothing_is_written_for_a_wrong_input(tmp_path):
    for bad in (lambda x: jnp.nan * x["b"][0], lambda x: x["b"]):
        with pytest.raises(tw.InputError):
            tw.run(tw.momentum(bad, 0.1), X0, 5, out=tmp_path / "run")
    assert list(tmp_path.iterdir()) == []


# Where the disk is full.


class Full:
    """A file that takes some bytes more, and then none."""

    def __init__(self, file, room):
        self._file, self._room = file, room

    def write(self, data):
        if len(data) > self._room:
            self._file.write(data[: self._room])
            self._file.flush()
            self._room = 0
            raise OSError(errno.ENOSPC, "No space left on device")
        self._room -= len(data)
        return self._file.write(data)

    def __getattr__(self, name):
        return getattr(self._file, name)


def check_readable(path, whole, steps):
    """What is there is a beginning of the whole."""
    read = tw.Run.load(path)
    assert read.status == "running"
    assert 0 <= read.steps < steps
    rows = len(read.metrics.get("loss", ()))
    for name, values in read.metrics.items():
        np.testing.assert_array_equal(values, whole.metrics[name][:rows])
    if read.trace is not None:
        same(read.trace.position["w"], whole.trace.position["w"][: len(read.trace)])
    return read


@pytest.mark.parametrize("room", [0, 10, 20_000])
@pytest.mark.parametrize("victim", ["metrics.jsonl", "position.npy"])
def test_a_full_disk_is_one_line_and_the_record_stays_readable(victim, room, tmp_path, monkeypatch, memory):
    """By a write that raises, as a full disk makes it; then there is room again and the run goes on."""
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 0.0)
    opened = open

    def limited(path, mode="r", *rest):
        file = opened(path, mode, *rest)
        return Full(file, room) if os.path.basename(path) == victim and mode != "rb" else file

    for module in (files, storage):
        monkeypatch.setattr(module, "open", limited, raising=False)
    path = tmp_path / "run"
    record = tw.Record(RECORD.metrics, 1, checkpoint_seconds=0.0)
    whole = tw.run(METHOD, X0, 400, record=record)
    with pytest.raises(RecordError) as caught:
        tw.run(METHOD, X0, 400, record=record, out=path)
    message = str(caught.value)
    assert message.startswith(f"could not write to {path}: No space left on device; what was recorded")
    assert f"thalweg show {path}" in message
    assert "\n" not in message
    read = check_readable(path, whole, 400)
    assert len(read.metrics.get("loss", ())) > 60 or room < 20_000 or victim == "position.npy"
    assert not any(thread.name == "thalweg-writer" for thread in threading.enumerate())
    monkeypatch.undo()
    again = tw.run(METHOD, X0, 400, record=record, out=path, resume=True)
    same(again.metrics, whole.metrics)
    same(again.trace.position, whole.trace.position)
    same(again.final.position, whole.final.position)


def test_nothing_is_written_after_a_write_that_failed(tmp_path):
    """A line left out in the middle would be worse than an end."""
    directory = Directory(tmp_path / "run")
    directory.create({"run": {"steps": 3}})
    calls = []

    def lines():
        calls.append(1)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, "No space left on device")
        return f'{{"step": {len(calls)}}}\n'

    directory.checkpoint([np.zeros(2)], 0, {})
    directory.append(lines, {})
    directory.append(lines, {})
    while directory._error is None:
        time.sleep(0.001)
    with pytest.raises(RecordError, match="No space left"):
        directory.append(lines, {})
    directory.append(lines, {})
    directory.checkpoint([np.zeros(2)], 3, {})
    directory.close()
    assert len(calls) == 2
    assert read_metrics(tmp_path / "run")["step"].tolist() == [1]
    checkpoint = read_checkpoint(tmp_path / "run")
    assert checkpoint is not None and checkpoint["step"] == 0


CHILD = """
    import sys
    import numpy as np, jax.numpy as jnp, thalweg as tw
    from thalweg._records.storage import RecordError

    f = lambda p: 0.5 * jnp.sum(jnp.linspace(1.0, 9.0, 500) * p**2)
    record = tw.Record(("loss", "speed"), positions=2, checkpoint_seconds=0.0)
    method = tw.nesterov(f, 0.05, 0.9)
    x0 = jnp.linspace(-1.0, 2.0, 500)
    whole = tw.run(method, x0, 4000, record=record)
    try:
        tw.run(method, x0, 4000, record=record, out=sys.argv[1])
    except RecordError as error:
        print(error)
    else:
        sys.exit("the disk was not full")
    read = tw.Run.load(sys.argv[1])
    rows = len(read.trace)
    np.testing.assert_array_equal(read.trace.position, whole.trace.position[:rows])
    np.testing.assert_array_equal(read.metrics["loss"], whole.metrics["loss"][: len(read.metrics["loss"])])
    assert read.status == "running" and read.steps < 4000 and rows > 10
"""


def limited_child(arguments, blocks, **options):
    """With RLIMIT_FSIZE, in blocks of 512 bytes (of 1024 in some shells)."""
    arguments = ["sh", "-c", f'ulimit -f {blocks} && exec "$@"', "sh", *arguments]
    return subprocess.run(arguments, env=ENV, capture_output=True, text=True, check=False, **options)


def test_a_file_that_may_not_grow(tmp_path):
    """RLIMIT_FSIZE, the quota of a real machine, in a process of its own."""
    arguments = [sys.executable, "-c", textwrap.dedent(CHILD), tmp_path / "run"]
    done = limited_child(arguments, 600)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert done.stdout.startswith(f"could not write to {tmp_path / 'run'}: File too large; what was recorded")


def test_a_file_that_may_not_grow_on_the_command_line(tmp_path):
    arguments = [sys.executable, "-m", "thalweg", "run", "rosenbrock", "--steps", "100000", "--out", "run"]
    done = limited_child(arguments, 400, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "error: could not write to run: File too large; what was recorded before stays readable "
        "(thalweg show run), and the run can be resumed from its last checkpoint\n"
    )
    shown = subprocess.run(
        [sys.executable, "-m", "thalweg", "show", "run", "--json"],
        env=ENV, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    (row,) = json.loads(shown.stdout)
    assert row["status"] == "running"
    assert np.isfinite(row["loss"])


def test_a_disk_that_is_full(tmp_path):
    """A real file system of 500 kB, where one may be mounted."""
    (tmp_path / "disk").mkdir()
    mount = ["unshare", "-rm", "sh", "-c", 'mount -t tmpfs -o size=500k tmpfs "$0" && exec "$@"', tmp_path / "disk"]
    if not shutil.which("unshare") or subprocess.run([*mount, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no file system may be mounted here")
    child = [sys.executable, "-c", textwrap.dedent(CHILD), tmp_path / "disk" / "run"]
    done = subprocess.run([*mount, *child], env=ENV, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "No space left on device; what was recorded" in done.stdout


def test_a_tableau_is_told_by_its_name_and_known_by_its_numbers(tmp_path):
    """A resumed run must agree with the whole tableau."""
    changed = tw.ButcherTableau("RK4", ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (0.25, 0.25, 0.25, 0.25), 1)
    x0 = jnp.ones(2)
    method = tw.Method(tw.GradientFlow(lambda x: 0.5 * jnp.sum(x**2)), tw.RK4(), 0.1)
    run = tw.run(method, x0, 2, out=tmp_path / "a")
    assert run.config["method"]["scheme"] == "RK4"
    other = tw.Method(method.dynamics, tw.RungeKutta(changed), 0.1)
    with pytest.raises(tw.InputError, match=r"method\.digest was"):
        tw.run(other, x0, 4, out=tmp_path / "a", resume=True)
