"""The picture of chains shows the draws, their law and how fast they forget."""

import json
import sys

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import xarray
from matplotlib.figure import Figure
from scipy import stats

import thalweg as tw
from thalweg.plot._chains import _last_lag

CURVATURES = np.array([1.0, 0.5])
METHOD = tw.sgld(lambda x: 0.5 * jnp.sum(CURVATURES * x**2), 0.15, 0.7)


def tree_of(temperature=1.0, thin=1, **arrays):
    """Draws (chain, draw, ...) as `tw.sample` gives them."""
    posterior = {
        name: (("chain", "draw", *(f"{name}_dim_{i}" for i in range(values.ndim - 2))), values)
        for name, values in arrays.items()
    }
    attrs = {"hyperparameters": json.dumps({"temperature": temperature}), "thin": thin}
    return xarray.DataTree.from_dict({"/": xarray.Dataset(attrs=attrs), "posterior": xarray.Dataset(posterior)})


@pytest.fixture(scope="module")
def tree():
    return tw.sample(METHOD, jnp.zeros(2), 6000, 3, diagnostics=False, progress=False)


@pytest.fixture(scope="module")
def axes(tree):
    return tw.plot.chains(tree, law=(METHOD, np.diag(CURVATURES)))


def of(ax, gid):
    return [artist for artist in ax.get_children() if artist.get_gid() == gid]


def exact(name, count=500):
    """A problem, and its own independent draws in four chains."""
    problem = tw.problems.get(name)
    return problem, tree_of(x=np.asarray(problem.sampler(jax.random.key(1), 4 * count)).reshape(4, count, -1))


def test_traces_are_the_draws_thinned(tree, axes):
    assert axes.shape == (2, 3)
    lines = of(axes[1, 0], "trace")
    assert len(lines) == 3
    for line, chain in zip(lines, tree["posterior"]["x"].values, strict=True):
        np.testing.assert_array_equal(line.get_xdata(), np.arange(0, 6000, 3))
        np.testing.assert_array_equal(line.get_ydata(), chain[::3, 1])
    assert (axes[1, 0].get_xlabel(), axes[1, 0].get_ylabel()) == ("draw, every 3th", "x[1]")


def test_the_histogram_is_a_density(tree, axes):
    (patch,) = of(axes[0, 1], "density")
    heights, edges, _ = patch.get_data()
    x = tree["posterior"]["x"].values[..., 0].ravel()
    inside = np.mean((x >= edges[0]) & (x <= edges[-1]))
    assert 0.998 < inside < 1.0
    assert np.sum(heights * np.diff(edges)) == pytest.approx(inside, rel=1e-12)
    np.testing.assert_allclose(heights * np.diff(edges) * x.size, np.histogram(x, edges)[0], atol=1e-9)


def test_the_predicted_law_is_that_at_the_step(tree, axes):
    # Of sgld: T/l (1 - a l/2)^-1.
    sd = np.sqrt(0.7 / CURVATURES / (1 - 0.075 * CURVATURES))
    for i in range(2):
        x, y = of(axes[i, 1], "law")[0].get_data()
        mean = tree["posterior"]["x"].values[..., i].mean()
        np.testing.assert_allclose(y, stats.norm.pdf(x, mean, sd[i]), rtol=1e-9)
    assert axes[0, 1].get_title(loc="left") == "all draws, line: law at this step"


def test_the_autocorrelation_is_that_of_the_step(tree, axes):
    """Of sgld on a bowl: (1 - a l)^k; its own error is by Bartlett's formula for such a chain."""
    n = 6000
    for i, rho in enumerate(1 - 0.15 * CURVATURES):
        (line,) = of(axes[i, 2], "autocorrelation")
        lags, found = line.get_data()
        np.testing.assert_array_equal(lags, np.arange(len(lags)))
        error = np.sqrt((1 + rho**2) / (1 - rho**2) / (3 * n))
        assert found[0] == 1.0 and len(lags) > 20
        assert np.abs(found - rho**lags).max() < 5 * error
        assert np.abs(found - (2 * rho - 1) ** lags).max() > 5 * error
        chain = tree["posterior"]["x"].values[0, :, i]
        away = chain - chain.mean()
        direct = [np.sum(away[: n - k] * away[k:]) / np.sum(away**2) for k in (1, 7)]
        np.testing.assert_allclose(of(axes[i, 2], "chain")[0].get_ydata()[[1, 7]], direct, rtol=1e-9)
        (band,) = of(axes[i, 2], "band")
        assert (band.get_y(), band.get_height()) == pytest.approx((-1.96 / n**0.5, 2 * 1.96 / n**0.5))
        assert axes[i, 2].get_xlabel() == "lag / draws"


def test_lags_go_a_little_beyond_the_correlation():
    def last(rho):
        return _last_lag(rho ** np.arange(5000.0), 0.03, 5000)

    assert last(0.5) == 20
    assert last(0.98) == 2 * int(np.ceil(np.log(0.03) / np.log(0.98)))
    assert last(0.9999) == 1000
    assert _last_lag(np.ones(8), 0.7, 8) == 4


def test_the_law_of_a_gaussian_is_its_curve():
    problem, tree = exact("gaussian")
    axes = tw.plot.chains(tree, ["x[3]", "x[9]"], problem)
    assert axes.shape == (2, 3) and axes[0, 1].get_title(loc="left") == "all draws, line: exact law"
    for i, ax in zip((3, 9), axes[:, 1], strict=True):
        x, y = of(ax, "law")[0].get_data()
        np.testing.assert_allclose(y, stats.norm.pdf(x, 0.0, np.sqrt(problem.moments.variance[i])), rtol=1e-9)


def test_the_law_of_a_banana_is_that_of_its_sampler():
    problem, tree = exact("banana")
    axes = tw.plot.chains(tree, law=problem)
    z = np.linspace(-8, 8, 4001)
    for ax, density in (
        (axes[0, 1], lambda x: stats.norm.pdf(x, 0, 3)),
        (axes[1, 1], lambda x: np.sum(stats.norm.pdf(z) * stats.norm.pdf(x - 0.9 * (z**2 - 1))) * (z[1] - z[0])),
    ):
        x, y = of(ax, "law")[0].get_data()
        expected = np.array([density(value) for value in x])
        assert np.abs(y - expected).max() < 0.04 * expected.max()


def test_where_the_curve_is_not_known_mean_and_spread_are_marked():
    problem = tw.problems.double_well()
    ax = tw.plot.chains(tree_of(x=np.random.default_rng(0).normal(size=(2, 300, 2))), "x[0]", problem)[0, 1]
    sd = np.sqrt(problem.moments.variance[0])
    assert of(ax, "law")[0].get_xdata()[0] == 0.0
    (span,) = of(ax, "spread")
    assert (span.get_x(), span.get_width()) == pytest.approx((-sd, 2 * sd))
    assert ax.get_title(loc="left") == "all draws, exact mean ± sd"


def test_axes_in_axes_out_and_a_tree_of_parameters():
    given = Figure().subplots(6, 3)
    rng = np.random.default_rng(0)
    tree = tree_of(thin=5, w=rng.normal(size=(2, 50, 3, 2)), b=rng.normal(size=(2, 50)), c=np.ones((2, 50)))
    axes = tw.plot.chains(tree, axes=given)
    assert (axes == given).all()
    assert [row[0].get_ylabel() for row in axes] == ["w[0,0]", "w[0,1]", "w[1,0]", "w[1,1]", "w[2,0]", "w[2,1]"]
    assert not of(axes[0, 1], "law") and axes[0, 2].get_xlabel() == "lag / draws of 5 steps"
    # A parameter that never moves has no correlation.
    still = tw.plot.chains(tree, "c")
    still[0, 0].figure.draw_without_rendering()
    assert not of(still[0, 2], "autocorrelation")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (dict(parameters="x[2]"), r"parameter 'x\[2\]' is unknown; did you mean"),
        (dict(parameters=[]), r"parameters must be at least one name, such as 'x\[0\]'"),
        (dict(law="gaussian"), "law must be a problem with moments, or a method and a Hessian"),
        (dict(law=tw.problems.rosenbrock()), "the moments of rosenbrock are not known"),
        (
            dict(law=tw.problems.double_well(temperature=0.5)),
            "draws are of temperature 1.0, the moments of double-well",
        ),
        (dict(law=tw.problems.double_well(1)), r"double-well has no parameter 'x\[1\]'"),
        (dict(law=(METHOD, np.eye(3))), r"the Hessian must be of shape \(2, 2\), but the law has 3"),
        (dict(axes=Figure().subplots(1, 3)), r"axes must be an array of shape \(2, 3\), but has shape \(3,\)"),
    ],
)
def test_what_cannot_be_drawn_is_refused(options, words, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    tree = tree_of(x=np.random.default_rng(0).normal(size=(2, 50, 2)))
    with pytest.raises(tw.InputError, match=words):
        tw.plot.chains(tree, **options)


def test_moments_have_no_draws_to_plot():
    tree = xarray.DataTree.from_dict({"/": xarray.Dataset(attrs={"hyperparameters": "{}"})})
    with pytest.raises(tw.InputError, match="no draws are kept here to plot; sample with keep='draws'"):
        tw.plot.chains(tree)


def test_what_is_missing_is_one_line(monkeypatch):
    tree = tree_of(x=np.zeros((2, 50, 2)))
    monkeypatch.setitem(sys.modules, "arviz_stats", None)
    with pytest.raises(tw.InputError, match=r"sampling needs arviz-stats; install it with pip install 'thalweg\[samp"):
        tw.plot.chains(tree)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(tw.InputError, match="plots need matplotlib"):
        tw.plot.chains(tree)
