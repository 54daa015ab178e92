"""Samples as `thalweg list` and `thalweg show` print them: how each parameter was drawn, and what would mend it."""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .._errors import InputError
from .kinds import Shown, command
from .labels import labels_of_config
from .storage import read_checkpoint

_SHOWN = 20
_COLUMNS = ("name", "mean", "sd", "mcse_mean", "ess", "ess_tail", "r_hat", "exact_mean", "exact_sd", "z")


def samples_row(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Samples in a row of `thalweg list`, without reading a draw."""
    about = read_checkpoint(path, leaves=False)
    if about is None:
        raise InputError(f"{path} holds no checkpoint yet")
    objective, method, hyperparameters = labels_of_config(config)
    row = {"path": str(path), "objective": objective, "method": method, "hyperparameters": hyperparameters}
    row |= {name: about[name] for name in ("status", "message")}
    row["steps"] = max(0, about["step"] - config["sample"]["warmup"])
    return row | {name: about[name] for name in ("gradients", "seconds", "compile_seconds")} | {"loss": None}


def show_samples(path: Path, config: dict[str, Any], tree: Any = None, made: Sequence[str] = ()) -> Shown:
    """A row a parameter, warnings and hints.

    Arguments:
        path: the directory.
        config: its configuration.
        tree: as `tw.sample` gives it; None reads it.
        made: what else was made of them, a remark each.
    """
    from .parameters import rows
    from .samples import read

    tree = read(path) if tree is None else tree
    problem = sampled_problem(config)
    found = rows(tree, None if problem is None else problem.moments)
    about, texts = tree.attrs, json.loads(tree.attrs["warnings"])
    remarks = [f"warning: {text}" for text in texts]
    if about["status"] != "finished" and about["message"] not in texts:
        remarks.append(f"{about['status']}: {about['message']}")
    rejected = f", {about['acceptance']:.0%} accepted" if "acceptance" in about else ""
    remarks.append(f"{about['gradients']} gradients, {about['seconds']:.3g} s{rejected}")
    remarks += [*made, f"samples: {path}"]
    remarks += [f"note: {text}" for text in json.loads(about.get("notes", "[]"))]
    remarks += [f"hint: {text}" for text in _hints(found, config, path, " ".join(texts))]
    if not found:
        return Shown(found, [], [], remarks)
    columns = tuple(name for name in _COLUMNS if any(row[name] is not None for row in found))
    cells = [[_cell(row[name], name in ("ess", "ess_tail")) for name in columns] for row in found[:_SHOWN]]
    more = [f"and {len(found) - _SHOWN} parameters more; --json prints all"] if len(found) > _SHOWN else []
    return Shown(found, [], [(tuple(name.replace("_", " ") for name in columns), cells)], remarks, more)


def sampled_problem(config: Mapping[str, Any]) -> Any:
    """The problem of ours that was sampled, with moments at the temperature that it was sampled at."""
    from .. import problems
    from .._methods.table import find_row

    source = config.get("source", {})
    name = source.get("objective")
    if name not in problems.names():
        return None
    # Of a method of a user's own it was written down, since a module that a file names is not imported to show it.
    if not (source["canonical"] if "canonical" in source else is_canonical(find_row(source["method"]))):
        return None
    try:
        found = problems.get(name)
    except InputError:
        return None
    moments, at = found.moments, config["method"]["hyperparameters"].get("temperature")
    return found if moments is not None and at is not None and math.isclose(moments.temperature, at) else None


def is_canonical(row: Any) -> bool:
    """Tell whether the law of a row settles to exp(-f/T) at a constant temperature."""
    return bool(getattr(row.dynamics, "canonical", False))


def _cell(value: Any, whole: bool) -> Any:
    return round(value) if whole and value is not None and math.isfinite(value) else value


def _hints(found: list[dict[str, Any]], config: Mapping[str, Any], directory: Path, told: str) -> list[str]:
    """Changes to make where the diagnostics are bad, without what the warnings have told."""
    from .mixing import rounded
    from .parameters import EFFECTIVE, R_HAT

    hints = []
    about, total = config["sample"], config["run"]["steps"]
    if any(row["ess"] is None for row in found):
        if about["keep"] == "moments" or total < 4:
            hints.append("so few draws do not tell the error of their mean; take more")
        else:
            way = f"tw.read_samples({str(directory)!r}, True)"
            hints.append(f"no effective sample sizes for so many parameters; {way} computes them")
    mixed = [row for row in found if row["r_hat"] is not None and row["r_hat"] > R_HAT]
    if mixed and "r_hat of" not in told:
        worst = max(mixed, key=lambda row: row["r_hat"])
        hints.append(
            f"r_hat of {worst['name']} is {worst['r_hat']:.3g}, above {R_HAT:g}: the chains do not agree; take more "
            f"draws, and more than --warmup {about['warmup']} where that does not mend it"
        )
    sizes = [(row[kind], row["name"]) for row in found for kind in ("ess", "ess_tail")
             if row[kind] is not None and math.isfinite(row[kind])]  # fmt: skip
    if sizes and min(sizes)[0] < EFFECTIVE:
        size, name = min(sizes)
        wanted = rounded(total * EFFECTIVE / max(size, 1.0))
        way = f"{command(directory, dict(config))} --draws {wanted}"
        way = f"go on with: {way}" if about["keep"] == "draws" else f"take --draws {wanted}"
        few = f"the effective sample size of {name} is {size:.0f}, below {EFFECTIVE:.0f}; "
        hints.append(("" if "effective sample size of" in told else few) + way)
    return hints
