"""Steepest descent and natural gradient: what depends on how a step is measured, and what does not."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.integrate import solve_ivp
from scipy.optimize import minimize

from .._methods.method import Method
from .._methods.natural_gradient import natural_gradient
from ..dynamics import GradientFlow
from ..geometry import AbstractDirection, Euclidean, FisherInformation, Metric, Norm
from ..schemes import RK4
from ._experiment import ORDER_TOLERANCE, close, final, observed_order, shown
from ._ledger import Correction, Outcome, claim

SLOPE = (2.0, 1.0)
MATRIX = ((1.0, 0.6), (0.6, 1.5))
# A length of a step so short that f is linear over it.
_SHORT = 1e-6
GEOMETRIES: dict[str, Callable[[], AbstractDirection]] = {
    "the Euclidean norm": lambda: Norm("l2", unit=True),
    "the sup norm": lambda: Norm("linf", unit=True),
    "a metric": lambda: Metric(jnp.asarray(MATRIX)),
}

CHART, START = "log_std", {"mean": 0.4, "log_std": 0.3}
# A shallow well at -1 and a deep one at 1, in whose sum with a slope the first is as deep as this.
TILT, SPREAD, PATIENCE = 0.1, 0.2, 40.0


def _steepest(length: Callable[[np.ndarray], np.ndarray]) -> float:
    """The angle from the negative gradient, in degrees, of the direction in which a step of length 1 lowers f most."""
    angles = np.linspace(-np.pi, np.pi, 720_001)
    rays = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    best = int(np.argmin((rays @ np.asarray(SLOPE)) / length(rays)))
    return _angle(rays[best])


def _angle(direction: Any) -> float:
    turned = np.arctan2(direction[1], direction[0]) - np.arctan2(-SLOPE[1], -SLOPE[0])
    return float(np.degrees(abs((turned + np.pi) % (2.0 * np.pi) - np.pi)))


def _directions() -> tuple[list[float], list[float]]:
    """Angles by scanning all directions, and of the steps that descent in each geometry makes."""
    lengths = (
        lambda d: np.linalg.norm(d, axis=1),
        lambda d: np.abs(d).max(axis=1),
        lambda d: np.sqrt(np.einsum("ki,ij,kj->k", d, np.asarray(MATRIX), d)),
    )
    slope = jnp.asarray(SLOPE)
    steps = [-np.asarray(make().velocity(jnp.zeros(2), slope)) * _SHORT for make in GEOMETRIES.values()]
    return [_steepest(length) for length in lengths], [_angle(step) for step in steps]


@claim(
    "steepest-descent-needs-a-norm",
    "002.4",
    "The negative gradient is the direction of steepest descent in Euclidean space only; in another metric the "
    "direction is another one.",
)
def norms() -> Outcome:
    """The direction in which a short step of one length lowers f most, of all; beside it those of the flows."""
    expected, measured = _directions()
    words = "degrees from the negative gradient: " + ", ".join(f"{{:.3f}} in {name}" for name in GEOMETRIES)
    return Outcome(
        *shown(words, expected, measured),
        holds=np.allclose(measured, expected, atol=1e-2) and measured[0] < 1e-2 and min(measured[1:]) > 1.0,
    )


@claim("negative-gradient-is-steepest", "folklore", "The negative gradient is the direction of steepest descent.")
def negative() -> Outcome:
    """The same measurement, of the sentence without its condition."""
    expected, measured = _directions()
    words = "degrees from the negative gradient: " + ", ".join(f"{{:.3f}} in {name}" for name in GEOMETRIES)
    return Outcome(
        *shown(words, expected, measured),
        holds=max(measured) < 1e-2,
        correction=Correction(
            "Where steps are measured by the Euclidean norm. In the sup norm it is the sign of the gradient, and in a "
            "metric G it is its inverse times the gradient [boyd2004].",
            holds=np.allclose(measured, expected, atol=1e-2) and measured[0] < 1e-2,
        ),
    )


def _cost(x: dict[str, Array]) -> Array:
    """A function of a Gaussian that is simple in no chart."""
    mean, variance = x["mean"], jnp.exp(2.0 * x["log_std"])
    return jnp.sin(mean) * jnp.log(variance) + 0.3 * mean**2 * variance + variance**1.5


def divergence(here: np.ndarray, there: np.ndarray) -> float:
    """The Kullback-Leibler divergence of one Gaussian from another, by mean and log std."""
    ratio = np.exp(2.0 * (here[1] - there[1]))
    return float(0.5 * (ratio - 1.0 - np.log(ratio) + (here[0] - there[0]) ** 2 * np.exp(-2.0 * there[1])))


def _metric() -> Any:
    return FisherInformation("gaussian", CHART)


def _regularised(rate: float) -> np.ndarray:
    r"""The minimiser of $\nabla f\cdot d + \mathrm{KL}/\alpha$ over steps d, found numerically."""
    start = jax.tree.map(jnp.asarray, START)
    gradient = jax.grad(_cost)(start)
    slope = np.array([float(gradient[name]) for name in START])
    here = np.array(list(START.values()))
    # In units of the rate, in which the minimum is of one size.
    found = minimize(
        lambda d: slope @ d + divergence(here, here + rate * d) / rate**2, np.zeros(2), method="Nelder-Mead",
        options={"xatol": 1e-10, "fatol": 1e-16, "maxiter": 4000},
    )  # fmt: skip
    return here + rate * found.x


def _stepped(rate: float, metric: Any) -> np.ndarray:
    state = natural_gradient(_cost, rate, metric)
    after = state.step(state.init(jax.tree.map(jnp.asarray, START))).position
    return np.array([float(after["mean"]), float(after["log_std"])])  # pyright: ignore[reportIndexIssue, reportCallIssue, reportArgumentType]


@claim(
    "natural-gradient-is-kl-regularised",
    "002.5",
    "Natural gradient descent takes the Kullback-Leibler divergence as its regulariser.",
)
def regulariser() -> Outcome:
    r"""The step of natural gradient beside the d that minimises $\nabla f\cdot d + \mathrm{KL}(p\|p_d)/\alpha$.

    The divergence is half the Fisher metric to second order in d, so that the steps differ at the second order of the
    rate; that of flat space differs at the first.
    """

    def gap(metric: Any) -> Callable[[int], float]:
        return lambda n: float(np.linalg.norm(_stepped(0.5 / n, metric) - _regularised(0.5 / n)))

    gaps = [gap(_metric()), gap(Euclidean())]
    measured = [observed_order(one, 256) for one in gaps]
    same = gaps[0](256) < 1e-7
    return Outcome(
        *shown("steps apart at order {:.2f}, those of flat space at order {:.2f}", [2.0, 1.0], measured),
        holds=same,
        correction=Correction(
            "To second order of the divergence, which is half the Fisher metric there: the steps differ by an amount "
            "of the order of the rate squared [martens2020].",
            holds=bool(np.max(np.abs(np.subtract(measured, [2.0, 1.0]))) < ORDER_TOLERANCE),
        ),
    )


def _wells(x: dict[str, Array]) -> Array:
    r"""The mean of $(x^2-1)^2 - \mathtt{TILT}\,x$ over a Gaussian, a search distribution."""
    mean, variance = x["mean"], jnp.exp(2.0 * x["log_std"])
    fourth = mean**4 + 6.0 * mean**2 * variance + 3.0 * variance**2
    return fourth - 2.0 * (mean**2 + variance) + 1.0 - TILT * mean


def _ends_at(metric: Any) -> float:
    """The mean at the end of the gradient flow from about the shallow well."""
    start = jnp.array([-1.2, np.log(SPREAD)])
    method = Method(
        GradientFlow(lambda x: _wells({"mean": x[0], "log_std": x[1]}), geometry=_as_vector(metric)), RK4(), 0.005
    )
    return float(final(method, start, round(PATIENCE / 0.005))[0])


def _as_vector(metric: Any) -> Any:
    """The metric of mean and log std on a vector of both."""
    if isinstance(metric, Euclidean):
        return metric

    def diagonal(x: Array) -> Array:
        # Of the Fisher information in this chart: 1/variance, and 2.
        return jnp.stack([jnp.exp(-2.0 * x[1]), jnp.full((), 2.0)])

    return Metric(diagonal)


def _integrated(natural: bool) -> float:
    def rates(_: float, x: np.ndarray) -> list[float]:
        mean, variance = float(x[0]), float(np.exp(2.0 * x[1]))
        slopes = (
            4.0 * mean**3 + 12.0 * mean * variance - 4.0 * mean - TILT,
            variance * (12.0 * mean**2 + 12.0 * variance - 4.0),
        )
        inverse = (variance, 0.5) if natural else (1.0, 1.0)
        return [-g * s for g, s in zip(inverse, slopes, strict=True)]

    start = [-1.2, float(np.log(SPREAD))]
    return float(solve_ivp(rates, (0.0, PATIENCE), start, method="LSODA", rtol=1e-10, atol=1e-12).y[0, -1])


@claim(
    "natural-gradient-avoids-obstacles",
    "002.6",
    "Natural gradient takes a more accurate path and so goes round obstacles.",
)
def obstacles() -> Outcome:
    """A search distribution that begins about the shallower of two wells, by natural gradient and by the plain one.

    Both are descents: none goes up, so that a barrier stops both. Expected are the ends of the two differential
    equations by SciPy, their slopes written by hand.
    """
    expected = [_integrated(natural=True), _integrated(natural=False)]
    measured = [_ends_at(_metric()), _ends_at(Euclidean())]
    return Outcome(
        *shown("the mean ends at {:.4f} by natural gradient, at {:.4f} by the plain one", expected, measured),
        holds=measured[0] > 0.5,
        correction=Correction(
            "It is another path, which does not depend on the parameters, but a descent too: no barrier is crossed, "
            "and the points of rest are the same.",
            holds=close(measured, expected, 1e-4) and max(measured) < 0.0,
            amends=False,
        ),
    )
