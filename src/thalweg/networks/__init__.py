"""Networks in depth as law and scheme, and diffusion models: noisings, predictions and grids."""

from typing import TYPE_CHECKING

from .._lazy import attach as _attach

if TYPE_CHECKING:
    from .._networks.make import momentum as momentum
    from .._networks.make import neural_ode as neural_ode
    from .._networks.make import residual as residual
    from .._networks.network import Network as Network
    from .._noising.base import AbstractNoising as AbstractNoising
    from .._noising.exact import AbstractData as AbstractData
    from .._noising.exact import DataSet as DataSet
    from .._noising.exact import GaussianMixture as GaussianMixture
    from .._noising.noisings import Noising as Noising
    from .._noising.noisings import RectifiedFlow as RectifiedFlow
    from .._noising.noisings import SubVariancePreserving as SubVariancePreserving
    from .._noising.noisings import Tabulated as Tabulated
    from .._noising.noisings import Trigonometric as Trigonometric
    from .._noising.noisings import VarianceExploding as VarianceExploding
    from .._noising.noisings import VariancePreserving as VariancePreserving
    from .._noising.predictions import AbstractPrediction as AbstractPrediction
    from .._noising.predictions import AngularVelocity as AngularVelocity
    from .._noising.predictions import Denoiser as Denoiser
    from .._noising.predictions import NoisePrediction as NoisePrediction
    from .._noising.predictions import Score as Score
    from .._noising.predictions import Velocity as Velocity
    from ._compare import SamplerComparison as SamplerComparison
    from ._compare import SamplerPoint as SamplerPoint
    from ._compare import compare_samplers as compare_samplers
    from ._grids import time_grid as time_grid
    from ._likelihood import LogLikelihood as LogLikelihood
    from ._likelihood import log_likelihood as log_likelihood
    from ._samplers import sampler as sampler
    from ._training import DenoisingLoss as DenoisingLoss
    from ._training import denoising_loss as denoising_loss

__getattr__, __dir__, __all__ = _attach(__name__)  # pyright: ignore[reportUnsupportedDunderAll]
