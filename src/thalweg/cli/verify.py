"""thalweg verify."""

import importlib.util
import os
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ._options import Json, Whole
from ._output import print_json, print_table
from ._spec import attribute, chosen, parse_method, parse_number, set_precision

_NUMBERS = ("learning_rate", "momentum", "dampening", "weight_decay")
_SWITCHES = ("nesterov", "bias_correction")
_OF_ADAM = ("beta1", "beta2", "epsilon", "coupled")


def verify(
    factory: str | None = None,
    *,
    method: Annotated[str | None, Parameter(name=["--method", "-m"])] = None,
    framework: str | None = None,
    reference: str | None = None,
    steps: Whole | None = None,
    seed: Whole | None = None,
    examples: Whole | None = None,
    leave_out: list[str] | None = None,
    json: Json = False,
) -> int:
    """Check anybody's optimizer: momentum that works, a state that is saved, the path it says it takes.

    With --method a law and a scheme of one's own: order, limit, trees, counted gradients, dtypes, resumed runs.

    Exits with 1 if a check fails, after the smallest example that shows it.

    Parameters
    ----------
    factory
        As module:function, such as torch.optim:SGD, optax:sgd or one of yours.
    method
        Instead, a method: yours, module:factory or module:factory:name=value, or a row of `thalweg table`.
    framework
        torch, optax or keras [that of what the factory makes].
    reference
        learning_rate=0.1,momentum=0.9 and more of nesterov, dampening, weight_decay, bias_correction, convention;
        of Adam learning_rate=0.1,beta1=0.9 and more of beta2, epsilon, weight_decay, coupled;
        or module:function of (x0, gradient, steps).
    steps
        The most steps of an example [4].
    seed
        Of the examples [0].
    examples
        How many a check draws [30].
    leave_out
        A check to leave out; repeat it.
    """
    set_precision(64)

    import thalweg as tw

    from .._errors import InputError

    numbers = {"steps": steps, "seed": seed, "examples": examples}
    given = {name: value for name, value in numbers.items() if value is not None}
    if method is not None:
        others = given | {"factory": factory, "framework": framework, "reference": reference}
        unused = [name for name, value in others.items() if value is not None]
        if unused:
            raise InputError(f"--method checks a law and a scheme; leave out {', '.join(unused)}")
        report = tw.testing.check_method(chosen(*parse_method(method)), leave_out=leave_out or ())
    elif factory is None:
        raise InputError("an optimizer is needed, module:function, or --method with a law and a scheme")
    else:
        _choose_backend()
        stated = None if reference is None else _reference(reference)
        report = tw.testing.check_optimizer(
            attribute(factory, "factory"), framework, stated, leave_out=leave_out or (), **given
        )
    if json:
        print_json(report.as_list())
    else:
        print_table(report.columns, report.rows, report.title)
        if not report.passed:
            print(report.explanations)
    return 0 if report.passed else 1


def _choose_backend() -> None:
    """Keras on JAX where it would run on TensorFlow, its default, which is not there."""
    config = Path.home() / ".keras" / "keras.json"  # keras itself writes its default into it
    default = not config.exists() or '"tensorflow"' in config.read_text("utf-8")
    if "KERAS_BACKEND" not in os.environ and default and importlib.util.find_spec("tensorflow") is None:
        os.environ["KERAS_BACKEND"] = "jax"


def _reference(text: str) -> Any:
    from .._dictionary.adam import AdamHyperparameters
    from .._dictionary.conventions import Hyperparameters
    from .._errors import InputError, suggest

    if ":" in text:
        return attribute(text, "reference")
    settings: dict[str, Any] = {}
    for part in filter(None, text.split(",")):
        name, equals, value = (word.strip() for word in part.partition("="))
        name = {"lr": "learning_rate"}.get(name, name.replace("-", "_"))
        if not equals:
            raise InputError(f"--reference {text!r} must be written learning_rate=VALUE,momentum=VALUE,...")
        if name in (*_NUMBERS, *_OF_ADAM[:-1]):
            settings[name] = parse_number(f"--reference {name}", value)
        elif name in (*_SWITCHES, "coupled"):
            if value.lower() not in ("true", "false"):
                raise InputError(f"--reference {name} must be true or false, but is {value!r}")
            settings[name] = value.lower() == "true"
        elif name == "convention":
            settings[name] = value
        else:
            near = suggest(name, (*_NUMBERS, *_SWITCHES, *_OF_ADAM, "convention"))
            raise InputError(f"--reference: there is no {name!r}{near}")
    if "learning_rate" not in settings:
        raise InputError("--reference needs a learning_rate")
    own = [name for name in settings if name in _OF_ADAM]
    if not own:
        return Hyperparameters(**settings)
    foreign = [name for name in settings if name not in (*_OF_ADAM, "learning_rate", "weight_decay")]
    if foreign:
        raise InputError(f"--reference: {own[0]} is of Adam, and {foreign[0]} is not; leave out one of them")
    return AdamHyperparameters(**settings)
