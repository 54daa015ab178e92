"""The directory of samples at the command line."""

import math
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._output import print_json, print_table, say
from ._spec import check_format

_SHOWN = 20
_COLUMNS = ("name", "mean", "sd", "mcse_mean", "ess", "ess_tail", "r_hat", "exact_mean", "exact_sd", "z")
_FORMATS = ("csv", "npz", "netcdf", "zarr")


def noisy_row(name: str) -> Any:
    """A row of the table that draws noise."""
    from .._errors import InputError
    from .._methods.table import find_row, table

    row = find_row(name)
    if not row.method.noisy:
        others = ", ".join(other.name for other in table() if other.method.noisy)
        raise InputError(f"{row.name} draws no noise, so it samples nothing; choose one of: {others}")
    return row


def draw(
    options: Any, settings: Mapping[str, float], f: Any, x0: Any, source: Mapping[str, Any], out: Path,
    resume: bool = False,
) -> Any:  # fmt: skip
    """The draws of a row; its step is chosen where it is not given."""
    import thalweg as tw

    from .._errors import InputError
    from .._methods.table import find_row

    row = find_row(options.method)
    built = row.build(f, **settings)
    knob = row.knob
    given = knob in settings
    with warnings.catch_warnings():
        # They are printed from the tree.
        warnings.simplefilter("ignore", tw.SamplingWarning)
        try:
            return tw.sample(
                built if given else built.dynamics, x0, options.draws, options.chains, options.warmup, options.thin,
                key=options.seed, keep=options.keep, scheme=None if given else row.scheme, out=out, resume=resume,
                progress=options.progress, source=source,
            )  # fmt: skip
        except InputError as error:
            why, asked, _ = str(error).partition("; give one: tw.Method(")
            if not asked:
                raise
            raise InputError(f"{row.name} needs a {knob}: {why}") from None


def finish(directory: Path, tree: Any, json: bool, picture: Path | None = None) -> int:
    """Print what was drawn, and how well; the exit status."""
    from .._records.parameters import rows
    from .._records.run import read_config

    config = read_config(directory)
    problem = _problem(config)
    moments = None if problem is None else problem.moments
    found = rows(tree, moments)
    if json:
        print_json(found)
    else:
        _print(found)
    for text in _warnings(tree):
        say(f"warning: {text}")
    about = tree.attrs
    if about["status"] != "finished" and about["message"] not in _warnings(tree):
        say(f"{about['status']}: {about['message']}")
    rejected = f", {about['acceptance']:.0%} accepted" if "acceptance" in about else ""
    say(f"{about['gradients']} gradients, {about['seconds']:.3g} s{rejected}")
    if picture is not None and found:
        say(f"picture: {_draw_picture(picture, tree, problem)}")
    say(f"samples: {directory}")
    for text in _hints(found, config, directory):
        say(f"hint: {text}")
    return 0 if about["status"] == "finished" else 1


def _print(found: list[dict[str, Any]]) -> None:
    columns = [name for name in _COLUMNS if any(row[name] is not None for row in found)]
    if not found:
        return
    whole = ("ess", "ess_tail")
    cells = [[_cell(row[name], name in whole) for name in columns] for row in found[:_SHOWN]]
    print_table([name.replace("_", " ") for name in columns], cells)
    if len(found) > _SHOWN:
        say(f"and {len(found) - _SHOWN} parameters more; --json prints all")


def _cell(value: Any, whole: bool) -> Any:
    return round(value) if whole and value is not None and math.isfinite(value) else value


def _warnings(tree: Any) -> list[str]:
    import json

    return json.loads(tree.attrs["warnings"])


def _hints(found: list[dict[str, Any]], config: Mapping[str, Any], directory: Path) -> list[str]:
    """Changes to make where the diagnostics are bad."""
    from .._records.parameters import EFFECTIVE, R_HAT

    hints = []
    about, total = config["sample"], config["run"]["steps"]
    if any(row["ess"] is None for row in found):
        if about["keep"] == "moments" or total < 4:
            hints.append("so few draws do not tell the error of their mean; take more")
        else:
            way = f"tw.read_samples({str(directory)!r}, True)"
            hints.append(f"no effective sample sizes for so many parameters; {way} computes them")
    mixed = [row for row in found if row["r_hat"] is not None and row["r_hat"] > R_HAT]
    if mixed:
        worst = max(mixed, key=lambda row: row["r_hat"])
        hints.append(
            f"r_hat of {worst['name']} is {worst['r_hat']:.3g}, above {R_HAT:g}: the chains do not agree; take more "
            f"draws, and more than --warmup {about['warmup']} where that does not mend it"
        )
    sizes = [(row[kind], row["name"]) for row in found for kind in ("ess", "ess_tail")
             if row[kind] is not None and math.isfinite(row[kind])]  # fmt: skip
    if sizes and min(sizes)[0] < EFFECTIVE:
        size, name = min(sizes)
        wanted = _rounded(total * EFFECTIVE / max(size, 1.0))
        way = f"thalweg resume {directory} --draws {wanted}"
        way = f"go on with: {way}" if about["keep"] == "draws" else f"take --draws {wanted}"
        hints.append(f"the effective sample size of {name} is {size:.0f}, below {EFFECTIVE:.0f}; {way}")
    return hints


def _rounded(number: float) -> int:
    """Round to two digits, upwards."""
    unit = 10 ** max(0, math.floor(math.log10(number)) - 1)
    return math.ceil(number / unit) * unit


def _problem(config: Mapping[str, Any]) -> Any:
    """The problem of ours that was sampled, with moments at the temperature that it was sampled at."""
    from .. import problems
    from .._errors import InputError
    from .._methods.table import find_row

    source = config.get("source", {})
    name = source.get("objective")
    if name not in problems.names() or not getattr(find_row(source["method"]).dynamics, "canonical", False):
        return None
    try:
        found = problems.get(name)
    except InputError:
        return None
    moments, at = found.moments, config["method"]["hyperparameters"].get("temperature")
    return found if moments is not None and at is not None and math.isclose(moments.temperature, at) else None


def check_picture(path: Any, keep: str) -> Path | None:
    """Check the path of a picture."""
    from .._errors import InputError

    if path is None:
        return None
    from ..plot._axes import require_matplotlib

    require_matplotlib()
    from matplotlib.backend_bases import FigureCanvasBase

    path = Path(path)
    endings = sorted(FigureCanvasBase.get_supported_filetypes())
    if path.suffix.lstrip(".").lower() not in endings:
        raise InputError(f"plot {path} must end with one of {', '.join(endings)}")
    if not path.parent.is_dir():
        raise InputError(f"{path.parent} is not a directory")
    if keep == "moments":
        raise InputError("moments keep no draws to plot; leave out --keep moments, or --plot")
    return path


def _draw_picture(path: Path, tree: Any, problem: Any) -> Path:
    import io

    from .._records.storage import write_atomically
    from ..plot import chains

    axes = chains(tree, law=problem)
    buffer = io.BytesIO()
    axes[0, 0].figure.savefig(buffer, format=path.suffix.lstrip(".").lower(), dpi=150)
    write_atomically(path, buffer.getvalue())
    return path


def summary(directory: Path, config: dict[str, Any]) -> dict[str, Any]:
    """Samples in a row of `thalweg list`, without reading a draw."""
    from .._errors import InputError
    from .._records.describe import labels_of_config
    from .._records.storage import read_checkpoint

    about = read_checkpoint(directory)
    if about is None:
        raise InputError(f"{directory} holds no checkpoint yet")
    objective, method, hyperparameters = labels_of_config(config)
    row = {"path": str(directory), "objective": objective, "method": method, "hyperparameters": hyperparameters}
    row |= {name: about[name] for name in ("status", "message")}
    row["steps"] = max(0, about["step"] - config["sample"]["warmup"])
    return row | {name: about[name] for name in ("gradients", "seconds", "compile_seconds")} | {"loss": None}


def export(directory: Path, out: Path, format: str) -> None:
    """Write draws to a file that is not there yet."""
    import thalweg as tw

    from .._errors import InputError
    from .._records.parameters import draws
    from .._records.storage import write_atomically

    check_format(format, _FORMATS)
    tree = tw.read_samples(directory)
    if format in ("netcdf", "zarr"):
        from .._records.dataset import write_dataset

        write_dataset(tree, out, format)
        return
    if not (found := draws(tree)):
        raise InputError(f"{directory} holds no draws to write as {format}; write its moments as netcdf or zarr")
    write_atomically(out, _csv(found) if format == "csv" else _npz(tree))


def _csv(found: Mapping[str, Any]) -> bytes:
    import csv
    import io

    import numpy as np

    columns = np.stack([np.asarray(values) for values in found.values()], axis=-1)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("chain", "draw", *found))
    for i, chain in enumerate(columns):
        writer.writerows((i, j, *row) for j, row in enumerate(chain.tolist()))
    return text.getvalue().encode()


def _npz(tree: Any) -> bytes:
    import io

    import numpy as np

    arrays = {
        f"{group}/{name}": variable.values
        for group in ("posterior", "sample_stats")
        if group in tree.children
        for name, variable in tree[group].data_vars.items()
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()
