"""thalweg compare."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

KEYS = {
    "method", "hyperparameters", "gradients", "steps", "seconds", "loss", "regime", "predicted_limit", "measured_limit",
}  # fmt: skip
BOWL = ("compare", "valleys:known", "--start", "valleys:x0", "--tolerance", 1e-6, "--max-gradients", 200)


def bowl(x):
    return 0.5 * jnp.sum(jnp.array([1.0, 10.0]) * x**2)


def test_json_is_the_contract(thalweg):
    outcome = thalweg(*BOWL, "--json", "--out", "runs/here")
    rows = {row["method"]: row for row in outcome.rows}
    assert set(rows) == {"gradient_descent", "rk4", "momentum", "nesterov"}
    for row in rows.values():
        assert set(row) >= KEYS
    assert rows["gradient_descent"]["predicted_limit"] == pytest.approx(0.2, rel=1e-6)
    assert rows["gradient_descent"]["measured_limit"] == pytest.approx(0.2, rel=0.01)
    # A step that is not given is half the limit.
    assert rows["gradient_descent"]["hyperparameters"]["learning_rate"] == pytest.approx(0.1, rel=1e-4)
    f = tw.Objective(bowl, minimum=0.0)
    result = tw.compare({"gd": tw.gradient_descent(f, 0.1)}, jnp.array([1.0, -2.0]), 1e-6, 200, limits=False)
    assert rows["gradient_descent"]["gradients"] == result["gd"].gradients
    assert outcome.err == "runs: runs/here\n"


def test_each_method_leaves_a_run_that_can_be_resumed(thalweg):
    thalweg(*BOWL, "-m", "rk4", "-m", "momentum:momentum=0.37", "--no-limits", "--out", "runs/here")
    rows = thalweg("list", "runs", "--json").rows
    assert [row["path"] for row in rows] == ["runs/here/momentum", "runs/here/rk4"]
    assert [row["steps"] for row in rows] == [200, 50]
    for row in rows:
        (resumed,) = thalweg("resume", row["path"], "--steps", 210, "--json", "--trust").rows
        assert resumed["steps"] == 210


def test_a_table_for_people(thalweg):
    outcome = thalweg(*BOWL, "-m", "gd:learning_rate=0.1", "-m", "gd:learning_rate=0.5", "--no-limits")
    assert outcome.out.startswith("To gap 1e-06 of its start, at most 200 gradients")
    assert "gradient_descent-1" in outcome.out
    assert "gradient_descent-2" in outcome.out
    assert "diverging" in outcome.out
    assert re.fullmatch(r"runs: runs/compare-valleys-known-\d{8}-\d{6}\n", outcome.err)


def test_a_config_file_and_what_overrides_it(thalweg, place):
    (place / "mine.toml").write_text(
        'objective = "valleys:known"\nstart = "valleys:x0"\nmethod = ["gd", "momentum:momentum=0.5"]\n'
        'tolerance = 1e-4\nmax-gradients = 100\nlimits = false\nout = "configured"\n'
    )
    rows = thalweg("compare", "--config", "mine.toml", "--json").rows
    assert [row["method"] for row in rows] == ["gradient_descent", "momentum"]
    assert rows[0]["measured_limit"] is None
    assert tw.Run.load("configured/momentum").steps == 100
    (row,) = thalweg("compare", "--config", "mine.toml", "-m", "rk4", "--out", "other", "--json").rows
    assert row["method"] == "rk4"


def test_seeds(thalweg):
    settings = ("--start", "valleys:x0", "-m", "momentum:learning_rate=0.05", "--max-gradients", 20, "--no-limits")
    one, two = (
        thalweg("compare", "valleys:sums", *settings, "--seeds", seeds, "--json", "--out", f"runs{seeds}").rows[0][
            "loss"
        ]
        for seeds in (1, 2)
    )
    assert one != two


@pytest.mark.slow
def test_a_report_is_written_where_it_is_asked_for(thalweg):
    outcome = thalweg(*BOWL, "-m", "momentum", "--report", "pages/report.html")
    assert outcome.err.splitlines()[-1] == "report: pages/report.html"
    page = Path("pages/report.html").read_text()
    assert page.lstrip().lower().startswith("<!doctype html")
    # It opens without a network: nothing is fetched.
    assert not re.findall(r"""(?:src|href)\s*=\s*["']?(?:https?:)?//""", page)
    assert "@import" not in page
    run = tw.Run.load(next(Path("runs").glob("*/momentum")))
    assert run.trace is not None


def test_problems_of_ours(thalweg):
    (row,) = thalweg("compare", "rosenbrock", "-m", "nesterov", "--max-gradients", 60, "--json").rows
    assert np.isfinite(row["loss"])
    assert row["gradients"] <= 60


@pytest.fixture
def directories(thalweg):
    """A run of ours and a recorded one."""
    thalweg("run", "valleys:bowl", "--start", "valleys:x0", "-m", "momentum", "--learning-rate", 0.02, "--steps", 60,
            "--out", "runs/ours")  # fmt: skip
    with tw.Recorder("runs/mine", tw.Hyperparameters(0.1, 0.9), "digits, 2 layers") as recorder:
        for k in range(10):
            recorder.log(loss=10.0**-k)
    return "runs/ours", "runs/mine"


def test_run_directories_are_compared_as_they_are(thalweg, directories, place):
    before = sorted(place.rglob("*"))
    ours, mine = thalweg("compare", *directories, "--json").rows
    assert sorted(place.rglob("*")) == before
    assert (ours["name"], ours["method"], ours["objective"]) == ("runs/ours", "momentum", "valleys:bowl")
    assert (mine["gradients"], mine["reached"], mine["best"], mine["status"]) == (3, True, 1e-9, "finished")
    assert mine["hyperparameters"] == {"learning_rate": 0.1, "momentum": 0.9}
    outcome = thalweg("compare", *directories, "--tolerance", 1e-5, "--report", "page.html")
    assert outcome.out.startswith("To a loss of 1e-05 of its start")
    assert outcome.err == "report: page.html\n"
    assert "digits, 2 layers" in Path("page.html").read_text()
    (alone,) = thalweg("compare", "runs/mine", "--json").rows
    assert alone == mine


def test_what_run_directories_do_not_take_is_one_line(thalweg, directories):
    for arguments, message in (
        (
            (*directories, "--seeds", 3, "-m", "gd"),
            "run directories are compared as they are; leave out --method, --seeds",
        ),
        (("digits", "runs/mine"), "digits is not a run directory: it holds no run.toml"),
        (("runs/mine", "nowhere"), "nowhere is not a run directory: it holds no run.toml"),
    ):
        assert thalweg("compare", *arguments, status=2).err == f"error: {message}\n"


def test_a_problem_of_ours_goes_before_a_directory_of_its_name(thalweg, directories, place):
    (place / "runs" / "mine").rename(place / "rosenbrock")
    (row,) = thalweg("compare", "rosenbrock", "-m", "gd:learning_rate=1e-4", "--max-gradients", 5, "--json").rows
    assert row["method"] == "gradient_descent"
    (row,) = thalweg("compare", "./rosenbrock", "--json").rows
    assert row["method"] == "momentum"
