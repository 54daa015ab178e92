"""Geometries: the velocity that a slope makes, and the straight lines of a space."""

from .._lazy import near_misses as _near_misses
from ._densities import AbstractDensityGeometry as AbstractDensityGeometry
from .base import AbstractDirection as AbstractDirection
from .base import AbstractDistance as AbstractDistance
from .base import AbstractDualFlat as AbstractDualFlat
from .base import AbstractEmbedded as AbstractEmbedded
from .base import AbstractGeometry as AbstractGeometry
from .base import AbstractManifold as AbstractManifold
from .base import AbstractMetric as AbstractMetric
from .base import AbstractNoise as AbstractNoise
from .empirical_fisher import EmpiricalFisher as EmpiricalFisher
from .euclidean import Euclidean as Euclidean
from .fisher import Fisher as Fisher
from .fisher_information import FisherInformation as FisherInformation
from .fisher_rao import FisherRao as FisherRao
from .gauss_newton import GaussNewton as GaussNewton
from .hyperboloid import Hyperboloid as Hyperboloid
from .kalman_wasserstein import KalmanWasserstein as KalmanWasserstein
from .metric import Metric as Metric
from .mirror import Mirror as Mirror
from .norm import Norm as Norm
from .poincare_ball import PoincareBall as PoincareBall
from .product import Product as Product
from .pullback import AbstractPullback as AbstractPullback
from .spd import SPD as SPD
from .sphere import Sphere as Sphere
from .stein import Stein as Stein
from .stiefel import Stiefel as Stiefel
from .wasserstein import Wasserstein as Wasserstein
from .wasserstein_fisher_rao import WassersteinFisherRao as WassersteinFisherRao

__getattr__ = _near_misses(__name__)
