"""Loss curves show the metrics of the run, and nothing is hidden."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

import thalweg as tw
from thalweg.plot._axes import PALETTE, styles
from thalweg.plot._loss import _POINTS, _thinned


@pytest.mark.parametrize("against", ["steps", "gradients", "time"])
def test_loss_draws_the_metrics(four, against):
    run = four.runs["rk4"]
    ax = tw.plot.loss(run, against=against)
    assert isinstance(ax, Axes)
    x, y = ax.lines[0].get_data()
    steps = run.metrics["step"]
    expected = {"steps": steps, "gradients": 4 * steps, "time": run.metrics["time"]}[against]
    np.testing.assert_array_equal(x, expected)
    np.testing.assert_array_equal(y, run.metrics["loss"])
    assert x[-1] == pytest.approx({"steps": run.steps, "gradients": run.gradients, "time": 0.05 * run.steps}[against])
    assert ax.get_xlabel() == {"time": "physical time t"}.get(against, against)
    assert ax.get_yscale() == "log"


def test_gradients_at_the_start_are_counted(valley):
    method = tw.leapfrog(valley, 0.04, 0.7)
    run = tw.run(method, jnp.array([1.0, 0.7]), 5)
    assert method.gradients_at_start == 1
    np.testing.assert_array_equal(tw.plot.loss(run, against="gradients").lines[0].get_xdata(), np.arange(1, 7))


def test_axes_in_axes_out_and_a_run_draws_itself(four):
    figure = Figure()
    ax = figure.subplots()
    run = four.runs["momentum"]
    assert run.plot(ax=ax, color="k", label="one") is ax
    assert tw.plot.curves(four, "time", ax) is ax
    assert ax.lines[0].get_color() == "k" and ax.lines[0].get_label() == "one"


def test_a_run_read_from_disk_draws_the_same(valley, tmp_path):
    method = tw.leapfrog(valley, 0.04, 0.7)
    here = tw.run(method, jnp.array([1.0, 0.7]), 9, out=tmp_path / "run")
    read = tw.Run.load(tmp_path / "run")
    assert read.method is None
    for against in ("steps", "gradients", "time"):
        for a, b in zip(*(tw.plot.loss(r, against=against).lines[0].get_data() for r in (here, read)), strict=True):
            np.testing.assert_array_equal(a, b)


def test_a_loss_that_falls_little_or_is_negative_is_drawn_linearly():
    run = tw.run(tw.gradient_descent(lambda x: jnp.sum(x**2) - 5.0, 0.1), jnp.array([1.0]), 5)
    assert tw.plot.loss(run).get_yscale() == "linear"


def test_what_cannot_be_drawn_is_refused(four, valley):
    bare = tw.run(tw.gradient_descent(valley, 0.05), jnp.array([1.0, 0.7]), 3, record=None)
    with pytest.raises(tw.InputError, match="kept no loss"):
        tw.plot.loss(bare)
    with pytest.raises(tw.InputError, match="did you mean 'gradients'"):
        tw.plot.loss(four.runs["rk4"], against="gradient")
    with pytest.raises(tw.InputError, match="'epochs' is unknown"):
        tw.plot.curves(four, against="epochs")


def test_a_missing_matplotlib_is_one_line(four, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for draw in (lambda: tw.plot.loss(four.runs["rk4"]), lambda: tw.plot.curves(four), lambda: tw.plot.paths(four)):
        with pytest.raises(tw.InputError, match=r"install it with pip install 'thalweg\[plot\]'"):
            draw()
    with pytest.raises(tw.InputError, match="matplotlib"):
        tw.plot.stability_map([1.0, 2.0])


@pytest.mark.parametrize("against", ["gradients", "time", "steps"])
def test_curves_draw_the_gap_and_mark_the_tolerance(four, against):
    ax = tw.plot.curves(four, against=against)
    lines = [line for line in ax.lines if len(line.get_xdata()) > 2]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert len(lines) == len(four.runs) and ax.get_yscale() == "log"
    for line, (name, run) in zip(lines, four.runs.items(), strict=True):
        each = four.methods[name].gradients_per_step
        steps = run.metrics["step"]
        x = {"gradients": each * steps, "time": run.metrics["time"], "steps": steps}[against]
        np.testing.assert_array_equal(line.get_xdata(), x)
        np.testing.assert_array_equal(line.get_ydata(), run.metrics["loss"])  # the minimum is zero
        assert line.get_color() == styles(four.runs)[name].color
    reached = [entry for entry in four.entries if entry.reached]
    assert 0 < len(reached) == len(dots) < len(four.entries)
    if against == "gradients":
        assert [dot.get_xdata()[0] for dot in dots] == [entry.gradients for entry in reached]
    gaps = [four.runs[e.method].metrics["loss"][e.steps] for e in reached]
    assert [dot.get_ydata()[0] for dot in dots] == gaps
    level = 1e-6 * four.runs["rk4"].metrics["loss"][0]
    assert any(line.get_linestyle() == ":" and line.get_ydata()[0] == pytest.approx(level) for line in ax.lines)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["gradient descent", "rk4 (tolerance not met)", "momentum", "nesterov",
                      "tolerance: 1e-06 of the first gap"]  # fmt: skip


def test_legends_cover_no_data(four):
    for ax in (tw.plot.curves(four), tw.plot.paths(four, points=11), tw.plot.stability_map([1.0, 20.0], points=four)):
        ax.figure.draw_without_rendering()
        legend, box = ax.get_legend().get_window_extent(), ax.get_window_extent()
        assert legend.y0 >= box.y1 - 0.5
        assert legend.x1 <= ax.figure.bbox.x1 and legend.y1 <= ax.figure.bbox.y1


def test_without_a_minimum_the_gap_is_to_the_best_loss(four):
    bare = tw.Objective(lambda x: jnp.sum(jnp.cosh(x)), minimiser=jnp.zeros(2))
    methods = {"slow": tw.gradient_descent(bare, 0.1), "fast": tw.gradient_descent(bare, 0.5)}
    result = tw.compare(methods, jnp.array([1.0, 0.7]), 1e-2, 12, limits=False, progress=False)
    ax = tw.plot.curves(result)
    assert "best loss found" in ax.get_ylabel() and not any(line.get_linestyle() == ":" for line in ax.lines)
    best = min(run.metrics["loss"].min() for run in result.runs.values())
    gap = result.runs["slow"].metrics["loss"] - best
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), gap)
    assert result.criterion == "gradient norm" and any(line.get_marker() == "o" for line in ax.lines)


def test_a_diverging_method_leaves_at_the_top(mixed):
    assert mixed.runs["diverges"].status == "diverged"
    ax = tw.plot.curves(mixed)
    first = mixed.runs["converges"].metrics["loss"][0]
    assert ax.get_ylim()[1] < 1e3 * first < mixed.runs["diverges"].metrics["loss"].max()
    assert "diverges (diverged)" in [text.get_text() for text in ax.get_legend().get_texts()]


def test_methods_that_differ_much_share_a_logarithmic_axis(valley):
    methods = {"slow": tw.gradient_descent(valley, 1e-3), "fast": tw.gradient_descent(valley, 0.09)}
    result = tw.compare(methods, jnp.array([1.0, 0.7]), 1e-3, 6000, limits=False, progress=False)
    assert result["slow"].gradients > 30 * result["fast"].gradients
    ax = tw.plot.curves(result)
    assert ax.get_xscale() == "log" and ax.get_xlim()[0] == 1.0 and ax.get_xlim()[1] > result["slow"].gradients


def test_long_runs_keep_their_envelope(rng):
    y = np.exp(rng.normal(size=20_001))
    y[[17, 12_345]] = 1e-6, 1e6
    x = np.arange(len(y), dtype=float)
    shown_x, shown_y = _thinned(x, y)
    assert len(shown_x) <= _POINTS + 20 and np.all(np.diff(shown_x) > 0)
    assert (shown_y.min(), shown_y.max(), shown_x[0], shown_x[-1]) == (1e-6, 1e6, 0.0, 20_000.0)
    np.testing.assert_array_equal(y[shown_x.astype(int)], shown_y)
    for part in np.array_split(np.arange(len(y)), 40):
        inside = (shown_x >= part[0]) & (shown_x <= part[-1])
        assert shown_y[inside].max() >= np.sort(y[part])[-3]


def test_every_method_has_a_look_of_its_own():
    looks = styles(f"method {i}" for i in range(12))
    assert len({(s.color, str(s.linestyle), s.marker) for s in looks.values()}) == 12
    assert [s.color for s in looks.values()][:6] == list(PALETTE)


def test_pyplot_knows_nothing_of_it(mixed, tmp_path):
    import matplotlib as mpl
    import matplotlib.pyplot as plt

    before, settings = plt.get_fignums(), dict(mpl.rcParams)
    mixed.report(tmp_path / "report.html")
    assert plt.get_fignums() == before and dict(mpl.rcParams) == settings


def test_losses_of_several_runs_lie_in_one_picture(four, tmp_path):
    with tw.Recorder(tmp_path / "mine") as recorder:
        for value in (4.0, np.nan, 1.0):
            recorder.log(loss=value)
    runs = {"ours": four.runs["momentum"], "_mine": recorder.run}
    ax = tw.plot.losses(runs, "gradients")
    first, second = ax.lines
    np.testing.assert_array_equal(first.get_ydata(), four.runs["momentum"].metrics["loss"])
    np.testing.assert_array_equal(second.get_ydata(), [4.0, np.nan, 1.0])
    assert second.get_xdata().tolist() == [0.0, 1.0, 2.0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["ours", " _mine (diverged)"]
    assert first.get_color() != second.get_color() and ax.get_yscale() == "log"
    assert tw.plot.losses({"mine": recorder.run}).get_yscale() == "linear"
    with pytest.raises(tw.InputError, match="losses needs at least one run"):
        tw.plot.losses({})
