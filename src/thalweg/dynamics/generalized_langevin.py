"""The generalized Langevin equation: friction with a memory, and the coloured noise that balances it."""

from typing import Any, ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._errors import InputError, check_number
from .._objectives.objective import AbstractObjective, as_objective
from .._tree import Vector, combine, scalar, zeros_like
from ._base import AbstractDamped, Coefficient, Time, at_time, check_coefficient, coefficient
from ._linear import exact_flow, root
from ._noise import AbstractNoisy


def _numbers(value: Any) -> Any:
    try:
        return jnp.asarray(value, float)
    except (TypeError, ValueError, OverflowError):
        return value


class GeneralizedLangevin(AbstractDamped, AbstractNoisy):
    r"""The heavy ball in a heat bath that remembers: friction by a kernel $\sum_k \frac{c_k}{\tau_k}e^{-t/\tau_k}$.

    $$m\,d\eta = \Bigl(-\nabla f - \lambda\eta + \sum_k s_k\Bigr)dt + \sqrt{2\lambda T}\,dW,\qquad
      ds_k = -\frac{s_k + c_k\eta}{\tau_k}\,dt + \frac{\sqrt{2c_kT}}{\tau_k}\,dW_k$$

    At constant temperature its stationary law is $e^{-(m\eta^2/2 + f)/T}$ for position and velocity, and independent of
    them $s_k$ are Gaussian of variance $Tc_k/\tau_k$. They start from zero. For $\tau_k\to0$ it is
    `tw.UnderdampedLangevin` with the friction $\lambda + \sum_k c_k$. In `tw.Splitting` the letter O is the exact flow
    of $(\eta, s)$ without the force.

    Arguments:
        objective: $f$, the potential, a `tw.Objective` or a function of the parameters.
        friction: $\lambda \ge 0$, without memory, a number or a function of time; the memory damps where it is zero.
        temperature: $T \ge 0$, in units of f, a number or a function of time.
        memory_times: $\tau_k > 0$, one or several.
        memory_frictions: $c_k > 0$, as many, in units of the friction.
        mass: $m > 0$.

    Raises:
        InputError: a number is out of its range, or there are not as many frictions as times.

    >>> import thalweg as tw
    >>> law = tw.GeneralizedLangevin(None, 0.0, temperature=1.0, memory_times=(0.5, 5.0), memory_frictions=(1.0, 2.0))
    >>> method = tw.Method(law, tw.Splitting("BAOAB"), 0.05)
    >>> round(float(tw.analysis.stationary_covariance(method, 2.0)), 3)  # T/l
    0.5

    Reference: Ceriotti, Bussi and Parrinello (2010).
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    friction: Coefficient = eqx.field(converter=coefficient)
    temperature: Coefficient = eqx.field(converter=coefficient)
    memory_times: Float[Array, " memories"] = eqx.field(converter=_numbers)
    memory_frictions: Float[Array, " memories"] = eqx.field(converter=_numbers)
    mass: Float[Array, ""] = eqx.field(default=1.0, converter=scalar)
    elementwise: ClassVar[bool] = True

    def __check_init__(self) -> None:
        check_coefficient("friction", self.friction, at_least=0.0)
        check_coefficient("temperature", self.temperature, at_least=0.0)
        check_number("mass", self.mass, above=0.0)
        for name in ("memory_times", "memory_frictions"):
            _check_memories(name, getattr(self, name))
        if self.memory_times.shape != self.memory_frictions.shape:
            raise InputError(
                f"memory_frictions must be as many as memory_times, but are {self.memory_frictions.shape[0]} "
                f"for {self.memory_times.shape[0]}"
            )

    @property
    def normals(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self.memory_times.shape[-1] + 1

    @property
    def autonomous(self) -> bool:
        return not (callable(self.friction) or callable(self.temperature))

    def initial_auxiliary(self, position: Vector) -> PyTree:
        return tuple(zeros_like(position) for _ in range(self.normals - 1))

    def friction_at(self, time: Time) -> ArrayLike:
        return at_time(self.friction, time)

    def thermal(
        self, time: Time, duration: ArrayLike, velocity: Vector, auxiliary: PyTree, normals: tuple[Vector, ...]
    ) -> tuple[Vector, PyTree]:
        # In units in which every stationary variance is T, friction is the diagonal of the drift and what velocity and
        # memory do to each other is antisymmetric. The velocity is last: over a short step, where it has no noise of
        # its own, it is known from the others.
        friction = jnp.asarray(self.friction_at(time)) / self.mass
        rates = jnp.append(1.0 / self.memory_times, friction)
        coupling = jnp.sqrt(self.memory_frictions / (self.mass * self.memory_times))
        drift = jnp.diag(-rates).at[:-1, -1].set(-coupling).at[-1, :-1].set(coupling)
        change, spread = exact_flow(drift, jnp.diag(2.0 * rates), duration)
        factor, heat = root(spread), jnp.sqrt(jnp.asarray(at_time(self.temperature, time)))
        units = jnp.append(jnp.sqrt(self.memory_frictions / self.memory_times), jnp.sqrt(1.0 / self.mass))
        before, after = (*auxiliary, velocity), []
        for i in range(len(before)):
            drifts = [(change[i, j] * units[i] / units[j], before[j]) for j in range(len(before))]
            noises = [(heat * units[i] * factor[i][j], normals[j]) for j in range(i + 1)]
            after.append(combine((1, before[i]), *drifts, *noises))
        return after[-1], tuple(after[:-1])


def _check_memories(name: str, value: Any) -> None:
    if not isinstance(value, Tracer) and not isinstance(value, Array):
        raise InputError(f"{name} must be numbers, one a memory, such as (1.0, 5.0), but are {value!r}")
    if value.ndim != 1 or value.shape[0] == 0:
        raise InputError(f"{name} must be one number a memory, such as (1.0, 5.0), but have shape {value.shape}")
    if not isinstance(value, Tracer):
        for number in np.asarray(value):
            check_number(f"every one of {name}", number, above=0.0)
