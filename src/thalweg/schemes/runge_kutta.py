"""Explicit Runge-Kutta methods: a tableau, and the one step that reads it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from .._errors import InputError, check_count
from .._objectives.objective import Batch
from .._tree import combine
from .._typed import check_fields
from ..dynamics import AbstractDynamics, Evaluation, Phase
from ..geometry import AbstractDualFlat, AbstractEmbedded, AbstractGeometry, AbstractManifold
from ..geometry.base import named
from ._base import derivative, evaluated, phase
from ._curved import added, carried, manifold
from ._estimating import AbstractEstimating, Attempt
from ._state import Clock, Draws, State


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
        embedded: the weights of a second solution of one order less, by whose distance `tw.Adaptive` sees the error:
            one for each stage, and one more where the slope at the end of the step, with which the next one begins,
            takes part.

    Raises:
        InputError: the shapes do not fit together, or the weights do not sum to 1.
    """

    name: str
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    order: int
    reference: str = ""
    embedded: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        check_fields(self)
        check_count("order", self.order)
        if len(self.a) != len(self.b) or any(len(row) != i for i, row in enumerate(self.a)):
            raise InputError(
                f"tableau {self.name!r}: a must have one row a stage and row i must have i entries, "
                f"but b has {len(self.b)} and the rows of a have {[len(row) for row in self.a]}"
            )
        numbers = [*self.b, *(() if self.embedded is None else self.embedded), *(one for row in self.a for one in row)]
        if not np.all(np.isfinite(numbers)):
            raise InputError(f"tableau {self.name!r}: a, b and embedded must be finite")
        if not np.isclose(sum(self.b), 1.0, rtol=0, atol=1e-12):
            raise InputError(f"tableau {self.name!r}: the weights b must sum to 1, but sum to {sum(self.b):g}")
        if self.embedded is None:
            return
        if len(self.embedded) - len(self.b) not in (0, 1):
            raise InputError(
                f"tableau {self.name!r}: embedded must have {len(self.b)} weights, as b has, or one more for the "
                f"slope at the end of the step, but has {len(self.embedded)}"
            )
        if not np.isclose(sum(self.embedded), 1.0, rtol=0, atol=1e-12):
            total = sum(self.embedded)
            raise InputError(f"tableau {self.name!r}: the embedded weights must sum to 1, but sum to {total:g}")

    @property
    def first_same_as_last(self) -> bool:
        """Tell whether the error takes the slope at the end of the step, which is the first of the next one."""
        return self.embedded is not None and len(self.embedded) > len(self.b)

    @property
    def c(self) -> tuple[float, ...]:
        """The times of the stages: row sums of a."""
        return tuple(float(sum(row)) for row in self.a)


class RungeKutta(AbstractEstimating):
    """An explicit Runge-Kutta method of fixed step, unrolled.

    On a second-order law it advances the position and the velocity as one first-order system. On a manifold one of a
    single stage moves along the geodesic; several are taken in the surrounding space, where the law at a point is that
    at its projection, and the end is projected, which keeps the order. In the geometry of a mirror map all stages are
    added up in its dual coordinates.

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

    def moves_auxiliary(self, dynamics: AbstractDynamics) -> bool:
        del dynamics
        return True

    @property
    def name(self) -> str:
        """The tableau's name."""
        return self.tableau.name

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        if not isinstance(geometry, AbstractManifold) or isinstance(geometry, AbstractEmbedded) or self._moves:
            return None
        return (
            f"has stages, which need a surrounding space (tw.geometry.AbstractEmbedded), but {named(geometry)} has none"
        )

    @property
    def _moves(self) -> bool:
        """Tell whether there is one stage, along which a manifold itself can be followed."""
        return len(self.tableau.b) == 1

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        h, space = jnp.asarray(step_size), manifold(dynamics)
        if space is not None and self._moves:
            end = _moved(space, dynamics, state, h, draws.batch)
        else:
            end, _ = advanced(self.tableau, dynamics, state.clock, phase(state), h, draws.batch, state.evaluation)
        clock = None if state.clock is None else state.clock.tick(h)
        return State(end.position, end.velocity, clock=clock, auxiliary=end.auxiliary)

    @property
    def hands_over(self) -> bool:
        return self.tableau.first_same_as_last

    def check_estimate(self) -> None:
        if self.tableau.embedded is None:
            raise InputError(
                f"tableau {self.name!r} has no embedded weights to see its error by; use tw.Tsit5(), "
                "tw.DormandPrince(), tw.BogackiShampine() or tw.Heun()"
            )

    def attempt(
        self, dynamics: AbstractDynamics, clock: Clock, y: Phase, h: Array, slope: Phase | None = None,
        memory: Any = None, allowed: Callable[[], Phase] | None = None, batch: Batch = None,
        evaluation: Evaluation | None = None,
    ) -> Attempt:  # fmt: skip
        del memory, allowed
        tableau = self.tableau
        assert tableau.embedded is not None
        end, slopes = advanced(tableau, dynamics, clock, y, h, batch, evaluation, slope)
        if tableau.first_same_as_last:
            slopes.append(derivative(dynamics, clock.after(h), end, batch))
        main = (*tableau.b, 0.0)[: len(tableau.embedded)]
        weights = [b - e for b, e in zip(main, tableau.embedded, strict=True)]

        def difference(before: Array, *leaves: Array) -> Array:
            wide = jnp.promote_types(before.dtype, jnp.float32)
            terms = [(h * w).astype(wide) * k.astype(wide) for w, k in zip(weights, leaves, strict=True) if w != 0.0]
            return jnp.asarray(sum(terms[1:], terms[0]))

        error = jax.tree.map(difference, y, *slopes)
        if isinstance(dynamics.geometry, AbstractDualFlat):
            # From the dual coordinates, in which the slopes are.
            error = error._replace(position=dynamics.geometry.velocity(end.position, error.position))
        return Attempt(end, error, slopes[-1] if tableau.first_same_as_last else None)

    @property
    def takes_learning_rate(self) -> bool:
        return True


def advanced(
    tableau: ButcherTableau,
    dynamics: AbstractDynamics,
    clock: Clock | None,
    y: Phase,
    h: Array,
    batch: Batch = None,
    evaluation: Evaluation | None = None,
    first: Phase | None = None,
) -> tuple[Phase, list[Phase]]:
    """The phase after a step, and the slopes of its stages; the first, or what it is evaluated from, may be known."""
    stages: list[Phase] = [] if first is None else [first]
    for row, c in list(zip(tableau.a, tableau.c, strict=True))[len(stages) :]:
        known = [(h * a, k) for a, k in zip(row, stages, strict=True) if a != 0.0]
        time = None if clock is None else clock.after(c * h)
        here = added(dynamics.geometry, y, known) if known else y
        stages.append(derivative(dynamics, time, here, batch, None if stages else evaluation))
    moves = [(h * b, k) for b, k in zip(tableau.b, stages, strict=True) if b != 0.0]
    return added(dynamics.geometry, y, moves), stages


def _moved(space: AbstractManifold, dynamics: AbstractDynamics, state: State, h: Array, batch: Batch) -> Phase:
    """The phase after a step of Euler's method along a manifold."""
    y = phase(state)
    rates = dynamics.covariant_rates(state.time, y, evaluated(dynamics, state, batch))
    move = combine((h, rates.position))
    if y.velocity is None:
        return Phase(space.move(y.position, move))
    return Phase(*carried(space, y.position, move, combine((1, y.velocity), (h, rates.velocity))))


EULER = ButcherTableau("Euler", ((),), (1.0,), 1, "euler1768")
MIDPOINT = ButcherTableau("Midpoint", ((), (0.5,)), (0.0, 1.0), 2, "runge1895")
HEUN = ButcherTableau("Heun", ((), (1.0,)), (0.5, 0.5), 2, "heun1900", (1.0, 0.0))
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
    (
        0.09468075576583945,
        0.009183565540343254,
        0.4877705284247616,
        1.234297566930479,
        -2.7077123499835256,
        1.866628418170587,
        1 / 66,
    ),
)
BOGACKI_SHAMPINE = ButcherTableau(
    "BogackiShampine",
    ((), (1 / 2,), (0.0, 3 / 4)),
    (2 / 9, 1 / 3, 4 / 9),
    3,
    "bogacki1989",
    (7 / 24, 1 / 4, 1 / 3, 1 / 8),
)
DORMAND_PRINCE = ButcherTableau(
    "DormandPrince",
    (
        (),
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
    ),
    (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    5,
    "dormand1980",
    (5179 / 57600, 0.0, 7571 / 16695, 393 / 640, -92097 / 339200, 187 / 2100, 1 / 40),
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


def BogackiShampine() -> RungeKutta:
    """The method of Bogacki and Shampine at fixed step, order 3 with three gradients a step (1989)."""
    return RungeKutta(BOGACKI_SHAMPINE)


def DormandPrince() -> RungeKutta:
    """The method of Dormand and Prince at fixed step, order 5 with six gradients a step (1980)."""
    return RungeKutta(DORMAND_PRINCE)
