"""thalweg list, show, export and resume."""

import csv
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import xarray

import thalweg as tw

NAMED = ("--objective", "valleys:bowl", "--start", "valleys:x0")
SETTINGS = ("-m", "nesterov", "--learning-rate", 0.02, "--steps", 30, "--record", "loss", "--record", "speed")


@pytest.fixture
def run(thalweg):
    """A run, and its options."""
    thalweg("run", "valleys:bowl", "--start", "valleys:x0", *SETTINGS, "--positions", 10, "--out", "runs/mine")
    return tw.Run.load("runs/mine")


def test_list(thalweg, run, place):
    thalweg("run", "rosenbrock", "--steps", 3, "--learning-rate", 1e-3, "--out", "runs/deep/er")
    (place / "runs" / "broken").mkdir()
    (place / "runs" / "broken" / "run.toml").write_text("= =")
    rows = thalweg("list", "--json").rows
    assert [row["path"] for row in rows] == ["runs/broken", "runs/deep/er", "runs/mine"]
    assert rows[0]["status"].startswith("unreadable: runs/broken/run.toml is not readable as TOML")
    assert rows[2]["loss"] == run.metrics["loss"][-1]
    assert (rows[2]["objective"], rows[2]["method"], rows[2]["steps"]) == ("valleys:bowl", "nesterov", 30)
    outcome = thalweg("list", "runs/deep")
    assert outcome.err == ""
    assert "runs/deep/er" in outcome.out
    assert "runs/mine" not in outcome.out


def test_list_of_nothing_says_how_to_make_a_run(thalweg, place):
    (place / "runs").mkdir()
    outcome = thalweg("list")
    assert outcome.err == "no runs below runs; make one with: thalweg run rosenbrock\n"
    assert thalweg("list", "--json").rows == []


def test_list_and_show_a_run_from_python(thalweg):
    tw.run(tw.gradient_descent(lambda x: jnp.sum(x**2), 0.1), jnp.ones(2), 5, out="runs/python")
    (row,) = thalweg("list", "--json").rows
    assert "test_list_and_show_a_run_from_python" in row["objective"]
    assert row["method"] == "GradientFlow Euler"
    assert "finished" in thalweg("show", "runs/python").out


def test_show(thalweg, run):
    (row,) = thalweg("show", "runs/mine", "--json").rows
    assert row["config"] == run.config
    assert (row["status"], row["steps"], row["gradients"]) == ("finished", 30, 30)
    outcome = thalweg("show", "runs/mine")
    assert outcome.err == ""
    lines = outcome.out.splitlines()
    assert lines[0].split() == ["path", "runs/mine"]
    table = [line.split() for line in lines if line.split() and line.split()[0].isdigit()]
    assert [int(cells[0]) for cells in table][:: len(table) - 1] == [0, 30]
    assert float(table[-1][2]) == pytest.approx(run.metrics["loss"][-1], rel=1e-3)


def test_show_without_metrics(thalweg):
    tw.run(tw.gradient_descent(lambda x: jnp.sum(x**2), 0.1), jnp.ones(2), 5, out="bare", record=None)
    (row,) = thalweg("show", "bare", "--json").rows
    assert row["loss"] is None
    assert thalweg("show", "bare").err == ""


def test_export_to_csv_comes_back(thalweg, run):
    outcome = thalweg("export", "runs/mine", "out.csv")
    assert (outcome.out, outcome.err) == ("", "wrote out.csv\n")
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(31))
    for name in ("time", "loss", "speed"):
        np.testing.assert_array_equal([float(row[name]) for row in rows], run.metrics[name])


def test_export_to_json_comes_back(thalweg, run):
    thalweg("export", "runs/mine", "out.txt", "--format", "json")
    columns = json.loads(Path("out.txt").read_text())
    assert set(columns) == set(run.metrics)
    for name, values in columns.items():
        np.testing.assert_array_equal(values, run.metrics[name])


def test_export_to_npz_comes_back(thalweg, run):
    thalweg("export", "runs/mine", "out.npz")
    with np.load("out.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["metrics/loss"], run.metrics["loss"])
        np.testing.assert_array_equal(arrays["trace/step"], run.trace.step)
        np.testing.assert_array_equal(arrays["trace/position"], run.trace.position)
        np.testing.assert_array_equal(arrays["trace/velocity"], run.trace.velocity)


def test_export_of_a_tree(thalweg):
    settings = ("--start", "valleys:tree", "--steps", 20, "--positions", 5, "-m", "rk4", "--out", "tree")
    thalweg("run", "valleys:tree_bowl", *settings)
    thalweg("export", "tree", "tree.npz")
    with np.load("tree.npz", allow_pickle=False) as arrays:
        assert arrays["trace/position/w"].shape == (5, 2, 2)
        assert arrays["trace/position/b"].shape == (5, 3)
        assert not [name for name in arrays.files if "velocity" in name]


def test_what_is_not_finite_is_null_in_json_and_nan_in_csv(thalweg):
    """A position that is held while the square of the velocity overflows."""
    method = tw.Method(tw.HeavyBall(lambda x: jnp.sum(jnp.exp(x)), 0.0), tw.Leapfrog(), 1.0)
    tw.run(method, jnp.array([700.0]), 30, record=("square", lambda seen: jnp.sum(seen.velocity**2)), out="run")
    thalweg("export", "run", "out.json")
    squares = json.loads(Path("out.json").read_text(), parse_constant=pytest.fail)["square"]
    assert None in squares
    thalweg("export", "run", "out.csv")
    assert "nan" in Path("out.csv").read_text()


def test_resume_prints_a_row_and_extends(thalweg, run):
    (row,) = thalweg("resume", "runs/mine", *NAMED, "--steps", 45, "--json").rows
    assert (row["status"], row["steps"]) == ("finished", 45)
    other = thalweg(
        "run", "valleys:bowl", "--start", "valleys:x0", *[45 if s == 30 else s for s in SETTINGS], "--positions", 10,
        "--json",
    )  # fmt: skip
    assert row["loss"] == other.rows[0]["loss"]
    assert "finished" in thalweg("resume", "runs/mine", "--trust").out


def test_resume_of_a_run_that_diverged_is_status_1(thalweg):
    settings = ("--start", "valleys:x0", "--learning-rate", 5.0, "--out", "bad")
    thalweg("run", "valleys:bowl", *settings, status=1)
    (row,) = thalweg("resume", "bad", *NAMED, "--json", status=1).rows
    assert row["status"] == "diverged"


def test_resume_of_an_edited_objective_is_refused(thalweg, run, place, monkeypatch):
    module = place.parent / "modules" / "valleys.py"
    module.write_text(module.read_text().replace("[1.0, 10.0]", "[1.0, 20.0]"))
    import sys

    monkeypatch.delitem(sys.modules, "valleys")
    outcome = thalweg("resume", "runs/mine", *NAMED, status=2)
    assert outcome.err.startswith("error: runs/mine was run with another configuration: start.loss was 20.5, is 40.5")
    assert outcome.err.count("\n") == 1


@pytest.fixture
def recorded(place):
    """A run of somebody else's loop."""
    with tw.Recorder("runs/mine", tw.Hyperparameters(0.1, 0.9), "digits, 2 layers") as recorder:
        for k in range(4):
            recorder.log(loss=2.0**-k, parameters={"w": np.ones(2)}, curvature=4.0 if k == 2 else None)
    return recorder.run


def test_list_and_show_a_recorded_run(thalweg, recorded):
    (row,) = thalweg("list", "--json").rows
    assert (row["objective"], row["method"], row["steps"]) == ("digits, 2 layers", "momentum", 4)
    assert (row["loss"], row["status"], row["gradients"]) == (0.125, "finished", 4)
    (row,) = thalweg("show", "runs/mine", "--json").rows
    assert row["config"] == recorded.config
    assert row["hyperparameters"] == {"learning_rate": 0.1, "momentum": 0.9}
    outcome = thalweg("show", "runs/mine")
    assert outcome.err == ""
    assert "stability_margin" in outcome.out


def test_export_of_a_recorded_run(thalweg, recorded):
    thalweg("export", "runs/mine", "out.csv")
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["loss"]) for row in rows] == [1.0, 0.5, 0.25, 0.125]
    assert [row["curvature"] for row in rows] == ["nan", "nan", "4.0", "nan"]
    thalweg("export", "runs/mine", "out.npz")
    with np.load("out.npz") as arrays:
        np.testing.assert_array_equal(arrays["metrics/loss"], recorded.metrics["loss"])


def test_a_recorded_run_is_not_resumed_here(thalweg, recorded):
    outcome = thalweg("resume", "runs/mine", status=2)
    assert outcome.err.startswith("error: runs/mine was recorded from another loop; go on there with tw.Recorder(")


@pytest.mark.parametrize(("name", "format"), [("out.nc", None), ("out.zarr", None), ("a", "netcdf"), ("b", "zarr")])
def test_export_to_xarray_comes_back(name, format, thalweg, run):
    outcome = thalweg("export", "runs/mine", name, *(() if format is None else ("--format", format)))
    assert (outcome.out, outcome.err) == ("", f"wrote {name}\n")
    engine = "zarr" if "zarr" in (format or name) else "h5netcdf"
    with xarray.open_dataset(name, engine=engine) as opened:
        xarray.testing.assert_identical(opened.load(), run.to_xarray())
    assert thalweg("export", "runs/mine", name, "--format", "zarr", status=2).err.startswith(f"error: {name} exists")
