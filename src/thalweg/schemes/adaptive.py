"""Steps that are as long as a tolerance on the error of each allows."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Int, PyTree

from .._errors import InputError, check_number
from .._module import Module
from .._tree import Unravel, Vector, optional_scalar, ravel, scalar, size
from ..dynamics import AbstractDynamics, Phase
from ..geometry import AbstractGeometry
from ._base import AbstractScheme, check_exact, derivative, phase
from ._estimating import AbstractEstimating
from ._state import Clock, Draws, Report, State, Termination
from ._tolerances import as_stops, as_tolerance, check_stops, check_tolerance, is_number, like_position, over_phase
from .runge_kutta import Tsit5

_GOING, _ARRIVED, _NOT_FINITE, _STALLED, _BLURRED = range(5)
# A tolerance that the last digit of a number is so many times as large as is one that no step can keep.
_BLUR = 2.0
# Steps that are rejected while no time passes before the motion ends: a factor of 1e-28 where all shrink by the most.
_TRIES = 40
# Of log(error): beyond it every factor is clipped.
_LOG_RANGE = 80.0


class Control(Module):
    """Memory of a step for the next: its length, the slope it begins with, and minus the logs of two errors.

    `own` is what the scheme itself keeps.
    """

    step: Float[Array, ""]
    slope: Phase | None
    last: Float[Array, ""]
    before: Float[Array, ""]
    failed: Int[Array, ""]
    code: Int[Array, ""]
    attempts: Int[Array, ""]
    own: PyTree = None


def _tsit5() -> AbstractEstimating:
    return Tsit5()


class Adaptive(AbstractScheme):
    r"""A scheme whose steps are as long as a tolerance on the error of each allows.

    $$E = \sqrt{\frac1n\sum_{i=1}^n\Bigl(\frac{(y^+ - \hat y^+)_i}
        {\mathtt{atol} + \mathtt{rtol}\max(|y_i|, |y^+_i|)}\Bigr)^2},\qquad
      h^+ = 0.9\,h\,E^{-\beta_1/p}E_-^{-\beta_2/p}E_{--}^{-\beta_3/p}$$

    y is the position, with the velocity of a second-order law and what variables the law has besides; $\hat y^+$ is the
    solution of order p - 1 that is embedded in the scheme of order p; of `tw.RungeKuttaChebyshev` the estimate is one
    of its own, and p = 3. A step with $E < 1$ is accepted, and the next is once to 10 times as long; else
    the motion stays where it is and tries again with 0.2 to 0.9 times the step. $E_-$ and $E_{--}$ are the errors of
    the accepted steps before, $\beta_1 = k_P + k_I + k_D$, $\beta_2 = -(k_P + 2k_D)$, $\beta_3 = k_D$. The method's
    `step_size` is the first step. A step of `tw.run` is one attempt; its times are true, and `step_size` in a record
    is the step that was tried, the last one 0 where the motion has ended.

    A derivative through its steps is that of the steps that were made: their lengths are constants in it, as if they
    had been given, and those that end at `until` or at a stop vary with these times alone.

    Arguments:
        scheme: a `tw.RungeKutta` whose tableau has embedded weights: `tw.Tsit5()`, `tw.DormandPrince()`,
            `tw.BogackiShampine()` or `tw.Heun()`; for stiff laws `tw.Rodas5P()`, or where their modes decay without
            turning `tw.RungeKuttaChebyshev(order=2)`.
        rtol: relative tolerance on the error of a step: a number; or numbers, a tree like the position whose leaves
            spread over its leaves, or a vector of as many entries.
        atol: absolute tolerance, in units of the position and of the velocity; likewise.
        until: the time where the motion ends, reached exactly; None goes on for ever.
        stops: times on the way at which a step ends exactly, an array that goes up: where the law jumps, or a state is
            wanted. The step that was cut short there is tried again after it.
        pcoeff: $k_P$, proportional: 0.4 with `icoeff` 0.3 is smoother where stability bounds the step.
        icoeff: $k_I$, integral; 1 with the others 0 is the elementary controller.
        dcoeff: $k_D$, derivative.

    Raises:
        InputError: a number is out of its range, or the scheme has no embedded weights; with the law, where it has
            noise, draws mini-batches, or begins at `until` or later; with the start, where a tolerance is not like it.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> ball = tw.HeavyBall(lambda x: 0.5 * jnp.sum(x**2), friction=0.0)
    >>> method = tw.Method(ball, tw.Adaptive(rtol=1e-8, atol=1e-8, until=jnp.pi), 0.1)
    >>> run = tw.run(method, jnp.array([1.0]), 1000)
    >>> run.message, run.final.position.round(6).tolist()
    ('reached time 3.14159 in 26 steps, 0 rejected', [-1.0])

    Reference: Hairer, Nørsett and Wanner (1993), section II.4; Söderlind (2003).
    """

    scheme: AbstractEstimating = eqx.field(default_factory=_tsit5)
    rtol: PyTree[Float[Array, "..."]] = eqx.field(default=1e-6, converter=as_tolerance)
    atol: PyTree[Float[Array, "..."]] = eqx.field(default=1e-9, converter=as_tolerance)
    until: Float[Array, ""] | None = eqx.field(default=None, converter=optional_scalar)
    stops: Float[Array, " stops"] | None = eqx.field(default=None, converter=as_stops)
    pcoeff: Float[Array, ""] = eqx.field(default=0.0, converter=scalar)
    icoeff: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    dcoeff: Float[Array, ""] = eqx.field(default=0.0, converter=scalar)

    def __check_init__(self) -> None:
        if not isinstance(self.scheme, AbstractEstimating):
            raise InputError(
                "Adaptive controls an explicit tw.RungeKutta, such as tw.Tsit5(), or another scheme that estimates its "
                f"error, tw.Rodas5P() or tw.RungeKuttaChebyshev(order=2), not {self.scheme!r}"
            )
        self.scheme.check_estimate()
        check_tolerance("rtol", self.rtol, at_least=0.0)
        check_tolerance("atol", self.atol, above=0.0)
        if self.until is not None:
            check_number("until", self.until)
        if self.stops is not None:
            check_stops(self.stops)
        for name in ("pcoeff", "icoeff", "dcoeff"):
            check_number(name, getattr(self, name), at_least=0.0)

    @property
    def order(self) -> int:
        return self.scheme.order

    def moves_auxiliary(self, dynamics: AbstractDynamics) -> bool:
        del dynamics
        return True

    def refused_geometry(self, geometry: AbstractGeometry) -> str | None:
        return self.scheme.refused_geometry(geometry)

    @property
    def controlled(self) -> bool:
        return True

    @property
    def adaptive(self) -> bool:
        return True

    def specialised(self, dynamics: AbstractDynamics) -> AbstractScheme:
        scheme = self.scheme.specialised(dynamics)
        return self if scheme is self.scheme else dataclasses.replace(self, scheme=scheme)

    def flattened(self, unravel: Unravel) -> AbstractScheme:
        if is_number(self.rtol) and is_number(self.atol):
            return self
        tree = unravel(jnp.zeros(unravel.size))
        both = {name: getattr(self, name) for name in ("rtol", "atol")}
        return dataclasses.replace(
            self,
            **{
                name: value if is_number(value) else ravel(like_position(name, value, tree))
                for name, value in both.items()
            },
        )

    def unsized(self) -> AbstractScheme:
        return dataclasses.replace(self, rtol=1.0, atol=1.0)

    def failures(self, state: State) -> Int[Array, "..."]:
        """Attempts since the start whose systems were not solved, all of them rejected; of `run.state`, say.

        Raises:
            InputError: the scheme solves for nothing.
        """
        found = getattr(self.scheme, "failures", None)
        if found is None:
            raise InputError(f"{type(self.scheme).__name__} solves for nothing in a step, so that nothing can fail")
        return found(_inner(state))

    def check(self, dynamics: AbstractDynamics) -> None:
        super().check(dynamics)
        self.scheme.check(dynamics)
        check_exact(self, dynamics, "tw.Tsit5() at a fixed step", "force")
        if self.until is not None and not isinstance(dynamics.start_time, Tracer):
            check_number("until", self.until, above=float(dynamics.start_time))

    def report(self, state: State) -> Report:
        assert state.clock is not None
        step = jax.lax.stop_gradient(state.memory.step)
        for end in self._ends(state.clock):
            left = _left(end, state.clock)
            step = jnp.where(step < left, step, left)
        taken = type(self.scheme).report(self.scheme, _inner(state)).gradients
        # And one at the start, where the first step is handed its slope.
        taken = taken if taken is None else taken + int(self.scheme.hands_over)
        return Report(gradients=taken, step_size=step, ended=state.memory.code != _GOING)

    def termination(self, state: State) -> Termination | None:
        end: Control = state.memory
        assert state.clock is not None
        if int(end.code) == _GOING:
            return None
        accepted, time = int(state.clock.steps), float(state.clock.time)
        if int(end.code) == _ARRIVED:
            rejected = int(end.attempts) - accepted
            ending = ("finished", f"reached time {time:g} in {accepted} steps, {rejected} rejected")
        elif int(end.code) == _BLURRED:
            ending = ("stalled", f"{_blur(state)}; no step from time {time:g} can be so exact")
        elif int(end.code) == _NOT_FINITE:
            ending = (
                "not finite",
                f"no step from time {time:g} is finite: {_TRIES} were rejected, down to {end.step:.3g}",
            )
        else:
            what = f"no step from time {time:g} is within the tolerance: {_TRIES} were rejected, down to {end.step:.3g}"
            ending = ("stalled", f"{what}; the force jumps there, or its rounding is larger than the tolerance")
        return Termination(*ending, int(end.attempts))

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        check_exact(self, dynamics, "tw.Tsit5() at a fixed step", "force")
        assert clock is not None
        tolerances = [like_position(name, getattr(self, name), position) for name in ("rtol", "atol")]
        if dynamics.has_auxiliary and not all(map(is_number, tolerances)):
            raise InputError(
                f"{type(dynamics).__name__} has variables besides position and velocity, for which tolerances like the "
                "position say nothing; rtol and atol must be numbers"
            )
        state = self.scheme.init(dynamics, position, step_size, velocity, clock)
        slope = None
        if self.scheme.hands_over:
            slope = _first_slope(dynamics, clock.time, phase(state), None)
        number, count = jnp.zeros_like(clock.time), jnp.zeros((), int)
        first = jnp.asarray(step_size, clock.time.dtype)
        y, code = phase(state), count + _GOING
        if _short(y):
            code = jnp.where(_blurred(y, *(over_phase(t, y) for t in tolerances)), _BLURRED, code)
        control = Control(first, slope, number, number, count, code, count, state.memory)
        return dataclasses.replace(state, memory=control)

    def without_reverse(self) -> str:
        return self.scheme.without_reverse()

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        clock, old = state.clock, state.memory
        assert isinstance(clock, Clock) and isinstance(old, Control)
        h, y, going = self.report(state).step_size, phase(state), old.code == _GOING
        assert h is not None
        rtol, atol = (over_phase(like_position(n, getattr(self, n), y.position), y) for n in ("rtol", "atol"))

        def allowed() -> Phase:
            return jax.tree.map(lambda leaf, r, a: _allowed(jnp.abs(leaf), r, a), y, rtol, atol)

        tried = self.scheme.attempt(dynamics, clock, y, h, old.slope, old.own, allowed, draws.batch, state.evaluation)
        end = tried.end
        # What sets the next step is a constant in a derivative.
        error = _norm(*jax.lax.stop_gradient((y, end, tried.error)), rtol, atol).astype(h.dtype)
        finite, accepted = jnp.isfinite(error), going & (error < 1.0)
        usable = finite
        if tried.failed is not None:
            # Of a shorter step systems are easier, and stages reach farther than they must.
            usable, accepted = finite & ~tried.failed, accepted & ~tried.failed
        # Minus its log; where there is no error to speak of the controllers look back on, it counts as 1.
        log = jnp.clip(-jnp.log(jnp.where(usable, error, jnp.inf)), -_LOG_RANGE, _LOG_RANGE)
        factor = self._factor(log, old, accepted)
        log = jnp.where(jnp.abs(log) < _LOG_RANGE, log, 0.0)
        # Steps too short for time to pass are no way out: up to an edge they would get ever shorter, and never over it.
        passes = h > jnp.finfo(h.dtype).eps * jnp.maximum(jnp.abs(clock.time), step_size)
        failed = jnp.where(accepted, jnp.where(passes, 0, old.failed), old.failed + 1)
        code = jnp.where(accepted | (failed < _TRIES), _GOING, jnp.where(finite, _STALLED, _NOT_FINITE))
        if _short(y):
            # Where digits are few, what is small at the start may be as exact as it is asked to be, and later not.
            code = jnp.where(_blurred(y, rtol, atol), _BLURRED, code)
        ticked = clock.tick(h)
        for there in self._ends(clock):
            arrived = h >= _left(there, clock)
            # The sum of the steps may differ from it in the last digit.
            ticked = dataclasses.replace(
                ticked, time=jnp.where(arrived, there, ticked.time), lost=jnp.where(arrived, 0.0, ticked.lost)
            )
        if self.until is not None:
            code = jnp.where(accepted & (h >= _left(self.until, clock)), _ARRIVED, code)

        def kept(new: Any, before: Any) -> Any:
            return jax.tree.map(lambda a, b: jnp.where(accepted, a, b), new, before)

        following = h * factor
        if self.stops is not None:
            # What a stop cut short was no more than could be tried.
            following = jnp.where(accepted, jnp.maximum(following, old.step), following)
        following = following if tried.longest is None else jnp.minimum(following, tried.longest.astype(h.dtype))
        control = Control(
            jnp.where(going, following, old.step),
            None if tried.slope is None else kept(tried.slope, old.slope),
            kept(log, old.last), kept(old.last, old.before),
            jnp.where(going, failed, old.failed), jnp.where(going, code, old.code), old.attempts + going,
            # Counts go on where a step is rejected.
            jax.tree.map(lambda new, before: jnp.where(going, new, before), tried.memory, old.own),
        )  # fmt: skip
        y = kept(end, y)
        return State(y.position, y.velocity, clock=kept(ticked, clock), memory=control, auxiliary=y.auxiliary)

    def _ends(self, clock: Clock) -> list[Array]:
        """Times that the next step may not go beyond."""
        ends = [] if self.until is None else [self.until]
        if self.stops is None:
            return ends
        at = jnp.searchsorted(self.stops, clock.time, side="right", method="compare_all")
        stop = self.stops[jnp.minimum(at, self.stops.size - 1)]
        return [*ends, jnp.where(at < self.stops.size, stop, jnp.inf)]

    def _factor(self, log: Array, old: Control, accepted: Array) -> Array:
        first = self.pcoeff + self.icoeff + self.dcoeff
        second, third = self.pcoeff + 2.0 * self.dcoeff, self.dcoeff
        power = (first * log - second * old.last + third * old.before) / self.scheme.error_order
        low, high = jnp.where(accepted, 1.0, 0.2), jnp.where(accepted, 10.0, 0.9)
        return jnp.clip(0.9 * jnp.exp(power), low, high)


# A start is made outside of what is compiled.
_first_slope = eqx.filter_jit(derivative)


def _allowed(reach: Array, rtol: Array, atol: Array) -> Array:
    """The error that a step may have, at least in float32."""
    wide = jnp.promote_types(reach.dtype, jnp.float32)
    return atol.astype(wide) + rtol.astype(wide) * reach.astype(wide)


def _short(y: Phase) -> bool:
    """Tell whether numbers are so short that what is summed in float32 is lost when it is rounded to them."""
    return any(jnp.finfo(leaf.dtype).bits < 32 for leaf in jax.tree.leaves(y))


def _blurred(y: Phase, rtol: Phase, atol: Phase) -> Array:
    """Tell whether rounding a number to its last digit is alone more than the error that a step may have."""
    last = jax.tree.map(lambda leaf: jnp.finfo(leaf.dtype).eps * jnp.abs(leaf).astype(jnp.float32), y)
    return _norm(y, y, last, rtol, atol) > _BLUR


def _norm(y: Phase, end: Phase, error: Phase, rtol: Phase, atol: Phase) -> Array:
    """The root of the mean square of an error, in units of what is allowed."""

    def squares(before: Array, after: Array, off: Array, rtol: Array, atol: Array) -> Array:
        flat = (off / _allowed(jnp.maximum(jnp.abs(before), jnp.abs(after)), rtol, atol)).ravel()
        # A product of vectors is no part of the pass over memory before it, whose sum would be one term at a time.
        return jnp.dot(flat, flat, precision="highest")

    parts = jax.tree.leaves(jax.tree.map(squares, y, end, error, rtol, atol))
    return jnp.sqrt(sum(parts[1:], parts[0]) / size(y))


def _blur(state: State) -> str:
    """Words for a tolerance that the numbers of a state are too short for."""
    dtypes = {jnp.dtype(leaf.dtype) for leaf in jax.tree.leaves(phase(state))}
    least = max(dtypes, key=lambda dtype: float(jnp.finfo(dtype).eps))
    eps = float(jnp.finfo(least).eps)
    return (
        f"rtol and atol are below the precision of {least}, {eps:.2g} of a number; make rtol {2 * eps:.1g} or more, or "
        "start from numbers of a higher precision"
    )


def _inner(state: State) -> State:
    """The state as the scheme itself keeps it."""
    return dataclasses.replace(state, memory=state.memory.own)


def _left(until: Array, clock: Clock) -> Array:
    """The time that is left, of the compensated sum."""
    return (until - clock.time) + clock.lost
