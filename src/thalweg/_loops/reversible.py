"""A loop of steps whose derivative makes the states on its way anew, by the inverse of every step."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun
from jaxtyping import Array, PyTree

from .._errors import InputError
from .._methods.method import Method
from .._tree import copied
from ..schemes import State
from .saving import Keeping, put

# Of a position, the part that may be off by rounding: half of the digits, and one of two.
_ALLOWED = 0.5


def reversible(
    step: Callable[[State, Array], State],
    back: Callable[[State, Array], State],
    growth: Callable[[State], Array],
    keeping: Keeping,
    state: State,
    count: int,
) -> tuple[State, PyTree]:
    """The state after a loop, and the rows that it keeps; of the states on the way a derivative holds none.

    Arguments:
        step: the state after step k, of that before it and k.
        back: its inverse, of the state after a step with the clock before it, and the same k.
        growth: the factor by which the inverse of a step from a state may multiply a rounding.
        keeping: what is kept of the states; their slopes are added as the states are found again.

    Raises:
        InputError: roundings grow to more than half of the digits; inside a program, where that depends on what is
            traced, it is an error there.
    """
    chosen = keeping.chosen

    def one_step(state: State, k: Array) -> tuple[State, PyTree]:
        return step(state, k), keeping.of(state, k)

    moved, own = _converted(one_step, state, jnp.zeros((), int))
    # The inverse is only how a state is found again: no derivative is one of it.
    found, of_back = _converted(back, state, jnp.zeros((), int))
    grown, of_growth = _converted(growth, state)
    # A number of Python is a leaf without a slope.
    own, others = jax.tree.map(jnp.asarray, (own, (of_back, of_growth)))

    def scanned(
        own: list[Any], others: tuple[list[Any], list[Any]], state: State
    ) -> tuple[State, PyTree, PyTree, Array]:
        def one(carry: tuple[State, PyTree, Array], k: Array) -> tuple[tuple[State, PyTree, Array], PyTree]:
            state, rows, worst = carry
            # A rounding of every step on the way grows by all the inverses before it.
            worst = 1.0 + worst * grown(state, *others[1])
            after, row = moved(state, k, *own)
            if chosen is None:
                return (after, None, worst), (row, state.clock)
            return (after, put(rows, row, chosen.place(state, k)), worst), (None, state.clock)

        worst = jnp.zeros((), jnp.finfo(jnp.result_type(*jax.tree.leaves(state.position))).dtype)
        begin = (state, keeping.empty(state), worst)
        (final, rows, worst), (every, clocks) = jax.lax.scan(one, begin, jnp.arange(count))
        return final, every if chosen is None else rows, clocks, worst

    @jax.custom_vjp
    def run(own: list[Any], others: tuple[list[Any], list[Any]], state: State) -> tuple[State, PyTree, Array]:
        final, rows, _, worst = scanned(own, others, state)
        return final, rows, worst

    def forwards(own: list[Any], others: tuple[list[Any], list[Any]], state: State) -> Any:
        final, rows, clocks, worst = scanned(own, others, state)
        return (final, rows, worst), (own, others, final, clocks)

    def backwards(kept: Any, slopes: Any) -> Any:
        own, others, final, clocks = kept
        floating, still = eqx.partition(own, eqx.is_inexact_array)

        def one(carry: Any, at: Any) -> tuple[Any, None]:
            state, slope, sums = carry
            k, clock, row = at
            if chosen is not None:
                place = chosen.place(state, k)
                row = jax.tree.map(lambda all: all[place], rows)
            before = found(copied(state, clock=clock), k, *others[0])
            numbers, rest = eqx.partition(before, eqx.is_inexact_array)

            def again(numbers: Any, floating: Any) -> Any:
                after, kept = moved(eqx.combine(numbers, rest), k, *eqx.combine(floating, still))
                return eqx.filter((after, kept), eqx.is_inexact_array)

            _, pull = jax.vjp(again, numbers, floating)
            slope, own_slope = pull((slope, row))
            return (before, slope, jax.tree.map(jnp.add, sums, own_slope)), None

        end, rows, _ = slopes
        end, rows = eqx.filter((end, rows), _is_slope)
        none = jax.tree.map(jnp.zeros_like, floating)
        each = rows if chosen is None else None
        (_, slope, sums), _ = jax.lax.scan(one, (final, end, none), (jnp.arange(count), clocks, each), reverse=True)
        return _filled(own, sums), _filled(others, None), _filled(final, slope)

    run.defvjp(forwards, backwards)
    final, rows, worst = run(own, others, state)
    return _checked(final, worst), rows


def _converted(fn: Callable, *like: Any) -> tuple[Callable, list[Any]]:
    """A function with all that it closes over as arguments at the end: `jax.closure_convert` leaves integers in it."""
    closed, shape = jax.make_jaxpr(fn, return_shape=True)(*like)
    structure = jax.tree.structure(shape)

    def call(*arguments: Any) -> Any:
        own, consts = arguments[: len(like)], arguments[len(like) :]
        run = jaxpr_as_fun(ClosedJaxpr(closed.jaxpr, consts))
        return jax.tree.unflatten(structure, run(*jax.tree.leaves(own)))

    return call, list(closed.consts)


def _is_slope(leaf: Any) -> bool:
    return eqx.is_inexact_array(leaf) and leaf.dtype != jax.dtypes.float0


def _filled(like: PyTree, slopes: PyTree) -> PyTree:
    """Slopes of floating-point leaves, and of the others what JAX takes for none."""
    leaves, structure = jax.tree.flatten(like)
    given = [None] * len(leaves) if slopes is None else structure.flatten_up_to(slopes)
    made = []
    for leaf, slope in zip(leaves, given, strict=True):
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            made.append(jnp.zeros(jnp.shape(leaf), jax.dtypes.float0))
        else:
            made.append(jnp.zeros_like(leaf) if slope is None else slope)
    return jax.tree.unflatten(structure, made)


def _checked(final: State, worst: Array) -> State:
    eps = float(jnp.finfo(worst.dtype).eps)
    allowed = _ALLOWED * eps**0.5
    words = (
        'gradient="reversible" would lose more than half of the digits: going back multiplies a rounding by one over '
        'the momentum at every step; take fewer steps, a momentum nearer to 1, or gradient="checkpoint"'
    )
    lost = ~(eps * worst <= allowed)
    if not isinstance(lost, Tracer):
        if bool(lost):
            raise InputError(words)
        return final
    return eqx.error_if(final, lost, words)


def rounding(method: Method, state: State) -> Array:
    """The factor by which the inverse of a step from a state may multiply a rounding."""
    return method.scheme.inverse_growth(method.dynamics, state, method.step_size_at(state.clock))
