"""The work-precision diagram: its points are the result's, what diverged is a cross, each line is named."""

import json

import jax.numpy as jnp
import pytest

import thalweg as tw


@pytest.fixture(scope="module")
def result():
    f = tw.problems.quadratic([1.0, 50.0], rotated=False)
    flow = tw.GradientFlow(f.objective)
    methods = {"Euler": tw.Method(flow, tw.Euler(), 0.1), "R_K$4": tw.Method(flow, tw.RK4(), 0.1)}
    return tw.work_precision(methods, jnp.ones(2), 1.0, [10, 32, 64, 128], repeats=1)


def test_both_panels_hold_the_points(result):
    axes = result.plot()
    for ax, of in zip(axes, ("gradients", "seconds"), strict=True):
        assert (ax.get_xscale(), ax.get_yscale()) == ("log", "log")
        for name, line in zip(result.methods, ax.lines[::2], strict=True):
            good = [p for p in result.of(name) if not p.diverged]
            assert list(line.get_xdata()) == [getattr(p, of) for p in good]
            assert list(line.get_ydata()) == [p.error for p in good]
        crosses = [len(line.get_xdata()) for line in ax.lines[1::2]]
        assert crosses == [1, 1]
        assert [text.get_text() for text in ax.texts if "\u00d7" in text.get_text()] == ["\u00d7 diverged"]
        names = {text.get_text() for text in ax.texts} - {"\u00d7 diverged"}
        assert names == {"Euler", r"R_K\$4"}


def test_on_given_axes(result):
    from matplotlib.figure import Figure

    given = Figure().subplots(1, 2)
    assert tw.plot.work_precision(result, given) is given
    assert given[0].get_ylabel() == "error at time 1, relative"


def test_saved(result, tmp_path):
    data, picture = result.save(tmp_path / "new" / "place")
    kept = json.loads(data.read_text())
    assert kept["points"] == result.as_list()
    assert (kept["until"], kept["orders"]) == (1.0, result.orders)
    assert picture.read_text().startswith("<?xml")
    assert sorted(path.name for path in data.parent.iterdir()) == ["work_precision.json", "work_precision.svg"]
