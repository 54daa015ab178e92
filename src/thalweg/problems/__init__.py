"""Objectives with known facts: a start, a minimum, the curvature's bounds; for targets of samplers, their moments."""

import importlib
from typing import Any

# Each public name and its one home; loaded on first use, so that listing the names imports no jax.
_HOMES = {
    "_problem": ("Problem",),
    "_moments": ("Moments",),
    "_catalogue": ("names",),
    "_get": ("get",),
    "_quadratic": ("quadratic",),
    "_lopsided": ("lopsided",),
    "_rosenbrock": ("rosenbrock",),
    "_beale": ("beale",),
    "_himmelblau": ("himmelblau",),
    "_double_well": ("double_well",),
    "_saddle": ("saddle",),
    "_canyon": ("canyon",),
    "_logistic": ("logistic_breast_cancer", "logistic_digits"),
    "_network": ("network_digits",),
    "_gaussian": ("gaussian",),
    "_banana": ("banana",),
    "_funnel": ("funnel",),
    "_gaussian_mixture": ("gaussian_mixture",),
    "_eight_schools": ("eight_schools",),
    "_logistic_posterior": ("logistic_posterior",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'thalweg.problems' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
