"""Hyperparameters as the line of code that makes the optimizer in a framework."""

from typing import Any

from .._errors import InputError, check_choice
from .adam import AdamHyperparameters
from .conventions import Hyperparameters
from .lion import LionHyperparameters
from .memory import AbstractMemoryHyperparameters
from .muon import CONVENTIONS, MuonHyperparameters

FRAMEWORKS = ("torch", "optax", "keras", "ema", "thalweg")
FRAMEWORKS_OF_MEMORY = ("torch", "optax", "keras", "thalweg")


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
    check_choice("framework", framework, FRAMEWORKS_OF_MEMORY)
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


def spell_lion(h: LionHyperparameters, framework: str) -> tuple[str, str]:
    """The line of code that makes Lion, and what to know of it.

    Raises:
        InputError: the framework has no equivalent, with the reason.

    >>> import thalweg as tw
    >>> spell_lion(tw.LionHyperparameters(1e-4), "optax")[0]
    'optax.lion(learning_rate=0.0001, b1=0.9, b2=0.99, weight_decay=0)'
    """
    check_choice("framework", framework, FRAMEWORKS_OF_MEMORY)
    rate, beta1, beta2, decay = (
        f"{float(number):.15g}" for number in (h.learning_rate, h.beta1, h.beta2, h.weight_decay)
    )
    if framework == "torch":
        raise InputError("torch has no Lion; optax, keras and thalweg have the same one")
    if framework == "keras":
        if not h.beta1:
            raise InputError("keras has no Lion with beta_1 0, which is sign descent")
        return (
            f"keras.optimizers.Lion({_named(learning_rate=rate, beta_1=beta1, beta_2=beta2, weight_decay=decay)})",
            "",
        )
    if framework == "optax":
        return f"optax.lion({_named(learning_rate=rate, b1=beta1, b2=beta2, weight_decay=decay)})", ""
    return f"tw.lion(f, {_named(learning_rate=rate, beta1=beta1, beta2=beta2, weight_decay=decay)})", ""


def spell_muon(h: MuonHyperparameters, framework: str) -> tuple[str, str]:
    """The line of code that makes Muon, and what to know of it.

    Raises:
        InputError: the framework has no equivalent, with the reason.

    >>> import thalweg as tw
    >>> spell_muon(tw.MuonHyperparameters(0.02, scaling="match_rms_adamw"), "optax")[0]
    'optax.contrib.muon(learning_rate=0.02, beta=0.95, nesterov=True, weight_decay=0, consistent_rms=0.2)'
    """
    check_choice("framework", framework, FRAMEWORKS_OF_MEMORY)
    there = h if framework == "thalweg" else h.to(framework)
    rate, beta, decay = (f"{float(number):.15g}" for number in (there.learning_rate, there.beta, there.weight_decay))
    own, before = CONVENTIONS[there.convention], CONVENTIONS[h.convention]
    same = {"nesterov": str(there.nesterov), "weight_decay": decay}
    steps = {} if there.iterations == 5 else {"ns_steps": str(there.iterations)}
    notes = [f"weights lie ({own.layout.replace('_', ', ')})"]
    if there.nesterov and own.corrected != before.corrected:
        notes.append(f"the average is {'' if own.corrected else 'not '}corrected for its start")
    if own.iteration_dtype != before.iteration_dtype:
        notes.append(f"iterates in {own.iteration_dtype or 'the precision of the parameters'}")
    note = ", ".join(notes)
    if framework == "torch":
        scaled = {} if there.scaling == "original" else {"adjust_lr_fn": repr(there.scaling)}
        return f"torch.optim.Muon(params, {_named(lr=rate, momentum=beta, **same, **scaled, **steps)})", note
    if framework == "keras":
        scaled = {"rms_rate": "0.2" if there.scaling == "match_rms_adamw" else "None"}
        return f"keras.optimizers.Muon({_named(learning_rate=rate, momentum=beta, **same, **scaled, **steps)})", note
    if framework == "optax":
        scaled = {} if there.scaling == "original" else {"consistent_rms": "0.2"}
        return f"optax.contrib.muon({_named(learning_rate=rate, beta=beta, **same, **scaled, **steps)})", note
    options = {
        "layout": repr(own.layout), "scaling": repr(there.scaling), "corrected": str(own.corrected),
        "iterations": str(there.iterations), "iteration_dtype": repr(own.iteration_dtype),
    }  # fmt: skip
    usual = {"layout": "'in_out'", "scaling": "'original'", "corrected": "True", "iterations": "5",
             "iteration_dtype": "None"}  # fmt: skip
    others = {name: value for name, value in options.items() if value != usual[name]}
    return f"tw.muon(f, {_named(learning_rate=rate, beta=beta, **same, **others)})", note


def spell_memory(h: AbstractMemoryHyperparameters, framework: str) -> tuple[str, str]:
    """The line of code of Adam, Lion or Muon."""
    if isinstance(h, LionHyperparameters):
        return spell_lion(h, framework)
    if isinstance(h, MuonHyperparameters):
        return spell_muon(h, framework)
    assert isinstance(h, AdamHyperparameters)
    return spell_adam(h, framework)


def _named(**arguments: Any) -> str:
    return ", ".join(f"{name}={value}" for name, value in arguments.items())
