"""One page that shows a flow of a distribution, with a slider over its time, and opens without a network."""

import html
import json
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError, check_count
from .._measures.base import AbstractMeasure
from .._measures.grid import Grid
from .._measures.particles import Particles
from .._records.run import Run
from .._showing.modules import shown
from .._showing.text import number
from .._typed import typed
from ._axes import PALETTE, Axes, finish, new_axes
from ._density import _row, _traced
from ._dissipation import dissipation
from ._frames import Place, corners, curve, dots, picture
from ._page import figure, inline_svg, write

# Ids of what moves; the script knows them.
_SCRIPT = """
(() => {
  const at = (id) => document.getElementById(id);
  const told = JSON.parse(at("frames").textContent), slider = at("slider"), play = at("play");
  let timer = null;
  const show = () => {
    const i = Number(slider.value), frame = told.frames[i];
    for (const [id, name] of [["curve", "d"], ["dots", "d"], ["picture", "href"]]) {
      if (at(id)) at(id).setAttribute(name, frame[id]);
    }
    told.now.forEach((places, k) => ["x1", "x2"].forEach((end) => at("now-" + k).setAttribute(end, places[i])));
    at("words").textContent = frame.words;
    slider.setAttribute("aria-valuetext", frame.words);
  };
  const stop = () => { clearInterval(timer); timer = null; play.textContent = "play"; };
  slider.addEventListener("input", () => { stop(); show(); });
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    if (Number(slider.value) === told.frames.length - 1) slider.value = 0;
    play.textContent = "stop";
    show();
    timer = setInterval(() => {
      slider.value = Number(slider.value) + 1;
      show();
      if (Number(slider.value) === told.frames.length - 1) stop();
    }, 120);
  });
  at("controls").hidden = false;
  show();
})();
"""


@typed()
def write_flow_report(
    run: Run, path: str | Path, title: str = "Flow", particles: Run | None = None, frames: int = 40
) -> Path:
    """Write one self-contained html page: the distribution at every time of a slider, the free energy, its fall.

    On a line the density is a curve, in the plane of the first two coordinates a picture, each with the particles over
    it. Without JavaScript the last distribution is shown. The file is written aside and renamed.

    Arguments:
        run: of `tw.measures.flow`, with its trace.
        path: the file to write; folders on the way are made.
        title: of the page.
        particles: another run, of particles, which are drawn over the density of this one, at the nearest times.
        frames: how many distributions, at most as many as were kept.

    Returns:
        the path.

    Raises:
        InputError: the run keeps no distributions on its way, the other is none of particles or of another dimension,
            the path is a directory, or matplotlib is missing.
        RecordError: the file could not be written.

    >>> import tempfile
    >>> import thalweg as tw
    >>> F = tw.measures.KL(tw.measures.Gaussian(0.0, 1.0))
    >>> run = tw.measures.flow(F, tw.measures.Gaussian(2.0, 0.5), 1.0, steps=4)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tw.plot.write_flow_report(run, Path(folder) / "flow.html").read_text()[:15]
    '<!DOCTYPE html>'
    """
    count = check_count("frames", frames)
    stack, times = _frames_of(run, count)
    over = None if particles is None else _beside(particles, times, stack[0].dimension)

    def body() -> str:
        moving = _moving(run, stack, times, stack if over is None else over)
        return f"<header><h1>{html.escape(title)}</h1>\n<p>{_summary(run)}</p></header>\n{moving}"

    return write(path, title, body)


def _frames_of(run: Run, count: int) -> tuple[list[Any], np.ndarray]:
    if not isinstance(run.final.position, AbstractMeasure):
        raise InputError("a report of a flow is of distributions, but the position of this run is none")
    trace = _traced(run)
    times = np.asarray(run.trace.time)  # pyright: ignore[reportOptionalMemberAccess]
    chosen = np.unique(np.linspace(0, len(times) - 1, count).round().astype(int)) if count > 1 else [len(times) - 1]
    return [_row(trace, int(i)) for i in chosen], times[chosen]


def _beside(run: Run, times: np.ndarray, dimension: int) -> list[Any]:
    """Particles of another run at the times nearest to these."""
    q = run.final.position
    if not isinstance(q, Particles):
        raise InputError(f"particles must be a run of tw.measures.Particles, but is one of {type(q).__name__}")
    if q.dimension != dimension:
        raise InputError(f"particles must have {dimension} coordinates like the run, but have {q.dimension}")
    trace = _traced(run)
    own = np.asarray(run.trace.time)  # pyright: ignore[reportOptionalMemberAccess]
    return [_row(trace, int(np.argmin(np.abs(own - time)))) for time in times]


def _summary(run: Run) -> str:
    q: Any = run.final.position
    geometry = run.method.dynamics.geometry
    where = "" if geometry is None else f" in {type(geometry).__name__}'s geometry"
    held = f"{q.words} ({q.mesh!r})" if isinstance(q, Grid) else q.words
    words = f"A distribution held as {held} moves{where}, by {shown(run.method.scheme)}, {run.steps:,} steps"
    return html.escape(f"{words} to time {run.final.time:.4g}.")


def _moving(run: Run, stack: list[Any], times: np.ndarray, over: list[Any]) -> str:
    svg, shapes = _drawn(stack, over)
    charts, now = [], []
    for k, (name, reading, make) in enumerate(_CHARTS):
        try:
            ax = make(run)
        except InputError as error:
            charts.append(f'<p class="quiet">{name}: not drawn, {html.escape(str(error))}.</p>')
            continue
        chart = inline_svg(ax, f"chart-{k}", f"{name} over time")
        low, high = ax.get_ylim()
        place = Place(ax, np.array([times[0], low]), np.array([times[-1], high]))
        x, y = place.at(times, low)
        now.append([round(float(one), 1) for one in x])
        _, top = place.at(times, high)
        line = (
            f'<line id="now-{len(now) - 1}" class="now" x1="{now[-1][-1]}" x2="{now[-1][-1]}" y1="{top[0]:.1f}" '
            f'y2="{y[0]:.1f}"/>'
        )
        charts.append(figure(_beneath(chart, line), f"<strong>{name}.</strong> {reading}"))
    words = [_words(run, q, float(time)) for q, time in zip(stack, times, strict=True)]
    told = {"frames": [shape | {"words": text} for shape, text in zip(shapes, words, strict=True)], "now": now}
    last = len(stack) - 1
    controls = (
        f'<div id="controls" class="slider" hidden><label for="slider">time</label>'
        f'<input type="range" id="slider" min="0" max="{last}" step="1" value="{last}">'
        '<button type="button" id="play">play</button></div>'
    )
    output = f'<p><output id="words" for="slider">{html.escape(words[-1])}</output></p>'
    card = f'<section class="card">\n{controls}\n{output}\n{figure(svg, _caption(stack[0], over[0]), "")}\n</section>'
    return (
        f'{card}\n<div class="maps">\n{chr(10).join(charts)}\n</div>\n'
        f'<script type="application/json" id="frames">{json.dumps(told)}</script>\n<script>{_SCRIPT}</script>'
    )


def _drawn(stack: list[Any], over: list[Any]) -> tuple[str, list[dict[str, str]]]:
    """The figure with the last distribution in it, and what moves there at every time."""
    line = stack[0].dimension == 1
    low, high = corners(stack if over is stack or isinstance(stack[0], Grid) or line else [*stack, *over])
    ax = new_axes(None, 6.4, 4.4)
    ax.set_xlim(low[0], high[0])
    ax.set_ylim(low[1], high[1])
    finish(ax, "x" if line else "x1", "density" if line else "x2", grid=False)
    if not line:
        ax.set_aspect("equal", adjustable="box")
    svg = inline_svg(ax, "flow", "The distribution, which the slider moves")
    place = Place(ax, low, high)
    shapes = []
    for q, points in zip(stack, over, strict=True):
        density = {"curve": curve(q, place)} if line else {"picture": picture(q, place)}
        shapes.append(density | {"dots": dots(points, place)})
    (left, right), (bottom, top) = place.at(np.array([low[0], high[0]]), np.array([low[1], high[1]]))
    box = f'x="{left:.1f}" y="{top:.1f}" width="{right - left:.1f}" height="{bottom - top:.1f}"'
    last = shapes[-1]
    density = (
        f'<path id="curve" class="curve" d="{last["curve"]}"/>' if line
        else f'<image id="picture" {box} preserveAspectRatio="none" href="{last["picture"]}"/>'
    )  # fmt: skip
    clip = f'<clipPath id="inside"><rect {box}/></clipPath>'
    moving = f'{clip}<g clip-path="url(#inside)">{density}<path id="dots" class="dots" d="{last["dots"]}"/></g>'
    return _beneath(svg, moving), shapes


def _beneath(svg: str, shapes: str) -> str:
    """A figure with shapes under its axes."""
    first = svg.index("<g")
    return f"{svg[:first]}{shapes}\n{svg[first:]}"


def _words(run: Run, q: Any, time: float) -> str:
    """The time, and the free energy and the mean there."""
    words = [f"time {number(time, 4)}"]
    if "loss" in run.metrics:
        at = int(np.argmin(np.abs(np.asarray(run.metrics["time"]) - time)))
        words.append(f"{_of(run)} {number(float(run.metrics['loss'][at]), 5)}")
    mean = ", ".join(number(float(x), 4) for x in np.asarray(q.mean))
    return ", ".join([*words, f"mean ({mean})" if q.dimension > 1 else f"mean {mean}"])


def _caption(q: Any, over: Any) -> str:
    smoothed = isinstance(q, Particles)
    if q.dimension == 1:
        words = "The curve is the density" + (", of particles that of a histogram." if smoothed else ".")
    else:
        words = "The colour is the density, yellow its largest at that time" + (
            ", of particles that of a smoothed histogram." if smoothed else "."
        )
    return words + ("" if isinstance(over, Grid) else " Dots are particles, their areas as their weights.")


def _energy(run: Run) -> Axes:
    if "loss" not in run.metrics:
        raise InputError("its functional has no value on this distribution, or the metric 'loss' was not recorded")
    ax = new_axes(None, 5.0, 3.4)
    ax.plot(np.asarray(run.metrics["time"]), np.asarray(run.metrics["loss"]), color=PALETTE[0])
    finish(ax, "time", _of(run))
    return ax


def _of(run: Run) -> str:
    """A name of the loss: where the entropy is noise, it is of the rest."""
    return "energy without the entropy" if run.method.normals else "free energy"


_CHARTS = (
    (
        "Free energy",
        "It falls along every gradient flow, but for the part that is noise on particles. The upright line is the time "
        "of the slider.",
        _energy,
    ),
    (
        "Dissipation",
        "The line is how fast the free energy falls, the dots how fast it should, the square of its gradient's norm; "
        "where they part, steps are too long.",
        lambda run: dissipation(run, new_axes(None, 5.0, 3.4)),
    ),
)
