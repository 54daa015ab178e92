"""Two wells of unequal depth: flows that come to the minimum and flows that do not, and the time that weights take."""

from typing import Any

import numpy as np
from numpy.polynomial import Polynomial
from scipy.integrate import quad

from .._measures.gaussian import Gaussian
from .._measures.grid import Grid
from .._measures.internal import Entropy
from .._measures.kernels import GaussianKernel
from .._measures.particles import Particles
from .._measures.potential import Potential
from .._measures.quantiles import Quantiles
from ..geometry import Stein, Wasserstein
from ..measures import flow
from ..schemes import Euler, ExactFokkerPlanck
from ._experiment import close, shown
from ._ledger import Correction, Outcome, claim
from .distributions import gap

WELLS = Polynomial([1.0, -0.1, -2.0, 0.0, 1.0])
LEFT, TOP, RIGHT = sorted(float(root.real) for root in WELLS.deriv().roots())
# Mean and deviation of particles at the start; and steps on a bowl of curvature 1, below and beyond its limit of 2.
START, SMALL, LARGE = (-0.3, 0.6), 0.5, 2.1
TEMPERATURES, SEED = (0.4, 0.2, 0.1), 0
# The shares on the right with which 50 particles begin.
SHARES, COUNT, COOL = (0.2, 0.5), 50, 0.2
HEAT = Entropy


def _wells(x: Any) -> Any:
    return WELLS.coef[0] + WELLS.coef[1] * x[0] + WELLS.coef[2] * x[0] ** 2 + x[0] ** 4


def _mass(temperature: float, low: float, high: float) -> float:
    return float(quad(lambda x: np.exp(-(WELLS(x) - WELLS(RIGHT)) / temperature), low, high, points=(LEFT, RIGHT))[0])


def weight(temperature: float) -> float:
    """The weight of the well on the right in Gibbs' law."""
    return _mass(temperature, TOP, 4.0) / _mass(temperature, -4.0, 4.0)


def _ratio(step: float) -> float:
    """By which F is multiplied in a step of Euler's method on a bowl."""
    F, q = Potential(lambda x: 0.5 * x[0] ** 2), Particles(np.array([-0.5, 1.0, 2.0]))
    end: Any = flow(F, q, step, geometry=Wasserstein(), scheme=Euler(), steps=1, record=None).final.position
    return float(F.value(end) / F.value(q))


def _at_rest() -> tuple[float, float]:
    """The height of F above its minimum at the end, without entropy, and the share that began on the left."""
    q = Particles(Quantiles.of(Gaussian(START[0], START[1] ** 2), 500).values)
    F = Potential(_wells)
    end: Any = flow(F, q, 20.0, geometry=Wasserstein(), scheme=Euler(), steps=1000, record=None).final.position
    return float(F.value(end)) - float(WELLS(RIGHT)), float(np.mean(np.asarray(q.positions) < TOP))


def _middles(cells: int) -> tuple[np.ndarray, np.ndarray]:
    edges = TOP + np.linspace(-3.0, 3.0, cells + 1)
    return edges, 0.5 * (edges[1:] + edges[:-1])


def _law(temperature: float, time: float, cells: int = 600) -> Any:
    """The law at a time, of all mass in the left well at the start."""
    edges, x = _middles(cells)
    q = Grid.of(np.exp(-0.5 * ((x - LEFT) / 0.1) ** 2), edges)
    F = Potential(_wells) + temperature * HEAT()
    return flow(F, q, time, geometry=Wasserstein(), scheme=ExactFokkerPlanck(), steps=1, record=None).final.position


def _share(q: Any) -> float:
    return float(np.sum(np.asarray(q.masses)[q.masses.size // 2 :]))


@claim(
    "negative-direction-minimises",
    "002.11",
    "Steps in the negative direction of the gradient of F[q] make an iteration that minimises F[q].",
)
def negative() -> Outcome:
    """A bowl at two steps, two wells without entropy, in which each particle ends in its own, and with entropy."""
    excess, left = _at_rest()
    expected = [(1.0 - SMALL) ** 2, (1.0 - LARGE) ** 2, left * float(WELLS(LEFT) - WELLS(RIGHT))]
    measured = [_ratio(SMALL), _ratio(LARGE), excess]
    F = Potential(_wells) + COOL * HEAT()
    least = float(WELLS(RIGHT)) - COOL * np.log(_mass(COOL, -4.0, 4.0))
    above = float(F.value(_law(COOL, 10.0 / gap(WELLS, COOL))) - least)
    return Outcome(
        *shown("on a bowl F times {:.4f} a small step and {:.4f} a large one; {:.4f} above the minimum in two wells",
               expected, measured),
        holds=abs(excess) < 1e-3,
        correction=Correction(
            "If the step is small enough and F convex along transport [mccann1997], or where entropy carries mass over "
            "barriers, as in ∫V dρ + T∫ρ log ρ [jordan1998]. A large step climbs, and without entropy each particle "
            "stays in its well.",
            holds=close(measured, expected, 1e-3) and measured[0] < 1.0 < measured[1] and abs(above) < 1e-3,
        ),
    )  # fmt: skip


def _sampled(temperature: float, time: float) -> float:
    """The share on the right of 2000 particles of Langevin dynamics that all began on the left."""
    q = Particles(LEFT + 0.1 * np.random.default_rng(SEED).standard_normal(2000))
    F = Potential(_wells) + temperature * HEAT()
    end: Any = flow(F, q, time, geometry=Wasserstein(), steps=round(time / 0.02), key=SEED, record=None).final.position
    return float(np.mean(np.asarray(end.positions) > TOP))


def _relaxation(temperature: float) -> float:
    """The time in which what the weight on the right lacks falls by e, between two and three such times."""
    unit = 1.0 / gap(WELLS, temperature)
    lacks = [weight(temperature) - _share(_law(temperature, times * unit)) for times in (1.0, 2.0)]
    return float(unit / np.log(abs(lacks[0] / lacks[1])))


@claim(
    "langevin-finds-the-weights",
    "often said of sampling",
    "Langevin dynamics finds the weights of the modes, wherever it starts.",
)
def langevin() -> Outcome:
    """All mass in the shallow well at the start; times in which the error of the weight falls by e."""
    expected = [1.0 / gap(WELLS, T) for T in TEMPERATURES] + [weight(TEMPERATURES[0])]
    patience = 10.0 * expected[0]
    measured = [_relaxation(T) for T in TEMPERATURES] + [_share(_law(TEMPERATURES[0], 3.0 * patience))]
    lacks = [abs(_share(_law(T, patience)) - weight(T)) for T in TEMPERATURES]
    particles = [abs(_sampled(T, patience) - _share(_law(T, patience))) for T in (TEMPERATURES[0], TEMPERATURES[-1])]
    barrier = float(WELLS(TOP) - WELLS(LEFT))
    cold, colder = TEMPERATURES[-2:]
    slope = np.log(abs(measured[len(TEMPERATURES) - 1] / measured[len(TEMPERATURES) - 2])) / (1.0 / colder - 1.0 / cold)
    times = ", ".join(f"{{:.4g}} at T = {T:g}" for T in TEMPERATURES)
    return Outcome(
        *shown(f"the error falls by e in {times}; the weight is {{:.4f}} in the end", expected, measured),
        holds=max(lacks) < 0.01 and max(particles) < 0.05,
        correction=Correction(
            f"In the long run. The time grows as exp(barrier/T) with the barrier of the shallow well [kramers1940]: "
            f"{measured[0]:.3g} at T = {TEMPERATURES[0]:g}, {measured[2]:.3g} at T = {TEMPERATURES[-1]:g}.",
            holds=close(measured, expected, 2e-3) and bool(abs(slope / barrier - 1.0) < 0.1) and max(particles) < 0.05,
        ),
    )


def _ends(share: float, stein: bool) -> float:
    """The share on the right at the end, by Stein's geometry or without noise and repulsion."""
    right = round(COUNT * share)
    rng = np.random.default_rng(SEED)
    points = np.where(np.arange(COUNT) < right, 1.0, -1.0) + 0.1 * rng.standard_normal(COUNT)
    F = Potential(_wells) + COOL * HEAT() if stein else Potential(_wells)
    geometry = Stein(GaussianKernel(0.5)) if stein else Wasserstein()
    run = flow(F, Particles(points), 200.0, geometry=geometry, scheme=Euler(), steps=4000, record=None)
    end: Any = run.final.position
    return float(np.mean(np.asarray(end.positions) > TOP))


@claim(
    "stein-finds-the-weights",
    "often said of Stein variational gradient descent",
    "Particles that move by a kernel, without noise, find the weights of the modes as well.",
)
def stein() -> Outcome:
    """Particles that begin in both wells, by two shares, by Stein's geometry and each along the slope.

    Of particles that all begin in one well, closer than they come to rest, the kernel may drive a few over the barrier.
    """
    measured = [_ends(share, stein) for stein in (True, False) for share in SHARES]
    expected = [round(COUNT * share) / COUNT for share in SHARES] * 2
    words = " and ".join(["{:.2f}"] * len(SHARES))
    aim = weight(COOL)
    return Outcome(
        *shown(f"share on the right in the end {words} by a kernel, {words} along the slope", expected, measured),
        holds=max(abs(share - aim) for share in measured[: len(SHARES)]) < 0.02,
        correction=Correction(
            f"They keep the shares with which they began, where the wells are apart: the weight is {aim:.2f}.",
            holds=measured == expected,
            amends=False,
        ),
    )
