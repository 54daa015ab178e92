"""Balls: their points have norm 1, the arrows are the farthest along the slope, and bad input is one line."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.geometry import Metric, Mirror, Norm

MATRIX = np.array([[1.0, 0.6], [0.6, 1.5]])
SLOPE = np.array([2.0, 1.0])


@pytest.mark.parametrize(
    "geometry",
    [Norm("l2"), Norm("linf"), Norm("l1"), Metric(jnp.asarray(MATRIX)), Mirror("entropy")],
    ids=["l2", "linf", "l1", "metric", "mirror"],
)
def test_no_point_of_a_ball_is_further_along_the_slope_than_the_arrow(geometry):
    ax = tw.plot.unit_balls(geometry, SLOPE, position=(0.5, 2.0))
    (ball,) = (np.stack(line.get_data(), axis=1) for line in ax.lines if line.get_gid() == "ball")
    # Drawn in this order: of the geometries, then the slope.
    arrow = np.asarray(next(text.xy for text in ax.texts if text.get_gid() == "direction"))
    # Rays half a degree apart miss a corner by at most that.
    assert 0.995 * (arrow @ SLOPE) < (ball @ SLOPE).max() <= (arrow @ SLOPE) * (1 + 1e-12)
    if isinstance(geometry, Metric):
        np.testing.assert_allclose(np.einsum("ki,ij,kj->k", ball, MATRIX, ball), 1.0, rtol=1e-12)
    if isinstance(geometry, Mirror):
        np.testing.assert_allclose(ball**2 @ [2.0, 0.5], 1.0, rtol=1e-12)


def test_names_and_one_legend():
    ax = tw.plot.unit_balls([Norm("l2"), Norm("linf"), Norm("linf", unit=True)])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["l2", "linf 2", "linf 3"]


REFUSED = {
    "must be of tw.geometry": lambda: tw.plot.unit_balls("l2"),
    "is of matrices": lambda: tw.plot.unit_balls(Norm("spectral")),
    "at least one": lambda: tw.plot.unit_balls([]),
    "not both 0": lambda: tw.plot.unit_balls(Norm("l2"), (0.0, 0.0)),
    "no lengths": lambda: tw.plot.unit_balls(Mirror("entropy")),
    "is neither": lambda: tw.plot.unit_balls({"a": 3}),
    "position must be": lambda: tw.plot.unit_balls(Norm("l2"), position=(1.0, 2.0, 3.0)),
}


@pytest.mark.parametrize("words", REFUSED)
def test_wrong_input_is_one_line(words):
    with pytest.raises(tw.InputError, match=words) as raised:
        REFUSED[words]()
    assert "\n" not in str(raised.value)
