"""The frame of a page that opens without a network: its head, its style, its figures."""

import html
import io
import re
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .._errors import InputError
from .._records.storage import write_out
from ._axes import require_matplotlib

# What stands for the page's own text colour in a figure, whatever that is: no figure uses it otherwise.
INK = "#010203"

STYLE = """
:root { color-scheme: light dark; --page: #fbfbf9; --card: #ffffff; --ink: #1d2126; --quiet: #5a626c;
  --line: #d9dce0; --accent: #0072b2; --bad: #b3401a; }
@media (prefers-color-scheme: dark) { :root { --page: #14171a; --card: #1c2024; --ink: #e8eaec; --quiet: #a3abb4;
  --line: #343a41; --accent: #56b4e9; --bad: #f08a5d; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 2rem 1.1rem 3rem; }
h1 { font-size: clamp(1.5rem, 5vw, 2.1rem); line-height: 1.2; margin: 0 0 .8rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.4rem 0 .6rem; }
p { margin: .5rem 0; max-width: 46rem; }
.quiet, figcaption, footer { color: var(--quiet); font-size: .92rem; }
.card { background: var(--card); border: 1px solid var(--line); border-radius: .6rem; padding: 1rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--quiet); padding-bottom: .5rem; }
th, td { padding: .4rem .42rem; text-align: right; border-bottom: 1px solid var(--line); white-space: nowrap; }
thead th { font-weight: 600; vertical-align: bottom; color: var(--quiet); white-space: normal; }
tbody tr:last-child > * { border-bottom: 0; }
th.text, td.text { text-align: left; }
tbody th { font-weight: 600; position: sticky; left: 0; background: var(--card); padding-left: 1.7rem;
  min-width: 8rem; max-width: 12rem; white-space: normal; overflow-wrap: break-word; }
tbody th, td { vertical-align: top; }
td.settings { white-space: normal; min-width: 9.5rem; }
.swatch { position: absolute; left: .4rem; top: .7rem; width: .8em; height: .8em; border-radius: 50%; }
h3 { font-size: 1rem; margin: 0 0 .4rem; }
.diverging, .failed { color: var(--bad); }
figure { margin: 0; }
figure svg { display: block; width: 100%; max-width: 44rem; height: auto; margin: 0 auto; color: var(--ink); }
figcaption { margin-top: .7rem; }
.maps { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 25rem), 1fr)); }
.switch > input { position: absolute; opacity: 0; }
.switch > label { display: inline-block; padding: .3rem .9rem; border: 1px solid var(--line); cursor: pointer; }
.switch > label.first { border-radius: .4rem 0 0 .4rem; }
.switch > label.last { border-radius: 0 .4rem .4rem 0; border-left: 0; }
.switch > input:checked + label { background: var(--accent); border-color: var(--accent); color: var(--card); }
.switch > input:focus-visible + label { outline: 3px solid var(--accent); outline-offset: 2px; }
.switch > .panel { display: none; margin-top: .8rem; }
#against-gradients:checked ~ .gradients, #against-time:checked ~ .time,
#against-steps:checked ~ .steps, #against-samples:checked ~ .samples { display: block; }
.slider { display: flex; gap: .8rem; align-items: center; }
.slider[hidden] { display: none; }
.slider > input { flex: 1; accent-color: var(--accent); }
.slider > button { min-width: 4rem; font: inherit; }
.curve { fill: var(--accent); fill-opacity: .45; }
.dots { fill: #d55e00; fill-opacity: .85; stroke: #ffffff; stroke-width: .5; }
.now { stroke: currentColor; stroke-dasharray: 3 2; }
#picture { image-rendering: pixelated; }
@media print { .switch > .panel { display: block; } .switch > label { display: none; } }
@media (max-width: 34rem) { main { padding: 1.2rem .7rem 2rem; } .card { padding: .7rem .5rem; } }
"""


def page(title: str, body: str) -> str:
    """A whole html file."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n{body}\n</main>\n"
        "</body>\n</html>\n"
    )


def write(path: str | Path, title: str, body: Callable[[], str]) -> Path:
    """Write a page whose figures follow its colours, aside and renamed.

    Raises:
        InputError: matplotlib is missing, or the path is a directory.
        RecordError: the file could not be written.
    """
    require_matplotlib()
    import matplotlib

    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a directory; give the report a file name, such as {path / 'report.html'}")
    with matplotlib.rc_context(), warnings.catch_warnings():
        # A name may hold a letter that the font lacks; the figures show a box for it, the table the letter.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(ink_style())  # pyright: ignore[reportCallIssue, reportArgumentType]
        text = page(title, body())
    return write_out(path, text)


def ink_style() -> dict[str, Any]:
    """matplotlib's settings under which a figure follows the page's colours."""
    colors = ("text.color", "axes.edgecolor", "axes.labelcolor", "xtick.color", "ytick.color")
    return dict.fromkeys(colors, INK) | {
        "font.family": ["sans-serif"], "font.sans-serif": ["DejaVu Sans"], "font.size": 10.0,
        "svg.fonttype": "path", "svg.hashsalt": "thalweg", "axes.unicode_minus": True, "text.usetex": False,
    }  # fmt: skip


def inline_svg(ax: Any, prefix: str, description: str) -> str:
    """The figure of these axes as SVG that stands in a page: no header, ids of its own, the page's ink."""
    buffer = io.StringIO()
    drawn = ax.figure.figure
    # Laid out once, not at every drawing.
    drawn.draw_without_rendering()
    drawn.set_layout_engine("none")
    drawn.savefig(buffer, format="svg", transparent=True, dpi=144)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<metadata>.*?</metadata>\n?", "", svg, flags=re.DOTALL)
    svg = re.sub(r' xmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    # Only what is referred to keeps its name, and one no other figure has.
    used = set(re.findall(r'(?:href="#|url\(#)([^")]+)', svg))
    svg = re.sub(r' id="([^"]+)"', lambda m: f' id="{prefix}-{m[1]}"' if m[1] in used else "", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}-\1)", svg)
    svg = svg.replace(INK, "currentColor")
    svg = re.sub(r'<svg ([^>]*?)width="[^"]*"', r"<svg \1", svg, count=1)
    svg = re.sub(r'<svg ([^>]*?)height="[^"]*"', r"<svg \1", svg, count=1)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{html.escape(description)}" ', 1)


def figure(svg: str, caption: str, kind: str = "card") -> str:
    """A figure with how to read it."""
    words = f"\n<figcaption>{caption}</figcaption>" if caption else ""
    return f'<figure class="{kind}">\n{svg}{words}\n</figure>'
