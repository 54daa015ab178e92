"""Directories that version 0.1.0 wrote before its files were moved into rooms: they still read, and go on."""

import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.cli._app import _status

BEFORE = Path(__file__).parent / "written_before"


@pytest.fixture
def copied(tmp_path):
    return Path(shutil.copytree(BEFORE, tmp_path / "runs"))


def rosenbrock(config):
    problem = tw.problems.rosenbrock()
    return tw.nesterov(problem.objective, **config["method"]["hyperparameters"]), problem.start


def test_a_run_reads_with_its_look_ahead_point(copied):
    run = tw.Run.load(copied / "nesterov")
    method, start = rosenbrock(run.config)
    again = tw.run(method, start, 10, record=tw.Record(positions=5))
    assert (run.status, run.steps, run.gradients, len(run.trace)) == ("finished", 10, 10, 3)
    # Another processor may round each of ten steps otherwise.
    for part in ("position", "lookahead", "velocity"):
        np.testing.assert_allclose(getattr(run.final, part), getattr(again.final, part), rtol=1e-11)
    assert np.abs(run.final.lookahead - run.final.position).max() > 1e-3
    np.testing.assert_allclose(run.metrics["loss"], again.metrics["loss"], rtol=1e-11)
    np.testing.assert_allclose(run.trace.position, again.trace.position, rtol=1e-11)


def test_a_run_goes_on(copied, capsys):
    assert _status(["resume", str(copied / "nesterov"), "--steps", "15"]) == 0
    assert "made 15 steps" in capsys.readouterr().out
    run = tw.Run.load(copied / "nesterov")
    method, start = rosenbrock(run.config)
    np.testing.assert_allclose(run.final.position, tw.run(method, start, 15).final.position, rtol=1e-11)


def test_samples_read_and_go_on(copied):
    before = tw.read_samples(copied / "samples")
    assert before["posterior"]["x"].shape == (2, 6, 2)
    kept = before["posterior"]["x"].values.copy()
    assert _status(["resume", str(copied / "samples"), "--draws", "9"]) == 0
    after = tw.read_samples(copied / "samples")["posterior"]["x"].values
    assert after.shape == (2, 9, 2)
    np.testing.assert_array_equal(after[:, :6], kept)


def test_moments_read(copied):
    tree = tw.read_samples(copied / "moments")
    assert tree.attrs["status"] == "finished"
    mean = tree["diagnostics"]["x"].sel(statistic="mean").values
    np.testing.assert_allclose(mean, [0.16029959, 0.07888589], rtol=0, atol=1e-8)  # as version 0.1.0 read them


def test_what_was_recorded_reads_and_goes_on(copied):
    run = tw.Run.load(copied / "recorder")
    np.testing.assert_array_equal(run.metrics["loss"], [1.0, 1 / 2, 1 / 3])
    np.testing.assert_array_equal(run.final.position["a"], [2.0, 2.0])
    with tw.Recorder(copied / "recorder", tw.Hyperparameters(0.1, 0.9), "a bowl", resume=True) as recorder:
        assert recorder.step == 3
        recorder.log(loss=0.25, gradient=0.25, curvature=1.0, parameters={"a": jnp.zeros(2)})
    assert recorder.run.metrics["loss"].tolist() == [1.0, 1 / 2, 1 / 3, 1 / 4]


def test_they_are_listed(copied, capsys):
    assert _status(["list", str(copied)]) == 0
    printed = capsys.readouterr().out
    assert all(name in printed for name in ("nesterov", "samples", "moments", "recorder"))
    assert "unreadable" not in printed
