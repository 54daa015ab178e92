"""thalweg compare."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from .._errors import InputError
from ._options import Texts, Whole, option, options
from ._output import directory_for, print_json, say, show
from ._samplers import compare_diffusion, is_diffusion
from ._shared import Common
from ._spec import chosen, complete, objective_and_start, parse_method, set_precision
from .run import Run

_METHODS = ("gradient_descent", "rk4", "momentum", "nesterov")
_FOLLOWING = ("gradient_descent", "heun", "rk4", "tsit5")
_OF_RUNS = ("objective", "tolerance", "report", "json")
# What says nothing where methods follow a law to a time, which is computed in 64 bits.
_NOT_FOLLOWING = ("tolerance", "max_gradients", "seeds", "limits", "report", "precision")


@options
class Compare(Common):
    """Options of a comparison."""

    objective: str | None = option(
        "A problem of ours (digits, breast-cancer, rosenbrock, ...; of diffusion: mixture-diffusion, "
        "gaussian-diffusion, moons-diffusion, digits-diffusion), module:function, or a run directory.",
        default=None,
        kw_only=False,
    )
    method: Annotated[Texts, Parameter(name=["--method", "-m"], negative=())] = option(
        "NAME or NAME:learning_rate=0.1,momentum=0.9, or one of yours, module:factory or module:factory:name=value; "
        "repeat it. A step that is not given is half the method's "
        "stability limit at the start's curvature, less where that diverges. "
        f"Default: {', '.join(_METHODS)}. Of a diffusion problem a sampler: ddim:eta=0.5, heun, rk4, "
        "exponential_multistep:order=3, ancestral, euler_maruyama, ...",
        default=(),
    )
    tolerance: float = option(
        "On the gap to the minimum where it is known, else on the gradient norm, relative to the start. Of run "
        "directories on the gradient norm where all recorded it, else on the loss.",
        default=1e-3,
    )
    max_gradients: Whole = option("Budget of gradients for each method.", default=600)
    seeds: Whole = option("Seeds to run with, for objectives that draw mini-batches.", default=1)
    limits: bool = option("Also find each stability limit by running.", default=True)
    report: Path | None = option("Write a page with plots here.", default=None)
    evaluations: str = option("Of a diffusion problem, budgets of evaluations for one sample.", default="8,16,32,64")
    work_precision: bool = option(
        "Instead, follow one law of motion to a time at a ladder of step sizes: error against gradients and wall time. "
        f"The steps of the methods are not used. Default methods: {', '.join(_FOLLOWING)}.",
        default=False,
    )
    until: float | None = option(
        "With --work-precision, the time [2 / curvature for gradient flow, 2 / its root for a ball].", default=None
    )


def compare(
    options: Compare = Compare(),  # noqa: B008
    *runs: Annotated[str, Parameter(help="More run directories.")],
) -> None:
    """Run methods side by side: gradients to a tolerance, regime, predicted and measured stability limit.

    Of a diffusion problem samplers: how far each ends from the flow and from the data, by evaluations of the network.

    Of run directories, ours or recorded ones, show what they hold, without running anything.
    """
    if runs or _is_run(options.objective):
        _compare_directories(options, runs)
        return
    options, rest = options.with_config()
    options.refuse(rest)
    # Before a user's module is imported, whose arrays are made then.
    set_precision(64 if options.work_precision else options.precision)
    if is_diffusion(options.objective):
        compare_diffusion(options)
        return
    if "evaluations" in options.given:
        raise InputError(f"evaluations are of a diffusion problem, which {options.objective} is not; leave it out")
    if options.work_precision:
        _follow(options)
        return
    if "until" in options.given:
        raise InputError("until is the time of --work-precision; leave it out, or add that")

    import thalweg as tw

    from .._errors import check_count, check_number

    parsed = _parsed(options.method or _METHODS)
    check_number("tolerance", options.tolerance, above=0.0)
    check_count("max_gradients", options.max_gradients)
    check_count("seeds", options.seeds)
    f, x0 = objective_and_start(options.objective, options.start, solve=True)
    _check_empty(options.out)
    page = options.report
    if page is not None and page.is_dir():
        raise InputError(f"report {page} is a directory; give the file, such as {page / 'report.html'}")
    labels, rows, settings = _built(parsed, f, x0)
    methods = {label: row.build(f, **numbers) for label, row, numbers in zip(labels, rows, settings, strict=True)}
    about = {"objective": options.objective, "start": options.start, "precision": options.precision}
    # Each goes on as what `thalweg run` begins.
    sources = {
        label: Run(method=row.name, set=numbers, **about).source()
        for label, row, numbers in zip(labels, rows, settings, strict=True)
    }
    with directory_for(options.out, f"compare-{options.objective}") as directory:
        result = tw.compare(
            methods, x0, options.tolerance, options.max_gradients, seeds=options.seeds, limits=options.limits,
            out=directory, progress=options.progress, record=1 if page is not None else None, sources=sources,
        )  # fmt: skip
    if options.json:
        print_json(result.as_list())
    else:
        show(result.as_table())
    for note in result.notes:
        say(f"warning: {note}")
    say(f"runs: {directory}")
    if page is not None:
        title = f"{options.objective}: methods side by side"
        say(f"report: {result.report(page, title=title)}")


def _follow(options: Compare) -> None:
    """Work and precision."""
    unused = [f"--{name.replace('_', '-')}" for name in _NOT_FOLLOWING if name in options.given]
    if unused:
        raise InputError(f"--work-precision says all errors and costs; leave out {', '.join(unused)}")

    import thalweg as tw

    from .._errors import check_number

    parsed = _parsed(options.method or _FOLLOWING)
    if options.until is not None:
        check_number("until", options.until, above=0.0)
    f, x0 = objective_and_start(options.objective, options.start)
    _check_empty(options.out)
    labels, rows, settings = _built(parsed, f, x0)
    methods = {label: row.build(f, **numbers) for label, row, numbers in zip(labels, rows, settings, strict=True)}
    result = tw.work_precision(methods, x0, options.until)
    if options.json:
        print_json(result.as_list())
    else:
        for table in result.as_tables():
            show(table)
    with directory_for(options.out, f"work-precision-{options.objective}") as directory:
        try:
            result.save(directory)
        except InputError as error:
            # The picture is drawn last, and the rest is there without matplotlib.
            say(f"no picture: {error}")
    for path in sorted(directory.iterdir()):
        say(f"written: {path}")


def _parsed(specs: Sequence[str]) -> list[tuple[Any, dict[str, float]]]:
    """Rows and the numbers that were given, those that are wrong refused before the objective is made."""
    return [(chosen(name, settings), settings) for name, settings in map(parse_method, specs)]


def _built(parsed: Sequence[tuple[Any, dict[str, float]]], f: Any, x0: Any) -> tuple[list[str], list[Any], list[Any]]:
    """Label, row and all numbers of each method."""
    rows = [row for row, _ in parsed]
    return _labels([row.name for row in rows]), rows, [complete(row, given, f, x0) for row, given in parsed]


def _check_empty(directory: Path | None) -> None:
    if directory is not None and directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise InputError(f"{directory} is not an empty directory; choose another for the runs")


def _is_run(objective: str | None) -> bool:
    """Tell whether an argument is a run directory; a problem of ours goes before a directory of its name."""
    from .. import problems

    return objective is not None and objective not in problems.names() and (Path(objective) / "run.toml").is_file()


def _compare_directories(options: Compare, others: Sequence[str]) -> None:
    import thalweg as tw

    unused = [field.name for field in dataclasses.fields(options) if field.name in options.given - set(_OF_RUNS)]
    if unused:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
        raise InputError(f"run directories are compared as they are; leave out {named}")
    assert options.objective is not None
    result = tw.compare_runs(list(dict.fromkeys((options.objective, *others))), options.tolerance)
    if options.json:
        print_json(result.as_list())
    else:
        show(result.as_table())
    if options.report is not None:
        say(f"report: {result.report(options.report)}")


def _labels(names: list[str]) -> list[str]:
    """Names made different by a count where a method is compared with itself."""
    return [name if names.count(name) == 1 else f"{name}-{names[:i].count(name) + 1}" for i, name in enumerate(names)]
