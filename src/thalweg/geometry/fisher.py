"""The Fisher information of a model, exact: the metric of natural gradient."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PyTree

from .._errors import InputError, as_reals, check_arguments, check_choice
from .._objectives.finite_sum import _as_data
from .._objectives.parts import Joined
from .._tree import Vector, copied, scalar
from .._typed import check_fields
from ._likelihoods import LIKELIHOODS
from .pullback import DENSE, PRODUCTS, TOLERANCE, AbstractPullback, Pulled, check_solves


def _as_noise(value: Any) -> Any:
    return value if value is None or isinstance(value, Tracer) else jnp.asarray(as_reals("noise", value), float)


class Fisher(AbstractPullback):
    r"""The Fisher information of a model of data: the metric of natural gradient, exact.

    $$F(\theta) = \sum_n J_n^\top F_\text{family}(z_n)\,J_n + \lambda,\qquad
      F_\text{family}(z) = \operatorname{E}_{y\sim p(y|z)}\bigl[\nabla_z\log p\;\nabla_z\log p^\top\bigr]$$

    with $z_n$ the output for the input $n$ and $J_n$ its Jacobian. The expectation is over what the model says of y, in
    closed form; no observation enters. $\tfrac12|v|^2$ is to second order the Kullback-Leibler divergence, summed over
    the inputs, of the model at $\theta + v$ from that at $\theta$. What F is of a Gaussian is Gauss-Newton's curvature
    of residuals over their noise; of each family here, whose outputs are natural parameters, it is that of the negative
    log likelihood.

    | likelihood | output z | $F_\text{family}$ |
    | --- | --- | --- |
    | `"gaussian"` | mean, at a known `noise` | $1/\text{noise}^2$ |
    | `"categorical"` | logits along the last axis | $\operatorname{diag}(p) - pp^\top$ |
    | `"bernoulli"` | logit | $p(1 - p)$ |
    | `"poisson"` | logarithm of the rate | $e^z$ |

    Arguments:
        model: `model(parameters, inputs)` gives z, a float array, for all inputs at once.
        inputs: pytree of arrays, on all of which the metric is, also where the objective draws mini-batches.
        likelihood: one of the table.
        noise: standard deviation of the Gaussian, a number or an array as z is, 1 if None.
        damping: $\lambda \ge 0$, in units of F.
        average: divide F by the length of the first axis of z, as an objective that is a mean over it is divided.
        tolerance, products, dense: as in `tw.geometry.GaussNewton`.

    Raises:
        InputError: a number is out of its range, the likelihood is unknown, or noise is given to another than the
            Gaussian; in a step, the model gives no float array, or F has less rank than there are parameters and there
            is no damping.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> doses = jnp.array([-1.0, 0.0, 2.0])
    >>> fisher = tw.geometry.Fisher(lambda w, x: w[0] + w[1] * x, doses, "bernoulli")
    >>> at, slope = jnp.zeros(2), jnp.array([1.0, 0.0])
    >>> fisher.velocity(at, slope).round(4).tolist()  # of F = [[3, 1], [1, 5]] / 4
    [1.4286, -0.2857]

    Reference: Amari (1998); Martens (2020), section 9, on when it is Gauss-Newton's.
    """

    model: Callable
    inputs: PyTree = eqx.field(converter=_as_data)
    likelihood: str = eqx.field(static=True)
    noise: Float[Array, "..."] | None = eqx.field(default=None, converter=_as_noise)
    damping: Float[Array, ""] = eqx.field(default=0.0, converter=scalar)
    average: bool = eqx.field(default=False, static=True)
    tolerance: Float[Array, ""] = eqx.field(default=TOLERANCE, converter=scalar)
    products: int = eqx.field(default=PRODUCTS, static=True)
    dense: int = eqx.field(default=DENSE, static=True)

    def __check_init__(self) -> None:
        check_fields(self)
        check_arguments("model", self.model, "parameters", "inputs")
        check_choice("likelihood", self.likelihood, LIKELIHOODS)
        check_solves(self.damping, self.tolerance, self.products, self.dense)
        if self.noise is None or isinstance(self.noise, Tracer):
            return
        if self.likelihood != "gaussian":
            raise InputError(f"noise is a number of the gaussian likelihood; leave it out for {self.likelihood!r}")
        if not np.all(np.isfinite(self.noise) & (np.asarray(self.noise) > 0)):
            raise InputError(f"noise must be a finite standard deviation greater than 0, but is {self.noise!r}")

    def pulled(self, position: Vector) -> Pulled:
        family = LIKELIHOODS[self.likelihood]
        z, forward = jax.linearize(self._outputs, position)
        backward = jax.linear_transpose(forward, position)
        factor: Any = 1.0
        if self.noise is not None:
            _check_noise(self.noise, z)
            factor = 1.0 / self.noise.astype(z.dtype) ** 2
        if self.average:
            factor = factor / z.shape[0]
        rank = z.size - family.spare * (z.size // z.shape[-1] if family.spare else 0)
        return Pulled(forward, lambda u: backward(u)[0], lambda u: factor * family.information(z, u), rank)

    def _outputs(self, position: Vector) -> Array:
        found = self.model(position, self.inputs)
        if not hasattr(found, "dtype") or not jnp.issubdtype(found.dtype, jnp.floating):
            raise InputError(f"the model must give a float array, but gives {getattr(found, 'dtype', found)!s}")
        vectors = self.likelihood == "categorical"
        needed = vectors + self.average
        if found.ndim < needed or not found.size:
            last = ", the last for the classes" if vectors else ""
            raise InputError(f"the model must give an array of {needed} axes at least{last}, but gives {found.shape}")
        return found.astype(jnp.promote_types(found.dtype, jnp.float32))

    def joined(self, join: Callable) -> "Fisher":
        """The same metric on the parameters from which `join` makes what the model takes."""
        return copied(self, model=Joined(self.model, join))


def _check_noise(noise: Array, z: Array) -> None:
    try:
        fits = jnp.broadcast_shapes(noise.shape, z.shape) == z.shape
    except ValueError:
        fits = False
    if not fits:
        raise InputError(f"noise must be a number, or of the shape of the outputs {z.shape}, but is {noise.shape}")
