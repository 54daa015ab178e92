"""The alias of momentum on a manifold."""

from functools import partial
from typing import Any

from jaxtyping import ArrayLike

from .._errors import InputError
from .._typed import typed
from ..dynamics import HeavyBall
from ..schemes import Leapfrog
from .knobs import LEARNING_RATE_AND_MOMENTUM
from .method import Method


@typed("learning_rate", "momentum")
def riemannian_momentum(
    objective: Any, learning_rate: ArrayLike, momentum: ArrayLike = 0.9, geometry: Any = None
) -> Method:
    r"""Momentum on a manifold: damped leapfrog on the heavy ball along its geodesics, from an empty buffer.

    $$v^+ = \beta v - \alpha\operatorname{grad}f(\theta),\qquad \theta^+ = \mathtt{move}(\theta, v^+),\qquad v_0 = 0$$

    with the gradient in the metric, and the velocity carried to $\theta^+$ in parallel: `tw.momentum` in flat space. It
    is no row of the table, since the manifold is none of its numbers and a start has to lie on it.

    Arguments:
        objective: $f$, a `tw.Objective` or a function.
        learning_rate: $\alpha > 0$.
        momentum: $0 \le \beta \le 1$.
        geometry: a manifold of `tw.geometry`, such as `Sphere()`, or one of one's own.

    Raises:
        InputError: a number is out of its range, or the geometry is no manifold.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> method = tw.riemannian_momentum(lambda x: x[1], 0.1, 0.9, tw.geometry.Sphere())
    >>> end = tw.run(method, jnp.array([1.0, 0.0]), 200).final.position
    >>> [round(float(x), 3) + 0.0 for x in end]
    [0.0, -1.0]

    Reference: Absil, Mahony and Sepulchre (2008), chapter 4, for descent along geodesics; Alimisis et al. (2020).
    """
    if geometry is None:
        raise InputError(
            "momentum on a manifold needs one, such as tw.geometry.Sphere(); without one it is tw.momentum"
        )
    if callable(learning_rate) or callable(momentum):
        raise InputError(
            "learning_rate and momentum must be numbers here; for a schedule of steps at constant friction use "
            "tw.Method(tw.HeavyBall(f, friction, geometry=...), tw.Leapfrog(), schedule)"
        )
    numbers = {"learning_rate": learning_rate, "momentum": momentum}
    build = partial(HeavyBall, objective, geometry=geometry)
    return Method(*LEARNING_RATE_AND_MOMENTUM.write(numbers, build, Leapfrog(start="zero")))
