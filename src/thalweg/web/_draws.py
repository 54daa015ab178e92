"""Samples for a browser: traces of chains, histograms, and what the diagnostics say."""

import json
from pathlib import Path
from typing import Any

import numpy as np

from .._errors import InputError
from .._records.parameters import draws
from .._records.samples import read
from .._records.shown_samples import show_samples
from ._series import thinned

_MOST_PARAMETERS, _MOST_CHAINS, _BINS = 200, 16, 60


def summary(path: Path, config: dict[str, Any]) -> dict[str, Any]:
    """A row a parameter with its diagnostics, and what was warned of."""
    tree = read(path)
    shown = show_samples(path, config, tree)
    remarks = [text for text in shown.remarks if not text.startswith("samples:")]
    return {
        "rows": shown.rows[:_MOST_PARAMETERS], "of": len(shown.rows), "remarks": remarks,
        "warnings": json.loads(tree.attrs["warnings"]), "status": tree.attrs["status"],
    }  # fmt: skip


def parameter(path: Path, name: Any, points: int) -> dict[str, Any]:
    """The trace of each chain of a parameter, thinned with its extremes kept, and the histogram of all."""
    kept = draws(read(path, diagnostics=False))
    if not kept:
        raise InputError(f"{path.name} kept no draws, only their moments")
    if name not in kept:
        raise InputError(f"{path.name} has no parameter of that name")
    values = np.asarray(kept[name], float)[:_MOST_CHAINS]
    each = max(points // len(values), 20)
    chains = [{"x": rows, "y": chain[rows]} for chain in values for rows in [thinned(chain, each)]]
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise InputError(f"{name} of {path.name} has no finite draw")
    low, high = np.quantile(finite, [0.0005, 0.9995])
    edges = np.linspace(low, high if high > low else low + 1.0, _BINS + 1)
    density = [np.histogram(chain[np.isfinite(chain)], edges, density=True)[0] for chain in values]
    return {
        "name": name, "chains": chains, "draws": values.shape[1], "edges": edges,
        "density": np.histogram(finite, edges, density=True)[0], "by_chain": density,
        "outside": int(np.sum((finite < edges[0]) | (finite > edges[-1]))),
    }  # fmt: skip
