"""The law that white noise leads to: the factor 2 in its exponent."""

import numpy as np

from .._methods.method import Method
from ..analysis import stationary_covariance
from ..dynamics import OverdampedLangevin
from ..schemes import LeimkuhlerMatthews, StochasticHeun
from ._experiment import close, shown
from ._ledger import Correction, Outcome, claim
from ._transfer import second_moment
from .barrier import wells

SIGMA, CURVATURE, STEP = 0.6, 3.0, 0.01


def averages(temperature: float) -> list[float]:
    r"""$\langle x^2\rangle$ of $e^{-f/T}$, on a bowl and in the two wells, by the trapezoidal rule."""
    x = np.linspace(-5.0, 5.0, 4001)
    weight = np.exp(-0.25 * (x * x - 1.0) ** 2 / temperature)
    return [temperature / CURVATURE, float(np.sum(x * x * weight) / np.sum(weight))]


@claim(
    "white-noise-law",
    "004.8",
    "With noise σ dW on the gradient, dθ = -∇L dt + σ dW, the stationary law is exp(-L/σ²).",
)
def white_noise_law() -> Outcome:
    r"""$0 = \nabla\cdot(\rho\nabla L) + \tfrac12\sigma^2\Delta\rho$ has $\rho\propto e^{-2L/\sigma^2}$.

    On the bowl the exact covariance of Leimkuhler and Matthews' method, which is that of the law at every step; in the
    two wells the law of stochastic Heun's own steps.
    """
    law = OverdampedLangevin(wells, SIGMA**2 / 2.0)
    measured = [
        float(stationary_covariance(Method(law, LeimkuhlerMatthews(), STEP), CURVATURE)),
        second_moment(Method(law, StochasticHeun(), STEP)),
    ]
    expected, said = averages(SIGMA**2 / 2.0), averages(SIGMA**2)
    driven = close(float(law.diffusion(None)), SIGMA, 1e-12)
    return Outcome(
        *shown(f"σ = {SIGMA:g}: mean of x² {{:.5f}} on a bowl, {{:.5f}} in two wells", expected, measured),
        holds=driven and close(measured, said, 1e-3),
        correction=Correction(
            f"It is exp(-2L/σ²), that is exp(-L/T) with T = σ²/2; exp(-L/σ²) would have {said[0]:.3f} and "
            f"{said[1]:.3f} [pavliotis2014].",
            holds=driven and close(measured, expected, 1e-3),
            amends=False,
        ),
    )
