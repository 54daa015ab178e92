"""A method on a quadratic as a chain of positions and velocities, and what follows from it as its step changes."""

import math

import jax
import numpy as np
import scipy.linalg

from .._errors import InputError
from .._methods.linearity import in_float64
from .._methods.method import Method
from .._methods.stationary import linear_step

# Chebyshev's points: steps of up to 1 over the fastest rate of the law, where a step is a short polynomial.
_POINTS = 13
# What a chain forgets of itself is zero to rounding, or is not.
_CLOSED = 1e-10
# phi_1 of a (576, 576) matrix.
_LARGEST = 24
_TERMS = 20


def chain(method: Method, hessian: np.ndarray, noise: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""$(A, Q)$ of $y^+ = Ay + \text{noise}$ for positions and, of a second-order law, velocities.

    Raises:
        InputError: they are no chain by themselves, since the method remembers something else.
    """
    linear = linear_step(method, hessian, noise, "phase")
    seen, n = linear.seen, len(linear.seen)
    back = np.linalg.inv(seen[:, :n])
    # What is remembered besides belongs to the position.
    lift = np.vstack([back, linear.start[n:] @ back[: len(hessian)]])
    step, left = linear.matrix @ lift, np.eye(len(lift)) - lift @ seen
    for part in (step, linear.driven):
        if np.abs(left @ part).max() > _CLOSED * np.abs(part).max():
            raise InputError(
                f"{type(method.dynamics).__name__} by {type(method.scheme).__name__} follows no equation in position "
                "and velocity alone: a step remembers noise of the last one; use a scheme that does not"
            )
    return seen @ step, seen @ linear.driven @ seen.T


def series(method: Method, hessian: np.ndarray, noise: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    r"""The coefficients of $h, h^2, h^3$ in A and in Q, at fixed constants of the law and fixed $K = hC$: (3, n, n).

    By interpolation between steps of the method, to about 1e-11 of them; where h is 0 it stays where it is.
    """
    at = 0.5 * (1.0 - np.cos(np.pi * np.arange(_POINTS) / (_POINTS - 1))) / rate
    with jax.enable_x64(True):
        chains = [chain(in_float64(method).with_step_size(h), hessian, noise / h) for h in at[1:]]
    n = len(chains[0][0])
    values = np.array([(np.zeros((n, n)),) * 2, *((a - np.eye(n), q) for a, q in chains)])
    to_series = np.linalg.inv(np.polynomial.chebyshev.chebvander(2.0 * at * rate - 1.0, _POINTS - 1))
    weights = [
        np.polynomial.chebyshev.chebval(-1.0, np.polynomial.chebyshev.chebder(to_series, k))
        * (2.0 * rate) ** k
        / math.factorial(k)
        for k in (1, 2, 3)
    ]
    found = np.einsum("kp,pcij->ckij", np.array(weights), values)
    return found[0], found[1]


def lyapunov(drift: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    r"""$MX + XM^\top$."""
    return drift @ covariance + covariance @ drift.T


def expanded(a: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    r"""$M_0, M_1, M_2$ and $D_0, D_1, D_2$ from the series of $A = e^{hM}$ and $Q = \int_0^h e^{Ms}De^{M^\top s}ds$.

    The logarithm of $1 + X$ is $X - X^2/2 + X^3/3$, and $Q = hD + \tfrac{h^2}2L(D) + \tfrac{h^3}6L^2(D)$ with
    $L(X) = MX + XM^\top$.
    """
    m0, m1 = a[0], a[1] - 0.5 * a[0] @ a[0]
    m2 = a[2] - 0.5 * (a[0] @ a[1] + a[1] @ a[0]) + a[0] @ a[0] @ a[0] / 3.0
    d0, d1 = q[0], q[1] - 0.5 * lyapunov(m0, q[0])
    d2 = q[2] - 0.5 * (lyapunov(m0, d1) + lyapunov(m1, d0)) - lyapunov(m0, lyapunov(m0, d0)) / 6.0
    return np.array([m0, m1, m2]), np.array([d0, d1, d2])


def interpolating(a: np.ndarray, q: np.ndarray, h: float) -> tuple[np.ndarray, np.ndarray]:
    """M and D of the equation that passes through every step, with no error.

    Raises:
        InputError: the step has no real logarithm, or has too many dimensions.
    """
    n = len(a)
    values = np.linalg.eigvals(a)
    turned = values[(values.real <= 0.0) & (np.abs(values.imag) <= 1e-8 * np.abs(values).max())]
    if turned.size:
        raise InputError(
            f"no equation passes through these steps: one of them multiplies a direction by {turned.real.min():.4g}, "
            "which no motion in continuous time does; take a smaller step"
        )
    if n > _LARGEST:
        raise InputError(
            f"the exact equation is found up to {_LARGEST} dimensions, but here are {n}; "
            "give the eigenvalues of the Hessian one by one, or an order"
        )
    drift = np.real(scipy.linalg.logm(a)) / h
    eye = np.eye(n)
    whole = h * (np.kron(drift, eye) + np.kron(eye, drift))
    diffusion = np.linalg.solve(h * _phi(whole), q.ravel()).reshape(n, n)
    return drift, 0.5 * (diffusion + diffusion.T)


def _phi(z: np.ndarray) -> np.ndarray:
    r"""$\varphi_1(Z) = (e^Z - 1)/Z$, by its series and $\varphi_1(2Z) = \tfrac12\varphi_1(Z)(e^Z + 1)$."""
    doublings = max(0, math.ceil(math.log2(max(np.linalg.norm(z, 1), 1.0))))
    short, eye = z / 2.0**doublings, np.eye(len(z))
    term, found = eye, eye
    for k in range(2, _TERMS):
        term = term @ short / k
        found = found + term
    grown = eye + short @ found
    for _ in range(doublings):
        found = 0.5 * found @ (grown + eye)
        grown = grown @ grown
    return found
