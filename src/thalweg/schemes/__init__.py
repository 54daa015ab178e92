"""Discretisations, one family per file."""

from ._base import AbstractScheme as AbstractScheme
from ._base import Clock as Clock
from ._base import Draws as Draws
from ._base import State as State
from .euler_maruyama import EulerMaruyama as EulerMaruyama
from .exponential import ExponentialEuler as ExponentialEuler
from .implicit import ImplicitEuler as ImplicitEuler
from .implicit import ImplicitMidpoint as ImplicitMidpoint
from .leapfrog import Leapfrog as Leapfrog
from .leimkuhler_matthews import LeimkuhlerMatthews as LeimkuhlerMatthews
from .lookahead import Lookahead as Lookahead
from .metropolis import MetropolisAdjustedLangevin as MetropolisAdjustedLangevin
from .replica_exchange import ReplicaExchange as ReplicaExchange
from .rosenbrock import RosenbrockEuler as RosenbrockEuler
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
