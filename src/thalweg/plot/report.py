"""One page that shows a comparison and opens without a network."""

import datetime
import html
from pathlib import Path

import numpy as np

from .._errors import InputError
from .._showing.text import number, settings
from .._side_by_side.compare import Comparison, Entry
from .._tree import size
from .._typed import typed
from ._axes import new_axes, styles
from ._loss import curves
from ._page import figure, inline_svg, write
from ._paths import paths
from ._stability import scheme_of, stability_map

_SCHEMES = {"momentum": "Momentum", "nesterov": "Nesterov", "midpoint_momentum": "Midpoint momentum"}


@typed()
def write_report(comparison: Comparison, path: str | Path, title: str = "Comparison") -> Path:
    """Write one self-contained html page: a summary, the table, loss curves, paths and stability maps.

    No script, and nothing that is fetched: figures are inline SVG. Figures that a comparison has no data
    for are replaced by a sentence that says why. The file is written aside and renamed.

    Arguments:
        comparison: what `tw.compare` gave back; with `record=1` the paths are drawn, too.
        path: the file to write; folders on the way are made.
        title: of the page.

    Returns:
        the path.

    Raises:
        InputError: matplotlib is missing, or the path is a directory.
        RecordError: the file could not be written.

    >>> import tempfile
    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = tw.Objective(lambda x: 0.5 * jnp.sum(x**2), minimum=0.0)
    >>> result = tw.compare({"gd": tw.gradient_descent(f, 0.5)}, jnp.array([8.0]), 1e-3, 20, limits=False)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tw.plot.write_report(result, Path(folder) / "report.html").read_text()[:15]
    '<!DOCTYPE html>'
    """

    def body() -> str:
        return "\n".join([
            f"<header><h1>{html.escape(title)}</h1>\n<p>{summary(comparison)}</p></header>",
            _section("The methods", _table(comparison)),
            _section("Loss", _curves(comparison)),
            _section("Paths", _paths(comparison)),
            _section("Stability", _maps(comparison)),
            f"<footer><p>{_environment(comparison)}</p></footer>",
        ])  # fmt: skip

    return write(path, title, body)


def summary(comparison: Comparison) -> str:
    """Results in a paragraph (html)."""
    entries = comparison.entries
    parameters = size(comparison.minimiser)
    several = len(entries) > 1
    how = f"{len(entries)} methods went down the same function" if several else "One method went down a function"
    words = [
        f"{how} of {parameters:,} parameter{'s' if parameters > 1 else ''}{' from the same start' if several else ''}, "
        f"with at most {_gradients(comparison.budget)}{' each' if several else ''}. "
        f"The tolerance asks {_asked(comparison)}."
    ]
    reached = sorted((e for e in entries if e.reached), key=lambda e: (e.gradients, e.seconds))
    if reached:
        first, last = reached[0], reached[-1]
        alike = [e for e in reached if e.gradients == first.gradients]
        who = _listed([f"<strong>{html.escape(e.method)}</strong>" for e in alike])
        sentence = f"{who} met it after {_gradients(first.gradients)}"
        if last.gradients > first.gradients:
            ratio = last.gradients / max(first.gradients, 1)
            sentence = (
                f"{who} met it with the fewest gradients, {first.gradients:,}; the slowest to meet it, "
                f"{html.escape(last.method)}, took {last.gradients:,}, {ratio:.3g} times as many"
            )
        words.append(sentence + ".")
    diverged = [html.escape(e.method) for e in entries if e.regime == "diverging" and not e.reached]
    missed = [html.escape(e.method) for e in entries if not e.reached and e.regime != "diverging"]
    if missed:
        words.append(f"{_listed(missed)} did not meet it within the budget.")
    if diverged:
        words.append(f"{_listed(diverged)} diverged.")
    words += [f"Note: {html.escape(note)}." for note in comparison.notes]
    return " ".join(words)


def _asked(comparison: Comparison) -> str:
    what = "the gap to the minimum" if comparison.criterion == "gap" else "the norm of the gradient"
    return f"{what} to fall to {comparison.tolerance:g} of what it was at the start"


def _gradients(count: int) -> str:
    return f"{count:,} gradient{'s' if count != 1 else ''}"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{title}</h2>\n{content}\n</section>"


def _table(comparison: Comparison) -> str:
    looks = styles(entry.method for entry in comparison.entries)
    heads = (
        ("method", "text"), ("settings", "text"), ("gradients to tolerance", ""), ("steps", ""), ("time, ms", ""),
        ("last loss", ""), ("regime", "text"), ("stable up to, predicted", ""), ("stable up to, by running", ""),
    )  # fmt: skip
    head = "".join(f'<th scope="col"{_class(kind)}>{word}</th>' for word, kind in heads)
    rows = "\n".join(_row(entry, looks[entry.method].color) for entry in comparison.entries)
    curvature = f"{comparison.curvature:.4g}"
    return (
        '<div class="card scroll" tabindex="0" role="region" aria-label="The methods, a table">\n<table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody>\n</table>\n</div>\n"
        '<p class="quiet">Stable up to: the largest learning rate α (or step size h) that is stable at the largest '
        f"curvature at the best point found (ℓ = {curvature}): predicted from the linear probe of one step, and found "
        "by running the method on the objective itself.</p>"
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _row(entry: Entry, color: str) -> str:
    knob = {"learning_rate": "α ", "step_size": "h "}.get(entry.limit_of, "")
    predicted, measured = entry.predicted_limit, entry.measured_limit
    found = "–" if measured is None else knob + number(measured, 5)
    if predicted and measured is not None and np.isfinite(predicted):
        found += f' <span class="quiet">({_percent(measured / predicted - 1.0)})</span>'
    cells = [
        f'<th scope="row" class="text"><span class="swatch" style="background:{color}"></span>'
        f"{html.escape(entry.method)}</th>",
        f'<td class="text settings">{html.escape(settings(entry.hyperparameters))}</td>',
        _cell(entry.gradients, f"{entry.gradients:,}" if entry.reached else f"&gt; {entry.gradients:,}",
              "" if entry.reached else "failed"),
        _cell(entry.steps, f"{entry.steps:,}"),
        _cell(1e3 * entry.seconds, number(1e3 * entry.seconds, 3)),
        _cell(entry.loss, number(entry.loss, 6)),
        f'<td class="text{" diverging" if entry.regime == "diverging" else ""}">{entry.regime}</td>',
        _cell(predicted, knob + number(predicted, 5) if predicted is not None else "–"),
        _cell(measured, found),
    ]  # fmt: skip
    return f"<tr>{''.join(cells)}</tr>"


def _cell(value: float | int | None, text: str, kind: str = "") -> str:
    data = "" if value is None else f' data-value="{value!r}"'
    return f"<td{_class(kind)}{data}>{text}</td>"


def _percent(difference: float) -> str:
    """A relative difference, to 0.001 % where it is small."""
    words = f"{100 * difference:+.3g}" if abs(difference) >= 1e-3 else f"{100 * difference:+.3f}"
    return f"{words} %".replace("-", "−")


def _curves(comparison: Comparison) -> str:
    names = ", ".join(comparison.runs)
    objective = next(iter(comparison.methods.values())).objective
    known = objective is not None and objective.minimum is not None
    gap = "the gap to the minimum" if known else "how far the loss is above the best one found (no minimum is known)"
    dotted = ", the dotted line is the tolerance" if comparison.criterion == "gap" else ""
    panels = []
    for against, reading in (
        ("gradients", "A straight line is convergence at a constant rate; the steeper, the fewer gradients it takes."),
        ("time", "Physical time is the step times the number of steps, each law in its own unit: that of gradient flow "
         "is a learning rate, that of the heavy ball its square root. Methods of one law at small steps lie on one "
         "curve; what sets them apart is the error of the steps."),
    ):  # fmt: skip
        svg = inline_svg(curves(comparison, against), against, f"Loss against {against} of {names}")
        caption = (
            f"<strong>How to read it.</strong> Each line is {gap}, on a logarithmic axis. A dot marks where a method "
            f"met the tolerance{dotted}. {reading}"
        )
        panels.append(f'<div class="panel {against}">{figure(svg, caption, "")}</div>')
    return (
        '<div class="card switch" role="radiogroup" aria-label="What the loss is drawn against">\n'
        '<input type="radio" name="against" id="against-gradients" value="gradients" checked>'
        '<label class="first" for="against-gradients">against gradients</label>'
        '<input type="radio" name="against" id="against-time" value="time">'
        '<label class="last" for="against-time">against physical time</label>\n' + "\n".join(panels) + "\n</div>"
    )


def _paths(comparison: Comparison) -> str:
    d = size(comparison.minimiser)
    if d < 2:
        return _note("There is one parameter only, so there is no plane to draw paths in.")
    try:
        ax = paths(comparison)
    except InputError as error:
        return _note(f"Not drawn: {html.escape(str(error))}.")
    where = (
        "The two parameters themselves."
        if d == 2
        else f"The plane through the best point found along the two directions, of {d:,}, in which the methods move "
        "most; the paths are projected onto it, the contours are those of the loss on it."
    )
    caption = (
        f"<strong>How to read it.</strong> {where} Markers are the steps of each method (where they would pile up, "
        "only some are drawn). The broad pale lines are the continuous laws of motion that the methods cut into steps, "
        "followed for the same physical time: where markers leave the line, the steps are too long to follow it."
    )
    description = f"Paths of {', '.join(comparison.runs)} over the continuous trajectories"
    return figure(inline_svg(ax, "paths", description), caption)


def _maps(comparison: Comparison) -> str:
    top = comparison.curvature
    if not top > 0:
        return _note("No curvature at the best point found is positive, so the linear theory gives no limit to draw.")
    objective = next(iter(comparison.methods.values())).objective
    low = None if objective is None else objective.strong_convexity
    spectrum = [low, top] if low and low < top else [top]
    present = {scheme_of(method) for method in comparison.methods.values()}
    schemes = [s for s in _SCHEMES if s in present] or ["momentum", "nesterov"]
    figures = []
    for scheme in schemes:
        svg = inline_svg(
            stability_map(spectrum, new_axes(None, 5.0, 4.2), scheme=scheme, points=comparison),
            scheme.replace("_", "-"),
            f"Stability map of {_SCHEMES[scheme]}",
        )
        figures.append(figure(f"<h3>{_SCHEMES[scheme]}</h3>\n{svg}", ""))
    has_momentum = bool(present & set(_SCHEMES))
    informed = "" if has_momentum else " No method of this comparison has a momentum; the maps are for information."
    star = (
        f" The star is the best setting for all curvatures from {low:.3g} to {top:.4g}."
        if len(spectrum) > 1
        else " The smallest curvature is not known, so that no best setting is marked."
    )
    both = f" and {low:.3g}, the larger of the two" if len(spectrum) > 1 else ""
    caption = (
        f"<strong>How to read them.</strong> Colour is the spectral radius ρ of one step at curvature {top:.4g}{both}: "
        "near the best point a step multiplies the error by ρ. It is computed from the method's own step. Right of the "
        "line ρ exceeds 1 and the method diverges. Markers are the settings compared, bars the limits found by "
        f"running.{star}{informed}{_off_the_maps(comparison, schemes)}"
    )
    return f'<div class="maps">\n{chr(10).join(figures)}\n</div>\n<p class="quiet">{caption}</p>'


def _off_the_maps(comparison: Comparison, schemes: list[str]) -> str:
    shown = {*schemes, "gradient_descent"}
    off = [html.escape(name) for name, method in comparison.methods.items() if scheme_of(method) not in shown]
    return f" {_listed(off)}: on no map; for a limit see the table." if off else ""


def _note(text: str) -> str:
    return f'<p class="quiet">{text}</p>'


def _environment(comparison: Comparison) -> str:
    import jax

    from .. import __version__

    files = [run.path / "env.json" for run in comparison.runs.values() if run.path is not None]
    stamps = [file.stat().st_mtime for file in files if file.exists()]
    when = datetime.datetime.fromtimestamp(stamps[0]) if stamps else datetime.datetime.now()
    return f"thalweg {__version__}, jax {jax.__version__} on {jax.default_backend()}, run on {when:%Y-%m-%d %H:%M}"
