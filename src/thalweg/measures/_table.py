"""The table of flows: which functional runs on which representation in which geometry, and by which scheme."""

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

import jax.numpy as jnp
import numpy as np

from .._errors import InputError
from .._measures.functional import AbstractFunctional
from .._measures.gaussian import Gaussian
from .._measures.grid import Grid
from .._measures.interaction import Interaction
from .._measures.internal import Entropy, Internal
from .._measures.kernels import GaussianKernel, LinearKernel
from .._measures.kl import KL
from .._measures.mmd import MMD
from .._measures.particles import Particles
from .._measures.potential import Potential
from .._measures.quantiles import Quantiles
from .._measures.sinkhorn import Sinkhorn
from .._measures.sliced import SlicedWasserstein
from .._showing.modules import shown
from .._showing.text import make_table, plain
from ..dynamics import GradientFlow
from ..geometry import (
    AbstractDensityGeometry,
    FisherRao,
    KalmanWasserstein,
    Stein,
    Wasserstein,
    WassersteinFisherRao,
)
from ._choice import chosen


def _well(x: Any) -> Any:
    return 0.5 * jnp.sum(x**2)


def _points() -> Any:
    return np.linspace(-1.0, 1.0, 7)


# One example of each, small: of these the table is made.
_FUNCTIONALS: dict[str, Callable[[], AbstractFunctional]] = {
    "Potential": lambda: Potential(_well),
    "Entropy": lambda: Entropy(),
    "Entropy(bandwidth)": lambda: Entropy(0.5),
    "Internal": lambda: Internal(exponent=2.0),
    "Interaction": lambda: Interaction(_well),
    "KL": lambda: KL(_well),
    "KL(bandwidth)": lambda: KL(_well, bandwidth=0.5),
    "Sinkhorn": lambda: Sinkhorn(_points(), 0.5),
    "SlicedWasserstein": lambda: SlicedWasserstein(_points(), directions=3),
    "MMD": lambda: MMD(_points(), GaussianKernel(1.0)),
}
_STARTS: dict[str, Callable[[], Any]] = {
    "Grid": lambda: Grid.of(lambda x: jnp.exp(-0.5 * jnp.sum(x**2)), np.linspace(-4.0, 4.0, 9)),
    "Particles": lambda: Particles(_points()),
    "Particles(log_density)": lambda: Particles(_points(), log_density=np.zeros(7)),
    "Quantiles": lambda: Quantiles(_points()),
    "Gaussian": lambda: Gaussian(0.0, 1.0),
}
_GEOMETRIES: tuple[Callable[[], AbstractDensityGeometry], ...] = (
    Wasserstein,
    FisherRao,
    WassersteinFisherRao,
    lambda: Stein(GaussianKernel(1.0)),
    lambda: Stein(LinearKernel()),
    KalmanWasserstein,
)


@dataclasses.dataclass(frozen=True)
class FlowRow:
    """A functional on a representation in a geometry: the scheme that runs it, or the reason why none does.

    Attributes:
        functional, start, geometry: in words.
        scheme: None where there is none.
        reason: nothing where there is a scheme.
    """

    functional: str
    start: str
    geometry: str
    scheme: str | None
    reason: str


class FlowTable(tuple[FlowRow, ...]):
    """The rows, printed as a table."""

    def __repr__(self) -> str:
        rows = [(row.functional, row.start, row.geometry, row.scheme or "-", row.reason) for row in self]
        return plain(make_table(("functional", "start", "geometry", "scheme", "or the reason why not"), rows))


def table() -> FlowTable:
    """List what runs how: every functional on every representation in every geometry, each tried on a small example.

    Returns:
        a `FlowTable`, a tuple of rows: `.functional`, `.start`, `.geometry`, `.scheme`, `.reason`.

    >>> import thalweg as tw
    >>> rows = {(row.functional, row.start, row.geometry): row for row in tw.measures.table()}
    >>> rows["KL", "Particles", "Wasserstein()"].scheme
    'EulerMaruyama()'
    """
    return FlowTable(rows())


def rows() -> Iterator[FlowRow]:
    """The rows, one after another."""
    for named, make in _FUNCTIONALS.items():
        for begun, start in _STARTS.items():
            for geometry in _GEOMETRIES:
                yield _row(named, make(), begun, start(), geometry())


def _row(named: str, functional: Any, begun: str, start: Any, geometry: Any) -> FlowRow:
    try:
        scheme = shown(chosen(GradientFlow(functional, geometry=geometry), start))
    except InputError as error:
        return FlowRow(named, begun, shown(geometry), None, str(error))
    return FlowRow(named, begun, shown(geometry), scheme, "")
