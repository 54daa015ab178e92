"""A metric at a point, as a number, a diagonal or a matrix."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array

from .._errors import InputError
from .._tree import Vector, on_device, ravel, size, unraveler
from ._leafwise import leafwise, wide
from .base import rounding, traced


class Form(NamedTuple):
    """A metric at a point: a number, a tree as the parameters are, or a matrix with its Cholesky factor."""

    value: Any
    factor: Array | None = None

    @property
    def is_number(self) -> bool:
        """Tell whether it is a number times the identity."""
        return self.factor is None and eqx.is_array(self.value) and self.value.ndim == 0

    def solve(self, covector: Vector) -> Vector:
        r"""$G^{-1}p$, NaN where the metric is not positive."""
        return self._mapped(covector, lambda p, g: p / g, lambda factor, p: cho_solve((factor, True), p))

    def root(self, normal: Vector) -> Vector:
        r"""Of covariance $G^{-1}$, made of standard normals."""
        return self._mapped(
            normal, lambda n, g: n / jnp.sqrt(g), lambda factor, n: solve_triangular(factor, n, lower=True, trans=1)
        )

    def apply(self, v: Vector) -> Vector:
        """$Gv$."""
        return self._mapped(v, lambda u, g: u * g, lambda factor, u: factor @ (factor.T @ u))

    def _mapped(self, tree: Vector, entries: Any, whole: Any) -> Vector:
        if self.factor is not None:
            vector = wide(ravel(tree))
            return unraveler(tree)(whole(self.factor.astype(vector.dtype), vector))

        def of(a: Array, g: Array) -> Array:
            return entries(a, jnp.where(g > 0.0, g, jnp.nan).astype(a.dtype))

        if self.is_number:
            return leafwise(lambda a: of(a, self.value), tree)
        return leafwise(of, tree, self.value)

    def check(self, where: str) -> None:
        """Refuse a metric that is not positive definite."""
        if self.factor is None:
            check_positive(self.value, where)
        elif not np.all(np.isfinite(np.asarray(self.factor, float))):
            _check_matrix(np.asarray(self.value, float), rounding(self.value, len(self.value)), where)
            raise InputError(f"a metric must be positive definite, but{where} is not")


def form_of(value: Any, position: Vector, factor: Array | None = None) -> Form:
    """Numbers as a metric of parameters, told apart by their shape.

    Raises:
        InputError: they are neither a number, nor of the shapes of the parameters, nor a matrix of all of them.
    """
    if eqx.is_array(value) and value.ndim == 0:
        return Form(value)
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(value)]
    own, count = [jnp.shape(leaf) for leaf in jax.tree.leaves(position)], size(position)
    if jax.tree.structure(value) == jax.tree.structure(position) and shapes == own:
        return Form(value)
    if eqx.is_array(value) and value.shape == (count, count):
        if factor is None:
            matrix = wide(value)
            # Only half of it is read.
            even = jnp.all(jnp.abs(matrix - matrix.T) <= rounding(matrix, count) * jnp.max(jnp.abs(matrix)))
            factor = jnp.where(even, jnp.linalg.cholesky(matrix, symmetrize_input=False), jnp.nan)
        return Form(value, factor)
    words, ours = ", ".join(map(str, shapes)), ", ".join(map(str, own))
    raise InputError(
        f"a metric must be a number, a diagonal of the shapes of the parameters, {ours}, or a matrix of all of them, "
        f"({count}, {count}), but has {words}"
    )


def factored(value: Any) -> Array | None:
    """The Cholesky factor of what may be a constant matrix, None of anything else.

    Raises:
        InputError: it is symmetric and not positive definite.
    """
    if not eqx.is_array(value) or value.ndim != 2 or value.shape[0] != value.shape[1]:
        return None
    if traced(value):
        return jnp.linalg.cholesky(wide(value))
    matrix, eps = np.asarray(value, float), rounding(value, len(value))
    if np.all(matrix > 0.0) and not _even(matrix, eps):
        return None  # of parameters of this shape a diagonal
    _check_matrix(matrix, eps, "")
    return on_device(np.linalg.cholesky(0.5 * (matrix + matrix.T)), wide(value).dtype)


def _even(matrix: np.ndarray, eps: float) -> bool:
    return bool(np.all(np.abs(matrix - matrix.T) <= eps * np.max(np.abs(matrix), initial=0.0)))


def _check_matrix(matrix: np.ndarray, eps: float, where: str) -> None:
    if not np.all(np.isfinite(matrix)):
        raise InputError(f"a metric must be finite, but{where} is not")
    if not _even(matrix, eps):
        raise InputError(f"the matrix of a metric must be symmetric, but{where} is not; take 0.5 * (G + G.T)")
    least = np.linalg.eigvalsh(0.5 * (matrix + matrix.T))[0]
    if not least > eps * np.max(np.abs(matrix), initial=0.0):
        raise InputError(
            f"a metric must be positive definite, but{where} has an eigenvalue {least:.3g}; a diagonal of square "
            "parameters is told from a matrix as a function, Metric(lambda x: D)"
        )


def check_positive(value: Any, where: str = "") -> None:
    """Refuse a number, or one in a tree, that is not positive and finite."""
    for leaf in jax.tree.leaves(value):
        found = np.asarray(leaf, float)
        wrong = found[~((found > 0.0) & np.isfinite(found))]
        if wrong.size:
            is_ = "is" if found.ndim == 0 else "holds"
            raise InputError(
                f"a metric must be positive{' and finite' * bool(np.isinf(wrong[0]))}, but{where} {is_} {wrong[0]:g}"
            )
