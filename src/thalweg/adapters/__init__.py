"""Our methods in other people's loops. Each part loads the library it speaks to, when it is first used."""

import importlib
from typing import Any

_PARTS = ("blackjax", "optax", "scipy", "torch")


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return importlib.import_module(f".{name}", __name__)
    raise AttributeError(f"module 'thalweg.adapters' has no attribute {name!r}")


def __dir__() -> list[str]:
    return list(_PARTS)
