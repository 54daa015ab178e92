"""Two trainings of one temperature, stage by stage: their exact variances, and where they differ."""

import dataclasses
import itertools
from typing import Any

import jax
import numpy as np

from .._dictionary.conventions import Hyperparameters
from .._errors import InputError, check_count, check_number
from .._methods.aliases import gradient_descent, momentum, nesterov
from .._methods.stationary import stationary_covariance

# Numbers of a schedule nearer than this are one: schedules are often float32.
_SAME = 1e-5


@dataclasses.dataclass(frozen=True, eq=False)
class Training:
    """A training by its steps; every array has shape (n,).

    Attributes:
        learning_rate: in the convention of the hyperparameters.
        momentum: beside it.
        batch_size: in samples, not rounded.
        duration: how long a step lasts, in units of the motion's time.
        temperature: in units of the covariance of one sample's gradient noise, at leading order.
    """

    learning_rate: np.ndarray
    momentum: np.ndarray
    batch_size: np.ndarray
    duration: np.ndarray
    temperature: np.ndarray

    @property
    def steps(self) -> int:
        """n, how many steps."""
        return len(self.duration)

    @property
    def time(self) -> np.ndarray:
        """The times between the steps, from 0 on, (n + 1,)."""
        return np.concatenate([[0.0], np.cumsum(self.duration)])

    @property
    def gradients(self) -> float:
        """Number of gradients of samples it takes."""
        return float(self.batch_size.sum())

    def at(self, time: float) -> int:
        """The step that a time falls into."""
        return int(np.clip(np.searchsorted(self.time, time, side="right") - 1, 0, self.steps - 1))


@dataclasses.dataclass(frozen=True, eq=False)
class Stage:
    """Both sides of an equivalence at one time.

    Attributes:
        time: in units of the motion's time.
        learning_rate, momentum, batch_size: of (before, after).
        curvature: array (k,).
        variance: exact stationary variances of (before, after), (2, k), in units of the covariance of one sample's
            gradient noise; infinite where a step is unstable.
        difference: after over before, less 1, (k,).
        warnings: what is wrong, a line each.
    """

    time: float
    learning_rate: tuple[float, float]
    momentum: tuple[float, float]
    batch_size: tuple[float, float]
    curvature: np.ndarray
    variance: np.ndarray
    difference: np.ndarray
    warnings: tuple[str, ...]


def stages(
    base: Hyperparameters,
    before: Training,
    after: Training,
    curvature: Any,
    samples: int | None,
    replace: bool,
    tolerance: float | int,
    rows: int,
) -> tuple[Stage, ...]:
    """A stage for each stretch of the two trainings in which nothing changes, evenly chosen where they are many."""
    try:
        curvatures = np.atleast_1d(np.asarray(curvature, dtype=float))
    except (TypeError, ValueError):
        raise InputError(f"curvature must be a number or a list of them, but is {curvature!r}") from None
    if curvatures.ndim != 1 or not curvatures.size or not np.isfinite(curvatures).all() or curvatures.min() <= 0.0:
        raise InputError(f"curvature must be positive, a number or a list of them, but is {curvature!r}")
    check_number("tolerance", tolerance, above=0.0)
    check_count("rows", rows)
    if samples is not None:
        check_count("samples", samples, at_least=2)
    elif not replace:
        raise InputError("without replacement the noise depends on the number of samples: samples=")
    found = []
    for time in _times(before, after, rows):
        pairs = [(side.learning_rate[i], side.momentum[i], side.batch_size[i])
                 for side, i in ((before, before.at(time)), (after, after.at(time)))]  # fmt: skip
        rates, momenta, batches = (tuple(float(value) for value in column) for column in zip(*pairs, strict=True))
        shares = [noise_share(batch, samples, replace) for batch in batches]
        variance = np.array([
            [share * _variance(base, rate, beta, float(l)) for l in curvatures]
            for rate, beta, share in zip(rates, momenta, shares, strict=True)
        ])  # fmt: skip
        with np.errstate(divide="ignore", invalid="ignore"):
            difference = variance[1] / variance[0] - 1.0
            # Of the step sizes alone, whatever the batches are drawn from.
            of_steps = variance[1] / variance[0] * (shares[0] * batches[0]) / (shares[1] * batches[1]) - 1.0
        warnings = [
            *_of_curvature(curvatures, variance, of_steps, rates, tolerance),
            *_of_batches(batches, shares, samples, replace, tolerance),
        ]
        found.append(Stage(time, rates, momenta, batches, curvatures, variance, difference, tuple(warnings)))  # pyright: ignore[reportArgumentType]
    return tuple(found)


def noise_share(batch: float, samples: int | None, replace: bool) -> float:
    r"""The noise of a step over that of a sample: $1/B$, or $\frac{N-B}{B(N-1)}$ without replacement."""
    if replace or samples is None:
        return 1.0 / batch
    return max(samples - batch, 0.0) / (batch * (samples - 1))


def _times(before: Training, after: Training, rows: int) -> np.ndarray:
    """The middles of the stretches in which neither training changes."""
    changes = [0.0]
    for side in (before, after):
        table = np.stack([side.learning_rate, side.momentum, side.batch_size])
        moved = np.any(np.abs(np.diff(table, axis=1)) > _SAME * np.abs(table[:, 1:]), axis=0)
        changes += side.time[1:-1][moved].tolist()
    end = float(before.time[-1])
    edges = np.unique([*changes, end])
    edges = edges[np.concatenate([[True], np.diff(edges) > 1e-7 * end])]
    # A window that straddles a change of the other side belongs to neither stage.
    shortest = 0.5 * float(min(before.duration[before.duration > 0.0].min(), after.duration.min()))
    middles = [0.5 * (a + b) for a, b in itertools.pairwise(edges) if b - a > shortest]
    chosen = np.unique(np.linspace(0, len(middles) - 1, min(rows, len(middles))).round().astype(int))
    return np.array(middles)[chosen]


def _variance(base: Hyperparameters, rate: float, beta: float, curvature: float) -> float:
    if not rate > 0.0:
        return 0.0
    here = dataclasses.replace(base, learning_rate=rate, momentum=beta)
    with jax.enable_x64(True):
        make = nesterov if base.nesterov else momentum
        method = gradient_descent(None, here.scale) if beta == 0.0 else make(None, here.scale, beta)
        try:
            return float(stationary_covariance(method, curvature, 1.0))
        except InputError:
            # The only thing left to refuse is a step beyond the stability limit.
            return np.inf


def _of_curvature(
    curvatures: np.ndarray, variance: np.ndarray, difference: np.ndarray, rates: tuple, tolerance: float | int
) -> list[str]:
    lines = []
    for side, values, rate in zip(("before", "after"), variance, rates, strict=True):
        unstable = curvatures[np.isinf(values)]
        if unstable.size:
            lines.append(f"{side}: learning rate {rate:.4g} is unstable at curvature {unstable.min():.4g} and above")
    apart = np.where(np.isfinite(difference), np.abs(difference), 0.0)
    if apart.max() > tolerance:
        i, rate = int(apart.argmax()), max(rates)
        lines.append(
            f"the variances differ by {100 * difference[i]:.3g} % at curvature {curvatures[i]:.4g}, where "
            f"learning rate times curvature is {rate * curvatures[i]:.3g}: not small"
        )
    return lines


def _of_batches(
    batches: tuple, shares: list[float], samples: int | None, replace: bool, tolerance: float | int
) -> list[str]:
    lines = [f"{side}: a batch of {batch:.3g} is less than one sample"
             for side, batch in zip(("before", "after"), batches, strict=True) if batch < 1.0]  # fmt: skip
    if samples is None:
        return lines
    for side, batch in zip(("before", "after"), batches, strict=True):
        if batch > samples:
            noise = "and costs more than the full gradient" if replace else "so that no noise is left"
            lines.append(f"{side}: a batch of {batch:.4g} is more than the {samples} samples, {noise}")
    # What the temperature asks for, against the noise there is.
    wanted = shares[0] * batches[0] / batches[1]
    if not replace and shares[0] > 0.0 and abs(shares[1] / wanted - 1.0) > tolerance:
        right = samples / (1.0 + wanted * (samples - 1))
        lines.append(
            f"without replacement {batches[1]:.4g} of {samples} samples have {shares[1] / wanted:.3g} times the noise "
            f"that was before; a batch of {right:.4g} has it"
        )
    return lines
