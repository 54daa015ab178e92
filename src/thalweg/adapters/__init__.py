"""Our methods in other people's loops. Each part loads the library it speaks to, when it is first used."""

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from . import blackjax as blackjax
    from . import optax as optax
    from . import scipy as scipy
    from . import torch as torch

__getattr__, __dir__, __all__ = attach(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
