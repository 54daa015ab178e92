"""thalweg translate."""

from typing import Any

from ._options import Json
from ._output import print_json, print_table, show
from ._spec import parse_number, set_precision


def translate(
    learning_rate: float,
    momentum: float = 0.0,
    *,
    nesterov: bool | None = None,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    batch_size: float | None = None,
    bias_correction: bool = False,
    convention: str = "torch",
    beta1: float | None = None,
    beta2: float | None = None,
    epsilon: float | None = None,
    beta: float | None = None,
    optimizer: str | None = None,
    scaling: str | None = None,
    coupled: bool = False,
    curvature: list[float] | None = None,
    retune: str | None = None,
    json: Json = False,
) -> None:
    """Say one optimizer in every framework's words, ready to paste, and as a law of motion.

    Parameters
    ----------
    learning_rate
        In the convention's units.
    momentum
        From 0 to below 1.
    nesterov
        Nesterov's method; Muon's is, unless --no-nesterov.
    dampening
        Torch's.
    weight_decay
        Coupled: a part of the gradient. Of Adam decoupled, unless --coupled; of Lion and Muon decoupled.
    batch_size
        Samples a step; the temperature follows from it.
    bias_correction
        Of the exponential average.
    convention
        torch (optax's is the same), keras or ema; of Muon torch, optax or keras.
    beta1
        Of Adam, which it is where this, --beta2 or --epsilon is given: the others are 0.9, 0.999 and 1e-8 then.
    beta2
        Of Adam, of the squares.
    epsilon
        Of Adam, outside of the root and after the correction.
    beta
        Of Muon, which it is where this is given.
    optimizer
        sgd, adam, lion or muon, where the betas do not say it.
    scaling
        Of Muon, by the shape of a weight: original, match_rms_adamw or none.
    coupled
        Of Adam: the weight decay is a part of the gradient.
    curvature
        Also tell the largest stable learning rate and the relaxation time at this curvature; repeat it.
    retune
        learning_rate=, momentum= or batch_size=VALUE: also at this value, friction and temperature kept. For another
        batch size the linear and the square-root rule stand beside it, with what each keeps. Of Adam its memory times
        are kept.
    """
    set_precision(64)

    from .._dictionary.translate import translate as translated
    from .._errors import InputError
    from ..analysis.scaling import scale_adam

    numbers = {
        "momentum": momentum or None, "nesterov": nesterov, "dampening": dampening or None,
        "bias-correction": bias_correction or None, "convention": None if convention == "torch" else convention,
        "beta1": beta1, "beta2": beta2, "epsilon": epsilon, "beta": beta, "scaling": scaling,
        "coupled": coupled or None,
    }  # fmt: skip
    kind, given = _given(
        optimizer, learning_rate, {name: value for name, value in numbers.items() if value is not None},
        {"batch_size": batch_size, "weight_decay": weight_decay},
    )  # fmt: skip
    settings = {"as given": given}
    name = ""
    change: dict[str, Any] = {}
    if retune is not None:
        name, equals, value = retune.partition("=")
        name = name.strip().replace("-", "_")
        if not equals or name not in ("learning_rate", "momentum", "batch_size"):
            raise InputError(f"--retune {retune!r} must be written learning_rate=VALUE, momentum= or batch_size=")
        change[name] = parse_number(f"--retune {name}", value)
        if kind != "sgd" and (name == "momentum" or (name == "batch_size" and kind != "adam")):
            also = " or its batch_size" if kind == "adam" else ""
            raise InputError(f"--retune {name}= is not of {kind.capitalize()}; retune its learning_rate{also}")
        if kind == "adam" and name == "batch_size":
            settings["retuned"] = scale_adam(given, change[name])
        else:
            settings["retuned"] = given.retune(**change)
    rules = None
    if name == "batch_size" and batch_size is not None:
        from ..analysis.batch_rules import batch_rules

        rules = batch_rules(given, change["batch_size"])
    found = {label: translated(h, curvature) for label, h in settings.items()}
    if json:
        print_json([{"settings": label} | row for label, translation in found.items() for row in translation.as_list()])
        return
    for label, translation in found.items():
        _show(label, translation)
    if rules is not None:
        show(rules.as_table())


# Options by the optimizer that they are of, in the words of the command line; those of all apart.
_OPTIONS = {
    "sgd": ("momentum", "nesterov", "dampening", "bias-correction", "convention"),
    "adam": ("beta1", "beta2", "epsilon", "coupled"),
    "lion": ("beta1", "beta2"),
    "muon": ("beta", "nesterov", "scaling", "convention"),
}


def _given(optimizer: str | None, learning_rate: float, numbers: dict[str, Any], shared: dict[str, Any]) -> Any:
    """The kind of optimizer that the options say, and its hyperparameters."""
    from .._dictionary.adam import AdamHyperparameters
    from .._dictionary.conventions import Hyperparameters
    from .._dictionary.lion import LionHyperparameters
    from .._dictionary.muon import MuonHyperparameters
    from .._errors import InputError, check_choice

    says = next((name for name in ("beta1", "beta2", "epsilon", "beta", "scaling") if name in numbers), None)
    if optimizer is not None:
        check_choice("--optimizer", optimizer, _OPTIONS)
        kind, told = optimizer, f"--optimizer {optimizer}"
    elif "coupled" in numbers and says not in ("beta1", "beta2", "epsilon"):
        raise InputError("--coupled is of Adam; give --beta1, --beta2 or --epsilon with it")
    else:
        kind, told = "sgd" if says is None else "muon" if says in ("beta", "scaling") else "adam", f"--{says}"
    called = "SGD" if kind == "sgd" else kind.capitalize()
    for name in numbers:
        if name not in _OPTIONS[kind]:
            raise InputError(f"--{name} is not of {called}, which {told} says it is; leave it out")
    makers: dict[str, Any] = {
        "sgd": Hyperparameters, "adam": AdamHyperparameters, "lion": LionHyperparameters, "muon": MuonHyperparameters
    }  # fmt: skip
    given = {name.replace("-", "_"): value for name, value in numbers.items()}
    return kind, makers[kind](learning_rate, **given, **shared)


def _show(label: str, translation: Any) -> None:
    wordings = translation.wordings
    stable = any(w.stable_up_to is not None for w in wordings)
    columns = ("framework", "code", *(("stable up to",) if stable else ()))
    rows = [[w.framework, w.as_line, *((w.stable_up_to,) if stable else ())] for w in wordings]
    print_table(columns, rows, label.capitalize())
    constants = {name.replace("_", " "): value for name, value in translation.constants.items() if value is not None}
    batch = translation.hyperparameters.batch_size
    print_table(("constant", "value"), [*constants.items(), *([("batch size", float(batch))] if batch else [])])
