"""thalweg translate."""

from typing import Any

from ._options import Json
from ._output import print_json, print_table, show
from ._spec import parse_number, set_precision


def translate(
    learning_rate: float,
    momentum: float = 0.0,
    *,
    nesterov: bool = False,
    dampening: float = 0.0,
    weight_decay: float = 0.0,
    batch_size: float | None = None,
    bias_correction: bool = False,
    convention: str = "torch",
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
        Nesterov's method.
    dampening
        Torch's.
    weight_decay
        Coupled: a part of the gradient.
    batch_size
        Samples a step; the temperature follows from it.
    bias_correction
        Of the exponential average.
    convention
        torch (optax's is the same), keras or ema.
    curvature
        Also tell the largest stable learning rate and the relaxation time at this curvature; repeat it.
    retune
        learning_rate=, momentum= or batch_size=VALUE: also at this value, friction and temperature kept. For another
        batch size the linear and the square-root rule stand beside it, with what each keeps.
    """
    set_precision(64)

    from .._dictionary.conventions import Hyperparameters
    from .._dictionary.translate import translate as translated
    from .._errors import InputError

    given = Hyperparameters(
        learning_rate, momentum, nesterov, dampening, batch_size, convention, weight_decay=weight_decay,
        bias_correction=bias_correction,
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


def _show(label: str, translation: Any) -> None:
    wordings = translation.wordings
    stable = any(w.stable_up_to is not None for w in wordings)
    columns = ("framework", "code", *(("stable up to",) if stable else ()))
    rows = [[w.framework, w.code or f"none: {w.why}", *((w.stable_up_to,) if stable else ())] for w in wordings]
    print_table(columns, rows, label.capitalize())
    constants = {name.replace("_", " "): value for name, value in translation.constants.items() if value is not None}
    batch = translation.hyperparameters.batch_size
    print_table(("constant", "value"), [*constants.items(), *([("batch size", float(batch))] if batch else [])])
