"""The kinetic temperature that a step makes, by which the one of chains is judged."""

import math
from typing import Any

import numpy as np

from .._errors import InputError
from .._methods.linearity import has_limit
from .._methods.method import Method
from .._methods.stationary import stationary_covariance
from ..dynamics import AbstractDamped, AbstractNoisy, UnderdampedLangevin
from ..schemes import Splitting

# Curvatures between none and the largest met, at which the prediction is made.
_GRID, _FEW = 33, 5


def predicted_temperatures(
    method: Method, largest: float, spread: np.ndarray | None = None
) -> tuple[float, float] | None:
    r"""Bounds on the mean kinetic temperature $m\,|\dot\theta|^2/d$ that a step makes.

    On a quadratic each direction has its own, a function of its curvature: at least of none, at most of the largest.
    In the mean over the directions $\nabla^2f$ is at least $T\Sigma^{-1}$ of the law (Cramér and Rao), and that is what
    it is for a Gaussian.

    Arguments:
        method: of a damped law.
        largest: curvature that was met.
        spread: $\Sigma$, (d, d), where it is known.

    Returns:
        the smallest and the largest; None where no prediction is made, as on a manifold.
    """
    temperature, law = constant_temperature(method), method.dynamics
    if temperature is None or not temperature > 0.0 or not isinstance(law, AbstractDamped) or law.geometry is not None:
        return None
    exact = isinstance(method.scheme, Splitting) and type(method.dynamics) is UnderdampedLangevin
    curvatures = largest * np.linspace(0.0 if exact else 1e-4, 1.0, _GRID if exact else _FEW)
    try:
        found = of_word(method, curvatures) if exact else _probed(method, curvatures)
    except (InputError, np.linalg.LinAlgError):
        return None
    good = np.isfinite(found) & (found > 0.0)
    if not good.all():
        return None
    low, high = float(found.min()), float(found.max())
    if spread is None or not np.isfinite(spread).all():
        return low, high
    width = np.linalg.eigvalsh(spread)
    at = np.minimum(temperature / np.maximum(width, temperature / largest if largest else np.inf), largest)
    mean = float(np.interp(at, curvatures, found).mean())
    steps = np.diff(found)
    if (steps <= 0).all():
        return low, max(mean, low)
    return (min(mean, high), high) if (steps >= 0).all() else (low, high)


def constant_temperature(method: Method) -> float | None:
    """T of a law that has one, at all times."""
    law: Any = method.dynamics
    if not isinstance(law, AbstractNoisy) or not method.autonomous:
        return None
    value = getattr(law, "temperature", None)
    return None if value is None or callable(value) or np.ndim(value) else float(value)


def of_word(method: Method, curvatures: np.ndarray) -> np.ndarray:
    r"""$m\langle\eta^2\rangle$ of a splitting on $\tfrac12 k\theta^2$, exact, at each k; NaN beyond its limit.

    Each letter is a 2 by 2 matrix; the covariance S of position and velocity solves $S = MSM^\top + Q$.
    """
    law, word = method.dynamics, method.scheme.word  # pyright: ignore[reportAttributeAccessIssue]
    h, mass = float(method.step_size), float(law.mass)  # pyright: ignore
    friction, temperature = float(law.friction), float(law.temperature)  # pyright: ignore
    k = np.asarray(curvatures, float)
    M, Q = np.tile(np.eye(2), (len(k), 1, 1)), np.zeros((len(k), 2, 2))
    for letter in word:
        part, L = h / word.count(letter), np.tile(np.eye(2), (len(k), 1, 1))
        if letter == "A":
            L[:, 0, 1] = part
        elif letter == "B":
            L[:, 1, 0] = -part * k / mass
        else:
            L[:, 1, 1] = math.exp(-friction / mass * part)
        M, Q = L @ M, L @ Q @ np.swapaxes(L, 1, 2)
        if letter == "O":
            Q[:, 1, 1] += -math.expm1(-2.0 * friction / mass * part) * temperature / mass
    stable = np.abs(np.linalg.eigvals(M)).max(axis=1) < 1.0
    # Without curvature only the velocity settles.
    free = k == 0.0
    found = np.full(len(k), np.nan)
    found[free] = mass * Q[free, 1, 1] / (1.0 - M[free, 1, 1] ** 2)
    for i in np.flatnonzero(stable & ~free):
        S = np.linalg.solve(np.eye(4) - np.kron(M[i], M[i]), Q[i].ravel())
        found[i] = mass * S[3]
    return found


def _probed(method: Method, curvatures: np.ndarray) -> np.ndarray:
    if not has_limit(method):
        raise InputError("no matrix makes a step")
    mass = float(method.dynamics.mass)  # pyright: ignore[reportAttributeAccessIssue]
    return np.array([mass * float(stationary_covariance(method, float(k), of="velocity")) for k in curvatures])
