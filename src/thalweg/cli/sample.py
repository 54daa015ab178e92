"""thalweg sample."""

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from ._output import new_directory
from ._spec import (
    NUMBER,
    PAIRS,
    Whole,
    objective_and_start,
    parse_method,
    parse_number,
    parse_pairs,
    read_config,
    set_precision,
)

_OPTIONS = {
    "target": str, "method": str, "temperature": NUMBER, "friction": NUMBER, "learning_rate": NUMBER,
    "step_size": NUMBER, "set": PAIRS, "draws": int, "chains": int, "warmup": int, "thin": int, "seed": int,
    "keep": str, "start": str, "out": str, "plot": str, "precision": int,
}  # fmt: skip
_KNOBS = ("temperature", "friction", "learning_rate", "step_size")
_COUNTS = {"draws": 1000, "chains": 4, "warmup": 1000, "thin": 1}


def sample(
    target: str | None = None,
    *,
    method: Annotated[str | None, Parameter(name=["--method", "-m"])] = None,
    temperature: float | None = None,
    friction: float | None = None,
    learning_rate: float | None = None,
    step_size: float | None = None,
    set: list[str] | None = None,
    draws: Whole = None,
    chains: Whole = None,
    warmup: Whole = None,
    thin: Whole = None,
    seed: Whole = None,
    keep: str | None = None,
    start: str | None = None,
    out: Path | None = None,
    plot: Path | None = None,
    precision: Whole = None,
    config: Path | None = None,
    progress: bool | None = None,
    json: bool = False,
) -> int:
    """Draw from exp(-f/T) by several chains, and say how well: a row a parameter.

    Parameters
    ----------
    target
        f: a problem of ours (gaussian, banana, eight-schools, logistic-posterior, ...) or module:function.
    method
        A row of `thalweg table` that draws noise, also NAME:step_size=0.1,temperature=1 [baoab], or one of yours,
        module:factory or module:factory:name=value.
    temperature
        T, in units of f [1].
    friction
        Of the laws that have one.
    learning_rate
        For methods that have one [chosen by the curvature, where the chains go].
    step_size
        For methods named by their law of motion [chosen likewise].
    set
        Any other hyperparameter, NAME=VALUE; repeat it.
    draws
        How many are kept of each chain [1000].
    chains
        How many [4].
    warmup
        Draws thrown away at first [1000].
    thin
        Steps a draw [1].
    seed
        Of all that is drawn [0].
    keep
        draws, or moments: means and variances alone, for runs of any length [draws].
    start
        module:x0 or numbers such as 1.0,2.0; ours have their own.
    out
        Directory of the samples [runs/TARGET-METHOD-TIME].
    plot
        Draw the chains to this file, such as chains.png.
    precision
        64 or 32 bits [64].
    config
        A TOML file of these options.
    progress
        Show progress [where it takes longer than a second].
    json
        Print a list of objects, one a parameter.
    """
    options = read_config(config, _OPTIONS)
    given: dict[str, Any] = dict(
        target=target, method=method, temperature=temperature, friction=friction, learning_rate=learning_rate,
        step_size=step_size, set=set, draws=draws, chains=chains, warmup=warmup, thin=thin, seed=seed, keep=keep,
        start=start, out=out, plot=plot, precision=precision,
    )  # fmt: skip
    options |= {name: value for name, value in given.items() if value is not None}
    set_precision(options.get("precision", 64))

    from .._errors import InputError, check_choice, check_count, check_number
    from ._samples import check_picture, draw, finish, is_canonical, noisy_row

    name, settings = parse_method(options.get("method", "baoab"))
    settings |= parse_pairs("set", options.get("set"))
    settings |= {knob: parse_number(knob, options[knob]) for knob in _KNOBS if knob in options}
    row = noisy_row(name, settings)
    check_number("temperature", settings.get("temperature", 1.0), above=0.0)
    counts = {
        name: check_count(name, options.get(name, default), at_least=int(name != "warmup"))
        for name, default in _COUNTS.items()
    }
    seed = check_count("seed", options.get("seed", 0), at_least=0)
    kept = options.get("keep", "draws")
    check_choice("keep", kept, ("draws", "moments"))
    picture = check_picture(options.get("plot"), kept)
    f, x0 = objective_and_start(options.get("target"), options.get("start"))
    directory = Path(options.get("out") or new_directory(f"{options['target']}-{row.name}"))
    if (directory / "run.toml").exists():
        raise InputError(f"{directory} already holds a run; go on with: thalweg resume {directory}")
    source = {
        "objective": options["target"], "method": row.name, "hyperparameters": settings,
        "precision": options.get("precision", 64), "seed": seed,
    }  # fmt: skip
    source |= {"start": options["start"]} if "start" in options else {}
    source |= {"canonical": is_canonical(row)} if ":" in name else {}
    tree = draw(row, settings, f, x0, counts, kept, source, directory, progress=progress)
    return finish(directory, tree, json, picture)
