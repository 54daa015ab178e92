r"""Families of distributions by what a model gives of them: their Fisher information in that output, in closed form.

Each is an exponential family whose output z is, but for the Gaussian's unit, its natural parameter: the information is
the variance of what it is the parameter of, and the same at every observation.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array


class Likelihood(NamedTuple):
    """`information(z, u)` is the Fisher information at the output z times u; `spare` directions of each vector change
    nothing."""

    information: Callable[[Array, Array], Array]
    spare: int = 0


def _categorical(z: Array, u: Array) -> Array:
    p = jax.nn.softmax(z, axis=-1)
    return p * (u - jnp.sum(p * u, axis=-1, keepdims=True))


def _bernoulli(z: Array, u: Array) -> Array:
    return jax.nn.sigmoid(z) * jax.nn.sigmoid(-z) * u


LIKELIHOODS = {
    "gaussian": Likelihood(lambda z, u: u),
    "categorical": Likelihood(_categorical, spare=1),
    "bernoulli": Likelihood(_bernoulli),
    "poisson": Likelihood(lambda z, u: jnp.exp(z) * u),
}
