"""Analysis of methods: stability, rates, orders, energies, escape times."""

from .._lazy import near_misses as _near_misses
from .._methods.probe import amplification as amplification
from .._methods.probe import contraction_per_gradient as contraction_per_gradient
from .._methods.probe import largest_stable_learning_rate as largest_stable_learning_rate
from .._methods.probe import largest_stable_step as largest_stable_step
from .._methods.probe import spectral_radius as spectral_radius
from .._methods.stationary import stationary_covariance as stationary_covariance
from .._objectives.curvature import largest_curvature as largest_curvature
from .._objectives.noise import GradientNoise as GradientNoise
from .._objectives.noise import gradient_noise as gradient_noise
from .._objectives.noise_scale import NoiseScale as NoiseScale
from .._objectives.noise_scale import noise_scale as noise_scale
from ._stages import Stage as Stage
from ._stages import Training as Training
from .batch_rules import BatchRule as BatchRule
from .batch_rules import BatchRules as BatchRules
from .batch_rules import batch_rules as batch_rules
from .depth import DepthTransfer as DepthTransfer
from .depth import depth_transfer as depth_transfer
from .diffusion_limit import DiffusionLimit as DiffusionLimit
from .energy import EnergyAccount as EnergyAccount
from .energy import energy_account as energy_account
from .equivalent import EquivalentSchedules as EquivalentSchedules
from .equivalent import equivalent_batch_schedule as equivalent_batch_schedule
from .equivalent import equivalent_rate_schedule as equivalent_rate_schedule
from .escape import escape_time as escape_time
from .escape import kramers_time as kramers_time
from .lyapunov import LyapunovValues as LyapunovValues
from .lyapunov import lyapunov as lyapunov
from .modified import ModifiedEquation as ModifiedEquation
from .modified import ModifiedError as ModifiedError
from .modified import modified_equation as modified_equation
from .modified import modified_error as modified_error
from .noisy_order import NoiseOrder as NoiseOrder
from .noisy_order import noise_order as noise_order
from .order import OrderResult as OrderResult
from .order import convergence_order as convergence_order
from .sampling_bias import SamplingBias as SamplingBias
from .sampling_bias import sampling_bias as sampling_bias
from .scaling import AdamHyperparameters as _AdamHyperparameters
from .scaling import scale_adam as scale_adam
from .scaling import scale_sgd as scale_sgd
from .smoothness import SmoothnessConstant as SmoothnessConstant
from .smoothness import smoothness_constant as smoothness_constant
from .transient import transient_covariance as transient_covariance
from .transient import transient_mean as transient_mean

# Its place before the dictionary had it.
AdamHyperparameters = _AdamHyperparameters
# Its name before the word was kept for the stability limit.
Limit = DiffusionLimit

__getattr__ = _near_misses(__name__)
