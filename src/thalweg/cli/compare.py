"""thalweg compare."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .._errors import InputError
from ._output import new_directory, print_json, say, show
from ._spec import NUMBER, TEXTS, Whole, chosen, complete, objective_and_start, parse_method, read_config, set_precision

_METHODS = ("gradient_descent", "rk4", "momentum", "nesterov")
_FOLLOWING = ("gradient_descent", "heun", "rk4", "tsit5")
_OF_RUNS = ("objective", "tolerance", "report")
_OPTIONS = {
    "objective": str, "method": TEXTS, "start": str, "tolerance": NUMBER, "max_gradients": int, "seeds": int,
    "limits": bool, "out": str, "report": str, "precision": int, "work_precision": bool, "until": NUMBER,
}  # fmt: skip
# What says nothing where methods follow a law to a time, which is computed in 64 bits.
_NOT_FOLLOWING = ("tolerance", "max_gradients", "seeds", "limits", "report", "precision")


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
    work_precision: bool | None = None,
    until: float | None = None,
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
        NAME or NAME:learning_rate=0.1,momentum=0.9, or one of yours, module:factory or module:factory:name=value;
        repeat it. A step that is not given is half the method's stability limit at the start's curvature, less where
        that diverges. Default: gradient_descent, rk4, momentum, nesterov.
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
    work_precision
        Instead, follow one law of motion to a time at a ladder of step sizes: error against gradients and wall time.
        The steps of the methods are not used. Default methods: gradient_descent, heun, rk4, tsit5.
    until
        With --work-precision, the time [2 / curvature for gradient flow, 2 / its root for a ball].
    config
        A TOML file of these options.
    progress
        Show progress [where it takes longer than a second].
    json
        Print a list of objects.
    """
    given = dict(
        objective=objective, method=method, start=start, tolerance=tolerance, max_gradients=max_gradients,
        seeds=seeds, limits=limits, out=out, report=report, precision=precision, work_precision=work_precision,
        until=until,
    )  # fmt: skip
    if runs or _is_run(objective):
        assert objective is not None
        others = given | {"config": config, "progress": progress}
        unused = [name for name, value in others.items() if name not in _OF_RUNS and value is not None]
        _compare_directories((objective, *runs), unused, 1e-3 if tolerance is None else tolerance, report, json)
        return
    options = read_config(config, _OPTIONS)
    options |= {name: value for name, value in given.items() if value is not None}
    if options.get("work_precision"):
        _follow(options, json)
        return
    if "until" in options:
        raise InputError("until is the time of --work-precision; leave it out, or add that")
    set_precision(options.get("precision", 64))

    import thalweg as tw

    from .._errors import check_count, check_number

    parsed = _parsed(options.get("method") or _METHODS)
    asked = float(options.get("tolerance", 1e-3))
    budget = options.get("max_gradients", 600)
    check_number("tolerance", asked, above=0.0)
    check_count("max_gradients", budget)
    check_count("seeds", options.get("seeds", 1))
    f, x0 = objective_and_start(options.get("objective"), options.get("start"), solve=True)
    directory = _empty_directory(options, "compare")
    page = options.get("report")
    if page is not None and Path(page).is_dir():
        raise InputError(f"report {page} is a directory; give the file, such as {Path(page) / 'report.html'}")
    labels, rows, settings = _built(parsed, f, x0)
    methods = {label: row.build(f, **numbers) for label, row, numbers in zip(labels, rows, settings, strict=True)}
    source = {"objective": options["objective"], "precision": options.get("precision", 64)}
    source |= {"start": options["start"]} if "start" in options else {}
    sources = {
        label: source | {"method": row.name, "hyperparameters": numbers}
        for label, row, numbers in zip(labels, rows, settings, strict=True)
    }
    result = tw.compare(
        methods, x0, asked, budget, seeds=options.get("seeds", 1), limits=options.get("limits", True),
        out=directory, progress=progress, record=1 if page is not None else None, sources=sources,
    )  # fmt: skip
    if json:
        print_json(result.as_list())
    else:
        show(result.as_table())
    say(f"runs: {directory}")
    if page is not None:
        title = f"{options['objective']}: methods side by side"
        say(f"report: {result.report(Path(page), title=title)}")


def _follow(options: dict[str, Any], json: bool) -> None:
    """Work and precision."""
    unused = [f"--{name.replace('_', '-')}" for name in _NOT_FOLLOWING if name in options]
    if unused:
        raise InputError(f"--work-precision says all errors and costs; leave out {', '.join(unused)}")
    set_precision(64)

    import thalweg as tw

    from .._errors import check_number

    parsed = _parsed(options.get("method") or _FOLLOWING)
    if "until" in options:
        check_number("until", options["until"], above=0.0)
    f, x0 = objective_and_start(options.get("objective"), options.get("start"))
    directory = _empty_directory(options, "work-precision")
    labels, rows, settings = _built(parsed, f, x0)
    methods = {label: row.build(f, **numbers) for label, row, numbers in zip(labels, rows, settings, strict=True)}
    result = tw.work_precision(methods, x0, options.get("until"))
    if json:
        print_json(result.as_list())
    else:
        for table in result.as_tables():
            show(table)
    try:
        result.save(directory)
    except InputError as error:
        # The picture is drawn last, and the rest is there without matplotlib.
        say(f"no picture: {error}")
    for path in sorted(directory.iterdir()):
        say(f"written: {path}")


def _parsed(specs: str | Sequence[str]) -> list[tuple[Any, dict[str, float]]]:
    """Rows and the numbers that were given, those that are wrong refused before the objective is made."""
    parsed = [parse_method(spec) for spec in ([specs] if isinstance(specs, str) else specs)]
    return [(chosen(name, settings), settings) for name, settings in parsed]


def _built(parsed: Sequence[tuple[Any, dict[str, float]]], f: Any, x0: Any) -> tuple[list[str], list[Any], list[Any]]:
    """Label, row and all numbers of each method."""
    rows = [row for row, _ in parsed]
    return _labels([row.name for row in rows]), rows, [complete(row, given, f, x0) for row, given in parsed]


def _empty_directory(options: dict[str, Any], what: str) -> Path:
    directory = Path(options["out"]) if "out" in options else new_directory(f"{what}-{options['objective']}")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"{directory} is not an empty directory; choose another for the runs")
    return directory


def _is_run(objective: str | None) -> bool:
    """Tell whether an argument is a run directory; a problem of ours goes before a directory of its name."""
    from .. import problems

    return objective is not None and objective not in problems.names() and (Path(objective) / "run.toml").is_file()


def _compare_directories(
    paths: Sequence[str], unused: Sequence[str], tolerance: float, report: Path | None, json: bool
) -> None:
    import thalweg as tw

    if unused:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise InputError(f"run directories are compared as they are; leave out {named}")
    result = tw.compare_runs(list(dict.fromkeys(paths)), tolerance)
    if json:
        print_json(result.as_list())
    else:
        show(result.as_table())
    if report is not None:
        say(f"report: {result.report(report)}")


def _labels(names: list[str]) -> list[str]:
    """Names made different by a count where a method is compared with itself."""
    return [name if names.count(name) == 1 else f"{name}-{names[:i].count(name) + 1}" for i, name in enumerate(names)]
