"""Distributions, functionals of them, and their flows."""

from typing import TYPE_CHECKING

from .._lazy import attach as _attach

if TYPE_CHECKING:
    from .._measures.bandwidth import median_bandwidth as median_bandwidth
    from .._measures.base import AbstractMeasure as AbstractMeasure
    from .._measures.base import EnsembleWarning as EnsembleWarning
    from .._measures.distances import Distance as Distance
    from .._measures.distances import wasserstein as wasserstein
    from .._measures.functional import AbstractFunctional as AbstractFunctional
    from .._measures.functional import Sum as Sum
    from .._measures.gaussian import Gaussian as Gaussian
    from .._measures.grid import Grid as Grid
    from .._measures.interaction import Interaction as Interaction
    from .._measures.internal import Entropy as Entropy
    from .._measures.internal import Internal as Internal
    from .._measures.kernels import AbstractKernel as AbstractKernel
    from .._measures.kernels import EnergyKernel as EnergyKernel
    from .._measures.kernels import GaussianKernel as GaussianKernel
    from .._measures.kernels import InverseMultiquadric as InverseMultiquadric
    from .._measures.kernels import LinearKernel as LinearKernel
    from .._measures.kl import KL as KL
    from .._measures.mmd import MMD as MMD
    from .._measures.particles import Particles as Particles
    from .._measures.potential import Potential as Potential
    from .._measures.quantiles import Quantiles as Quantiles
    from .._measures.sinkhorn import Sinkhorn as Sinkhorn
    from .._measures.sliced import SlicedWasserstein as SlicedWasserstein
    from .._measures.stein_discrepancy import kernel_stein_discrepancy as kernel_stein_discrepancy
    from ._cross_check import CrossCheck as CrossCheck
    from ._cross_check import cross_check as cross_check
    from ._flow import flow as flow
    from ._table import FlowRow as FlowRow
    from ._table import FlowTable as FlowTable
    from ._table import table as table

__getattr__, __dir__, __all__ = _attach(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
