"""thalweg compare."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from ._output import new_directory, print_json, say, show
from ._spec import NUMBER, TEXTS, Whole, complete, objective_and_start, parse_method, read_config, set_precision

_METHODS = ("gradient_descent", "rk4", "momentum", "nesterov")
_OF_RUNS = ("objective", "tolerance", "report")
_OPTIONS = {
    "objective": str, "method": TEXTS, "start": str, "tolerance": NUMBER, "max_gradients": int, "seeds": int,
    "limits": bool, "out": str, "report": str, "precision": int,
}  # fmt: skip


def compare(
    objective: str | None = None,
    *runs: str,
    method: Annotated[list[str] | None, Parameter(name=["--method", "-m"])] = None,
    start: str | None = None,
    tolerance: float | None = None,
    max_gradients: Whole = None,
    seeds: Whole = None,
    limits: bool | None = None,
    out: Path | None = None,
    report: Path | None = None,
    precision: Whole = None,
    config: Path | None = None,
    progress: bool | None = None,
    json: bool = False,
) -> None:
    """Run methods side by side: gradients to a tolerance, regime, predicted and measured stability limit.

    Of run directories, ours or recorded ones, show what they hold, without running anything.

    Parameters
    ----------
    objective
        A problem of ours (digits, breast-cancer, rosenbrock, ...), module:function, or a run directory.
    runs
        More run directories.
    method
        NAME or NAME:learning_rate=0.1,momentum=0.9; repeat it. A step that is not given is half the method's stability
        limit at the start's curvature, less where that diverges. Default: gradient_descent, rk4, momentum, nesterov.
    start
        module:x0 or numbers such as 1.0,2.0; ours have their own.
    tolerance
        On the gap to the minimum where it is known, else on the gradient norm, relative to the start [1e-3]. Of run
        directories on the gradient norm where all recorded it, else on the loss.
    max_gradients
        Budget of gradients for each method [600].
    seeds
        Seeds to run with, for objectives that draw mini-batches [1].
    limits
        Also find each stability limit by running [yes].
    out
        Directory for the runs [runs/compare-OBJECTIVE-TIME].
    report
        Write a page with plots here.
    precision
        64 or 32 bits [64].
    config
        A TOML file of these options.
    progress
        Show progress [where it takes longer than a second].
    json
        Print a list of objects.
    """
    given = dict(
        objective=objective, method=method, start=start, tolerance=tolerance, max_gradients=max_gradients,
        seeds=seeds, limits=limits, out=out, report=report, precision=precision,
    )  # fmt: skip
    if runs or _is_run(objective):
        assert objective is not None
        others = given | {"config": config, "progress": progress}
        unused = [name for name, value in others.items() if name not in _OF_RUNS and value is not None]
        _compare_directories((objective, *runs), unused, 1e-3 if tolerance is None else tolerance, report, json)
        return
    options = read_config(config, _OPTIONS)
    options |= {name: value for name, value in given.items() if value is not None}
    set_precision(options.get("precision", 64))

    import thalweg as tw

    from .._errors import InputError, check_count, check_number

    specs = options.get("method") or list(_METHODS)
    specs = [specs] if isinstance(specs, str) else specs
    parsed = [parse_method(spec) for spec in specs]
    from .._table import find_row

    for name, settings in parsed:
        find_row(name).build(None, **settings)
    tolerance = options.get("tolerance", 1e-3)
    budget = options.get("max_gradients", 600)
    check_number("tolerance", tolerance, above=0.0)
    check_count("max_gradients", budget)
    check_count("seeds", options.get("seeds", 1))
    f, x0 = objective_and_start(options.get("objective"), options.get("start"), solve=True)
    directory = Path(options["out"]) if "out" in options else new_directory(f"compare-{options['objective']}")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"{directory} is not an empty directory; choose another for the runs")
    page = options.get("report")
    if page is not None and Path(page).is_dir():
        raise InputError(f"report {page} is a directory; give the file, such as {Path(page) / 'report.html'}")
    rows = [find_row(name) for name, _ in parsed]
    labels = _labels([row.name for row in rows])
    settings = [complete(name, given, f, x0) for name, given in parsed]
    methods = {label: row.build(f, **numbers) for label, row, numbers in zip(labels, rows, settings, strict=True)}
    source = {"objective": options["objective"], "precision": options.get("precision", 64)}
    source |= {"start": options["start"]} if "start" in options else {}
    sources = {
        label: source | {"method": row.name, "hyperparameters": numbers}
        for label, row, numbers in zip(labels, rows, settings, strict=True)
    }
    result = tw.compare(
        methods, x0, tolerance, budget, seeds=options.get("seeds", 1), limits=options.get("limits", True),
        out=directory, progress=progress, record=1 if page is not None else None, sources=sources,
    )  # fmt: skip
    if json:
        print_json(result.as_list())
    else:
        from .._text import comparison_table

        show(comparison_table(result))
    say(f"runs: {directory}")
    if page is not None:
        title = f"{options['objective']}: methods side by side"
        say(f"report: {result.report(Path(page), title=title)}")


def _is_run(objective: str | None) -> bool:
    """Whether an argument is a run directory; a problem of ours goes before a directory of its name."""
    from .. import problems

    return objective is not None and objective not in problems.names() and (Path(objective) / "run.toml").is_file()


def _compare_directories(
    paths: Sequence[str], unused: Sequence[str], tolerance: float, report: Path | None, json: bool
) -> None:
    import thalweg as tw

    from .._errors import InputError

    if unused:
        told = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise InputError(f"run directories are compared as they are; leave out {told}")
    result = tw.compare_runs(list(dict.fromkeys(paths)), tolerance)
    if json:
        print_json(result.as_list())
    else:
        from .._text import runs_table

        show(runs_table(result))
    if report is not None:
        say(f"report: {result.report(report)}")


def _labels(names: list[str]) -> list[str]:
    """Names made different by a count where a method is compared with itself."""
    return [name if names.count(name) == 1 else f"{name}-{names[:i].count(name) + 1}" for i, name in enumerate(names)]
