"""Gradient noise in momentum and in Nesterov's method, at the same learning rate and momentum."""

from collections.abc import Callable

import numpy as np
from scipy.optimize import brentq

from .._methods.aliases import momentum, nesterov
from ..analysis import stationary_covariance
from ._experiment import close, shown
from ._ledger import Correction, Outcome, claim
from .temperature import variance

BETA = 0.9
PRODUCTS = (0.01, 0.1, 1.0, 1.35)


def _ratio(product: float, beta: float, of: str = "position") -> float:
    """The variance of Nesterov's method over that of momentum, exact, with the same noise in the gradient."""
    ahead, plain = (
        float(stationary_covariance(make(None, product, beta), 1.0, 1.0, of=where))
        for make, where in ((nesterov, of), (momentum, "position"))
    )
    return ahead / plain


def _expected(product: float, beta: float) -> float:
    return variance(product, beta, beta) / variance(product, beta, 0.0)


def _expected_ahead(product: float, beta: float) -> float:
    r"""$1 + 2\beta(1+\beta)\alpha\ell/(1+p)$ times as much for $\theta + \beta v$, with $p=\beta(1-\alpha\ell)$.

    From the covariance $1 - \alpha\ell/(1 + p)$ between two steps.
    """
    more = 2.0 * beta * (1.0 + beta) * product / (1.0 + beta - beta * product)
    return (1.0 + more) * _expected(product, beta)


def crossing(ratio: Callable[[float], float]) -> float:
    """The learning rate times curvature at which both variances are the same; not a number if nowhere."""
    low, high = 0.5, 1.356
    if not ratio(low) < 1.0 < ratio(high):
        return float("nan")
    return float(brentq(lambda product: np.log(ratio(product)), low, high, xtol=1e-10))  # pyright: ignore


@claim(
    "nesterov-quieter",
    "often said of Nesterov's look-ahead",
    "Nesterov's method is more robust to gradient noise than momentum: it settles to a narrower law.",
)
def quieter() -> Outcome:
    r"""Both variances are those of a two-term recurrence; they cross at $\alpha\ell = (1+\beta)^2/(1+\beta+\beta^2)$.

    It follows from $(1+p)(1+\beta) = \alpha\ell$ at the crossing, with $p = \beta(1-\alpha\ell)$.
    """
    expected = [_expected(product, BETA) for product in PRODUCTS]
    expected.append((1.0 + BETA) ** 2 / (1.0 + BETA + BETA**2))
    measured = [_ratio(product, BETA) for product in PRODUCTS]
    measured.append(crossing(lambda product: _ratio(product, BETA)))
    words = ", ".join(f"{{:.5f}} at αℓ = {product:g}" for product in PRODUCTS)
    limit = (2.0 + 2.0 * BETA) / (1.0 + 2.0 * BETA)
    return Outcome(
        *shown(f"β = {BETA:g}: variance ratio {words}; 1 at αℓ = {{:.5f}}", expected, measured),
        holds=max(measured[:-1]) < 1.0,
        correction=Correction(
            f"Along curvatures up to αℓ = (1+β)²/(1+β+β²), {measured[-1]:.4f} at β = {BETA:g}, and most where momentum "
            f"oscillates; on flat directions it is the same, and from there to its limit {limit:.4f} it is wider.",
            holds=close(measured, expected, 1e-5),
        ),
    )


@claim(
    "nesterov-quieter-as-stored",
    "often said of Nesterov's look-ahead, in the form of sutskever2013 that frameworks store",
    "The parameters that frameworks store for Nesterov's method, its look-ahead point, are quieter than momentum's.",
)
def stored() -> Outcome:
    r"""On flat directions the ratio is $1 + \alpha\ell\beta(1-2\beta)/(1-\beta) + O(\alpha\ell)^2$."""
    flat, low = 1e-3, 0.3

    def of_stored(product: float) -> float:
        return _ratio(product, BETA, "lookahead")

    expected = [_expected_ahead(product, BETA) for product in PRODUCTS]
    expected += [crossing(lambda product: _expected_ahead(product, BETA)), _expected_ahead(flat, low)]
    measured = [of_stored(product) for product in PRODUCTS]
    measured += [crossing(of_stored), _ratio(flat, low, "lookahead")]
    words = ", ".join(f"{{:.5f}} at αℓ = {product:g}" for product in PRODUCTS)
    return Outcome(
        *shown(f"β = {BETA:g}: variance ratio {words}; 1 at αℓ = {{:.5f}}; β = {low:g}: {{:.6f}} at αℓ = {flat:g}",
               expected, measured),
        holds=max(measured[:4]) < 1.0 and measured[-1] < 1.0,
        correction=Correction(
            f"Up to αℓ = {measured[4]:.4f} at β = {BETA:g}; and with β < 1/2 the stored point is noisier "
            "than momentum's however small the learning rate.",
            holds=close(measured, expected, 1e-5) and measured[-1] > 1.0,
        ),
    )  # fmt: skip
