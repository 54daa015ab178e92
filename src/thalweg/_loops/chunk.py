"""A chunk of steps, compiled: what runs on the device between two looks of the host."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._methods.method import Method
from .._objectives.objective import AbstractObjective, Batch
from .._tree import Vector
from ..dynamics._curved import as_tangent, norm
from ..schemes import Draws, State


class Shared(AbstractObjective):
    """One trace's objective: the gradient taken where the value was is not taken twice."""

    base: AbstractObjective
    seen: list[Any] = eqx.field(static=True)

    def value_and_gradient(self, x: Vector, batch: Batch = None) -> tuple[Array, Vector]:
        for seen, drawn, value, gradient in self.seen:
            if seen is x and drawn is batch:
                return value, gradient
        value, gradient = self.base.value_and_gradient(x, batch)
        self.seen.append((x, batch, value, gradient))
        return value, gradient

    def value(self, x: Vector, batch: Batch = None) -> Array:
        return self.value_and_gradient(x, batch)[0]

    def gradient(self, x: Vector, batch: Batch = None) -> Vector:
        for seen, drawn, _, gradient in self.seen:
            if seen is x and drawn is batch:
                return gradient
        return self.base.gradient(x, batch)

    def gradient_and_curvature(self, x: Vector, v: Vector, batch: Batch = None) -> tuple[Vector, Vector]:
        return self.base.gradient_and_curvature(x, v, batch)


def slope_norm(method: Method, state: State, slope: Vector) -> Array:
    """The length of a slope at the look-ahead point, in the metric of the law."""
    geometry: Any = method.dynamics.geometry
    return norm(geometry, state.lookahead, as_tangent(geometry, state.lookahead, slope))


def metric(name: str, method: Method, objective: AbstractObjective, state: State, batch: Batch) -> Array:
    if name == "loss":
        return objective.value(state.lookahead, batch)
    if name == "gradient_norm":
        return slope_norm(method, state, objective.value_and_gradient(state.lookahead, batch)[1])
    if name == "speed":
        return norm(method.dynamics.geometry, state.position, state.velocity)
    if name == "gradients":
        # Where all steps are alike the host counts them.
        taken = method.scheme.gradient_evaluations(state)
        return jnp.zeros(()) if taken is None else taken.astype(float)
    length = method.scheme.length(state)
    return method.step_size_at(state.clock) if length is None else length


def shared_step(method: Method, state: State, key: Any, step: Array) -> tuple[Array, State]:
    """The loss where the gradient is taken, and the state after the step, from one evaluation."""
    assert method.objective is not None
    draws = method.draw(key, state.position, step) if method.stochastic else Draws()
    shared, state = Shared(method.objective, []), state.with_lookahead()
    loss = shared.value(state.lookahead, draws.batch)
    return loss, method.with_objective(shared).step(state, draws)


@eqx.filter_jit
def begin(method: Method, position: Vector, velocity: Vector | None) -> State:
    """The state at the start, in one program: operation by operation it takes longer than a short run does."""
    return method.init(position, velocity)


@eqx.filter_jit
def advance(
    method: Method, state: State, key: Any, start: Any, segments: Any, length: Any,
    metrics: tuple[str, ...], scalars: int, rows: int, batches: Batch = None, offset: Any = 0,
) -> tuple[State, dict[str, Array], dict[str, Array], tuple[Array, Array | None]]:  # fmt: skip
    """`segments` times: keep the position (if `rows`), then make `length` steps.

    Beside the state, the metrics and the positions: whether the state is finite, and the loss there as its next step
    would see it, where that is a metric and the mini-batches do not come from the host.

    Where they do, step i takes that at `offset` + i of `batches`.
    """
    names = (*metrics, *(() if method.autonomous else ("time",)))

    def values(state: State, draws: Any, objective: AbstractObjective) -> dict[str, Array]:
        found = {name: metric(name, method, objective, state, draws.batch) for name in metrics}
        return found if state.time is None else found | {"time": state.time}

    def one(i: Array, carry: tuple[State, dict[str, Array]]) -> tuple[State, dict[str, Array]]:
        state, kept = carry
        assert method.objective is not None
        draws = method.draw(key, state.position, start + i)
        if batches is not None:
            draws = dataclasses.replace(draws, batch=jax.tree.map(lambda leaf: leaf[offset + i], batches))
        shared, state = Shared(method.objective, []), state.with_lookahead()
        known = method.scheme.known(state)
        if known is not None:
            # What the scheme keeps of the point is not evaluated again for its metrics.
            shared.seen.append((state.lookahead, draws.batch, *known))
        now = values(state, draws, shared)
        after = method.with_objective(shared).step(state, draws)
        return after, {name: kept[name].at[i].set(jnp.asarray(now[name], kept[name].dtype)) for name in names}

    def segment(j: Array, carry: Any) -> Any:
        state, kept, positions = carry
        if rows:
            positions = {part: positions[part].at[j].set(getattr(state, part)) for part in positions}
        state, kept = _until_ended(method, j * length, (j + 1) * length, one, (state, kept))
        return state, kept, positions

    kept = {name: jnp.zeros(scalars, float) for name in names}
    positions = {}
    if rows:
        parts = {"position": state.position} | ({} if state.velocity is None else {"velocity": state.velocity})
        positions = {part: jnp.zeros((rows, *vector.shape), vector.dtype) for part, vector in parts.items()}
    state, kept, positions = jax.lax.fori_loop(0, segments, segment, (state, kept, positions))
    finite, loss = jnp.all(jnp.stack([jnp.all(jnp.isfinite(leaf)) for leaf in jax.tree.leaves(state.position)])), None
    if "loss" in metrics and batches is None:
        assert method.objective is not None
        known, batch = method.scheme.known(state), method.draw(key, state.position, start + segments * length).batch
        loss = method.objective.value(state.lookahead, batch) if known is None else known[0]
    return state, kept, positions, (finite, loss)


def _until_ended(method: Method, first: Array, last: Array, one: Callable, carry: Any) -> Any:
    """A loop of steps that leaves off where the motion has ended."""
    if method.scheme.ended(carry[0]) is None:
        return jax.lax.fori_loop(first, last, one, carry)

    def going(loop: Any) -> Array:
        i, (state, _) = loop
        ended = method.scheme.ended(state)
        assert ended is not None
        return (i < last) & ~ended

    return jax.lax.while_loop(going, lambda loop: (loop[0] + 1, one(*loop)), (first, carry))[1]
