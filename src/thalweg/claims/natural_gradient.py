"""Natural gradient: what of it does not depend on the parameters in which a distribution is written."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..dynamics import GradientFlow
from ..geometry import Euclidean, FisherInformation
from ._experiment import ORDER_TOLERANCE, ROUNDING, observed_order, shown
from ._ledger import Correction, Outcome, claim

CHARTS = ("log_std", "natural")
_START = {"mean": 0.4, "variance": 1.7}
_STEPS = 4096


def _cost(mean: Array, variance: Array) -> Array:
    """A function of a Gaussian that is simple in no chart."""
    return jnp.sin(mean) * jnp.log(variance) + 0.3 * mean**2 * variance + variance**1.5


def _metric(chart: str) -> Any:
    return FisherInformation("gaussian", chart)


def _moved(chart: str, metric: Any) -> tuple[np.ndarray, Callable[[int], np.ndarray]]:
    """The velocity of mean and variance, and where Euler's step of 1/n leads them, by parameters of a chart."""
    plain = FisherInformation("gaussian", "variance")
    start = FisherInformation("gaussian", chart).from_chart("variance", jax.tree.map(jnp.asarray, _START))

    def stands(x: Any) -> Array:
        found = plain.from_chart(chart, x)
        return jnp.stack([found["mean"], found["variance"]])

    velocity = GradientFlow(lambda x: _cost(*stands(x)), geometry=metric).velocity(None, start)
    _, tangent = jax.jvp(stands, (start,), (velocity,))

    def end(steps: int) -> np.ndarray:
        return np.asarray(stands(jax.tree.map(lambda a, v: a + v / steps, start, velocity)))

    return np.asarray(tangent), end


def _apart(make: Callable[[str], Any]) -> tuple[float, Callable[[int], float]]:
    """The distance of the velocities by two charts, and of the ends of a step."""
    (one, one_end), (other, other_end) = (_moved(chart, make(chart)) for chart in CHARTS)
    return float(np.linalg.norm(one - other)), lambda n: float(np.linalg.norm(one_end(n) - other_end(n)))


@claim(
    "natural-gradient-parameters",
    "amari1998",
    "Natural gradient does not depend on the parameters in which the distribution is written.",
)
def parameters() -> Outcome:
    """A Gaussian by (mean, log std) and by its natural parameters; beside it the gradient of flat space, which does."""
    velocities, steps = _apart(_metric)
    flat_velocities, flat_steps = _apart(lambda _: Euclidean())
    same = velocities < ROUNDING and steps(_STEPS) < ROUNDING
    orders = [observed_order(gap, _STEPS) if gap(_STEPS) > ROUNDING else 0.0 for gap in (steps, flat_steps)]
    words = "velocities {:.1e} apart, steps apart at order {:.2f}; of the gradient in flat space at order {:.2f}"
    return Outcome(
        *shown(words, [0.0, 2.0, 1.0], [velocities, *orders]),
        holds=same,
        correction=Correction(
            "The velocity does not, nor does the flow; a step of length h does, by an amount of the order h² "
            "[martens2020].",
            holds=velocities < ROUNDING
            and flat_velocities > ORDER_TOLERANCE
            and bool(np.max(np.abs(np.subtract(orders, [2.0, 1.0]))) < ORDER_TOLERANCE),
        ),
    )
