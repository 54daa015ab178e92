"""Contracts, checked: for an optimizer of torch, optax or keras, for a law and a scheme, and for a geometry."""

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from ._check import check_optimizer as check_optimizer
    from ._check_geometry import check_geometry as check_geometry
    from ._check_method import check_method as check_method
    from ._report import Example as Example
    from ._report import Finding as Finding
    from ._report import Report as Report

__getattr__, __dir__, __all__ = attach(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
