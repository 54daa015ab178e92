"""Hyperparameters as the line of code that makes the optimizer in a framework."""

from typing import Any

from .._errors import InputError, check_choice
from .conventions import Hyperparameters

FRAMEWORKS = ("torch", "optax", "keras", "ema", "thalweg")


def in_framework(h: Hyperparameters, framework: str) -> Hyperparameters:
    """The hyperparameters as a framework counts them, which may speak another convention.

    Raises:
        InputError: the framework has no equivalent, with the reason.
    """
    check_choice("framework", framework, FRAMEWORKS)
    if framework in ("optax", "thalweg") and h.dampening and h.momentum:
        # The reason is that of every convention but torch's.
        h.to("keras")
    if framework == "ema" and h.nesterov:
        raise InputError("optax.ema has no Nesterov form; use torch's, optax.sgd(nesterov=True)")
    if framework == "ema":
        return h.to("ema")
    if framework == "thalweg" and h.weight_decay:
        raise InputError("weight decay is a part of the objective here: add 0.5 * weight_decay * sum(x**2) to it")
    return h.to({"optax": "torch", "thalweg": "torch"}.get(framework, framework))


def spell(h: Hyperparameters, framework: str) -> str:
    """The line of code that makes the optimizer, ready to paste.

    Arguments:
        h: hyperparameters in any convention.
        framework: "torch", "optax", "keras", "ema" (optax's exponential average) or "thalweg".

    Raises:
        InputError: the framework has no equivalent, with the reason.

    >>> import thalweg as tw
    >>> spell(tw.Hyperparameters(0.1, 0.9), "keras")
    'keras.optimizers.SGD(learning_rate=0.1, momentum=0.9)'
    """
    there = in_framework(h, framework)
    rate, beta, decay = (f"{number:.15g}" for number in (there.learning_rate, there.momentum, there.weight_decay))
    momentum = {"momentum": beta} if there.momentum else {}
    nesterov = {"nesterov": "True"} if there.nesterov else {}
    if framework == "torch":
        damped = {"dampening": f"{there.dampening:.15g}"} if there.dampening and momentum else {}
        decayed = {"weight_decay": decay} if there.weight_decay else {}
        return f"torch.optim.SGD(params, {_named(lr=rate, **momentum, **damped, **nesterov, **decayed)})"
    if framework == "keras":
        return f"keras.optimizers.SGD({_named(learning_rate=rate, **momentum, **nesterov)})"
    if framework == "thalweg":
        alias = "nesterov" if nesterov else "momentum" if momentum else "gradient_descent"
        return f"tw.{alias}(f, {_named(learning_rate=rate, **momentum)})"
    links = [f"optax.add_decayed_weights({decay})"] if there.weight_decay else []
    if framework == "optax":
        links.append(f"optax.sgd({_named(learning_rate=rate, **momentum, **nesterov)})")
    else:
        average = [f"optax.ema({beta}, debias={there.bias_correction})"] if momentum else []
        links += [*average, f"optax.scale(-{rate})"]
    return links[0] if len(links) == 1 else f"optax.chain({', '.join(links)})"


def _named(**arguments: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())
