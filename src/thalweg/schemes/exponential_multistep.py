"""Exponential multistep methods of a diffusion model."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from .._errors import InputError, check_choice
from .._tree import Vector, combine, zeros_like
from ..dynamics import AbstractDynamics
from ._denoising import AbstractExponential, as_diffusing, check_order, course, ends, remixed
from ._state import Clock, Draws, State
from .exponential_runge_kutta import divided, extended, runge_kutta

_ORDERS = (2, 3)
_WEIGHTS = ("midpoint", "adams")


class Past(NamedTuple):
    r"""Predictions of the steps before, newest first, and the changes of $\pm\lambda$ over these steps; 0 of none."""

    predicted: tuple[Vector, ...]
    spans: tuple[Array, ...]


class ExponentialMultistep(AbstractExponential):
    r"""An exponential multistep method on the law of a diffusion model: one evaluation a step; DPM-Solver++.

    As `tw.ExponentialRungeKutta`, with the polynomial through what was predicted where the steps before began, whatever
    their lengths. Of order 2 with `weights="midpoint"`, DPM-Solver++(2M),

    $$x^+ = \frac{\sigma_+}\sigma x + \alpha^+(1 - e^{-h})\Bigl(D + \frac h2\,\frac{D - D_-}{h_-}\Bigr)$$

    where `"adams"` has the integral of the line instead, $h^2\varphi_2(-h)$ for $\tfrac h2(1 - e^{-h})$. The first step
    of order 2 is of order 1, and that of order 3 one of `tw.ExponentialRungeKutta(2)`, of one evaluation more. A step
    to no noise is of order 1, and one from no signal is none that is looked back on.

    Arguments:
        order: 2 or 3.
        prediction: "data" or "noise", as in `tw.ExponentialRungeKutta`.
        weights: "midpoint" or "adams"; of order 3 "adams", and None is the first of order 2.

    Raises:
        InputError: an argument is none of these; with the law as in `tw.ExponentialRungeKutta`.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> noising = tw.networks.VarianceExploding()
    >>> flow = tw.ProbabilityFlow(noising, lambda t, x: -x / (0.25 + t**2))
    >>> method = tw.Method(flow, tw.ExponentialMultistep(), times=tw.networks.time_grid(noising, 50, end=0.01))
    >>> method.gradients_per_step, round(float(tw.solve(method, jnp.array([80.0])).final.position[0]), 2)
    (1, 0.5)

    Reference: Lu et al. (2022b), algorithm 2; Hochbruck and Ostermann (2010), section 2.5.
    """

    order: int = eqx.field(default=2, static=True)
    prediction: str = eqx.field(default="data", static=True)
    weights: str | None = eqx.field(default=None, static=True)

    def __check_init__(self) -> None:
        check_order(self.order, _ORDERS)
        if self.weights is not None:
            check_choice("weights", self.weights, _WEIGHTS)
        if self.order == 3 and self.weights == "midpoint":
            raise InputError('weights of order 3 must be "adams", but are "midpoint"')

    def counts(self, dynamics: AbstractDynamics) -> tuple[int, int] | None:
        # The first step of a method of order 3 takes one more.
        return self.order - 2, 1

    def init(
        self,
        dynamics: AbstractDynamics,
        position: Vector,
        step_size: ArrayLike,
        velocity: Vector | None = None,
        clock: Clock | None = None,
    ) -> State:
        count = self.order - 1
        none = jnp.zeros((), float)
        past = Past((zeros_like(position),) * count, (none,) * count)
        return State(position, clock=clock, memory=past)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        law, past = as_diffusing(dynamics), state.memory
        now, then, clock = ends(state, jnp.asarray(step_size))
        whole, first = course(self, law, now, then), law.parts(now, state.position)
        here = self.predicted(first)
        slope = divided(here, past.predicted[0], past.spans[0])
        if self.order == 2 and self.weights != "adams":
            span = whole.span
            weight = self.gain(law, then) * -jnp.expm1(-span) * 0.5 * span
            end = combine((1, remixed(law.noising, then, first)), (jnp.where(whole.finite, weight, 0.0), slope))
        elif self.order == 2:
            end = extended(self, law, whole, first, slope)
        else:
            before = divided(past.predicted[0], past.predicted[1], past.spans[1])
            bend = divided(slope, before, jnp.where(past.spans[1] == 0.0, 0.0, past.spans[0] + past.spans[1]))
            tangent = combine((1, slope), (past.spans[0], bend))
            begun = past.spans[0] != 0.0
            end = jax.lax.cond(
                begun,
                lambda: extended(self, law, whole, first, tangent, bend),
                lambda: runge_kutta(self, law, whole, first, 2),
            )
        memory = Past((here, *past.predicted[:-1]), (whole.span, *past.spans[:-1]))
        return State(end, clock=clock, memory=memory)
