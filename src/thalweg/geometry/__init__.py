"""Geometries: the velocity that a slope makes, and the straight lines of a space."""

from .._lazy import near_misses as _near_misses
from .base import AbstractDistance as AbstractDistance
from .base import AbstractEmbedded as AbstractEmbedded
from .base import AbstractGeometry as AbstractGeometry
from .base import AbstractManifold as AbstractManifold
from .base import AbstractMetric as AbstractMetric
from .base import AbstractNoise as AbstractNoise
from .euclidean import Euclidean as Euclidean
from .hyperboloid import Hyperboloid as Hyperboloid
from .poincare_ball import PoincareBall as PoincareBall
from .product import Product as Product
from .spd import SPD as SPD
from .sphere import Sphere as Sphere
from .stiefel import Stiefel as Stiefel

__getattr__ = _near_misses(__name__)
