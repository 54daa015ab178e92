"""thalweg sample."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ._options import Whole, option, options
from ._output import directory_for
from ._shared import Numbers, OneMethod, settle
from ._spec import find_method, objective_and_start, set_precision, settled


@options
class Sample(OneMethod):
    """Options of a sampling."""

    target: str | None = option(
        "f: a problem of ours (gaussian, banana, eight-schools, logistic-posterior, ...) or module:function.",
        default=None, kept="source.objective", kw_only=False,
    )  # fmt: skip
    method: Annotated[str, Parameter(name=["--method", "-m"])] = option(
        "A row of `thalweg table` that draws noise, also NAME:step_size=0.1,temperature=1, or one of yours, "
        "module:factory or module:factory:name=value.",
        default="baoab",
    )
    draws: Whole = option("How many are kept of each chain.", default=1000, kept="run.steps")
    chains: Whole = option("How many.", default=4, kept="sample.chains")
    warmup: Whole = option("Draws thrown away at first.", default=1000, kept="sample.warmup")
    thin: Whole = option("Steps a draw.", default=1, kept="sample.thin")
    keep: str = option("draws, or moments: means and variances alone, for runs of any length.", default="draws",
                       kept="sample.keep")  # fmt: skip
    plot: Path | None = option("Draw the chains to this file, such as chains.png.", default=None, kept=False)


def sample(options: Sample = Sample(), **numbers: Numbers) -> int:  # noqa: B008
    """Draw from exp(-f/T) by several chains, and say how well: a row a parameter."""
    from .._errors import InputError, check_choice, check_count, check_number
    from .._records.shown_samples import is_canonical
    from ._samples import check_noisy, check_picture, draw, finish

    options, row = settle(options, numbers)
    check_noisy(row)
    check_number("temperature", options.settings.get("temperature", 1.0), above=0.0)
    for name in ("draws", "chains", "warmup", "thin", "seed"):
        check_count(name, getattr(options, name), at_least=int(name not in ("warmup", "seed")))
    check_choice("keep", options.keep, ("draws", "moments"))
    picture = check_picture(options.plot, options.keep)
    f, x0 = objective_and_start(options.target, options.start)
    # Of a method of a user's own it is written down: a module that a file names is not imported to show it.
    source = options.source() | ({"canonical": is_canonical(row)} if ":" in row.name else {})
    with directory_for(options.out, f"{options.target}-{row.name}") as directory:
        if (directory / "run.toml").exists():
            raise InputError(f"{directory} already holds a run; go on with: thalweg resume {directory}")
        tree = draw(options, row, options.settings, f, x0, source, directory)
    return finish(directory, tree, options.json, picture)


def resume(directory: Path, config: dict[str, Any], draws: int | None, progress: bool | None, json: bool) -> int:
    """Go on with samples begun at the command line."""
    from .._errors import InputError
    from ._samples import draw, finish

    options = Sample.recorded(config)
    begun = config["run"]["steps"]
    total = begun if draws is None else draws
    if total < begun:
        raise InputError(f"draws must be at least the {begun} that were begun with, but is {total}")
    if total > begun and options.keep == "moments":
        raise InputError(
            f"{directory} keeps the moments of {begun} draws, in batches cut by that number; for more begin anew"
        )
    options = dataclasses.replace(options, draws=total, progress=progress)
    set_precision(options.precision)
    f, x0 = objective_and_start(options.target, options.start)
    # A step that was chosen stays.
    row = settled(find_method(options.method), options.settings)
    knob = row.knob
    assert knob is not None
    settings = {knob: config["method"]["hyperparameters"][knob]} | options.settings
    tree = draw(options, row, settings, f, x0, config["source"], directory, resume=True)
    return finish(directory, tree, json)
