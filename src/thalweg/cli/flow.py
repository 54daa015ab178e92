"""thalweg flow."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .._errors import InputError
from ._options import Texts, Whole, option, options
from ._output import directory_for, print_as_it_comes, print_json, say
from ._shared import Common
from ._spec import set_precision

_ON = ("grid", "particles", "gaussian", "quantiles")
_GEOMETRIES = ("wasserstein", "fisher-rao", "wasserstein-fisher-rao", "stein", "kalman-wasserstein")
_COLUMNS = ("functional", "start", "geometry", "scheme", "or the reason why not")
_PICTURES, _MOVING = (".png", ".svg", ".pdf"), (".gif", ".mp4")


@options
class Flow(Common):
    """Options of a flow."""

    potential: str | None = option(
        "V: a problem of ours (double-well, banana, gaussian, ...), or module:function of a point.", default=None,
        kw_only=False,
    )  # fmt: skip
    functional: str | None = option(
        "One of tw.measures instead, module:name. [V plus the temperature times the entropy.]", default=None
    )
    on: str = option("How the distribution is held: grid, particles, gaussian or quantiles.", default="grid")
    geometry: str = option(
        "wasserstein, fisher-rao, wasserstein-fisher-rao, stein or kalman-wasserstein.", default="wasserstein"
    )
    drift: str | None = option(
        "A force without a potential besides, module:function of a point that gives a velocity.", default=None
    )
    temperature: float = option("Of the entropy beside V.", default=1.0)
    time: float = option("For how long, in units of the law's time.", default=1.0)
    steps: Whole = option("How many.", default=200, kept="run.steps")
    deviation: float = option("Of the Gaussian at the start, in every direction.", default=0.5)
    cells: Whole = option("Of a grid, along every axis.", default=200)
    low: float | None = option("The lower end of a grid, on every axis. [Where nothing comes to.]", default=None)
    high: float | None = option("The upper end.", default=None)
    count: Whole = option("How many particles, or quantiles.", default=1000)
    bandwidth: float = option("Of the Gaussian kernel of Stein's geometry.", default=1.0)
    seed: Whole = option("Of all that is drawn.", default=0)
    plot: Annotated[Texts, Parameter(negative=())] = option(
        "Draw the flow to a file, such as flow.png or flow.gif; repeat it.", default=(), kept=False
    )
    report: Path | None = option("Write a page with a slider over time here.", default=None, kept=False)
    table: Annotated[bool, Parameter(negative=())] = option(
        "List instead which functional runs how in which geometry, or why not.", default=False, kept=False
    )
    start: str | None = option(
        "The mean of the Gaussian at the start, numbers such as 1.0,2.0 or module:x0; problems of ours have one.",
        default=None,
    )


def flow(options: Flow = Flow()) -> int:  # noqa: B008
    """Move a distribution the way on which its free energy falls fastest."""
    options, rest = options.with_config()
    options.refuse(rest)
    set_precision(options.precision)
    if options.table:
        return _list(options.json)
    pictures = _check_pictures(options.plot)
    _check_report(options.report)
    _check(options)
    functional, start = made(options)
    label = f"{options.functional or options.potential}-{options.on}-{options.geometry}"
    with directory_for(options.out, label) as directory:
        if (directory / "run.toml").exists():
            raise InputError(f"{directory} already holds a run; go on with: thalweg resume {directory}")
        source = options.source() | {"command": "flow"}
        result = _go(options, functional, start, directory, source)
    say(f"run: {directory}")
    status = _finish(result, options.json, pictures)
    if options.report is not None:
        from ..plot import write_flow_report

        title = f"{options.functional or options.potential}: a flow of {result.final.position.words}"
        say(f"report: {write_flow_report(result, options.report, title)}")
    return status


def resume(directory: Path, config: dict[str, Any], steps: int | None, progress: bool | None, json: bool) -> int:
    """Go on with a flow begun at the command line."""
    options = Flow.recorded(config)
    if steps is not None and steps != options.steps:
        raise InputError(
            f"a flow is cut into the {options.steps} steps that it was begun with, which steps cannot change"
        )
    options = dataclasses.replace(options, progress=progress)
    set_precision(options.precision)
    functional, start = made(options)
    return _finish(_go(options, functional, start, directory, config["source"], resume=True), json, ())


def _check(options: Flow) -> None:
    from .._errors import check_choice, check_count, check_number

    check_choice("on", options.on, _ON)
    check_choice("geometry", options.geometry, _GEOMETRIES)
    for name in ("time", "deviation", "bandwidth"):
        check_number(name, getattr(options, name), above=0.0)
    check_number("temperature", options.temperature, at_least=0.0)
    for name in ("low", "high"):
        if getattr(options, name) is not None:
            check_number(name, getattr(options, name))
    for name, least in (("steps", 1), ("cells", 3), ("count", 3), ("seed", 0)):
        check_count(name, getattr(options, name), at_least=least)


def made(options: Flow) -> tuple[Any, Any]:
    """The functional and the distribution at the start."""
    from .. import measures
    from ._spec import attribute
    from ._start_of_flow import begun

    if options.functional is not None:
        functional = attribute(options.functional, "functional")
        if not isinstance(functional, measures.AbstractFunctional):
            raise InputError(f"functional {options.functional!r} must be one of tw.measures, but is {functional!r}")
        if options.potential is not None:
            raise InputError("give a potential or a functional, one of them")
        return functional, begun(options, _mean(options, options.functional, None), None)
    potential, mean = _potential(options)
    functional = measures.Potential(potential)
    if options.temperature:
        functional = functional + options.temperature * measures.Entropy()
    return functional, begun(options, mean, potential)


def _potential(options: Flow) -> tuple[Any, Any]:
    from .. import problems
    from .._errors import suggest
    from ._spec import attribute

    name = options.potential
    if not name:
        raise InputError(f"a potential is needed: one of {', '.join(problems.names())}, or module:function")
    if ":" in name:
        return attribute(name, "potential"), _mean(options, name, None)
    if name not in problems.names():
        raise InputError(f"potential {name!r} is unknown{suggest(name, problems.names())} (yours is module:function)")
    problem = problems.get(name)
    start = problem.start
    if not (hasattr(start, "ndim") and start.ndim == 1):
        raise InputError(f"{name} has parameters that are no one vector, of which there is no density; choose another")
    return problem.objective, _mean(options, name, start)


def _mean(options: Flow, name: str, own: Any) -> Any:
    """The mean at the start: the one given, or the problem's own."""
    import numpy as np

    from ._spec import start_of

    if options.start is None and own is None:
        raise InputError(f"{name!r} needs a start: --start module:x0, or a number for each coordinate, such as 1.0,2.0")
    found = np.asarray(own if options.start is None else start_of(options.start), dtype=float)
    if found.ndim != 1 or (own is not None and found.shape != np.shape(own)):
        size = "(d,)" if own is None else np.shape(own)
        raise InputError(f"start must have a number for each coordinate, shape {size}, but has shape {found.shape}")
    return found


def _geometry(options: Flow) -> Any:
    from .. import geometry, measures

    made = {
        "wasserstein": geometry.Wasserstein,
        "fisher-rao": geometry.FisherRao,
        "wasserstein-fisher-rao": geometry.WassersteinFisherRao,
        "kalman-wasserstein": geometry.KalmanWasserstein,
    }
    if options.geometry in made:
        return made[options.geometry]()
    # Of a Gaussian the kernel that keeps it one.
    linear = options.on == "gaussian"
    return geometry.Stein(measures.LinearKernel() if linear else measures.GaussianKernel(options.bandwidth))


def _go(options: Flow, functional: Any, start: Any, directory: Path, source: Any, resume: bool = False) -> Any:
    from .. import measures
    from ._spec import attribute

    drift = None if options.drift is None else attribute(options.drift, "drift")
    return measures.flow(
        functional, start, options.time, geometry=_geometry(options), steps=options.steps, drift=drift,
        key=options.seed, out=directory, resume=resume, progress=options.progress, source=source,
    )  # fmt: skip


def _finish(result: Any, json: bool, pictures: tuple[Path, ...]) -> int:
    import numpy as np

    from .._records.shown import lines_of, row_of

    drawn = [_draw(result, path) for path in pictures]
    q = result.final.position
    facts = {
        "mean": np.asarray(q.mean).tolist(),
        "deviations": np.sqrt(np.diag(np.asarray(q.covariance))).tolist(),
        "mass": float(q.mass),
    }
    row = row_of(result)
    if json:
        print_json([row | facts])
    else:
        words = [f"{name:15} {' '.join(f'{x:.6g}' for x in np.atleast_1d(value))}" for name, value in facts.items()]
        print(*lines_of(row), *words, sep="\n")
    for path in drawn:
        say(f"picture: {path}")
    return 0 if result.status in ("finished", "stopped", "converged") else 1


def _check_pictures(given: tuple[str, ...]) -> tuple[Path, ...]:
    from ..plot._axes import require_matplotlib

    paths = tuple(Path(path) for path in given)
    if paths:
        require_matplotlib()
    for path in paths:
        if path.suffix.lower() not in _PICTURES + _MOVING:
            raise InputError(f"plot {path} must end with one of {', '.join(_PICTURES + _MOVING)}")
        if not path.parent.is_dir():
            raise InputError(f"{path.parent} is not a directory")
    return paths


def _check_report(path: Path | None) -> None:
    from ..plot._axes import require_matplotlib

    if path is not None:
        require_matplotlib()
        if path.is_dir():
            raise InputError(f"report {path} is a directory; give the file, such as {path / 'flow.html'}")


def _draw(result: Any, path: Path) -> Path:
    from ..plot import animate, density

    if path.suffix.lower() in _MOVING:
        return animate(result, path)
    import io

    from .._records.storage import write_atomically

    buffer = io.BytesIO()
    density(result).figure.figure.savefig(buffer, format=path.suffix.lstrip(".").lower(), dpi=150)
    write_atomically(path, buffer.getvalue())
    return path


def _list(json: bool) -> int:
    from ..measures._table import rows

    if json:
        print_json([dataclasses.asdict(row) for row in rows()])
        return 0

    def cells(row: Any) -> list[Any]:
        return [row.functional, row.start, row.geometry, row.scheme or "-", row.reason]

    known = [["Entropy(bandwidth)", "Particles(log_density)", "Stein(GaussianKernel(1))", "FiniteVolumes()", ""]]
    print_as_it_comes(_COLUMNS, known, map(cells, rows()), "Flows: what runs how")
    return 0
