"""One page that shows a comparison of samplers and opens without a network."""

import html
from pathlib import Path
from typing import Any

import numpy as np

from .._showing.text import number
from .._typed import typed
from ..networks import SamplerComparison, SamplerPoint
from ._axes import finish, ink, plain, styles
from ._diffusion import diffusion, directions
from ._page import figure, inline_svg, write
from ._samplers import samplers

# Panels in a row, points that are drawn of many, and bins of a histogram.
_ROW, _DRAWN, _BINS = 4, 400, 50
_HEADS = (
    ("sampler", "text"), ("evaluations", ""), ("steps", ""), ("distance from the flow", ""), ("order seen", ""),
    ("energy distance from the data", ""), ("bias on a Gaussian", ""),
)  # fmt: skip


@typed()
def write_sampler_report(result: SamplerComparison, path: str | Path, title: str = "Samplers") -> Path:
    """Write one self-contained html page: the table, errors against evaluations, samples on their way, what is made.

    No script, and nothing that is fetched. The file is written aside and renamed.

    Arguments:
        result: of `tw.networks.compare_samplers`.
        path: the file to write; folders on the way are made.
        title: of the page.

    Returns:
        the path.

    Raises:
        InputError: matplotlib is missing, or the path is a directory.
        RecordError: the file could not be written.

    >>> import tempfile
    >>> import thalweg as tw
    >>> problem = tw.problems.diffusion("mixture-diffusion")
    >>> result = tw.networks.compare_samplers(problem, "ddim", [4, 8], draws=50)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     tw.plot.write_sampler_report(result, Path(folder) / "samplers.html").read_text()[:15]
    '<!DOCTYPE html>'
    """

    def body() -> str:
        return "\n".join([
            f"<header><h1>{html.escape(title)}</h1>\n<p>{_summary(result)}</p></header>",
            f"<section>\n<h2>The samplers</h2>\n{_table(result)}\n</section>",
            f"<section>\n<h2>What an evaluation buys</h2>\n{_errors(result)}\n</section>",
            f"<section>\n<h2>From noise to data</h2>\n{_ways(result)}\n</section>",
            f"<section>\n<h2>What they make</h2>\n{_made(result)}\n</section>",
        ])  # fmt: skip

    import jax

    # The samplers are of the precision in which they were compared.
    with jax.enable_x64(True):
        return write(path, title, body)


def _summary(result: SamplerComparison) -> str:
    n, d = result.flow.shape
    budgets = sorted({point.evaluations for point in result.points})
    noising = type(result.noising).__name__
    words = [
        f"{len(result.samplers)} sampler{'s' if len(result.samplers) > 1 else ''} of a diffusion model made {n:,} "
        f"samples of {d} number{'s' if d > 1 else ''} from the same noise ({noising}), with "
        f"{', '.join(map(str, budgets))} evaluations of the network for each."
    ]
    last = [result.of(name)[-1] for name in result.samplers]
    told = [point for point in last if point.from_flow is not None and np.isfinite(point.from_flow)]
    if told:
        best = min(told, key=_from_flow)
        words.append(
            f"With {best.evaluations} of them <strong>{html.escape(best.sampler)}</strong> ends nearest to the flow, "
            f"{best.from_flow:.2g} away."
        )
    words.append(html.escape(result.words))
    return " ".join(words)


def _from_flow(point: SamplerPoint) -> float:
    return np.inf if point.from_flow is None else point.from_flow


def _table(result: SamplerComparison) -> str:
    looks = styles(result.samplers)
    head = "".join(f'<th scope="col"{_class(kind)}>{word}</th>' for word, kind in _HEADS)
    rows = []
    for p in result.points:
        swatch = f'<span class="swatch" style="background:{looks[p.sampler].color}"></span>'
        cells = [f'<th scope="row" class="text">{swatch}{html.escape(p.sampler)}</th>', f"<td>{p.evaluations}</td>"]
        cells += [f"<td>{p.steps}</td>"]
        cells += [
            f'<td data-value="{value!r}">{number(float(value), 3)}</td>' if value is not None else "<td>–</td>"
            for value in (p.from_flow, p.order, p.from_data, p.bias)
        ]
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return (
        '<div class="card scroll" tabindex="0" role="region" aria-label="The samplers, a table">\n<table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{chr(10).join(rows)}\n</tbody>\n</table>\n</div>\n"
        '<p class="quiet">Distance from the flow: root mean square, of a number of a sample, from where the flow '
        "itself leads from the same noise. Bias on a Gaussian: the exact Wasserstein distance of what the sampler "
        "makes of Gaussian data of the same mean and covariance from these, computed from its own step without a "
        "draw.</p>"
    )


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""


def _errors(result: SamplerComparison) -> str:
    axes = samplers(result)
    caption = (
        "<strong>How to read it.</strong> A straight line of slope -1 is a method of order 1, of slope -2 one of order "
        "2. A sampler with noise has no flow to be near to. About the broken line, the distance of data "
        "drawn twice, and below it the distance from the data says no more."
    )
    return figure(inline_svg(axes[0], "errors", f"Errors of {', '.join(result.samplers)} against evaluations"), caption)


def _ways(result: SamplerComparison) -> str:
    found, noisy = [], [name for name, method in result.methods.items() if method.stochastic]
    plainly = [name for name in result.samplers if name not in noisy]
    for name in (*plainly[:1], *noisy[:1]):
        svg = inline_svg(
            diffusion(result.methods[name], result.exact), f"way-{len(found)}", f"Samples of {name} on their way"
        )
        found.append(figure(f"<h3>{html.escape(name)}</h3>\n{svg}", ""))
    on_line = result.flow.shape[1] == 1
    words = (
        "Colour is the density of the noised data at each step, lines are samples."
        if on_line
        else "Rings are noise, dots what is made of it, grey points are data."
    )
    caption = (
        f"<strong>How to read them.</strong> {words} A coordinate is over the standard deviation of the noised data at "
        "the step. Without noise of its own a path is smooth and no two meet; with it paths differ, the densities do "
        "not."
    )
    return f'<div class="maps">\n{chr(10).join(found)}\n</div>\n<p class="quiet">{caption}</p>'


def _made(result: SamplerComparison) -> str:
    from matplotlib.figure import Figure

    names = list(result.samplers)
    columns = min(_ROW, len(names))
    rows = -(-len(names) // columns)
    axes = np.atleast_1d(
        Figure(figsize=(2.75 * columns + 0.4, 2.7 * rows), layout="constrained").subplots(
            rows, columns, sharex=True, sharey=True, squeeze=False
        )
    ).ravel()
    looks = styles(names)
    draw = _line if result.flow.shape[1] == 1 else _plane
    for ax, name in zip(axes, names, strict=False):
        draw(result, result.ends[name], ax, looks[name].color)
        ax.set_title(f"{plain(name)}, {result.of(name)[-1].evaluations}", fontsize="medium")
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    caption = (
        "<strong>How to read it.</strong> What each sampler makes with its largest budget (the number beside its "
        + ("name), over the density of the data." if result.flow.shape[1] == 1 else "name), over data in grey.")
    )
    return figure(inline_svg(axes[0], "made", f"What {', '.join(names)} make"), caption)


def _line(result: SamplerComparison, ends: np.ndarray, ax: Any, color: str) -> None:
    import jax.numpy as jnp

    data = result.data[:, 0]
    spare = 0.15 * (data.max() - data.min())
    edges = np.linspace(data.min() - spare, data.max() + spare, _BINS + 1)
    ax.hist(np.clip(ends[:, 0], edges[0], edges[-1]), edges, density=True, color=color, alpha=0.5)
    x = np.linspace(edges[0], edges[-1], 400)
    last: Any = next(iter(result.methods.values())).grid
    logs = result.exact.log_density(result.noising, last.times[-1], jnp.asarray(x)[:, None])
    ax.plot(x, np.exp(np.asarray(logs)), color=ink(), linewidth=1.0)
    finish(ax, "x", "")


def _plane(result: SamplerComparison, ends: np.ndarray, ax: Any, color: str) -> None:
    axes = np.eye(2) if result.flow.shape[1] == 2 else directions(np.cov(result.data.T))[0]
    ax.plot(*(result.data[:_DRAWN] @ axes).T, ".", color=ink(), markersize=2, alpha=0.35)
    ax.plot(*(ends[:_DRAWN] @ axes).T, ".", color=color, markersize=3, alpha=0.6)
    finish(ax, "", "", grid=False)
