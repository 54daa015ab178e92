"""Laws of motion in continuous time, one per file."""

from .._lazy import near_misses as _near_misses
from .._objectives.objective import AbstractObjective as AbstractObjective
from .._objectives.objective import Batch as Batch
from .._objectives.objective import as_objective as as_objective
from .._tree import Vector as Vector
from .._tree import combine as combine
from .._tree import inner as inner
from .._tree import scalar as scalar
from .._tree import zeros_like as zeros_like
from ._base import AbstractAdditive as AbstractAdditive
from ._base import AbstractDamped as AbstractDamped
from ._base import AbstractDynamics as AbstractDynamics
from ._base import AbstractFirstOrder as AbstractFirstOrder
from ._base import AbstractNoisy as AbstractNoisy
from ._base import AbstractSecondOrder as AbstractSecondOrder
from ._base import AbstractThermostat as AbstractThermostat
from ._base import AbstractWhite as AbstractWhite
from ._base import Coefficient as Coefficient
from ._base import Evaluation as Evaluation
from ._base import Phase as Phase
from ._base import Terms as Terms
from ._base import Time as Time
from ._base import at_time as at_time
from ._base import check_coefficient as check_coefficient
from ._base import coefficient as coefficient
from ._remembering import AbstractRemembering as AbstractRemembering
from .adam_flow import AdamFlow as AdamFlow
from .adaptive_langevin import AdaptiveLangevin as AdaptiveLangevin
from .bregman import BregmanFlow as BregmanFlow
from .coloured_langevin import ColouredLangevin as ColouredLangevin
from .field import Field as Field
from .generalized_langevin import GeneralizedLangevin as GeneralizedLangevin
from .gradient_flow import GradientFlow as GradientFlow
from .heavy_ball import HeavyBall as HeavyBall
from .hessian_damped import HessianDampedFlow as HessianDampedFlow
from .high_resolution import HighResolutionFlow as HighResolutionFlow
from .klein_kramers import KleinKramers as KleinKramers
from .muon_flow import MuonFlow as MuonFlow
from .nesterov_flow import NesterovFlow as NesterovFlow
from .nonreversible_flow import NonreversibleFlow as NonreversibleFlow
from .overdamped_langevin import OverdampedLangevin as OverdampedLangevin
from .probability_flow import ProbabilityFlow as ProbabilityFlow
from .reverse_diffusion import ReverseDiffusion as ReverseDiffusion
from .underdamped_langevin import UnderdampedLangevin as UnderdampedLangevin

__getattr__ = _near_misses(__name__)
