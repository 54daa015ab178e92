"""python -m tools.logistic_posterior [DRAWS]: the moments stored for tw.problems.logistic_posterior().

Importance sampling. The proposal is a Student t (heavier in the tails than the target, so that the weights are bounded)
whose centre and scale are those of the mode, then refitted four times to the weighted draws. NumPy alone, float64;
the potential is written here a second time, without JAX.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, gammaln

from thalweg.problems._data import standardised

STORED = Path(__file__).parents[1] / "src" / "thalweg" / "problems" / "_logistic_posterior.json"
DRAWS = 10_000_000
DEGREES_OF_FREEDOM = 25.0
CHUNK = 2_000  # the margins of a chunk stay in the cache
SEED = 1993


def potential(rows: np.ndarray, labels: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Minus the logarithm of likelihood times exp(-|x|^2/2), for points x (n, 31), the bias first."""
    margin = (x @ rows) * labels
    losses = np.log1p(np.exp(-np.abs(margin))) - np.minimum(margin, 0.0)
    return losses.sum(axis=1) + 0.5 * np.sum(x * x, axis=1)


def mode(rows: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The minimum of the potential and the Hessian there, by Newton's method."""
    x = np.zeros(len(rows))
    for _ in range(50):
        margin = (x @ rows) * labels
        gradient = x - rows @ (labels * expit(-margin))
        hessian = (rows * (expit(margin) * expit(-margin))) @ rows.T + np.eye(len(x))
        x = x - np.linalg.solve(hessian, gradient)
    assert np.linalg.norm(gradient) < 1e-10
    return x, hessian


class Sums:
    """Weighted sums of the draws about a centre; everything that is reported follows from them."""

    def __init__(self, dimension: int) -> None:
        self.shift = -np.inf  # the largest log weight so far, taken out of every sum
        self.count = 0
        self.first: list[Any] = [0.0, np.zeros(dimension), np.zeros((dimension, dimension))]
        self.second: list[Any] = [0.0, *(np.zeros(dimension) for _ in range(4))]

    def add(self, log_weight: np.ndarray, y: np.ndarray) -> None:
        shift = max(self.shift, float(log_weight.max()))
        scale = np.exp(self.shift - shift)
        w = np.exp(log_weight - shift)
        new = [w.sum(), w @ y, (w[:, None] * y).T @ y]
        self.first = [scale * old + term for old, term in zip(self.first, new, strict=True)]
        new = [np.sum(w**2), *((w**2) @ y**power for power in range(1, 5))]
        self.second = [scale**2 * old + term for old, term in zip(self.second, new, strict=True)]
        self.shift, self.count = shift, self.count + len(w)

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        total, one, two = self.first
        mean = one / total
        covariance = two / total - np.outer(mean, mean)
        return mean, 0.5 * (covariance + covariance.T)  # equal to its transpose to the last digit

    def errors(self) -> tuple[np.ndarray, np.ndarray, float]:
        """Standard errors of the means, of the variances and of the logarithm of the mean weight (delta method)."""
        mean, covariance = self.moments()
        variance = np.diag(covariance)
        s0, s1, s2, s3, s4 = self.second
        total = self.first[0]
        square = s2 - 2 * mean * s1 + mean**2 * s0
        fourth = s4 - 4 * mean * s3 + 6 * mean**2 * s2 - 4 * mean**3 * s1 + mean**4 * s0
        of_variance = fourth - 2 * variance * square + variance**2 * s0
        relative = np.sqrt(s0 / total**2 - 1 / self.count)
        return np.sqrt(square) / total, np.sqrt(of_variance) / total, float(relative)

    @property
    def effective(self) -> float:
        """Effective sample size, (sum of weights)^2 / (sum of their squares)."""
        return float(self.first[0] ** 2 / self.second[0])


def sample(
    target: Callable[[np.ndarray], np.ndarray],
    centre: np.ndarray,
    scale: np.ndarray,
    draws: int,
    rng: np.random.Generator,
) -> Sums:
    """Importance sampling from a Student t of this centre and scale matrix; the sums are about the centre."""
    d, nu = len(centre), DEGREES_OF_FREEDOM
    factor = np.linalg.cholesky(scale)
    constant = gammaln((nu + d) / 2) - gammaln(nu / 2) - 0.5 * d * np.log(nu * np.pi) - np.log(np.diag(factor)).sum()
    sums = Sums(d)
    while sums.count < draws:
        n = min(CHUNK, draws - sums.count)
        z = rng.normal(size=(n, d)) / np.sqrt(rng.chisquare(nu, size=(n, 1)) / nu)
        y = z @ factor.T
        log_proposal = constant - 0.5 * (nu + d) * np.log1p(np.sum(z * z, axis=1) / nu)
        sums.add(-target(centre + y) - log_proposal, y)
    return sums


def compute(draws: int, seed: int = SEED) -> dict[str, Any]:
    """The numbers to store."""
    features, classes = standardised("breast_cancer")
    rows, labels = np.vstack([np.ones(features.shape[1]), features]), 2.0 * classes - 1.0

    def target(x: np.ndarray) -> np.ndarray:
        return potential(rows, labels, x)

    rng = np.random.default_rng(seed)
    centre, hessian = mode(rows, labels)
    covariance = np.linalg.inv(hessian)
    for _ in range(4):
        # A Student t of scale matrix S has the covariance S nu / (nu - 2).
        scale = covariance * (DEGREES_OF_FREEDOM - 2) / DEGREES_OF_FREEDOM
        shift, covariance = sample(target, centre, scale, min(draws, 400_000), rng).moments()
        centre = centre + shift
    sums = sample(target, centre, covariance * (DEGREES_OF_FREEDOM - 2) / DEGREES_OF_FREEDOM, draws, rng)
    shift, covariance = sums.moments()
    mean_error, variance_error, log_normaliser_error = sums.errors()
    return {
        "made_by": f"python -m tools.logistic_posterior {draws}",
        "seed": seed,
        "draws": draws,
        "effective_sample_size": round(sums.effective),
        "log_normaliser": float(np.log(sums.first[0] / sums.count) + sums.shift),
        "log_normaliser_error": log_normaliser_error,
        "mean": (centre + shift).tolist(),
        "mean_error": mean_error.tolist(),
        "variance_error": variance_error.tolist(),
        "covariance": covariance.tolist(),
    }


def rounded(value: Any) -> Any:
    """Nine significant digits, far below the standard errors."""
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


if __name__ == "__main__":
    found = compute(int(sys.argv[1]) if len(sys.argv) > 1 else DRAWS)
    lines = [f"{json.dumps(name)}: {json.dumps(rounded(value))}" for name, value in found.items()]
    STORED.write_text("{\n" + ",\n".join(lines) + "\n}\n", "utf-8")
    share = found["effective_sample_size"] / found["draws"]
    print(f"effective sample size {found['effective_sample_size']} of {found['draws']} draws ({share:.1%})")
    largest = max(e / found["covariance"][i][i] ** 0.5 for i, e in enumerate(found["mean_error"]))
    print(f"largest standard error of a mean {largest:.1e} standard deviations")
