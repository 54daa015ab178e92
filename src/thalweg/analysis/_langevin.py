"""Langevin dynamics on a quadratic, mode by mode: exact covariances at any time and damping.

In the eigenvectors of the Hessian the drift falls apart into modes, which only the noise couples; a block belongs to
a pair of modes.
"""

import math

import numpy as np

# Of the Taylor series of a covariance at a time of at most 1/4 of the fastest rate: beyond rounding, also of x and x,
# which begins two terms later.
_TERMS = 24
_SHORT = 0.25


def overdamped(rates: np.ndarray, diffusion: np.ndarray, time: float) -> np.ndarray:
    r"""$\int_0^t e^{-a_is}D_{ij}e^{-a_js}ds = D_{ij}\,(1 - e^{-(a_i+a_j)t})/(a_i+a_j)$, (d, d)."""
    both = rates[:, None] + rates[None, :]
    flat = both == 0.0
    return diffusion * np.where(flat, time, -np.expm1(-both * time) / np.where(flat, 1.0, both))


def propagators(stiffness: np.ndarray, friction: float, time: float) -> np.ndarray:
    r"""$e^{Mt}$ of $\dot x = v$, $\dot v = -kx - \gamma v$ for each k: (d, 2, 2).

    With $\phi = e^{-\gamma t/2}\sin(\Omega t)/\Omega$ and $\Omega^2 = k - \gamma^2/4$ of either sign, written so that
    nothing cancels near critical damping, nor in the slow mode far beyond it.
    """
    half = 0.5 * friction
    discriminant = half**2 - stiffness
    root = np.sqrt(np.abs(discriminant))
    over = discriminant > 0.0
    turned = np.where(over, 0.0, root * time)
    cosine = math.exp(-half * time) * np.cos(turned)
    sine = math.exp(-half * time) * time * np.sinc(turned / np.pi)
    # The slow rate without the difference of two large numbers; negative where the mode runs away.
    fast = half + np.where(over, root, 0.0)
    slow = np.divide(stiffness, fast, out=np.zeros_like(root), where=over)
    # 1 - exp(-2 root t)
    gap = -np.expm1(-2.0 * root * time)
    late, safe = np.exp(-slow * time), np.where(over, root, 1.0)
    sine = np.where(over, late * gap / (2.0 * safe), sine)
    cosine = np.where(over, late * (1.0 - 0.5 * gap), cosine)
    apart = over & (root * time > 1.0)
    kept = np.where(apart, (fast * late * (1.0 - gap) - slow * late) / (2.0 * safe), cosine - half * sine)
    return np.moveaxis(np.array([[cosine + half * sine, sine], [-stiffness * sine, kept]]), -1, 0)


def underdamped(stiffness: np.ndarray, friction: float, diffusion: np.ndarray, time: float) -> np.ndarray:
    r"""$\int_0^t e^{M_is}\begin{pmatrix}0&0\\0&D_{ij}\end{pmatrix}e^{M_j^\top s}ds$, (d, d, 2, 2).

    A Taylor series at a short time, doubled: $Q_{2t} = Q_t + e^{Mt}Q_te^{M^\top t}$ adds what is positive to what is
    positive, so that each entry keeps its digits at times short and long.
    """
    rate = friction + 2.0 * math.sqrt(float(np.abs(stiffness).max()))
    doublings = max(0, math.ceil(math.log2(max(rate * time / _SHORT, 1.0))))
    short = time / 2.0**doublings
    ones, zeros = np.ones_like(stiffness), np.zeros_like(stiffness)
    drift = np.moveaxis(np.array([[zeros, ones], [-stiffness, -friction * ones]]), -1, 0)
    term = np.zeros((*diffusion.shape, 2, 2))
    term[..., 1, 1] = short * diffusion
    found = term
    for k in range(2, _TERMS):
        term = short / k * (np.einsum("iab,ijbc->ijac", drift, term) + np.einsum("ijab,jcb->ijac", term, drift))
        found = found + term
    for k in range(doublings):
        found = found + carried(propagators(stiffness, friction, short * 2.0**k), found)
    # S_xv + S_vx is the rate at which S_xx grows, D phi_i phi_j: known also where little is left of it.
    answer = propagators(stiffness, friction, time)[:, 0, 1]
    growth, apart = diffusion * np.outer(answer, answer), found[..., 0, 1] - found[..., 0, 1].T
    found[..., 0, 1], found[..., 1, 0] = 0.5 * (growth + apart), 0.5 * (growth - apart)
    return found


def carried(step: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    r"""$E_iS_{ij}E_j^\top$."""
    return np.einsum("iab,ijbc,jdc->ijad", step, covariance, step)


def underdamped_stationary(stiffness: np.ndarray, friction: float, diffusion: np.ndarray) -> np.ndarray:
    r"""The solution of $M_iS + SM_j^\top + D = 0$, (d, d, 2, 2).

    $$S_{xx} = \frac{2\gamma D}{2\gamma^2(k_i+k_j) + (k_i-k_j)^2},\quad S_{vv} = \tfrac12(k_i+k_j)S_{xx},\quad
      S_{xv} = -S_{vx} = \frac{k_i-k_j}{2\gamma}S_{xx}$$
    """
    total, apart = (op(stiffness[:, None], stiffness[None, :]) for op in (np.add, np.subtract))
    position = 2.0 * friction * diffusion / (2.0 * friction**2 * total + apart**2)
    cross = apart / (2.0 * friction) * position
    found = np.empty((*diffusion.shape, 2, 2))
    found[..., 0, 0], found[..., 1, 1] = position, 0.5 * total * position
    found[..., 0, 1], found[..., 1, 0] = cross, -cross
    return found


def phase(blocks: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """A covariance of positions and then velocities, (2d, 2d), from blocks of pairs of modes."""
    turned = np.einsum("pi,ijab,qj->apbq", vectors, blocks, vectors)
    flat = turned.reshape((2 * len(vectors),) * 2)
    return 0.5 * (flat + flat.T)


def blocks_of(covariance: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """The inverse of `phase`."""
    d = len(vectors)
    return np.einsum("pi,apbq,qj->ijab", vectors, covariance.reshape(2, d, 2, d), vectors)
