"""Steps of a law along the marginals of a noising: its linear part exactly, by what is predicted of data and noise."""

import math
from typing import ClassVar, NamedTuple

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from .._errors import InputError, check_choice, is_whole
from .._noising.base import AbstractNoising
from .._noising.predictions import Parts
from .._tree import Vector, combine
from ..dynamics import AbstractDynamics
from ..dynamics._diffusing import AbstractDiffusing
from ._base import AbstractScheme
from ._state import Clock, State

# Terms of a series, enough where its argument is below 1.
_TERMS = 18
PREDICTIONS = ("data", "noise")


class AbstractDenoising(AbstractScheme):
    """A scheme that predicts data and noise, and mixes them anew."""

    def requires(self) -> tuple[type, ...]:
        return (AbstractDiffusing,)

    takes_rates: ClassVar[bool] = False


class AbstractExponential(AbstractDenoising):
    """One that takes the data, or the noise, for a polynomial in the log signal-to-noise ratio."""

    prediction: eqx.AbstractVar[str]

    def __check_init__(self) -> None:
        check_choice("prediction", self.prediction, PREDICTIONS)

    def level(self, law: AbstractDiffusing, time: Array) -> Array:
        r"""$\pm\lambda$, of which what is predicted is a function."""
        found = law.noising.log_snr(time)
        return found if self.prediction == "data" else -found

    def time_at(self, law: AbstractDiffusing, level: Array) -> Array:
        return law.noising.time_at(level if self.prediction == "data" else -level)

    def predicted(self, parts: Parts) -> Vector:
        return parts.clean if self.prediction == "data" else parts.noise

    def gain(self, law: AbstractDiffusing, time: Array) -> Array:
        """The factor of what is predicted in x."""
        return law.noising.signal(time) if self.prediction == "data" else law.noising.noise(time)


def check_order(order: object, options: tuple[int, ...]) -> None:
    if isinstance(order, bool) or not is_whole(order) or order not in options:
        raise InputError(f"order must be {', '.join(map(str, options[:-1]))} or {options[-1]}, but is {order!r}")


class Course(NamedTuple):
    r"""Two times of a step, with the change of $\pm\lambda$ from one to the other, 0 where it is infinite."""

    start: Array
    end: Array
    level: Array
    span: Array
    finite: Array


def course(scheme: AbstractExponential, law: AbstractDiffusing, start: Array, end: Array) -> Course:
    first, last = scheme.level(law, start), scheme.level(law, end)
    finite = jnp.isfinite(first) & jnp.isfinite(last)
    return Course(start, end, jnp.where(finite, first, 0.0), jnp.where(finite, last - first, 0.0), finite)


def within(scheme: AbstractExponential, law: AbstractDiffusing, whole: Course, part: float) -> Course:
    r"""The first part of a course, by $\lambda$."""
    span = part * whole.span
    middle = jnp.where(whole.finite, scheme.time_at(law, whole.level + span), whole.start)
    return Course(whole.start, middle, whole.level, span, whole.finite)


def remixed(noising: AbstractNoising, time: Array, parts: Parts) -> Vector:
    """The data and the noise that are predicted, mixed as at another time: a step of order 1."""
    return combine((noising.signal(time), parts.clean), (noising.noise(time), parts.noise))


def ends(state: State, step_size: Array) -> tuple[Array, Array, Clock]:
    """The times of a step, both read from a grid where there is one, and the clock after it."""
    clock = state.clock
    assert clock is not None
    return clock.time, clock.after(step_size), clock.tick(step_size)


def as_diffusing(dynamics: AbstractDynamics) -> AbstractDiffusing:
    assert isinstance(dynamics, AbstractDiffusing)
    return dynamics


def phi(k: int, z: Array) -> Array:
    r"""$\varphi_k(z) = \sum_n z^n/(n + k)!$, so that $\varphi_{k+1} = (\varphi_k - 1/k!)/z$."""
    near = jnp.abs(z) < 1.0
    series, term = jnp.zeros_like(z), jnp.ones_like(z) / math.factorial(k)
    small = jnp.where(near, z, 0.0)
    for n in range(_TERMS):
        series = series + term
        term = term * small / (n + 1 + k)
    far = jnp.where(near, 1.0, z)
    found = jnp.exp(far)
    factorial = 1.0
    for n in range(k):
        factorial = factorial * max(n, 1)
        found = (found - 1.0 / factorial) / far
    return jnp.where(near, series, found)
