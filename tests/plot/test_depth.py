"""Pictures of networks in depth: the paths are the network's, the points those of the result."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

NETWORK = tw.networks.residual(lambda x: jnp.sin(x[::-1]), 3, 0.4, shared=True)
XS = jax.random.normal(jax.random.key(0), (5, 2))


def lines(ax, gid):
    return [line for line in ax.lines if line.get_gid() == gid]


def test_paths_in_the_plane_are_those_of_the_network():
    ax = tw.plot.depth(NETWORK, XS, labels=[1, 0, 1, 0, 1])
    paths = [np.stack(line.get_data(), axis=1) for line in lines(ax, "path")]
    # By class: 0 first.
    for path, i in zip(paths, (1, 3, 0, 2, 4), strict=True):
        np.testing.assert_allclose(path, NETWORK.path(XS[i]), rtol=1e-12)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0", "1"]
    colors = [line.get_color() for line in lines(ax, "path")]
    assert len(set(colors[:2])) == len(set(colors[2:])) == 1 and colors[0] != colors[2]


def test_in_more_dimensions_distances_of_the_ends_are_kept_as_far_as_a_plane_can():
    xs = jnp.concatenate([XS, jnp.zeros((5, 2))], axis=1)
    still = tw.networks.residual(lambda x: 0.0 * x, 2, shared=True)
    ax = tw.plot.depth(still, xs)
    found = np.stack([np.stack(line.get_data(), axis=1)[-1] for line in lines(ax, "path")])
    # All of their spread lies in a plane, so that nothing is lost.
    for a, b in ((0, 1), (2, 4)):
        np.testing.assert_allclose(np.linalg.norm(found[a] - found[b]), np.linalg.norm(XS[a] - XS[b]), rtol=1e-12)
    assert ax.get_legend() is None and ax.get_xlabel() == "first direction of the ends"
    one = tw.plot.depth(tw.networks.residual(jnp.sin, 2, 0.5, shared=True), XS[:, :1])
    np.testing.assert_allclose(lines(one, "path")[0].get_xdata(), [0.0, 0.5, 1.0])
    assert one.get_xlabel() == "depth-time"


def test_the_points_of_a_transfer():
    result = tw.analysis.depth_transfer(NETWORK, XS, depths=(6, 12))
    left, right = tw.plot.depth_transfer(result)
    for scheme, line in enumerate(left.lines[:3]):
        np.testing.assert_array_equal(line.get_xdata(), [3, 6, 12])
        np.testing.assert_allclose(line.get_ydata(), result.changes[scheme])
    (own,) = lines(left, "own")
    assert (own.get_xdata()[0], own.get_ydata()[0]) == (3, result.changes[0, 0])
    np.testing.assert_allclose(right.lines[0].get_ydata(), result.radii[:, 0])
    assert (left.get_xscale(), left.get_yscale()) == ("log", "log")


REFUSED = {
    "must be a tw.networks.Network": lambda: tw.plot.depth(jnp.sin, XS),
    "labels must be 5 whole numbers": lambda: tw.plot.depth(NETWORK, XS, labels=[1, 2]),
    "the network raised|a block": lambda: tw.plot.depth(NETWORK, XS[0]),
    "axes must be two Axes": lambda: tw.plot.depth_transfer(tw.analysis.depth_transfer(NETWORK, XS), axes=3),
    "result must be": lambda: tw.plot.depth_transfer(3),
}


@pytest.mark.parametrize("words", REFUSED)
def test_wrong_input_is_one_line(words):
    with pytest.raises(tw.InputError, match=words) as raised:
        REFUSED[words]()
    assert "\n" not in str(raised.value)
