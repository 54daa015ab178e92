"""One page that shows runs that were made, side by side."""

import html
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from .._records.run import Run
from .._showing.text import number, settings
from .._side_by_side.compare_runs import RunComparison
from ._axes import styles
from ._course import COURSES, course, samples
from ._loss import losses
from ._page import figure, inline_svg, write


def write_runs_report(comparison: RunComparison, path: Path, title: str) -> Path:
    """The table and the loss curves as one html page; written aside and renamed."""

    def body() -> str:
        head = f"<header><h1>{html.escape(title)}</h1></header>"
        return f"{head}\n{_table(comparison)}\n{_curves(comparison)}{_courses(comparison)}"

    return write(path, title, body)


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


def _courses(comparison: RunComparison) -> str:
    """Gradient norm, learning rate, curvature and margin of the runs that have them, against steps and samples."""
    runs = comparison.runs
    if not any(name in run.metrics for name in COURSES for run in runs.values()):
        return ""
    panels = {"steps": _panel(runs, "steps")}
    counted = {name: run for name, run in runs.items() if samples(run) is not None}
    if counted and any(name in run.metrics for name in COURSES for run in counted.values()):
        panels["samples"] = _panel(counted, "samples")
    caption = (
        '<p class="quiet"><strong>How to read them.</strong> The stability margin is the largest stable learning rate, '
        "at the curvature measured then, over the one in use: below 1 the loss grows along the most curved direction. "
        f"Markers are measurements.{_least(runs)}</p>"
    )
    head = "\n<section>\n<h2>The course of the training</h2>\n"
    if len(panels) == 1:
        return f'{head}<div class="card">{panels["steps"]}</div>\n{caption}\n</section>'
    switch = "".join(
        f'<input type="radio" name="against" id="against-{name}" value="{name}"{" checked" if i == 0 else ""}>'
        f'<label class="{"last" if i else "first"}" for="against-{name}">against {name}</label>'
        for i, name in enumerate(panels)
    )
    shown = "\n".join(f'<div class="panel {name}">{panel}</div>' for name, panel in panels.items())
    return (
        f'{head}<div class="card switch" role="radiogroup" aria-label="What they are drawn against">\n{switch}\n{shown}'
        f"\n</div>\n{caption}\n</section>"
    )


def _panel(runs: Mapping[str, Run], against: str) -> str:
    figures = []
    for name, label in COURSES.items():
        if any(name in run.metrics for run in runs.values()):
            words = f"The {label} against {against} of {', '.join(runs)}"
            svg = inline_svg(course(runs, name, against), f"{name}-{against}".replace("_", "-"), words)
            figures.append(f"<figure><h3>{label.capitalize()}</h3>\n{svg}</figure>")
    return f'<div class="maps">\n{chr(10).join(figures)}\n</div>'


def _least(runs: Mapping[str, Run]) -> str:
    """The least margin of each run that has any, in words."""
    found = []
    for name, run in runs.items():
        margins = run.metrics.get("stability_margin")
        if margins is not None and np.isfinite(margins).any():
            row = int(np.nanargmin(margins))
            found.append(f"{html.escape(name)} {margins[row]:.3g} at step {int(run.metrics['step'][row])}")
    return f" The least margin was: {'; '.join(found)}." if found else ""
