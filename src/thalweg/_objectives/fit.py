"""A fit: what least squares say of parameters, their residuals, spread and covariance."""

import dataclasses
import functools
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError
from .._tree import Vector, ravel, unraveler
from .least_squares import LeastSquares
from .objective import as_position
from .parts import parted

# Numbers of a Jacobian at most.
_ENTRIES = 200_000_000


@dataclasses.dataclass(frozen=True)
class Fit:
    r"""Least squares at a point: residuals, their spread, and the covariance of the parameters.

    $$s^2 = \frac{|r|^2}{m - n},\qquad \mathrm{Cov} = s^2\,(J^\top J)^{-1}$$

    which is right for a model that is nearly linear over the standard errors, and for residuals that are independent,
    of one variance. Where each is divided by its known standard deviation, `unscaled_covariance` is that of the
    parameters. It is worked out in float64 from the Jacobian in the precision of the parameters, whose columns are
    scaled to length 1. Order of rows and columns: the leaves of the parameters one after the other, raveled.

    Attributes:
        parameters: where, a pytree.
        residuals: r, an array (m,).
        jacobian: J, an array (m, n).
        sum_of_squares: $|r|^2$, twice the loss.
        degrees_of_freedom: m - n.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> x, y = jnp.array([0.0, 1.0, 2.0, 3.0]), jnp.array([1.0, 3.0, 5.0, 8.0])
    >>> fit = tw.minimize(tw.LeastSquares(lambda b: b[0] + b[1] * x - y), jnp.zeros(2)).fit
    >>> fit.covariance.round(4).tolist(), fit.standard_errors.round(4).tolist()
    ([[0.105, -0.045], [-0.045, 0.03]], [0.324, 0.1732])

    Reference: Seber and Wild (1989).
    """

    parameters: PyTree
    residuals: np.ndarray
    jacobian: np.ndarray = dataclasses.field(repr=False)
    precision: float = dataclasses.field(repr=False)

    @property
    def sum_of_squares(self) -> float:
        return float(self.residuals @ self.residuals)

    @property
    def degrees_of_freedom(self) -> int:
        return self.jacobian.shape[0] - self.jacobian.shape[1]

    @property
    def residual_standard_deviation(self) -> float:
        """s; InputError where there are no more residuals than parameters."""
        if self.degrees_of_freedom < 1:
            m, n = self.jacobian.shape
            raise InputError(
                f"{m} residuals of {n} parameters leave none to tell their spread by; take more data, or "
                "unscaled_covariance where each residual is over its known standard deviation"
            )
        return float(np.sqrt(self.sum_of_squares / self.degrees_of_freedom))

    @functools.cached_property
    def _factors(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        scale = np.linalg.norm(self.jacobian, axis=0)
        scale = np.where(scale > 0, scale, 1.0)
        _, singular, right = np.linalg.svd(np.linalg.qr(self.jacobian / scale, mode="r"))
        # Of fewer residuals than parameters the missing ones are 0.
        return scale, np.pad(singular, (0, len(scale) - len(singular))), right

    @property
    def rank(self) -> int:
        """Number of directions that the data determine, beyond the rounding of the Jacobian."""
        singular = self._factors[1]
        return int(np.sum(singular > max(self.jacobian.shape) * self.precision * singular[0]))

    @property
    def unscaled_covariance(self) -> np.ndarray:
        r"""$(J^\top J)^{-1}$, an array (n, n); InputError where it is singular."""
        scale, singular, right = self._factors
        if self.rank < len(scale):
            share = np.abs(right[-1] / scale) * np.maximum(np.abs(_vector(self.parameters)), 1e-300)
            named = _names(self.parameters)
            most = [named[i] for i in np.argsort(-share)[:4] if share[i] > 0.1 * share.max()]
            raise InputError(
                f"the parameters have no covariance: the Jacobian has rank {self.rank} of {len(scale)}, so that the "
                f"data do not determine {', '.join(most)}; fix or leave out a parameter"
            )
        inverse = right.T / singular
        return inverse @ inverse.T / np.outer(scale, scale)

    @property
    def covariance(self) -> np.ndarray:
        r"""$s^2(J^\top J)^{-1}$, an array (n, n); InputError where it is singular, or m is at most n."""
        return self.residual_standard_deviation**2 * self.unscaled_covariance

    @property
    def standard_errors(self) -> PyTree:
        """Roots of the diagonal of the covariance, a pytree like the parameters."""
        return _cut(np.sqrt(np.diag(self.covariance)), self.parameters)


def fitted(objective: LeastSquares, x: PyTree) -> Fit:
    """The fit at a point."""
    parameters, join = parted(x)
    parameters = as_position(parameters)
    objective = objective.joined(join)
    shape = eqx.filter_eval_shape(objective.residual, parameters)
    n = sum(leaf.size for leaf in jax.tree.leaves(parameters))
    if shape.size * n > _ENTRIES:
        raise InputError(f"a Jacobian of {shape.size} residuals of {n} parameters is too large to be formed")
    r, jacobian = _linearised(objective.flattened(unraveler(parameters)), ravel(parameters))
    precision = float(np.finfo(np.float32).eps) if jacobian.dtype != np.float64 else float(np.finfo(float).eps)
    return Fit(parameters, np.asarray(r, float), np.asarray(jacobian, float), precision)


@eqx.filter_jit
def _linearised(objective: Any, x: Vector) -> Any:
    r, forward, backward = objective.linearised(x)
    if x.size <= r.size:
        return r, jax.vmap(forward, out_axes=1)(np.eye(x.size, dtype=x.dtype))
    return r, jax.vmap(backward)(np.eye(r.size, dtype=r.dtype))


def _vector(x: PyTree) -> np.ndarray:
    return np.concatenate([np.asarray(leaf, float).ravel() for leaf in jax.tree.leaves(x)])


def _cut(vector: np.ndarray, like: PyTree) -> PyTree:
    leaves, structure = jax.tree.flatten(like)
    ends = np.cumsum([leaf.size for leaf in leaves])
    parts = np.split(vector, ends[:-1])
    return jax.tree.unflatten(structure, [part.reshape(leaf.shape) for part, leaf in zip(parts, leaves, strict=True)])


def _names(x: PyTree) -> list[str]:
    names = []
    for path, leaf in jax.tree_util.tree_flatten_with_path(x)[0]:
        name = jax.tree_util.keystr(path, simple=True, separator=".") or "x"
        indices = list(np.ndindex(leaf.shape))
        names += [name + (f"[{', '.join(map(str, index))}]" if index else "") for index in indices]
    return names
