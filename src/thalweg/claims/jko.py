"""The step of Jordan, Kinderlehrer and Otto: descent in which the distance is that of distributions."""

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import minimize

from .._measures.gaussian import Gaussian
from .._measures.kl import KL
from .._methods.method import Method
from ..dynamics import GradientFlow
from ..geometry import Wasserstein
from ..measures import flow
from ..schemes import ImplicitEuler, MinimizingMovement
from ._experiment import ORDER_TOLERANCE, close, final, observed_order, shown, valley
from ._ledger import Outcome, claim

# A Gaussian, by mean and deviation, on its way to the standard one.
MEAN, DEVIATION, TIME = 1.5, 0.5, 1.0


def transport(there: np.ndarray, here: np.ndarray) -> float:
    """Half the squared distance of Wasserstein between two Gaussians, by mean and deviation."""
    return float(0.5 * np.sum((there - here) ** 2))


def divergence(there: np.ndarray, here: np.ndarray) -> float:
    """The Kullback-Leibler divergence between them."""
    ratio = (there[1] / here[1]) ** 2
    return float(0.5 * (ratio - 1.0 - np.log(ratio) + ((there[0] - here[0]) / here[1]) ** 2))


WAYS: dict[str, Callable[[np.ndarray, np.ndarray], float]] = {"by W₂": transport, "by KL": divergence}


def _moved(distance: Callable[[np.ndarray, np.ndarray], float], steps: int) -> np.ndarray:
    """Mean and deviation after steps that each minimise F and a distance over the step size, found numerically."""
    h, here = TIME / steps, np.array([MEAN, DEVIATION])
    for _ in range(steps):
        last = here

        def cost(q: np.ndarray, last: np.ndarray = last) -> float:
            free = 0.5 * (q[0] ** 2 + q[1] ** 2 - 1.0) - np.log(q[1])
            return float(h * free + distance(q, last))

        here = minimize(cost, last, method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-15}).x
    return here


def _limit(distance: Callable[[np.ndarray, np.ndarray], float], steps: int) -> np.ndarray:
    """The end as the step goes to 0, by extrapolation from two."""
    return 2.0 * _moved(distance, 2 * steps) - _moved(distance, steps)


def _flowed() -> np.ndarray:
    """Mean and deviation at the end of the Wasserstein gradient flow, by its closed form."""
    return np.array([MEAN * np.exp(-TIME), np.sqrt(1.0 + (DEVIATION**2 - 1.0) * np.exp(-2.0 * TIME))])


def _stepped(steps: int) -> np.ndarray:
    """The same by the scheme."""
    run = flow(
        KL(Gaussian(0.0, 1.0)), Gaussian(MEAN, DEVIATION**2), TIME, geometry=Wasserstein(),
        scheme=MinimizingMovement(), steps=steps, record=None,
    )  # fmt: skip
    end: Any = run.final.position
    return np.array([float(end.mean[0]), float(np.sqrt(end.covariance[0, 0]))])


@claim(
    "wasserstein-gradient-flow",
    "002.8",
    "Replace the Euclidean distance by Wasserstein's, and gradient descent becomes the Wasserstein gradient flow as "
    "its step goes to 0.",
)
def wasserstein_flow() -> Outcome:
    r"""Steps that minimise $F + W_2^2/2h$, with h to 0, beside the law of Ornstein and Uhlenbeck.

    With the divergence for $W_2^2/2$ they end on another flow, of which the precision is exponential.
    """
    steps = 32
    precision = 1.0 + np.exp(-TIME) * (DEVIATION**-2 - 1.0)
    natural = np.array([np.exp(-TIME) * MEAN / DEVIATION**2 / precision, precision**-0.5])
    expected = [float(figure) for figure in (*_flowed(), *natural)]
    found = [_limit(distance, steps) for distance in WAYS.values()]
    measured = [float(figure) for end in found for figure in end]
    scheme = np.abs(_stepped(steps) - _moved(next(iter(WAYS.values())), steps)).max()
    words = ", ".join(f"{{:.3f}} and {{:.3f}} {name}" for name in WAYS)
    return Outcome(
        *shown(f"mean and deviation as h -> 0: {words}", expected, measured),
        holds=close(measured[:2], expected[:2], 2e-3)
        and bool(np.abs(found[1] - _flowed()).max() > 0.1 and scheme < 1e-5),
    )


def _implicit() -> float:
    """The distance of the scheme from implicit Euler on a function of three variables."""
    law = GradientFlow(valley)
    ends = [final(Method(law, scheme, 0.3), (1.2, -0.7, 0.5), 5) for scheme in (ImplicitEuler(), MinimizingMovement())]
    return float(np.abs(ends[0] - ends[1]).max())


@claim(
    "jko-order",
    "jordan1998",
    "The step of Jordan, Kinderlehrer and Otto is of first order, and in flat space it is implicit Euler.",
)
def order() -> Outcome:
    """Against the closed form of the flow at two steps, and beside implicit Euler on a coupled function."""
    found = [observed_order(lambda n, i=i: float(abs(_stepped(n)[i] - _flowed()[i])), 64) for i in (0, 1)]
    apart = _implicit()
    return Outcome(
        *shown("order {:.2f} of the mean and {:.2f} of the deviation", [1.0, 1.0], found),
        holds=bool(np.abs(np.subtract(found, 1.0)).max() < ORDER_TOLERANCE) and apart < 1e-10,
    )
