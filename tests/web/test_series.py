"""Curves for a browser: thinned with their extremes, read as they grow, and no byte twice."""

import contextlib
import json
import shutil

import numpy as np
import pytest

import thalweg as tw
from thalweg._errors import InputError
from thalweg._records.directory import to_lines
from thalweg.web._answers import Answers
from thalweg.web._plain import encoded
from thalweg.web._series import thinned


def recorded(path, rows, loss=None, batch=None):
    with tw.Recorder(path, tw.Hyperparameters(0.5), batch_size=batch) as recorder:
        recorder.log(loss=1.0)
    values = {"step": np.arange(rows), "loss": np.linspace(2.0, 1.0, rows) if loss is None else loss}
    (path / "metrics.jsonl").write_text(to_lines(values))


@pytest.mark.parametrize("most", [10, 11, 400, 4000])
@pytest.mark.parametrize("count", [5, 10, 399, 4001, 100_003])
def test_a_thinned_curve_keeps_ends_and_extremes(rng, count, most):
    y = rng.standard_normal(count)
    if count > 20:
        y[[3, count // 2]] = [50.0, -50.0]
        y[7] = np.nan
    rows = thinned(y, most)
    assert len(rows) <= most and np.all(np.diff(rows) > 0) and rows[0] == 0 and rows[-1] == count - 1
    if count > 20:
        assert {3, count // 2} <= set(rows.tolist())
    if count <= most:
        assert len(rows) == count


def test_a_spike_of_one_step_in_a_million_is_seen_and_the_thinning_said(tmp_path):
    loss = np.full(1_000_000, 1.0)
    loss[654_321] = 7.25
    recorded(tmp_path / "long", 1_000_000, loss)
    with contextlib.closing(Answers(tmp_path)) as answers:
        curve = answers.series({"wanted": [{"run": "long", "metric": "loss"}]})["curves"][0]
    assert len(curve["x"]) <= 4000 and curve["of"] == 1_000_000
    at = int(np.argmax(curve["y"]))
    assert (curve["x"][at], curve["y"][at]) == (654_321, 7.25)


def test_long_curves_are_read_by_processes_that_may_be_killed(tmp_path, rng, monkeypatch):
    monkeypatch.setattr("thalweg.web._answers._LONG", 1000)
    losses = {}
    for name, rows in (("a", 3_000), ("b", 2_000), ("short", 5)):
        losses[name] = rng.random(rows)
        recorded(tmp_path / name, rows, losses[name])
    (tmp_path / "bad").mkdir()
    shutil.copy(tmp_path / "a" / "run.toml", tmp_path / "bad" / "run.toml")
    (tmp_path / "bad" / "metrics.jsonl").write_text("x" * 2000 + "\n")
    wanted = [{"run": name, "metric": "loss"} for name in ("a", "b", "short", "bad", "a", "../a")]
    with contextlib.closing(Answers(tmp_path)) as answers:
        curves = answers.series({"wanted": wanted})["curves"]
        assert "is damaged" in curves[3]["error"] and "error" in curves[5]
        for name, curve in zip("ab", curves, strict=False):
            loss = losses[name]
            rows = thinned(loss, 4000)
            assert np.array_equal(curve["y"], loss[rows]) and np.array_equal(curve["x"], rows)
        assert len(curves[2]["x"]) == 5 and np.array_equal(curves[4]["y"], curves[0]["y"])
        processes = [reader._process for reader in answers._readers._readers if reader._process is not None]
        assert processes
        for process in processes:
            process.kill()
        assert np.array_equal(answers.series({"wanted": wanted})["curves"][0]["y"], curves[0]["y"])
    assert all(process.poll() is not None for process in processes)


@pytest.mark.parametrize("name", ["threadpoolctl", "random"])
def test_long_curves_do_without_the_extra_and_import_no_file_of_the_users(tmp_path, monkeypatch, name):
    monkeypatch.setattr("thalweg.web._answers._LONG", 1000)
    recorded(tmp_path / "a", 3_000)
    broken = tmp_path / "here"
    broken.mkdir()
    (broken / f"{name}.py").write_text("raise ImportError")
    if name == "threadpoolctl":
        # As where it is not installed.
        monkeypatch.setenv("PYTHONPATH", str(broken))
    monkeypatch.chdir(broken)
    with contextlib.closing(Answers(tmp_path)) as answers:
        assert answers.series({"wanted": [{"run": "a", "metric": "loss"}]})["curves"][0]["of"] == 3_000


def test_a_part_is_read_with_all_of_its_points(tmp_path, rng):
    loss = rng.random(20_000)
    recorded(tmp_path / "a", 20_000, loss)
    wanted = {"run": "a", "metric": "loss", "range": [5_000.0, 6_000.0]}
    curve = Answers(tmp_path).series({"wanted": [wanted]})["curves"][0]
    # One beyond on either side, so that the line goes on to the edge.
    assert np.array_equal(curve["x"], np.arange(4_999, 6_002)) and np.array_equal(curve["y"], loss[4_999:6_002])


def test_two_hundred_runs_that_go_on_cost_64_kB_a_tick_and_no_row_twice(tmp_path):
    answers = Answers(tmp_path)
    names = [f"run-{i:03}" for i in range(200)]
    recorded(tmp_path / names[0], 50)
    for name in names[1:]:
        shutil.copytree(tmp_path / names[0], tmp_path / name)
    wanted = [{"run": name, "metric": "loss"} for name in names]
    first = answers.series({"wanted": wanted, "points": 300})["curves"]
    for name in names:
        with open(tmp_path / name / "metrics.jsonl", "a") as file:
            values = {"step": np.arange(50, 5_000), "loss": np.linspace(1.0, 1.0 / 3.0, 4_950)}
            file.write(to_lines(values))
    later = [one | {"after": [c["generation"], c["rows"]]} for one, c in zip(wanted, first, strict=True)]
    tick = answers.series({"wanted": later})
    assert len(encoded(tick)) <= 64_000
    for curve in tick["curves"]:
        assert not curve["reset"] and curve["rows"] == 5_000 and min(curve["x"]) >= 50 and max(curve["x"]) == 4_999
    last = [one | {"after": [c["generation"], c["rows"]]} for one, c in zip(wanted, tick["curves"], strict=True)]
    assert all(not len(c["x"]) and not c["reset"] for c in answers.series({"wanted": last})["curves"])


def test_a_run_that_was_begun_anew_is_sent_anew(tmp_path):
    answers = Answers(tmp_path)
    recorded(tmp_path / "a", 50)
    first = answers.series({"wanted": [{"run": "a", "metric": "loss"}]})["curves"][0]
    (tmp_path / "a" / "metrics.jsonl").write_text(to_lines({"step": np.arange(5), "loss": np.ones(5)}))
    again = answers.series({"wanted": [{"run": "a", "metric": "loss", "after": [first["generation"], first["rows"]]}]})
    assert again["curves"][0]["reset"] and again["curves"][0]["rows"] == 5


@pytest.mark.parametrize(("against", "last"), [("step", 9.0), ("gradients", 9.0), ("samples", 9.0 * 32)])
def test_curves_are_drawn_against_steps_gradients_and_samples(tmp_path, against, last):
    recorded(tmp_path / "a", 10, batch=32)
    wanted = {"run": "a", "metric": "loss", "against": against}
    assert Answers(tmp_path).series({"wanted": [wanted]})["curves"][0]["x"][-1] == last


def test_physical_time_is_that_of_the_run(tmp_path):
    import jax.numpy as jnp

    method = tw.momentum(lambda x: 0.5 * jnp.sum(x**2), 0.25, 0.5)
    run = tw.run(method, jnp.ones(2), 20, out=tmp_path / "a", progress=False)
    wanted = {"run": "a", "metric": "loss", "against": "time"}
    assert np.array_equal(Answers(tmp_path).series({"wanted": [wanted]})["curves"][0]["x"], run.metrics["time"])


def test_one_that_cannot_be_read_does_not_hide_the_others(tmp_path):
    recorded(tmp_path / "good", 5)
    recorded(tmp_path / "bad", 5)
    (tmp_path / "bad" / "metrics.jsonl").write_text("nonsense\n")
    curves = Answers(tmp_path).series({"wanted": [{"run": name} for name in ("bad", "none", "good")]})["curves"]
    assert "damaged" in curves[0]["error"] and "no run" in curves[1]["error"] and len(curves[2]["y"]) == 5


@pytest.mark.parametrize(
    "asked",
    [{}, {"wanted": []}, {"wanted": 3}, {"wanted": [3]}, {"wanted": [{}] * 501}, {"wanted": [{}], "points": 1e9},
     {"wanted": [{}], "points": True}],
)  # fmt: skip
def test_a_question_that_is_none_is_refused(tmp_path, asked):
    with pytest.raises(InputError):
        Answers(tmp_path).series(asked)


@pytest.mark.parametrize(
    "more", [{"against": "x"}, {"after": 3}, {"after": [1, "a"]}, {"range": [1]}, {"range": [None, 2]}]
)
def test_a_curve_that_is_none_says_so(tmp_path, more):
    recorded(tmp_path / "a", 5)
    assert Answers(tmp_path).series({"wanted": [{"run": "a"} | more]})["curves"][0]["error"]


def test_what_is_not_finite_is_null_in_json():
    assert json.loads(encoded({"a": np.array([1.0, np.nan, np.inf]), "b": -float("inf"), "c": np.float32(0.5)})) == {
        "a": [1.0, None, None], "b": None, "c": 0.5,
    }  # fmt: skip


def test_the_list_sends_what_changed_alone(tmp_path):
    answers = Answers(tmp_path)
    for name in "abc":
        recorded(tmp_path / name, 5)
    first = answers.runs({})
    assert [row["id"] for row in first["rows"]] == list("abc") and {row["kind"] for row in first["rows"]} == {
        "recorded"
    }
    assert answers.runs({"since": first["mark"]})["rows"] == []
    recorded(tmp_path / "d", 5)
    second = answers.runs({"since": first["mark"]})
    assert not second["all"] and [row["id"] for row in second["rows"]] == ["d"]
    shutil.rmtree(tmp_path / "a")
    assert answers.runs({"since": second["mark"]})["gone"] == ["a"]
    assert answers.runs({"since": "nonsense"})["all"]
