"""Discretisations, one family per file."""

from .._lazy import near_misses
from ._base import AbstractScheme as AbstractScheme
from ._base import derivative as derivative
from ._base import evaluated as evaluated
from ._base import phase as phase
from ._base import start_velocity as start_velocity
from ._estimating import AbstractEstimating as AbstractEstimating
from ._estimating import Attempt as Attempt
from ._state import Clock as Clock
from ._state import Draws as Draws
from ._state import Report as Report
from ._state import State as State
from ._state import Termination as Termination
from .adaptive import Adaptive as Adaptive
from .adaptive_chebyshev import AdaptiveChebyshev as AdaptiveChebyshev
from .chebyshev import RungeKuttaChebyshev as RungeKuttaChebyshev
from .euler_maruyama import EulerMaruyama as EulerMaruyama
from .exponential import ExponentialEuler as ExponentialEuler
from .implicit import ImplicitEuler as ImplicitEuler
from .implicit import ImplicitMidpoint as ImplicitMidpoint
from .leapfrog import Leapfrog as Leapfrog
from .legendre import RungeKuttaLegendre as RungeKuttaLegendre
from .leimkuhler_matthews import LeimkuhlerMatthews as LeimkuhlerMatthews
from .levenberg_marquardt import LevenbergMarquardt as LevenbergMarquardt
from .lookahead import Lookahead as Lookahead
from .metropolis import MetropolisAdjustedLangevin as MetropolisAdjustedLangevin
from .pseudo_transient import PseudoTransient as PseudoTransient
from .replica_exchange import ReplicaExchange as ReplicaExchange
from .restarted import Restarted as Restarted
from .rosenbrock import RosenbrockEuler as RosenbrockEuler
from .rosenbrock_tableau import RosenbrockTableau as RosenbrockTableau
from .rosenbrock_wanner import Rodas5P as Rodas5P
from .rosenbrock_wanner import RosenbrockWanner as RosenbrockWanner
from .runge_kutta import RK4 as RK4
from .runge_kutta import BogackiShampine as BogackiShampine
from .runge_kutta import ButcherTableau as ButcherTableau
from .runge_kutta import DormandPrince as DormandPrince
from .runge_kutta import Euler as Euler
from .runge_kutta import Heun as Heun
from .runge_kutta import Midpoint as Midpoint
from .runge_kutta import Ralston as Ralston
from .runge_kutta import RungeKutta as RungeKutta
from .runge_kutta import Tsit5 as Tsit5
from .splitting import Splitting as Splitting
from .stochastic_heun import StochasticHeun as StochasticHeun

__getattr__ = near_misses(__name__)
