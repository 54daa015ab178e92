"""Explicit Runge-Kutta methods whose steps are as long as a tolerance on the error of each allows."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Int

from .._errors import InputError, check_number
from .._tree import Vector, scalar, size
from ..dynamics import AbstractDynamics, Phase
from ..geometry import AbstractGeometry
from ._base import AbstractScheme, Clock, Draws, Report, State, Termination, check_exact, derivative, phase
from .runge_kutta import RungeKutta, Tsit5, advanced

_GOING, _ARRIVED, _NOT_FINITE, _STALLED = range(4)
# Steps that are rejected while no time passes before the motion ends: a factor of 1e-28 where all shrink by the most.
_TRIES = 40
# Of log(error): beyond it every factor is clipped.
_LOG_RANGE = 80.0


class Control(eqx.Module):
    """Memory of a step for the next: its length, the slope it begins with, and minus the logs of two errors."""

    step: Float[Array, ""]
    slope: Phase | None
    last: Float[Array, ""]
    before: Float[Array, ""]
    failed: Int[Array, ""]
    code: Int[Array, ""]
    attempts: Int[Array, ""]


def _tsit5() -> RungeKutta:
    return Tsit5()


def _optional(value: Any) -> Any:
    return None if value is None else scalar(value)


class Adaptive(AbstractScheme):
    r"""An explicit Runge-Kutta method whose steps are as long as a tolerance on the error of each allows.

    $$E = \sqrt{\frac1n\sum_{i=1}^n\Bigl(\frac{(y^+ - \hat y^+)_i}
        {\mathtt{atol} + \mathtt{rtol}\max(|y_i|, |y^+_i|)}\Bigr)^2},\qquad
      h^+ = 0.9\,h\,E^{-\beta_1/p}E_-^{-\beta_2/p}E_{--}^{-\beta_3/p}$$

    y is the position, with the velocity of a second-order law, and $\hat y^+$ the solution of order p - 1 that is
    embedded in the scheme of order p. A step with $E < 1$ is accepted, and the next is once to 10 times as long; else
    the motion stays where it is and tries again with 0.2 to 0.9 times the step. $E_-$ and $E_{--}$ are the errors of
    the accepted steps before, $\beta_1 = k_P + k_I + k_D$, $\beta_2 = -(k_P + 2k_D)$, $\beta_3 = k_D$. The method's
    `step_size` is the first step. A step of `tw.run` is one attempt; its times are true, and `step_size` in a record
    is the step that was tried, the last one 0 where the motion has ended.

    Arguments:
        scheme: a `tw.RungeKutta` whose tableau has embedded weights: `tw.Tsit5()`, `tw.DormandPrince()`,
            `tw.BogackiShampine()` or `tw.Heun()`.
        rtol: relative tolerance on the error of a step.
        atol: absolute tolerance, in units of the position and of the velocity.
        until: the time where the motion ends, reached exactly; None goes on for ever.
        pcoeff: $k_P$, proportional: 0.4 with `icoeff` 0.3 is smoother where stability bounds the step.
        icoeff: $k_I$, integral; 1 with the others 0 is the elementary controller.
        dcoeff: $k_D$, derivative.

    Raises:
        InputError: a number is out of its range, or the scheme has no embedded weights; with the law, where it has
            noise, draws mini-batches, or begins at `until` or later.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> ball = tw.HeavyBall(lambda x: 0.5 * jnp.sum(x**2), friction=0.0)
    >>> method = tw.Method(ball, tw.Adaptive(rtol=1e-8, atol=1e-8, until=jnp.pi), 0.1)
    >>> run = tw.run(method, jnp.array([1.0]), 1000)
    >>> run.message, run.final.position.round(6).tolist()
    ('reached time 3.14159 in 26 steps, 0 rejected', [-1.0])

    Reference: Hairer, Nørsett and Wanner (1993), section II.4; Söderlind (2003).
    """

    scheme: RungeKutta = eqx.field(default_factory=_tsit5)
    rtol: Float[Array, ""] = eqx.field(default=1e-6, converter=scalar)
    atol: Float[Array, ""] = eqx.field(default=1e-9, converter=scalar)
    until: Float[Array, ""] | None = eqx.field(default=None, converter=_optional)
    pcoeff: Float[Array, ""] = eqx.field(default=0.0, converter=scalar)
    icoeff: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    dcoeff: Float[Array, ""] = eqx.field(default=0.0, converter=scalar)

    def __check_init__(self) -> None:
        if not isinstance(self.scheme, RungeKutta):
            raise InputError(f"Adaptive controls an explicit tw.RungeKutta, such as tw.Tsit5(), not {self.scheme!r}")
        if self.scheme.tableau.embedded is None:
            raise InputError(
                f"tableau {self.scheme.name!r} has no embedded weights to see its error by; use tw.Tsit5(), "
                "tw.DormandPrince(), tw.BogackiShampine() or tw.Heun()"
            )
        check_number("rtol", self.rtol, at_least=0.0)
        check_number("atol", self.atol, above=0.0)
        if self.until is not None:
            check_number("until", self.until)
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

    def check(self, dynamics: AbstractDynamics) -> None:
        super().check(dynamics)
        check_exact(self, dynamics, "tw.Tsit5() at a fixed step", "force")
        if self.until is not None and not isinstance(dynamics.start_time, Tracer):
            check_number("until", self.until, above=float(dynamics.start_time))

    def report(self, state: State) -> Report:
        assert state.clock is not None
        step = state.memory.step
        if self.until is not None:
            step = jnp.minimum(step, _left(self.until, state.clock))
        return Report(step_size=step, ended=state.memory.code != _GOING)

    def termination(self, state: State) -> Termination | None:
        end: Control = state.memory
        assert state.clock is not None
        if int(end.code) == _GOING:
            return None
        accepted, time = int(state.clock.steps), float(state.clock.time)
        if int(end.code) == _ARRIVED:
            rejected = int(end.attempts) - accepted
            ending = ("finished", f"reached time {time:g} in {accepted} steps, {rejected} rejected")
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
        state = super().init(dynamics, position, step_size, velocity, clock)
        slope = None
        if self.scheme.tableau.first_same_as_last:
            slope = _first_slope(dynamics, clock.time, phase(state), None)
        number, count = jnp.zeros_like(clock.time), jnp.zeros((), int)
        control = Control(jnp.asarray(step_size, clock.time.dtype), slope, number, number, count, count, count)
        return dataclasses.replace(state, memory=control)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        tableau, clock, old = self.scheme.tableau, state.clock, state.memory
        assert isinstance(clock, Clock) and isinstance(old, Control)
        h, y, going = self.report(state).step_size, phase(state), old.code == _GOING
        assert h is not None
        end, slopes = advanced(tableau, dynamics, clock, y, h, draws.batch, state.evaluation, old.slope)
        if tableau.first_same_as_last:
            slopes.append(derivative(dynamics, clock.time + h, end, draws.batch))
        error = self._error(y, end, slopes, h).astype(h.dtype)
        finite, accepted = jnp.isfinite(error), going & (error < 1.0)
        # Minus its log; where there is no error to speak of the controllers look back on, it counts as 1.
        log = jnp.clip(-jnp.log(jnp.where(finite, error, jnp.inf)), -_LOG_RANGE, _LOG_RANGE)
        factor = self._factor(log, old, accepted)
        log = jnp.where(jnp.abs(log) < _LOG_RANGE, log, 0.0)
        # Steps too short for time to pass are no way out: up to an edge they would get ever shorter, and never over it.
        passes = h > jnp.finfo(h.dtype).eps * jnp.maximum(jnp.abs(clock.time), step_size)
        failed = jnp.where(accepted, jnp.where(passes, 0, old.failed), old.failed + 1)
        code = jnp.where(accepted | (failed < _TRIES), _GOING, jnp.where(finite, _STALLED, _NOT_FINITE))
        ticked = clock.tick(h)
        if self.until is not None:
            arrived = h >= _left(self.until, clock)
            code = jnp.where(accepted & arrived, _ARRIVED, code)
            # The sum of the steps may differ from it in the last digit.
            ticked = dataclasses.replace(
                ticked, time=jnp.where(arrived, self.until, ticked.time), lost=jnp.where(arrived, 0.0, ticked.lost)
            )

        def kept(new: Any, before: Any) -> Any:
            return jax.tree.map(lambda a, b: jnp.where(accepted, a, b), new, before)

        control = Control(
            jnp.where(going, h * factor, old.step),
            kept(slopes[-1], old.slope) if tableau.first_same_as_last else None,
            kept(log, old.last), kept(old.last, old.before),
            jnp.where(going, failed, old.failed), jnp.where(going, code, old.code), old.attempts + going,
        )  # fmt: skip
        y = kept(end, y)
        return State(y.position, y.velocity, clock=kept(ticked, clock), memory=control, auxiliary=y.auxiliary)

    def _error(self, y: Any, end: Any, slopes: list[Any], h: Array) -> Array:
        tableau = self.scheme.tableau
        assert tableau.embedded is not None
        main = (*tableau.b, 0.0)[: len(tableau.embedded)]
        weights = [b - e for b, e in zip(main, tableau.embedded, strict=True)]

        def squares(before: Array, after: Array, *leaves: Array) -> Array:
            wide = jnp.promote_types(before.dtype, jnp.float32)
            terms = [(h * w).astype(wide) * k.astype(wide) for w, k in zip(weights, leaves, strict=True) if w != 0.0]
            reach = jnp.maximum(jnp.abs(before), jnp.abs(after)).astype(wide)
            scaled = sum(terms[1:], terms[0]) / (self.atol.astype(wide) + self.rtol.astype(wide) * reach)
            flat = scaled.ravel()
            # A product of vectors is no part of the pass over memory before it, whose sum would be one term at a time.
            return jnp.dot(flat, flat, precision="highest")

        parts = jax.tree.leaves(jax.tree.map(squares, y, end, *slopes))
        return jnp.sqrt(sum(parts[1:], parts[0]) / size(y))

    def _factor(self, log: Array, old: Control, accepted: Array) -> Array:
        first = self.pcoeff + self.icoeff + self.dcoeff
        second, third = self.pcoeff + 2.0 * self.dcoeff, self.dcoeff
        power = (first * log - second * old.last + third * old.before) / self.order
        low, high = jnp.where(accepted, 1.0, 0.2), jnp.where(accepted, 10.0, 0.9)
        return jnp.clip(0.9 * jnp.exp(power), low, high)


# A start is made outside of what is compiled.
_first_slope = eqx.filter_jit(derivative)


def _left(until: Array, clock: Clock) -> Array:
    """The time that is left, of the compensated sum."""
    return (until - clock.time) + clock.lost
