"""The double integral of a mean first-passage time, by Gauss–Legendre panels."""

from collections.abc import Callable

import numpy as np

from .._errors import InputError

Exponent = Callable[[np.ndarray], np.ndarray]

_NODES = 20  # in every panel
_FIRST, _LAST = 32, 16384  # numbers of panels
_CLOSE = 1e-11
_DEPTH = 45.0  # exp(-45) is 3e-20
_SCAN = 64  # points in each octave of distances from the start
_REACH = 16.0


def first_passage(exponent: Exponent, a: float, b: float) -> float:
    r"""$\int_a^b dy\, e^{u(y)} \int_{-\infty}^y dz\, e^{-u(z)}$, or infinity where that is beyond float64's range.

    Arguments:
        exponent: $u$, at an array of points.
        a, b: the ends, $a < b$.

    Raises:
        InputError: $u$ does not grow below a, or the panels do not converge.
    """
    low = _far_end(exponent, a, b - a)
    rounding = 16 * np.finfo(float).eps * float(np.abs(exponent(np.linspace(a, b, _SCAN))).max())
    found, previous, panels = np.nan, np.nan, _FIRST
    while panels <= _LAST:
        with np.errstate(over="ignore", invalid="ignore"):
            found = _double_integral(exponent, low, a, b, panels)
        if np.isfinite([found, previous]).all() and abs(found - previous) <= max(_CLOSE, rounding) * found:
            return float(found)
        previous, panels = found, 2 * panels
    if np.isinf(found):
        return np.inf
    raise InputError("the potential must be smooth enough for a quadrature to converge, but this one is not")


def _far_end(exponent: Exponent, a: float, width: float) -> float:
    """A point below a beyond which exp(-L/T) no longer matters."""
    least = float(exponent(np.array([a]))[0])
    near, low = a, a
    for k in range(60):
        far = a - width * 2.0 ** (k - 6)
        x = np.linspace(near, far, _SCAN)
        values = exponent(x)
        least = min(least, float(values.min()))
        seen = np.flatnonzero(values <= least + _DEPTH)
        low = float(x[min(seen[-1] + 1, _SCAN - 1)]) if seen.size else low
        if not seen.size and near <= a - _REACH * width:
            return low
        near = far
    raise InputError("the potential must grow on the far side of the start, else the mean time is infinite")


def _panels(low: float, high: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    edges = np.linspace(low, high, count + 1)
    return edges[:-1], np.diff(edges)


def _double_integral(exponent: Exponent, low: float, a: float, b: float, panels: int) -> float:
    """The integral from a to b of w(y) = exp(L(y)/T) times the integral from low to y of exp(-L/T)."""
    nodes, weights, partial = _rule()
    below, above = _panels(low, a, panels), _panels(a, b, panels)
    left, width = np.concatenate([below[0], above[0]]), np.concatenate([below[1], above[1]])
    # In each panel: its left edge, its nodes, its right edge.
    u = exponent(left[:, None] + width[:, None] * nodes)
    inside = u[:, 1:-1]
    # At a node, the share of its own panel: exp(u) times the integral of exp(-u) from the left edge; and so at the end.
    # Exponents are taken against the panel's least u, so that only what is seen from there is lost.
    floor = inside.min(axis=1, keepdims=True)
    own = np.exp(u[:, 1:] - floor) * (width[:, None] * (np.exp(floor - inside) @ partial.T))
    carried = np.exp(u[:, 1:] - u[:, :1])
    outer, at_edge = 0.0, 0.0
    for i in range(2 * panels):
        w = own[i] + carried[i] * at_edge
        if i >= panels:
            outer += width[i] * float(weights @ w[:-1])
        at_edge = w[-1]
    return outer


def _rule() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gauss–Legendre on [0, 1] with both ends added; row i of `partial` integrates from 0 to node i, the last to 1."""
    x, weights = np.polynomial.legendre.leggauss(_NODES)
    # Of the polynomial through the values at the nodes, in Legendre polynomials: coefficients, then their integrals.
    degrees = np.arange(_NODES)
    basis = np.polynomial.legendre.legvander(x, _NODES)
    to_coefficients = (basis[:, :-1] * weights[:, None]).T * (degrees[:, None] + 0.5)
    integrals = np.empty((_NODES, _NODES))
    integrals[:, 0] = x + 1.0
    integrals[:, 1:] = (basis[:, 2:] - basis[:, :-2]) / (2 * degrees[1:] + 1.0)
    partial = 0.5 * np.vstack([integrals @ to_coefficients, weights])
    nodes = np.concatenate([[0.0], 0.5 * (x + 1.0), [1.0]])
    return nodes, 0.5 * weights, partial
