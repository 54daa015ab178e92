"""Diffusion problems: data whose score is known, and a noising."""

import dataclasses
from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from .._errors import check_choice, check_number
from .._noising.base import AbstractNoising
from .._noising.exact import AbstractData, GaussianMixture
from .._noising.noisings import RectifiedFlow, VarianceExploding, VariancePreserving
from .._typed import check_fields, typed
from ._data import load


@dataclasses.dataclass(frozen=True, eq=False)
class DiffusionProblem:
    """Data whose score is known under every noising, and the noising that samplers run backwards.

    Arguments:
        name: how the command line calls it.
        data: such as a `tw.networks.GaussianMixture`.
        noising: a `tw.networks` noising.
        end: the time up to which samplers go; None is that of `tw.networks.time_grid`.
        description: one line.

    Raises:
        InputError: the data or the noising is none, or the end is not within the noising.

    >>> import thalweg as tw
    >>> tw.problems.diffusion("mixture-diffusion").dimension
    1
    """

    name: str
    data: AbstractData
    noising: AbstractNoising
    end: float | None = None
    description: str = ""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.end is not None:
            check_number("end", self.end, at_least=0.0, at_most=float(self.noising.end))

    @property
    def dimension(self) -> int:
        """Numbers in one of the data."""
        return int(self.data.mean.size)


def _mixture() -> DiffusionProblem:
    data = GaussianMixture(jnp.array([[-1.0], [0.5], [2.0]]), jnp.array([0.04, 0.16, 0.01]), jnp.array([0.3, 0.5, 0.2]))
    words = "three Gaussians on a line, noise from 80 to 0.01"
    return DiffusionProblem("mixture-diffusion", data, VarianceExploding(80.0), 0.01, words)


def _gaussian() -> DiffusionProblem:
    data = GaussianMixture(jnp.array([1.0, -0.5]), jnp.array([[1.0, 0.6], [0.6, 0.5]]))
    words = "a Gaussian in the plane, variance preserving: the bias of every sampler is exact"
    return DiffusionProblem("gaussian-diffusion", data, VariancePreserving(), None, words)


def _moons() -> DiffusionProblem:
    angle = np.pi * (np.arange(12) + 0.5) / 12
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    centres = np.concatenate([upper, np.array([1.0, 0.5])[None] - upper])
    data = GaussianMixture(jnp.asarray(centres), 0.01 * jnp.ones(len(centres)))
    return DiffusionProblem("moons-diffusion", data, RectifiedFlow(), None, "two half moons, rectified flow")


def _digits(count: int = 50, spread: float = 0.1) -> DiffusionProblem:
    images = load("digits")[0]
    images = np.random.default_rng(0).permutation(images)[:count] / 8.0 - 1.0
    data = GaussianMixture(jnp.asarray(images), jnp.full(len(images), spread**2))
    words = f"{len(images)} handwritten digits, each with Gaussian noise of {spread:g} a pixel, variance preserving"
    return DiffusionProblem("digits-diffusion", data, VariancePreserving(), None, words)


_MADE: dict[str, Callable[[], DiffusionProblem]] = {
    "mixture-diffusion": _mixture,
    "gaussian-diffusion": _gaussian,
    "moons-diffusion": _moons,
    "digits-diffusion": _digits,
}


def diffusion_names() -> tuple[str, ...]:
    """The names that `diffusion` knows.

    >>> import thalweg as tw
    >>> tw.problems.diffusion_names()[0]
    'mixture-diffusion'
    """
    return tuple(_MADE)


@typed()
def diffusion(name: str) -> DiffusionProblem:
    """The diffusion problem of a name, for `tw.networks.compare_samplers`.

    Arguments:
        name: one of `diffusion_names()`.

    Raises:
        InputError: the name is unknown (a near miss is suggested), or its data need scikit-learn.

    >>> import thalweg as tw
    >>> problem = tw.problems.diffusion("gaussian-diffusion")
    >>> problem.dimension, float(problem.data.covariance[0, 1])
    (2, 0.6)
    """
    check_choice("diffusion problem", name, _MADE)
    return _MADE[name]()
