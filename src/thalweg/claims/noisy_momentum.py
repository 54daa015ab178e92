"""Momentum in the noise of mini-batches, beside SGD: what it gains, and what of SGD holds for it."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.polynomial import chebyshev

from .._methods.aliases import gradient_descent, momentum, nesterov
from .._methods.method import Method
from ..analysis import stationary_covariance, transient_covariance, transient_mean
from ..dynamics import OverdampedLangevin, UnderdampedLangevin
from ..schemes import Splitting, StochasticHeun
from ._experiment import close, shown
from ._ledger import Correction, Outcome, claim
from ._transfer import REACH, least_eigenvalue, residence_time, second_moment
from .barrier import wells
from .escape import HOT, time_on_one_side
from .stationary import averages
from .temperature import variance

CURVATURES, START = np.geomspace(0.01, 1.0, 3), 1.0
BETAS, GRID = (0.75, 0.875), 2.0 ** -np.arange(-1.0, 11.0)
# The variance of the gradient, and how many steps.
CASES = {"almost without noise": (1e-10, 150), "in noise": (1.0, 2000)}
EFFECTIVE, STEPS = 0.03, 2000
MAKE: Callable[..., Method] = momentum


def by_hand(rate: float, beta: float, noise: float, steps: int) -> float:
    """The mean loss, from the second moments of point and velocity in each direction."""
    total = 0.0
    for curvature in CURVATURES:
        step = np.array([[1.0 - rate * curvature, beta], [-rate * curvature, beta]])
        whole = np.kron(step, step)
        rest = np.linalg.solve(np.eye(4) - whole, np.full(4, rate**2 * noise))
        moments = np.linalg.matrix_power(whole, steps) @ (np.array([START**2, 0.0, 0.0, 0.0]) - rest) + rest
        total += 0.5 * curvature * float(moments[0])
    return total


def by_steps(rate: float, beta: float, noise: float, steps: int) -> float:
    """The same from the method's own step."""
    method: Any = MAKE(None, rate, beta) if beta else gradient_descent(None, rate)
    hessian = np.diag(CURVATURES)
    mean = np.asarray(transient_mean(method, hessian, steps, np.full(CURVATURES.size, START)))
    spread = np.asarray(transient_covariance(method, hessian, steps, noise))
    return float(0.5 * np.sum(CURVATURES * (mean**2 + np.diag(spread))))


def best(way: Callable[[float, float, float, int], float], beta: float, noise: float, steps: int) -> float:
    """The least mean loss over the stable rates of the grid."""
    limit = 0.999 * (2.0 + 2.0 * beta) / CURVATURES.max()
    return min(way(float(rate), beta, noise, steps) for rate in GRID if rate < limit)


@claim("momentum-accelerates-sgd", "004.21", "Momentum accelerates SGD.")
def accelerates() -> Outcome:
    r"""The mean loss after as many steps over that without momentum, each at the best rate of one grid, κ = 100.

    And at the same effective learning rate α/(1 - β) = 0.03, β = 0.875, in noise.
    """
    expected, measured = [], []
    for held, way in ((expected, by_hand), (measured, by_steps)):
        for noise, steps in CASES.values():
            held.append(min(best(way, beta, noise, steps) for beta in BETAS) / best(way, 0.0, noise, steps))
        with_it = way(EFFECTIVE * (1.0 - BETAS[-1]), BETAS[-1], 1.0, STEPS)
        held.append(with_it / way(EFFECTIVE, 0.0, 1.0, STEPS))
    words = ", ".join(f"{{:.3g}} {name}" for name in CASES)
    agree = close(measured, expected, 1e-5)
    return Outcome(
        *shown(f"loss over that without momentum {words}; {{:.4f}} at one effective rate", expected, measured),
        holds=agree and max(measured[:2]) < 0.5,
        correction=Correction(
            "Where the curvatures set the pace, by far. Where the noise does, it gives nothing beside a larger "
            f"learning rate: {1.0 - measured[1]:.1%} of the loss at the best rates, {1.0 - measured[2]:.1%} at the "
            "same α/(1 - β).",
            holds=agree and measured[0] < 1e-3 and min(measured[1:]) > 0.9 and max(measured[1:]) < 1.1,
        ),
    )


FRICTIONS, STEP, DEGREE, MODES, BETA = (1.0, 5.0), 0.01, 32, 12, 0.9
HEATED: Callable[..., Any] = UnderdampedLangevin


def time_with_velocity(friction: float) -> float:
    r"""The mean time on one side from Kramers' backward equation itself, by Chebyshev's and Hermite's polynomials.

    $\eta\,\partial_x - L'\partial_\eta + \lambda(T\partial_\eta^2 - \eta\,\partial_\eta)$, with $\eta = \sqrt T\,y$.
    """
    nodes = np.cos(np.pi * (np.arange(DEGREE) + 0.5) / DEGREE)
    basis, x, j = chebyshev.chebvander(nodes, DEGREE - 1), REACH * nodes, np.arange(MODES)
    derivative = np.vstack([chebyshev.chebder(np.eye(DEGREE), axis=0, scl=1.0 / REACH), np.zeros(DEGREE)])
    slope = np.linalg.solve(basis, (x**3 - x)[:, None] * basis)
    lowered = np.diag(j[1:].astype(float), 1)
    whole = HOT**0.5 * np.kron(derivative, np.diag(np.ones(MODES - 1), -1) + lowered)
    whole = whole - np.kron(slope, lowered) / HOT**0.5 - friction * np.kron(np.eye(DEGREE), np.diag(j))
    odd = np.add.outer(np.arange(DEGREE), j).ravel() % 2 == 1
    return 2.0 / least_eigenvalue(-whole[np.ix_(odd, odd)])


@claim(
    "kramers-marginal-is-sgds-law",
    "004.48; kramers1940",
    "The marginal in θ of Kramers' law is that of SGD, so that what is said of SGD holds for momentum and Nesterov's "
    "method.",
)
def marginal() -> Outcome:
    r"""In the two wells at T = 0.2 the mean of x², and the time on one side over λ, by the steps of BAOAB and Heun.

    On a bowl the variance over that of the law, exact, where $\alpha\ell/(1 - \beta) = 1$, β = 0.9.
    """
    rate = 1.0 - BETA
    expected = [averages(HOT)[1]] * 2
    expected += [*(time_with_velocity(friction) / friction for friction in FRICTIONS), time_on_one_side(HOT, 0.0)]
    expected += [2.0 * variance(rate, BETA, ahead) for ahead in (0.0, BETA)]
    expected.append(2.0 * variance(1.0, 0.0, 0.0))
    heated = [Method(HEATED(wells, friction, HOT), Splitting("BAOAB"), STEP) for friction in FRICTIONS]
    flat = Method(OverdampedLangevin(wells, HOT), StochasticHeun(), STEP)
    measured = [second_moment(heated[0], DEGREE, MODES), second_moment(flat)]
    measured += [residence_time(m, DEGREE, MODES) / friction for m, friction in zip(heated, FRICTIONS, strict=True)]
    measured.append(residence_time(flat))
    runs = (MAKE(None, rate, BETA), nesterov(None, rate, BETA), gradient_descent(None, 1.0))
    measured += [2.0 * float(stationary_covariance(method, 1.0, 1.0)) for method in runs]
    agree = close(measured, expected, 2e-3)
    times = ", ".join(f"{{:.3f}} at λ = {friction:g}" for friction in FRICTIONS)
    return Outcome(
        *shown(
            f"mean of x² {{:.4f}} for SGD's {{:.4f}}; time on one side {times} for {{:.3f}}; variance over T/ℓ "
            "{:.4f} with momentum, {:.4f} by Nesterov's method for {:.4f}",
            expected,
            measured,
        ),
        holds=agree and close(measured[2:4], [measured[4]] * 2, 0.05) and close(measured[5:7], [measured[7]] * 2, 0.05),
        correction=Correction(
            "Of the law at one temperature, T = σ²/2λ against σ²/2: the marginal is the same. How long a well holds "
            f"is not, {measured[2] / measured[4]:.2f} times as long at λ = {FRICTIONS[0]:g} in the time that the flow "
            f"takes; nor is the law of the steps that are made, {measured[7] / measured[5]:.2f} times as wide for SGD "
            "at this learning rate.",
            holds=agree
            and close(measured[0], measured[1], 2e-3)
            and measured[2] > 1.2 * measured[4]
            and measured[7] > 1.5 * measured[5],
        ),
    )
