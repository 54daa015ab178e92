"""thalweg compare --work-precision."""

import json

import jaxtyping
import pytest

import thalweg as tw

FOLLOW = ("compare", "valleys:known", "--start", "valleys:x0", "--work-precision")


def test_json_holds_a_run_a_row_and_the_files_are_written(thalweg, place):
    outcome = thalweg(*FOLLOW, "--until", 0.5, "-m", "euler", "-m", "rk4:learning_rate=0.1", "--json", "--out", "here")
    assert {row["method"] for row in outcome.rows} == {"gradient_descent", "rk4"}
    wanted = {"method", "steps", "step_size", "tolerance", "gradients", "seconds", "error", "diverged", "order"}
    assert all(set(row) == wanted for row in outcome.rows)
    finest = [row for row in outcome.rows if row["method"] == "gradient_descent"][-1]
    assert (finest["steps"], finest["gradients"]) == (16384, 16384)
    # Modes of curvature 1 and 10 from (1, -2).
    ends = [((1 - c * 0.5 / 16384) ** 16384 - 2.718281828459045 ** (-c * 0.5)) * x for c, x in ((1, 1), (10, -2))]
    assert finest["error"] == pytest.approx((ends[0] ** 2 + ends[1] ** 2) ** 0.5 / 5**0.5, rel=1e-6)
    assert json.loads((place / "here" / "work_precision.json").read_text())["points"] == outcome.rows
    assert outcome.err == "written: here/work_precision.json\nwritten: here/work_precision.svg\n"


def test_a_table_for_people(thalweg, place):
    (place / "mine.toml").write_text('objective = "quadratic-2d"\nwork-precision = true\nuntil = 1\nmethod = "heun"\n')
    out = thalweg("compare", "--config", "mine.toml").out
    assert out.startswith("GradientFlow(rate 1) followed to time 1; errors relative to the size of x, 1.41.\n")
    assert "closed form, by the matrix exponential" in out
    assert out.count("\n heun ") > 10
    assert "gradients to 1e-06" in out
    assert "fewest gradients" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--tolerance", 1e-3, "--no-limits"), "leave out --tolerance, --limits"),
        (("--until", -1), "until must be greater than 0"),
        (("-m", "euler", "-m", "momentum"), "methods must follow one law of motion"),
        (("-m", "sgld"), "draws noise"),
        (("-m", "nothing"), "'nothing'"),
    ],
)
def test_bad_input_is_one_line(thalweg, monkeypatch, arguments, message):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    error = thalweg(*FOLLOW, *arguments, status=2).err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert message in error


def test_a_time_without_it_is_refused(thalweg):
    assert "until is the time of --work-precision" in thalweg(*FOLLOW[:4], "--until", 1, status=2).err


def test_without_matplotlib_the_rest_is_there(thalweg, monkeypatch):
    def missing(*_):
        raise tw.InputError("plots need matplotlib")

    monkeypatch.setattr("thalweg.plot._work.require_matplotlib", missing)
    error = thalweg(*FOLLOW, "-m", "tsit5", "--out", "here").err
    assert error == "no picture: plots need matplotlib\nwritten: here/work_precision.json\n"
