"""Objects made of what a user writes on the command line or in a config file."""

import importlib
import sys
from collections.abc import Iterable, Mapping
from importlib.machinery import PathFinder
from pathlib import Path
from typing import Any

from .._errors import InputError, check_choice, suggest

_TRIAL_STEPS, _HALVINGS = 100, 8


def set_precision(bits: int) -> None:
    """64-bit arithmetic unless the user asks for 32."""
    if bits not in (32, 64):
        raise InputError(f"precision must be 32 or 64, but is {bits}")
    import jax

    jax.config.update("jax_enable_x64", bits == 64)


def attribute(reference: str, what: str) -> Any:
    """`module:name`, imported from the working directory or the path."""
    module_name, _, name = reference.partition(":")
    if not module_name or not name:
        raise InputError(f"{what} {reference!r} must be written module:name")
    _check_place(module_name, reference, what)
    if str(Path.cwd()) not in sys.path and _run_directory(Path.cwd()) is None:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(f"{what} {reference!r}: there is no module {error.name!r}") from None
    except Exception as error:
        raise InputError(f"{what} {reference!r}: importing {module_name} raised {_first_line(error)}") from error
    if not hasattr(module, name):
        near = suggest(name, _public(module))
        raise InputError(f"{what} {reference!r}: module {module_name!r} has no {name!r}{near}")
    return getattr(module, name)


def _check_place(module: str, reference: str, what: str) -> None:
    """Refuse a module that lies inside a run directory, which is data and may be anybody's; nothing is imported."""
    if module in sys.modules:
        return
    places, name = [str(Path.cwd()), *sys.path], ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        found = PathFinder.find_spec(name, places)
        if found is None:
            return
        files = [*(found.submodule_search_locations or ()), *([found.origin] if found.has_location else [])]
        for file in filter(None, files):
            inside = _run_directory(Path(file))
            if inside is not None:
                raise InputError(
                    f"{what} {reference!r}: {file} lies inside the run directory {inside}, from where nothing is "
                    "imported; move it, or name another"
                )
        places = list(found.submodule_search_locations or ())


def _run_directory(path: Path) -> Path | None:
    """The run directory that a path is or lies in."""
    path = path.resolve()
    return next((place for place in (path, *path.parents) if (place / "run.toml").is_file()), None)


def objective_and_start(objective: str | None, start: str | None, *, solve: bool = False) -> tuple[Any, Any]:
    """An objective of ours by name or of the user's as module:function, and where to begin.

    With `solve`, the minimum of ours is found first where it is not known but can be.
    """
    from .. import problems
    from .._objectives.objective import as_objective, as_position

    if not objective:
        raise InputError(f"an objective is needed: one of {', '.join(problems.names())}, or module:function")
    if ":" in objective:
        found = as_objective(attribute(objective, "objective"))
        if start is None:
            raise InputError(f"objective {objective!r} needs a start: --start module:x0, or numbers such as 1.0,2.0")
    elif objective not in problems.names():
        if objective in problems.diffusion_names():
            raise InputError(f"{objective} is a diffusion problem, not a function to go down; thalweg compare takes it")
        near = suggest(objective, (*problems.names(), *problems.diffusion_names()))
        raise InputError(f"objective {objective!r} is unknown{near} (yours is written module:function)")
    else:
        problem = problems.get(objective)
        if solve and problem.objective.strong_convexity:
            problem = problem.solved()
        found, default = problem.objective, problem.start
        if start is None:
            return found, as_position(default)
    return found, as_position(start_of(start))  # pyright: ignore[reportArgumentType]


def start_of(start: str) -> Any:
    """A start of the user's."""
    import jax.numpy as jnp

    if ":" in start:
        found = attribute(start, "start")
        return found() if callable(found) else found
    try:
        return jnp.array([float(number) for number in start.split(",")])
    except ValueError:
        raise InputError(f"start {start!r} must be module:x0, or numbers such as 1.0,2.0") from None


def parse_method(spec: str) -> tuple[str, dict[str, float]]:
    """`momentum:learning_rate=0.1,momentum=0.9` or `module:factory:name=value` as a name and numbers."""
    name, _, rest = spec.partition(":")
    first, _, more = rest.partition(":")
    # Numbers have an equals sign, a factory has none.
    if first and "=" not in first and not _is_ours(name):
        name, rest = f"{name}:{first}", more
    settings = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            yours = "" if ":" in name or _is_ours(name) else " (yours is written module:factory:name=value,name=value)"
            raise InputError(f"method {spec!r}: write {name}:name=value,name=value{yours}")
        settings[key.strip().replace("-", "_")] = parse_number(f"{name}: {key.strip()}", value)
    return name.strip() if ":" in name else name.strip().replace("-", "_"), settings


def _is_ours(name: str) -> bool:
    """Tell whether a name is that of a row, and of no module that hides it."""
    from .._methods.table import find_row

    try:
        find_row(name.strip().replace("-", "_"))
    except InputError:
        return False
    return PathFinder.find_spec(name.strip(), [str(Path.cwd()), *sys.path]) is None


def find_method(name: str) -> Any:
    """The row of a name of the table, or of `module:factory`, which is imported."""
    from .._methods.row import row_of
    from .._methods.table import find_row

    return row_of(attribute(name, "method"), name) if ":" in name else find_row(name)


def chosen(name: str, given: Mapping[str, float]) -> Any:
    """The row of a name at the numbers that were given, refused where no method can be made of them."""
    return settled(find_method(name), given)


def settled(row: Any, given: Mapping[str, float]) -> Any:
    """A row at the numbers that were given, refused where no method can be made of them."""
    from .._methods.row import check_knob

    row = row.at(**given)
    method = row.method
    if ":" in row.name:
        check_knob(row, method)
    return row


def parse_number(what: str, value: Any) -> float:
    """A number, or one line."""
    try:
        return float(value)
    except (TypeError, ValueError):
        raise InputError(f"{what} must be a number, but is {value!r}") from None


def parse_pairs(option: str, items: Any) -> dict[str, float]:
    """NAME=VALUE, several times, or a table of a config file."""
    if not items:
        return {}
    if isinstance(items, dict):
        return {name: parse_number(f"{option} {name}", value) for name, value in items.items()}
    pairs = {}
    for item in [items] if isinstance(items, str) else items:
        name, equals, value = item.partition("=")
        if not equals:
            raise InputError(f"--{option} {item!r} must be written NAME=VALUE")
        pairs[name.strip().replace("-", "_")] = parse_number(f"--{option} {name.strip()}", value)
    return pairs


def complete(row: Any, given: Mapping[str, float], objective: Any, x0: Any) -> dict[str, float]:
    """All numbers of a `chosen` row. A step that is not given is half its stability limit at the start's curvature.

    Where that diverges, since the curvature grows on the way, it is halved until a hundred steps do not.
    """
    from .._methods.linearity import has_limit
    from .._methods.probe import stable_limit
    from .._objectives.at_start import check_at_start
    from .._objectives.curvature import curvature_scale

    name, knob, settings = row.name, row.knob, dict(row.defaults)
    if knob is None or knob in given:
        return settings
    trial = row.build(None, **settings)
    if trial.dynamics.preconditioned:
        # A step is of the length of its learning rate, whatever the curvature.
        check_at_start(objective, x0)
        return _that_runs(row, objective, x0, settings, knob, settings[knob])
    if not has_limit(trial):
        law = type(trial.dynamics).__name__
        raise InputError(
            f"{name} needs a {knob}: {law} is not linear on a quadratic, so that no limit is known and none can be "
            "suggested; give one"
        )
    check_at_start(objective, x0)
    try:
        curvature = curvature_scale(objective, x0, 200, 1e-6)
    except Exception as error:
        why = f"the curvature at the start raised {_first_line(error)}"
        raise InputError(f"{name} needs a {knob}: {why}, so none can be suggested") from error
    if not curvature > 0:
        raise InputError(f"{name} needs a {knob}: the curvature at the start is zero, so none can be suggested")
    _, limit = stable_limit(trial, curvature)
    if limit == float("inf"):
        raise InputError(f"{name} needs a {knob}: any is stable, so none can be suggested; give one")
    if not limit > 0:
        raise InputError(f"{name} needs a {knob}: its stability limit is {limit}, so none can be suggested")
    return _that_runs(row, objective, x0, settings, knob, 0.5 * limit)


def _that_runs(
    row: Any, objective: Any, x0: Any, settings: dict[str, float], knob: str, step: float
) -> dict[str, float]:
    """The numbers at the first of a step and its halves at which a hundred steps do not diverge."""
    from .._loops.run import run

    for _ in range(_HALVINGS):
        trial = row.build(objective, **(settings | {knob: step}))
        tried = run(trial, x0, _TRIAL_STEPS, key=0 if trial.stochastic else None, record="loss", progress=False)
        if tried.status == "interrupted":
            raise KeyboardInterrupt
        if tried.status == "finished":
            return settings | {knob: step}
        step *= 0.5
    raise InputError(f"{row.name} needs a {knob}: it diverges even at {step:.4g}, so none can be suggested")


def check_format(value: str, options: Iterable[str]) -> None:
    """A choice among formats."""
    check_choice("format", value, options)


def _public(module: Any) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")] or ["(nothing)"]


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
