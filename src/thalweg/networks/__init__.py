"""Networks in depth: residual networks, momentum networks and neural ODEs as law and scheme."""

from typing import TYPE_CHECKING

from .._lazy import attach as _attach

if TYPE_CHECKING:
    from .._networks.make import momentum as momentum
    from .._networks.make import neural_ode as neural_ode
    from .._networks.make import residual as residual
    from .._networks.network import Network as Network

__getattr__, __dir__, __all__ = _attach(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
