"""What is read of a directory is read in little memory and time, and what lists it believes its files."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._records import lines, listing
from thalweg._records.growing import GrowingText, whole_lines
from thalweg._records.storage import write_checkpoint


def bowl(x):
    return 0.5 * jnp.sum(jnp.array([1.0, 4.0]) * x**2)


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Three runs below one directory, none of them written just now."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tw.run(tw.momentum(bowl, 0.1, 0.5), jnp.ones(2), 5, out=tmp_path / "runs" / "a")
    for name in "bc":
        shutil.copytree(tmp_path / "runs" / "a", tmp_path / "runs" / name)
    for file in tmp_path.rglob("*"):
        os.utime(file, (1e9, 1e9))
    return tmp_path / "runs"


def test_a_row_of_the_index_is_that_of_the_files(runs, monkeypatch):
    rows = listing.rows_below(runs)
    assert [(Path(row["path"]).name, row["status"], row["steps"]) for row in rows] == [
        (name, "finished", 5) for name in "abc"
    ]
    (index,) = listing.cache_directory().iterdir()
    assert len(json.loads(index.read_text())["rows"]) == 3
    read, whole = [], listing._summary
    monkeypatch.setattr(listing, "_summary", lambda path: read.append(path.name) or whole(path))
    assert listing.rows_below(runs) == rows and read == []
    # What has changed is read anew, and so is all where the index is damaged or gone.
    tw.run(tw.momentum(bowl, 0.1, 0.5), jnp.ones(2), 9, out=runs / "b", resume=True)
    assert [row["steps"] for row in listing.rows_below(runs)] == [5, 9, 5] and read == ["b"]
    for damage in (b"", b"[]", b'{"made": 3}', index.read_bytes()[:-40], index.read_bytes().replace(b"finished", b"f")):
        index.write_bytes(damage)
        found = listing.rows_below(runs)
        assert [row["steps"] for row in found] == [5, 9, 5] or b'"f"' in damage
    index.unlink()
    shutil.rmtree(runs / "c")
    assert [Path(row["path"]).name for row in listing.rows_below(runs)] == ["a", "b"]


def test_rows_that_anybody_read_are_not_believed_where_not_all_may_be_read(runs):
    assert len(listing.rows_below(runs)) == 3
    asked = []

    def allowed(path):
        asked.append(path.name)
        return path.name != "b"

    for expected in ("abc", "b"):
        rows = listing.named_rows_below(runs, allowed)
        assert list(rows) == ["a", "c"] and "".join(asked) == expected
        asked.clear()
    assert [row["path"] for row in rows.values()] == [str(runs / "a"), str(runs / "c")]
    # A file that leads elsewhere since is another file.
    (runs / "a" / "metrics.jsonl").rename(runs.parent / "elsewhere")
    (runs / "a" / "metrics.jsonl").symlink_to(runs.parent / "elsewhere")
    (runs.parent / "elsewhere").write_text("")
    listing.named_rows_below(runs, allowed)
    assert "".join(asked) == "ab"


def test_one_bad_directory_does_not_hide_the_others(runs):
    (runs / "b" / "run.toml").write_text('kind = "run"\nformat = 1\n')
    (runs / "c" / "checkpoint" / "state.npz").write_bytes(b"")
    first, second, third = listing.rows_below(runs)
    assert first["status"] == "finished"
    assert second["status"].startswith("unreadable: ") and "run.toml" in second["status"]
    assert "state.npz is damaged" in third["status"]


def test_list_and_show_of_a_run_load_no_jax(runs):
    code = (
        "import sys; from thalweg.cli._app import _status\n"
        f"for command in (['list', {str(runs)!r}], ['show', {str(runs / 'a')!r}]): assert _status(command) == 0\n"
        "assert 'jax' not in sys.modules"
    )
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_metrics_of_many_blocks_come_back(tmp_path, monkeypatch):
    """A column that begins late, null, and a cut last line, over blocks of any size."""
    rows = [{"step": k, "loss": 1 / (k + 1)} | ({"late": 2.0 * k} if k >= 30 else {}) for k in range(50)]
    rows[7]["loss"] = None
    text = GrowingText(tmp_path / "metrics.jsonl")
    text.append("".join(json.dumps(row) + "\n" for row in rows).encode())
    write_checkpoint(tmp_path, [np.zeros(1)], {"offset": text.size, "checks": {"metrics.jsonl": text.extent}})
    text.append(b'{"step": 50, "lo')
    text.close()
    assert whole_lines(tmp_path / "metrics.jsonl") == text.size - 16
    for size in (1, 7, 64, 1000, 2**20):
        monkeypatch.setattr(lines, "_BLOCK", size)
        found = lines.read_metrics(tmp_path)
        assert found["step"].tolist() == list(range(50)) and found["step"].dtype == int
        assert np.isnan(found["loss"][7]) and found["loss"][49] == 1 / 50
        assert np.isnan(found["late"][:30]).all() and found["late"][30:].tolist() == [2.0 * k for k in range(30, 50)]
        names, picked, count = lines.picked_rows(tmp_path, 4)
        assert (names, count, [row["step"] for row in picked]) == (("step", "loss", "late"), 50, [0, 16, 33, 49])
    assert lines.last_row(tmp_path)["step"] == 49


def test_a_quick_loop_is_not_held_up_by_flushes_that_were_asked_for_twice(tmp_path, monkeypatch):
    monkeypatch.setattr("thalweg._records.recorder._ROWS_AHEAD", 10)
    monkeypatch.setattr("thalweg._records.recorder._FLUSH_SECONDS", 0.01)
    with tw.Recorder(tmp_path / "run") as recorder:
        for k in range(400):
            recorder.log(loss=float(k))
            # More would wait in a row, each for itself.
            assert recorder._directory._queue.qsize() < 8
    assert recorder.run.metrics["loss"].tolist() == list(map(float, range(400)))
