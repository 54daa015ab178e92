"""thalweg run."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ._output import new_directory, say
from ._runs import finish
from ._spec import (
    NUMBER,
    PAIRS,
    TEXTS,
    Whole,
    chosen,
    complete,
    objective_and_start,
    parse_method,
    parse_number,
    parse_pairs,
    read_config,
    set_precision,
)

_OPTIONS = {
    "objective": str, "method": str, "learning_rate": NUMBER, "momentum": NUMBER, "step_size": NUMBER,
    "friction": NUMBER, "damping": NUMBER, "set": PAIRS, "steps": int, "start": str, "seed": int, "record": TEXTS,
    "positions": int, "out": str, "precision": int, "stop": PAIRS,
}  # fmt: skip
_KNOBS = ("learning_rate", "momentum", "step_size", "friction", "damping")


def run(
    objective: str | None = None,
    *,
    method: Annotated[str | None, Parameter(name=["--method", "-m"])] = None,
    learning_rate: float | None = None,
    momentum: float | None = None,
    step_size: float | None = None,
    friction: float | None = None,
    damping: float | None = None,
    set: list[str] | None = None,
    steps: Whole = None,
    start: str | None = None,
    seed: Whole = None,
    record: list[str] | None = None,
    positions: Whole = None,
    stop: list[str] | None = None,
    out: Path | None = None,
    precision: Whole = None,
    config: Path | None = None,
    progress: bool | None = None,
    json: bool = False,
) -> int:
    """Run one method and keep it in a directory.

    Parameters
    ----------
    objective
        A problem of ours (digits, breast-cancer, rosenbrock, ...) or module:function.
    method
        A row of `thalweg table`, also NAME:learning_rate=0.1,momentum=0.9 [momentum], or one of yours,
        module:factory or module:factory:name=value; auto needs no tuning and ends where the gradient is within
        --set tolerance=1e-6.
    learning_rate
        For methods that have one [half the stability limit at the start's curvature, less where that diverges].
    momentum
        For methods that have one.
    step_size
        For methods named by their law of motion.
    friction
        Of the heavy ball.
    damping
        r in Nesterov's r/t.
    set
        Any other hyperparameter, NAME=VALUE; repeat it.
    steps
        How many [1000; for auto as many as it may take].
    start
        module:x0 or numbers such as 1.0,2.0; ours have their own.
    seed
        For objectives that draw mini-batches [0].
    record
        Metrics kept at every step: loss, gradient_norm, speed, step_size [loss].
    positions
        Keep the position every so many steps [none].
    stop
        End where a metric is at most a value, such as loss=1e-6; repeat it.
    out
        Directory of the run [runs/OBJECTIVE-METHOD-TIME].
    precision
        64 or 32 bits [64].
    config
        A TOML file of these options.
    progress
        Show progress [where it takes longer than a second].
    json
        Print a list of one object.
    """
    options = read_config(config, _OPTIONS)
    given: dict[str, Any] = dict(
        objective=objective, method=method, learning_rate=learning_rate, momentum=momentum, step_size=step_size,
        friction=friction, damping=damping, set=set, steps=steps, start=start, seed=seed, record=record,
        positions=positions, stop=stop, out=out, precision=precision,
    )  # fmt: skip
    options |= {name: value for name, value in given.items() if value is not None}
    set_precision(options.get("precision", 64))

    import thalweg as tw

    from .._errors import InputError, check_count

    name, settings = parse_method(options.get("method", "momentum"))
    settings |= parse_pairs("set", options.get("set"))
    settings |= {knob: parse_number(knob, options[knob]) for knob in _KNOBS if knob in options}
    row = chosen(name, settings)
    # What ends by itself has its gradients to spend.
    most = int(row.defaults.get("max_gradients", 1000))
    count = check_count("steps", options.get("steps", most))
    seed = check_count("seed", options.get("seed", 0), at_least=0)
    metrics = options.get("record", "loss")
    keep = tw.Record((metrics,) if isinstance(metrics, str) else tuple(metrics), options.get("positions", 0))
    until = parse_pairs("stop", options.get("stop")) or None
    f, x0 = objective_and_start(options.get("objective"), options.get("start"))
    settings = complete(row, settings, f, x0)
    directory = Path(options.get("out") or new_directory(f"{options['objective']}-{row.name}"))
    if (directory / "run.toml").exists():
        raise InputError(f"{directory} already holds a run; go on with: thalweg resume {directory}")
    source = {
        "objective": options["objective"], "method": row.name, "hyperparameters": settings,
        "precision": options.get("precision", 64), "seed": seed,
    }  # fmt: skip
    source |= {"start": options["start"]} if "start" in options else {}
    source |= {"stop": until} if until else {}
    built = row.build(f, **settings)
    result = tw.run(
        built, x0, count, key=seed if built.stochastic else None, record=keep, out=directory,
        stop=until, progress=progress, source=source,
    )  # fmt: skip
    say(f"run: {directory}")
    return finish(result, json)
