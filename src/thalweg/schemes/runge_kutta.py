"""Explicit Runge-Kutta methods: a tableau, and the one step that reads it."""

import dataclasses
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from .._errors import InputError
from .._tree import combine
from ..dynamics import AbstractDynamics
from ._base import AbstractScheme, Draws, State, derivative, flow_hyperparameters, phase


@dataclasses.dataclass(frozen=True)
class ButcherTableau:
    r"""Coefficients of an explicit Runge-Kutta method.

    $$k_i = F\Bigl(t + c_i h,\; y + h\sum_{j<i} a_{ij} k_j\Bigr),\qquad y^+ = y + h\sum_i b_i k_i$$

    Arguments:
        name: how the method is called.
        a: the strictly lower triangle by rows: `a[i]` has i entries.
        b: the weights, one for each stage.
        order: the order of convergence.
        reference: where the coefficients are from.

    Raises:
        InputError: the shapes do not fit together, or the weights do not sum to 1.
    """

    name: str
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    order: int
    reference: str = ""

    def __post_init__(self) -> None:
        if len(self.a) != len(self.b) or any(len(row) != i for i, row in enumerate(self.a)):
            raise InputError(
                f"tableau {self.name!r}: a must have one row a stage and row i must have i entries, "
                f"but b has {len(self.b)} and the rows of a have {[len(row) for row in self.a]}"
            )
        if not np.isclose(sum(self.b), 1.0, rtol=0, atol=1e-12):
            raise InputError(f"tableau {self.name!r}: the weights b must sum to 1, but sum to {sum(self.b):g}")

    @property
    def c(self) -> tuple[float, ...]:
        """The times of the stages: row sums of a."""
        return tuple(float(sum(row)) for row in self.a)


class RungeKutta(AbstractScheme):
    """An explicit Runge-Kutta method of fixed step, unrolled.

    On a second-order law it advances the position and the velocity as one first-order system.

    Arguments:
        tableau: a `ButcherTableau`.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> method = tw.Method(tw.GradientFlow(lambda x: 0.5 * jnp.sum(x**2)), tw.RK4(), 1.0)
    >>> method.step(method.init(jnp.array([24.0]))).position.tolist()
    [9.0]

    Reference: Hairer, Nørsett and Wanner (1993), definition II.1.1.
    """

    tableau: ButcherTableau = eqx.field(static=True)

    def __check_init__(self) -> None:
        if not isinstance(self.tableau, ButcherTableau):
            raise InputError(f"tableau must be a tw.ButcherTableau, but is {self.tableau!r}")

    @property
    def order(self) -> int:
        return self.tableau.order

    @property
    def name(self) -> str:
        """The tableau's name."""
        return self.tableau.name

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        h = jnp.asarray(step_size)
        y = phase(state)
        stages: list[Any] = []
        for row, c in zip(self.tableau.a, self.tableau.c, strict=True):
            known = [(h * a, k) for a, k in zip(row, stages, strict=True) if a != 0.0]
            time = None if state.time is None else state.time + c * h
            stages.append(derivative(dynamics, time, combine((1, y), *known) if known else y, draws.batch))
        moves = [(h * b, k) for b, k in zip(self.tableau.b, stages, strict=True) if b != 0.0]
        end = combine((1, y), *moves)
        clock = None if state.clock is None else state.clock.tick(h)
        return State(end[0], None if state.velocity is None else end[1], clock=clock)

    def hyperparameters(self, dynamics: AbstractDynamics, step_size: ArrayLike) -> dict[str, ArrayLike]:
        return flow_hyperparameters(dynamics, step_size) or super().hyperparameters(dynamics, step_size)


EULER = ButcherTableau("Euler", ((),), (1.0,), 1, "euler1768")
MIDPOINT = ButcherTableau("Midpoint", ((), (0.5,)), (0.0, 1.0), 2, "runge1895")
HEUN = ButcherTableau("Heun", ((), (1.0,)), (0.5, 0.5), 2, "heun1900")
RALSTON = ButcherTableau("Ralston", ((), (2 / 3,)), (0.25, 0.75), 2, "ralston1962")
RK4_TABLEAU = ButcherTableau(
    "RK4", ((), (0.5,), (0.0, 0.5), (0.0, 0.0, 1.0)), (1 / 6, 1 / 3, 1 / 3, 1 / 6), 4, "kutta1901"
)
TSIT5_TABLEAU = ButcherTableau(
    "Tsit5",
    (
        (),
        (161 / 1000,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.07158497328140101, -0.028269050394068383),
    ),
    (
        0.09646076681806523,
        0.01,
        0.4798896504144996,
        1.379008574103742,
        -3.290069515436081,
        2.324710524099774,
    ),
    5,
    "tsitouras2011",
)


def Euler() -> RungeKutta:
    """Euler's method, order 1: one gradient a step; on gradient flow it is gradient descent."""
    return RungeKutta(EULER)


def Midpoint() -> RungeKutta:
    """The explicit midpoint rule, order 2 with two gradients a step (Runge 1895)."""
    return RungeKutta(MIDPOINT)


def Heun() -> RungeKutta:
    """Heun's method, the explicit trapezoidal rule, order 2 with two gradients a step."""
    return RungeKutta(HEUN)


def Ralston() -> RungeKutta:
    """Ralston's method, order 2 with the least error bound (Ralston 1962, section 3)."""
    return RungeKutta(RALSTON)


def RK4() -> RungeKutta:
    """The classical Runge-Kutta method, order 4 with four gradients a step (Kutta 1901)."""
    return RungeKutta(RK4_TABLEAU)


def Tsit5() -> RungeKutta:
    """Tsitouras' method at fixed step, order 5 with six gradients a step (Tsitouras 2011, table 1)."""
    return RungeKutta(TSIT5_TABLEAU)
