"""The linear equation of a density on a grid, solved exactly in time by a Chebyshev series of its exponential."""

import dataclasses
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

from .._errors import InputError
from .._measures.carried import falls
from .._measures.functional import AbstractFunctional
from .._measures.grid import Grid, replaced
from .._tree import Vector, scalar
from ..dynamics import AbstractDynamics, GradientFlow, NonreversibleFlow
from ..dynamics._base import at_time
from ..geometry import AbstractDensityGeometry, AbstractGeometry, Wasserstein
from ..geometry.base import named
from ._base import AbstractScheme
from ._parts import Parts, check_grid, parted
from ._solving import check_solver, precise, time_after
from ._state import Clock, Draws, State
from ._walls import axis_of, shares, through

# Where the norm in which the matrix is symmetric is so large, or makes of the tolerance so much of the mass, powers are
# taken; so many of them at once on average, of which the exponential is a number in single precision.
_HIGH, _SMALL, _POWERS = 30.0, 1e-10, 64.0


class ExactFokkerPlanck(AbstractScheme):
    r"""The Fokker-Planck equation on the cells of a `tw.measures.Grid`, exactly in time.

    $$\rho(t + h) = e^{hA}\rho(t),\qquad hA = \frac{h\ell}2(X - 1),\qquad
      e^{hA} = e^{-z}\Bigl(I_0(z) + 2\sum_{k\ge1}I_k(z)\,T_k(X)\Bigr),\quad z = \frac{h\ell}2$$

    with A of the exponential fluxes of `tw.FiniteVolumes`. Detailed balance makes its spectrum real and in
    $[-\ell, 0]$, so that the series of Chebyshev's polynomials takes about $\sqrt{2z\log(1/\epsilon)}$ products with A,
    which is never stored. As long as mass is so high in the potential that their rounding would show, and always with
    a drift, a series without a negative number takes their place, of $h\ell$ products or less. The sum of the mass
    stays to rounding; what the series of Chebyshev leaves out may be negative, by the tolerance, and is emptied.

    Arguments:
        tolerance: of the coefficients that are left out; below what the precision of the density allows it is that.

    Raises:
        InputError: with the law, it is no gradient flow of potentials and entropies in `tw.geometry.Wasserstein`; with
            the start, it is no grid.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> F = tw.measures.KL(tw.measures.Gaussian(0.0, 1.0))
    >>> law = tw.GradientFlow(F, geometry=tw.geometry.Wasserstein())
    >>> q = tw.measures.Grid.of(lambda x: jnp.exp(-0.5 * (x[0] - 1.0) ** 2), jnp.linspace(-8.0, 8.0, 161))
    >>> end = tw.run(tw.Method(law, tw.ExactFokkerPlanck(), 1.0), q, 1).final.position
    >>> round(float(end.mean[0]), 3)  # exp(-1)
    0.368

    Reference: Tal-Ezer and Kosloff (1984).
    """

    tolerance: Float[Array, ""] = eqx.field(default=1e-13, converter=scalar)
    order: ClassVar[int] = 2

    def __check_init__(self) -> None:
        check_solver(self.tolerance)

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        if isinstance(geometry, Wasserstein):
            return None
        if isinstance(geometry, AbstractDensityGeometry):
            return f"is for the linear equation of tw.geometry.Wasserstein, which that of {named(geometry)} is not"
        return super().refused_geometry(geometry)

    def check(self, dynamics: AbstractDynamics) -> None:
        name = type(self).__name__
        if not isinstance(dynamics, GradientFlow | NonreversibleFlow) or dynamics.geometry is None:
            raise InputError(
                f"{name} moves densities, by tw.GradientFlow(F, geometry=tw.geometry.Wasserstein()) with F one of "
                f"tw.measures, but is given {type(dynamics).__name__}{'' if dynamics.geometry else ' in flat space'}"
            )
        super().check(dynamics)
        functional = dynamics.objective
        if isinstance(functional, AbstractFunctional) and not parted(functional, name).linear:
            raise InputError(
                f"{name} is for potentials and entropies, whose equation is linear; for other functionals take "
                "tw.FiniteVolumes()"
            )

    def counts(self, dynamics: AbstractDynamics) -> tuple[int, int]:
        return 0, 1

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        check_grid(type(self).__name__, dynamics, position)
        return super().init(dynamics, position, step_size, velocity, clock)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        del draws
        assert isinstance(dynamics.objective, AbstractFunctional)
        h, q = jnp.asarray(step_size), state.position
        assert isinstance(q, Grid)
        rate = at_time(getattr(dynamics, "rate", 1), time_after(state, 0.5 * h))
        way = (h * jnp.asarray(rate)).astype(q.density.dtype)
        parts = parted(dynamics.objective, type(self).__name__)
        drift = dynamics.drift if isinstance(dynamics, NonreversibleFlow) else None
        found = exponential(q, parts, way, precise(self.tolerance, q.density), drift)
        clock = None if state.clock is None else state.clock.tick(h)
        return dataclasses.replace(state, position=found, clock=clock)


def generator(q: Grid, parts: Parts, drift: Callable | None = None) -> tuple[Callable[[Array], Array], Array, Array]:
    """The product of the matrix with masses of the cells, a bound of its spectrum, and one of what leaves a cell."""
    level, flows = parts.level(q), []
    fastest = leaving = jnp.zeros((), level.dtype)
    for index in range(q.dimension):
        lines = jnp.moveaxis(level, index, -1)
        axis = axis_of(q.mesh, index, lines)
        rise = axis.across(lines)
        if drift is not None:
            rise = rise + falls(drift, q, index)
        passed = through(rise, parts.temperature, shares(jnp.ones_like(lines), axis, "exponential"), lines, axis)
        up, down = axis.rates(passed.up, passed.down, 1.0)
        # Of the symmetric form of a line Gershgorin's discs: what leaves a cell, and what is exchanged at both walls.
        before, behind = axis.sides(up)[0], axis.sides(down)[1]
        across = jnp.sqrt(before * behind)
        beside = (
            jnp.roll(across, 1, axis=-1) if axis.around else jnp.pad(across, [(0, 0)] * (lines.ndim - 1) + [(1, 0)])
        )
        beyond = across if axis.around else jnp.pad(across, [(0, 0)] * (lines.ndim - 1) + [(0, 1)])
        fastest = fastest + jnp.max(up + down + beside + beyond)
        leaving = leaving + jnp.max(up + down)
        flows.append((index, axis.around, jnp.moveaxis(before, -1, index), jnp.moveaxis(behind, -1, index)))

    def product(masses: Array) -> Array:
        total = jnp.zeros_like(masses)
        for index, around, up, down in flows:
            if around:
                flow = up * masses - down * jnp.roll(masses, -1, axis=index)
                total = total + jnp.roll(flow, 1, axis=index) - flow
                continue
            count = masses.shape[index]
            low = jax.lax.slice_in_dim(masses, 0, count - 1, axis=index)
            high = jax.lax.slice_in_dim(masses, 1, count, axis=index)
            flow = up * low - down * high
            sides = [(0, 0)] * masses.ndim
            total = total + jnp.pad(flow, [*sides[:index], (1, 0), *sides[index + 1 :]])
            total = total - jnp.pad(flow, [*sides[:index], (0, 1), *sides[index + 1 :]])
        return total

    # A little more than leaves, so that rounding makes no probability of staying negative.
    return product, fastest, 1.001 * leaving


def exponential(q: Grid, parts: Parts, step: Array, tolerance: Array, drift: Callable | None = None) -> Grid:
    r"""The density after a step of the linear equation.

    What a series of Chebyshev leaves out, and rounds, is small in the norm of $\sum_i m_i^2/\pi_i$, in which the matrix
    is symmetric: of the mass it is as much times that norm, which is large where mass is high up in the potential. As
    long as it is, the series is that of powers without a negative number (uniformisation), longer but right in every
    cell; at temperature 0 always, and with a drift, by which the matrix is symmetric in no norm.
    """
    product, fastest, leaving = generator(q, parts, drift)
    most, log_gibbs = jnp.maximum(_HIGH, _SMALL / tolerance), _log_gibbs(q, parts)

    def going(carry: tuple[Array, Array]) -> Array:
        masses, left = carry
        if drift is not None:
            return left > 0.0
        logs = 2.0 * jnp.log(masses) - log_gibbs
        return (left > 0.0) & ~(jax.scipy.special.logsumexp(logs) <= 2.0 * jnp.log(most))

    def hop(carry: tuple[Array, Array]) -> tuple[Array, Array]:
        masses, left = carry
        way = jnp.minimum(left, _POWERS / leaving)
        return _by_powers(product, leaving, masses, way), jnp.where(way < left, left - way, 0.0)

    masses, left = jax.lax.while_loop(going, hop, (q.masses, step))
    if drift is not None:
        return replaced(q, masses / q.volumes)
    rest = (product, fastest, tolerance)
    masses = jax.lax.cond(left > 0.0, lambda: _by_chebyshev(*rest, masses, left), lambda: masses)
    return replaced(q, masses / q.volumes)


def _log_gibbs(q: Grid, parts: Parts) -> Array:
    """The logarithm of the probabilities of the cells at rest; without a temperature minus infinity."""
    temperature = jnp.asarray(parts.temperature, q.density.dtype)
    cold = temperature == 0.0
    logs = jnp.log(q.volumes) - parts.level(q) / jnp.where(cold, 1.0, temperature)
    return jnp.where(cold, -jnp.inf, logs - jax.scipy.special.logsumexp(logs))


def _by_powers(product: Callable, leaving: Array, masses: Array, step: Array) -> Array:
    """The same by powers of a matrix of probabilities, each as often as Poisson's law says."""
    mean = leaving * step
    terms = jnp.ceil(mean + 10.0 * jnp.sqrt(mean)).astype(int) + 20

    def add(carry: Any) -> Any:
        k, weight, total, power = carry
        power = power + product(power) / leaving
        weight = weight * mean / k
        return k + 1, weight, total + weight * power, power

    first = jnp.exp(-mean)
    start = (jnp.ones((), int), first, first * masses, masses)
    found = jax.lax.while_loop(lambda c: c[0] <= terms, add, start)[2]
    # Of the mass what the law's tail leaves out, and rounding.
    return found * (jnp.sum(masses) / jnp.sum(found))


def _by_chebyshev(product: Callable, fastest: Array, tolerance: Array, masses: Array, step: Array) -> Array:
    """The same by a series of Chebyshev's polynomials, NaN where it does not hold."""
    z = 0.5 * step * fastest
    # exp(-z) I_k is about exp(-k^2/2z), and less, so that the last one needed is known before.
    digits = -jnp.log(tolerance)
    terms = jnp.ceil(jnp.sqrt(2.0 * z * digits) + digits).astype(int) + 2

    def lower(carry: Any) -> Any:
        k, ratio, total, last, logs = carry
        # I_k/I_(k-1) from far above, where it is 0, downwards: the direction in which the recursion is stable.
        ratio = z / (2.0 * k + z * ratio)
        return (
            k - 1, ratio, ratio * (2.0 + total), jnp.where(k == terms + 1, ratio, last),
            jnp.where(k <= terms, logs + jnp.log(ratio), logs),
        )  # fmt: skip

    none = jnp.zeros_like(z)
    _, _, total, last, logs = jax.lax.while_loop(lambda c: c[0] >= 1, lower, (2 * terms, none, none, none, none))
    # Since exp(-z)(I_0 + 2 I_1 + 2 I_2 + ...) is 1.
    first = 1.0 / (1.0 + total)
    here = first * jnp.exp(logs)

    def summed(carry: Any) -> Any:
        k, above, here, after, own = carry
        # Clenshaw's sum, with the coefficients in the same direction.
        fresh = 2.0 * here * masses + 2.0 * (own + 2.0 / fastest * product(own)) - after
        return k - 1, here, above + 2.0 * k / z * here, own, fresh

    nothing = jnp.zeros_like(masses)
    start = (terms, last * here, here, nothing, nothing)
    _, _, here, after, own = jax.lax.while_loop(lambda c: c[0] >= 1, summed, start)
    found = here * masses + own + 2.0 / fastest * product(own) - after
    positive = jnp.maximum(found, 0.0)
    # More than was left out is none of it, and must not be emptied in silence.
    emptied = jnp.sum(positive - found)
    sound = emptied <= jnp.sqrt(tolerance) * jnp.sum(masses)
    return jnp.where(sound, positive * (jnp.sum(masses) / jnp.sum(positive)), jnp.nan)
