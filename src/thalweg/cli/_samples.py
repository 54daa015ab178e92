"""The directory of samples at the command line."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ._output import print_shown


def check_noisy(row: Any) -> None:
    """Refuse a row that draws no noise."""
    from .._errors import InputError
    from .._methods.table import table

    if not row.method.noisy:
        others = ", ".join(other.name for other in table() if other.method.noisy)
        raise InputError(f"{row.name} draws no noise, so it samples nothing; choose one of: {others}")


def draw(
    options: Any, row: Any, settings: Mapping[str, float], f: Any, x0: Any, source: Mapping[str, Any], out: Path,
    resume: bool = False,
) -> Any:  # fmt: skip
    """The draws of a row; its step is chosen where it is not given."""
    import thalweg as tw

    from .._errors import InputError

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
    from .._records.kinds import read_config
    from .._records.shown_samples import sampled_problem, show_samples

    config = read_config(directory)
    made = []
    if picture is not None and "posterior" in tree.children:
        made = [f"picture: {_draw_picture(picture, tree, sampled_problem(config))}"]
    print_shown(show_samples(directory, config, tree, made), json)
    return 0 if tree.attrs["status"] == "finished" else 1


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
