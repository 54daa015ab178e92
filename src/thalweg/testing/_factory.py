"""Factories of optimizers: what one takes, and which framework's optimizers it makes."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any

from .._errors import InputError, check_choice
from ._walk import AbstractFramework, Walk, first_line

FRAMEWORKS = ("torch", "optax", "keras")
# What a setting is, and by which names it goes; the first name that a factory has counts.
_NAMES = {
    "rate": ("lr", "learning_rate"),
    # With the averages of Adam and its like: the first of their coefficients.
    "momentum": ("momentum", "beta", "decay", "b1", "beta1", "beta_1", "betas"),
    "second": ("b2", "beta2", "beta_2"),
    "epsilon": ("eps", "epsilon"),
    "nesterov": ("nesterov",),
    "dampening": ("dampening",),
    "weight_decay": ("weight_decay",),
    "foreach": ("foreach",),
    "fused": ("fused",),
}
_FIRST_OF_TWO = ("b1", "beta1", "beta_1", "betas")
# What Adam and its like have besides.
_OF_TWO = ("second", "epsilon")
RATE, MOMENTUM = 0.1, 0.9
# What a setting is given where the factory has no default for it.
_NEEDED = {
    "rate": RATE, "momentum": MOMENTUM, "second": 0.999, "epsilon": 1e-8, "weight_decay": 0.0, "dampening": 0.0,
}  # fmt: skip
_VARIANTS = (
    {}, {"momentum": MOMENTUM}, {"momentum": MOMENTUM, "nesterov": True}, {"momentum": MOMENTUM, "dampening": 0.5},
    {"weight_decay": 0.1}, {"momentum": MOMENTUM, "weight_decay": 0.1},
    {"momentum": MOMENTUM, "nesterov": True, "weight_decay": 0.1}, {"nesterov": True},
)  # fmt: skip
_FIRST = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclasses.dataclass(frozen=True)
class Signature:
    """Parameters of a factory.

    Arguments:
        name: of the factory.
        names: of its settings, by what they are.
        parameters: whether its first argument is the parameters, as in torch.
        needed: the settings it has no default for, with what they are given.
        second: of a pair of coefficients the other, where the momentum is the first of a pair.
    """

    name: str
    names: Mapping[str, str]
    parameters: bool
    needed: Mapping[str, Any]
    second: float = 0.999

    @property
    def averages(self) -> bool:
        """Tell whether its momentum is the first coefficient of an optimizer that has a second one."""
        return self.names.get("momentum") in _FIRST_OF_TWO

    def has(self, *settings: str) -> bool:
        """Tell whether all of these can be set."""
        return all(setting in self.names for setting in settings)

    def spell(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Settings by the factory's names, those it needs and the learning rate included."""
        rate = {"rate": RATE} if "rate" in self.names else {}
        settings = dict(settings)
        # Of both coefficients in one the second stays, where nothing is said of it.
        second = settings.pop("second", self.second) if self.names.get("momentum") == "betas" else self.second
        found = {self.names[what]: value for what, value in {**rate, **self.needed, **settings}.items()}
        if isinstance(momentum := found.get("betas"), int | float):
            found["betas"] = (momentum, second)
        return found

    def catalogue(self) -> list[dict[str, Any]]:
        """Settings to choose from, by the factory's names, the simplest first."""
        return [self.spell(one) for one in _VARIANTS if self.has(*one)]


def read_signature(factory: Any) -> Signature:
    """Read the parameters of a factory.

    Raises:
        InputError: it cannot be called, or its signature cannot be read.
    """
    name = name_of(factory)
    if not callable(factory):
        raise InputError(f"factory must be a function or class that makes an optimizer, but is {factory!r}")
    try:
        parameters = dict(inspect.signature(factory).parameters)
    except (TypeError, ValueError):
        raise InputError(f"factory {name} does not tell what it takes; wrap it in a function of its settings") from None
    named = {n: p for n, p in parameters.items() if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}
    names = {what: next((n for n in known if n in named), None) for what, known in _NAMES.items()}
    found = {what: n for what, n in names.items() if n is not None}
    if found.get("momentum") not in _FIRST_OF_TWO:
        found = {what: n for what, n in found.items() if what not in _OF_TWO}
    first = next(iter(named.values()), None)
    takes = first is not None and first.name not in found.values() and first.kind in _FIRST
    takes = takes and first is not None and (first.default is first.empty or first.name in ("params", "parameters"))
    if takes and first is not None:
        named.pop(first.name)
    missing = {n for n, p in named.items() if p.default is p.empty}
    needed = {what: _NEEDED.get(what, False) for what, n in found.items() if n in missing}
    foreign = sorted(missing - set(found.values()))
    if foreign:
        raise InputError(
            f"factory {name} needs {' and '.join(foreign)}, which no check knows; "
            f"give it by functools.partial(factory, {foreign[0]}=...)"
        )
    pair = named["betas"].default if found.get("momentum") == "betas" else None
    second = float(pair[1]) if isinstance(pair, tuple | list) and len(pair) == 2 else 0.999
    return Signature(name, found, bool(takes), needed, second)


def name_of(factory: Any) -> str:
    """Name of a factory."""
    inner = factory.func if isinstance(factory, functools.partial) else factory
    name = getattr(inner, "__qualname__", type(inner).__name__)
    return name.rpartition("<locals>.")[2]


def in_framework(factory: Callable, signature: Signature, framework: str | None) -> AbstractFramework:
    """The factory in its framework, which has made one optimizer that took one step.

    Raises:
        InputError: the framework is unknown or missing, or the factory makes nothing of it.
    """
    if framework is None:
        framework = _framework_of(factory, signature)
    check_choice("framework", framework, FRAMEWORKS)
    found = _load(framework)(factory, signature.names.get("rate"))
    found.usual = signature.spell({})
    with found.context():
        made = _made(factory, signature, framework)
        if _kind(made) != framework:
            raise InputError(
                f"factory {signature.name} makes {_article(type(made).__name__)}, which is no optimizer of {framework}"
            )
        if not (taken := layouts(found, signature)):
            error = _refused(found, signature, matrix=False)
            raise InputError(
                f"the optimizer that {signature.name} makes raised {first_line(error)} at its first step"
            ) from error
        del taken
    return found


def layouts(framework: AbstractFramework, signature: Signature) -> tuple[bool, ...]:
    """Kinds of tensors that a step can be made of: vectors (False), matrices (True), or both."""
    return tuple(matrix for matrix in (False, True) if _refused(framework, signature, matrix) is None)


def _refused(framework: AbstractFramework, signature: Signature, matrix: bool) -> Any:
    ones = (1.0,) * (2 if matrix else 1)
    try:
        framework.follow(Walk(signature.spell({}), ones, (ones,), matrix=matrix))
    except Exception as error:
        return error
    return None


def _framework_of(factory: Any, signature: Signature) -> str:
    inner = factory.func if isinstance(factory, functools.partial) else factory
    if isinstance(inner, type) and (kind := _kind_of_class(inner)):
        return kind
    made = _made(factory, signature, "torch" if signature.parameters else None)
    kind = _kind(made)
    if kind is None:
        raise InputError(
            f"factory {signature.name} makes {_article(type(made).__name__)}, which is no torch.optim.Optimizer, "
            "optax.GradientTransformation or keras optimizer"
        )
    return kind


def _made(factory: Callable, signature: Signature, framework: str | None) -> Any:
    settings = signature.spell({})
    if framework == "torch":
        if not signature.parameters:
            raise InputError(f"factory {signature.name} must take the parameters first, as torch.optim.SGD does")
        _load("torch")
        import torch  # pyright: ignore[reportMissingImports]

        shapes: tuple[Any, ...] = ((1,), (2, 1))
        tries = [([torch.nn.Parameter(torch.ones(shape, dtype=torch.float64))],) for shape in shapes]
    else:
        tries = [()]
        if signature.parameters:
            raise InputError(
                f"factory {signature.name} needs an argument before its settings, which {framework} has not; "
                "give it by functools.partial"
            )
    first: Exception | None = None
    for arguments in tries:
        try:
            return factory(*arguments, **settings)
        except Exception as error:
            # Of matrices alone, such as Muon; what a vector says is what is said where neither does.
            first = first or error
    assert first is not None
    raise InputError(f"factory {signature.name} raised {first_line(first)}") from first


def _kind(made: Any) -> str | None:
    kind = _kind_of_class(type(made))
    if kind is None and callable(getattr(made, "init", None)) and callable(getattr(made, "update", None)):
        return "optax"
    return kind


def _kind_of_class(cls: type) -> str | None:
    # By name, so that no framework is loaded to learn that the optimizer is another's.
    for base in cls.__mro__:
        module = base.__module__
        if module.startswith("torch.optim") and base.__name__ == "Optimizer":
            return "torch"
        if module.startswith("keras.") and base.__name__ in ("BaseOptimizer", "Optimizer"):
            return "keras"
    return None


def _load(framework: str) -> type[AbstractFramework]:
    import importlib

    try:
        return getattr(importlib.import_module(f"._{framework}", __package__), framework.capitalize())
    except ModuleNotFoundError as error:
        raise InputError(f"framework {framework!r} needs {error.name}: pip install {error.name}") from None


def _article(word: str) -> str:
    return f"a{'n' if word[:1].lower() in 'aeiou' else ''} {word}"
