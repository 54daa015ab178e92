"""thalweg run."""

import dataclasses
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ._options import Pairs, Texts, Whole, option, options
from ._output import directory_for, say
from ._runs import finish
from ._shared import Numbers, OneMethod, settle
from ._spec import complete, find_method, objective_and_start, parse_pairs, set_precision


@options
class Run(OneMethod):
    """Options of a run."""

    objective: str | None = option(
        "A problem of ours (digits, breast-cancer, rosenbrock, ...) or module:function.", default=None, kw_only=False
    )
    method: Annotated[str, Parameter(name=["--method", "-m"])] = option(
        "A row of `thalweg table`, also NAME:learning_rate=0.1,momentum=0.9, or one of yours, module:factory or "
        "module:factory:name=value; auto needs no tuning and ends where the gradient is within --tolerance 1e-6.",
        default="momentum",
    )
    steps: Whole | None = option("How many [1000; for auto as many as it may take].", default=None, kept="run.steps")
    record: Texts = option(
        "Metrics kept at every step: loss, gradient_norm, speed, step_size.", default=("loss",), kept="record.metrics"
    )
    positions: Whole = option(
        "Keep the position every so many steps; 0 keeps none.", default=0, kept="record.positions"
    )
    stop: Pairs = option("End where a metric is at most a value, such as loss=1e-6; repeat it.", default=())


def run(options: Run = Run(), **numbers: Numbers) -> int:  # noqa: B008
    """Run one method and keep it in a directory."""
    from .._errors import InputError, check_count

    options, row = settle(options, numbers)
    # What ends by itself has its gradients to spend.
    most = int(row.defaults.get("max_gradients", 1000))
    steps = check_count("steps", most if options.steps is None else options.steps)
    check_count("seed", options.seed, at_least=0)
    options = dataclasses.replace(options, steps=steps, stop=parse_pairs("stop", options.stop))
    _record(options)
    f, x0 = objective_and_start(options.objective, options.start)
    options = dataclasses.replace(options, set=complete(row, options.settings, f, x0))
    with directory_for(options.out, f"{options.objective}-{row.name}") as directory:
        if (directory / "run.toml").exists():
            raise InputError(f"{directory} already holds a run; go on with: thalweg resume {directory}")
        result = _go(options, f, x0, directory, options.source())
    say(f"run: {directory}")
    return finish(result, options.json)


def resume(directory: Path, config: dict[str, Any], steps: int | None, progress: bool | None, json: bool) -> int:
    """Go on with a run begun at the command line."""
    from .._errors import InputError

    if config["source"].get("command") == "flow":
        from . import flow

        return flow.resume(directory, config, steps, progress, json)
    options = Run.recorded(config)
    begun = config["run"]["steps"]
    if steps is not None and steps < begun:
        raise InputError(f"steps must be at least the {begun} the run was begun with, but is {steps}")
    options = dataclasses.replace(options, steps=begun if steps is None else steps, progress=progress)
    set_precision(options.precision)
    f, x0 = objective_and_start(options.objective, options.start)
    return finish(_go(options, f, x0, directory, config["source"], resume=True), json)


def _record(options: Run) -> Any:
    import thalweg as tw

    return tw.Record(options.record, options.positions)


def _go(options: Run, f: Any, x0: Any, directory: Path, source: dict[str, Any], resume: bool = False) -> Any:
    import thalweg as tw

    method = find_method(options.method).build(f, **options.settings)
    return tw.run(
        method, x0, options.steps, key=options.seed if method.stochastic else None, record=_record(options),
        out=directory, resume=resume, stop=parse_pairs("stop", options.stop) or None, progress=options.progress,
        source=source,
    )  # fmt: skip
