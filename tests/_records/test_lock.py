"""One writer a directory, of threads as of processes; what is killed lets go."""

import os
import re
import signal
import subprocess
import sys
import threading

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._records.lock import Lock
from thalweg._records.storage import RecordError

HOLD = """
import sys, time
from pathlib import Path
from thalweg._records.lock import Lock
lock = Lock(Path(sys.argv[1]))
print("held", flush=True)
time.sleep(60)
"""


def bowl(x):
    return 0.5 * jnp.sum(jnp.array([1.0, 4.0]) * x**2)


@pytest.fixture
def held(tmp_path):
    """A directory that another process holds."""
    tw.run(tw.momentum(bowl, 0.1, 0.5), jnp.ones(2), 5, out=tmp_path / "run")
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    process = subprocess.Popen([sys.executable, "-c", HOLD, tmp_path / "run"], stdout=subprocess.PIPE, env=env)
    assert process.stdout.readline() == b"held\n"
    yield tmp_path / "run", process
    process.kill()
    process.communicate()


def test_another_process_keeps_all_writers_out_until_it_is_killed(held):
    path, process = held
    files = {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    method = tw.momentum(bowl, 0.1, 0.5)
    message = re.escape(f"{path} is written by another process ({process.pid}); wait until it has ended, or choose")
    with pytest.raises(tw.InputError, match=message):
        tw.run(method, jnp.ones(2), 9, out=path, resume=True)
    assert files == {file: file.read_bytes() for file in path.rglob("*") if file.is_file()}
    assert tw.Run.load(path).steps == 5
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert tw.run(method, jnp.ones(2), 9, out=path, resume=True).steps == 9
    assert not (path / ".lock").exists()


def test_of_threads_one_alone_has_it(tmp_path):
    """Many times over, each holds it alone, and all get it in the end."""
    inside, most, done, said = [], [], [], set()

    def work(name):
        while True:
            try:
                lock = Lock(tmp_path)
            except tw.InputError as error:
                said.add(str(error))
                continue
            inside.append(name)
            most.append(len(inside))
            inside.remove(name)
            lock.release()
            done.append(name)
            if done.count(name) == 50:
                return

    threads = [threading.Thread(target=work, args=(k,)) for k in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all("is written by this process already" in text for text in said)
    assert set(most) == {1} and len(done) == 150 and list(tmp_path.iterdir()) == []


def test_a_recorder_and_a_sampling_are_kept_out_too(tmp_path):
    recorder = tw.Recorder(tmp_path / "mine", objective="a bowl")
    recorder.log(loss=1.0)
    with pytest.raises(tw.InputError, match="is written by this process already; close that first"):
        tw.Recorder(tmp_path / "mine", objective="a bowl", resume=True)
    recorder.close()
    with tw.Recorder(tmp_path / "mine", objective="a bowl", resume=True) as again:
        assert again.step == 1
    (tmp_path / "new").mkdir()
    lock = Lock(tmp_path / "new")
    for begin in (
        lambda: tw.Recorder(tmp_path / "new"),
        lambda: tw.run(tw.momentum(bowl, 0.1, 0.5), jnp.ones(2), 3, out=tmp_path / "new"),
        lambda: tw.sample(tw.sgld(bowl, 0.1), jnp.ones(2), 8, 2, 2, out=tmp_path / "new"),
    ):
        with pytest.raises(tw.InputError, match="is written by this process already"):
            begin()
    lock.release()
    assert list((tmp_path / "new").iterdir()) == []


def test_a_refused_resume_lets_go(tmp_path):
    path = tmp_path / "run"
    method = tw.momentum(bowl, 0.1, 0.5)
    whole = tw.run(method, jnp.ones(2), 40, out=path, record=10)
    metrics = (path / "metrics.jsonl").read_bytes()
    (path / "metrics.jsonl").write_bytes(metrics[:200])
    for _ in range(2):
        with pytest.raises(
            RecordError, match=r"metrics\.jsonl is damaged: it has 200 bytes, fewer than the \d+ that its"
        ):
            tw.run(method, jnp.ones(2), 60, out=path, record=10, resume=True)
        # A file that is too short is never made longer.
        assert (path / "metrics.jsonl").read_bytes() == metrics[:200]
    (path / "metrics.jsonl").write_bytes(metrics)
    run = tw.run(method, jnp.ones(2), 60, out=path, record=10, resume=True)
    np.testing.assert_array_equal(run.metrics["loss"][:40], whole.metrics["loss"][:40])


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed here")
def test_a_lock_that_is_a_link_is_not_followed(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / ".lock").symlink_to(tmp_path / "precious")
    with pytest.raises(OSError, match="could not write"):
        tw.Recorder(tmp_path / "run")
    assert (tmp_path / "precious").read_text() == "mine"
