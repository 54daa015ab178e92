"""Pictures of runs and comparisons with matplotlib: Axes in, Axes out."""

import importlib
from typing import Any

# Each public name and its one home; loaded on first use, so that importing this costs nothing.
_HOMES = {
    "_chains": ("chains",),
    "_loss": ("curves", "loss", "losses"),
    "_paths": ("paths",),
    "_stability": ("stability_map",),
    "_work": ("work_precision",),
    "report": ("write_report",),
}
_HOME = {name: home for home, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'thalweg.plot' has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
