"""A method at a ladder of step sizes, or of tolerances where it sets its own steps: each rung compiled, and timed."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from .._errors import InputError, check_count, check_number
from .._methods.method import Method
from ..analysis.order import follow
from ..schemes import State

_BUDGETS = tuple(2**k for k in range(4, 15))
_TOLERANCES = tuple(10.0**-k for k in range(2, 13))
_CONTROL = ("rtol", "atol", "until")
# Attempts after which a scheme that sets its own steps is taken to make no way.
_ATTEMPTS = 100_000


@dataclasses.dataclass(frozen=True)
class Rung:
    """One run of a method to the end: so many steps of a size, or as many as a tolerance asks for."""

    steps: int | None
    step_size: float | None
    tolerance: float | None
    run: Callable[[], Any]
    result: Callable[[Any], tuple[State, int, bool]]
    """From what `run` gives: the state, the gradients evaluated, whether the time was reached."""


def check_ladder(steps: Sequence[int] | None, tolerances: Sequence[float] | None) -> None:
    """Refuse ladders that are none."""
    for name, rungs in (("steps", steps), ("tolerances", tolerances)):
        if rungs is not None and not len(rungs):
            raise InputError(f"{name} must hold at least one number, but is empty")
    for n in () if steps is None else steps:
        check_count("steps", n)
    for tolerance in () if tolerances is None else tolerances:
        check_number("tolerances", tolerance, above=0.0)


def check_control(name: str, method: Method) -> None:
    """Refuse a scheme that sets its steps but not by a tolerance on the way to a time."""
    fields = {field.name for field in dataclasses.fields(method.scheme)}
    if method.scheme.controlled and not fields.issuperset(_CONTROL):
        raise InputError(
            f"methods[{name!r}]: {type(method.scheme).__name__} sets its own steps, and not by tolerances "
            "(rtol, atol) up to a time (until), so there is no error at a time to measure"
        )


def ladder(
    method: Method,
    start: Float[Array, " d"],
    velocity: Float[Array, " d"] | None,
    until: float,
    steps: Sequence[int] | None,
    tolerances: Sequence[float] | None,
) -> list[Rung]:
    """The rungs of a method on raveled parameters, from the coarsest on; they share one compiled program."""
    if method.scheme.controlled:
        return _by_tolerance(method, start, velocity, until, sorted(set(tolerances or _TOLERANCES), reverse=True))
    counts = steps or [max(1, budget // max(1, method.gradients_per_step)) for budget in _BUDGETS]
    return _by_step(method, start, velocity, until, sorted(set(counts)))


def _by_step(method: Method, start: Array, velocity: Array | None, until: float, counts: Sequence[int]) -> list[Rung]:
    # jax.jit on the arrays alone: eqx.filter_jit takes as long to call as a short run takes to compute.
    arrays, static = eqx.partition(method, eqx.is_array)

    @jax.jit
    def go(arrays: Any, step: Float[Array, ""], steps: Int[Array, ""]) -> State:
        return follow(eqx.combine(arrays, static), start, velocity, step, steps)

    def rung(n: int) -> Rung:
        step, count = jnp.asarray(until / n), jnp.asarray(n)

        def result(state: State) -> tuple[State, int, bool]:
            return state, method.gradients_after(state, n), True

        return Rung(n, until / n, None, lambda: go(arrays, step, count), result)

    return [rung(n) for n in counts]


def _by_tolerance(
    method: Method, start: Array, velocity: Array | None, until: float, tolerances: Sequence[float]
) -> list[Rung]:
    first = method.step_size
    arrays, static = eqx.partition(method, eqx.is_array)
    scheme: Any = method.scheme
    scheme = dataclasses.replace(scheme, until=float(method.dynamics.start_time) + until)
    scheme_arrays, scheme_static = eqx.partition(scheme, eqx.is_array)

    @jax.jit
    def go(arrays: Any, scheme_arrays: Any, tolerance: Float[Array, ""]) -> tuple[State, Int[Array, ""]]:
        scheme = dataclasses.replace(eqx.combine(scheme_arrays, scheme_static), rtol=tolerance, atol=tolerance)
        own = Method(eqx.combine(arrays, static).dynamics, scheme, first)

        def going(carry: tuple[State, Int[Array, ""]]) -> Bool[Array, ""]:
            ended = scheme.report(carry[0]).ended
            if ended is None:
                name = type(scheme).__name__
                raise InputError(f"{name} sets the length of its steps, but its report does not say when it has ended")
            return ~ended & (carry[1] < _ATTEMPTS)

        return jax.lax.while_loop(
            going, lambda carry: (own.step(carry[0]), carry[1] + 1), (own.init(start, velocity), jnp.zeros((), int))
        )

    def result(found: tuple[State, Int[Array, ""]]) -> tuple[State, int, bool]:
        state, attempts = found
        ending = scheme.termination(state)
        reached = ending is not None and ending.status == "finished"
        return state, method.gradients_after(state, int(attempts)), reached

    def rung(tolerance: float) -> Rung:
        asked = jnp.asarray(tolerance)
        return Rung(None, None, tolerance, lambda: go(arrays, scheme_arrays, asked), result)

    return [rung(tolerance) for tolerance in tolerances]
