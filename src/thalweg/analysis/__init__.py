"""What follows from a method: stability, rates, orders, energies, escape times."""

from .._curvature import largest_curvature as largest_curvature
from .._probe import amplification as amplification
from .._probe import contraction_per_gradient as contraction_per_gradient
from .._probe import largest_stable_learning_rate as largest_stable_learning_rate
from .._probe import largest_stable_step as largest_stable_step
from .._probe import spectral_radius as spectral_radius
from .energy import EnergyAccount as EnergyAccount
from .energy import energy_account as energy_account
from .escape import escape_time as escape_time
from .escape import kramers_time as kramers_time
from .limit import Limit as Limit
from .lyapunov import LyapunovValues as LyapunovValues
from .lyapunov import lyapunov as lyapunov
from .modified import ModifiedEquation as ModifiedEquation
from .modified import ModifiedError as ModifiedError
from .modified import modified_equation as modified_equation
from .modified import modified_error as modified_error
from .noise import GradientNoise as GradientNoise
from .noise import gradient_noise as gradient_noise
from .order import OrderResult as OrderResult
from .order import convergence_order as convergence_order
from .stationary import stationary_covariance as stationary_covariance
from .transient import transient_covariance as transient_covariance
from .transient import transient_mean as transient_mean
