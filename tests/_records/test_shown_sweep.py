"""Directories of sweeps at the command line: listed, shown, exported."""

import csv

import jax.numpy as jnp
import numpy as np
import pytest
import xarray

import thalweg as tw
from thalweg.cli._app import _status

CURVATURE = jnp.array([1.0, 4.0])
RATES = [0.1, 0.6, 0.25]


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    """Three rates, of which the second is beyond the limit of 0.5."""
    place = tmp_path_factory.mktemp("sweeps")
    return tw.sweep(
        lambda learning_rate: tw.gradient_descent(lambda p: 0.5 * jnp.sum(CURVATURE * p["w"] ** 2), learning_rate),
        {"learning_rate": RATES}, {"w": jnp.array([1.0, -1.0])}, 30, 2, out=place / "mine",
    )  # fmt: skip


@pytest.fixture
def thalweg(sweep, capsys, monkeypatch):
    import json

    monkeypatch.chdir(sweep.path.parent)

    def call(*arguments, status=0):
        assert _status([*map(str, arguments)]) == status
        out, err = capsys.readouterr()
        return json.loads(out) if "--json" in arguments else (out, err)

    return call


def test_it_is_a_row_of_the_list(thalweg):
    (row,) = thalweg("list", ".", "--json")
    # Of a quadratic in closed form: each mode is multiplied by 1 - a c at every step.
    best = 0.5 * (0.75**60 + 4.0 * 0.0**60)
    assert row["loss"] == pytest.approx(best, rel=1e-9)
    assert (row["path"], row["hyperparameters"], row["steps"]) == ("mine", {"learning_rate": 0.25}, 30)
    assert (row["status"], row["settings"], row["seeds"]) == ("finished", 3, 2)
    assert "mine" in thalweg("list", ".")[0]


def test_its_settings_are_shown_from_the_best_on(thalweg):
    rows = thalweg("show", "mine", "--json")
    assert [row["learning_rate"] for row in rows] == [0.25, 0.1, 0.6]
    assert [row["regime"] for row in rows] == ["monotone", "monotone", "diverging"]
    out, err = thalweg("show", "mine")
    assert err == "" and out.index("0.25") < out.index("monotone") < out.index("diverging")
    assert thalweg("resume", "mine", status=2)[1] == (
        "error: mine was begun from Python, not from the command line; go on there with "
        "tw.sweep(..., out=..., resume=True)\n"
    )


@pytest.mark.parametrize("name", ["a.csv", "a.npz", "a.nc"])
def test_it_is_exported(name, thalweg, sweep, tmp_path):
    assert thalweg("export", "mine", tmp_path / name)[1] == f"wrote {tmp_path / name}\n"
    if name == "a.csv":
        with open(tmp_path / name, newline="") as file:
            rows = list(csv.DictReader(file))
        assert [float(row["learning_rate"]) for row in rows] == [0.1, 0.1, 0.6, 0.6, 0.25, 0.25]
        np.testing.assert_array_equal([float(row["final_loss"]) for row in rows], sweep.final_loss.ravel())
    elif name == "a.npz":
        with np.load(tmp_path / name) as arrays:
            np.testing.assert_array_equal(arrays["metrics/loss"], sweep.losses)
            np.testing.assert_array_equal(arrays["final/w"], sweep.final["w"])
            np.testing.assert_array_equal(arrays["settings/learning_rate"], RATES)
    else:
        with xarray.open_dataset(tmp_path / name, engine="h5netcdf") as opened:
            xarray.testing.assert_identical(opened.load(), sweep.to_xarray())
