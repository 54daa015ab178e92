"""Metrics of flat coordinates: a number, a diagonal, a matrix, an operator, or a function of the position."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.scipy.sparse.linalg
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError, check_count, check_number, is_real
from .._tree import (
    Vector,
    combine,
    length,
    on_device,
    scalar,
    size,
    unraveler,
    wide_dtype,
    wide_inner,
    zeros_like,
)
from ._divergence import divergence
from ._form import Form, check_positive, factored, form_of
from ._leafwise import wide
from .base import AbstractMetric, AbstractNoise, traced


class Metric(AbstractMetric, AbstractNoise):
    r"""An inner product $\langle u, v\rangle = u^\top G\,v$: the preconditioner $G^{-1}$ of a gradient.

    $$\mathtt{velocity}(\theta, p) = G^{-1}p,\qquad \mathtt{noise}(\theta, R) = G^{-1/2}R,\qquad
      \mathtt{divergence}(\theta)_i = \sum_j\partial_jG^{-1}_{ij}(\theta)$$

    Arguments:
        value: G, a positive number; or a tree of positive numbers as the parameters are, its diagonal; or a symmetric
            positive definite matrix (d, d), of all d parameters as one vector, which is factored once; or a function
            of the position, which gives any of these. An array of the shape of the parameters is a diagonal.
        operator: instead of a value, a function $v \mapsto Gv$ of trees as the parameters are, which has to be linear,
            symmetric and positive definite.
        solve: of an operator, its inverse $p \mapsto G^{-1}p$; None is by conjugate gradients.
        tolerance: of conjugate gradients, the size of the residual relative to that of p.
        iterations: of conjugate gradients, at most; a solution that has not come to the tolerance by then is NaN.

    Raises:
        InputError: the metric is not positive definite, or not symmetric; at a start, it does not fit the parameters;
            an operator is asked for noise, or a function of more than 300 parameters for its divergence.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> metric = tw.geometry.Metric(jnp.array([[2.0, 1.0], [1.0, 3.0]]))
    >>> metric.velocity(jnp.zeros(2), jnp.array([1.0, 3.0])).round(6).tolist()
    [0.0, 1.0]
    >>> tw.geometry.Metric(-1.0)
    Traceback (most recent call last):
    thalweg._errors.InputError: a metric must be positive, but is -1
    """

    value: Any = None
    operator: Callable | None = None
    solve: Callable | None = None
    tolerance: Float[Array, ""] = 1e-10  # pyright: ignore
    iterations: int = eqx.field(static=True, default=1000)
    # The Cholesky factor of a constant matrix.
    factor: Float[Array, "d d"] | None = eqx.field(default=None, repr=False)

    def __init__(
        self,
        value: Any = None,
        *,
        operator: Callable | None = None,
        solve: Callable | None = None,
        tolerance: Any = 1e-10,
        iterations: int = 1000,
    ) -> None:
        if (value is None) == (operator is None):
            raise InputError("give a metric as a value (a number, a diagonal, a matrix, a function) or as an operator")
        if solve is not None and operator is None:
            raise InputError("solve belongs to an operator: Metric(operator=..., solve=...)")
        self.value = value if value is None or callable(value) else _numbers(value)
        self.operator, self.solve = operator, solve
        self.tolerance, self.iterations = scalar(tolerance), iterations
        self.factor = None if self.value is None or callable(self.value) else factored(self.value)

    def __check_init__(self) -> None:
        check_number("tolerance", self.tolerance, above=0.0)
        check_count("iterations", self.iterations)
        if self.value is not None and not callable(self.value) and self.factor is None and not traced(self.value):
            check_positive(self.value)

    @property
    def constant(self) -> bool:
        """Tell whether the metric is the same everywhere."""
        return not callable(self.value)

    @property
    def elementwise(self) -> bool:
        return self.operator is None and not callable(self.value) and eqx.is_array(self.value) and self.value.ndim < 2

    @property
    def linear(self) -> bool:
        return self.constant

    @property
    def without_noise(self) -> str:
        if self.operator is None:
            return ""
        return (
            "noise at the metric needs its root, which of an operator is not known; give Metric a matrix, a diagonal "
            "or a number"
        )

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        if self.operator is not None:
            return self._solved(covector)
        return self._at(position).solve(covector)

    def inner(self, position: Vector, u: Vector, v: Vector) -> Float[Array, ""]:
        return wide_inner(self._applied(position, u), v)

    def slope_norm(self, position: Vector, covector: Vector) -> Float[Array, ""]:
        return jnp.sqrt(wide_inner(covector, self.velocity(position, covector)))

    def noise(self, position: Vector, normal: Vector) -> Vector:
        if self.without_noise:
            raise InputError(self.without_noise)
        return self._at(position).root(normal)

    def divergence(self, position: Vector) -> Vector:
        if self.constant:
            return zeros_like(position)
        if self._at(position).is_number:
            return jax.grad(lambda x: jnp.sum(1.0 / self._at(x).value))(position)
        return divergence(lambda x, p: self._at(x).solve(p), position)

    def check(self, position: Vector) -> None:
        if self.operator is not None:
            _check_operator(self.operator, position)
            return
        found = self._at(position)
        if not traced((position, found.value)):
            found.check(" at the start" if callable(self.value) else "")

    def _at(self, position: Vector) -> Form:
        if not callable(self.value):
            return form_of(self.value, position, self.factor)
        return form_of(_numbers(self.value(position)), position)

    def _applied(self, position: Vector, v: Vector) -> Vector:
        return self._at(position).apply(v) if self.operator is None else self.operator(v)

    def _solved(self, covector: Vector) -> Vector:
        if self.solve is not None:
            return self.solve(covector)
        operator = self.operator
        assert operator is not None
        wider = jax.tree.map(wide, covector)

        def applied(v: Vector) -> Vector:
            return jax.tree.map(lambda a, own: a.astype(own.dtype), operator(v), v)

        rounding = float(jnp.finfo(wide_dtype(covector)).eps)
        tolerance = jnp.maximum(self.tolerance, 8.0 * rounding)
        found, _ = jax.scipy.sparse.linalg.cg(applied, wider, tol=tolerance, maxiter=self.iterations)  # pyright: ignore
        left = length(combine((1, wider), (-1, applied(found))))
        # The residual that the iteration carries along drifts from the true one by rounding.
        solved = left <= (10.0 * tolerance + 1e3 * rounding) * length(wider)
        return jax.tree.map(lambda leaf, own: jnp.where(solved, leaf, jnp.nan).astype(own.dtype), found, covector)


def _numbers(value: Any) -> Any:
    """A tree of arrays of floating-point numbers; refused where it holds anything else."""

    def array(leaf: Any) -> Array:
        if not is_real(leaf):
            raise InputError(
                "a metric must be a positive number, a tree of them, a symmetric positive definite matrix or a "
                f"function of the position, but holds {leaf!r}"
            )
        return on_device(leaf, None if jnp.issubdtype(jnp.result_type(leaf), jnp.floating) else float)

    if isinstance(value, list | range) and is_real(value):
        value = np.asarray(value)
    return jax.tree.map(array, value, is_leaf=lambda leaf: leaf is None)


def _check_operator(operator: Callable, position: Vector) -> None:
    """Refuse an operator that two directions show not to be symmetric, or not to be positive."""
    cut, rng = unraveler(position), np.random.default_rng(0)
    u, v = (cut(jnp.asarray(rng.normal(size=size(position)), wide_dtype(position))) for _ in range(2))
    if traced((of_u := operator(u), of_v := operator(v))):
        return
    if jax.tree.structure(of_u) != jax.tree.structure(u):
        raise InputError("the operator of a metric must give a tree as it is given")
    one, other, least = wide_inner(u, of_v), wide_inner(v, of_u), min(wide_inner(u, of_u), wide_inner(v, of_v))
    scale = length(u) * length(of_v) + length(v) * length(of_u)
    if not abs(one - other) <= 100.0 * float(jnp.finfo(wide_dtype(position)).eps) ** 0.75 * scale:
        raise InputError(f"the operator of a metric must be symmetric, but <u, Gv> is {one:g} and <v, Gu> {other:g}")
    if not least > 0.0:
        raise InputError(f"a metric must be positive definite, but its operator has <v, Gv> = {least:g}")
