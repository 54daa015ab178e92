"""The scheme that is right for a law: advised, and taken where none is given."""

import json

from ..dynamics import AbstractDynamics, AbstractNoisy, AbstractThermostat, AbstractWhite
from ..geometry import AbstractGeometry, AbstractMetric


def even_noise(geometry: AbstractGeometry | None) -> bool:
    """Tell whether noise is the same everywhere: in flat space, and in a metric that is constant."""
    return geometry is None or (isinstance(geometry, AbstractMetric) and geometry.linear)


def right_scheme(dynamics: AbstractDynamics) -> tuple[str, tuple[str, ...]]:
    """Name in `tw` and arguments of the scheme that is right for a law: advised, and taken where none is given."""
    if not isinstance(dynamics, AbstractNoisy):
        return "RK4", ()
    if dynamics.order == 1 and not even_noise(dynamics.geometry):
        return "EulerMaruyama", ()
    if dynamics.order == 1:
        return "LeimkuhlerMatthews" if isinstance(dynamics, AbstractWhite) else "StochasticHeun", ()
    return "Splitting", ("BADODAB" if isinstance(dynamics, AbstractThermostat) else "BAOAB",)


def advice(dynamics: AbstractDynamics) -> str:
    """The right scheme of a law as code."""
    name, arguments = right_scheme(dynamics)
    return f"tw.{name}({', '.join(map(json.dumps, arguments))})"
