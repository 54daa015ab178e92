"""Gradient flow followed to its end, not to its path: linearly implicit steps whose length the descent itself sets."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from .._errors import check_count, check_number, is_real
from .._tree import Vector, scalar
from ..dynamics import AbstractDynamics, Evaluation
from ._base import check_exact
from ._descending import AbstractDescending
from ._search import Search
from ._secants import Secants, Solution
from ._state import Clock, Draws, Report, State, Termination

# How it ended, and what to say of it.
_GOING, _REST, _SPENT, _UNBOUNDED, _STALLED, _ROUNDED, _NOT_FINITE = range(7)
# What a step does: go down, look for a direction that curves downwards, leave along it, follow it further where the
# gradient is still within the tolerance.
_DESCEND, _LOOK, _LEAVE, _FOLLOW = range(4)
# Products of the Hessian that a look takes, at least and at most, and its cost as a part of the gradients so far.
_LOOKS, _PART = (3, 30), 0.1
_TRIES, _IDLE = 30, 40
_BOTTOMLESS, _WILD = 1e20, 100.0
# Gradients at the start: one, and a product of the Hessian.
_START = 3


class Descent(eqx.Module):
    """Memory of a step for the next."""

    energy: Float[Array, ""]
    slope: Float[Array, " d"]
    secants: Secants
    search: Search
    floor: Float[Array, ""]
    least: Float[Array, ""]
    base: Float[Array, ""]
    radius: Float[Array, ""]
    shift: Float[Array, ""]
    mode: Int[Array, ""]
    looks: Int[Array, ""]
    failed: Int[Array, ""]
    idle: Int[Array, ""]
    renewed: Bool[Array, ""]
    code: Int[Array, ""]
    gradients: Int[Array, ""]
    steps: Int[Array, ""]
    rejected: Int[Array, ""]
    products: Int[Array, ""]
    left: Int[Array, ""]


def _count(value: Any) -> Any:
    # The command line has no other numbers than floats.
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    return jnp.asarray(value) if is_real(value) and not isinstance(value, float) else value


class PseudoTransient(AbstractDescending):
    r"""Linearly implicit Euler on gradient flow with the curvature from a memory of secants, under control of descent.

    $$\Bigl(\frac1h + B\Bigr)d = -\nabla f(\theta),\qquad
      \theta^+ = \theta + d \text{ where } f \text{ falls as the flow predicts, else } \theta$$

    B is the matrix of L-BFGS. The time step h follows the length that steps may have: it doubles where the fall is what
    the model predicts, so that the end is quasi-Newton (h infinite), and shrinks to the minimiser of a cubic where it
    is not. A step evaluates f and its gradient once. Where the gradient is within the tolerance, products of the
    Hessian look for negative curvature, and what they find is followed: a saddle is no end. After its end the motion
    stays where it is.

    Arguments:
        tolerance: Euclidean norm of the gradient at which a point is at rest, in units of f over x.
        memory: pairs that are kept; 2 vectors each.
        max_gradients: gradient evaluations at most, a product of the Hessian being two; none if None.

    Raises:
        InputError: a number is out of its range; with the law, where it is not gradient flow at a constant rate of an
            exact objective.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = lambda x: (1.0 - x[0])**2 + 100.0 * (x[1] - x[0]**2)**2
    >>> method = tw.Method(tw.GradientFlow(f), tw.PseudoTransient(tolerance=1e-8), 1.0)
    >>> run = tw.run(method, jnp.array([-1.2, 1.0]), 1000)
    >>> run.status, run.final.position.round(6).tolist()
    ('converged', [1.0, 1.0])

    Reference: Kelley and Keyes (1998); the shifted memory is that of Kanzow and Steck (2023).
    """

    tolerance: Float[Array, ""] = eqx.field(default=1e-6, converter=scalar)
    memory: int = eqx.field(default=20, static=True)
    max_gradients: Int[Array, ""] | None = eqx.field(default=None, converter=_count)

    def __check_init__(self) -> None:
        check_number("tolerance", self.tolerance, at_least=0.0)
        check_count("memory", self.memory)
        if self.max_gradients is not None and not isinstance(self.max_gradients, Tracer):
            count: Any = self.max_gradients
            check_count("max_gradients", count.item() if eqx.is_array(count) and count.ndim == 0 else count)

    order: ClassVar[int] = 1

    def known(self, state: State) -> Evaluation:
        slope = ravel_pytree(state.position)[1](state.memory.slope)
        return Evaluation(state.position, state.memory.energy, slope)

    def report(self, state: State) -> Report:
        return super().report(state)._replace(ended=state.memory.code != _GOING)

    def termination(self, state: State) -> Termination | None:
        end: Descent = state.memory
        if int(end.code) == _GOING:
            return None
        return Termination(*_ending(end, float(self.tolerance)), int(end.steps))

    def init(
        self, dynamics: AbstractDynamics, position: Vector, step_size: ArrayLike,
        velocity: Vector | None = None, clock: Clock | None = None,
    ) -> State:  # fmt: skip
        del velocity
        check_exact(self, dynamics, "tw.momentum")
        x, cut = ravel_pytree(position)
        energy, slope = _value_and_slope(dynamics, cut, x)
        product = _product(dynamics, cut, x, slope)
        along, size = slope @ product, jnp.linalg.norm(slope)
        curved = (along > 0) & jnp.isfinite(along)
        along = jnp.where(curved, along, 1.0)
        # The first step minimises a parabola; without one it is as long as the position.
        base = jnp.where(curved, (product @ product) / along, size / jnp.maximum(1.0, jnp.linalg.norm(x)))
        base = jnp.where((base > 0) & jnp.isfinite(base), base, 1.0)
        radius = step_size * jnp.where(curved, size**3 / along, size / base)
        secants = Secants.empty(self.memory, slope).push(slope, product, curved, slope)
        finite = jnp.isfinite(energy) & jnp.isfinite(size)
        floor = energy - _BOTTOMLESS * jnp.maximum(1.0, jnp.abs(energy))
        number, count, dtype = jnp.zeros((), x.dtype), jnp.zeros((), int), x.dtype
        memory = Descent(
            energy, slope, secants, Search.none(x), floor, size, base.astype(dtype), jnp.asarray(radius, dtype), number,
            mode=count, looks=count, failed=count, idle=count, renewed=jnp.zeros((), bool),
            code=jnp.where(finite, _GOING, _NOT_FINITE), gradients=count + _START, steps=count, rejected=count,
            products=count, left=count,
        )  # fmt: skip
        return State(position, clock=clock, memory=self._arrived(memory, size))

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        del draws
        x, cut = ravel_pytree(state.position)
        old: Descent = state.memory
        d, shift, lost = _move(old)
        asked = old.search.asked

        def try_() -> tuple[Array, Array, Search]:
            return *_value_and_slope(dynamics, cut, x + d), old.search

        def look() -> tuple[Array, Array, Search]:
            vector = asked()
            return old.energy, old.slope, old.search.after(vector, _product(dynamics, cut, x, vector))

        def stay() -> tuple[Array, Array, Search]:
            return old.energy, old.slope, old.search

        which = jnp.where(old.code == _GOING, jnp.where(old.mode == _LOOK, 1, 0), 2)
        energy, slope, search = jax.lax.switch(which, (try_, look, stay))
        tried, trying, looking = _tried(old, x, d, shift, energy, slope), which == 0, which == 1
        moved, keep = trying & tried.accepted, trying & tried.pair
        change, d = slope - old.slope, jnp.where(trying, d, 0.0)
        slope = jnp.where(moved, slope, old.slope)
        secants = old.secants.push(d, change, keep, slope).cleared(trying & (lost | tried.renew))

        def chosen(after_try: ArrayLike, otherwise: Array) -> Array:
            return jnp.where(trying, after_try, otherwise)

        leaving, found = _leaving(old), looking & search.found
        over = looking & ~search.found & (search.settled | (search.count >= old.looks))
        size = jnp.linalg.norm(slope)
        mode = jnp.where(found, _LEAVE, old.mode)
        # A direction that was found before the last step need not be one that curves downwards here.
        turned = trying & ~moved & (old.mode == _FOLLOW)
        mode = jnp.where(moved | turned, _DESCEND, mode)
        mode = jnp.where(moved & leaving & (size <= self.tolerance), _FOLLOW, mode)
        # What curves down by so little that no step along it goes down is level.
        given_up = trying & tried.stalled
        code = jnp.where(over | (given_up & leaving), _REST, jnp.where(given_up, _STALLED, old.code))
        code = jnp.where(trying & tried.rounded, _ROUNDED, jnp.where(trying & tried.bottomless, _UNBOUNDED, code))
        radius = jnp.where(found, 0.1 * jnp.maximum(1.0, jnp.linalg.norm(x)), chosen(tried.radius, old.radius))
        base = jnp.where(moved & leaving, jnp.abs(old.search.quotient), chosen(tried.base, old.base))
        cost = jnp.where(which == 2, 0, jnp.where(looking, 2, 1))
        new = Descent(
            jnp.where(moved, energy, old.energy), slope, secants, search, old.floor, chosen(tried.least, old.least),
            base, radius.astype(x.dtype), chosen(shift, old.shift), mode, old.looks,
            chosen(tried.failed, old.failed), chosen(tried.idle, old.idle), chosen(tried.renewed, old.renewed), code,
            old.gradients + cost, old.steps + (which != 2), old.rejected + (trying & ~tried.accepted),
            old.products + looking, old.left + (moved & (old.mode == _LEAVE)),
        )  # fmt: skip
        new = self._arrived(new, size)
        clock = None if state.clock is None else state.clock.tick(step_size)
        return State(cut(jnp.where(moved, x + d, x)), clock=clock, memory=new)

    def _arrived(self, memory: Descent, size: Array) -> Descent:
        """Look about where the gradient is within the tolerance; stop where nothing is left to spend."""
        here = (memory.code == _GOING) & (memory.mode == _DESCEND) & (size <= self.tolerance)
        looks = jnp.clip(_PART * memory.gradients / 2, *_LOOKS).astype(int)
        looks = jnp.where(memory.steps == 0, _LOOKS[1], looks)
        mode = jnp.where(here, _LOOK, memory.mode)
        code = memory.code
        if self.max_gradients is not None:
            short = memory.gradients + jnp.where(mode == _LOOK, 2, 1) > self.max_gradients
            # What cannot be looked at any more is taken for what the gradient says it is.
            code = jnp.where((code == _GOING) & short, jnp.where(mode == _LOOK, _REST, _SPENT), code)
        count = jnp.where(here, 0, memory.search.count)
        return eqx.tree_at(
            lambda m: (m.mode, m.looks, m.search.count, m.code), memory,
            (mode, jnp.where(here, looks, memory.looks), count, code),
        )  # fmt: skip


class _Tried(eqx.Module):
    """Result of a trial."""

    accepted: Bool[Array, ""]
    pair: Bool[Array, ""]
    radius: Float[Array, ""]
    base: Float[Array, ""]
    least: Float[Array, ""]
    failed: Int[Array, ""]
    idle: Int[Array, ""]
    renew: Bool[Array, ""]
    renewed: Bool[Array, ""]
    stalled: Bool[Array, ""]
    rounded: Bool[Array, ""]
    bottomless: Bool[Array, ""]


def _leaving(old: Descent) -> Array:
    return (old.mode == _LEAVE) | (old.mode == _FOLLOW)


def _move(old: Descent) -> tuple[Array, Array, Array]:
    """The step to try, the shift 1/h that makes it as short as it must be, and whether the memory was of no use."""
    secants, size = old.secants, jnp.linalg.norm(old.slope)

    def length(solution: Solution) -> Array:
        # Products of products leave rounding, and nothing tells a negative square from infinity but a test.
        return jnp.sqrt(jnp.where(solution.square > 0, solution.square, jnp.inf))

    # The step without a shift is the first turn of the loop, so that what solves is compiled once.
    def going(carry: Any) -> Array:
        _, _, _, solution, tries = carry
        off = jnp.abs(length(solution) / old.radius - 1.0) >= 0.1
        return (tries < 14) & jnp.where(tries == 1, ~(length(solution) <= old.radius), (tries == 0) | off)

    def narrow(carry: Any) -> Any:
        low, high, shift, solution, tries = carry
        long = ~(length(solution) <= old.radius)
        low, high = jnp.where(long, shift, low), jnp.where(long, high, shift)
        wide = high > 100.0 * low
        shift = jnp.where(wide, jnp.sqrt(jnp.maximum(low, 1e-3 * high) * high), 0.5 * (low + high))
        shift = jnp.where(tries == 0, 0.0, jnp.where(tries == 1, 0.5 * high, shift))
        return low, high, shift, secants.solve(old.base, shift), tries + 1

    zero = jnp.zeros_like(old.base)
    first = (zero, size / old.radius, zero, secants.unsolved(), jnp.zeros((), int))
    shift, solution = jax.lax.while_loop(going, narrow, first)[2:4]
    d = secants.vector(solution, old.slope)
    norm, slope = jnp.linalg.norm(d), d @ old.slope
    sound = jnp.isfinite(norm) & (slope < -1e-12 * norm * size) & (norm <= 1.2 * old.radius)
    steepest = jnp.minimum(1.0 / old.base, old.radius / size)
    d = jnp.where(sound, d, -steepest * old.slope)
    shift = jnp.where(sound, shift, 1.0 / steepest - old.base)
    along = jnp.where(old.search.vector @ old.slope > 0, -1.0, 1.0) * old.search.vector
    leaving = _leaving(old)
    return jnp.where(leaving, old.radius * along, d), jnp.where(leaving, 0.0, shift), ~leaving & ~sound


def _tried(old: Descent, x: Array, d: Array, shift: Array, energy: Array, slope: Array) -> _Tried:
    eps = jnp.finfo(x.dtype).eps
    length, before, after = jnp.linalg.norm(d), d @ old.slope, d @ slope
    size = jnp.linalg.norm(slope)
    finite = jnp.isfinite(energy) & jnp.isfinite(size)
    leaving = _leaving(old)
    expected = jnp.where(
        leaving, -before + 0.5 * jnp.abs(old.search.quotient) * length**2, -0.5 * (before - shift * length**2)
    )
    fell = old.energy - energy
    digits = jnp.maximum(jnp.abs(old.energy), jnp.abs(energy))
    # Where the values have no digits left to tell, the slopes do: Hager and Zhang's approximate condition. That they
    # have none shows where steps fail though the values hardly differ.
    hidden = (old.failed >= 4) & (jnp.abs(fell) <= jnp.sqrt(eps) * digits)
    blind = (jnp.abs(fell) <= 20 * eps * digits) | (expected < 5e4 * eps * digits) | hidden
    ratio = jnp.where(blind & ~leaving, -0.5 * (before + after), fell) / expected
    ratio = jnp.where(finite & (expected > 0), ratio, -1.0)
    reach = eps * jnp.linalg.norm(x)
    accepted = (ratio > 1e-4) & (length > reach)
    change = slope - old.slope
    curvature, square = d @ change, change @ change
    # A rise out of all proportion to the model belongs to another place, and so does the curvature over it.
    near = finite & (accepted | (fell > -_WILD * expected))
    # Over so short a step the change of a gradient is rounding.
    pair = near & (curvature > 1e-10 * length * jnp.sqrt(square)) & (length > 100 * reach)
    # Where f does not curve upwards steps should grow, and beside the pairs the base alone holds them back.
    flatter = jnp.where(finite & ~pair & (ratio > 0.5), 0.25 * old.base, old.base)
    base = jnp.where(pair, square / jnp.where(pair, curvature, 1.0), flatter)
    at_edge = (length > 0.8 * old.radius) | leaving
    radius = jnp.where((ratio > 0.75) & at_edge, jnp.maximum(old.radius, 2.0 * length), old.radius)
    radius = jnp.where((ratio > 0.25) & (shift == 0.0), jnp.maximum(radius, 2.0 * length), radius)
    radius = jnp.where(ratio < 0.1, 0.5 * length, radius)
    shorter = jnp.where(near, jnp.clip(_cubic(old.energy, before, energy, after), 0.1, 0.5), 0.1) * length
    radius = jnp.where(accepted, radius, shorter)
    failed = jnp.where(accepted, 0, old.failed + 1)
    over = ~accepted & ((failed >= _TRIES) | (radius <= reach))
    renew = over & ~old.renewed & ~leaving
    anew = 0.1 * jnp.maximum(1.0, jnp.linalg.norm(x))
    radius, base = jnp.where(renew, anew, radius), jnp.where(renew, jnp.linalg.norm(old.slope) / anew, base)
    level_values = finite & (jnp.abs(fell) <= 20 * eps * digits)
    # Slopes that send f up, step after step, are not its own.
    level = accepted & (level_values | (fell <= 0)) & (size > 0.9 * old.least)
    idle = jnp.where(accepted, jnp.where(level, old.idle + 1, 0), old.idle)
    endless = idle >= _IDLE
    return _Tried(
        accepted, pair, radius, base, jnp.where(accepted, jnp.minimum(old.least, size), old.least),
        jnp.where(renew, 0, failed), idle, renew, jnp.where(accepted, False, old.renewed | renew),
        endless | (over & ~renew), level_values & (endless | (over & ~renew)),
        (energy == -jnp.inf) | (accepted & (energy <= old.floor)),
    )  # fmt: skip


def _cubic(before: Array, slope: Array, after: Array, slope_after: Array) -> Array:
    """Minimiser of the cubic through two values and slopes, as a part of the step; a half where there is none."""
    third = slope + slope_after - 2.0 * (after - before)
    second = 3.0 * (after - before) - 2.0 * slope - slope_after
    root = second * second - 3.0 * third * slope
    below = -second - jnp.sqrt(jnp.maximum(root, 0.0))
    there = (root >= 0) & (below != 0)
    return jnp.where(there, slope / jnp.where(there, below, 1.0), 0.5)


def _value_and_slope(dynamics: AbstractDynamics, cut: Callable, x: Array) -> tuple[Array, Array]:
    energy, force = dynamics.energy_and_force(cut(x))
    return energy.astype(x.dtype), -ravel_pytree(force)[0].astype(x.dtype)


def _product(dynamics: AbstractDynamics, cut: Callable, x: Array, v: Array) -> Array:
    objective = dynamics.objective
    assert objective is not None
    return ravel_pytree(objective.hessian_vector_product(cut(x), cut(v)))[0].astype(x.dtype)


def _ending(end: Descent, tolerance: float) -> tuple[str, str]:
    """Status and message."""
    size = float(np.linalg.norm(np.asarray(end.slope, float)))
    value, count = float(end.energy), int(end.gradients)
    at = f"f = {value:.9g}, gradient norm {size:.3g}"
    looked = f"; no negative curvature in {int(end.products)} products" if int(end.products) else ""
    return {
        _REST: ("converged", f"{at} within {tolerance:g} after {count} gradients{looked}"),
        _SPENT: ("budget spent", f"{at} after {count} gradients, above {tolerance:g}"),
        _UNBOUNDED: ("unbounded", f"f fell to {value:.3g} and falls on: it is not bounded below"),
        _STALLED: (
            "stalled",
            f"{at}: no step goes down any more; the gradient is not that of f, or f is not smooth here",
        ),
        _ROUNDED: (
            "stalled",
            f"{at}: the rounding of f and its gradient hides what is left; {tolerance:g} is below what they can tell",
        ),
        _NOT_FINITE: ("not finite", f"the gradient or f is not finite at the start: f = {value:.3g}"),
    }[int(end.code)]
