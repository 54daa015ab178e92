"""The mirror map of a user's own convex function: its inverse given, or found by Newton's method."""

from collections.abc import Callable
from typing import ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Float

from .._errors import InputError
from .._tree import Vector, combine, ravel, size, unraveler, wide_dtype
from ._leafwise import wide
from ._potentials import AbstractMap
from .base import traced

# A Hessian is a matrix of so many parameters at most.
_MOST = 300
_STEPS, _HALVINGS = 100, 60


class OwnPotential(AbstractMap):
    r"""A convex function $\phi$ of the parameters; the tree is seen by it."""

    elementwise: ClassVar[bool] = False

    def __init__(self, potential: Callable, inverse: Callable | None) -> None:
        self.potential, self.inverse = potential, inverse

    def to_dual(self, x: Vector) -> Vector:
        return jax.grad(self.potential)(x)

    def from_dual(self, y: Vector) -> Vector:
        if self.inverse is not None:
            return self.inverse(y)
        zero = jax.tree.map(jnp.zeros_like, y)
        # Begun at 0 where the function is finite, at 1 in a domain of positive numbers.
        inside = jnp.isfinite(self.potential(zero)) & jnp.all(jnp.isfinite(ravel(self.to_dual(zero))))
        return self._found(y, jax.tree.map(lambda leaf: jnp.where(inside, leaf, 1.0), zero))

    def velocity(self, x: Vector, p: Vector) -> Vector:
        if self.inverse is not None:
            return jax.jvp(self.inverse, (self.to_dual(x),), (p,))[1]
        return unraveler(x)(cho_solve((self._factor(x), True), wide(ravel(p))))

    def noise(self, x: Vector, n: Vector) -> Vector:
        return unraveler(x)(solve_triangular(self._factor(x), wide(ravel(n)), lower=True, trans=1))

    def _factor(self, x: Vector) -> Array:
        """The Cholesky factor of the Hessian."""
        _check_size(x)
        return jnp.linalg.cholesky(jax.jacfwd(self._gradient(unraveler(x)))(wide(ravel(x))))

    def lowered(self, x: Vector, u: Vector) -> Vector:
        return jax.jvp(self.to_dual, (x,), (u,))[1]

    def shifted(self, x: Vector, s: Vector) -> Vector:
        dual = combine((1, self.to_dual(x)), (1, s))
        return self.inverse(dual) if self.inverse is not None else self._found(dual, x)

    def check(self, x: Vector) -> None:
        if self.inverse is None:
            _check_size(x)
        value = self.potential(x)
        if jnp.shape(value):
            raise InputError(f"the potential of Mirror must give a number, but gives shape {jnp.shape(value)}")
        dual = self.to_dual(x)
        # Also of a start that is known, where a program is traced.
        if traced((value, dual)):
            return
        if not all(np.all(np.isfinite(np.asarray(leaf, float))) for leaf in jax.tree.leaves((value, dual))):
            raise InputError("the start must be in the domain of the potential of Mirror, but there it is not finite")
        if self.inverse is not None:
            back = self.inverse(dual)
            apart = float(jnp.max(jnp.abs(ravel(back) - ravel(x))))
            if not apart <= 1e3 * float(jnp.finfo(wide_dtype(x)).eps) ** 0.75 * (
                1.0 + float(jnp.max(jnp.abs(ravel(x))))
            ):
                raise InputError(
                    f"inverse must be that of the gradient of the potential, but ends {apart:.3g} away from the start"
                )
        elif not np.all(np.isfinite(np.asarray(ravel(self.velocity(x, jax.tree.map(jnp.ones_like, x))), float))):
            raise InputError(
                "the potential of Mirror must be strictly convex, but at the start its Hessian is not positive"
            )

    def _gradient(self, cut: Callable) -> Callable[[Array], Array]:
        return lambda v: wide(ravel(self.to_dual(cut(v))))

    def _found(self, y: Vector, start: Vector) -> Vector:
        _check_size(y)
        # In the precision of the arithmetic, not of the parameters.
        start = jax.tree.map(wide, start)
        cut = unraveler(start)

        def gradient(v: Array) -> Array:
            value, slope = jax.value_and_grad(self.potential)(cut(v))
            # Outside of its domain a function may have a finite derivative all the same.
            return jnp.where(jnp.isfinite(value), wide(ravel(slope)), jnp.nan)

        found = inverted(gradient, wide(ravel(y)), wide(ravel(start)))
        if not traced((found, y)) and not bool(jnp.all(jnp.isfinite(found))):
            raise InputError(
                "Newton's method has found no point of these dual coordinates; give Mirror the inverse of the "
                "gradient, or take a shorter step"
            )
        return unraveler(y)(found)


def _check_size(x: Vector) -> None:
    if size(x) > _MOST:
        raise InputError(
            f"Mirror of a function needs its Hessian, which is for {_MOST} parameters at most, not {size(x)}; give the "
            "inverse of its gradient, inverse="
        )


class _Search(NamedTuple):
    x: Array
    residual: Array
    step: Array
    count: Array


def inverted(
    gradient: Callable[[Array], Array], y: Float[Array, " d"], start: Float[Array, " d"]
) -> Float[Array, " d"]:
    r"""The root of $\nabla\phi(x) = y$ by Newton's method with halved steps; NaN where it is not found.

    A step is as long as it does not overshoot along its line by more than half of the slope there, and stays where the
    gradient is finite. It has a derivative in y of either mode.
    """

    def solve(residual: Callable[[Array], Array], x: Array) -> Array:
        return _newton(residual, x, jnp.linalg.norm(jax.lax.stop_gradient(y)))

    def tangent(linear: Callable[[Array], Array], moved: Array) -> Array:
        return jnp.linalg.solve(jax.jacfwd(linear)(jnp.zeros_like(moved)), moved)

    return jax.lax.custom_root(lambda x: gradient(x) - y, start, solve, tangent)


def _newton(residual: Callable[[Array], Array], start: Array, size: Array) -> Array:
    eps = jnp.finfo(start.dtype).eps
    hessian = jax.jacfwd(residual)

    def direction(x: Array, r: Array) -> Array:
        return -cho_solve((jnp.linalg.cholesky(hessian(x)), True), r)

    def small(search: _Search) -> Array:
        still = jnp.max(jnp.abs(search.step)) <= 4.0 * eps * jnp.max(jnp.abs(search.x))
        return still | (jnp.linalg.norm(search.residual) <= 2.0 * eps * size) | (search.residual == 0.0).all()

    def advance(search: _Search) -> _Search:
        slope = search.residual @ search.step

        def too_long(t: tuple[Array, Array, Array]) -> Array:
            after = t[2] @ search.step
            good = jnp.all(jnp.isfinite(t[2])) & (after <= 0.5 * jnp.abs(slope))
            return ~good & (t[1] < _HALVINGS)

        def halved(t: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            return 0.5 * t[0], t[1] + 1, residual(search.x + 0.5 * t[0] * search.step)

        whole = (jnp.ones((), start.dtype), jnp.zeros((), int), residual(search.x + search.step))
        t, _, r = jax.lax.while_loop(too_long, halved, whole)
        x = search.x + t * search.step
        return _Search(x, r, direction(x, r), search.count + 1)

    def going(search: _Search) -> Array:
        return ~small(search) & (search.count < _STEPS) & jnp.all(jnp.isfinite(search.step))

    first = residual(start)
    end = jax.lax.while_loop(going, advance, _Search(start, first, direction(start, first), jnp.zeros((), int)))
    close = jnp.max(jnp.abs(end.step)) <= jnp.sqrt(eps) * (jnp.max(jnp.abs(end.x)) + eps)
    return jnp.where(small(end) | close, end.x, jnp.nan)
