"""The Kullback-Leibler divergence to a target."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError, check_number
from .._module import Module
from .._tree import scalar
from .base import AbstractMeasure
from .functional import AbstractFunctional, AbstractTerm
from .gaussian import Gaussian
from .grid import Grid
from .internal import Entropy
from .potential import Potential


class KL(AbstractFunctional):
    r"""The Kullback-Leibler divergence to a target, $F[q] = \int q\log\frac q\pi\,dx$.

    It is the entropy and the energy in the potential $-\log\pi$; its flow in Wasserstein's geometry is Langevin
    dynamics and the Fokker-Planck equation, at temperature 1.

    Arguments:
        target: $\pi$, a `tw.measures.Gaussian`, a density on a `tw.measures.Grid` for distributions on the same grid,
            or f with $\pi\propto e^{-f}$, a function of a point, a `tw.Objective` or a `tw.problems.Problem`: then
            the divergence is known up to a constant, the logarithm of the integral of $e^{-f}$.
        log_normalizer: that logarithm, where it is known.
        bandwidth: of the kernel that smoothes particles, as of `tw.measures.Entropy`.

    Raises:
        InputError: the target is none of these, or a density that is 0 in a cell.

    >>> import thalweg as tw
    >>> target = tw.measures.Gaussian(0.0, 1.0)
    >>> round(float(tw.measures.KL(target).value(tw.measures.Gaussian(1.0, 1.0))), 9)
    0.5

    Reference: Jordan, Kinderlehrer and Otto (1998).
    """

    potential: Potential
    log_normalizer: Float[Array, ""]
    entropy: Entropy

    def __init__(self, target: Any, log_normalizer: Any = 0.0, bandwidth: Any = None) -> None:
        check_number("log_normalizer", log_normalizer)
        self.log_normalizer, self.entropy = scalar(log_normalizer), Entropy(bandwidth)
        if isinstance(target, Gaussian):
            self.potential = Potential(_LogGaussian(target))
        elif isinstance(target, Grid):
            if not bool(jnp.all(target.density > 0.0)):
                raise InputError(
                    "the density of a target must be positive in every cell, or the divergence is infinite"
                )
            self.potential = Potential(-jnp.log(target.density))
        elif isinstance(target, AbstractMeasure):
            raise InputError(
                f"the target of KL must have a density, but {type(target).__name__} has none; take tw.measures.MMD or "
                "tw.measures.Sinkhorn, or the target's own -log density"
            )
        else:
            self.potential = Potential(target)

    @property
    def terms(self) -> tuple[tuple[Any, AbstractTerm], ...]:
        return ((1, self.entropy), (1, self.potential), (1, Constant(self.log_normalizer)))


class _LogGaussian(Module):
    """The negative logarithm of a Gaussian's density."""

    target: Gaussian

    def __call__(self, point: Array) -> Array:
        return -self.target.log_density(point.astype(self.target.mean.dtype)).astype(point.dtype)


class Constant(AbstractTerm):
    """A number, the same of every distribution."""

    number: Float[Array, ""]

    def on(self, q: Any) -> Float[Array, ""]:
        # As a mean over the distribution, so that it is one of weights that do not sum to one, too.
        return self.number.astype(q.mass.dtype)
