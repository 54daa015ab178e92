"""Squares of observed gradients, which are taken for the Fisher information."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._errors import InputError, check_arguments
from .._objectives.finite_sum import _as_data
from .._objectives.parts import Joined
from .._tree import Vector, copied, scalar
from .._typed import check_fields
from .pullback import DENSE, PRODUCTS, TOLERANCE, AbstractPullback, Pulled, check_solves


class EmpiricalFisher(AbstractPullback):
    r"""The sum of squares of observed gradients, $\sum_n\nabla\ell_n\nabla\ell_n^\top + \lambda$: not the Fisher
    information.

    In the Fisher information y is what the model expects, here it is what was observed. The two agree where the model
    is right and the data are many, which is no place to start from, and elsewhere this is no measure of how far the
    distributions are apart: it is large where the data are badly explained, so that steps are short far from the
    minimum, and it vanishes where every sample is explained, so that they grow beyond bounds there. It is not the
    curvature of f either. It is here to be compared with `tw.geometry.Fisher`.

    Arguments:
        losses: `losses(parameters)`, or `losses(parameters, data)` where data is given: the negative log likelihoods
            of all samples, a float array (N,).
        data: pytree of arrays, passed on.
        damping: $\lambda \ge 0$, in units of the matrix.
        average: divide the sum by N.
        tolerance, products, dense: as in `tw.geometry.GaussNewton`.

    Raises:
        InputError: a number is out of its range; in a step, there are fewer samples than parameters and no damping, or
            the losses are no float array.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> seen = jnp.array([1.0, 2.0, 6.0])
    >>> gaussian = tw.geometry.EmpiricalFisher(lambda m, y: 0.5 * (y - m) ** 2, seen)
    >>> one = jnp.array(1.0)
    >>> float(gaussian.inner(jnp.array(3.0), one, one))  # (2^2 + 1^2 + 3^2); the Fisher information is 3
    14.0

    Reference: Kunstner, Hennig and Balles (2019).
    """

    losses: Callable
    data: PyTree = eqx.field(default=None, converter=_as_data)
    damping: Float[Array, ""] = eqx.field(default=0.0, converter=scalar)
    average: bool = eqx.field(default=False, static=True)
    tolerance: Float[Array, ""] = eqx.field(default=TOLERANCE, converter=scalar)
    products: int = eqx.field(default=PRODUCTS, static=True)
    dense: int = eqx.field(default=DENSE, static=True)

    def __check_init__(self) -> None:
        check_fields(self)
        check_arguments("losses", self.losses, "parameters", *(() if self.data is None else ("data",)))
        check_solves(self.damping, self.tolerance, self.products, self.dense)

    def pulled(self, position: Vector) -> Pulled:
        losses, forward = jax.linearize(self._losses, position)
        backward = jax.linear_transpose(forward, position)
        factor = 1.0 / losses.size if self.average else 1.0
        return Pulled(forward, lambda u: backward(u)[0], lambda u: factor * u, losses.size)

    def _losses(self, position: Vector) -> Array:
        found = self.losses(position) if self.data is None else self.losses(position, self.data)
        if not hasattr(found, "dtype") or not jnp.issubdtype(found.dtype, jnp.floating) or found.ndim != 1:
            shape = f"{found.dtype} of shape {found.shape}" if hasattr(found, "dtype") else repr(found)
            raise InputError(f"losses must give one float for each sample, an array (N,), but give {shape}")
        return found.astype(jnp.promote_types(found.dtype, jnp.float32))

    def joined(self, join: Callable) -> "EmpiricalFisher":
        """The same matrix on the parameters from which `join` makes what the losses take."""
        return copied(self, losses=Joined(self.losses, join))
