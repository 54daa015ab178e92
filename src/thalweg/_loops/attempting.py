"""Attempts of an adaptive method, and a derivative through those that were accepted alone."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array

from .._errors import InputError
from .._methods.method import Method
from .._tree import copied
from ..schemes import Adaptive, State

# Of the step of an attempt that was rejected, the part at which its derivative is taken, to be thrown away.
_SHORT = 1e-6


def attempting(step: Callable[[State], State], state: State) -> Callable[[State], State]:
    """A step of an adaptive method, whose derivative where it is rejected is that of staying.

    What is rejected may be no number, and zero times that is none either. So the derivative is taken of an attempt
    made anew, which where it is rejected is so short that it is finite.
    """
    # With all that it closes over, traced or not, as its leaves.
    moved = eqx.filter_closure_convert(step, state)

    @eqx.filter_custom_jvp
    def tried(state: State, moved: Callable[[State], State]) -> State:
        return moved(state)

    @tried.def_jvp
    def _(primals: Any, tangents: Any) -> tuple[State, Any]:
        (state, moved), (slope, own) = primals, tangents
        after = moved(state)
        assert state.clock is not None and after.clock is not None
        accepted = after.clock.steps > state.clock.steps
        control = state.memory
        shorter = dataclasses.replace(control, step=jnp.where(accepted, control.step, _SHORT * control.step))
        there = dataclasses.replace(state, memory=shorter)
        _, slopes = eqx.filter_jvp(lambda state, moved: moved(state), (there, moved), (slope, own))

        def kept(new: Any, leaf: Any, old: Any) -> Any:
            if new is None or not eqx.is_inexact_array(leaf):
                return None
            return jnp.where(accepted, new, jnp.zeros_like(new) if old is None else old)

        return after, jax.tree.map(kept, slopes, state, slope, is_leaf=lambda node: node is None)

    return lambda state: tried(state, moved)


def stopping(method: Method, times: Array) -> tuple[Method, Any]:
    """The method with steps that end at given times, and whether these are out of order or of its range.

    It ends at the last of them where it has no end of its own.
    """
    scheme = method.scheme
    assert isinstance(scheme, Adaptive)
    start, until = method.start_time, times[-1] if scheme.until is None else scheme.until
    wrong = ~(jnp.all(jnp.diff(times) > 0) & (times[0] >= start) & (times[-1] <= until))
    if not isinstance(wrong, Tracer) and bool(wrong):
        end = "" if scheme.until is None else f" to {float(until):g}"
        raise InputError(
            f"times of an adaptive method must go up, from {float(start):g}{end}, but are {np.asarray(times).tolist()}"
        )
    stops = times if scheme.stops is None else jnp.sort(jnp.concatenate([scheme.stops, times]))
    # A stop of its own may be one of the times.
    return copied(method, scheme=copied(scheme, stops=stops, until=until)), wrong


def arrived(method: Method, final: State, rows: Any, count: int, wrong: Any) -> tuple[State, Any]:
    """The state and rows of an adaptive method that has come to its end; an error where it has not.

    Where that is traced, it is one in the program.
    """
    scheme, clock = method.scheme, final.clock
    assert isinstance(scheme, Adaptive) and scheme.until is not None and clock is not None
    bad = (clock.time < scheme.until) | wrong
    if isinstance(bad, Tracer):
        return eqx.error_if(
            (final, rows),
            bad,
            f"the motion has not come to its end in {count} attempts of a step: make more, or take a larger tolerance; "
            "or the times to be kept do not go up from the start to the end",
        )
    if bool(bad):
        end = scheme.termination(final)
        why = f"{count} attempts of a step came to {float(clock.time):g}; make more" if end is None else end.message
        raise InputError(f"the motion has not come to its end, time {float(scheme.until):g}: {why}")
    return final, rows
