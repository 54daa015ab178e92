"""The levels of quantiles, and the weights of the gaps between them, for which a Gaussian is exact."""

import functools
from typing import NamedTuple

import numpy as np


class Rule(NamedTuple):
    """Levels (N,), and of the N - 1 gaps between them their shares (summing to one) and their masses."""

    levels: np.ndarray
    shares: np.ndarray
    masses: np.ndarray


@functools.lru_cache(maxsize=32)
def rule(count: int) -> Rule:
    r"""Levels $p_i$ and, of the entropy $-\sum_k c_k\log\frac{g_k}{m_k}$ of gaps g, shares c and masses m.

    With equal masses $1/N$ the quantiles $z_i$ of a standard normal at $(i + \frac12)/N$ have a variance short of 1 by
    about $1.3/N$, all of it in the tails. So the levels are those of $y = z/\sqrt{\overline{z^2}}$, of variance 1. A
    gap's share is $g_k\sum_{i\le k}(-y_i)/N$ of the gaps of y: then the force of the entropy, $c_k/g_k$ less what it is
    in the gap before, is on the quantiles of any Gaussian that of the Gaussian, $-y_i/Ns$. The shares sum to
    $\sum_i y_i^2/N = 1$, and are $1/N$ but for a few percent in the outermost gaps. All masses have one factor, by
    which the entropy of a Gaussian is right as well.
    """
    # Here, for it is what costs most of all that a gradient flow imports.
    from scipy.special import ndtr, ndtri

    z = ndtri((np.arange(count) + 0.5) / count)
    z = 0.5 * (z - z[::-1])
    y = z / np.sqrt(np.mean(z * z))
    levels, gaps = ndtr(y), np.diff(y)
    shares = -gaps * np.cumsum(y)[:-1] / count
    shares = 0.5 * (shares + shares[::-1])
    masses = np.diff(levels)
    short = shares @ np.log(masses / gaps) + 0.5 * (1.0 + np.log(2.0 * np.pi))
    return Rule(levels, shares, masses * np.exp(-short))
