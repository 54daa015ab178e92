"""Pits of an objective: where SGD stays in them, and at which learning rates."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtri

from .._methods.aliases import gradient_descent
from .._methods.method import Method
from .._objectives.finite_sum import FiniteSum
from ..analysis import escape_time, stationary_covariance
from ..schemes import Draws
from ._experiment import boundary, close, shown
from ._ledger import Correction, Outcome, claim
from .barrier import wells

RATE, NOISE, ERRORS = 0.05, 0.6, 160
# Samples of curvature k around c: their mean has its minimum at 0 and curvature 1.
ALIKE, MIXED = ((1.0, 0.0),), ((0.2, 4.5), (1.8, -0.5))
GRID = np.linspace(-1.5, 1.5, 751)


def _pulled(x: Any, sample: Any) -> Any:
    curvature, centre, error = sample
    return jnp.sum(0.5 * curvature * (x - centre) ** 2 + error * x)


@eqx.filter_jit
def _stepped(method: Method, points: Array, rows: Array) -> Array:
    def one(x: Array, row: Array) -> Array:
        return method.step(method.init(x), Draws(batch=row[None])).position  # pyright: ignore[reportReturnType]

    return jax.vmap(jax.vmap(one, (None, 0)), (0, None))(points, rows)


def law_of_steps(kinds: tuple[tuple[float, float], ...]) -> np.ndarray:
    """The stationary law on the grid of SGD's own steps, one for each sample: the chances with which they are made."""
    errors = NOISE * ndtri((np.arange(ERRORS) + 0.5) / ERRORS)
    samples = np.array([(curvature, centre, error) for curvature, centre in kinds for error in errors])
    method = gradient_descent(FiniteSum(_pulled, tuple(jnp.asarray(samples.T)), 1), RATE)
    after = np.asarray(_stepped(method, jnp.asarray(GRID), jnp.arange(len(samples))))
    width = GRID[1] - GRID[0]
    place = np.clip((after - GRID[0]) / width, 0.0, GRID.size - 1.000001)
    left, part = place.astype(int), place - place.astype(int)
    chances, start = np.zeros((GRID.size, GRID.size)), np.arange(GRID.size)[:, None]
    np.add.at(chances, (start, left), (1.0 - part) / len(samples))
    np.add.at(chances, (start, left + 1), part / len(samples))
    system = chances.T - np.eye(GRID.size)
    system[-1] = 1.0
    return np.linalg.solve(system, np.eye(GRID.size)[-1]) / width


def mode_of_steps(law: np.ndarray) -> float:
    """The highest point of a polynomial through the logarithm of a law close to its top."""
    near = GRID[np.abs(GRID - GRID[int(np.argmax(law))]) < 0.15]
    fitted = np.polynomial.Polynomial.fit(near, np.log(law[np.isin(GRID, near)]), 5)
    fine = np.linspace(near[0], near[-1], 30_001)
    return float(fine[int(np.argmax(fitted(fine)))])


def mode_by_quadrature(kinds: tuple[tuple[float, float], ...]) -> float:
    """The highest point of the law of the same steps with errors that are normal, by Gauss and Legendre's rule."""
    nodes, weights = np.polynomial.legendre.leggauss(160)
    nodes, weights = 1.5 * nodes, 1.5 * weights

    def kernel(to: np.ndarray) -> np.ndarray:
        means = [nodes - RATE * curvature * (nodes - centre) for curvature, centre in kinds]
        gaps = [(to[:, None] - mean) / (RATE * NOISE) for mean in means]
        return sum(np.exp(-0.5 * gap**2) for gap in gaps) / (len(kinds) * RATE * NOISE * np.sqrt(2.0 * np.pi))

    system = kernel(nodes) * weights - np.eye(nodes.size)
    system[-1] = weights
    law = np.linalg.solve(system, np.eye(nodes.size)[-1])
    best: Any = minimize_scalar(
        lambda x: -float((kernel(np.array([x])) @ (weights * law))[0]), bounds=(-0.5, 0.5), method="bounded",
        options={"xatol": 1e-8},
    )  # fmt: skip
    return float(best.x)


def mode_of_diffusion(kinds: tuple[tuple[float, float], ...]) -> float:
    r"""The place where $L' + D' = 0$ for $dx = -L'dt + \sqrt{2D}\,dW$, $D = \alpha C/2$.

    Its law is $D^{-1}e^{-\int L'/D}$.
    """
    (one, here), (other, there) = kinds

    def slope(x: float) -> float:
        # C = ((g₁ - g₂)/2)² and a constant.
        return x + 0.25 * RATE * (one * (x - here) - other * (x - there)) * (one - other)

    return float(brentq(slope, -1.0, 1.0))  # pyright: ignore[reportArgumentType]


@claim("minima-are-most-likely", "004.11", "Minima of L are maxima of the stationary law.")
def most_likely() -> Outcome:
    r"""The modes of laws of SGD on a bowl with its minimum at 0, one sample a step: from its steps, on a grid.

    Of samples that differ by a push that is normal, so that the noise is everywhere the same; of samples of two
    curvatures, whose noise depends on θ; and of $e^\theta$ with the first, with its minimum at $e^0$: the law is normal
    of variance $\alpha\sigma^2/(2 - \alpha)$, and the mode of its exponential at $e^{-\mathrm{variance}}$.
    """
    even, uneven = law_of_steps(ALIKE), law_of_steps(MIXED)
    expected = [0.0, mode_by_quadrature(MIXED), float(np.exp(-RATE * NOISE**2 / (2.0 - RATE)))]
    measured = [mode_of_steps(even), mode_of_steps(uneven), float(np.exp(mode_of_steps(even * np.exp(-GRID))))]
    diffused = mode_of_diffusion(MIXED) if len(MIXED) == 2 else 0.0
    agree = bool(np.allclose(measured, expected, atol=2e-3))
    return Outcome(
        *shown("mode {:.3f} in even noise, {:.3f} in uneven; {:.3f} of exp θ for 1", expected, measured),
        holds=agree and abs(measured[0]) < 2e-3 and abs(measured[1]) < 2e-3,
        correction=Correction(
            "In noise that is the same everywhere and in the coordinates in which it is so. The noise of mini-batches "
            "depends on θ: it moves the maxima by about αC'/2ℓ, to where there is less of it; and a maximum of a "
            f"density is another in other coordinates: {measured[2]:.3f} for exp θ.",
            holds=agree and abs(measured[0]) < 2e-3 and close(measured[1], diffused, 0.1) and measured[2] < 0.995,
        ),
    )


# Width and depth.
PITS: tuple[tuple[float, float], ...] = ((1.0, 1.0), (1.0, 4.0), (2.0, 4.0))


@eqx.filter_jit
def _settles(width: Array, depth: Array, rates: Array) -> Array:
    """Tell whether a run from close to the bottom comes closer, for each learning rate."""

    def end(rate: Array) -> Array:
        method = gradient_descent(lambda x: -depth * jnp.exp(-0.5 * (x / width) ** 2), rate)
        start = method.init(1e-3 * width)
        return jax.lax.fori_loop(0, 400, lambda _, state: method.step(state), start).position

    return jnp.abs(jax.vmap(end)(rates)) < 1e-3 * width


@claim("rate-within-the-width", "004.18", "The learning rate must not exceed the width of the pit.")
def within_the_width() -> Outcome:
    r"""The largest learning rate that settles in the pit $-d\,e^{-x^2/2w^2}$, by runs, in units of w: $2w/d$."""
    expected = [2.0 * width / depth for width, depth in PITS]
    measured = []
    for width, depth in PITS:
        limit = boundary(
            lambda rates, w=width, d=depth: np.asarray(_settles(jnp.asarray(w), jnp.asarray(d), jnp.asarray(rates))),
            0.05, 9.0,
        )  # fmt: skip
        measured.append(limit / width)
    words = ", ".join(f"{{:.4f}} of a pit {width:g} wide and {depth:g} deep" for width, depth in PITS)
    return Outcome(
        *shown(f"limit over the width {words}", expected, measured),
        holds=max(measured) < 1.05 * min(measured),
        correction=Correction(
            "What it must not exceed is 2 over the curvature, here 2w²/d: of two pits as wide as each other the deeper "
            "one has the smaller limit, and pits of one curvature have the same limit however wide. A length is the "
            "step α|∇L|, and not the learning rate.",
            holds=close(measured, expected, 1e-3),
            amends=False,
        ),
    )


SIGMAS, COUNT, RATES = (2.0, 1.0), 100_000, (0.1, 0.01)
ESCAPE: Callable[[float, float], float] = lambda rate, sigma: (  # noqa: E731
    escape_time(wells, -1.0, 0.0, 0.5 * rate * sigma**2) / rate
)


def _escape_by_hand(rate: float, sigma: float) -> float:
    """Mean number of steps from the bottom of a well to the top, by the trapezoidal rule on both integrals."""
    x = np.linspace(-3.0, 0.0, 6001)
    height, temperature = 0.25 * (x * x - 1.0) ** 2, 0.5 * rate * sigma**2
    weight = np.exp(-height / temperature)
    below = np.concatenate([[0.0], np.cumsum(0.5 * (weight[1:] + weight[:-1]) * (x[1] - x[0]))])
    above = x >= -1.0 - 1e-9
    inner = np.exp(height[above] / temperature) * below[above]
    return float(np.trapezoid(inner, x[above]) / temperature / rate)


@claim(
    "narrower-pits-want-a-smaller-rate",
    "004.19",
    "The smaller σ, the narrower the pit: so the learning rate must fall as training goes on.",
)
def narrower() -> Outcome:
    r"""The learning rate at which SGD stays in a well for 100,000 steps in the mean, at two σ.

    By the diffusion of temperature ασ²/2, in which a step takes α. And the loss that is left on a bowl of curvature 1
    over σ², $\alpha/(4 - 2\alpha)$, at two learning rates.
    """
    expected, measured = [], []
    for held, steps in ((expected, _escape_by_hand), (measured, ESCAPE)):
        for sigma in SIGMAS:
            high = 0.5 / sigma**2
            held.append(float(np.exp(brentq(
                lambda log, s=sigma, steps=steps: np.log(steps(float(np.exp(log)), s) / COUNT),
                np.log(0.02 * high), np.log(high), xtol=1e-5,
            ))))  # pyright: ignore # fmt: skip
    expected += [rate / (4.0 - 2.0 * rate) for rate in RATES]
    measured += [0.5 * float(stationary_covariance(gradient_descent(None, rate), 1.0, 1.0)) for rate in RATES]
    words = ", ".join(f"{{:.5f}} at σ = {sigma:g}" for sigma in SIGMAS)
    return Outcome(
        *shown(f"stays up to α = {words}; loss left {{:.5f}} σ² at α = 0.1, {{:.5f}} σ² at 0.01", expected, measured),
        holds=measured[1] < measured[0] and measured[3] < measured[2],
        correction=Correction(
            "It must fall for the sake of the loss that is left, which goes as ασ². For staying in the pit it need "
            f"not: with half of σ SGD stays at a learning rate {measured[1] / measured[0]:.1f} times as large, up to "
            "2 over the curvature, on which σ has no bearing.",
            holds=close(measured, expected, 1e-3) and measured[1] > 2.0 * measured[0] and measured[3] < measured[2],
        ),
    )
