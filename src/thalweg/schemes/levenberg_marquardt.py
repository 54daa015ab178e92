"""Gradient flow of least squares followed to its end: linearly implicit steps with the Gauss-Newton curvature."""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, ArrayLike, Float, Int

from .._errors import InputError, check_count, check_number
from .._module import Module
from .._objectives.least_squares import LeastSquares
from .._tree import Vector, length, scalar
from ..dynamics import AbstractDynamics, Evaluation
from ._arithmetic import Traced
from ._descending import AbstractDescending
from ._factored import Factors, divisor, unit
from ._residual_model import DENSE, Model
from ._search import Search
from ._state import Clock, Draws, Report, State, Termination
from .pseudo_transient import PseudoTransient, _count

_GOING, _REST, _SPENT, _STALLED, _ROUNDED = range(5)
_DESCEND, _LOOK, _LEAVE = range(3)
_LOOKS = (3, 30)
_TRIES, _IDLE = 60, 8
# Cosine of residuals and a column of J from which on f is not level.
_STEEP = 1e-5
# Where so many times the tolerance is expected to be left, a gradient tells for less than a Jacobian.
_CLOSE = 10.0


class Fitting(Module):
    """Memory of a step for the next."""

    energy: Float[Array, ""]
    size: Float[Array, ""]
    slope: Float[Array, " n"]
    factors: Factors
    offset: Float[Array, ""]
    before: Float[Array, ""]
    radius: Float[Array, ""]
    shift: Float[Array, ""]
    search: Search
    mode: Int[Array, ""]
    failed: Int[Array, ""]
    idle: Int[Array, ""]
    code: Int[Array, ""]
    gradients: Int[Array, ""]
    residuals: Int[Array, ""]
    jacobians: Int[Array, ""]
    products: Int[Array, ""]
    steps: Int[Array, ""]
    rejected: Int[Array, ""]
    left: Int[Array, ""]


class LevenbergMarquardt(AbstractDescending):
    r"""Linearly implicit Euler on the gradient flow of least squares with their Gauss-Newton curvature.

    $$\Bigl(\frac{D^2}h + J^\top J\Bigr)d = -J^\top r(\theta),\qquad
      \theta^+ = \theta + d \text{ where } |r| \text{ falls as the linear model predicts, else } \theta$$

    With D = 1 it is `tw.RosenbrockEuler` on a `tw.LeastSquares`, which is Levenberg's step. D are the longest that the
    columns of the Jacobian have been, so that the unit of a parameter changes no step: gradient flow in the metric
    $D^2$. The time step h is the one whose step is as long, $|Dd|$, as the descent allows; at the end it is infinite,
    the step of Gauss and Newton. A trial evaluates the residuals, an accepted one the Jacobian. Of up to `dense`
    parameters that is formed and factored by QR; of more no Jacobian is formed, and a step is the best on the Krylov
    space of LSQR and LSMR, from products with J and its transpose.

    It ends where the part of the residuals that the linear model could still take away is small,
    $|P_Jr| \le$ `tolerance` $|r|$ with $P_J$ the projection on the columns of J, or smaller than what a change of the
    parameters by their rounding makes. Where that may be a saddle (at the start, or where J has not full rank) products
    of the Hessian look for negative curvature, and what they find is followed. After its end the motion stays.

    Arguments:
        tolerance: the part of the residuals, from 0 to 1, without unit. f is then within about its square, relative.
        max_gradients: evaluations at most, none if None: of the residuals each 1, of a Jacobian its columns, of a
            product with J or its transpose 1, with the Hessian 2.
        dense: parameters of which the Jacobian is formed, at most.

    Raises:
        InputError: a number is out of its range; with the law, where it is not gradient flow, at a constant rate, of a
            `tw.LeastSquares`.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = tw.LeastSquares(lambda x: jnp.array([1.0 - x[0], 10.0 * (x[1] - x[0] ** 2)]))
    >>> run = tw.run(tw.Method(tw.GradientFlow(f), tw.LevenbergMarquardt(), 1.0), jnp.array([-1.2, 1.0]), 100)
    >>> run.status, run.final.position.round(6).tolist()
    ('converged', [1.0, 1.0])

    Reference: Levenberg (1944); Marquardt (1963); Moré (1978), whose control of the length it is.
    """

    tolerance: Float[Array, ""] = eqx.field(default=1e-6, converter=scalar)
    max_gradients: Int[Array, ""] | None = eqx.field(default=None, converter=_count)
    dense: int = eqx.field(default=DENSE, static=True)
    order: ClassVar[int] = 1

    def __check_init__(self) -> None:
        check_number("tolerance", self.tolerance, at_least=0.0)
        check_count("dense", self.dense, at_least=0)
        # Its own check is that of the other scheme which counts.
        PseudoTransient(max_gradients=self.max_gradients)

    def check(self, dynamics: AbstractDynamics) -> None:
        super().check(dynamics)
        if not isinstance(dynamics.objective, LeastSquares | None):
            raise InputError(
                "LevenbergMarquardt needs residuals, give f as tw.LeastSquares(residuals); of any other f "
                "tw.PseudoTransient takes the gradient"
            )

    def unsized(self) -> PseudoTransient:
        # What is counted on has no residuals; that steps differ in their gradients is true of both.
        return PseudoTransient()

    def report(self, state: State) -> Report:
        return super().report(state)._replace(ended=state.memory.code != _GOING)

    def known(self, state: State) -> Evaluation:
        slope = ravel_pytree(state.position)[1](state.memory.slope.astype(ravel_pytree(state.position)[0].dtype))
        return Evaluation(state.position, state.memory.energy, slope)

    def termination(self, state: State) -> Termination | None:
        end: Fitting = state.memory
        if int(end.code) == _GOING:
            return None
        return Termination(*_ending(end, float(self.tolerance)), int(end.steps))

    def init(
        self, dynamics: AbstractDynamics, position: Vector, step_size: ArrayLike,
        velocity: Vector | None = None, clock: Clock | None = None,
    ) -> State:  # fmt: skip
        del velocity
        x, cut = ravel_pytree(position)
        model = Model(dynamics, cut, x, self.dense)
        r = model.residual(x)
        size, _ = unit(r)
        slope, factors, taken = model.factors(x, r, jnp.zeros(x.size, r.dtype))
        far = length(factors.scale * x)
        # Beside the start; where that is 0 or next to it, what changes the residuals by a little, or all at once.
        radius = jnp.where(far > 0, jnp.maximum(jnp.asarray(step_size, r.dtype) * far, 1e-3 * size), jnp.inf)
        count, number = jnp.zeros((), int), jnp.zeros((), r.dtype)
        memory = Fitting(
            0.5 * size * size, size, slope, factors, _offset(factors, model.rows), number + 1.0, radius, number,
            Search.none(Traced, slope), mode=count, failed=count, idle=count, code=count, gradients=count + 1 + taken,
            residuals=count + 1, jacobians=count + 1, products=count, steps=count, rejected=count, left=count,
        )  # fmt: skip
        return State(position, clock=clock, memory=self._arrived(memory, x, False, model.cost))

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        del draws
        x, cut = ravel_pytree(state.position)
        old: Fitting = state.memory
        model, size, factors = Model(dynamics, cut, x, self.dense), old.size, old.factors
        by, leaving, rows = divisor(factors.scale), old.mode == _LEAVE, model.rows
        step, shift = factors.within(old.radius / jnp.where(size > 0, size, 1.0), rows)
        away = jnp.where((old.search.vector / by) @ old.slope > 0, -1.0, 1.0) * old.search.vector / by
        d = jnp.where(leaving, old.radius * away, size * factors.move(step))
        there = (x + d).astype(x.dtype)
        asked = old.search.asked(Traced)

        def try_() -> tuple[Array, Search]:
            return model.residual(there), old.search

        def look() -> tuple[Array, Search]:
            return jnp.zeros(rows, size.dtype), old.search.after(Traced, asked, model.product(x, asked / by) / by)

        def stay() -> tuple[Array, Search]:
            return jnp.zeros(rows, size.dtype), old.search

        which = jnp.where(old.code == _GOING, jnp.where(old.mode == _LOOK, 1, 0), 2)
        r, search = jax.lax.switch(which, (try_, look, stay))
        trying, looking = which == 0, which == 1
        kept = factors.kept(rows)
        full = ~leaving & (shift == 0) & jnp.all(kept)

        new_size, _ = unit(r)
        ratio = new_size / jnp.where(size > 0, size, 1.0)
        far_off = ~(ratio < 10.0)
        fell = jnp.where(far_off, -1.0, (1.0 - ratio) * (1.0 + ratio))
        inner, long = length(factors.singular * step) ** 2, length(step)
        expected = jnp.where(
            leaving, jnp.abs(old.search.quotient) * (old.radius / size) ** 2, inner + 2 * shift * long**2
        )
        quality = fell / jnp.where(expected > 0, expected, 1.0)
        good = trying & ~far_off & (expected > 0) & (quality > 1e-4) & jnp.any(there != x)

        # Where parts left so far shrink on, the gradient alone tells whether this is the end.
        close = good & full & (old.offset**2 <= _CLOSE * self.tolerance * old.before)
        slope = jax.lax.cond(close, lambda: model.gradient(there, r), lambda: old.slope)
        left = factors.right.T @ (slope / by) / jnp.where(factors.singular > 0, factors.singular, 1.0)
        offset = length(left) / jnp.where(new_size > 0, new_size, 1.0)
        over = close & (offset <= self.tolerance)

        def renewed() -> tuple[Array, Factors, Array]:
            return model.factors(there, r, factors.scale)

        zero = jnp.zeros((), int)
        slope, factors, taken = jax.lax.cond(good & ~over, renewed, lambda: (slope, factors, zero))
        # A Jacobian that is not finite, as of a root at 0, is no place to go to.
        sound = jnp.all(jnp.isfinite(factors.singular)) & jnp.all(jnp.isfinite(factors.projected))
        moved = good & sound
        slope = jnp.where(moved, slope, old.slope)
        factors = jax.tree.map(lambda new, before: jnp.where(moved, new, before), factors, old.factors)
        offset = jnp.where(over, offset, _offset(factors, rows))

        radius = _radius(old.radius, size * long, quality, fell, ratio, inner + shift * long**2, shift, old.steps == 0)
        radius = jnp.where(good & ~sound, 0.1 * jnp.minimum(old.radius, size * long), radius)
        radius = jnp.where(leaving, jnp.where(moved, old.radius, 0.25 * old.radius), radius)
        eps = float(jnp.finfo(x.dtype).eps)
        found = looking & search.found(eps)
        looked = looking & ~found & (search.settled(eps) | (search.count >= min(max(_LOOKS[0], x.size), _LOOKS[1])))
        # f is not below 0, which says how far it can go down along a direction of negative curvature.
        radius = jnp.where(found, 0.5 * size / jnp.sqrt(jnp.abs(search.quotient)), radius)
        mode = jnp.where(found, _LEAVE, jnp.where(moved, _DESCEND, old.mode))
        failed = jnp.where(moved | found, 0, old.failed + (trying & ~moved))
        level = trying & ~leaving & (jnp.abs(fell) <= 20 * jnp.finfo(size.dtype).eps)
        idle = jnp.where(trying, jnp.where(level, old.idle + 1, 0), old.idle)
        reach = jnp.finfo(x.dtype).eps * length(factors.scale * x)
        stuck = trying & ~moved & ((failed >= _TRIES) | (radius <= reach) | (leaving & (failed >= 20)))
        stuck = stuck | (idle >= _IDLE)
        # At a minimum where J has not full rank the linear model promises what the residuals' curvature takes back.
        steep = jnp.max(jnp.abs(slope) / divisor(factors.scale)) > _STEEP * jnp.where(moved, new_size, size)
        level = (jnp.abs(fell) <= self.tolerance**2) & (expected <= self.tolerance**2)
        rest = trying & ~leaving & ~steep & (stuck | level)
        stuck = stuck & ~rest
        code = jnp.where(stuck, jnp.where(leaving, _REST, jnp.where(offset > 0.1, _STALLED, _ROUNDED)), old.code)
        code = jnp.where(looked, _REST, code)
        new = Fitting(
            jnp.where(moved, 0.5 * new_size * new_size, old.energy), jnp.where(moved, new_size, size), slope, factors,
            offset, jnp.where(moved, old.offset, old.before), jnp.where(trying | found, radius, old.radius),
            jnp.where(trying, shift, old.shift), search, mode,
            failed, idle, code, old.gradients + trying + close + taken + 2 * looking, old.residuals + trying,
            old.jacobians + (taken > 0), old.products + looking, old.steps + (which != 2),
            old.rejected + (trying & ~moved), old.left + (moved & leaving),
        )  # fmt: skip
        # Where full steps draw nearer, no eigenvalue of the Hessian is negative: that of the Gauss-Newton iteration,
        # 1 minus H over J'J, is then within 1.
        certain = trying & full & (offset < old.offset)
        new = self._arrived(new, jnp.where(moved, there, x), certain, model.cost, rest)
        clock = None if state.clock is None else state.clock.tick(step_size)
        return State(cut(jnp.where(moved, there, x)), clock=clock, memory=new)

    def _arrived(
        self, memory: Fitting, x: Array, certain: ArrayLike, cost: int, rest: ArrayLike = False
    ) -> Fitting:  # fmt: skip
        """Look about where the residuals fall no further, unless it is certain; stop where nothing is left to spend."""
        going = (memory.code == _GOING) & (memory.mode == _DESCEND)
        here = going & (rest | (memory.offset <= self.tolerance) | _rounded(memory, x))
        mode = jnp.where(here & ~jnp.asarray(certain), _LOOK, memory.mode)
        code = jnp.where(here & certain, _REST, memory.code)
        if self.max_gradients is not None:
            short = memory.gradients + jnp.where(mode == _LOOK, 2, 2 + cost) > self.max_gradients
            # What cannot be looked at any more is taken for what the gradient says it is.
            code = jnp.where((code == _GOING) & short, jnp.where(mode == _LOOK, _REST, _SPENT), code)
        count = jnp.where(here, 0, memory.search.count)
        return eqx.tree_at(lambda m: (m.mode, m.search.count, m.code), memory, (mode, count, code))


def _offset(factors: Factors, rows: int) -> Array:
    """The part of the residuals that the linear model takes away."""
    return length(jnp.where(factors.kept(rows), factors.projected, 0.0))


def _rounded(memory: Fitting, x: Array) -> Array:
    """Tell whether that part is smaller than what rounding the parameters changes."""
    return memory.offset * memory.size <= 4 * jnp.finfo(x.dtype).eps * length(memory.factors.scale * x)


def _radius(
    radius: Array, long: Array, quality: Array, fell: Array, ratio: Array, expected: Array, shift: Array, first: Array
) -> Array:
    """The length that the next step may have (Moré 1978)."""
    radius = jnp.where(first, jnp.minimum(radius, long), radius)
    shorter = jnp.where(fell >= 0, 0.5, 0.5 * expected / (expected - 0.5 * fell))
    shorter = jnp.where((ratio < 10.0) & (shorter >= 0.1), shorter, 0.1)
    longer = jnp.where((quality >= 0.75) | (shift == 0), 2.0 * long, radius)
    return jnp.where(quality > 0.25, longer, shorter * jnp.minimum(radius, 10.0 * long))


def _ending(end: Fitting, tolerance: float) -> tuple[str, str]:
    """Status and message."""
    count, offset = int(end.gradients), float(end.offset)
    at = f"sum of squares {float(end.size) ** 2:.9g}"
    looked = f"; no negative curvature in {int(end.products)} products" if int(end.products) else ""
    least = f"what is left to take away is within {tolerance:g} of the residuals"
    least = least if offset <= tolerance else f"it falls no further than by {tolerance**2:.0e} of it, or by rounding"
    n, singular = len(end.slope), np.asarray(end.factors.singular)
    rank = int(np.sum(singular > np.finfo(singular.dtype).eps * n * np.max(singular)))
    # A Krylov space is smaller than n without a parameter that is left undetermined.
    vague = f"; the Jacobian has rank {rank} of {n}: not all parameters are determined" if rank < n <= DENSE else ""
    left = f"of the residuals {offset:.2g} could still be taken away"
    status, message = {
        _REST: ("converged", f"{at}; {least}, after {count} evaluations{looked}"),
        _SPENT: ("budget spent", f"{at} after {count} evaluations; {left}, above {tolerance:g}"),
        _STALLED: (
            "stalled",
            f"{at}: {left} by their Jacobian, yet no step goes down; it is not theirs, or they are not smooth here, or "
            "far from linear",
        ),
        _ROUNDED: ("stalled", f"{at}: {left}, which the rounding of the residuals hides; {tolerance:g} is below that"),
    }[int(end.code)]
    return status, message + vague
