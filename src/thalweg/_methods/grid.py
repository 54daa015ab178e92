"""A grid of times, by which a method makes steps of given lengths."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Int

from .._errors import InputError
from .._module import Module
from ..schemes import Clock


def _times(value: Any) -> Any:
    try:
        return jnp.asarray(value, float)
    except (TypeError, ValueError, OverflowError):
        return value


class TimeGrid(Module):
    r"""Times $t_0, t_1, \dots, t_n$ of the states of a method: step k goes from $t_k$ to $t_{k+1}$.

    It is a schedule of step sizes; a method takes the times themselves from it, so that nothing is summed up.
    """

    times: Float[Array, " states"] = eqx.field(converter=_times)

    def __check_init__(self) -> None:
        if not isinstance(self.times, jax.Array) or self.times.ndim != 1 or self.times.size < 2:
            raise InputError(
                f"times must be two numbers or more, such as jnp.linspace(0, 1, 11), but are {self.times!r}"
            )
        if isinstance(self.times, Tracer):
            return
        steps = np.diff(np.asarray(self.times))
        if not np.all(np.isfinite(np.asarray(self.times))):
            raise InputError("times must be finite")
        if not (np.all(steps > 0) or np.all(steps < 0)):
            at = int(np.argmax(steps * np.sign(steps[0]) <= 0))
            raise InputError(
                f"times must go up, or down, at every step, but times[{at}] is {float(self.times[at]):g} and "
                f"times[{at + 1}] is {float(self.times[at + 1]):g}"
            )

    @property
    def steps(self) -> int:
        """The number of steps."""
        return self.times.size - 1

    @property
    def backwards(self) -> bool:
        """Tell whether the times go down, where they are known."""
        if isinstance(self.times, Tracer):
            return False
        first, second = np.asarray(self.times)[:2]
        return bool(second < first)

    def __call__(self, step: ArrayLike) -> Float[Array, ""]:
        """The step size of a step."""
        k = jnp.clip(jnp.asarray(step), 0, self.steps - 1)
        return self.times[k + 1] - self.times[k]

    def clock(self, steps: Int[Array, ""], last: Float[Array, ""]) -> Clock:
        """The clock after some steps, with the time at the end of the step to come."""
        end = self.times[jnp.minimum(steps + 1, self.steps)]
        return Clock(self.times[jnp.minimum(steps, self.steps)], jnp.zeros((), float), steps, last, end)
