"""A learning rate that falls and a batch that grows: two schedules with one temperature over the same time."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .._dictionary.conventions import Hyperparameters
from .._dictionary.momentum import momentum_from_friction, physical_constants
from .._errors import InputError, check_choice, check_count
from .._typed import typed
from ._stages import Stage, Training, stages

_KEEP = ("momentum", "law")
# Of a step: sums of step sizes carry rounding, and schedules are often float32; a shorter window is none.
_ROUNDING = 1e-5
# Steps of the schedule that follows, at most.
_MOST = 10_000_000


@dataclasses.dataclass(frozen=True, eq=False)
class EquivalentSchedules:
    """Two trainings whose temperature is the same function of the same time.

    Attributes:
        before: the training that was given, a `Training`: its arrays by step.
        after: the other one.
        keep: "momentum" or "law".
        hyperparameters: of the step both begin with.
    """

    before: Training
    after: Training
    keep: str
    hyperparameters: Hyperparameters

    def where_it_breaks(
        self,
        curvature: Any,
        samples: int | None = None,
        replace: bool = True,
        tolerance: float | int = 0.05,
        rows: int = 10,
    ) -> tuple[Stage, ...]:
        r"""The exact stationary variances of both sides, stage by stage, and what is wrong with each.

        The temperature is one at leading order only. At a curvature $\ell$ the exact variance of a method at its own
        step differs by a factor such as $1/(1 - \alpha\ell/2)$, which a smaller rate loses and a larger batch keeps.

        Arguments:
            curvature: $\ell$, one or several.
            samples: N of the data set, where it is known.
            replace: whether batches are drawn with replacement; without, the noise is $\frac{N-B}{N-1}$ of $C/B$.
            tolerance: the relative difference of variances that is warned of.
            rows: how many stages at most, evenly chosen where there are more.

        Returns:
            a `Stage` for each.

        Raises:
            InputError: a curvature is not positive, or without replacement the number of samples is not given.
        """
        return stages(self.hyperparameters, self.before, self.after, curvature, samples, replace, tolerance, rows)


@typed("hyperparameters", "learning_rate")
def equivalent_batch_schedule(
    hyperparameters: Hyperparameters, learning_rate: Callable[[Any], Any], steps: int, keep: str = "momentum"
) -> EquivalentSchedules:
    r"""The batch that grows instead of a learning rate that falls, at the same temperature over the same time.

    With the duration $d_n$ of step n of the given schedule, $T_n = d_n/2gB$ and $d$ that of `hyperparameters`,

    $$\frac1{B'_m} = \frac{2g}{d}\,\frac1d\int_{md}^{(m+1)d} T(t)\,dt$$

    so that the same noise is added in the same time; a step of the new schedule takes in several of the old one.

    - keep="momentum": $d = \alpha/(1-\beta)$, $g = 1$, at fixed $\beta$; SGD, and the overdamped limit of momentum. The
      batch grows as the rate falls.
    - keep="law": $d = h$, $g = \lambda$, at fixed friction: the momentum follows the rate, as in
      `Hyperparameters.schedule`. The batch grows as the step falls, about as the square root of the rate.

    `FrictionSchedule.batch_size` answers another question: there the temperature does not change.

    Arguments:
        hyperparameters: of the first step, with a batch size; the rate of the new schedule.
        learning_rate: the schedule at that batch size, a function of the integer step.
        steps: how many steps it is followed.
        keep: "momentum" or "law".

    Returns:
        `EquivalentSchedules`: `.before`, `.after`, `.where_it_breaks(curvature)`.

    Raises:
        InputError: there is no batch size, or a rate is negative or not finite.

    >>> import optax, thalweg as tw
    >>> drop = optax.piecewise_constant_schedule(0.1, {100: 0.2})
    >>> found = tw.analysis.equivalent_batch_schedule(tw.Hyperparameters(0.1, batch_size=64), drop, 200)
    >>> found.after.steps, found.after.batch_size[[0, 99, 100, 119]].round(9).tolist()
    (120, [64.0, 64.0, 320.0, 320.0])

    Reference: Smith et al. (2018).
    """
    own, g = _own(hyperparameters, keep)
    if not callable(learning_rate):
        raise InputError(f"learning_rate must be a schedule, a function of the step, but is {learning_rate!r}")
    numbers = np.arange(check_count("steps", steps))
    rates = _values("learning_rate", learning_rate, numbers, above=False)
    if keep == "law":
        schedule = hyperparameters.schedule(learning_rate)
        with jax.enable_x64(True):
            durations = np.array([float(schedule.step_size(int(n))) for n in numbers])
        momenta = _momenta_and_kicks(g, durations)[0]
    else:
        durations = own * rates / hyperparameters.learning_rate
        momenta = np.full(len(rates), hyperparameters.momentum)
    batch = _batch(hyperparameters)
    before = Training(rates, momenta, np.full(len(rates), batch), durations, durations / (2.0 * g * batch))
    edges = before.time
    if not edges[-1] > 0.0:
        raise InputError("learning_rate must be positive at some step, but the schedule is 0 at all of them")
    count = int(np.ceil(_counted(edges[-1] / own) - _ROUNDING))
    windows = np.minimum(own * np.arange(count + 1), edges[-1])
    heat = np.interp(windows, edges, np.concatenate([[0.0], np.cumsum(before.temperature * durations)]))
    temperature = np.diff(heat) / np.diff(windows)
    after = Training(
        np.full(count, hyperparameters.learning_rate),
        np.full(count, hyperparameters.momentum),
        own / (2.0 * g * temperature),
        np.full(count, own),
        temperature,
    )
    return EquivalentSchedules(before, after, keep, hyperparameters)


@typed("hyperparameters", "batch_size")
def equivalent_rate_schedule(
    hyperparameters: Hyperparameters, batch_size: Callable[[Any], Any], steps: int, keep: str = "momentum"
) -> EquivalentSchedules:
    r"""The learning rate that falls instead of a batch that grows: the inverse of `equivalent_batch_schedule`.

    A step of the new schedule that begins at t lasts $d\,B/B(t)$, with d and B those of `hyperparameters`.

    Arguments:
        hyperparameters: of the first step, with the batch size of the new schedule.
        batch_size: the schedule at the constant learning rate, a function of the integer step.
        steps: how many steps it is followed.
        keep: "momentum" or "law".

    Returns:
        `EquivalentSchedules`.

    Raises:
        InputError: there is no batch size, or one of the schedule is not positive.

    >>> import thalweg as tw
    >>> found = tw.analysis.equivalent_rate_schedule(
    ...     tw.Hyperparameters(0.1, batch_size=64), lambda n: 64 if n < 100 else 320, 120)
    >>> found.after.steps, found.after.learning_rate[[0, 99, 100, 199]].round(9).tolist()
    (200, [0.1, 0.1, 0.02, 0.02])

    Reference: Smith et al. (2018).
    """
    own, g = _own(hyperparameters, keep)
    if not callable(batch_size):
        raise InputError(f"batch_size must be a schedule, a function of the step, but is {batch_size!r}")
    count = check_count("steps", steps)
    batches, batch = _values("batch_size", batch_size, np.arange(count), above=True), _batch(hyperparameters)
    same = np.full(count, own)
    before = Training(
        np.full(count, hyperparameters.learning_rate),
        np.full(count, hyperparameters.momentum),
        batches,
        same,
        own / (2.0 * g * batches),
    )
    _counted(float(np.sum(batches)) / batch)
    durations, at = [], 0.0
    while at < count - _ROUNDING:
        # Time in units of the constant step, so that the stage is its whole part; rounding must not hold it back.
        share = batch / batches[min(int(at + _ROUNDING), count - 1)]
        durations.append(own * share)
        at += share
    lasting = np.array(durations)
    if keep == "law":
        momenta, kicks = _momenta_and_kicks(g, lasting)
        # Conventions in which there is a friction to keep have the rate of the motion.
        rates = lasting * kicks
    else:
        momenta = np.full(len(lasting), hyperparameters.momentum)
        rates = hyperparameters.learning_rate * lasting / own
    after = Training(rates, momenta, np.full(len(lasting), batch), lasting, lasting / (2.0 * g * batch))
    return EquivalentSchedules(before, after, keep, hyperparameters)


def _own(hyperparameters: Any, keep: str) -> tuple[float, float]:
    """Duration d of a step of the hyperparameters, and g, in $T = d/2gB$."""
    if not isinstance(hyperparameters, Hyperparameters):
        raise InputError(f"hyperparameters must be tw.Hyperparameters, but is {hyperparameters!r}")
    check_choice("keep", keep, _KEEP)
    if hyperparameters.batch_size is None:
        raise InputError("a temperature needs a batch size: Hyperparameters(..., batch_size=)")
    if keep == "momentum":
        return float(hyperparameters.scale / (1.0 - hyperparameters.momentum)), 1.0
    # Refuses what has no friction to keep.
    hyperparameters.schedule(lambda step: step)
    step, friction = physical_constants(hyperparameters.scale, hyperparameters.momentum)
    return float(step), float(friction)


def _momenta_and_kicks(friction: float, intervals: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    pairs = [momentum_from_friction(friction, interval) for interval in intervals.tolist()]
    return np.array([beta for beta, _ in pairs], dtype=float), np.array([kick for _, kick in pairs], dtype=float)


def _batch(hyperparameters: Hyperparameters) -> float:
    assert hyperparameters.batch_size is not None
    return float(hyperparameters.batch_size)


def _counted(steps: float) -> float:
    """The number of steps that a schedule becomes, refused where they would not end."""
    if not steps <= _MOST:
        raise InputError(f"the equivalent schedule would take {steps:.3g} steps, and at most {_MOST:,} are made")
    return steps


def _values(name: str, schedule: Callable[[Any], Any], steps: np.ndarray, above: bool) -> np.ndarray:
    with jax.enable_x64(True):
        try:
            values = np.array([float(schedule(int(step))) for step in steps])
        except Exception as error:
            raise InputError(f"{name}, a schedule, raised {type(error).__name__}: {error}") from error
    wrong = ~np.isfinite(values) | (values <= 0.0 if above else values < 0.0)
    if wrong.any():
        step = int(np.argmax(wrong))
        bound = "greater than 0" if above else "at least 0"
        raise InputError(f"{name} must be finite and {bound} at every step, but is {values[step]:g} at step {step}")
    return values
