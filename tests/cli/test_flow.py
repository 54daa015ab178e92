"""thalweg flow."""

import numpy as np
import pytest

import thalweg as tw
from tests.pages import Page

WELL = ("flow", "double-well", "--steps", 8, "--time", 0.2, "--cells", 12)
FACTS = ("mean", "deviations", "mass")


def test_json_is_one_row_and_the_directory_has_the_distribution(thalweg):
    outcome = thalweg(*WELL, "--json", "--out", "run")
    (row,) = outcome.rows
    run = tw.Run.load("run")
    q = run.final.position
    assert isinstance(q, tw.measures.Grid) and q.mesh.shape == (12, 12)
    assert (row["status"], row["steps"], row["objective"]) == ("finished", 8, "Potential + Entropy")
    assert row["mean"] == pytest.approx(np.asarray(q.mean).tolist())
    assert row["mass"] == pytest.approx(1.0, abs=1e-12)
    assert set(FACTS) <= set(row) and outcome.err == "run: run\n"


@pytest.mark.parametrize("on", ["particles", "gaussian"])
def test_pictures_are_drawn_and_the_run_goes_on_to_the_same_end(thalweg, on):
    options = ("--on", on, "--count", 20, "--out", "run", "--plot", "a.png", "--plot", "b.gif", "--seed", 3)
    outcome = thalweg(*WELL, *options)
    assert outcome.status == 0 and outcome.err.splitlines() == ["run: run", "picture: a.png", "picture: b.gif"]
    names = [line.split()[0] for line in outcome.out.splitlines()]
    assert names[-3:] == list(FACTS)
    for name, start in (("a.png", b"\x89PNG"), ("b.gif", b"GIF8")):
        with open(name, "rb") as file:
            assert file.read(4) == start
    first = tw.Run.load("run").final.position.mean
    again = thalweg("resume", "run")
    assert again.status == 0
    np.testing.assert_array_equal(tw.Run.load("run").final.position.mean, first)
    assert "which steps cannot change" in thalweg("resume", "run", "--steps", 20, status=2).err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--on", "sphere"), "choose one of: gaussian, grid, particles, quantiles"),
        (("--geometry", "wasser"), "did you mean 'wasserstein'?"),
        (("--time", -1), "time must be greater than 0"),
        (("--time", "nan"), "time must be finite"),
        (("--cells", 2), "cells must be a whole number of at least 3"),
        (("--count", 1), "count must be a whole number of at least 3"),
        (("--deviation", 0), "deviation must be greater than 0"),
        (("--temperature", -1), "temperature must be at least 0"),
        (("--bandwidth", 0), "bandwidth must be greater than 0"),
        (("--low", "nan"), "low must be finite"),
        (("--high", "inf"), "high must be finite"),
        (("--low", 3, "--high", -3), "low must be less than high"),
        (("--start", "1,2,3"), "shape (2,)"),
        (("--start", "a"), "numbers such as 1.0,2.0"),
        (("--plot", "x.txt"), "must end with one of .png"),
        (("--plot", "no/x.png"), "no is not a directory"),
        (("--functional", "math:pi"), "must be one of tw.measures"),
        (("--on", "quantiles"), "take particles"),
        (("--geometry", "kalman-wasserstein"), "KalmanWasserstein does not move a grid"),
        (("--frobnicate", 3), "Unknown option"),
    ],
)
def test_a_wrong_value_is_one_line_and_writes_nothing(thalweg, tmp_path, options, message):
    outcome = thalweg("flow", "double-well", *options, status=2)
    assert outcome.out == ""
    assert message in outcome.err and len(outcome.err.splitlines()) == 1
    assert list((tmp_path / "here").iterdir()) == []


def test_a_grid_that_no_box_holds_is_refused_and_one_that_is_far_is_found(thalweg, tmp_path):
    (tmp_path / "modules" / "hillside.py").write_text("def slope(x):\n    return x[0]\n")
    outcome = thalweg("flow", "hillside:slope", "--start", "0.0", "--cells", 8, status=2)
    assert "give its ends: --low -5 --high 5" in outcome.err
    # Of a start that is very narrow the box is doubled until V is high all around.
    (row,) = thalweg("flow", "double-well", "--steps", 8, "--deviation", 1e-3, "--cells", 40, "--json").rows
    assert row["deviations"][0] > 0.1


def test_a_report_has_the_distributions_of_the_run(thalweg, tmp_path):
    outcome = thalweg(*WELL, "--report", "new/flow.html", "--out", "run")
    assert outcome.err.splitlines() == ["run: run", "report: new/flow.html"]
    page = Page(tmp_path / "here" / "new" / "flow.html")
    assert len(page.of("input")) == 1 and "double-well: a flow of a grid" in page.words
    assert f'max="{len(tw.Run.load("run").trace.time) - 1}"' in page.source
    outcome = thalweg(*WELL, "--report", "new", "--out", "other", status=2)
    assert "report new is a directory" in outcome.err and not (tmp_path / "here" / "other").exists()


def test_a_drift_carries_the_mass_besides(thalweg, tmp_path):
    (tmp_path / "modules" / "swirl.py").write_text(
        "import jax.numpy as jnp\n\n\ndef turn(x):\n    return 3.0 * jnp.stack([-x[1], x[0]])\n\n\n"
        "def short(x):\n    return 1.0\n"
    )
    found = thalweg(*WELL, "--on", "gaussian", "--drift", "swirl:turn", "--out", "run", "--json").rows[0]
    without = thalweg(*WELL, "--on", "gaussian", "--json").rows[0]
    assert np.linalg.norm(np.subtract(found["mean"], without["mean"])) > 0.1
    assert thalweg("resume", "run", "--json").rows[0]["mean"] == found["mean"]
    for options, message in (
        (("--drift", "swirl:none"), "swirl"),
        (("--drift", "swirl:short"), "drift must give a velocity of shape (2,)"),
        (("--drift", "swirl:turn", "--geometry", "fisher-rao"), "carries mass in tw.geometry.Wasserstein()"),
    ):
        outcome = thalweg(*WELL, *options, "--out", "wrong", status=2)
        assert message in outcome.err and len(outcome.err.splitlines()) == 1
        assert not (tmp_path / "wrong").exists()
