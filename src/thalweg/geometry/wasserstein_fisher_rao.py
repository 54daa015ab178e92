"""Wasserstein's and Fisher and Rao's geometries together: mass moves, and is born and dies."""

import equinox as eqx
from jaxtyping import Array, Float

from .._errors import check_number
from .._measures.base import AbstractMeasure
from .._tree import Vector, combine, scalar
from ._densities import AbstractDensityGeometry, alive
from .fisher_rao import FisherRao
from .wasserstein import Wasserstein


class WassersteinFisherRao(AbstractDensityGeometry):
    r"""The geometry in which mass moves, is born and dies (Hellinger and Kantorovich's).

    $$\partial_t\rho = a\,\nabla\cdot\Bigl(\rho\,\nabla\frac{\delta F}{\delta\rho}\Bigr)
      - b\,\rho\Bigl(\frac{\delta F}{\delta\rho} - \int\frac{\delta F}{\delta\rho}\,d\rho\Bigr)$$

    Arguments:
        transport: a, at least 0, in units of a squared length over the unit of F and time.
        reaction: b, at least 0, in units of one over that of F and time.
        flux: of a grid, as of `Wasserstein`.

    >>> import thalweg as tw
    >>> F = tw.measures.KL(tw.measures.Gaussian(0.0, 1.0))
    >>> method = tw.Method(tw.GradientFlow(F, geometry=tw.geometry.WassersteinFisherRao()), tw.RK4(), 0.1)
    >>> end = tw.run(method, tw.measures.Gaussian(0.0, 4.0), 10).final.position
    >>> round(float(end.covariance[0, 0]), 4)  # (S - 1)/(S + 2) falls as exp(-3t)
    1.0767

    Reference: Liero, Mielke and Savaré (2018).
    """

    transport: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    reaction: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    flux: str = eqx.field(default="second-order", static=True)

    def __check_init__(self) -> None:
        check_number("transport", self.transport, at_least=0.0)
        check_number("reaction", self.reaction, at_least=0.0)
        Wasserstein(self.flux)

    def without(self, q: AbstractMeasure) -> str:
        return FisherRao().without(q).replace("FisherRao", "WassersteinFisherRao") or alive(q, self)

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        moved = Wasserstein(self.flux).velocity(position, covector)
        born = FisherRao().velocity(position, covector)
        return combine((self.transport, moved), (self.reaction, born))
