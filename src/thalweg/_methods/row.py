"""A row of the table: a method by name, made from an objective and its numbers."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from .._errors import InputError, is_real, suggest
from .._typed import check_fields
from ..dynamics import AbstractDynamics
from ..schemes import AbstractScheme
from .knobs import knobs_of
from .linearity import has_linear_limit
from .method import Method
from .probe import stable_limit


@dataclasses.dataclass(frozen=True)
class Row:
    """One method: how it is made from an objective and its hyperparameters, and where it is from.

    Arguments:
        name: letters, digits and `_`.
        make: function `(objective, **numbers)` that gives a `tw.Method`; the objective is None where the method is
            examined and not run.
        defaults: the row's own value of every number, by the names of the method's `hyperparameters`.
        reference: where the method is from, a key of the bibliography for ours; may be empty.
        aliases: other names.
        needed: numbers without a value of their own.

    Raises:
        InputError: from `build`: a number is unknown or missing, or what is made is no `tw.Method`.

    >>> import thalweg as tw
    >>> row = tw.Row("lazy", lambda f, learning_rate: tw.momentum(f, learning_rate, 0.99), {"learning_rate": 0.1})
    >>> row.order, row.gradients_per_step, row.stability
    (1, 1, 'learning_rate < 3.98')
    """

    name: str
    make: Callable[..., Any]
    defaults: dict[str, Any]
    reference: str = ""
    aliases: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_fields(self)

    def build(self, objective: Any, **hyperparameters: Any) -> Method:
        """The method on `objective`, with the row's own value for what is not given."""
        self._check_known(hyperparameters)
        missing = [name for name in self.needed if name not in hyperparameters]
        if missing:
            given = ",".join(f"{name}=VALUE" for name in missing)
            how = f"write {self.name}:{given}" if ":" in self.name else f"give {given}"
            raise InputError(f"{self.name} needs {' and '.join(missing)}, of which it has no value of its own; {how}")
        method = self.make(objective, **(self.defaults | hyperparameters))
        if not isinstance(method, Method):
            raise InputError(f"{self.name} must give a tw.Method, but gives {method!r}")
        return method

    def at(self, **hyperparameters: Any) -> "Row":
        """The same row with other values of its own."""
        self._check_known(hyperparameters)
        needed = tuple(name for name in self.needed if name not in hyperparameters)
        return dataclasses.replace(self, defaults=self.defaults | hyperparameters, needed=needed)

    def _check_known(self, hyperparameters: Iterable[str]) -> None:
        known = (*self.defaults, *self.needed)
        for name in hyperparameters:
            if not known:
                raise InputError(f"{self.name} has no hyperparameters; leave out {name!r}")
            if name not in known:
                raise InputError(f"{self.name} has no hyperparameter {name!r}{suggest(name, known)}")

    @property
    def method(self) -> Method:
        """The method without an objective, at the row's own hyperparameters."""
        return self.build(None)

    @property
    def dynamics(self) -> AbstractDynamics:
        """The law of motion."""
        return self.method.dynamics

    @property
    def scheme(self) -> AbstractScheme:
        """The discretisation."""
        return self.method.scheme

    @property
    def knob(self) -> str | None:
        """The hyperparameter that the step is, a learning rate or a step size; None where f itself sets the step."""
        return knobs_of(self.method).step

    @property
    def order(self) -> int:
        """Order of convergence to the law of motion, at fixed constants of the law."""
        return self.scheme.order

    @property
    def gradients_per_step(self) -> int:
        """Gradients in a step, counted in the traced step."""
        return self.method.gradients_per_step

    @property
    def gradients(self) -> str:
        """The gradients in a step as a table shows them; where steps differ, the least."""
        method = self.method
        return f"{'≥ ' if method.gradients_vary else ''}{method.gradients_per_step}"

    @property
    def stability(self) -> str:
        """The largest stable step at curvature 1 and the row's other hyperparameters, from the probe."""
        method = self.method
        if method.scheme.controlled:
            return "any step: the function itself sets how long it is"
        if method.scheme.exact_law:
            return "any step: what goes too far is rejected"
        if not has_linear_limit(method):
            return "not told by a curvature: the law is not linear"
        knob, limit = stable_limit(method, 1.0)
        if limit == float("inf"):
            return f"any {knob}"
        at = ["preconditioned curvature 1"] if method.dynamics.preconditioned else []
        at += [f"{name}={value:g}" for name, value in self.defaults.items() if name != knob]
        return f"{knob} < {limit:.6g}" + (f" at {', '.join(at)}" if at else "")

    def as_dict(self) -> dict[str, Any]:
        """The row as it is printed."""
        method = self.method
        return {
            "name": self.name,
            "aliases": list(self.aliases),
            "dynamics": type(method.dynamics).__name__,
            "scheme": getattr(method.scheme, "name", type(method.scheme).__name__),
            "order": method.scheme.order,
            "gradients_per_step": method.gradients_per_step,
            "stability": self.stability,
            "reference": self.reference,
        }


def row_of(found: Any, name: str) -> Row:
    """A row of a user's own by the name that finds it again.

    Arguments:
        found: a `tw.Row`, or a function `(objective, **numbers)` that gives a `tw.Method`: its keyword defaults are the
            row's, and what is no number stays as the function has it.
        name: of the row.

    Raises:
        InputError: it is neither, takes no objective, or does not tell what it takes.
    """
    if isinstance(found, Row):
        return dataclasses.replace(found, name=name, aliases=())
    wanted = "must be a tw.Row, or a function (objective, **numbers) that gives a tw.Method"
    if not callable(found) or (isinstance(found, type) and issubclass(found, AbstractDynamics | AbstractScheme)):
        raise InputError(f"method {name!r} {wanted}, but is {found!r}")
    try:
        first, *others = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        raise InputError(f"method {name!r} {wanted}, but {found!r} takes nothing, or does not tell what") from None
    if first.kind in (first.KEYWORD_ONLY, first.VAR_KEYWORD):
        raise InputError(f"method {name!r} {wanted}, but its first argument is {first}")
    named = [one for one in others if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    defaults = {one.name: one.default for one in named if _is_number(one.default)}
    needed = tuple(one.name for one in named if one.default is one.empty)
    whole = {one.name for one in named if type(one.default) is int or one.annotation in (int, "int")}

    def make(objective: Any, **numbers: Any) -> Any:
        # A count, such as that of stages, is a float once it was written as text.
        given = {k: int(v) if k in whole and isinstance(v, float) and v.is_integer() else v for k, v in numbers.items()}
        return made(found, name, objective, given)

    return Row(name, make, defaults, needed=needed)


def made(make: Callable[..., Any], name: str, objective: Any, numbers: dict[str, Any]) -> Any:
    """Make what a user's function makes; where it raises, one line says whose it is."""
    try:
        return make(objective, **numbers)
    except InputError:
        raise
    except Exception as error:
        line = (str(error).strip().splitlines() or [""])[0]
        raise InputError(f"method {name!r}: making it raised {type(error).__name__}: {line}") from error


def check_row(row: Any) -> None:
    """Refuse a row that is none, whose names cannot be typed or whose numbers are none, or that builds no method."""
    if not isinstance(row, Row):
        raise InputError(f"a row must be a tw.Row(name, make, defaults), but is {row!r}")
    for name in (row.name, *row.aliases):
        if not isinstance(name, str) or not name.isidentifier():
            raise InputError(f"row {row.name!r}: a name is made of letters, digits and _, but one is {name!r}")
    for name, value in row.defaults.items():
        if not _is_number(value):
            raise InputError(f"row {row.name!r}: the default of {name} must be a number, but is {value!r}")
    method = dataclasses.replace(row, make=lambda f, **numbers: made(row.make, row.name, f, numbers)).method
    check_knob(row, method)


def check_knob(row: Row, method: Method) -> None:
    """Refuse a row that has its step by another name than its method does, so that none could be suggested."""
    knob = knobs_of(method).step
    if knob is not None and knob not in row.defaults:
        numbers = f"its numbers are {', '.join(row.defaults)}" if row.defaults else "it has no numbers"
        raise InputError(f"{row.name}: the step of its method goes by the name {knob}, but {numbers}; name it {knob}")


def origin(value: Any) -> Any:
    """The place where a function was written, and of what it was made: equal for one that was loaded again."""
    if isinstance(value, functools.partial):
        return origin(value.func), *map(origin, value.args), *((k, origin(v)) for k, v in value.keywords.items())
    if not hasattr(value, "__qualname__"):
        return repr(value)
    cells = [origin(cell.cell_contents) for cell in getattr(value, "__closure__", None) or ()]
    return value.__module__, value.__qualname__, *cells


def _is_number(value: Any) -> bool:
    return is_real(value) and np.ndim(value) == 0
