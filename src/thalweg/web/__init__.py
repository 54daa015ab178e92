"""A local page over run directories: a server on this machine, and pages that open without one."""

from typing import TYPE_CHECKING

from .._lazy import attach

if TYPE_CHECKING:
    from ._page import write_page as write_page
    from ._server import serve as serve

__getattr__, __dir__, __all__ = attach(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
