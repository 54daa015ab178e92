"""Nesterov's ODE: the limit of his method, its bound, and an equation that is neither."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from scipy.integrate import solve_ivp
from scipy.special import j1

from .._methods.method import Method
from .._objectives.objective import AbstractObjective, Batch, Objective
from .._tree import combine
from ..dynamics import AbstractDynamics, AbstractSecondOrder, Evaluation, NesterovFlow, Phase
from ..dynamics._base import Time
from ..schemes import RK4
from ._experiment import ORDER_TOLERANCE, close, path, quadratic, shown
from ._ledger import Correction, Outcome, claim

CURVATURES = np.array([0.3, 1.0, 4.0])
START = np.array([1.0, -0.8, 0.5])
TIME = 10.0
_STEPS = 800


class LookaheadFlow(AbstractSecondOrder):
    r"""An article's $\ddot\theta + \tfrac3t\dot\theta + \nabla f\bigl(\theta + \tfrac t{t+3}\dot\theta\bigr) = 0$."""

    objective: AbstractObjective | None

    @property
    def autonomous(self) -> bool:
        return False

    def evaluate(self, time: Time, phase: Phase, batch: Batch = None) -> Evaluation:
        assert time is not None
        ahead = combine((1, phase.position), (time / (time + 3.0), phase.velocity))
        return super().evaluate(time, phase._replace(position=ahead), batch)

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        return NesterovFlow(self.objective).rates(time, phase, evaluation)


def bessel(times: np.ndarray, curvatures: np.ndarray) -> np.ndarray:
    r"""Nesterov's ODE on a quadratic, from 1 at rest: $2J_1(t\sqrt\ell)/(t\sqrt\ell)$."""
    phase = np.multiply.outer(times, np.sqrt(curvatures))
    return np.where(phase > 0.0, 2.0 * j1(phase) / np.where(phase > 0.0, phase, 1.0), 1.0)


@eqx.filter_jit
def accelerated(curvatures: Float[Array, " d"], start: Float[Array, " d"], rate: Float[Array, ""], steps: int) -> Array:
    r"""Nesterov's method with its rising momentum: $x_{k+1} = y_k - s\nabla f(y_k)$,
    $y_{k+1} = x_{k+1} + \tfrac k{k+3}(x_{k+1} - x_k)$ from k = 0; the iterates x."""

    def one(carry: tuple[Array, Array], k: Array) -> tuple[tuple[Array, Array], Array]:
        x, y = carry
        after = y - rate * curvatures * y
        return (after, after + k / (k + 3.0) * (after - x)), after

    _, iterates = jax.lax.scan(one, (start, start), jnp.arange(0.0, steps))
    return jnp.concatenate([start[None], iterates])


def _flow(law: AbstractDynamics, steps: int = _STEPS) -> np.ndarray:
    return path(Method(law, RK4(), TIME / steps), START, steps).position


def _distance(followed: np.ndarray, steps: int) -> float:
    """The largest distance of the method with √s = TIME/steps from a motion known at `_STEPS` times."""
    rate = jnp.asarray((TIME / steps) ** 2)
    points = np.asarray(accelerated(jnp.asarray(CURVATURES), jnp.asarray(START), rate, steps))
    return float(np.max(np.abs(points[:: steps // 100] - followed[:: _STEPS // 100])))


@claim(
    "nesterov-ode",
    "003.23; su2016, equation 3 and theorem 2",
    "As its learning rate s goes to 0, Nesterov's method with momentum k/(k+3) follows θ'' + (3/t) θ' + ∇f(θ) = 0, "
    "t = k√s.",
)
def nesterov_ode() -> Outcome:
    """Against the closed form until t = 10; the package's own motion is held against it too."""
    exact = START * bessel(np.linspace(0.0, TIME, _STEPS + 1), CURVATURES)
    followed = _flow(NesterovFlow(quadratic(*CURVATURES)))
    gaps = [_distance(exact, steps) for steps in (1600, 3200)]
    order = float(np.log2(gaps[0] / gaps[1]))
    words = "order {:.2f} in √s; x(10)/x0 = {:.6f}, {:.6f}, {:.6f}"
    return Outcome(
        *shown(words, [1, *exact[-1] / START], [order, *followed[-1] / START]),
        holds=abs(order - 1.0) < ORDER_TOLERANCE and float(np.max(np.abs(followed - exact))) < 1e-7,
    )


_HUBER = 0.02


def huber(x: Float[Array, " 1"]) -> Float[Array, ""]:
    """|x|, rounded within 0.02 of 0."""
    size = jnp.abs(x)
    return jnp.sum(jnp.where(size > _HUBER, size - 0.5 * _HUBER, 0.5 * x * x / _HUBER))


@claim(
    "nesterov-ode-bound",
    "su2016, theorem 3",
    "Along Nesterov's ODE f - f* ≤ 2|θ₀ - θ*|²/t² for every convex f.",
)
def nesterov_ode_bound() -> Outcome:
    r"""The largest $(f - f^\star)\,t^2/2|\theta_0-\theta^\star|^2$, on a quadratic and on a rounded |x|.

    On a quadratic the ratio is a mean of $J_1(t\sqrt\ell)^2$; on |x| with its corner rounded within δ it is
    $(1-\delta/2)^2$ at $t^2 = 4(1-\delta/2)$, before the corner is reached, so that no smaller bound would do.
    """
    time, steps = 20.0, 20000
    t = np.linspace(0.0, time, steps + 1)

    def largest(f: AbstractObjective, start: np.ndarray) -> float:
        points = path(Method(NesterovFlow(f), RK4(), time / steps), start, steps).position
        losses = np.asarray(jax.vmap(f.value)(jnp.asarray(points)))
        return float(np.max(losses * t**2) / (2.0 * np.sum(start**2)))

    weights = START**2 / np.sum(START**2)
    expected = [float(np.max(j1(np.multiply.outer(t, np.sqrt(CURVATURES))) ** 2 @ weights)), (1.0 - _HUBER / 2.0) ** 2]
    measured = [largest(quadratic(*CURVATURES), START), largest(Objective(huber), np.ones(1))]
    words = "at most {:.4f} of the bound on a quadratic, {:.4f} on |x|"
    return Outcome(*shown(words, expected, measured), holds=max(measured) <= 1.0 and close(measured, expected, 1e-3))


def _moved_by_units(law: Callable[[AbstractObjective], AbstractDynamics]) -> float:
    """Distance of the motion on 4f at time t from that on f at time 2t: the same motion, in half the unit."""
    slow = path(Method(law(quadratic(*CURVATURES)), RK4(), TIME / _STEPS), START, _STEPS).position
    fast = path(Method(law(quadratic(*(4.0 * CURVATURES))), RK4(), 0.5 * TIME / _STEPS), START, _STEPS).position
    return float(np.max(np.abs(fast - slow)))


def _moved_by_units_elsewhere() -> float:
    """The same of the article's equation, by SciPy."""

    def motion(scale: float, times: np.ndarray) -> np.ndarray:
        def field(t: float, y: np.ndarray) -> np.ndarray:
            x, v = np.split(y, 2)
            return np.concatenate([v, -3.0 / t * v - scale * CURVATURES * (x + t / (t + 3.0) * v)])

        early = 1e-6  # the motion begins as x = x0 - (t^2/8) times the gradient there
        slope = scale * CURVATURES * START
        start = np.concatenate([START - slope * early**2 / 8.0, -slope * early / 4.0])
        return solve_ivp(field, (early, times[-1]), start, "DOP853", times, rtol=1e-9, atol=1e-11).y[:3]

    times = np.linspace(0.0, TIME, 201)[1:]
    return float(np.max(np.abs(motion(4.0, times / 2.0) - motion(1.0, times))))


@claim(
    "lookahead-ode",
    "003.55",
    "In continuous time Nesterov's method is θ'' + (3/t) θ' + ∇f(θ + t/(t+3) θ') = 0.",
)
def lookahead_ode() -> Outcome:
    r"""Distance of the method from either equation as √s is halved, and both in another unit of time.

    The method looks ahead by $\tfrac{k}{k+3}(\theta_k-\theta_{k-1}) \approx \sqrt s\,\dot\theta$, which vanishes
    with s; a velocity of weight one cannot be added to a position, nor 3 to a time.
    """
    gaps = [
        [_distance(_flow(law), steps) for steps in (1600, 3200)]
        for law in (NesterovFlow(quadratic(*CURVATURES)), LookaheadFlow(quadratic(*CURVATURES)))
    ]
    limit, article = (float(np.log2(coarse / fine)) for coarse, fine in gaps)
    moved = [_moved_by_units(NesterovFlow), _moved_by_units(LookaheadFlow)]
    predicted = _moved_by_units_elsewhere()
    words = (
        "order in √s {:.2f} to the equation with ∇f(θ), {:.2f} to the article's; half the unit of time moves them by "
        "{:.4f}, {:.4f}"
    )
    return Outcome(
        *shown(words, [1, 0, 0, predicted], [limit, round(article, 2) + 0.0, *moved]),
        holds=article > 0.5,
        correction=Correction(
            "The limit has ∇f(θ) in it: the look-ahead is √s θ' and vanishes. As s goes to 0 the method stays "
            f"{gaps[1][1]:.2f} from the article's equation, whose motion depends on the unit of time; at finite s the "
            "look-ahead is damping √s ∇²f(θ) θ' [su2016, shi2022].",
            holds=abs(limit - 1.0) < ORDER_TOLERANCE and moved[0] < 1e-6 and moved[1] > 0.01,
            amends=False,
        ),
    )
