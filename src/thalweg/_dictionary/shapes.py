"""Factors that frameworks make of the shape of a weight, by the way it lies."""

import math
from collections.abc import Sequence

LAYOUTS = ("in_out", "out_in")
SCALINGS = ("original", "match_rms_adamw", "none")


def shape_factor(shape: Sequence[int], layout: str, scaling: str) -> float:
    r"""$\kappa$ of a matrix, the last two of its axes.

    Arguments:
        shape: (..., rows, columns).
        layout: "in_out", rows are inputs, or "out_in", rows are outputs.
        scaling: "original", $\sqrt{\max(1, m/n)}$ from n inputs to m outputs; "match_rms_adamw",
            $0.2\sqrt{\max(m, n)}$; or "none", 1.
    """
    rows, columns = shape[-2:]
    outputs, inputs = (rows, columns) if layout == "out_in" else (columns, rows)
    if scaling == "none":
        return 1.0
    if scaling == "match_rms_adamw":
        return 0.2 * math.sqrt(max(outputs, inputs))
    return math.sqrt(max(1.0, outputs / max(inputs, 1)))
