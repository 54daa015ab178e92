"""Steps at which a recorder measures the curvature: every so many, and sooner where something moves."""

import math

# A curvature that has moved by more than this, as a logarithm, is measured four times as often; by less, half as often.
_MOVED, _STILL = math.log(1.25), math.log(1.1)
# A loss is new that lies so many mean deviations, and this share of itself, above its mean of the last ten or so.
_DEVIATIONS, _SHARE, _WEIGHT, _LEARNT = 4.0, 1e-3, 0.1, 10
# Below this the margin may soon be at 1.
_NEAR = 2.0


class Watch:
    """Tell when the curvature is due.

    It is due at every multiple of `every`, at once where the loss jumps, then after 1, 2, 4, ... steps as long as it
    has not moved; after a quarter of the steps since the last time where it has moved; and after a quarter of `every`
    where the margin is below 2.

    Arguments:
        every: the most steps between two times.
    """

    def __init__(self, every: int) -> None:
        self._every = self._interval = every
        self._next: int | None = None
        self._urgent = self._broken = False
        self._last: tuple[int, float] | None = None
        self._mean = self._deviation = 0.0
        self._seen = 0

    def due(self, step: int) -> bool:
        """Tell whether to measure before this step."""
        return step % self._every == 0 or self._urgent or (self._next is not None and step >= self._next)

    def see(self, loss: float) -> None:
        """Take note of a loss, in the order of the steps."""
        if not math.isfinite(loss):
            self._urgent = self._urgent or not self._broken
            self._broken = True
            return
        above = max(_DEVIATIONS * self._deviation, _SHARE * abs(self._mean))
        if self._seen >= _LEARNT and loss > self._mean + above:
            self._urgent = True
        self._seen += 1
        weight = max(_WEIGHT, 1.0 / self._seen)
        self._deviation += weight * (abs(loss - self._mean) - self._deviation) if self._seen > 1 else 0.0
        self._mean += weight * (loss - self._mean)

    def measured(self, step: int, curvature: float) -> None:
        """Take note of a curvature."""
        before, self._last = self._last, (step, curvature)
        since = self._every if before is None else max(step - before[0], 1)
        if self._urgent:
            self._urgent, self._interval = False, 1
        elif before is not None:
            moved = _apart(before[1], curvature)
            if moved > _MOVED:
                self._interval = max(1, min(self._interval, since) // 4)
            elif moved < _STILL:
                self._interval = min(self._every, 2 * self._interval)
        self._next = step + self._interval

    def near(self, step: int, margin: float) -> None:
        """Take note of a stability margin."""
        if margin < _NEAR:
            soon = step + max(1, self._every // 4)
            self._next = soon if self._next is None else min(self._next, soon)


def _apart(one: float, other: float) -> float:
    """Distance of two curvatures, as a logarithm."""
    if one == other:
        return 0.0
    return abs(math.log(other / one)) if one > 0.0 and other > 0.0 else math.inf
