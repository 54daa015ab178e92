"""The picture of a sweep: its numbers are the sweep's, what diverged is shown as such, the best is marked."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

GRID = {"learning_rate": [0.01, 0.1, 1.0, 10.0], "momentum": [0.0, 0.5, 0.9]}


def bowl(x):
    return 0.5 * jnp.sum(x**2)


def make(learning_rate, momentum):
    return tw.momentum(bowl, learning_rate, momentum)


@pytest.fixture(scope="module")
def swept():
    return tw.sweep(make, GRID, jnp.array([1.0, 2.0]), 30, progress=False)


def marked(ax, gid):
    return [artist for artist in (*ax.lines, *ax.collections) if artist.get_gid() == gid]


def test_a_map_has_a_colour_where_there_is_a_loss(swept):
    ax = tw.plot.sweep(swept)
    assert (ax.get_xlabel(), ax.get_ylabel(), ax.get_xscale()) == ("learning rate", "momentum", "log")
    table = swept.folded(swept.typical_loss).T
    (mesh,) = marked(ax, "loss")
    colours = mesh.get_array().reshape(table.shape)
    np.testing.assert_array_equal(colours.mask, ~np.isfinite(table))
    np.testing.assert_allclose(colours[~colours.mask], table[np.isfinite(table)])
    # Only the largest learning rate is beyond the limit, 2 + 2 momentum.
    assert np.isinf(table).sum() == 3
    assert len(marked(ax, "diverged")) == 1
    (star,) = marked(ax, "best")
    assert (star.get_xdata()[0], star.get_ydata()[0]) == tuple(swept.best.values())


def test_slices_are_the_columns_of_the_map(swept):
    ax = swept.plot(over="learning_rate")
    table = swept.folded(swept.typical_loss)
    lines, crosses = marked(ax, "slice"), marked(ax, "diverged")
    assert len(lines) == len(GRID["momentum"])
    for line, lost, losses in zip(lines, crosses, table.T, strict=True):
        assert line.get_xdata().tolist() == GRID["learning_rate"][:3]
        np.testing.assert_array_equal(line.get_ydata(), losses[:3])
        assert lost.get_xdata().tolist() == [10.0]
    assert ax.get_legend().get_texts()[0].get_text() == "momentum 0"


def test_seeds_are_a_median_in_a_band():
    data = tw.FiniteSum(lambda x, s: bowl(x - s), jnp.arange(8.0).reshape(4, 2), batch_size=1)
    swept = tw.sweep(lambda a: tw.gradient_descent(data, a), {"a": [0.1, 0.2]}, jnp.zeros(2), 5, seeds=3)
    ax = tw.plot.sweep(swept)
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), np.median(swept.final_loss, axis=1))
    assert ax.get_ylabel() == "final loss, median of 3 seeds"
    (band,) = ax.collections
    assert band.get_paths()[0].vertices[:, 1].max() == swept.final_loss.max()


def test_where_all_diverged_there_are_only_crosses():
    swept = tw.sweep(lambda a: tw.gradient_descent(bowl, a), {"a": [3.0, 4.0]}, jnp.ones(2), 20)
    ax = tw.plot.sweep(swept)
    assert [len(line.get_xdata()) for line in ax.lines] == [0, 2]
    grid = {"learning_rate": [5.0, 6.0], "momentum": [0.0, 0.1]}
    ax = tw.plot.sweep(tw.sweep(make, grid, jnp.ones(2), 20))
    assert not marked(ax, "loss") and not marked(ax, "best") and marked(ax, "diverged")


def test_wrong_settings(swept):
    for over, said in (
        ("rate", "setting 'rate' is unknown"),
        ((), "one setting or two"),
        (["momentum"] * 2, "two diff"),
    ):
        with pytest.raises(tw.InputError, match=said):
            tw.plot.sweep(swept, over)
    field = tw.Field(lambda t, x, args: -args * x, 1.0)
    moved = tw.sweep(lambda a: tw.Method(field, tw.Euler(), a), {"a": [0.1, 0.2]}, jnp.ones(2), 3)
    with pytest.raises(tw.InputError, match="no losses to draw"):
        tw.plot.sweep(moved)
