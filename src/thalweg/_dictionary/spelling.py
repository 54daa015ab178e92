"""Hyperparameters as the line of code that makes the optimizer in a framework."""

from typing import Any

from .._errors import InputError, check_choice
from .adam import AdamHyperparameters
from .conventions import Hyperparameters

FRAMEWORKS = ("torch", "optax", "keras", "ema", "thalweg")
FRAMEWORKS_OF_ADAM = ("torch", "optax", "keras", "thalweg")


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


def spell_adam(h: AdamHyperparameters, framework: str) -> tuple[str, str]:
    """The line of code that makes Adam or AdamW, and what to know of it; nothing, where there is nothing to know.

    Raises:
        InputError: the framework has no equivalent, with the reason.

    >>> import thalweg as tw
    >>> spell_adam(tw.AdamHyperparameters(1e-3, weight_decay=0.1), "optax")[0]
    'optax.adamw(learning_rate=0.001, b1=0.9, b2=0.999, eps=1e-08, weight_decay=0.1)'
    """
    check_choice("framework", framework, FRAMEWORKS_OF_ADAM)
    rate, beta1, beta2, epsilon, decay = (
        f"{float(number):.15g}" for number in (h.learning_rate, h.beta1, h.beta2, h.epsilon, h.weight_decay)
    )
    decayed = {"weight_decay": decay} if h.weight_decay else {}
    coupled = bool(decayed) and h.coupled
    if framework == "torch":
        name = "AdamW" if decayed and not coupled else "Adam"
        return f"torch.optim.{name}(params, {_named(lr=rate, betas=f'({beta1}, {beta2})', eps=epsilon, **decayed)})", ""
    if framework == "keras":
        if coupled:
            raise InputError(
                "the decay is coupled, a part of the gradient, and keras has only the decoupled one; "
                "add 0.5 * weight_decay * sum(x**2) to the loss"
            )
        name = "AdamW" if decayed else "Adam"
        code = _named(learning_rate=rate, beta_1=beta1, beta_2=beta2, epsilon=epsilon, **decayed)
        return (
            f"keras.optimizers.{name}({code})",
            "epsilon stands before the correction: / sqrt(1 - beta_2^k) in step k",
        )
    if framework == "optax":
        numbers = _named(learning_rate=rate, b1=beta1, b2=beta2, eps=epsilon)
        if coupled:
            return f"optax.chain(optax.add_decayed_weights({decay}), optax.adam({numbers}))", ""
        return (f"optax.adamw({numbers}, weight_decay={decay})" if decayed else f"optax.adam({numbers})"), ""
    numbers = _named(learning_rate=rate, beta1=beta1, beta2=beta2, epsilon=epsilon, **decayed)
    if coupled:
        return f"tw.AdamHyperparameters({numbers}, coupled=True).method(f)", ""
    return f"tw.{'adamw' if decayed else 'adam'}(f, {numbers})", ""


def _named(**arguments: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())
