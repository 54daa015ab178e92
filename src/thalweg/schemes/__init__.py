"""Discretisations, one family per file."""

from ._base import AbstractScheme as AbstractScheme
from ._base import Clock as Clock
from ._base import Draws as Draws
from ._base import Outcome as Outcome
from ._base import State as State
from .chebyshev import RungeKuttaChebyshev as RungeKuttaChebyshev
from .chebyshev import RungeKuttaLegendre as RungeKuttaLegendre
from .euler_maruyama import EulerMaruyama as EulerMaruyama
from .leapfrog import Leapfrog as Leapfrog
from .leimkuhler_matthews import LeimkuhlerMatthews as LeimkuhlerMatthews
from .lookahead import Lookahead as Lookahead
from .metropolis import MetropolisAdjustedLangevin as MetropolisAdjustedLangevin
from .pseudo_transient import PseudoTransient as PseudoTransient
from .replica_exchange import ReplicaExchange as ReplicaExchange
from .runge_kutta import RK4 as RK4
from .runge_kutta import ButcherTableau as ButcherTableau
from .runge_kutta import Euler as Euler
from .runge_kutta import Heun as Heun
from .runge_kutta import Midpoint as Midpoint
from .runge_kutta import Ralston as Ralston
from .runge_kutta import RungeKutta as RungeKutta
from .runge_kutta import Tsit5 as Tsit5
from .splitting import Splitting as Splitting
from .stochastic_heun import StochasticHeun as StochasticHeun
