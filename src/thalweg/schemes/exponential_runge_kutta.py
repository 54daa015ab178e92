"""Exponential Runge-Kutta methods of a diffusion model."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from .._noising.predictions import Parts
from .._tree import Vector, combine
from ..dynamics import AbstractDynamics
from ..dynamics._diffusing import AbstractDiffusing
from ._denoising import AbstractExponential, Course, as_diffusing, check_order, course, ends, phi, remixed, within
from ._state import Draws, State

_ORDERS = (1, 2, 3)


class ExponentialRungeKutta(AbstractExponential):
    r"""An exponential Runge-Kutta method on the law of a diffusion model, whose linear part it moves exactly.

    $$x^+ = \frac{\sigma_+}\sigma x + \alpha^+\int_0^h e^{s - h}D(s)\,ds,\qquad h = \lambda_+ - \lambda$$

    with the data D that are predicted taken for a polynomial in $\lambda = \log(\alpha/\sigma)$: a constant (order 1,
    `tw.DDIM()`), or linear through a stage at $h/2$ (order 2) or through stages at $h/3$ and $2h/3$ (order 3), all with
    the functions $\varphi_1$ and $\varphi_2$; or so of the noise, in $x^+ = (\alpha^+/\alpha)x + \dots$. A stage is
    where its $\lambda$ is, whatever the times. A step from no signal or to no noise, where $h$ is infinite, is of order
    1.

    Arguments:
        order: 1, 2 or 3; so many evaluations a step.
        prediction: what is taken for a polynomial, "data" or "noise"; whatever the network predicts.

    Raises:
        InputError: the order or the prediction is none of these; with the law, where it is that of no noising, or has
            noise.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> noising = tw.networks.VarianceExploding()
    >>> flow = tw.ProbabilityFlow(noising, lambda t, x: -x / (0.25 + t**2))
    >>> def error(steps):
    ...     times = tw.networks.time_grid(noising, steps, "log_snr", end=0.01)
    ...     x = tw.solve(tw.Method(flow, tw.ExponentialRungeKutta(3), times=times), jnp.array([80.0])).final.position[0]
    ...     return float(x) - 80.0 * ((0.25 + 0.01**2) / (0.25 + 80.0**2)) ** 0.5
    >>> bool(error(32) / error(64) > 6.0)
    True

    Reference: Hochbruck and Ostermann (2005), section 5; Lu et al. (2022), algorithms 1 and 2.
    """

    order: int = eqx.field(default=2, static=True)
    prediction: str = eqx.field(default="data", static=True)

    def __check_init__(self) -> None:
        check_order(self.order, _ORDERS)

    def step(self, dynamics: AbstractDynamics, state: State, step_size: ArrayLike, draws: Draws = Draws()) -> State:
        law = as_diffusing(dynamics)
        now, then, clock = ends(state, jnp.asarray(step_size))
        whole, first = course(self, law, now, then), law.parts(now, state.position)
        return State(runge_kutta(self, law, whole, first, self.order), clock=clock)


def runge_kutta(scheme: AbstractExponential, law: AbstractDiffusing, whole: Course, first: Parts, order: int) -> Vector:
    """The end of a step of so many stages, from the prediction at its start."""
    slope = None
    for part in {1: (), 2: (1 / 2,), 3: (1 / 3, 2 / 3)}[order]:
        at = within(scheme, law, whole, part)
        found = law.parts(at.end, extended(scheme, law, at, first, slope))
        slope = divided(scheme.predicted(found), scheme.predicted(first), at.span)
    return extended(scheme, law, whole, first, slope)


def extended(
    scheme: AbstractExponential, law: AbstractDiffusing, at: Course, first: Parts, *derivatives: Vector | None
) -> Vector:
    r"""The end of a course, of what is predicted at its start and its derivatives by $\lambda$ there: $N', N''/2$."""
    end = remixed(law.noising, at.end, first)
    gain = scheme.gain(law, at.end)
    terms = []
    for k, derivative in enumerate(derivatives, 1):
        if derivative is not None:
            weight = gain * at.span ** (k + 1) * math.factorial(k) * phi(k + 1, -at.span)
            terms.append((jnp.where(at.finite, weight, 0.0), derivative))
    return combine((1, end), *terms) if terms else end


def divided(there: Vector, here: Vector, span: Array) -> Vector:
    """A divided difference; 0 over nothing."""
    known = span != 0.0
    inverse = jnp.where(known, 1.0 / jnp.where(known, span, 1.0), 0.0)
    return jax.tree.map(
        lambda a, b: jnp.where(known, inverse.astype(a.dtype) * (a - b), jnp.zeros((), a.dtype)), there, here
    )
