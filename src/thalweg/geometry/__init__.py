"""Geometries: the velocity that a slope makes, and the straight lines of a space."""

from .._lazy import near_misses as _near_misses
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
from .gauss_newton import GaussNewton as GaussNewton
from .metric import Metric as Metric
from .mirror import Mirror as Mirror
from .norm import Norm as Norm
from .pullback import AbstractPullback as AbstractPullback
from .sphere import Sphere as Sphere

__getattr__ = _near_misses(__name__)
