"""thalweg run."""

import contextlib
import json
import re
from pathlib import Path
from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.cli._output import directory_for

KEYS = (
    "path", "objective", "method", "hyperparameters", "status", "message", "steps", "gradients", "seconds",
    "compile_seconds", "loss",
)  # fmt: skip
ROSENBROCK = ("run", "rosenbrock", "--learning-rate", 1e-3)


def bowl(x):
    return 0.5 * jnp.sum(jnp.array([1.0, 10.0]) * x**2)


X0 = jnp.array([1.0, -2.0])


def test_json_is_one_row(thalweg):
    outcome = thalweg(*ROSENBROCK, "--momentum", 0.8, "--steps", 50, "--json", "--out", "run")
    (row,) = outcome.rows
    assert tuple(row) == KEYS
    problem = tw.problems.rosenbrock()
    run = tw.run(tw.momentum(problem.objective, 1e-3, 0.8), problem.start, 50)
    assert row["loss"] == run.metrics["loss"][-1]
    assert (row["path"], row["objective"], row["method"]) == ("run", "rosenbrock", "momentum")
    assert row["hyperparameters"] == pytest.approx({"learning_rate": 1e-3, "momentum": 0.8})
    assert (row["status"], row["steps"], row["gradients"]) == ("finished", 50, 50)
    assert outcome.err == "run: run\n"


def test_text_is_the_row_too(thalweg):
    outcome = thalweg(*ROSENBROCK, "--steps", 5, "--out", "run")
    shown = dict(line.split(maxsplit=1) for line in outcome.out.splitlines())
    assert list(shown) == list(KEYS)
    assert shown["hyperparameters"] == "learning rate 0.001, momentum 0.9"
    assert float(shown["loss"]) == pytest.approx(tw.Run.load("run").metrics["loss"][-1], rel=1e-5)
    assert len(shown["loss"]) < 12
    assert outcome.err == "run: run\n"


def test_a_run_goes_to_a_directory_of_its_own(thalweg, place):
    paths = [Path(thalweg(*ROSENBROCK, "--steps", 5, "--json").rows[0]["path"]) for _ in range(3)]
    assert len(set(paths)) == 3
    for path in paths:
        assert path.parent == Path("runs")
        assert re.fullmatch(r"rosenbrock-momentum-\d{8}-\d{6}(-\d+)?", path.name)
        assert tw.Run.load(path).steps == 5


def test_the_record_is_what_was_asked_for(thalweg):
    thalweg(
        *ROSENBROCK, "--steps", 30, "--record", "loss", "--record", "speed", "--positions", 10, "--out", "run",
        "-m", "nesterov", "--momentum", 0.5,
    )  # fmt: skip
    run = tw.Run.load("run")
    assert set(run.metrics) == {"step", "time", "loss", "speed"}
    assert run.trace.step.tolist() == [0, 10, 20, 30]
    config = run.config["source"]
    assert config["method"] == "nesterov"
    assert config["hyperparameters"] == {"learning_rate": 1e-3, "momentum": 0.5}
    assert config["precision"] == 64


@pytest.mark.parametrize(
    "settings",
    [
        ["-m", "momentum:learning_rate=0.02,momentum=0.7"],
        ["-m", "heavy_ball", "--learning-rate", "0.02", "--momentum", "0.7"],
        ["--set", "learning-rate=0.02", "--set", "momentum=0.7"],
        ["-m", "sgd-momentum", "--learning-rate=0.02", "--set", "momentum=0.7"],
    ],
)
def test_settings_may_be_written_in_several_ways(settings, thalweg):
    (row,) = thalweg("run", "valleys:bowl", "--start", "valleys:x0", *settings, "--steps", 40, "--json").rows
    assert row["method"] == "momentum"
    np.testing.assert_allclose(
        row["loss"], tw.run(tw.momentum(bowl, 0.02, 0.7), X0, 40).metrics["loss"][-1], rtol=1e-12
    )


def test_a_method_by_its_law(thalweg):
    settings = ("-m", "heavy_ball_rk4", "--step-size", 0.1, "--friction", 0.5)
    (row,) = thalweg("run", "valleys:bowl", "--start", "1.0,-2.0", *settings, "--steps", 20, "--json").rows
    run = tw.run(tw.Method(tw.HeavyBall(bowl, 0.5), tw.RK4(), 0.1), X0, 20)
    np.testing.assert_allclose(row["loss"], run.metrics["loss"][-1], rtol=1e-12)
    assert row["gradients"] == 80


def test_a_step_not_given_is_half_the_stability_limit(thalweg):
    (row,) = thalweg("run", "valleys:bowl", "--start", "valleys:x0", "-m", "gd", "--steps", 5, "--json").rows
    assert row["hyperparameters"]["learning_rate"] == pytest.approx(0.5 * 2.0 / 10.0, rel=1e-4)
    (row,) = thalweg(
        "run", "valleys:bowl", "--start", "valleys:x0", "--momentum", 0.5, "--steps", 5, "--json"
    ).rows  # fmt: skip
    assert row["hyperparameters"]["learning_rate"] == pytest.approx(0.5 * 3.0 / 10.0, rel=1e-4)


@pytest.mark.parametrize("start", ["valleys:tree"])
def test_a_start_may_be_a_tree_and_a_function(start, thalweg):
    (row,) = thalweg("run", "valleys:tree_bowl", "--start", start, "--steps", 300, "--positions", 100, "--json").rows
    assert row["loss"] < 1e-8
    run = tw.Run.load(row["path"])
    np.testing.assert_allclose(run.final.position["w"], 2.0, atol=1e-4)
    assert run.trace.position["b"].shape == (4, 3)


def test_a_negative_start_and_an_objective_that_is_one(thalweg):
    (row,) = thalweg("run", "valleys:known", "--start=-1.0,2.0", "--steps", 5, "--json").rows
    assert row["status"] == "finished"


def test_a_seed_for_mini_batches(thalweg):
    def loss(*seed):
        settings = ("--learning-rate", 0.1, "--steps", 20, "--json")
        return thalweg("run", "valleys:sums", "--start", "valleys:x0", *settings, *seed).rows[0]["loss"]

    assert loss() == loss("--seed", 0) != loss("--seed", 1)


def test_precision(thalweg):
    thalweg(*ROSENBROCK, "--steps", 5, "--precision", 32, "--out", "run")
    run = tw.Run.load("run")
    assert run.final.position.dtype == np.float32
    assert run.config["start"]["leaves"][0]["dtype"] == "float32"


def test_a_stop_ends_it_well(thalweg):
    (row,) = thalweg(*ROSENBROCK, "--stop", "loss=1.0", "--json").rows
    assert row["status"] == "stopped"
    assert row["loss"] <= 1.0
    assert row["steps"] < 1000


def test_a_divergence_is_status_1_and_tells_the_limit(thalweg):
    outcome = thalweg("run", "valleys:bowl", "--start", "valleys:x0", "--learning-rate", 5.0, "--json", status=1)
    (row,) = outcome.rows
    assert row["status"] == "diverged"
    assert row["message"].endswith("; at curvature 10 the stability limit is learning_rate 0.38")
    assert np.isfinite(row["loss"])
    assert outcome.err == f"run: {row['path']}\n"


CONFIG = """
objective = "valleys:bowl"
start = "valleys:x0"
method = "nesterov"
learning-rate = 0.02
set = {momentum = 0.7}
steps = 40
record = ["loss", "speed"]
positions = 20
out = "configured"
stop = ["loss=1e-30"]
"""


def test_a_config_file_and_what_overrides_it(thalweg, place):
    (place / "mine.toml").write_text(CONFIG)
    (row,) = thalweg("run", "--config", "mine.toml", "--json").rows
    run = tw.run(tw.nesterov(bowl, 0.02, 0.7), X0, 40)
    np.testing.assert_allclose(row["loss"], run.metrics["loss"][-1], rtol=1e-12)
    read = tw.Run.load("configured")
    assert set(read.metrics) == {"step", "time", "loss", "speed"}
    assert len(read.trace) == 3
    (row,) = thalweg("run", "--config", "mine.toml", "--json", "--steps", 7, "--momentum", 0.1, "--out", "other").rows
    assert row["steps"] == 7
    assert row["hyperparameters"]["momentum"] == pytest.approx(0.1)


def test_what_is_not_finite_is_null_in_json(thalweg, place):
    assert json.loads(thalweg("run", "rosenbrock", "--steps", 3, "--learning-rate", 1e-3, "--json").out)
    from thalweg.cli._output import _jsonable

    assert _jsonable([{"a": float("nan"), "b": (np.float64("inf"), np.int64(3))}]) == [{"a": None, "b": [None, 3]}]


def test_progress_goes_to_stderr(thalweg):
    outcome = thalweg(*ROSENBROCK, "--steps", 5, "--progress", "--json")
    assert outcome.rows[0]["status"] == "finished"
    assert outcome.err.splitlines()[0] == "HeavyBall: compiling"


@pytest.mark.parametrize("name", ["himmelblau", "saddle"])
def test_a_step_is_found_where_the_start_curves_downwards(thalweg, name):
    """From a local maximum, and from beside a saddle whose curvature grows along the way down."""
    (row,) = thalweg("run", name, "--steps", 400, "--json", "--out", "run").rows
    assert row["status"] == "finished"
    assert row["loss"] - tw.problems.get(name).objective.minimum < 1e-9


def test_ctrl_c_while_a_step_is_tried_stops(thalweg, place, monkeypatch):
    tried = []

    def interrupted(*arguments, **options):
        tried.append(1)
        return SimpleNamespace(status="interrupted")

    monkeypatch.setattr("thalweg._loops.run.run", interrupted)
    assert thalweg("run", "saddle", "--steps", 10, status=130).err == "interrupted\n"
    assert (len(tried), list(place.iterdir())) == (1, [])


def test_auto_ends_by_itself_and_is_resumed(thalweg):
    (row,) = thalweg("run", "rosenbrock", "--method", "auto", "--set", "tolerance=1e-8", "--json", "--out", "run").rows
    assert (row["method"], row["status"]) == ("auto", "converged") and row["loss"] < 1e-15
    (again,) = thalweg("resume", "run", "--json").rows
    assert again["status"] == "converged" and again["gradients"] == row["gradients"]
    outcome = thalweg("run", "rosenbrock", "--method", "auto", "--set", "tolerance=-1", status=2)
    assert "tolerance must be at least 0" in outcome.err


def test_a_method_without_a_number_to_set(thalweg):
    (row,) = thalweg("run", "rosenbrock", "--method", "chebyshev", "--steps", 12, "--json", "--out", "run").rows
    assert (row["method"], row["status"]) == ("adaptive_chebyshev", "finished") and row["loss"] < 1e-9


def test_directories_of_runs_that_begin_at_once_are_reserved(place, monkeypatch):
    """Each is made by one process alone, and what is left empty goes."""
    with contextlib.ExitStack() as stack:
        found = [stack.enter_context(directory_for(None, "../a:b")) for _ in range(4)]
        assert len(set(found)) == 4 and all(path.parent == Path("runs") and path.is_dir() for path in found)
        (found[0] / "run.toml").touch()
    assert list(Path("runs").iterdir()) == [found[0]]
    monkeypatch.chdir("runs")
    Path("runs").touch()
    with pytest.raises(tw.InputError, match="runs is no directory, and runs go there"), directory_for(None, "a"):
        pass
