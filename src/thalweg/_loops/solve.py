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
from .._objectives.at_start import explain
from .._objectives.objective import as_position
from .._objectives.parts import parted, same
from .._objectives.stream import Stream
from .._tree import copied, ravel, unraveler
from .._typed import typed
from ..schemes import Adaptive, Draws, State
from ..schemes._base import phase
from .attempting import arrived, attempting, stopping
from .between import between, brackets, check_between, ends_of
from .forwards import forwards_only
from .on_the_way import check_on_the_way
from .reversible import reversible, rounding
from .saving import Chosen, Keeping, as_steps, as_times, position

GRADIENTS = ("direct", "checkpoint", "reversible")


class Solution(NamedTuple):
    """Result of `tw.solve`.

    `final` is the state after the last step: `.position`, `.velocity`, `.auxiliary` and `.lookahead`. `saved` has a row
    for every state, that before step k the row k and `final` the last; or one for each of the steps or times that were
    asked for. None, where nothing was saved.
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
    at: Any = None,
    times: Any = None,
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
        steps: how many, a Python number; None makes all those of a grid of times. Of `tw.Adaptive` so many attempts at
            most, rejected ones among them; the motion ends at its `until`, and it is an error if that is not reached.
        key: a seed or JAX key, for what draws; step k uses `fold_in(key, k)`, as in `tw.run`.
        save: a function of the `State` whose results are kept at the start and after every step, unless `at` or `times`
            says where; there it is the position, where none is given.
        at: numbers of the steps before which a state is kept, from 0, the start, to `steps`, `final`: integers that go
            up. No other state takes memory.
        times: times at which a state is kept, an array. Between two steps a state is the cubic that has the values and
            the rates of both, off by no more than $h^4/384$ times the fourth derivative besides: of order 4, or of the
            scheme's own where that is less. That is refused for a law with noise, on a manifold, and where the state is
            not the law's at one time, as of momentum. Of `tw.Adaptive` a step ends at each of them (`stops`), so that
            its tolerance holds there.
        velocity: the starting velocity of a second-order law, a pytree like `x0`.
        gradient: how a reverse-mode derivative gets at the states on the way: "direct" keeps all of them, "checkpoint"
            about $2\sqrt n$ of n, and makes every step twice; "reversible" keeps none, and finds each again by the
            inverse of its step (momentum and `tw.Leapfrog` have one), for two gradients more a step. An inverse
            multiplies roundings by one over the momentum: the states are off by no more than
            $\epsilon\,(\beta^{-n} - 1)/(\beta^{-1} - 1)$ of themselves while the motion is stable, and where that is
            more than half of $\sqrt\epsilon$ it is refused, inside of a program where $\beta$ is traced. Lengths of
            the steps of `tw.Adaptive` are constants in a derivative, but for what it owes to `until` and `times`.

    Returns:
        a `Solution`: `.final`, `.saved`.

    Raises:
        InputError: wrong input, or something to draw and no key, with one line that says what is wrong; an adaptive
            method has not come to its end. Where that depends on what is traced, it is an error in the program.

    >>> import jax, thalweg as tw, jax.numpy as jnp
    >>> f = lambda x: 0.5 * jnp.sum(x**2)
    >>> end = lambda rate: tw.solve(tw.gradient_descent(f, rate), jnp.array([8.0]), 3).final.position[0]
    >>> float(end(0.5)), float(jax.grad(end)(0.5))  # 8 (1 - a)^3
    (1.0, -6.0)
    >>> flow = tw.Method(tw.GradientFlow(f), tw.Adaptive(rtol=1e-8, atol=1e-8, until=1.0), 0.1)
    >>> [round(x, 6) for x in tw.solve(flow, jnp.array([8.0]), 100, times=[0.5, 1.0]).saved[:, 0].tolist()]  # 8 exp(-t)
    [4.852245, 2.943036]

    Reference: Hairer, Nørsett and Wanner (1993), section II.6, of times between steps.
    """
    if not isinstance(method, Method):
        raise InputError(f"method must be a tw.Method, such as tw.momentum(f, 0.1, 0.9), but is {method!r}")
    count = method.check_steps(steps)
    check_on_the_way(method, count)
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
    if at is not None and times is not None:
        raise InputError("give the steps that are kept, at=[0, 10], or the times, times=[0.0, 1.0]; one of them")
    steps_kept = None if at is None else as_steps(at, count)
    times = None if times is None else as_times(times)
    wrong, adaptive = False, isinstance(method.scheme, Adaptive)
    if times is not None and adaptive:
        method, wrong = stopping(method, times)
    elif times is not None:
        check_between(method, x0, count)

    def whole(state: State) -> State:
        if join is same:
            return state
        ahead = None if state.lookahead_weight is None else join(state.lookahead)
        return copied(state, position=join(state.position), ahead=ahead)

    kept = None if save is None else lambda state: save(whole(state))

    def drawn(state: State, k: Array) -> Draws:
        if not method.stochastic:
            return Draws()
        # The numbers of a run, which draws them for all parameters as one vector, unless they are a distribution.
        measure = isinstance(x0, AbstractMeasure)
        draws = method.draw(root, state.position if measure else ravel(state.position), k)
        return draws if measure else dataclasses.replace(draws, noise=tuple(cut(normal) for normal in draws.noise))

    def forth(state: State, k: Array) -> State:
        return method.step(state.with_lookahead(), drawn(state, k))

    def back(state: State, k: Array) -> State:
        return method.inverse(state, drawn(state, k), state.clock)

    try:
        begun, within = method.init(x0, velocity), None
        if times is not None and not adaptive:
            within = brackets(method, begun, times, count)
            keeping = Keeping(phase, ends_of(within, count))
        else:
            chosen = steps_kept if times is None else Chosen(times)
            keeping = Keeping(kept if chosen is None else kept or position, chosen)
        step = _going(method, forth, begun)
        if gradient == "reversible":
            final, rows = reversible(step, back, lambda state: rounding(method, state), keeping, begun, count)
        else:
            final, rows = _scanned(step, keeping, begun, count, gradient)
        rows = keeping.whole(rows, final, count)
        if within is not None:
            rows = between(method, within, rows, kept)
    except InputError:
        raise
    except Exception:
        # If it is the objective that cannot be traced, that is said; looked at first, it would be traced twice.
        if method.objective is not None and not method.objective.stochastic:
            explain(method.at_start(method.objective), x0)
        raise
    if isinstance(method.scheme, Adaptive) and method.scheme.until is not None:
        final, rows = arrived(method, final, rows, count, wrong)
    final, rows = _differentiable(method, (final, rows))
    if save is None and join is not same and rows is not None:
        # A module of so many rows, as `eqx.filter_vmap` takes one.
        rows = join(rows)
    return Solution(whole(final), rows)


def _differentiable(method: Method, found: tuple[State, PyTree]) -> tuple[State, PyTree]:
    """The same, with derivatives that the scheme does not have refused where they are asked for."""
    scheme = method.scheme.scheme if isinstance(method.scheme, Adaptive) else method.scheme
    name = type(scheme).__name__
    if reason := scheme.without_derivative(method.dynamics):
        return forwards_only(found, f"{name} has no derivative on {type(method.dynamics).__name__}, for {reason}", True)
    if reason := scheme.without_reverse():
        return forwards_only(found, f"{name} has no derivative in reverse, for {reason}")
    return found


def _going(method: Method, forth: Callable[[State, Array], State], begun: State) -> Callable[[State, Array], State]:
    """The step of a loop: what has ended by itself stays where it is."""
    if method.scheme.report(begun).ended is None:
        return forth
    if not isinstance(method.scheme, Adaptive):

        def step(state: State, k: Array) -> State:
            ended, after = method.scheme.report(state).ended, forth(state, k)
            assert ended is not None
            return jax.tree.map(lambda old, new: jnp.where(ended, old, new), state, after)

        return step
    tried = attempting(lambda state: forth(state, jnp.zeros((), int)), begun)
    return lambda state, k: jax.lax.cond(method.scheme.report(state).ended, lambda same: same, tried, state)


def _scanned(
    step: Callable[[State, Array], State], keeping: Keeping, state: State, count: int, gradient: str
) -> tuple[State, PyTree]:
    def one(carry: tuple[State, PyTree], k: Array) -> tuple[tuple[State, PyTree], PyTree]:
        state, rows = carry
        rows, row = keeping.put(rows, state, k)
        return (step(state, k), rows), row

    (final, rows), every = _scan(one, (state, keeping.empty(state)), count, gradient)
    return final, every if keeping.chosen is None else rows


def _scan(step: Callable, state: PyTree, count: int, gradient: str) -> tuple[PyTree, PyTree]:
    if gradient == "direct" or count < 4:
        return jax.lax.scan(step, state, jnp.arange(count))
    # Only the states at the edges of so many blocks are kept; a block is made again when its derivative is taken.
    length = math.isqrt(count)
    whole = count - count % length

    @jax.checkpoint
    def block(state: PyTree, at: Array) -> tuple[PyTree, PyTree]:
        return jax.lax.scan(step, state, at)

    state, rows = jax.lax.scan(block, state, jnp.arange(whole).reshape(-1, length))
    rows = jax.tree.map(lambda kept: kept.reshape(whole, *kept.shape[2:]), rows)
    state, rest = block(state, jnp.arange(whole, count))
    return state, jax.tree.map(lambda first, last: jnp.concatenate([first, last]), rows, rest)
