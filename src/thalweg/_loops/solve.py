"""A pure loop of steps, for programs of one's own: jit, vmap and grad go through it."""

import dataclasses
import math
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._errors import InputError, as_key, check_arguments, check_choice
from .._measures.base import AbstractMeasure
from .._methods.method import Method
from .._objectives.objective import as_position, explain
from .._objectives.parts import parted, same
from .._objectives.stream import Stream
from .._tree import copied, ravel, unraveler
from .._typed import typed
from ..schemes import Draws, State
from .reversible import reversible, rounding

GRADIENTS = ("direct", "checkpoint", "reversible")


class Solution(NamedTuple):
    """Result of `tw.solve`.

    `final` is the state after the last step: `.position`, `.velocity`, `.auxiliary` and `.lookahead`. Row k of every
    array in `saved` belongs to the state before step k, the last row to `final`; None, where nothing was saved.
    """

    final: State
    saved: PyTree = None


@typed()
def solve(
    method: Method,
    x0: PyTree,
    steps: int | None = None,
    key: Any = None,
    save: Annotated[Callable[[State], PyTree], "a function of the state, such as lambda state: state.position"]
    | None = None,
    *,
    velocity: PyTree = None,
    gradient: str = "direct",
) -> Solution:
    r"""Make `steps` steps of a method as a pure function of its arguments.

    Nothing is recorded, printed or checked on the way, and nothing is compiled: `jax.jit` it, `jax.vmap` it over
    starts, keys or hyperparameters, differentiate through it. For runs that are kept, stopped and resumed: `tw.run`,
    whose steps are the same.

    Arguments:
        method: a `tw.Method`; made inside of what is transformed, its hyperparameters are traced.
        x0: the start, a pytree of float arrays, or a module of Equinox, of which the floating-point arrays move: then
            `eqx.filter_jit` and the like take what comes out.
        steps: how many, a Python number; None makes all those of a grid of times.
        key: a seed or JAX key, for what draws; step k uses `fold_in(key, k)`, as in `tw.run`.
        save: a function of the `State` whose results are kept at the start and after every step.
        velocity: the starting velocity of a second-order law, a pytree like `x0`.
        gradient: how a reverse-mode derivative gets at the states on the way: "direct" keeps all of them, "checkpoint"
            about $2\sqrt n$ of n, and makes every step twice; "reversible" keeps none, and finds each again by the
            inverse of its step (momentum and `tw.Leapfrog` have one), for two gradients more a step. An inverse
            multiplies roundings by one over the momentum: the states are off by no more than
            $\epsilon\,(\beta^{-n} - 1)/(\beta^{-1} - 1)$ of themselves while the motion is stable, and where that is
            more than half of $\sqrt\epsilon$ it is refused, inside of a program where $\beta$ is traced.

    Returns:
        a `Solution`: `.final`, `.saved`.

    Raises:
        InputError: wrong input, or something to draw and no key, with one line that says what is wrong.

    >>> import jax, thalweg as tw, jax.numpy as jnp
    >>> f = lambda x: 0.5 * jnp.sum(x**2)
    >>> end = lambda rate: tw.solve(tw.gradient_descent(f, rate), jnp.array([8.0]), 3).final.position[0]
    >>> float(end(0.5)), float(jax.grad(end)(0.5))  # 8 (1 - a)^3
    (1.0, -6.0)
    """
    if not isinstance(method, Method):
        raise InputError(f"method must be a tw.Method, such as tw.momentum(f, 0.1, 0.9), but is {method!r}")
    count = method.check_steps(steps)
    check_choice("gradient", gradient, GRADIENTS)
    if gradient == "reversible" and (reason := method.scheme.without_inverse(method.dynamics)):
        raise InputError(
            f'gradient="reversible" needs the inverse of a step, which {type(method.scheme).__name__} has not: {reason}'
            '; take gradient="checkpoint"'
        )
    if save is not None and not callable(save):
        raise InputError(f"save must be a function of the state, such as lambda state: state.position, but is {save!r}")
    if save is not None:
        check_arguments("save", save, "state")
    if method.lacks_objective:
        raise InputError("this method was built without an objective; give one to run it, such as tw.momentum(f, 0.1)")
    if isinstance(method.objective, Stream):
        raise InputError("a tw.Stream gives its mini-batches to tw.run alone; use a tw.FiniteSum")
    if method.stochastic and key is None:
        raise InputError("this method draws noise or mini-batches; give a key, such as key=0")
    x0, join = parted(x0)
    x0, method = as_position(x0), method.joined(join)
    velocity = None if velocity is None else as_position(parted(velocity)[0])
    root, cut = None if key is None else as_key(key), unraveler(x0)

    def keep(state: State) -> PyTree:
        return None if save is None else save(whole(state))

    def whole(state: State) -> State:
        return state if join is same else copied(state, position=join(state.position))

    def drawn(state: State, k: Array) -> Draws:
        if not method.stochastic:
            return Draws()
        # The numbers of a run, which draws them for all parameters as one vector, unless they are a distribution.
        measure = isinstance(x0, AbstractMeasure)
        draws = method.draw(root, state.position if measure else ravel(state.position), k)
        return draws if measure else dataclasses.replace(draws, noise=tuple(cut(normal) for normal in draws.noise))

    def step(state: State, k: Array) -> tuple[State, PyTree]:
        draws = drawn(state, k)
        after, ended = method.step(state.with_lookahead(), draws), method.scheme.report(state).ended
        if ended is not None:
            # What has ended by itself stays where it is.
            after = jax.tree.map(lambda old, new: jnp.where(ended, old, new), state, after)
        return after, keep(state)

    def back(state: State, k: Array) -> State:
        return method.inverse(state, drawn(state, k), state.clock)

    try:
        begun = method.init(x0, velocity)
        if gradient == "reversible":
            final, rows = reversible(step, back, lambda state: rounding(method, state), begun, count)
        else:
            final, rows = _scan(step, begun, count, gradient)
    except InputError:
        raise
    except Exception:
        # If it is the objective that cannot be traced, that is said; looked at first, it would be traced twice.
        if method.objective is not None and not method.objective.stochastic:
            explain(method.at_start(method.objective), x0)
        raise
    if save is None:
        return Solution(whole(final))
    return Solution(
        whole(final), jax.tree.map(lambda kept, last: jnp.concatenate([kept, last[None]]), rows, keep(final))
    )


def _scan(step: Callable, state: State, count: int, gradient: str) -> tuple[State, PyTree]:
    if gradient == "direct" or count < 4:
        return jax.lax.scan(step, state, jnp.arange(count))
    # Only the states at the edges of so many blocks are kept; a block is made again when its derivative is taken.
    length = math.isqrt(count)
    whole = count - count % length

    @jax.checkpoint
    def block(state: State, at: Array) -> tuple[State, PyTree]:
        return jax.lax.scan(step, state, at)

    state, rows = jax.lax.scan(block, state, jnp.arange(whole).reshape(-1, length))
    rows = jax.tree.map(lambda kept: kept.reshape(whole, *kept.shape[2:]), rows)
    state, rest = block(state, jnp.arange(whole, count))
    return state, jax.tree.map(lambda first, last: jnp.concatenate([first, last]), rows, rest)
