"""A contract for anybody's optimizer, checked: torch, optax or keras."""

import importlib
from typing import Any

# Loaded on first use, so that importing thalweg.testing costs nothing.
_HOMES = {"check_optimizer": "_check", "Example": "_report", "Finding": "_report", "Report": "_report"}

__all__ = sorted(_HOMES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'thalweg.testing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(__all__)
