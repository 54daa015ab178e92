"""Random numbers that functions of a user draw while they are traced, of which a program has the first for good."""

import pickle
import random
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.core import Tracer

from ._reading import named_objects


def called(name: str, fn: Callable, *given: Any) -> Any:
    """Call a function; warn where it draws numbers that a program, being traced, has for good.

    Arguments:
        name: what it is, for the warning.
        fn: the function.
        given: its arguments, the first of which are the parameters.
    """
    leaves = jax.tree.leaves(given)
    if not any(isinstance(leaf, Tracer) for leaf in leaves):
        return fn(*given)
    sources = _sources(fn)
    before = _states(sources)
    found = fn(*given)
    if _states(sources) != before:
        warnings.warn(
            f"{name} draws random numbers of NumPy or Python, of which a compiled program has the first at every step; "
            "for samples of data take tw.FiniteSum(loss, data, batch_size=...), for noise jax.random with a key",
            UserWarning,
            stacklevel=2,
        )
    return found


def _sources(fn: Any) -> list[Any]:
    """Generators that a function names, with that of Python, from which type checkers draw for themselves."""
    found = []
    for value in named_objects(fn):
        if isinstance(value, np.random.Generator | np.random.RandomState | random.Random):
            found.append(value)
        elif value is random or isinstance(getattr(value, "__self__", None), random.Random):
            found.append(random)
    return found


def _states(sources: Sequence[Any]) -> tuple[bytes, ...]:
    """The states of NumPy's own generator and of others: to draw changes one."""
    own = [
        one.get_state() if isinstance(one, np.random.RandomState)
        else one.bit_generator.state if isinstance(one, np.random.Generator) else one.getstate()
        for one in sources
    ]  # fmt: skip
    return pickle.dumps(np.random.get_state()), pickle.dumps(own)
