"""A method's step as linear combinations of parameters, buffer and gradients, read off the step itself.

A scheme does linear arithmetic alone, and most laws do. So a step, made once on unit vectors that stand for the
parameters, the buffer and the gradients, is the list of its coefficients, and any library of tensors can make the same.
"""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._dictionary.momentum import physical_constants
from .._methods.method import Method
from .._objectives.objective import AbstractObjective, Batch, Quadratic
from .._tree import Vector, combine
from ..schemes import Clock, State

# Coefficients of the parameters, of the buffer, then of each gradient in the order they are asked for.
Row = tuple[float, ...]
# What moves with time: time, what its sum has lost, steps, the last step's size, and how far is looked ahead.
Ticks = tuple[float, float, int, float, float | None]

_PARAMETERS, _BUFFER, _GRADIENTS = 0, 1, 2
_ROUNDING = 64 * float(np.finfo(float).eps)


@dataclasses.dataclass(frozen=True)
class Ask:
    """Point where a gradient is asked for; the curvature along `direction`, if there is one, is the next gradient."""

    point: Row
    direction: Row | None = None


@dataclasses.dataclass(frozen=True)
class LinearStep:
    """One step; its first gradient is asked for at the parameters as they are."""

    asks: tuple[Ask, ...]
    parameters: Row
    buffer: Row | None
    clock: Ticks | None


class _Unit(AbstractObjective):
    """Answers every gradient with the next unit vector."""

    basis: Array
    asks: list[tuple[Vector, Vector | None]] = eqx.field(static=True)
    once: bool = eqx.field(static=True)

    def value(self, x: Vector, batch: Batch = None) -> Array:
        raise NotImplementedError

    def gradient(self, x: Vector, batch: Batch = None) -> Vector:
        del batch
        for i, (known, direction) in enumerate(self.asks if self.once else ()):
            if direction is None and np.allclose(known, x, rtol=0, atol=_ROUNDING):
                return self.basis[_slot(self.asks, i)]
        self.asks.append((x, None))
        return self.basis[_slot(self.asks, len(self.asks) - 1)]

    def gradient_and_curvature(self, x: Vector, v: Vector, batch: Batch = None) -> tuple[Vector, Vector]:
        del batch
        self.asks.append((x, v))
        slot = _slot(self.asks, len(self.asks) - 1)
        return self.basis[slot], self.basis[slot + 1]


def _slot(asks: Any, i: int) -> int:
    return _GRADIENTS + sum(1 if direction is None else 2 for _, direction in asks[:i])


def linear_step(method: Method, values: dict[str, float], clock: Ticks | None = None) -> LinearStep:
    """A step of `method` at other hyperparameters, from parameters and buffer, in double precision."""
    with jax.enable_x64(True):
        numbers = {name: np.float64(value) for name, value in values.items()}
        found = _rows(method, numbers, _traced(clock), np.float64(1.0))
        return _read(jax.device_get(found))


def is_linear(method: Method, values: dict[str, float]) -> bool:
    """Tell whether half of the parameters, the buffer and the gradients go half as far."""
    with jax.enable_x64(True):
        numbers = {name: np.float64(value) for name, value in values.items()}
        whole, half = (jax.tree.leaves(_rows(method, numbers, None, np.float64(size))[:3]) for size in (1.0, 0.5))
        scale = max(float(np.max(np.abs(row), initial=0.0)) for row in whole)
        return all(
            np.allclose(0.5 * np.asarray(one), np.asarray(other), rtol=0, atol=_ROUNDING * scale)
            for one, other in zip(whole, half, strict=True)
        )


def _traced(clock: Ticks | None) -> Any:
    return None if clock is None else tuple(None if tick is None else np.asarray(tick) for tick in clock)


def linear_first_step(method: Method, values: dict[str, float]) -> LinearStep:
    """The first step, from parameters alone; a gradient that it asks for twice is taken once."""
    with jax.enable_x64(True):
        unit = _Unit(jnp.eye(_GRADIENTS + method.gradients_at_start + method.gradients_per_step), [], True)
        # The numbers are NumPy's; a law asks for arrays of JAX.
        arrays, rest = eqx.partition(method.with_hyperparameters(**values), eqx.is_inexact_array)
        method = eqx.combine(jax.tree.map(jnp.asarray, arrays), rest).with_objective(unit)
        with jax.disable_jit():
            after = method.step(method.init(unit.basis[_PARAMETERS]))
        return _read(jax.device_get((unit.asks, after.lookahead, _kept(after), _ticks(after))))


def in_double(method: Method) -> tuple[Method, dict[str, float]]:
    """The method without its objective and its constant hyperparameters, in double precision.

    A float32 stands for the shortest decimal number that it holds to within rounding: 0.1 for float32(0.1).
    """
    bare = method.with_objective(None)
    leaves = [leaf for leaf in jax.tree.leaves(bare) if eqx.is_inexact_array(leaf)]
    eps = max((float(jnp.finfo(leaf.dtype).eps) for leaf in leaves), default=0.0)
    values = {name: _meant(v, eps) for name, v in bare.hyperparameters.items() if not callable(v)}
    # NumPy's keep their precision wherever they are copied to, whatever JAX is set to.
    return jax.tree.map(lambda x: _double(x, eps) if eqx.is_inexact_array(x) else x, bare), values


def _double(x: Any, eps: float) -> Any:
    if np.ndim(x) == 0:
        return np.asarray(_meant(x, eps))
    # A grid of times, which is no number of a user's.
    with jax.enable_x64(True):
        return jnp.asarray(x, float)


def _meant(value: Any, eps: float) -> float:
    number = float(value)
    rounded = (float(f"{number:.{digits}g}") for digits in range(1, 18))
    return next((short for short in rounded if abs(short - number) <= 2 * eps * abs(number)), number)


@eqx.filter_jit
def _rows(method: Method, values: dict[str, Any], clock: Any, size: Any) -> Any:
    method = method.with_hyperparameters(**values)
    unit = _Unit(size * jnp.eye(_GRADIENTS + method.gradients_per_step), [], False)
    fresh = method.with_objective(Quadratic(jnp.zeros(()))).init(jnp.zeros(unit.basis.shape[1]))
    before = fresh
    if clock is not None:
        *ticks, weight = clock
        before = dataclasses.replace(fresh, clock=Clock(*ticks), lookahead_weight=weight)
    parameters = unit.basis[_PARAMETERS]
    if fresh.buffer is not None:
        before = dataclasses.replace(before, position=parameters, buffer=_sign(fresh) * unit.basis[_BUFFER])
        if before.lookahead_weight is not None:
            # The frameworks' parameters are the point where the gradient is taken.
            position = combine((1, parameters), (-before.lookahead_weight, before.buffer))
            before = dataclasses.replace(before, position=position, ahead=parameters)
    else:
        before = dataclasses.replace(before, position=parameters)
    # A loop over stages is written out, so that every gradient in it is asked for.
    with jax.disable_jit():
        after = method.with_objective(unit).step(before)
    return unit.asks, after.lookahead, _kept(after), _ticks(after)


def _sign(state: State) -> int:
    # A buffer in units of the kick is a sum of forces; frameworks sum gradients.
    return 1 if state.unit is None else -1


def _kept(state: State) -> Vector | None:
    return None if state.buffer is None else combine((_sign(state), state.buffer))


def _ticks(state: State) -> Any:
    clock = state.clock
    return None if clock is None else (clock.time, clock.lost, clock.steps, clock.last_step, state.lookahead_weight)


def _read(found: Any) -> LinearStep:
    asks, parameters, buffer, clock = found
    asked = tuple(Ask(_row(x), None if v is None else _row(v)) for x, v in asks)
    kept = None if buffer is None else _row(buffer)
    return LinearStep(asked, _row(parameters), kept, None if clock is None else tuple(_plain(tick) for tick in clock))


def _plain(value: Any) -> Any:
    return None if value is None else value.item()


def _row(values: Any) -> Row:
    largest = float(np.max(np.abs(values), initial=0.0))
    # What rounding leaves of a sum that cancels is no term.
    return tuple(0.0 if abs(value) <= _ROUNDING * largest else value for value in np.asarray(values).tolist())


def after_change(step: LinearStep, kick: float, values: dict[str, float]) -> LinearStep:
    """The step of momentum after a change of hyperparameters, where the last step kicked by `kick`."""
    assert step.buffer is not None
    weight = weight_of_change(kick, values["learning_rate"], values["momentum"])
    gain = step.parameters[2] / step.buffer[2]
    rest = step.parameters[1] - gain * step.buffer[1]
    buffer: Row = (0.0, step.buffer[1], step.buffer[2] * weight)
    return dataclasses.replace(step, buffer=buffer, parameters=(1.0, rest + gain * buffer[1], gain * buffer[2]))


def weight_of_change(kick: float, learning_rate: float, momentum: float) -> float:
    """The factor (k' + βk) / ((1 + β)k') of the first kick after a change of it from k to k'."""
    new = kick_of(learning_rate, momentum)
    return (new + momentum * kick) / ((1.0 + momentum) * new)


def kick_of(learning_rate: float, momentum: float) -> float:
    """The kick of a unit gradient: learning rate over step."""
    return float(learning_rate / physical_constants(float(learning_rate), float(momentum))[0])
