"""One page that shows runs that were made, side by side."""

import html
import warnings
from pathlib import Path

from .._errors import InputError
from .._records.storage import RecordError, write_atomically
from .._side_by_side.compare_runs import RunComparison
from .._text import number, settings
from ._axes import require_matplotlib, styles
from ._loss import losses
from ._page import figure, ink_style, inline_svg, page


def write_runs_report(comparison: RunComparison, path: Path, title: str) -> Path:
    """The table and the loss curves as one html page; written aside and renamed."""
    require_matplotlib()
    import matplotlib

    if path.is_dir():
        raise InputError(f"{path} is a directory; give the report a file name, such as {path / 'report.html'}")
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A name may hold a letter that the font lacks; the figure shows a box for it, the table the letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(ink_style())  # pyright: ignore[reportCallIssue, reportArgumentType]
        body = f"<header><h1>{html.escape(title)}</h1></header>\n{_table(comparison)}\n{_curves(comparison)}"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, page(title, body).encode())
    except OSError as error:
        raise RecordError(f"could not write {path}: {error.strerror or error}") from error
    return path


def _table(comparison: RunComparison) -> str:
    looks = styles(entry.name for entry in comparison.entries)
    heads = ("run", "objective", "method", "settings", "gradients to tolerance", "seconds", "last loss", "best loss",
             "regime", "status")  # fmt: skip
    rows = []
    for entry in comparison.entries:
        swatch = f'<span class="swatch" style="background:{looks[entry.name].color}"></span>'
        gradients = f"{entry.gradients:,}" if entry.reached else f"> {entry.gradients:,}"
        texts = [entry.objective, entry.method, settings(entry.hyperparameters), gradients, number(entry.seconds, 3),
                 number(entry.loss, 6), number(entry.best, 6), entry.regime or "-", entry.status]  # fmt: skip
        cells = "".join(f'<td class="text settings">{html.escape(text)}</td>' for text in texts)
        rows.append(f'<tr><th scope="row" class="text">{swatch}{html.escape(entry.name)}</th>{cells}</tr>')
    head = "".join(f'<th scope="col" class="text">{name}</th>' for name in heads)
    asked = f"The tolerance is on the {comparison.criterion}, {comparison.tolerance:g} of what it was at the start."
    return (
        '<section>\n<div class="card scroll" tabindex="0" role="region" aria-label="The runs, a table">\n<table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table>\n</div>\n"
        f'<p class="quiet">{asked} Nothing was run for this page.</p>\n</section>'
    )


def _curves(comparison: RunComparison) -> str:
    runs = {name: run for name, run in comparison.runs.items() if "loss" in run.metrics}
    if not runs:
        return '<p class="quiet">No run kept its loss, so there is nothing to draw.</p>'
    svg = inline_svg(losses(runs), "loss", f"Loss against steps of {', '.join(runs)}")
    caption = "Each line is the loss that a run recorded, step by step."
    return f"<section>\n<h2>Loss</h2>\n{figure(svg, caption)}\n</section>"
