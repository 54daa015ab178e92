"""A chunk of steps, compiled: what runs on the device between two looks of the host."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._errors import InputError
from .._methods.method import Method
from .._objectives.objective import AbstractObjective, Batch
from .._objectives.parts import same
from .._programs import compiled_by_size, compiled_quickly
from .._records.metrics import Metric, Seen, look
from .._tree import Vector
from ..dynamics import AbstractDynamics, Phase
from ..schemes import Draws, State
from ..schemes._base import derivative, phase


def evaluated_step(method: Method, state: State, key: Any, step: Array) -> tuple[Array, State]:
    """The loss where the gradient is taken, and the state after the step, from one evaluation."""
    draws = method.draw(key, state.position, step) if method.stochastic else Draws()
    state = method.evaluated(state, draws.batch)
    assert state.evaluation is not None and state.evaluation.value is not None
    return state.evaluation.value, method.step(state, draws)


@compiled_quickly
def begin(method: Method, position: Vector, velocity: Vector | None) -> State:
    """The state at the start, in one program: operation by operation it takes longer than a short run does."""
    return method.init(position, velocity)


@compiled_quickly
def begin_evaluated(
    method: Method, position: Vector, velocity: Vector | None, objective: AbstractObjective, x0: Vector, batch: Batch
) -> tuple[State, tuple[Array, Vector]]:
    """The same, with the value and the gradient at the start."""
    return method.init(position, velocity), objective.value_and_gradient(x0, batch)


@compiled_quickly
def _start_rates(dynamics: AbstractDynamics, state: State) -> Phase:
    """The rate of change of a law at the start."""
    return derivative(dynamics, dynamics.start_time, phase(state), None)


def check_rates(method: Method, state: State) -> None:
    """Refuse a law without an objective that has no finite rate of change at the start."""
    name = type(method.plain.dynamics).__name__
    try:
        rates = _start_rates(method.dynamics, state)
    except InputError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise InputError(f"{name} raised {type(error).__name__} at the start: {first}") from error
    if not all(np.all(np.isfinite(np.asarray(leaf, dtype=float))) for leaf in jax.tree.leaves(rates)):
        raise InputError(f"{name} has a rate of change that is not finite at the start; begin where it is finite")


@compiled_quickly
def last_values(
    method: Method, state: State, step: Any, metrics: tuple[Metric, ...], cut: Callable, batch: Batch
) -> dict[str, Array]:
    """Metrics of a state that no step is made from, on the whole of the data or a batch of the host's."""
    state, found = method.evaluated(state, batch), {}
    for metric in metrics:
        found |= metric.columns(metric.fn(look(method, state, step, batch, same if metric.ours else cut)))
    return {name: jnp.asarray(value, float) for name, value in found.items()}


@eqx.filter_jit
def seen_by_host(method: Method, state: State, key: Any, step: Any, cut: Callable, batch: Batch = None) -> Seen:
    """A state as the host's metrics see it: on the mini-batch of its step, without a key on all data."""
    if batch is None and key is not None:
        batch = method.draw_batch(key, step)
    return look(method, method.evaluated(state, batch), step, batch, cut)


@compiled_by_size
def advance(
    method: Method, state: State, key: Any, start: Any, segments: Any, length: Any,
    metrics: tuple[Metric, ...], columns: tuple[str, ...], scalars: int, rows: int, cut: Callable,
    batches: Batch = None, offset: Any = 0,
) -> tuple[State, dict[str, Array], dict[str, Array], tuple[Array, Array | None]]:  # fmt: skip
    """`segments` times: keep the position (if `rows`), then make `length` steps.

    Beside the state, the metrics and the positions: whether the state is finite, and the loss there as its next step
    would see it, where that is a metric and the mini-batches do not come from the host.

    Where they do, step i takes that at `offset` + i of `batches`.
    """
    timed = () if method.autonomous else ("time",)
    names = (*columns, *(name for name in timed if name not in columns))

    def values(state: State, draws: Draws, step: Array) -> dict[str, Array]:
        # Ours are the same on one vector, and faster; a user's see the tree.
        flat, tree = (look(method, state, step, draws.batch, own) for own in (same, cut))
        found = {}
        for metric in metrics:
            found |= metric.columns(metric.fn(flat if metric.ours else tree))
        return found if state.time is None else found | {"time": state.time}

    def one(i: Array, carry: tuple[State, dict[str, Array]]) -> tuple[State, dict[str, Array]]:
        state, kept = carry
        draws = method.draw(key, state.position, start + i)
        if batches is not None:
            samples = jax.tree.map(lambda leaf: leaf[offset + i], batches)
            # What a loss over them draws is their key.
            batch = samples if draws.batch is None else (samples, draws.batch)
            draws = dataclasses.replace(draws, batch=batch)
        state = method.evaluated(state, draws.batch) if metrics else state.with_lookahead()
        now = values(state, draws, start + i)
        after = method.step(state, draws)
        return after, {name: _put(kept[name], now[name], i) for name in names}

    def segment(j: Array, carry: Any) -> Any:
        state, kept, positions = carry
        if rows:
            positions = {part: _put(positions[part], getattr(state, part), j) for part in positions}
        state, kept = _until_ended(method, j * length, (j + 1) * length, one, (state, kept))
        return state, kept, positions

    kept = {name: jnp.zeros(scalars, float) for name in names}
    positions = {}
    if rows:
        parts = {"position": state.position} | ({} if state.velocity is None else {"velocity": state.velocity})
        positions = {part: jnp.zeros((rows, *vector.shape), vector.dtype) for part, vector in parts.items()}
    carry = (state, kept, positions)
    if rows:
        state, kept, positions = jax.lax.fori_loop(0, segments, segment, carry)
    else:
        # One segment, which needs no loop of its own.
        state, kept, positions = segment(jnp.zeros((), int), carry)
    finite: Any = None
    loss = None
    for leaf in jax.tree.leaves(state.position):
        sound = jnp.all(jnp.isfinite(leaf))
        finite = sound if finite is None else finite & sound
    if "loss" in columns and batches is None:
        end = start + segments * length
        known, batch = method.scheme.known(state), method.draw(key, state.position, end).batch
        now = method.objective_at(state)
        assert now is not None
        loss = now.value(state.lookahead, batch) if known is None else known.value
    return state, kept, positions, (finite, loss)


def _put(rows: Array, row: Any, at: Any) -> Array:
    # A scatter, which `.at` makes, takes longer to compile.
    return jax.lax.dynamic_update_index_in_dim(rows, jnp.asarray(row, rows.dtype), at, 0)


def _until_ended(method: Method, first: Array, last: Array, one: Callable, carry: Any) -> Any:
    """A loop of steps that leaves off where the motion has ended."""
    if method.scheme.report(carry[0]).ended is None:
        return jax.lax.fori_loop(first, last, one, carry)

    def going(loop: Any) -> Array:
        i, (state, _) = loop
        ended = method.scheme.report(state).ended
        assert ended is not None
        return (i < last) & ~ended

    return jax.lax.while_loop(going, lambda loop: (loop[0] + 1, one(*loop)), (first, carry))[1]
