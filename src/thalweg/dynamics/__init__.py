"""Laws of motion in continuous time, one per file."""

from ._base import AbstractAdditive as AbstractAdditive
from ._base import AbstractDamped as AbstractDamped
from ._base import AbstractDynamics as AbstractDynamics
from ._base import AbstractFirstOrder as AbstractFirstOrder
from ._base import AbstractNoisy as AbstractNoisy
from ._base import AbstractSecondOrder as AbstractSecondOrder
from ._base import AbstractThermostat as AbstractThermostat
from ._base import AbstractWhite as AbstractWhite
from ._base import Evaluation as Evaluation
from ._base import Phase as Phase
from .adaptive_langevin import AdaptiveLangevin as AdaptiveLangevin
from .bregman import BregmanFlow as BregmanFlow
from .coloured_langevin import ColouredLangevin as ColouredLangevin
from .field import Field as Field
from .generalized_langevin import GeneralizedLangevin as GeneralizedLangevin
from .gradient_flow import GradientFlow as GradientFlow
from .heavy_ball import HeavyBall as HeavyBall
from .hessian_damped import HessianDampedFlow as HessianDampedFlow
from .high_resolution import HighResolutionFlow as HighResolutionFlow
from .nesterov_flow import NesterovFlow as NesterovFlow
from .overdamped_langevin import OverdampedLangevin as OverdampedLangevin
from .underdamped_langevin import UnderdampedLangevin as UnderdampedLangevin
