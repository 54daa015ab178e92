"""Implicit finite volumes: the flow of a density on a grid, for steps of any length."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float, Int

from .._errors import InputError, check_choice
from .._measures.functional import AbstractFunctional
from .._measures.grid import Grid, replaced
from .._objectives.objective import Batch
from .._tree import Vector, combine, scalar
from ..dynamics import AbstractDynamics, Evaluation, GradientFlow, NonreversibleFlow, Phase
from ..dynamics._base import at_time
from ..geometry import AbstractDensityGeometry, AbstractGeometry, KalmanWasserstein, Wasserstein, WassersteinFisherRao
from ..geometry.base import named
from ._estimating import AbstractEstimating, Attempt
from ._parts import Parts, check_grid, parted
from ._reaction import reacted
from ._solving import Effort, check_solver, precise, time_after
from ._state import Clock, Draws, Report, State
from ._sweeps import Sweep, swept
from ._walls import FLUXES

# In units of the last digit of the mass: what is more is a fault, or how the start was, and stays to be seen.
_ROUNDINGS = 1000.0


class FiniteVolumes(AbstractEstimating):
    r"""Implicit finite volumes for the flow of a density on a `tw.measures.Grid`, stable at steps of any length.

    $$\frac{\rho_i^+ - \rho_i}{h}\,|\text{cell}_i| = -\sum_\text{walls} J,\qquad
      J = \frac{s_a T B(z)\,\rho_a^+ - s_b T B(-z)\,\rho_b^+}{d},\qquad B(z) = \frac z{e^z - 1}$$

    through a wall between cells a and b at the distance d, with $z = \Delta V/T$ and $s_a = s_b = 1$ of the flux
    "exponential" (Scharfetter and Gummel's, of first order where the drift dominates), and $z = \Delta V/T +
    \log(\rho_b/\rho_a)$, $s_a = \frac12(1 + \rho_b/\rho_a)$, $s_b = \frac12(1 + \rho_a/\rho_b)$, of the density where
    the step begins, of the flux "second-order". Without an entropy the first is the upwind flux. Internal energies but
    the entropy add $\Delta U'(\rho^+)$ to $\Delta V$, and the step is solved by Newton's method; interactions and
    other functionals of all of q have the first variation in the middle of the step, by repetition. Axes are gone
    through one after the other, each implicitly.

    What holds at any h, on all grids: the mass stays to rounding, no density becomes negative, and the sampled Gibbs
    state $e^{-V/T}$ stays. The free energy falls in every step that is solved, where the internal energies are convex;
    with interactions, which are quadratic, in one dimension. In `tw.geometry.WassersteinFisherRao` a step of the
    reaction, exact for potentials and entropy, follows; in `KalmanWasserstein` the covariance is that at the start.

    With `order=2` a step is extrapolated from one whole and two half ones, $2\rho_{h/2,h/2} - \rho_h$; cells in which
    that is negative are emptied, and the others hold as much less. Where the functional would rise, the half steps are
    kept, so that all of the above holds. A drift of `tw.NonreversibleFlow` tilts the potential at every wall by what it
    does there; then mass and sign stay as they do, and F need not fall. The difference of both is the error that
    `tw.Adaptive` sets its steps by. Steps whose equations are not solved to the tolerance are counted: `failures`.

    Arguments:
        flux: "exponential" or "second-order", in the width of the cells.
        order: 1 or 2, in the step.
        tolerance: of solved equations, as a part of the mass; below what the precision of the density allows it is
            that.
        iterations: of Newton's method on an axis, and of the repetition, at most.

    Raises:
        InputError: an option is none of these; with the law, it is no gradient flow of a functional in one of the three
            geometries, or an internal energy is subtracted; with the start, it is no grid.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> F = tw.measures.KL(tw.measures.Gaussian(0.0, 1.0))
    >>> law = tw.GradientFlow(F, geometry=tw.geometry.Wasserstein())
    >>> q = tw.measures.Grid.of(lambda x: jnp.exp(-0.5 * (x[0] - 1.0) ** 2), jnp.linspace(-8.0, 8.0, 161))
    >>> end = tw.run(tw.Method(law, tw.FiniteVolumes("second-order", order=2), 0.1), q, 10).final.position
    >>> round(float(end.mean[0]), 3), bool(abs(end.mass - 1.0) < 1e-13)  # exp(-1)
    (0.368, True)

    Reference: Scharfetter and Gummel (1969); Chang and Cooper (1970); of the free energy at any step Bailo, Carrillo
    and Hu (2020).
    """

    flux: str = eqx.field(default="exponential", static=True)
    order: int = eqx.field(default=1, static=True)
    tolerance: Float[Array, ""] = eqx.field(default=1e-10, converter=scalar)
    iterations: int = eqx.field(default=50, static=True)

    def __check_init__(self) -> None:
        check_choice("flux", self.flux, FLUXES)
        if self.order not in (1, 2):
            raise InputError(f"order must be 1 or 2, but is {self.order!r}")
        check_solver(self.tolerance, iterations=self.iterations)

    @property
    def error_order(self) -> int:
        return 2

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        if isinstance(geometry, Wasserstein | WassersteinFisherRao | KalmanWasserstein):
            return None
        if isinstance(geometry, AbstractDensityGeometry):
            return f"moves mass through walls, which {named(geometry)} does not"
        return super().refused_geometry(geometry)

    def check(self, dynamics: AbstractDynamics) -> None:
        if dynamics.geometry is None or not isinstance(dynamics, GradientFlow | NonreversibleFlow):
            raise InputError(
                "FiniteVolumes moves densities, by tw.GradientFlow(F, geometry=tw.geometry.Wasserstein()) with F one "
                f"of tw.measures, but is given {type(dynamics).__name__}{'' if dynamics.geometry else ' in flat space'}"
            )
        super().check(dynamics)
        if isinstance(dynamics.objective, AbstractFunctional):
            parted(dynamics.objective, type(self).__name__)

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        check_grid(type(self).__name__, dynamics, position)
        state = super().init(dynamics, position, step_size, velocity, clock)
        none = jnp.zeros((), int)
        return dataclasses.replace(state, memory=Effort(none, none, none))

    def counts(self, dynamics: AbstractDynamics) -> tuple[int, int]:
        return 0, 3 if self.order == 2 else 1

    def report(self, state: State) -> Report:
        return Report(gradients=state.memory.gradients)

    def failures(self, state: State) -> Int[Array, "..."]:
        """Steps since the start whose equations were not solved to the tolerance; of `run.state`, say."""
        return state.memory.failures

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        del draws
        h = jnp.asarray(step_size)
        end, _, taken, failed = self._tried(dynamics, state.position, time_after(state, 0.5 * h), h, self.order == 2)
        clock = None if state.clock is None else state.clock.tick(h)
        return State(end, clock=clock, memory=state.memory.plus(taken, 0, failed))

    def attempt(
        self,
        dynamics: AbstractDynamics,
        clock: Clock,
        y: Phase,
        h: Float[Array, ""],
        slope: Phase | None = None,
        memory: Any = None,
        allowed: Callable[[], Phase] | None = None,
        batch: Batch = None,
        evaluation: Evaluation | None = None,
    ) -> Attempt:
        del slope, allowed, batch, evaluation
        end, error, taken, failed = self._tried(dynamics, y.position, clock.after(0.5 * h), h, True)
        return Attempt(Phase(end), Phase(error), memory=memory.plus(taken, 0, failed), failed=failed)

    def _tried(
        self, dynamics: AbstractDynamics, q: Vector, time: Any, h: Array, halved: bool
    ) -> tuple[Vector, Vector, int, Bool[Array, ""]]:
        """A step, the difference between a whole and two half ones, the steps made for it, and whether one failed."""
        whole, failed = self._moved(dynamics, q, time, h)
        if not halved:
            return whole, whole, 1, failed
        middle, first = self._moved(dynamics, q, time, 0.5 * h)
        half, second = self._moved(dynamics, middle, time, 0.5 * h)
        error = combine((1, whole), (-1, half))
        failed = failed | first | second
        if self.order == 1:
            return half, error, 3, failed
        ahead, functional = _filled(combine((2.0, half), (-1, whole))), _functional(dynamics)
        if _drift(dynamics) is not None:
            # With a drift the functional need not fall.
            return ahead, error, 3, failed
        kept = functional.value(ahead) <= functional.value(q)
        return jax.tree.map(lambda a, b: jnp.where(kept, a, b), ahead, half), error, 3, failed

    def _moved(self, dynamics: AbstractDynamics, q: Any, time: Any, h: Array) -> tuple[Any, Bool[Array, ""]]:
        """One implicit step."""
        geometry, parts = dynamics.geometry, parted(_functional(dynamics), type(self).__name__)
        h = (h * jnp.asarray(at_time(getattr(dynamics, "rate", 1), time))).astype(q.density.dtype)
        tolerance = precise(self.tolerance, q.density)
        way: Any = h
        if isinstance(geometry, WassersteinFisherRao):
            way = h * geometry.transport.astype(h.dtype)
        elif isinstance(geometry, KalmanWasserstein):
            way = h * q.covariance[0, 0]
        sweep = Sweep(parts, way, self.flux, tolerance, self.iterations, _drift(dynamics))
        moved, failed = self._repeated(parts, q, sweep, tolerance)
        if isinstance(geometry, WassersteinFisherRao):
            moved = reacted(parts, moved, h * geometry.reaction.astype(h.dtype))
        return _steady(moved), failed

    def _repeated(self, parts: Parts, q: Grid, sweep: Sweep, tolerance: Array) -> tuple[Grid, Bool[Array, ""]]:
        """A step with the first variation of what depends on all of q in its middle."""
        level = parts.level(q)
        if parts.rest is None:
            return swept(q, level, sweep)

        def again(carry: Any) -> Any:
            found, _, _, count = carry
            middle = replaced(q, 0.5 * (q.density + found.density))
            moved, failed = swept(q, level + parts.far(middle), sweep)
            changed = jnp.sum(jnp.abs(moved.density - found.density) * q.volumes)
            return moved, failed, changed, count + 1

        def short(carry: Any) -> Any:
            return ~(carry[2] <= tolerance) & (carry[3] < self.iterations)

        start = (q, jnp.zeros((), bool), jnp.full((), jnp.inf, q.density.dtype), jnp.zeros((), int))
        found, failed, changed, _ = jax.lax.while_loop(short, again, start)
        return found, failed | ~(changed <= tolerance)


def _filled(q: Any) -> Any:
    """The density without cells of negative mass, of the same mass."""
    positive = jnp.maximum(q.density, 0.0)
    added = jnp.sum((positive - q.density) * q.volumes)
    return replaced(q, positive - positive * (added / (q.mass + added)))


def _steady(q: Grid) -> Grid:
    """The density of mass one where it is so but for rounding, which in steps that are alike would add up."""
    mass = q.mass
    rounded = jnp.abs(mass - 1.0) <= _ROUNDINGS * jnp.finfo(mass.dtype).eps
    return replaced(q, q.density / jnp.where(rounded, mass, 1.0))


def _drift(dynamics: AbstractDynamics) -> Callable | None:
    return dynamics.drift if isinstance(dynamics, NonreversibleFlow) else None


def _functional(dynamics: AbstractDynamics) -> AbstractFunctional:
    assert isinstance(dynamics.objective, AbstractFunctional)
    return dynamics.objective
