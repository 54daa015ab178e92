"""The aliases: methods by the names that everybody knows them by, in their own hyperparameters."""

from collections.abc import Callable
from functools import partial
from typing import Any

from jaxtyping import ArrayLike

from .._errors import InputError, check_count
from .._objectives.objective import as_objective
from .._typed import typed
from ..dynamics import AbstractDynamics, GradientFlow, HeavyBall, OverdampedLangevin
from ..geometry import Mirror, Norm
from ..schemes import (
    AbstractScheme,
    Euler,
    EulerMaruyama,
    Leapfrog,
    Lookahead,
    MetropolisAdjustedLangevin,
    RungeKuttaChebyshev,
)
from ..schemes.chebyshev import best_step
from .knobs import LEARNING_RATE, LEARNING_RATE_AND_MOMENTUM, STEP_SIZE
from .method import Method, Schedule


@typed("learning_rate")
def gradient_descent(objective: Any, learning_rate: ArrayLike | Schedule) -> Method:
    r"""Gradient descent: Euler's method on gradient flow.

    $$\theta^+ = \theta - \alpha\nabla f(\theta)$$

    Arguments:
        objective: $f$, a `tw.Objective` or a function; None for an adapter.
        learning_rate: $\alpha > 0$, or a schedule of the integer step.

    Raises:
        InputError: the learning rate is not a finite positive number.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> run = tw.run(tw.gradient_descent(lambda x: 0.5 * jnp.sum(x**2), 0.5), jnp.array([8.0]), 3)
    >>> run.final.position.tolist()
    [1.0]

    Reference: Cauchy (1847).
    """
    return first_order(GradientFlow, Euler)(objective, learning_rate)


@typed("learning_rate")
def stabilised_descent(
    objective: Any,
    learning_rate: ArrayLike | Schedule | None = None,
    stages: int | None = 10,
    damping: float | None = None,
) -> Method:
    r"""Stabilised gradient descent: first-order Runge-Kutta-Chebyshev steps on gradient flow.

    $$\theta^+ - \theta^\star = \frac{T_s(w_0 - w_1\alpha H)}{T_s(w_0)}\,(\theta - \theta^\star)
      \ \text{ on a quadratic of Hessian } H$$

    Arguments:
        objective: $f$, a `tw.Objective` or a function; None for an adapter.
        learning_rate: $\alpha > 0$, or a schedule of the integer step, stable up to about $1.93s^2/L$. None, where the
            objective states `smoothness` L and `strong_convexity` $\mu$, is the best there is,
            $s\tanh(s\varphi)/\sqrt{\mu L}$ with $\tanh(\varphi/2) = \sqrt{\mu/L}$, by which s gradients shrink every
            mode by $1/\cosh(s\varphi)$: the Chebyshev iteration, begun again every s gradients.
        stages: s, gradients a step; None as in `tw.RungeKuttaChebyshev`, and then a learning rate is needed.
        damping: as in `tw.RungeKuttaChebyshev`.

    Raises:
        InputError: a number is out of its range, or no learning rate is given where none can be known.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> curvatures = jnp.array([1.0, 30.0, 100.0])
    >>> f = tw.Objective(lambda x: 0.5 * jnp.sum(curvatures * x**2), smoothness=100.0, strong_convexity=1.0)
    >>> method = tw.stabilised_descent(f, stages=20)
    >>> round(float(method.step_size), 4), round(float(abs(tw.run(method, jnp.ones(3), 1).final.position[0])), 4)
    (1.9987, 0.0361)

    Reference: Verwer (1996).
    """
    if learning_rate is None:
        learning_rate = _best_learning_rate(as_objective(objective), stages, damping)
    scheme = partial(RungeKuttaChebyshev, 1, stages, damping=damping)
    return first_order(GradientFlow, scheme)(objective, learning_rate)


def _best_learning_rate(objective: Any, stages: int | None, damping: float | None) -> float:
    smoothness, convexity = getattr(objective, "smoothness", None), getattr(objective, "strong_convexity", None)
    if stages is None or damping is not None or not smoothness or not convexity:
        raise InputError(
            "learning_rate must be given, unless the objective states its smoothness and its strong_convexity, the "
            "stages are a number and the damping is None; tw.AdaptiveChebyshev() finds both as it goes"
        )
    return best_step(check_count("stages", stages), convexity, smoothness)


@typed("learning_rate")
def sign_descent(objective: Any, learning_rate: ArrayLike | Schedule) -> Method:
    r"""Sign descent: Euler's method on gradient flow in the largest-entry norm, by its unit direction.

    $$\theta^+ = \theta - \alpha\,\mathrm{sign}\,\nabla f(\theta)$$

    The trajectory of `optax.sign_sgd`. Near a minimum it goes to and fro by $\alpha$ in every coordinate, so that it
    converges only as its learning rate falls.

    Arguments:
        objective: $f$, a `tw.Objective` or a function.
        learning_rate: $\alpha > 0$ in units of the parameters, or a schedule of the integer step.

    Raises:
        InputError: the learning rate is not a finite positive number.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> run = tw.run(tw.sign_descent(lambda x: 0.5 * jnp.sum(x**2), 0.5), jnp.array([8.0, -1.0]), 3)
    >>> run.final.position.tolist()
    [6.5, 0.0]

    Reference: Bernstein et al. (2018), algorithm 1.
    """
    return first_order(partial(GradientFlow, geometry=Norm("linf", unit=True)), Euler)(objective, learning_rate)


@typed("learning_rate", "parameter")
def mirror_descent(
    objective: Any,
    learning_rate: ArrayLike | Schedule,
    potential: str | Callable = "entropy",
    parameter: ArrayLike | None = None,
) -> Method:
    r"""Mirror descent: Euler's method on the mirror flow of a convex function $\phi$.

    $$\nabla\phi(\theta^+) = \nabla\phi(\theta) - \alpha\nabla f(\theta)$$

    With the entropy $\theta^+ = \theta\,e^{-\alpha\nabla f}$, and on the simplex the same divided by its sum.

    Arguments:
        objective: $f$, a `tw.Objective` or a function.
        learning_rate: $\alpha > 0$, or a schedule of the integer step.
        potential: $\phi$, a name or a function, as in `tw.geometry.Mirror`.
        parameter: of the potential, as there.

    Raises:
        InputError: the learning rate is not a finite positive number, or the potential is none; at a start, it is
            outside of the domain.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> method = tw.mirror_descent(lambda x: jnp.array([0.0, 1.0]) @ x, 1.0, "simplex")
    >>> end = tw.run(method, jnp.array([0.5, 0.5]), 2).final.position
    >>> [round(float(x), 6) for x in end]  # softmax of (0, -2)
    [0.880797, 0.119203]

    Reference: Beck and Teboulle (2003).
    """
    mirror = Mirror(potential, parameter)
    return first_order(partial(GradientFlow, geometry=mirror), Euler)(objective, learning_rate)


@typed("learning_rate", "momentum")
def momentum(objective: Any, learning_rate: ArrayLike, momentum: ArrayLike = 0.9) -> Method:
    r"""Gradient descent with momentum: damped leapfrog on the heavy ball, from an empty buffer.

    $$v^+ = \beta v - \alpha\nabla f(\theta),\qquad \theta^+ = \theta + v^+,\qquad v_0 = 0$$

    The trajectory of `torch.optim.SGD(momentum=)` and `optax.sgd(momentum=)`.

    Arguments:
        objective: $f$, a `tw.Objective` or a function; None for an adapter.
        learning_rate: $\alpha > 0$.
        momentum: $0 \le \beta \le 1$.

    Raises:
        InputError: a number is out of its range.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> run = tw.run(tw.momentum(lambda x: 0.5 * jnp.sum(x**2), 0.5, 0.5), jnp.array([8.0]), 2)
    >>> [round(v, 4) for v in run.final.position.tolist()]
    [0.0]

    Reference: Polyak (1964), equation 9.
    """
    return _heavy_ball(Leapfrog(start="zero"), objective, learning_rate, momentum)


@typed("learning_rate", "momentum")
def nesterov(objective: Any, learning_rate: ArrayLike, momentum: ArrayLike = 0.9) -> Method:
    r"""Nesterov's method with constant momentum, from an empty buffer.

    $$v^+ = \beta v - \alpha\nabla f(\theta + \beta v),\qquad \theta^+ = \theta + v^+,\qquad v_0 = 0$$

    The look-ahead point $\Theta = \theta + \beta v$ follows `torch.optim.SGD(nesterov=True)` and
    `optax.sgd(nesterov=True)`; a run's `final` carries both.

    Arguments: as in `momentum`.

    Raises:
        InputError: a number is out of its range.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> run = tw.run(tw.nesterov(lambda x: 0.5 * jnp.sum(x**2), 0.5, 0.5), jnp.array([4.0]), 1)
    >>> [round(float(p[0]), 6) for p in (run.final.position, run.final.lookahead)]
    [2.0, 1.0]

    Reference: Sutskever et al. (2013), equations 3 and 4.
    """
    return _heavy_ball(Lookahead(1.0, start="zero"), objective, learning_rate, momentum, "nesterov")


@typed("learning_rate", "momentum")
def midpoint_momentum(objective: Any, learning_rate: ArrayLike, momentum: ArrayLike = 0.9) -> Method:
    r"""Momentum with the gradient half-way ahead: stable for $\alpha\ell < 2$ at every momentum.

    $$v^+ = \beta v - \alpha\nabla f(\theta + \tfrac12\beta v),\qquad \theta^+ = \theta + v^+,\qquad v_0 = 0$$

    Arguments: as in `momentum`.

    Raises:
        InputError: a number is out of its range.

    >>> import thalweg as tw
    >>> round(tw.analysis.largest_stable_learning_rate(tw.midpoint_momentum(None, 0.1, 0.9), 1.0), 9)
    2.0
    """
    return _heavy_ball(Lookahead(0.5, start="zero"), objective, learning_rate, momentum, "midpoint_momentum")


@typed("learning_rate", "momentum")
def leapfrog(objective: Any, learning_rate: ArrayLike, momentum: ArrayLike = 0.9) -> Method:
    """Momentum whose half-step velocity starts right, so that it follows the heavy ball to second order.

    Arguments: as in `momentum`.

    Raises:
        InputError: a number is out of its range.

    >>> import thalweg as tw
    >>> tw.leapfrog(None, 0.1, 0.9).scheme.order, tw.momentum(None, 0.1, 0.9).scheme.order
    (2, 1)

    Reference: Hairer, Lubich and Wanner (2003), equation 1.5, with friction.
    """
    return _heavy_ball(Leapfrog(start="exact"), objective, learning_rate, momentum)


@typed("learning_rate")
def sgld(objective: Any, learning_rate: ArrayLike | Schedule, temperature: ArrayLike = 1.0) -> Method:
    r"""Stochastic gradient Langevin dynamics: Euler-Maruyama on overdamped Langevin dynamics.

    $$\theta^+ = \theta - \alpha\nabla f(\theta) + \sqrt{2\alpha T}\,R$$

    Arguments:
        objective: $f$, the potential, a `tw.Objective` or a function; a `tw.FiniteSum` draws its mini-batches.
        learning_rate: $\alpha > 0$, or a schedule of the integer step.
        temperature: $T \ge 0$, in units of f; 1 where f is a negative log density.

    Raises:
        InputError: a number is out of its range.

    >>> import thalweg as tw
    >>> round(float(tw.analysis.stationary_covariance(tw.sgld(None, learning_rate=0.5), 1.0)), 6)  # T/(1 - a/2)
    1.333333

    Reference: Welling and Teh (2011), equation 4.
    """
    return first_order(OverdampedLangevin, EulerMaruyama)(objective, learning_rate, temperature=temperature)


@typed("learning_rate")
def mala(objective: Any, learning_rate: ArrayLike | Schedule, temperature: ArrayLike = 1.0) -> Method:
    r"""The Metropolis-adjusted Langevin algorithm: the steps of `sgld`, accepted or rejected so that the law is exact.

    Arguments:
        objective: $f$, the potential, a `tw.Objective` or a function; none that draws mini-batches.
        learning_rate: $\alpha > 0$, or a schedule of the integer step.
        temperature: $T > 0$, in units of f; 1 where f is a negative log density.

    Raises:
        InputError: a number is out of its range, or the objective draws mini-batches.

    >>> import thalweg as tw
    >>> float(tw.analysis.stationary_covariance(tw.mala(None, learning_rate=0.5), 4.0))  # T/l
    0.25

    Reference: Roberts and Tweedie (1996), section 1.4.
    """
    make = first_order(OverdampedLangevin, MetropolisAdjustedLangevin)
    return make(objective, learning_rate, temperature=temperature)


def _heavy_ball(
    scheme: AbstractScheme, objective: Any, learning_rate: ArrayLike, momentum: ArrayLike, name: str = "momentum"
) -> Method:
    if callable(learning_rate) or callable(momentum):
        raise InputError(
            "learning_rate and momentum must be numbers here; for a schedule of steps at constant friction use "
            "tw.Method(tw.HeavyBall(f, friction), scheme, schedule); in optax, for one that optax.sgd(schedule, 0.9) "
            f"takes, optax.inject_hyperparams(lambda a: tw.adapters.optax.transformation(tw.{name}(None, a, 0.9)))"
            "(schedule), or with the momentum that keeps the friction tw.Hyperparameters(a, b).schedule(schedule)"
        )
    numbers = {"learning_rate": learning_rate, "momentum": momentum}
    return Method(*LEARNING_RATE_AND_MOMENTUM.write(numbers, partial(HeavyBall, objective), scheme))


def first_order(law: Callable[..., AbstractDynamics], scheme: Callable[[], AbstractScheme]) -> Callable[..., Method]:
    """A scheme on a first-order law, in its learning rate and the law's constants."""

    def make(objective: Any, learning_rate: ArrayLike | Schedule, **constants: Any) -> Method:
        build = partial(law, objective)
        if callable(learning_rate):
            return Method(*STEP_SIZE.write({"step_size": learning_rate} | constants, build, scheme()))
        return Method(*LEARNING_RATE.write({"learning_rate": learning_rate} | constants, build, scheme()))

    return make
