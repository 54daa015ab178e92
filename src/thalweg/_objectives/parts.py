"""A start that holds more than parameters: a module with its functions, counts and switches."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
from jaxtyping import PyTree

from .._module import Module


def same(tree: Any) -> Any:
    """The tree itself: what joins or cuts where there is nothing to join or to cut."""
    return tree


class Join(Module):
    """A function that puts the parameters of a module back beside all else that it holds."""

    rest: PyTree

    def __call__(self, parameters: PyTree) -> PyTree:
        return eqx.combine(parameters, self.rest)


class Joined(Module):
    """A function of a module, as one of its parameters; `at` says which of its arguments that is."""

    fn: Callable
    join: Callable
    at: int = eqx.field(default=0, static=True)

    def __call__(self, *arguments: Any) -> Any:
        own = [self.join(argument) if i == self.at else argument for i, argument in enumerate(arguments)]
        return self.fn(*own)


class Composed(Module):
    """A function after another."""

    outer: Callable
    inner: Callable

    def __call__(self, argument: Any) -> Any:
        return self.outer(self.inner(argument))


def parted(x0: PyTree) -> tuple[PyTree, Callable]:
    """The parameters of a start, and what makes the whole of it from them.

    Of an Equinox module the parameters are its floating-point arrays; of anything else all there is.
    """

    nodes, structure = jax.tree.flatten(x0, is_leaf=_is_module)
    if not any(map(_is_module, nodes)):
        return x0, same
    pairs = [eqx.partition(node, eqx.is_inexact_array) if _is_module(node) else (node, None) for node in nodes]
    parameters, rest = (jax.tree.unflatten(structure, list(part)) for part in zip(*pairs, strict=True))
    return parameters, Join(rest) if jax.tree.leaves(rest) else same


def _is_module(node: Any) -> bool:
    return isinstance(node, eqx.Module)
