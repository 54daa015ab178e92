"""The path that an optimizer says it takes."""

from collections.abc import Callable
from typing import Any

import numpy as np

from .._dictionary.adam import AdamHyperparameters
from .._dictionary.conventions import Hyperparameters
from .._errors import InputError
from .._methods.method import Method
from ..dynamics import AdamFlow
from ._factory import Signature
from ._walk import first_line

Gradient = Callable[[np.ndarray], np.ndarray]
# What a setting of a factory is, by the names of the numbers of Adam's family.
_OF_ADAM = {
    "rate": "learning_rate", "momentum": "beta1", "second": "beta2", "epsilon": "epsilon",
    "weight_decay": "weight_decay",
}  # fmt: skip


class Linear:
    """A gradient that is linear in each parameter, the same function for all of them: curvature x + slope."""

    def __init__(self, curvature: float, slope: float) -> None:
        self.curvature, self.slope = curvature, slope

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.curvature * np.asarray(x) + self.slope


def settings_of(reference: Any, signature: Signature) -> dict[str, Any]:
    """Arguments for the factory, by its own names: the reference's numbers, where it takes them.

    Raises:
        InputError: the reference is none, or does not say what the factory needs.
    """
    known: dict[str, Any] = {}
    if isinstance(reference, Hyperparameters):
        known = {
            "rate": reference.learning_rate, "momentum": reference.momentum, "nesterov": reference.nesterov,
            "dampening": reference.dampening, "weight_decay": reference.weight_decay,
        }  # fmt: skip
    elif isinstance(reference, Method | AdamHyperparameters):
        method = reference if isinstance(reference, Method) else reference.method()
        numbers = method.hyperparameters
        if isinstance(reference, AdamHyperparameters):
            # As they were given, where a law keeps memory times in the precision of JAX.
            numbers |= {name: getattr(reference, name) for name in numbers}
        if isinstance(method.dynamics, AdamFlow):
            known = {what: numbers[name] for what, name in _OF_ADAM.items() if name in numbers}
            known["nesterov"] = bool(getattr(method.scheme, "nesterov", False))
        elif "learning_rate" in numbers:
            known = {"rate": numbers["learning_rate"], "momentum": numbers.get("momentum", 0.0)}
            known["nesterov"] = float(getattr(method.scheme, "fraction", 0.0)) == 1.0
    elif not callable(reference):
        raise InputError(
            "reference must be tw.Hyperparameters(...), a tw.Method or a function (x0, gradient, steps) of the "
            f"positions, but is {reference!r}"
        )
    if signature.averages and not known.get("momentum") and "second" not in known:
        # Of an average of its own it says nothing.
        known.pop("momentum", None)
    both = {"second"} if signature.names.get("momentum") == "betas" and "momentum" in known else set()
    known = {what: value for what, value in known.items() if what in signature.names or what in both}
    found = {name: value for name, value in signature.spell(known).items() if name in _named(signature, known)}
    missing = sorted(signature.names[what] for what in signature.needed if signature.names[what] not in found)
    if missing:
        raise InputError(
            f"the reference does not say what {missing[0]} is, which factory {signature.name} needs; "
            f"give it by functools.partial(factory, {missing[0]}=...)"
        )
    return found


def _named(signature: Signature, settings: dict[str, Any]) -> set[str]:
    return {signature.names[what] for what in settings if what in signature.names}


def positions(reference: Any, x0: np.ndarray, gradient: Linear, steps: int) -> np.ndarray:
    """The positions after each step, one a row.

    Raises:
        InputError: a function raised, or gave back other shapes.
    """
    if isinstance(reference, Hyperparameters):
        return recursion(reference, x0, gradient, steps)
    if isinstance(reference, Method | AdamHyperparameters):
        return _moved(reference, x0, gradient, steps)
    try:
        found = np.asarray(reference(x0.copy(), gradient, steps), dtype=np.float64)
    except Exception as error:
        raise InputError(f"the reference raised {first_line(error)}") from error
    if found.shape == (steps + 1, len(x0)):
        # With the start.
        found = found[1:]
    if found.shape != (steps, len(x0)):
        raise InputError(
            f"the reference must give back the position after each step, of shape ({steps}, {len(x0)}), but gave back "
            f"shape {found.shape}"
        )
    return found


def recursion(h: Hyperparameters, x0: np.ndarray, gradient: Gradient, steps: int) -> np.ndarray:
    """The equations of `tw.Hyperparameters`, as they stand there."""
    alpha, beta, tau = h.learning_rate, h.momentum, h.dampening
    x, buffer, path = x0.astype(np.float64), np.zeros(len(x0)), []
    for k in range(1, steps + 1):
        g = np.asarray(gradient(x)) + h.weight_decay * x
        if h.convention == "keras":
            buffer = beta * buffer - alpha * g
            d = beta * buffer - alpha * g if h.nesterov else buffer
            x = x + d
        elif h.convention == "ema":
            buffer = beta * buffer + (1.0 - beta) * g
            d = (1.0 - beta) * g + beta * buffer if h.nesterov else buffer
            x = x - alpha * (d / (1.0 - beta**k) if h.bias_correction else d)
        else:
            buffer = g if k == 1 or beta == 0.0 else beta * buffer + (1.0 - tau) * g
            x = x - alpha * (g + beta * buffer if h.nesterov else buffer)
        path.append(x)
    return np.array(path)


def _moved(reference: Method | AdamHyperparameters, x0: np.ndarray, gradient: Linear, steps: int) -> np.ndarray:
    import jax
    import jax.numpy as jnp

    from .._objectives.objective import Objective

    curvature, slope = gradient.curvature, gradient.slope
    with jax.enable_x64(True):
        method = reference if isinstance(reference, Method) else reference.method()
        moving = method.with_objective(Objective(lambda x: jnp.sum(0.5 * curvature * x**2 + slope * x)))
        state, path = moving.init(jnp.asarray(x0, jnp.float64)), []
        for _ in range(steps):
            state = moving.step(state)
            path.append(np.asarray(state.lookahead))
    return np.array(path)
