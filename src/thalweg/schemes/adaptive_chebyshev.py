"""Stabilised descent that finds the ends of the spectrum as it goes."""

import dataclasses
from typing import ClassVar

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float, Int

from .._module import Module
from .._objectives.objective import AbstractObjective
from .._tree import Vector, combine, inner, length
from ..dynamics import AbstractDynamics
from ._base import check_exact
from ._descending import AbstractDescending
from ._state import Clock, Draws, State

# Products of a look at the largest curvature, and after how many gradients there is another.
_LOOK, _AGAIN = 8, 400
# A Ritz value and its residual bound the spectrum but for rounding and for what the start does not contain.
_SAFETY = 1.02
# Gradients of a step over sqrt(L / a): all modes from a to L shrink by 27. The most there are of them.
_STAGES, _MOST = 2.0, 5000
# How far below what it seems the least curvature is taken to be, and by how much it may fall at once.
_BELOW, _FALL = 0.8, 16.0


class Spectrum(Module):
    """Facts known where a step begins, and the gradients taken."""

    energy: Float[Array, ""]
    slope: Vector
    largest: Float[Array, ""]
    least: Float[Array, ""]
    stages: Int[Array, ""]
    due: Int[Array, ""]
    failed: Int[Array, ""]
    rejected: Int[Array, ""]
    gradients: Int[Array, ""]


class AdaptiveChebyshev(AbstractDescending):
    r"""Stabilised steps on gradient flow for curvatures of which nothing is known: the adaptive Chebyshev iteration.

    $$\theta^+ - \theta^\star = \frac{T_s\bigl((L + a - 2H)/(L - a)\bigr)}{T_s\bigl((L + a)/(L - a)\bigr)}\,
      (\theta - \theta^\star)\ \text{ on a quadratic of Hessian } H,\qquad s = 2\sqrt{L/a}$$

    A step is one of `tw.RungeKuttaChebyshev` of s gradients, by which all modes of curvature in [a, L] shrink alike. L
    is the largest Ritz value of 8 products with the Hessian and its residual, looked at again after 400 gradients and
    where f does not go down. From below a the modes shrink less: by how much the gradient did tells the curvature of
    what is left of it, which is the next a. No momentum is kept from step to step.

    A step is undone where neither f nor its gradient became smaller. The step size of the method is not used.

    Raises:
        InputError: with the law, where it is not gradient flow at a constant rate of an exact objective.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> curvatures = jnp.geomspace(1.0, 1e4, 100)
    >>> f = tw.Objective(lambda x: 0.5 * jnp.sum(curvatures * x**2), minimum=0.0)
    >>> method = tw.Method(tw.GradientFlow(f), tw.AdaptiveChebyshev(), 1.0)
    >>> run = tw.run(method, 1 / curvatures, 100, stop={"gradient_norm": 1e-7})
    >>> run.status, run.gradients < 1300  # gradient descent takes 82,375
    ('stopped', True)

    Reference: Golub and Varga (1961) for the iteration, Manteuffel (1978) for adapting it, Zhou and Li (2011) for the
    bound of the spectrum.
    """

    order: ClassVar[int] = 1

    def init(
        self, dynamics: AbstractDynamics, position: Vector, step_size: ArrayLike,
        velocity: Vector | None = None, clock: Clock | None = None,
    ) -> State:  # fmt: skip
        del step_size, velocity
        check_exact(self, dynamics, "tw.momentum")
        energy, slope = dynamics._objective().value_and_gradient(position)
        # The spectrum is that of a small matrix, which low precision would not hold.
        zero, none = jnp.zeros((), jnp.promote_types(energy.dtype, jnp.float32)), jnp.zeros((), int)
        memory = Spectrum(energy, slope, zero, zero, none, none, none, none, none + 1)
        return State(position, clock=clock, memory=memory)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        del draws
        old: Spectrum = state.memory
        objective, x = dynamics._objective(), state.position
        looked = old.due <= 0

        def look() -> tuple[Array, Array]:
            found = _bound(objective, x, old.slope, old.rejected).astype(old.largest.dtype)
            # Where the last step failed the curvature grew on its way, and where the one before did too, by far.
            grown = jnp.where(old.failed > 1, 10.0, 2.0) * old.largest
            found = jnp.where(old.failed > 0, jnp.maximum(found, grown), found)
            return found, jnp.where(old.least > 0, jnp.minimum(old.least, 0.5 * found), 0.5 * found)

        largest, least = jax.lax.cond(looked, look, lambda: (old.largest, old.least))
        least = jnp.maximum(least, (_STAGES / _MOST) ** 2 * largest)
        stages = jnp.ceil(_STAGES * jnp.sqrt(largest / least)).astype(int)
        there = _swept(objective, x, old.slope, least, largest, stages)
        energy, slope = objective.value_and_gradient(there)
        before, after = length(old.slope), length(slope)
        finite = jnp.isfinite(energy) & jnp.isfinite(after)
        rounding = 10 * jnp.finfo(energy.dtype).eps * jnp.abs(old.energy)
        moved = finite & ((energy <= old.energy + rounding) | (after <= before))
        ratio = jnp.where(moved & (before > 0), after / jnp.where(before > 0, before, 1.0), 1.0)
        least = jnp.where(moved, jnp.maximum(_remaining(ratio, least, largest, stages), least / _FALL), least)
        cost = stages + jnp.where(looked, 2 * _LOOK, 0)
        due = jnp.where(moved, jnp.where(looked, _AGAIN, old.due) - stages, 0)
        x, energy, slope = jax.tree.map(
            lambda new, kept: jnp.where(moved, new, kept), (there, energy, slope), (x, old.energy, old.slope)
        )
        memory = Spectrum(
            energy, slope, largest, least, stages, due, jnp.where(moved, 0, old.failed + 1), old.rejected + ~moved,
            old.gradients + cost,
        )  # fmt: skip
        clock = None if state.clock is None else state.clock.tick(step_size)
        return dataclasses.replace(state, position=x, clock=clock, memory=memory)

    def interval(self, state: State) -> tuple[Float[Array, ""], Float[Array, ""]]:
        """The curvatures [a, L] that the next step takes the spectrum to be; of `run.state`, say."""
        return state.memory.least, state.memory.largest


def _swept(
    objective: AbstractObjective, x: Vector, slope: Vector, least: Array, largest: Array, stages: Array
) -> Vector:
    """x after so many stages of the Chebyshev iteration on [least, largest]."""
    middle, half = 0.5 * (largest + least), 0.5 * (largest - least)
    twice = 2.0 * middle / half

    def stage(_: Array, carry: tuple[Vector, Vector, Array]) -> tuple[Vector, Vector, Array]:
        x, move, last = carry
        now = 1.0 / (twice - last)
        move = combine((now * last, move), (-2.0 * now / half, objective.gradient(x)))
        return combine((1, x), (1, move)), move, now

    move = combine((-1.0 / middle, slope))
    first = (combine((1, x), (1, move)), move, 2.0 / twice)
    return jax.lax.fori_loop(1, stages, stage, first)[0]


def _remaining(ratio: Array, least: Array, largest: Array, stages: Array) -> Array:
    """A little less than the curvature whose mode shrinks by so much; the least where all shrank as they must."""
    far = jnp.arccosh((largest + least) / (largest - least))
    excess = jnp.log(jnp.maximum(ratio, jnp.finfo(ratio.dtype).tiny)) + _log_cosh(stages * far)
    # T_s(z) = ratio T_s(z0), solved for z.
    angle = _arc_log_cosh(excess) / stages
    found = 0.5 * (largest + least - jnp.cosh(angle) * (largest - least))
    return jnp.where(excess > 0, _BELOW * found, least)


def _log_cosh(x: Array) -> Array:
    return x + jnp.log1p(jnp.exp(-2.0 * x)) - jnp.log(2.0)


def _arc_log_cosh(x: Array) -> Array:
    """arccosh(e^x), also where e^x is more than can be held."""
    x = jnp.maximum(x, 0.0)
    return x + jnp.log1p(jnp.sqrt(-jnp.expm1(-2.0 * x)))


def _bound(objective: AbstractObjective, x: Vector, slope: Vector, number: Array) -> Array:
    """A bound of the curvatures in size, by a few steps of Lanczos' method from a direction that is always the same."""
    # Drawn as one vector, so that it is the same on a tree and on the vector that a run makes of it.
    vector, cut = ravel_pytree(x)
    (key,) = jax.random.split(jax.random.fold_in(jax.random.key(0), number), 1)
    start = cut(jax.random.normal(key, vector.shape, vector.dtype))
    none = jnp.zeros((), jnp.promote_types(vector.dtype, jnp.float32))
    unit = combine((1.0 / jnp.maximum(length(start), jnp.finfo(none.dtype).tiny), start))

    def multiply(
        carry: tuple[Vector, Vector, Array], _: None
    ) -> tuple[tuple[Vector, Vector, Array], tuple[Array, Array]]:
        last, v, coupling = carry
        w = combine((1, objective.hessian_vector_product(x, v)), (-coupling, last))
        along = inner(w, v).astype(none.dtype)
        w = combine((1, w), (-along, v))
        norm = length(w).astype(none.dtype)
        # Where the space is all there is, nothing is left but rounding.
        held = norm > 1e-6 * jnp.abs(along)
        following = combine((jnp.where(held, 1.0 / jnp.where(held, norm, 1.0), 0.0), w))
        return (v, following, jnp.where(held, norm, 0.0)), (along, jnp.where(held, norm, 0.0))

    _, (diagonal, beside) = jax.lax.scan(multiply, (jax.tree.map(jnp.zeros_like, unit), unit, none), length=_LOOK)
    matrix = jnp.diag(diagonal) + jnp.diag(beside[:-1], 1) + jnp.diag(beside[:-1], -1)
    sound = jnp.all(jnp.isfinite(matrix))
    values, vectors = jnp.linalg.eigh(jnp.where(sound, matrix, 0.0))
    most = jnp.max(jnp.abs(values) + beside[-1] * jnp.abs(vectors[-1]))
    # A function that does not curve: a step as long as the position.
    flat = length(slope) / jnp.maximum(1.0, length(x))
    return jnp.where(sound & (most > 0), _SAFETY * most, jnp.where(flat > 0, flat, 1.0)).astype(none.dtype)
