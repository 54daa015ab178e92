"""thalweg sample, and what the other commands do with its directories."""

import csv
import json
import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
import xarray

import thalweg as tw
from thalweg._loops.interrupt import Interrupt

FEW = ("--draws", 60, "--warmup", 20, "--chains", 2)
BOWL = ("sample", "valleys:bowl", "--start", "valleys:x0", "--out", "here")
KEYS = ("name", "mean", "sd", "mcse_mean", "ess", "ess_tail", "r_hat", "exact_mean", "exact_sd", "z")


def bowl(x):
    return 0.5 * jnp.sum(jnp.array([1.0, 10.0]) * x**2)


def test_json_is_a_row_a_parameter(thalweg):
    outcome = thalweg("sample", "double-well", "--draws", 3000, "--json", "--out", "here")
    rows = outcome.rows
    assert [row["name"] for row in rows] == ["x[0]", "x[1]"] and all(tuple(row) == KEYS for row in rows)
    tree, moments = tw.read_samples("here"), tw.problems.double_well().moments
    statistics = tree["diagnostics"]["x"]
    for i, row in enumerate(rows):
        for name, statistic in (("mean", "mean"), ("sd", "sd"), ("ess", "ess_bulk"), ("r_hat", "r_hat")):
            assert row[name] == statistics.sel(statistic=statistic).values[i]
        assert row["exact_sd"] == pytest.approx(np.sqrt(moments.variance[i]), rel=1e-12)
        assert row["z"] == pytest.approx(row["mean"] / row["mcse_mean"], rel=1e-12)
        assert abs(row["z"]) < 5
    # Of four chains; the step is the one that tw.sample chooses for the law of the row.
    law = tw.UnderdampedLangevin(tw.problems.double_well().objective, friction=1.0, temperature=1.0)
    again = tw.sample(law, tw.problems.double_well().start, 3000, progress=False)
    assert (tree["posterior"]["x"].values == again["posterior"]["x"].values).all()
    assert tree.attrs["hyperparameters"] == again.attrs["hyperparameters"]


def test_text_is_a_table_and_the_rest_goes_to_stderr(thalweg):
    outcome = thalweg("sample", "double-well", *FEW)
    lines = [line.split() for line in outcome.out.splitlines() if line.strip()]
    assert " ".join(lines[0]) == "name mean sd mcse mean ess ess tail r hat exact mean exact sd z"
    assert [line[0] for line in lines[2:]] == ["x[0]", "x[1]"] and "\x1b" not in outcome.out
    lines = outcome.err.splitlines()
    assert re.fullmatch(r"16\d gradients, \S+ s", lines[0])
    path = lines[1].removeprefix("samples: ")
    assert re.fullmatch(r"runs/double-well-baoab-\d{8}-\d{6}", path)
    assert lines[-1].startswith("hint: the effective sample size of x[")
    assert re.search(rf"below 400; go on with: thalweg resume {path} --draws \d+$", lines[-1])
    shown = thalweg("show", path)
    assert (shown.out, shown.err) == (outcome.out, outcome.err)
    assert len(thalweg("show", path, "--json").rows) == 2
    (row,) = thalweg("list", "--json").rows
    assert (row["path"], row["objective"], row["method"], row["steps"]) == (path, "double-well", "baoab", 60)
    assert (row["status"], row["loss"], row["gradients"]) == ("finished", None, int(lines[0].split()[0]))
    assert path in thalweg("list").out


def test_a_given_step_is_taken_and_a_warning_is_one_line(thalweg):
    settings = ("-m", "sgld:temperature=0.5", "--learning-rate", 0.18, "--seed", 3)
    outcome = thalweg(*BOWL, *settings, *FEW, "--json")
    method = tw.sgld(bowl, 0.18, 0.5)
    with pytest.warns(tw.SamplingWarning) as caught:
        tree = tw.sample(method, jnp.array([1.0, -2.0]), 60, 2, 20, key=3, progress=False)
    np.testing.assert_allclose(tw.read_samples("here")["posterior"]["x"], tree["posterior"]["x"], rtol=1e-12)
    assert outcome.err.splitlines()[0] == f"warning: {caught[0].message}"
    assert "SamplingWarning" not in outcome.err
    assert outcome.rows[0]["exact_mean"] is None


def test_what_is_wrong_is_said_as_in_python(thalweg):
    """Warnings with the counts, once, and again by show; a hint is then the command alone."""
    settings = ("--step-size", 0.8, "--draws", 400, "--seed", 3)
    outcome = thalweg("sample", "valleys:half", "--start", "2.0", "--out", "here", *settings)
    lines, attributes = outcome.err.splitlines(), tw.read_samples("here").attrs
    texts = json.loads(attributes["warnings"])
    assert [line.removeprefix("warning: ") for line in lines[: len(texts)]] == texts and len(texts) >= 3
    assert texts[0].startswith("the potential is not finite at") and attributes["nonfinite_potentials"] > 100
    assert any(text.startswith("r_hat of x[0] is") for text in texts)
    assert re.fullmatch(r"hint: go on with: thalweg resume here --objective valleys:half --draws \d+", lines[-1])
    assert outcome.err.count("effective sample size") == 1 and outcome.err.count("r_hat of") == 1
    assert thalweg("show", "here").err == outcome.err


def test_another_temperature_has_other_moments(thalweg):
    """And so has a law that does not settle to exp(-f/T)."""
    coloured = ("-m", "coloured_langevin", "--step-size", 0.1)
    for settings in (("--temperature", 0.5, "--step-size", 0.3), coloured):
        rows = thalweg("sample", "double-well", *settings, *FEW, "--json").rows
        assert all(row["exact_sd"] is None and row["z"] is None for row in rows)


@pytest.mark.parametrize(("keep", "step"), [("draws", ()), ("moments", ("--step-size", 0.3))], ids=["draws", "moments"])
def test_resumed_it_is_as_if_never_stopped(keep, step, thalweg, monkeypatch):
    draws = 2000 if keep == "draws" else 40_000
    settings = (*step, "--friction", 2.0, "--draws", draws, "--warmup", 300, "--chains", 2, "--keep", keep, "--json")
    whole = thalweg(*BOWL[:-1], "whole", *settings).rows
    monkeypatch.setattr("thalweg._loops.drive.CHUNK_SECONDS", 1e-6)

    class Stopped(Interrupt):
        def __init__(self, flag):
            super().__init__(flag)
            flag.set()

    with monkeypatch.context() as patch:
        patch.setattr("thalweg._loops.drive.Interrupt", Stopped)
        outcome = thalweg(*BOWL, *settings, status=130)
    assert re.search(
        r"saved in here, go on with: thalweg resume here --objective valleys:bowl --start valleys:x0\n$", outcome.err
    )
    assert thalweg("list", ".", "--json").rows[0]["status"] == "interrupted"
    assert thalweg("resume", "here", "--trust", "--json").rows == whole
    if keep == "draws":
        thalweg("resume", "here", "--trust", "--draws", 2500)
        assert tw.read_samples("here", False)["posterior"].sizes["draw"] == 2500
        assert "draws must be at least the 2500" in thalweg("resume", "here", "--trust", "--draws", 3, status=2).err
    else:
        assert (
            "keeps the moments of 40000 draws" in thalweg("resume", "here", "--trust", "--draws", 50_000, status=2).err
        )
        assert whole[0]["ess_tail"] is None and whole[0]["ess"] > 100


def test_a_picture(thalweg):
    outcome = thalweg("sample", "double-well", "--step-size", 0.5, *FEW, "--plot", "chains.png", "--out", "here")
    assert "picture: chains.png\nsamples: here\n" in outcome.err
    assert Path("chains.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_many_parameters_are_cut_short(thalweg, place):
    (place.parent / "modules" / "wide.py").write_text(
        "import jax.numpy as jnp\nx0 = jnp.zeros((5, 5))\ndef f(x):\n    return 0.5 * jnp.sum(x**2)\n"
    )
    outcome = thalweg("sample", "wide:f", "--start", "wide:x0", *FEW)
    assert "x[3,4]" in outcome.out and "x[4,0]" not in outcome.out
    assert outcome.err.startswith("and 5 parameters more; --json prints all\n")


@pytest.mark.slow
def test_chains_that_diverge_are_status_1(thalweg):
    outcome = thalweg(*BOWL, "--step-size", 0.7, "--draws", 4000, "--warmup", 0, status=1)
    assert [line.split()[0] for line in outcome.out.splitlines()[3:5]] == ["x[0]", "x[1]"]
    assert outcome.err.startswith("warning: 4 of 4 chains became not finite after")
    assert outcome.err.count("became not finite") == 1
    early = thalweg(*BOWL[:-1], "early", "--step-size", 0.7, "--warmup", 4000, "--json", status=1)
    assert early.rows == [] and "in the warmup" in early.err


def test_samples_from_python_are_shown_and_not_resumed(thalweg):
    tw.sample(tw.sgld(bowl, 0.01), jnp.zeros(2), 20, 2, 5, out="here", progress=False)
    assert "x[1]" in thalweg("show", "here").out
    assert thalweg("list", ".", "--json").rows[0]["method"] == "OverdampedLangevin EulerMaruyama()"
    assert "error: here was begun from Python, not from the command line" in thalweg("resume", "here", status=2).err


@pytest.fixture
def samples(thalweg):
    thalweg("sample", "valleys:tree_bowl", "--start", "valleys:tree", *FEW, "--out", "here")
    return tw.read_samples("here")


@pytest.mark.slow
def test_export(thalweg, samples):
    assert thalweg("export", "here", "out.csv").err == "wrote out.csv\n"
    with open("out.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 120 and list(rows[0])[:4] == ["chain", "draw", "b[0]", "b[1]"]
    x = samples["posterior"]["w"].values
    assert [float(row["w[1,0]"]) for row in rows if row["chain"] == "1"] == x[1, :, 1, 0].tolist()
    thalweg("export", "here", "out.npz")
    with np.load("out.npz") as arrays:
        np.testing.assert_array_equal(arrays["posterior/w"], x)
        np.testing.assert_array_equal(arrays["sample_stats/energy"], samples["sample_stats"]["energy"])
    for name, engine in (("out.nc", "h5netcdf"), ("out.zarr", "zarr")):
        thalweg("export", "here", name)
        with xarray.open_datatree(name, engine=engine) as opened:
            xarray.testing.assert_identical(opened.load(), samples)
    assert {path.name for path in Path().iterdir()} == {"here", "out.csv", "out.npz", "out.nc", "out.zarr"}
    refused = thalweg("export", "here", "a.json", status=2).err
    assert "format 'json' is unknown; choose one of: csv, html, netcdf, npz, zarr" in refused


@pytest.mark.slow
def test_moments_are_exported_where_they_can_be(thalweg):
    thalweg("sample", "valleys:bowl", "--start", "valleys:x0", *FEW, "--keep", "moments", "--out", "here")
    outcome = thalweg("export", "here", "out.csv", status=2)
    assert outcome.err == "error: here holds no draws to write as csv; write its moments as netcdf or zarr\n"
    assert "hint: so few draws do not tell the error of their mean; take more" in thalweg("show", "here").err
    thalweg("export", "here", "out.nc")
    with xarray.open_datatree("out.nc", engine="h5netcdf") as opened:
        assert opened["diagnostics"]["x"].dims == ("statistic", "x_dim_0")


@pytest.mark.slow
def test_a_config_file(thalweg, place):
    (place / "mine.toml").write_text('target = "valleys:bowl"\nstart = "1.0,-2.0"\ndraws = 30\nfriction = 3\n')
    rows = thalweg("sample", "--config", "mine.toml", "--draws", 40, "--precision", 32, "--out", "here", "--json").rows
    assert len(rows) == 2
    tree = tw.read_samples("here")
    assert tree["posterior"]["x"].shape == (4, 40, 2) and tree["posterior"]["x"].dtype == np.float32
    assert json.loads(tree.attrs["hyperparameters"])["friction"] == 3.0
    assert len(thalweg("resume", "here", "--trust", "--draws", 50, "--json").rows) == 2


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("-m", "momentum"), "momentum draws no noise, so it samples nothing; choose one of: sgld, "),
        (("-m", "baob"), "method 'baob' is unknown; did you mean 'baoab'?"),
        (("-m", "sgld", "--friction", 1), "sgld has no hyperparameter 'friction'; choose one of: learning_rate"),
        (("--friction", -1), "friction must be greater than 0"),
        (("--temperature", 0), "temperature must be greater than 0"),
        (("--draws", 0), "draws must be a whole number of at least 1"),
        (("--warmup", -1), "warmup must be a whole number of at least 0"),
        (("--keep", "all"), "keep 'all' is unknown"),
        (("--precision", 16), "precision must be 32 or 64"),
        (("--set", "friction"), "--set 'friction' must be written NAME=VALUE"),
        (("--plot", "chains.mp4"), "plot chains.mp4 must end with one of "),
        (("--plot", "away/chains.png"), "away is not a directory"),
        (("--plot", "chains.png", "--keep", "moments"), "moments keep no draws to plot"),
    ],
)
def test_wrong_input_is_one_line_and_writes_nothing(arguments, words, thalweg, place):
    outcome = thalweg("sample", "gaussian", *arguments, status=2)
    assert outcome.out == "" and outcome.err.startswith(f"error: {words}") and outcome.err.count("\n") == 1
    assert list(place.iterdir()) == []


def test_a_step_that_cannot_be_chosen_is_asked_for(thalweg, place):
    (place.parent / "modules" / "plane.py").write_text("def f(x):\n    return x.sum()\n")
    outcome = thalweg("sample", "plane:f", "--start", "1.0,2.0", "-m", "sgld", status=2)
    assert outcome.err.startswith("error: sgld needs a learning_rate: a step is chosen by the curvature at the start")
    assert outcome.err.count("\n") == 1 and not (place / "runs").exists()


def test_a_target_is_needed(thalweg):
    assert thalweg("sample", status=2).err.startswith("error: an objective is needed: one of quadratic, ")
    assert "did you mean 'banana'?" in thalweg("sample", "bananna", status=2).err


@pytest.mark.parametrize("row", ["baoab", pytest.param("mala", marks=pytest.mark.slow)])
def test_a_step_that_was_chosen_is_the_same_when_it_is_resumed(row, thalweg, place):
    # The curvature 10 makes a step without end, which 32 bits hold to seven digits.
    options = ("-m", row, "--warmup", 20, "--draws", 20, "--start", "1,-2", "--out", "here", "--json")
    thalweg("sample", "valleys:bowl", *options, "--precision", 32)
    thalweg("resume", "here", "--trust", "--draws", 30, "--json")
    assert tw.read_samples("here")["posterior"]["x"].shape == (4, 30, 2)
