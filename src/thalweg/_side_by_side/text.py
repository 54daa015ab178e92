"""The head that tables of methods side by side have in common."""

from collections.abc import Mapping
from typing import Any

from .._showing.text import settings

COLUMNS = ("method", "settings", "gradients")


def head(method: str, hyperparameters: Mapping[str, Any], gradients: int, reached: bool) -> tuple[str, str, str]:
    """A method, its numbers, and what it took to the tolerance, or in all where it did not reach it."""
    return method, settings(hyperparameters), str(gradients) if reached else f"> {gradients}"
