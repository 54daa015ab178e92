"""Implicit, linearly implicit and exponential steps of any law: its phase as one vector, its Jacobian by products.

What is a minimum, of gradient flow and the heavy ball, is solved for as one in `_newton.py`.
"""

import abc
import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._krylov import Operator, rounding
from .._objectives.objective import Batch
from .._tree import Unravel, combine, length, ravel, unraveler, wide_dtype
from ..dynamics import AbstractDynamics, Phase
from ..dynamics._base import Time
from ._arnoldi import Hessenberg, arnoldi, matmul
from ._base import derivative, phase
from ._linear_systems import DENSE, systems, tangents
from ._state import State

# A step of Newton's method is halved until the residual falls by so much of what it should; at most so often.
_DECREASE, _HALVINGS = 1e-4, 20
# Where the residual falls no more, it may be so many times what rounding of the point leaves: the sums round, too.
_ROUNDING = 10.0
# Iterative systems are solved to this much of the residual, squared as Newton's method converges.
_FORCING = 1e-2


class AbstractFlatField(abc.ABC):
    """A right-hand side as a function of one vector, at least in float32, to be taken near `here`, which `cut` cuts."""

    here: Float[Array, " n"]
    cut: Unravel

    @abc.abstractmethod
    def __call__(self, time: Any, v: Float[Array, " n"]) -> Float[Array, " n"]:
        """The right-hand side at a point."""

    def at(self, time: Any, v: Float[Array, " n"]) -> tuple[Float[Array, " n"], Operator]:
        """The right-hand side at a point, and its Jacobian there as products."""
        return jax.linearize(lambda x: self(time, x), v)

    @abc.abstractmethod
    def wide(self, v: Float[Array, " n"]) -> Any:
        """A change as what is changed."""


@dataclasses.dataclass(frozen=True)
class FlatField(AbstractFlatField):
    """The right-hand side of a law as a function of one vector, at least in float32.

    `here` is the phase as that vector and `cut` makes a phase of one.
    """

    dynamics: AbstractDynamics
    here: Float[Array, " n"]
    cut: Unravel
    batch: Batch = None

    def __call__(self, time: Any, v: Float[Array, " n"]) -> Float[Array, " n"]:
        return wide_vector(derivative(self.dynamics, time, self.cut(v), self.batch))

    def wide(self, v: Float[Array, " n"]) -> Phase:
        """A change as a phase, whose leaves keep the precision of the vector."""
        return dataclasses.replace(self.cut, dtypes=(v.dtype,) * len(self.cut.shapes))(v)


def wide_vector(y: Any) -> Float[Array, " n"]:
    """One vector of all numbers of a tree, at least in float32."""
    return ravel(y).astype(wide_dtype(y))


def flat_field(dynamics: AbstractDynamics, y: Phase, batch: Batch = None) -> FlatField:
    """A law's right-hand side, to be taken near a phase."""
    return FlatField(dynamics, wide_vector(y), unraveler(y), batch)


class Move(NamedTuple):
    """A change of the whole phase, evaluations of the right-hand side, products, and whether it is short of the aim."""

    move: Any
    evaluations: Int[Array, ""]
    products: Int[Array, ""]
    failed: Bool[Array, ""]


class _Iterate(NamedTuple):
    move: Array
    left: Array
    size: Array
    evaluations: Array
    products: Array
    iterations: Array
    solved: Array
    stuck: Array


def implicit_change(
    field: AbstractFlatField, time: Time, h: Array, tolerance: Array, iterations: int, products: int
) -> Move:
    r"""The change $\delta = hF(t, y + \delta)$, by Newton's method with a search along its steps.

    Its derivatives are those of the equation, not of the iterations.

    Arguments:
        field: F, and y.
        time: t.
        h: the step.
        tolerance: of the residual's norm, in units of $|\delta|$; F(t, y) may be of any size that decays at once.
        iterations: at most.
        products: with the Jacobian for a system that is too large to be eliminated, at most.

    Reference: Nocedal and Wright (2006), chapter 11.
    """
    here, ulps = field.here, rounding(field.cut(field.here))
    h = h.astype(here.dtype)

    def residual(move: Array) -> Array:
        return move - h * field(time, here + move)

    def newton(_: Any, move: Array) -> tuple[Array, tuple[Array, ...]]:
        left = residual(move)
        scale = length(left)

        def iterate(now: _Iterate) -> _Iterate:
            _, product = field.at(time, here + now.move)
            system = systems(product, h, here, products)
            # A share of what the iteration may leave, where that is near.
            sharp = jnp.maximum(
                _FORCING * jnp.minimum(now.size / scale, 1.0) * now.size, 0.3 * tolerance * length(now.move)
            )
            found = system.solve(-now.left, jnp.minimum(sharp, _FORCING * now.size))

            def tried(trial: tuple[Array, ...]) -> tuple[Array, ...]:
                along, _, _, _, count = trial
                along = jnp.where(count == 0, 1.0, 0.5 * along).astype(here.dtype)
                left = residual(now.move + along * found.x)
                size = length(left)
                return along, left, size, size < (1.0 - _DECREASE * along) * now.size, count + 1

            def again(trial: tuple[Array, ...]) -> Array:
                return ~trial[3] & (trial[4] < _HALVINGS)

            none = jnp.zeros((), int)
            start = (jnp.ones((), here.dtype), now.left, now.size, jnp.zeros((), bool), none)
            along, left, size, better, count = jax.lax.while_loop(again, tried, start)
            move = jnp.where(better, now.move + along * found.x, now.move)
            left, size = jnp.where(better, left, now.left), jnp.where(better, size, now.size)
            # What rounding of the start and of the move leaves in the residual.
            floor = ulps * (length(move) + jnp.abs(h) * system.spread(jnp.abs(here) + jnp.abs(move)))
            goal, held = jnp.maximum(tolerance * length(move), floor), ~better & (size <= _ROUNDING * floor)
            taken = system.products + found.products + (0 if system.direct else 1)
            return _Iterate(
                move, left, size, now.evaluations + 1 + count, now.products + taken, now.iterations + 1,
                (size <= goal) | held, ~better,
            )  # fmt: skip

        def unfinished(now: _Iterate) -> Array:
            return ~now.solved & ~now.stuck & (now.iterations < iterations)

        none = jnp.zeros((), int)
        first = _Iterate(move, left, scale, none + 1, none, none, scale <= 0.0, jnp.zeros((), bool))
        end = jax.lax.while_loop(unfinished, iterate, first)
        return end.move, tuple(x.astype(jnp.float32) for x in (end.evaluations, end.products, ~end.solved))

    move, (evaluations, taken, failed) = jax.lax.custom_root(
        residual, jnp.zeros_like(here), newton, tangents(products), has_aux=True
    )
    return Move(field.wide(move), evaluations.astype(int), taken.astype(int), failed > 0)


def linear_change(field: FlatField, time: Time, h: Array, tolerance: Array, products: int) -> Move:
    r"""The change $\delta = h(1 - hJ)^{-1}F(t, y)$ with the Jacobian there."""
    slope, product = field.at(time, field.here)
    h = h.astype(field.here.dtype)
    system = systems(product, h, field.here, products)
    found = system.solve(h * slope, tolerance * length(h * slope))
    one = jnp.ones((), int)
    return Move(field.wide(found.x), one, system.products + found.products, found.failed)


def exponential_change(field: FlatField, time: Time, h: Array, tolerance: Array, krylov: int) -> Move:
    r"""The change $h\varphi_1(hJ)F(t, y)$ with the Jacobian there, up to `DENSE` numbers without a Krylov space."""
    slope, product = field.at(time, field.here)
    h, one = h.astype(field.here.dtype), jnp.ones((), int)
    n = slope.size
    if n <= DENSE:
        jacobian = jax.vmap(product, out_axes=1)(jnp.eye(n, dtype=slope.dtype))
        change = _phi_one(h * jacobian, h * slope)
        return Move(field.wide(change), one, one * n, ~jnp.all(jnp.isfinite(change)))
    size = min(krylov, n)

    def coefficients(basis: Hessenberg) -> Array:
        filled = jnp.arange(size) < basis.count
        matrix = jnp.where(filled[:, None] & filled[None, :], basis.matrix[:size], 0.0)
        return _phi_one(h * matrix, jnp.zeros(size, slope.dtype).at[0].set(h))

    def finished(basis: Hessenberg) -> Array:
        found = coefficients(basis)
        left = jnp.abs(h) * basis.coupling * jnp.abs(found[basis.count - 1])
        return left <= tolerance * length(found)

    basis = arnoldi(product, slope, size, finished)
    change = length(slope) * matmul(coefficients(basis), basis.vectors[:size])
    return Move(field.wide(change), one, basis.count, ~finished(basis))


def _phi_one(matrix: Float[Array, "n n"], b: Float[Array, " n"]) -> Float[Array, " n"]:
    r"""$\varphi_1(A)b$: the last column of the exponential of A with b beside it, by scaling and squaring.

    `jax.scipy.linalg.expm` is NaN from a norm of 3e5 on, and at its worst scaling short of float64 by 8 digits.

    Reference: Saad (1992), proposition 2.1; Higham (2008), section 10.3.
    """
    n, size = b.size, length(b)
    # Beside A b is made as large as that, so that it asks for no scaling of its own.
    most = jnp.max(jnp.sum(jnp.abs(matrix), axis=0))
    reach = jnp.where(most > 0.0, most, 1.0)
    unit = jnp.where(size > 0.0, reach / jnp.where(size > 0.0, size, 1.0), 1.0)
    beside = jnp.zeros((n + 1, n + 1), b.dtype).at[:n, :n].set(matrix).at[:n, n].set(unit * b)
    norm = jnp.max(jnp.sum(jnp.abs(beside), axis=0))
    times = jnp.where(jnp.isfinite(norm), jnp.maximum(0.0, jnp.ceil(jnp.log2(norm)) + 1.0), 0.0)
    first = beside * jnp.exp2(-times)
    # To a norm of 1/2 this approximant of Pade has all digits of float64.
    eye, second = jnp.eye(n + 1, dtype=b.dtype), matmul(first, first)
    fourth = matmul(second, second)
    odd = matmul(first, eye / 2.0 + second / 66.0 + fourth / 15840.0)
    even = eye + second * (5.0 / 44.0) + fourth / 792.0 + matmul(fourth, second) / 665280.0
    part = jnp.linalg.solve(even - odd, even + odd)
    whole = jax.lax.fori_loop(0, times.astype(int), lambda _, x: matmul(x, x), part)
    return whole[:n, n] / unit


def changed(state: State, found: Move, step_size: Array, part: float = 1.0) -> State:
    """The state at the end of a step of which the change over a part, from its start, has been found."""
    end = combine((1, phase(state)), (1.0 / part, found.move))
    return dataclasses.replace(
        state,
        position=end.position,
        buffer=end.velocity,
        auxiliary=end.auxiliary,
        clock=None if state.clock is None else state.clock.tick(step_size),
        memory=state.memory.plus(found.evaluations, found.products, found.failed),
    )
