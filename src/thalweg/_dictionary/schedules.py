"""A schedule of the learning rate, and the momentum that keeps the friction beside it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from .._errors import InputError
from .momentum import momentum_from_friction


@dataclasses.dataclass(frozen=True)
class FrictionSchedule:
    r"""Learning rate and momentum, step by step, of one motion at constant friction: functions of the step.

    With the step and the kick of step n from its learning rate, $\beta_n$ from its friction, and
    $\hat k_n = (k_n + \beta_n k_{n-1})/(1+\beta_n)$ for the gradient that half belongs to the step before:

    $$\begin{aligned}
      h_n &= \tfrac12\Bigl(\tfrac{\lambda\alpha_n}2 + \sqrt{\bigl(\tfrac{\lambda\alpha_n}2\bigr)^2 + 4\alpha_n}\Bigr),
      & a_n &= h_n\hat k_n,\\
      \text{torch, optax:}\quad M_n &= \beta_n\frac{1+\beta_{n-1}}{1+\beta_n}\frac{\hat k_{n-1}}{\hat k_n},
      & \text{keras:}\quad M_n &= \beta_n\frac{1+\beta_{n-1}}{1+\beta_n}\frac{h_n}{h_{n-1}}
    \end{aligned}$$

    so that a framework that leaves its buffer alone carries the velocity over all the same, to second order. Where the
    rate is constant, $a = \alpha$ and $M = \beta$; where it falls at once, M is greater than 1 for a step or two. Where
    the rate is 0 the motion stops, and begins again from rest.

    Attributes:
        rate: the learning rate that was asked for, by the step.
        friction: $\lambda$.
        convention: "torch" (optax's is the same) or "keras".
        nesterov: whether the gradient is taken ahead.
        batch: batch size and step to begin with, None where it is not known.
    """

    rate: Callable[[Any], Any]
    friction: float
    convention: str = "torch"
    nesterov: bool = False
    batch: tuple[float, float] | None = None

    def learning_rate(self, step: Any) -> Any:
        """$a_n$, what to give the framework as its learning rate."""
        self._check()
        return self.step_size(step) * self._kick(step)

    def momentum(self, step: Any) -> Any:
        """$M_n$, what to give the framework as its momentum."""
        self._check()
        before = jnp.maximum(jnp.asarray(step) - 1, 0)
        now, then = self._constants(step), self._constants(before)
        share = now[1] * (1.0 + then[1]) / (1.0 + now[1])
        up, down = (now[0], then[0]) if self.convention == "keras" else (self._kick(before), self._kick(step))
        return jnp.where(down > 0, share * up / jnp.where(down > 0, down, 1.0), 0.0)

    def step_size(self, step: Any) -> Any:
        r"""$h_n$, for `tw.Method(tw.HeavyBall(f, friction), scheme, schedule.step_size)`."""
        half = 0.5 * self.friction * jnp.asarray(self.rate(step), float)
        return 0.5 * (half + jnp.sqrt(half**2 + 4.0 * jnp.asarray(self.rate(step), float)))

    def batch_size(self, step: Any) -> Any:
        """The batch size that keeps the temperature: proportional to the step size."""
        if self.batch is None:
            raise InputError("a batch size needs the one to begin with: Hyperparameters(..., batch_size=)")
        size, at = self.batch
        return size * self.step_size(step) / at

    def _constants(self, step: Any) -> tuple[Any, Any, Any]:
        h = self.step_size(step)
        beta, kick = momentum_from_friction(self.friction, h)
        return h, beta, kick

    def _kick(self, step: Any) -> Any:
        _, beta, kick = self._constants(step)
        before = self._constants(jnp.maximum(jnp.asarray(step) - 1, 0))[2]
        return (kick + beta * before) / (1.0 + beta)

    def _check(self) -> None:
        if self.nesterov:
            raise InputError(
                "no learning rate and momentum of a framework's Nesterov method follow a change of the step; use "
                "tw.Method(tw.HeavyBall(None, schedule.friction), tw.Lookahead(start='zero'), schedule.step_size)"
            )
