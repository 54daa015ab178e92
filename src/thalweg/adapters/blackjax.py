"""Any method that draws, in the shape of a BlackJAX sampling algorithm."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key, PyTree

from .._errors import InputError
from .._methods.method import Method
from .._objectives.objective import Objective
from .._typed import typed
from ..dynamics._base import check_flat
from ..schemes import State
from ..schemes._base import energy as energy_of


class Info(NamedTuple):
    """The info of a step: f at the new position, and whether the step was accepted (True without a rejection)."""

    energy: Float[Array, ""]
    is_accepted: Bool[Array, ""]


class SamplingAlgorithm(NamedTuple):
    """`init(position, rng_key)` and `step(rng_key, state)`, as BlackJAX names them."""

    init: Callable
    step: Callable


@typed()
def potential(logdensity_fn: Callable) -> Objective:
    """The potential of a log density, which it is minus.

    Arguments:
        logdensity_fn: a function of the parameters, as BlackJAX takes it.

    Returns:
        an objective, for a law of temperature 1.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> float(tw.adapters.blackjax.potential(lambda x: -0.5 * jnp.sum(x**2)).value(jnp.ones(2)))
    1.0
    """
    if not callable(logdensity_fn):
        raise InputError(f"logdensity_fn must be a function of the parameters, but is {logdensity_fn!r}")
    return Objective(_Minus(logdensity_fn))


class _Minus:
    def __init__(self, function: Callable) -> None:
        self._function = function

    def __call__(self, x: PyTree) -> Array:
        return -self._function(x)


@typed()
def sampling_algorithm(method: Method) -> SamplingAlgorithm:
    r"""A method in the shape of a BlackJAX algorithm.

    Arguments:
        method: one that draws and has an objective, such as `tw.mala(potential(logdensity_fn), 0.1)`.

    Returns:
        `init(position, rng_key=None)`, the state at a pytree of float arrays; `step(rng_key, state)`, the next state
        and an `Info`. A state has `.position`; both functions may be traced, mapped and scanned, also by
        `blackjax.util.run_inference_algorithm`.

    Raises:
        InputError: the method draws nothing, has no objective, or goes through its data in epochs.

    >>> import thalweg as tw, jax, jax.numpy as jnp
    >>> f = tw.adapters.blackjax.potential(lambda x: -0.5 * jnp.sum(x**2))
    >>> algorithm = tw.adapters.blackjax.sampling_algorithm(tw.mala(f, learning_rate=0.5))
    >>> state = algorithm.init(jnp.zeros(2))
    >>> state, info = jax.jit(algorithm.step)(jax.random.key(0), state)
    >>> state.position.shape, bool(info.energy == 0.5 * jnp.sum(state.position**2))
    ((2,), True)
    """
    if not isinstance(method, Method):
        raise InputError(f"sampling_algorithm takes a tw.Method, such as tw.mala(f, 0.1), but is given {method!r}")
    if method.objective is None:
        raise InputError("this method was built without an objective; give one to sample, such as tw.mala(f, 0.1)")
    check_flat(method.dynamics, "a sampling algorithm")
    if not method.stochastic:
        raise InputError("this method draws nothing, so it samples nothing; use a law with a temperature")
    if getattr(method.objective, "epochs", False) or getattr(method.objective, "streamed", False):
        raise InputError("a step that is given its key alone knows not which it is; draw without epochs or a stream")

    def init(position: PyTree, rng_key: Any = None) -> State:
        del rng_key
        return method.init(position)

    def step(rng_key: Key[Array, ""], state: State) -> tuple[State, Info]:
        after = method.step(state, method.draw(rng_key, state.position))
        rejects = method.scheme.report(state).acceptance is not None
        accepted = jnp.ones((), bool) if not rejects else after.memory.accepted > state.memory.accepted
        return after, Info(energy_of(method.scheme, method.dynamics, after), accepted)

    return SamplingAlgorithm(init, step)
