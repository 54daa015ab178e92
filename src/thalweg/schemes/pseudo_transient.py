"""Gradient flow followed to its end, not to its path: linearly implicit steps whose length the descent itself sets."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float, Int

from .._errors import check_count, check_number, is_real
from .._tree import Vector, scalar
from ..dynamics import AbstractDynamics, Evaluation
from . import _descent
from ._arithmetic import Host, Traced
from ._base import check_exact
from ._descending import AbstractDescending
from ._descent import Descent, Goal
from ._state import Clock, Draws, Report, State, Termination

# How far from where it began, and how far the next step would go, where a small gradient says that f is flat.
_FAR, _FARTHER, _ON = 5.0, 1e-3, 0.1


def _count(value: Any) -> Any:
    # The command line has no other numbers than floats.
    value = int(value) if isinstance(value, float) and value.is_integer() else value
    return jnp.asarray(value) if is_real(value) and not isinstance(value, float) else value


class PseudoTransient(AbstractDescending):
    r"""Linearly implicit Euler on gradient flow with the curvature from a memory of secants, under control of descent.

    $$\Bigl(\frac1h + B\Bigr)d = -\nabla f(\theta),\qquad
      \theta^+ = \theta + d \text{ where } f \text{ falls as the flow predicts, else } \theta$$

    B is the matrix of L-BFGS, in units of the variables that are 1 until no step goes down, or 500 were made, and are
    then found from the sizes that the variables have had, and from the pairs. The time step h follows the length that
    steps may have: it doubles where the fall is what the model predicts, so that the end is quasi-Newton (h infinite),
    and shrinks to the minimiser of a cubic where it is not. A step evaluates f and its gradient once. Where the
    gradient is within the tolerance, products of the Hessian look for negative curvature, and what they find is
    followed: a saddle is no end. After its end the motion stays where it is. `tw.run` decides on the host, in double
    precision, and compiles f alone; elsewhere a step is traced as any other.

    Arguments:
        tolerance: Euclidean norm of the gradient at which a point is at rest, in units of f over x.
        memory: pairs that are kept; 2 vectors each.
        max_gradients: gradient evaluations at most, a product of the Hessian being two; none if None.
        relative: a point is at rest, too, where the gradient is that part of what it was at the start.

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
    relative: Float[Array, ""] = eqx.field(default=0.0, converter=scalar)

    def __check_init__(self) -> None:
        check_number("tolerance", self.tolerance, at_least=0.0)
        check_number("relative", self.relative, at_least=0.0)
        check_count("memory", self.memory)
        if self.max_gradients is not None and not isinstance(self.max_gradients, Tracer):
            count: Any = self.max_gradients
            check_count("max_gradients", count.item() if eqx.is_array(count) and count.ndim == 0 else count)

    order: ClassVar[int] = 1

    def known(self, state: State) -> Evaluation:
        x, cut = ravel_pytree(state.position)
        # A state that a loop of the host has left holds numbers of its own precision.
        return Evaluation(state.position, state.memory.energy, cut(jnp.asarray(state.memory.slope, x.dtype)))

    def report(self, state: State) -> Report:
        return super().report(state)._replace(ended=state.memory.code != _descent.GOING)

    def termination(self, state: State) -> Termination | None:
        end: Descent = state.memory
        if int(end.code) == _descent.GOING:
            return None
        return Termination(*_ending(end, state.position, float(self.tolerance), float(self.relative)), int(end.steps))

    def goal(self, position: Vector, value: Any) -> Goal:
        """The end of a descent, with the digits of the parameters and of a value of f."""
        digits = max(float(jnp.finfo(leaf.dtype).eps) for leaf in jax.tree.leaves(position))
        return Goal(self.tolerance, self.relative, self.max_gradients, digits, float(jnp.finfo(value.dtype).eps))

    def init(
        self, dynamics: AbstractDynamics, position: Vector, step_size: ArrayLike,
        velocity: Vector | None = None, clock: Clock | None = None,
    ) -> State:  # fmt: skip
        del velocity
        check_exact(self, dynamics, "tw.momentum")
        x, cut = ravel_pytree(position)
        wide = jnp.promote_types(x.dtype, jnp.float32)
        energy, slope = _value_and_slope(dynamics, cut, x)
        goal = self._as(wide, position, energy)
        unit = _descent.direction(Traced, slope.astype(wide))
        product = _product(dynamics, cut, x, unit.astype(x.dtype))
        memory = _descent.begun(
            Traced, x.astype(wide), energy.astype(wide), slope.astype(wide), product.astype(wide), goal, self.memory,
            jnp.asarray(step_size, wide),
        )  # fmt: skip
        return State(position, clock=clock, memory=jax.tree.map(jnp.asarray, memory))

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        del draws
        vector, cut = ravel_pytree(state.position)
        old: Descent = state.memory
        wide = old.slope.dtype
        x = vector.astype(wide)

        def rounded(point: Array) -> Array:
            return ravel_pytree(cut(point.astype(vector.dtype)))[0].astype(wide)

        def try_() -> tuple[Array, Descent]:
            move = _descent.proposed(Traced, old, x, rounded)
            energy, slope = _value_and_slope(dynamics, cut, move.there.astype(vector.dtype))
            goal = self._as(wide, state.position, energy)
            return _like(_descent.after_trial(Traced, old, x, move, energy.astype(wide), slope.astype(wide), goal))

        def look() -> tuple[Array, Descent]:
            asked = old.search.asked(Traced)
            product = old.scale * _product(dynamics, cut, vector, (old.scale * asked).astype(vector.dtype)).astype(wide)
            goal = self._as(wide, state.position, product)
            return _like((x, _descent.after_look(Traced, old, x, asked, product, goal)))

        def _like(new: tuple[Array, Descent]) -> tuple[Array, Descent]:
            return jax.tree.map(lambda leaf, kept: jnp.asarray(leaf, kept.dtype), new, (x, old))

        going = old.code == _descent.GOING
        which = jnp.where(going, jnp.where(old.mode == _descent.LOOK, 1, 0), 2)
        there, memory = jax.lax.switch(which, (try_, look, lambda: (x, old)))
        clock = None if state.clock is None else state.clock.tick(step_size)
        return State(cut(there.astype(vector.dtype)), clock=clock, memory=memory)

    def _as(self, dtype: Any, position: Vector, value: Any) -> Goal:
        goal = self.goal(position, value)
        return goal._replace(tolerance=self.tolerance.astype(dtype), relative=self.relative.astype(dtype))


def _value_and_slope(dynamics: AbstractDynamics, cut: Callable, x: Array) -> tuple[Array, Array]:
    energy, force = dynamics.energy_and_force(cut(x))
    return energy, -ravel_pytree(force)[0]


def _product(dynamics: AbstractDynamics, cut: Callable, x: Array, v: Array) -> Array:
    objective = dynamics.objective
    assert objective is not None
    return ravel_pytree(objective.hessian_vector_product(cut(x), cut(v)))[0]


def _ending(end: Descent, position: Vector, tolerance: float, relative: float) -> tuple[str, str]:
    """Status and message."""
    size = Host.length(np.asarray(end.slope, float))
    value, count, code = float(end.energy), int(end.gradients), int(end.code)
    at = f"f = {value:.9g}, gradient norm {size:.3g}"
    if code == _descent.REST:
        goal = f"{tolerance:g}"
        if size > tolerance and size <= relative * float(end.initial):
            goal = f"{relative:g} of that at the start"
        looked = f"; no negative curvature in {int(end.products)} products" if int(end.products) else ""
        return "converged", f"{at} within {goal} after {count} gradients{looked}{_flat(end, position)}"
    if code == _descent.SPENT:
        return "budget spent", f"{at} after {count} gradients, above {tolerance:g}"
    if code == _descent.UNBOUNDED:
        return "unbounded", f"f fell to {value:.3g} and falls on: it is not bounded below"
    if code == _descent.NOT_FINITE:
        return "not finite", f"the gradient or f is not finite at the start: f = {value:.3g}"
    least = min((np.dtype(leaf.dtype) for leaf in jax.tree.leaves(position)), key=lambda dtype: -jnp.finfo(dtype).eps)
    none = "no step goes down any more"
    why = {
        _descent.ROUNDED: f"the rounding of f and its gradient in {least} hides what is left; a tolerance of "
        f"{tolerance:g} is below what they can tell here",
        _descent.KINKED: f"{none}: the gradient jumps, so that f is not smooth here",
        _descent.FOREIGN: f"{none}: f does not change as its gradient says; the gradient is not that of f",
        _descent.WALLED: f"{none}: f or its gradient is not finite a step from here",
        _descent.SCALED: f"{none}, also in units of the sizes of the variables: f is badly scaled here; give it "
        "variables in units in which they are of one size",
    }[code]
    return "stalled", f"{at}: {why}"


def _flat(end: Descent, position: Vector) -> str:
    """Words where the gradient is small because f is flat rather than because a minimum is near; none elsewhere."""
    if int(end.steps) == int(end.products):
        return "; it was so at the start, so that nothing was gone down"
    home, part = float(end.home), float(end.ahead)
    far = Host.length(np.asarray(ravel_pytree(position)[0], float))
    if part < _ON and not (far > _FAR * home and part > _FARTHER):
        return ""
    return (
        f"; but f is flat here, {far:.3g} from the origin: by its curvature the next step would still go {part:.2g} of "
        "that, so that a minimum may be far, or at infinity"
    )
