"""thalweg compare on a diffusion problem."""

import json

import pytest

import thalweg as tw

MINE = "import jax.numpy as jnp\nimport thalweg as tw\ndata = tw.networks.GaussianMixture(jnp.array([1.0]), 0.25)\n"


@pytest.mark.slow
def test_a_table_a_page_and_what_is_kept(thalweg, place):
    outcome = thalweg(
        "compare", "gaussian-diffusion", "-m", "ddim", "-m", "ddim:eta=0.5", "--evaluations", "4,8", "--out", "here",
        "--report", "page.html",
    )  # fmt: skip
    assert "ddim:eta=0.5" in outcome.out and "Ends of the flow are known from RK4" in outcome.out
    kept = json.loads((place / "here" / "samplers.json").read_text())
    assert [(row["sampler"], row["evaluations"]) for row in kept["points"]] == [
        ("ddim", 4), ("ddim", 8), ("ddim:eta=0.5", 4), ("ddim:eta=0.5", 8),
    ]  # fmt: skip
    assert (place / "page.html").read_text().startswith("<!DOCTYPE html>")
    assert outcome.err.splitlines()[-3:] == [
        "written: here/samplers.json", "written: here/samplers.svg", "report: page.html",
    ]  # fmt: skip


def test_ones_own_data_as_json(thalweg, place):
    (place / "mine.py").write_text(MINE)
    rows = thalweg("compare", "mine:data", "-m", "heun", "--evaluations", "8", "--json").rows
    own = tw.networks.compare_samplers(
        tw.problems.DiffusionProblem("mine", tw.networks.GaussianMixture([1.0], 0.25), tw.networks.VarianceExploding()),
        "heun", [8],
    )  # fmt: skip
    assert rows == own.as_list()


def test_what_says_nothing_is_refused(thalweg):
    for arguments, message in {
        ("mixture-diffusion", "--tolerance", "1e-3"): "says nothing; leave out --tolerance",
        ("mixture-diffusion", "-m", "dim"): "sampler 'dim' is unknown; did you mean 'ddim'?",
        ("mixture-diffusion", "--evaluations", "8,x"): "evaluations must be a number, but is 'x'",
        ("mixture-diffusion", "-m", "ddim", "-m", "ddim"): "method 'ddim' is given twice",
        ("quadratic", "--evaluations", "8"): "evaluations are of a diffusion problem, which quadratic is not",
        ("mixture-difusion",): "did you mean 'mixture-diffusion'?",
    }.items():
        outcome = thalweg("compare", *arguments, status=2)
        assert message in outcome.err and not outcome.out
    assert "thalweg compare takes it" in thalweg("run", "mixture-diffusion", status=2).err
