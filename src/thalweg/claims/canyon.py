"""Canyons: quadratics of two curvatures, one much larger than the other."""

import numpy as np

from .._methods.aliases import gradient_descent, momentum, nesterov
from .._methods.probe import spectral_radius
from ._experiment import close, path, quadratic, shown
from ._ledger import Correction, Outcome, claim

FLAT, STEEP = 0.01, 1.0
RATES = (0.5, 1.9)


@claim(
    "descent-goes-zigzag",
    "003.1",
    "In a canyon gradient descent goes zig-zag: it oscillates along the steep direction.",
)
def zigzag() -> Outcome:
    r"""The share of 40 steps at which the steep coordinate changes its sign: of the factor $1 - \alpha\ell$."""
    expected, measured = [], []
    for rate in RATES:
        points = path(gradient_descent(quadratic(FLAT, STEEP), rate), [1.0, 1.0], 40).position[:, 1]
        measured.append(float(np.mean(points[1:] * points[:-1] < 0.0)))
        expected.append(float(1.0 - rate * STEEP < 0.0))
    words = ", ".join(f"{{:.2f}} of the steps at αL = {rate:g}" for rate in RATES)
    return Outcome(
        *shown(f"to the other side {words}", expected, measured),
        holds=min(measured) == 1.0,
        correction=Correction(
            "Where the learning rate is above 1/L, up to 2/L where it is stable. Below 1/L it comes to the bottom of "
            "the canyon from one side and creeps along it.",
            holds=measured == expected and max(measured) == 1.0,
        ),
    )


CURVATURES = (0.01, 1.0)


@claim(
    "gradient-deviates-from-the-optimum",
    "003.2",
    "On ill-conditioned surfaces the gradient deviates strongly from the direction of the optimum.",
)
def deviates() -> Outcome:
    r"""The largest angle over all points of a quadratic: $\cos = 2\sqrt\kappa/(1 + \kappa)$ (Kantorovich)."""
    curvatures = np.asarray(CURVATURES)
    condition = float(curvatures.max() / curvatures.min())
    expected = float(np.degrees(np.arccos(min(1.0, 2.0 * condition**0.5 / (1.0 + condition)))))
    angles = np.linspace(0.0, 0.5 * np.pi, 20001)
    x = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    # A step of descent from each point: its direction against that to the origin.
    moved = path(gradient_descent(quadratic(*np.tile(curvatures, len(x))), 1e-3), x.ravel(), 1).position[1]
    steps = moved.reshape(x.shape) - x
    cosines = -np.sum(steps * x, axis=1) / np.linalg.norm(steps, axis=1)
    measured = float(np.degrees(np.arccos(np.clip(cosines.min(), -1.0, 1.0))))
    return Outcome(
        *shown("up to {:.2f} degrees", [expected], [measured]),
        holds=close(measured, expected, 1e-4) and measured > 45.0,
    )


ROUND = 1.05


@claim(
    "alike-where-curvatures-are",
    "003.48",
    "Where the condition number is near 1 Nesterov's method and momentum are alike.",
)
def alike() -> Outcome:
    r"""Contraction at κ = 1.05: each at its best, and both at $\alpha = 1/L$ and a momentum of 0.9.

    Expected of the best are $(\sqrt\kappa - 1)/(\sqrt\kappa + 1)$ and $1 - 1/\sqrt\kappa$, of the rest the roots.
    """
    root, beta = ROUND**0.5, 0.9
    spectrum = [1.0 / ROUND, 1.0]
    ball = momentum(None, 4.0 / (1.0 + 1.0 / root) ** 2, ((root - 1.0) / (root + 1.0)) ** 2)
    ahead = nesterov(None, 1.0, (root - 1.0) / (root + 1.0))
    methods = (ball, ahead, momentum(None, 1.0, beta), nesterov(None, 1.0, beta))
    measured = [float(np.max(spectral_radius(method, spectrum))) for method in methods]
    expected = [(root - 1.0) / (root + 1.0), 1.0 - 1.0 / root]
    for look in (0.0, beta):
        sizes = [np.abs(np.roots([1.0, -(1.0 + beta - c * (1.0 + look)), beta - c * look])).max() for c in spectrum]
        expected.append(float(np.max(sizes)))
    return Outcome(
        *shown("{:.4f} and {:.4f} at their best, {:.4f} and {:.4f} at a momentum of 0.9", expected, measured),
        holds=abs(measured[2] - measured[3]) < 0.05,
        correction=Correction(
            "Each at its best, where either is there after a few steps. At the same settings with α = 1/L they differ "
            "the most: all modes are steep, so that momentum swings as √β and the look-ahead stills them.",
            holds=close(measured, expected, 1e-6) and max(measured[:2]) < 0.05,
        ),
    )
