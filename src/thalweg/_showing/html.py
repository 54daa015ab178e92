"""Results as a notebook shows them: tables and small pictures in HTML, without a script."""

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .text import make_table, number

if TYPE_CHECKING:
    from rich.table import Table

# Of the picture of a curve: its size, and how many of its points are drawn.
_WIDTH, _HEIGHT, _POINTS = 320, 72, 300


def table_html(table: "Table", notes: Sequence[str] = ()) -> str:
    """A table of ours in HTML, numbers to the right, with lines below it."""
    from rich.text import Text

    cells = [[Text.from_markup(str(cell)).plain for cell in column.cells] for column in table.columns]
    sides = ["right" if column.justify == "right" else "left" for column in table.columns]

    def row(texts: Sequence[str], tag: str) -> str:
        styled = (
            f'<{tag} style="text-align:{side}">{html.escape(text)}</{tag}>'
            for text, side in zip(texts, sides, strict=True)
        )
        return f"<tr>{''.join(styled)}</tr>"

    head = row([str(column.header) for column in table.columns], "th")
    body = "".join(row(one, "td") for one in zip(*cells, strict=True))
    title = "" if table.title is None else f"<caption>{html.escape(str(table.title))}</caption>"
    below = "".join(f"<p>{html.escape(note)}</p>" for note in notes)
    return f"<table>{title}<thead>{head}</thead><tbody>{body}</tbody></table>{below}"


def facts_html(title: str, facts: Mapping[str, Any], below: str = "") -> str:
    """Names and values in two columns, under a title."""
    rows = [(name, value) for name, value in facts.items() if value is not None and value != ""]
    return table_html(make_table(("", ""), [(name, number(value, 6)) for name, value in rows], title)) + below


def method_html(method: Any) -> str:
    """A method: its law, its scheme, its numbers."""
    from .modules import shown

    numbers = {name: shown(value) for name, value in method.hyperparameters.items()}
    about = {"law of motion": shown(method.dynamics), "scheme": shown(method.scheme), "order": method.scheme.order}
    return facts_html("Method", about | {"gradients a step": method.gradients_per_step} | numbers)


def curve_html(values: Any, description: str) -> str:
    """A small picture of numbers in their order, on a logarithmic axis where all are positive; nothing of fewer than 2.

    Of each stretch the least and the largest are drawn.
    """
    y = np.asarray(values, float)
    y = y[np.isfinite(y)]
    if len(y) < 2:
        return ""
    logarithmic = bool(y.min() > 0 and y.max() > 10 * y.min())
    y = np.log10(y) if logarithmic else y
    width = -(-len(y) // (_POINTS // 2))
    parts = [y[begin : begin + width] for begin in range(0, len(y), width)] if width > 1 else [y]
    ends = [(b * width + i, p[i]) for b, p in enumerate(parts) for i in sorted({int(p.argmin()), int(p.argmax())})]
    points = ends if width > 1 else list(enumerate(y.tolist()))
    low, high = float(y.min()), float(y.max())
    spread = high - low or 1.0
    path = " ".join(
        f"{2 + (_WIDTH - 4) * x / (len(y) - 1):.1f},{2 + (_HEIGHT - 4) * (high - v) / spread:.1f}" for x, v in points
    )
    words = f"{description}, from {number(float(values[0]))}{' (logarithmic)' if logarithmic else ''}"
    return (
        f'<svg role="img" aria-label="{html.escape(words)}" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}"><title>{html.escape(words)}</title>'
        f'<polyline points="{path}" fill="none" stroke="#0072b2" stroke-width="1.5"/></svg>'
    )
