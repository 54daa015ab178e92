"""Flows of distributions: the equations that they lead to, against closed forms and other integrators."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.polynomial import Polynomial
from scipy.integrate import solve_ivp
from scipy.linalg import eigh_tridiagonal
from scipy.stats import norm

from .._measures.distances import wasserstein
from .._measures.gaussian import Gaussian
from .._measures.grid import Grid
from .._measures.internal import Entropy
from .._measures.kernels import LinearKernel
from .._measures.kl import KL
from .._measures.potential import Potential
from .._records.run import Record
from ..geometry import FisherRao, KalmanWasserstein, Stein, Wasserstein, WassersteinFisherRao
from ..measures import flow
from ..schemes import ExactFokkerPlanck
from ._experiment import ORDER_TOLERANCE, close, observed_order, shown
from ._ledger import Correction, Outcome, claim

MEAN, VARIANCE, TIME, BRIEF = 1.5, 0.25, 0.5, 0.2
CURVATURE, TEMPERATURE = 1.6, 0.7
GEOMETRY = Wasserstein
HEAT, FREE = Entropy, KL
GEOMETRIES: dict[str, Any] = {
    "Wasserstein": Wasserstein,
    "Fisher and Rao": FisherRao,
    "both": WassersteinFisherRao,
    "Stein": lambda: Stein(LinearKernel()),
    "Kalman and Wasserstein": KalmanWasserstein,
}
# The time after which every one of them has come to rest.
PATIENCE = 20.0
# Coefficients of a potential c2 x^2/2 + c4 x^4/4.
POTENTIALS = {"a bowl": (1.0, 0.0), "a steeper bowl": (1.0, 1.0), "two wells": (-2.0, 1.0)}
WIDE = 8.0


def _grid(mean: float, variance: float, cells: int) -> Grid:
    start = norm(mean, np.sqrt(variance))
    edges = np.linspace(-WIDE, WIDE, cells + 1)
    return Grid.of(np.diff(start.cdf(edges)), edges)


def _apart(found: Any, masses: np.ndarray) -> float:
    """The sum over cells of what their masses differ by."""
    return float(np.sum(np.abs(np.asarray(found.masses) - masses)))


def _bent(x: Any) -> Any:
    return 0.5 * x[0] ** 2 + 0.2 * x[0] ** 4


def _carried(x: np.ndarray, time: float) -> np.ndarray:
    """Points after a time on their way along minus the slope of `_bent`, back if it is negative; infinite beyond."""
    under = 1.0 + 0.8 * x**2 * (1.0 - np.exp(-2.0 * time))
    return np.where(under > 0.0, x * np.exp(-time) / np.sqrt(np.maximum(under, 1e-300)), np.copysign(np.inf, x))


@claim(
    "continuity-equation",
    "002.9",
    "The Wasserstein gradient flow leads to the continuity equation, of particles with the velocity -∇ δF/δρ.",
)
def continuity() -> Outcome:
    r"""A density on a grid under $\int V\,d\rho$, beside points that go along $-V'$, each by itself.

    The mass of a cell is what was between the points that arrive at its edges, as $x' = -x - 4x^3/5$ has a closed form.
    """
    start = norm(MEAN, np.sqrt(VARIANCE))

    def ended(cells: int) -> Any:
        q = _grid(MEAN, VARIANCE, cells)
        return flow(Potential(_bent), q, BRIEF, geometry=GEOMETRY(), steps=cells // 2, record=None).final.position

    def error(cells: int) -> float:
        edges = np.linspace(-WIDE, WIDE, cells + 1)
        return _apart(ended(cells), np.diff(start.cdf(_carried(edges, -BRIEF))))

    points = _carried(start.ppf((np.arange(20_000) + 0.5) / 20_000), BRIEF)
    end = ended(800)
    expected = [float(points.mean()), float(points.std())]
    measured = [float(end.mean[0]), float(np.sqrt(end.covariance[0, 0]))]
    return Outcome(
        *shown("mean {:.3f}, deviation {:.3f}", expected, measured),
        holds=close(measured, expected, 3e-3) and error(400) / error(200) < 0.4 and error(200) < 0.1,
    )


def _free_energy(temperature: float) -> Any:
    return Potential(lambda x: 0.5 * CURVATURE * x[0] ** 2) + temperature * Entropy()


@claim(
    "fokker-planck-equation",
    "002.10; jordan1998",
    "The Wasserstein gradient flow of ∫V dρ + T ∫ρ log ρ is the Fokker-Planck equation ∂ρ/∂t = ∇·(ρ∇V) + TΔρ.",
)
def fokker_planck() -> Outcome:
    """The law of Ornstein and Uhlenbeck, cell by cell, on two grids."""
    still = TEMPERATURE / CURVATURE
    mean = MEAN * np.exp(-CURVATURE * TIME)
    variance = still + (VARIANCE - still) * np.exp(-2.0 * CURVATURE * TIME)

    def ended(cells: int) -> Any:
        q = _grid(MEAN, VARIANCE, cells)
        F = _free_energy(TEMPERATURE)
        return flow(F, q, TIME, geometry=GEOMETRY(), steps=cells // 2, record=None).final.position

    def error(cells: int) -> float:
        law = norm(mean, np.sqrt(variance))
        return _apart(ended(cells), np.diff(law.cdf(np.linspace(-WIDE, WIDE, cells + 1))))

    end = ended(400)
    expected, measured = [mean, variance], [float(end.mean[0]), float(end.covariance[0, 0])]
    return Outcome(
        *shown("mean {:.4f}, variance {:.4f}", expected, measured),
        holds=close(measured, expected, 1e-3) and abs(observed_order(error, 200) - 2.0) < 2.0 * ORDER_TOLERANCE,
    )


@claim("heat-equation", "jordan1998", "The heat equation is the Wasserstein gradient flow of the entropy ∫ρ log ρ.")
def heat() -> Outcome:
    """Two humps of unlike width and weight, each of which widens by 2t."""
    humps = ((0.7, -1.5, 0.3), (0.3, 1.0, 0.15))

    def masses(cells: int, time: float) -> np.ndarray:
        edges = np.linspace(-WIDE, WIDE, cells + 1)
        return np.sum([w * np.diff(norm(m, np.sqrt(v + 2.0 * time)).cdf(edges)) for w, m, v in humps], axis=0)

    def ended(cells: int) -> Any:
        q = Grid.of(masses(cells, 0.0), np.linspace(-WIDE, WIDE, cells + 1))
        return flow(HEAT(), q, TIME, geometry=GEOMETRY(), steps=cells // 2, record=None).final.position

    end, exact = ended(400), masses(400, TIME)
    cells = (170, 200, 230)
    expected = [exact[i] for i in cells]
    measured = [float(end.masses[i]) for i in cells]
    order = observed_order(lambda n: _apart(ended(n), masses(n, TIME)), 200)
    return Outcome(
        *shown("masses of three cells {:.5f}, {:.5f}, {:.5f}", expected, measured),
        holds=close(measured, expected, 1e-3) and abs(order - 2.0) < 2.0 * ORDER_TOLERANCE,
    )


@claim(
    "half-the-temperature",
    "often written",
    "The flow of ∫V dρ + T ∫ρ log ρ has the diffusion (T/2) Δρ.",
)
def half() -> Outcome:
    """Without a potential the variance grows by twice the coefficient of the Laplacian."""
    run = flow(TEMPERATURE * HEAT(), _grid(0.0, VARIANCE, 400), TIME, geometry=GEOMETRY(), record=None)
    end: Any = run.final.position
    found = (float(end.covariance[0, 0]) - VARIANCE) / (2.0 * TIME)
    return Outcome(
        *shown("the coefficient of the Laplacian is {:.4f} T", [1.0], [found / TEMPERATURE]),
        holds=abs(found / TEMPERATURE - 0.5) < 0.01,
        correction=Correction(
            "It is TΔρ, of the noise √(2T) dW: the variance grows by 2Tt [jordan1998].",
            holds=abs(found / TEMPERATURE - 1.0) < 0.01,
            amends=False,
        ),
    )


def gap(potential: Polynomial, temperature: float) -> float:
    r"""The least nonzero eigenvalue of $-T\partial^2 + V'\partial$, by a walk that jumps to its neighbours.

    At the rates $T e^{-(V_j - V_i)/2T}/h^2$ it is in detailed balance with $e^{-V/T}$, so that its matrix becomes
    symmetric, and zero is an eigenvalue.
    """
    x, width = np.linspace(-WIDE, WIDE, 8001, retstep=True)
    V = potential(x)
    V = V[V - V.min() < 60.0 * temperature] / temperature
    up, speed = np.exp(-0.5 * np.diff(V)), temperature / width**2
    leaving = np.append(up, 0.0) + np.append(0.0, 1.0 / up)
    beside = np.full(up.size, -speed)
    lowest = eigh_tridiagonal(speed * leaving, beside, eigvals_only=True, select="i", select_range=(0, 1))
    return float(lowest[1])


def _rates(c2: float, c4: float, unit: float) -> tuple[float, float]:
    """Of the fall of F - F_min and of the distance to Gibbs' law, between three and four units of time."""

    def V(x: Any) -> Any:
        return jnp.sum(0.5 * c2 * x**2 + 0.25 * c4 * x**4)

    edges = np.linspace(-WIDE, WIDE, 801)
    middles = 0.5 * (edges[1:] + edges[:-1])
    logs = -(0.5 * c2 * middles**2 + 0.25 * c4 * middles**4)
    still = Grid.of(np.exp(logs - logs.max()), edges)
    q: Any = Grid.of(np.exp(-0.5 * (middles - 0.3) ** 2), edges)
    energies, distances = [], []
    for time in (3.0 * unit, unit):
        q = flow(FREE(V), q, time, geometry=GEOMETRY(), scheme=ExactFokkerPlanck(), steps=1, record=None).final.position
        p, limit = np.asarray(q.masses), np.asarray(still.masses)
        alive = (p > 0.0) & (limit > 0.0)
        energies.append(np.sum(p[alive] * np.log(p[alive] / limit[alive])))
        distances.append(float(wasserstein(q, still)))
    return float(np.log(energies[0] / energies[1]) / unit), float(np.log(distances[0] / distances[1]) / unit)


@claim(
    "gibbs-rate",
    "bakry1985, carrillo2003",
    "Where V'' ≥ λ > 0 the law tends to Gibbs', F - F_min at least as fast as exp(-2λt) and W₂ as exp(-λt).",
)
def gibbs() -> Outcome:
    """Rates on a bowl, where they are equalities, on a steeper bowl, and in two wells, of which this says nothing."""
    gaps = [gap(Polynomial([0.0, 0.0, 0.5 * c2, 0.0, 0.25 * c4]), 1.0) for c2, c4 in POTENTIALS.values()]
    found = [_rates(*powers, 1.0 / one) for powers, one in zip(POTENTIALS.values(), gaps, strict=True)]
    expected = [rate for one in gaps for rate in (2.0 * one, one)]
    measured = [rate for one in found for rate in one]
    words = ", ".join(f"{{:.3f}} and {{:.3f}} in {name}" for name in POTENTIALS)
    convex = [(c2, rates) for (c2, _), rates in zip(POTENTIALS.values(), found, strict=True) if c2 > 0.0]
    return Outcome(
        *shown(f"rates of F and of W₂: {words}", expected, measured),
        holds=all(energy > 1.998 * c2 and distance > 0.999 * c2 for c2, (energy, distance) in convex)
        and close(measured, expected, 5e-3),
    )


def _exact(time: float) -> dict[str, tuple[float, float]]:
    """Mean and variance of a Gaussian on its way to the standard one, in five geometries."""
    kept = np.exp(-time)
    precision = 1.0 + kept * (1.0 / VARIANCE - 1.0)
    found = {
        "Wasserstein": (MEAN * kept, 1.0 + kept**2 * (VARIANCE - 1.0)),
        "Fisher and Rao": (kept * MEAN / VARIANCE / precision, 1.0 / precision),
    }
    odd = {
        "both": (lambda m, v: -(1.0 + v) * m, lambda m, v: 2.0 - 2.0 * v + v - v**2),
        "Stein": (lambda m, v: -m - m * (m**2 + v - 1.0), lambda m, v: -2.0 * v * (m**2 + v - 1.0)),
        "Kalman and Wasserstein": (lambda m, v: -v * m, lambda m, v: 2.0 * v - 2.0 * v**2),
    }
    for name, (means, variances) in odd.items():
        solved = solve_ivp(
            lambda _, y, a=means, b=variances: [a(*y), b(*y)], (0.0, time), [MEAN, VARIANCE], rtol=1e-10, atol=1e-12
        )
        found[name] = (float(solved.y[0, -1]), float(solved.y[1, -1]))
    return found


@claim(
    "direction-depends-on-the-distance",
    "002.8",
    "The direction in which a functional of a distribution falls fastest depends on how distance is measured.",
)
def geometries() -> Outcome:
    """The divergence to a Gaussian, from one Gaussian in five geometries: on the way, and at the end."""
    start, F = Gaussian(MEAN, VARIANCE), KL(Gaussian(0.0, 1.0))
    stride = round(400 * TIME / PATIENCE)
    ends = {}
    for name, geometry in GEOMETRIES.items():
        run: Any = flow(F, start, PATIENCE, geometry=geometry(), steps=400, record=Record((), positions=stride))
        trace = run.trace.position
        for time, index in ((TIME, 1), (PATIENCE, -1)):
            ends[name, time] = np.array([float(trace.mean[index, 0]), float(trace.covariance[index, 0, 0])])
    exact = _exact(TIME)
    measured = [float(figure) for name in exact for figure in ends[name, TIME]]
    expected = [figure for name in exact for figure in exact[name]]
    words = ", ".join(f"{{:.4f}} and {{:.4f}} ({name})" for name in exact)
    pairs = [float(np.abs(ends[a, TIME] - ends[b, TIME]).max()) for a in exact for b in exact if a < b]
    one = all(np.allclose(ends[name, PATIENCE], [0.0, 1.0], atol=1e-3) for name in exact)
    return Outcome(
        *shown(f"mean and variance on the way: {words}", expected, measured),
        holds=min(pairs) > 0.02 and one and close(measured, expected, 1e-4),
    )
