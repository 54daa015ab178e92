"""Any method as an optax gradient transformation, and the curvature that a running Adam sees."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.core import Tracer
from jaxtyping import Array, PyTree

from .._errors import InputError
from .._methods.method import Method
from .._objectives.objective import AbstractObjective, Batch
from .._tree import Vector, combine, zeros_like
from .._typed import typed
from ..dynamics._base import check_descends
from ..dynamics._curved import check_on
from ..geometry import AbstractManifold
from ..geometry.base import named
from ..schemes import Draws, Lookahead, Restarted, State
from ._optax_curvature import preconditioned_curvature as preconditioned_curvature
from ._optax_state import MotionState as MotionState


@dataclasses.dataclass(frozen=True, eq=False)
class _Known:
    at: Vector
    gradient: Vector


class _Asked(AbstractObjective):
    """The loop's gradient where the loop took it, its function elsewhere."""

    function: Callable | None = eqx.field(static=True)
    # Static, so that the point is known again by its identity; it lives within one trace.
    known: _Known = eqx.field(static=True)
    # What is done to a gradient, of the point and the gradient there.
    change: Callable | None = eqx.field(static=True, default=None)

    def value(self, x: Vector, batch: Batch = None) -> Array:
        del batch
        assert self.function is not None
        return self.function(x)

    def gradient(self, x: Vector, batch: Batch = None) -> Vector:
        if self.function is None or x is self.known.at:
            return self.known.gradient
        found = super().gradient(x, batch)
        return found if self.change is None else self.change(found, x)


@typed()
def transformation(
    method: Method, before: optax.GradientTransformation | None = None
) -> optax.GradientTransformationExtraArgs:
    r"""A method as an `optax.GradientTransformation`.

    $$\mathtt{update} = \Theta^+ - \Theta$$

    The loop's parameters are $\Theta$, the point where the gradient is taken: the position, or the look-ahead
    point of a method that looks ahead, as in `optax.sgd(nesterov=True)`. The transformation keeps no copy of them.
    In a geometry the update leads from one point of it to the next, by a sum: it rounds what it makes much smaller.
    A learning rate or momentum that changes between updates (`optax.inject_hyperparams`) leaves the buffer as it is, as
    in optax. To keep the motion, inject both as `tw.Hyperparameters.schedule` has them.

    Arguments:
        method: any `tw.Method`; its objective, if it has one, is not used. One that takes several gradients a step
            asks for `update(..., params, value_fn=loss)`, the loss as a function of the parameters.
        before: a transformation of every gradient that a step takes, such as `optax.clip_by_global_norm(1.0)`. In
            `optax.chain`, the same would change the first of several gradients alone, and is refused: update compares
            that gradient with its own, for which it takes one more, or with `grad=` where the loop gives it
            (`update(g, ..., grad=g)`, as for optax's line searches). What a `before` remembers moves on with the
            first gradient of a step.

    Returns:
        init and update, for `optax.chain`, `optax.apply_updates` and what else takes a transformation.

    Raises:
        InputError: the method needs a gradient before its first step, or, in update, parameters or a loss
            that it was not given; or something before it has changed the first of its gradients (where that is seen
            in compiled code alone, an error of Equinox's says so).

    >>> import optax, thalweg as tw, jax.numpy as jnp
    >>> optimizer = tw.adapters.optax.transformation(tw.momentum(None, learning_rate=0.5, momentum=0.5))
    >>> params = jnp.array([8.0])
    >>> state = optimizer.init(params)
    >>> for _ in range(2):
    ...     updates, state = optimizer.update(params, state, params)  # of half the square
    ...     params = optax.apply_updates(params, updates)
    >>> abs(params.round(6)).tolist()
    [0.0]
    """
    if not isinstance(method, Method):
        raise InputError(
            f"transformation takes a tw.Method, such as tw.momentum(None, 0.1, 0.9), but is given {method!r}"
        )
    check_descends(method.dynamics, "an optax transformation")
    geometry = method.dynamics.geometry
    if isinstance(geometry, AbstractManifold) and isinstance(method.scheme, Lookahead | Restarted):
        raise InputError(
            f"{type(method.scheme).__name__} takes its gradient ahead of the position, and no sum of updates leads "
            f"from there to the next point of a {named(geometry)}; use tw.Leapfrog()"
        )
    if method.normals:
        raise InputError(f"{type(method.dynamics).__name__} draws noise, for which an optax transformation has no key")
    if method.gradients_at_start:
        raise InputError(
            f"{type(method.dynamics).__name__} by {type(method.scheme).__name__} needs a gradient before its first "
            'step, which optax has not; use start="zero", as tw.momentum and tw.nesterov do'
        )
    if isinstance(method.scheme, Restarted) and method.scheme.by == "function":
        raise InputError('a restart by "function" needs the value of f, which optax has not; use by="gradient"')
    if before is not None and not (hasattr(before, "init") and hasattr(before, "update")):
        raise InputError(f"before must be an optax transformation, such as optax.clip(1.0), but is {before!r}")
    several = method.gradients_per_step > 1 or method.gradients_vary
    placed = several or method.dynamics.takes_position
    first = None if before is None else optax.with_extra_args_support(before)

    def init(params: PyTree) -> MotionState:
        check_on(geometry, params)
        return _kept(method.init(params), None if first is None else first.init(params))

    def update(
        updates: PyTree,
        state: MotionState,
        params: PyTree = None,
        *,
        value_fn: Callable | None = None,
        grad: PyTree = None,
        **extra: Any,
    ) -> tuple[PyTree, MotionState]:
        if several and (params is None or value_fn is None):
            raise InputError(
                f"{type(method.scheme).__name__} takes "
                f"{'several' if method.gradients_vary else method.gradients_per_step} gradients a step; "
                "call update(gradients, state, params, value_fn=loss)"
            )
        if placed and params is None:
            raise InputError(
                f"{type(method.dynamics).__name__} takes the parameters too; call update(gradients, state, params)"
            )
        if several:
            assert value_fn is not None
            updates = _unchanged(method, updates, state, params, value_fn, grad)
        gradient, remembered, change = updates, None, None
        if first is not None:
            extra = extra | ({} if value_fn is None else {"value_fn": value_fn})
            gradient, remembered = first.update(updates, state.before, params, **extra)
            change = partial(_changed, first, state.before, extra)
        # With one gradient, given, a step does not depend on where it begins; from zero it is the update itself.
        begin = params if placed else zeros_like(updates)
        # The unit of the buffer and the look-ahead are those of the method as it is now.
        now = method.init(jnp.zeros(()) if geometry is None else begin)
        weight = now.lookahead_weight if state.clock is None else state.lookahead_weight
        before = State(begin, state.buffer, now.unit, weight, state.clock, state.memory, state.auxiliary)
        asked = _Asked(value_fn if several else None, _Known(begin, gradient), change)
        after = method.with_objective(asked).step(before, Draws())
        moved = combine((1, after.lookahead), (-1, before.lookahead))
        return jax.tree.map(lambda new, old: new.astype(old.dtype), moved, updates), _kept(after, remembered)

    return optax.GradientTransformationExtraArgs(init, update)  # pyright: ignore[reportArgumentType]


def _changed(
    change: optax.GradientTransformationExtraArgs, state: PyTree, extra: dict[str, Any], gradient: PyTree, x: PyTree
) -> PyTree:
    """A gradient changed as the first of the step is."""
    return change.update(gradient, state, x, **extra)[0]


def _unchanged(
    method: Method, updates: PyTree, state: MotionState, params: PyTree, value_fn: Callable, grad: PyTree
) -> PyTree:
    """The gradient that a transformation was given, refused where it is not that of the function."""
    given = jax.tree.leaves(updates)
    own = jax.tree.leaves(jax.grad(value_fn)(params) if grad is None else grad)
    if all(one is other for one, other in zip(given, own, strict=True)):
        return updates
    eps = max(float(jnp.finfo(leaf.dtype).eps) for leaf in given)
    gap = _largest([one.astype(float) - other.astype(float) for one, other in zip(given, own, strict=True)])
    # Two programs round differently; near a minimum by the terms of the gradient, not by what is left of it. By what
    # a step makes of that the parameters are moved within their own rounding, where the step is stable.
    span = jnp.asarray(method.step_size_at(state.clock), float) ** method.dynamics.order
    allowed = 8 * eps * _largest(own)
    if grad is None:
        allowed = eps**0.5 * _largest(own) + 64 * eps * _largest(jax.tree.leaves(params)) / span
    changed = gap > allowed
    says = (
        f"what stands before {type(method.scheme).__name__} in the chain has changed the first of the gradients of its "
        "step, and would leave the others as they are; give it inside: transformation(method, before=optax.clip(1.0))"
    )
    if isinstance(changed, Tracer):
        return eqx.error_if(updates, changed, says)
    if changed:
        raise InputError(says)
    return updates


def _largest(leaves: list[Any]) -> Array:
    return jnp.max(jnp.stack([jnp.max(jnp.abs(leaf.astype(float)), initial=0.0) for leaf in leaves]))


def _kept(state: State, before: PyTree = None) -> MotionState:
    weight = None if state.clock is None else state.lookahead_weight
    return MotionState(state.buffer, weight, state.clock, state.memory, before, state.auxiliary)
