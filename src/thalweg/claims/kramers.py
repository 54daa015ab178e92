"""Noise on the heavy ball: Kramers' law with friction, none without."""

import jax
import jax.numpy as jnp
import numpy as np
from numpy.polynomial import hermite_e

from .._errors import InputError
from .._methods.method import Method
from ..analysis import stationary_covariance, transient_covariance
from ..dynamics import HeavyBall, UnderdampedLangevin
from ..schemes import Draws, Leapfrog, Splitting
from ._experiment import close, shown
from ._ledger import Correction, Outcome, claim
from .barrier import wells

FRICTION, TEMPERATURE, CURVATURE = 0.7, 0.3, 3.0
STEP = 1e-3
SIGMA, TIMES = 0.5, (100.0, 1000.0, 10000.0)


def drifts(method: Method, temperature: float) -> np.ndarray:
    r"""Rates at which a step changes the means of $x^2, x\eta, \eta^2, x^4, x^3\eta, x^2\eta^2, \eta^4$ over
    $e^{-(\eta^2/2 + L)/T}$ in the two wells: by the trapezoidal rule, and Gauss and Hermite's for the normals.
    """
    nodes, chances = hermite_e.hermegauss(8)
    x = np.linspace(-3.5, 3.5, 351)
    weight = np.exp(-0.25 * (x * x - 1.0) ** 2 / temperature)
    grids = np.meshgrid(x, np.sqrt(temperature) * nodes, nodes, indexing="ij")
    law = np.einsum("i,j,k->ijk", weight / weight.sum(), *[chances / chances.sum()] * 2).ravel()
    x, eta, normal = (jnp.asarray(grid.ravel()) for grid in grids)

    def one(x: jax.Array, eta: jax.Array, normal: jax.Array) -> tuple[jax.Array, jax.Array]:
        after = method.step(method.init(x[None], eta[None]), Draws(noise=(normal[None],)))
        return after.position[0], after.velocity[0]  # pyright: ignore

    def powers(x: jax.Array, eta: jax.Array) -> jax.Array:
        return jnp.stack([x**2, x * eta, eta**2, x**4, x**3 * eta, x**2 * eta**2, eta**4])

    after = powers(*jax.jit(jax.vmap(one))(x, eta, normal))
    return np.asarray((after - powers(x, eta)) @ law) / float(method.step_size)  # pyright: ignore


@claim(
    "kramers-law",
    "004.46; kramers1940; pavliotis2014, chapter 6",
    "With friction λ > 0 and noise √(2λT) dW the heavy ball settles to exp(-(η²/2 + L)/T).",
)
def kramers_law() -> Outcome:
    """On a bowl the exact covariance of BAOAB's steps; in the two wells the law is let go, and its means stay."""
    method = Method(UnderdampedLangevin(wells, FRICTION, TEMPERATURE), Splitting("BAOAB"), STEP)
    phase = np.asarray(stationary_covariance(method, CURVATURE, of="phase"))
    fastest = float(np.max(np.abs(drifts(method, TEMPERATURE))))
    words = "on a bowl mean of x² {:.6f}, η² {:.6f}, xη {:.6f}; in two wells a mean changes by {:.5f} a unit of time"
    expected = [TEMPERATURE / CURVATURE, TEMPERATURE, 0.0, 0.0]
    measured = [phase[0, 0], phase[1, 1], abs(phase[0, 1]), fastest]
    return Outcome(
        *shown(words, expected, measured),
        holds=close(measured[:2], expected[:2], 1e-5) and abs(phase[0, 1]) < 1e-9 and fastest < 1e-5,
    )


def _energies() -> list[float]:
    """Energies of the heavy ball without friction on a bowl, with gradient noise of σ² a unit of time, from rest."""
    method = Method(HeavyBall(None, 0.0), Leapfrog(), STEP)
    steps = np.round(np.asarray(TIMES) / STEP).astype(int)
    phase = transient_covariance(method, CURVATURE, steps, SIGMA**2 / STEP, of="phase")
    return [float(0.5 * (CURVATURE * each[0, 0] + each[1, 1])) for each in np.asarray(phase)]


def _settles() -> bool:
    try:
        stationary_covariance(Method(HeavyBall(None, 0.0), Leapfrog(), STEP), CURVATURE, SIGMA**2 / STEP)
    except InputError:
        return False
    return True


@claim(
    "kramers-without-friction",
    "004.47",
    "Without friction too, dη = -∇L dt + σ dW has a stationary law in the energy η²/2 + L.",
)
def without_friction() -> Outcome:
    r"""Compare with Itô: $d\langle\eta^2/2 + L\rangle = \tfrac12\sigma^2dt$ in each direction, whatever L is."""
    expected, measured = [0.5 * SIGMA**2 * time for time in TIMES], _energies()
    return Outcome(
        *shown("mean energy " + ", ".join(f"{{:.4g}} at t = {time:g}" for time in TIMES), expected, measured),
        holds=_settles() and close(measured[:-1], measured[1:], 1e-3),
        correction=Correction(
            "There is none: nothing takes what the noise brings, and the mean energy grows by σ²/2 a unit of time in "
            "each direction, without bound [pavliotis2014].",
            holds=not _settles() and close(measured, expected, 1e-2),
            amends=False,
        ),
    )
