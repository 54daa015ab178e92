"""The aliases of gradient flow in a metric that belongs to a model: natural gradient and Gauss-Newton."""

from functools import partial
from typing import Any

from jaxtyping import ArrayLike

from .._errors import InputError
from .._typed import typed
from ..dynamics import GradientFlow
from ..geometry import GaussNewton
from ..schemes import Euler
from .aliases import first_order
from .method import Method, Schedule


@typed("learning_rate")
def natural_gradient(objective: Any, learning_rate: ArrayLike | Schedule, geometry: Any) -> Method:
    r"""Natural gradient descent: Euler's method on gradient flow in a metric, of the Fisher information as a rule.

    $$\theta^+ = \theta - \alpha\,F(\theta)^{-1}\nabla f(\theta)$$

    The step is the one that lowers f most to first order for what it changes the distribution, in Kullback-Leibler
    divergence to second: the minimiser of $\nabla f\cdot d + \tfrac1{2\alpha}d^\top Fd$. It is no row of the table,
    since the metric belongs to a model and is none of its numbers.

    Arguments:
        objective: $f$, a `tw.Objective` or a function; None for an adapter.
        learning_rate: $\alpha > 0$, or a schedule of the integer step.
        geometry: a `tw.geometry.Fisher` of a model, `tw.geometry.FisherInformation` of a distribution's parameters, or
            any other `tw.geometry.AbstractMetric`.

    Raises:
        InputError: the learning rate is not a finite positive number, or the geometry is no metric.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> coins = jnp.array([1.0, 1.0, 0.0, 1.0])  # a probability of heads as a logit, from 1/2
    >>> f = lambda z: jnp.sum(jnp.logaddexp(0.0, z) - coins * z)
    >>> fisher = tw.geometry.Fisher(lambda z, x: z * x, jnp.ones(4), "bernoulli")
    >>> run = tw.run(tw.natural_gradient(f, 1.0, fisher), jnp.array(0.0), 5)
    >>> round(float(1 / (1 + jnp.exp(-run.final.position))), 5)
    0.75

    Reference: Amari (1998), equation 5.
    """
    if geometry is None:
        raise InputError(
            "natural gradient needs a metric, such as tw.geometry.Fisher(model, inputs, likelihood); without one it is "
            "tw.gradient_descent"
        )
    return first_order(partial(GradientFlow, geometry=geometry), Euler)(objective, learning_rate)


@typed("learning_rate")
def gauss_newton(least_squares: Any, learning_rate: ArrayLike | Schedule = 1.0, damping: ArrayLike = 0.0) -> Method:
    r"""The Gauss-Newton method: Euler's method on gradient flow in the metric of the residuals.

    $$\theta^+ = \theta - \alpha\,(J^\top J + \lambda)^{-1}J^\top r$$

    With $\alpha = 1$ it solves linear residuals in one step where $\lambda = 0$, and is Levenberg's method of length
    $h = 1/\lambda$ elsewhere: `tw.RosenbrockEuler`. Nothing keeps a step from going too far; `tw.minimize` and
    `tw.LevenbergMarquardt` choose their steps. It is no row of the table, since there is none without residuals.

    Arguments:
        least_squares: a `tw.LeastSquares`, or a function that gives residuals.
        learning_rate: $\alpha > 0$, stable below 2 near a minimum of residuals 0; or a schedule of the integer step.
        damping: $\lambda \ge 0$.

    Raises:
        InputError: a number is out of its range, or there are no residuals.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> method = tw.gauss_newton(lambda x: jnp.array([x[0] - 1.0, 10.0 * (x[1] - x[0] ** 2)]))
    >>> tw.run(method, jnp.array([-1.2, 1.0]), 2).final.position.round(5).tolist()
    [1.0, 1.0]

    Reference: Nocedal and Wright (2006), section 10.3.
    """
    metric = GaussNewton(least_squares, damping)
    return first_order(partial(GradientFlow, geometry=metric), Euler)(metric.residuals, learning_rate)
