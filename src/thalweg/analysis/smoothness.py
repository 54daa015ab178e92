"""The smoothness constant of a norm on a quadratic, which stands where no matrix tells the limit of a step."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array
from scipy.optimize import linear_sum_assignment

from .._errors import InputError
from .._methods.stationary import symmetric
from .._objectives.objective import as_position
from .._tree import Vector, on_device
from .._typed import typed
from ..geometry import Norm

# Signs of so many variables are looked at one by one, as a table of the two halves.
_FEW = 20
_STARTS, _CLIMBS, _SCALINGS = 32, 100, 300
_ROUNDING = 1e-9


class SmoothnessConstant(NamedTuple):
    """The smoothness constant of a norm, between two bounds.

    Attributes:
        lower: the largest curvature that was found.
        upper: one that no direction exceeds.
    """

    lower: float
    upper: float

    @property
    def exact(self) -> bool:
        """Tell whether both are one number, but for rounding."""
        return self.upper - self.lower <= 2.0 * _ROUNDING * abs(self.upper)


@typed()
def smoothness_constant(hessian: Any, norm: Any, like: Any = None) -> SmoothnessConstant:
    r"""The largest curvature along a direction of norm 1, bracketed.

    $$L = \max_{\|d\| \le 1} d^\top H\,d$$

    A step $\theta - h\,\mathtt{sharp}(\nabla f)$ lowers $f = \tfrac12\theta^\top H\theta$ as long as $h < 2/L$, and
    one of length h along the unit direction as long as $h < 2\|\nabla f\|_*/L$. Found from below by climbing,
    and from above by diagonal matrices that exceed H, each block by as much as pays. It is exact in the Euclidean norm;
    of positive semidefinite Hessians in the l1 norm; of diagonal ones in all of them, of which the spectral one is an
    assignment; and in the sup norm up to 20 variables where no diagonal entry is negative.

    Arguments:
        hessian: H, a symmetric array (d, d) or a curvature, of the parameters as one vector.
        norm: a `tw.geometry.Norm`, or its kind.
        like: parameters, for their arrays, which a spectral norm and one per leaf are of; one vector if None.

    Returns:
        a `SmoothnessConstant`: `.lower`, `.upper`, `.exact`.

    Raises:
        InputError: the Hessian is not symmetric, the norm is none, or the parameters are not as many.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> tw.analysis.smoothness_constant([[2.0, -1.0], [-1.0, 2.0]], "linf")  # along (1, -1)
    SmoothnessConstant(lower=6.0, upper=6.0)
    >>> tw.analysis.smoothness_constant([[2.0, -1.0], [-1.0, 2.0]], "l1").upper
    2.0
    """
    norm = Norm(norm) if isinstance(norm, str) else norm
    if not isinstance(norm, Norm):
        raise InputError(f"norm must be a tw.geometry.Norm, or its kind such as 'linf', but is {norm!r}")
    square = np.atleast_2d(symmetric("hessian", hessian, None))
    with jax.enable_x64(True):
        parameters = np.zeros(len(square)) if like is None else as_position(like)
        parameters = jax.tree.map(lambda leaf: on_device(np.zeros(jnp.shape(leaf)), float), parameters)
        norm.check(parameters)
        shapes = [leaf.shape for leaf in jax.tree.leaves(parameters)]
        count = sum(int(np.prod(shape)) for shape in shapes)
        if count != len(square):
            raise InputError(f"hessian must be of the {count} parameters, but has shape {square.shape}")
        exact = _exact(square, norm, shapes)
        if exact is not None:
            return SmoothnessConstant(exact, exact)
        lower = _climbed(square, norm, parameters)
    upper = _bounded(square, norm, shapes)
    if norm.kind == "linf" and len(square) <= _FEW:
        # A coordinate of negative curvature may do best inside; without that curvature no direction does worse.
        upper = min(upper, _by_signs(square + np.diag(np.maximum(-np.diagonal(square), 0.0))))
    return SmoothnessConstant(min(lower, upper), upper)


def _exact(square: np.ndarray, norm: Norm, shapes: list[tuple[int, ...]]) -> float | None:
    diagonal = np.diagonal(square)
    positive = np.maximum(diagonal, 0.0)
    if norm.kind == "l2" and not norm.per_leaf:
        return max(float(np.linalg.eigvalsh(square)[-1]), 0.0)
    if not (square - np.diag(diagonal)).any():
        return sum(_of_diagonal(block, norm, shape) for block, shape in _cut(positive, norm, shapes))
    if norm.kind == "linf" and len(square) <= _FEW and diagonal.min() >= 0.0:
        return _by_signs(square)
    if norm.kind == "l1" and not norm.per_leaf and np.linalg.eigvalsh(square)[0] >= 0.0:
        return float(positive.max())
    return None


def _of_diagonal(positive: np.ndarray, norm: Norm, shape: tuple[int, ...]) -> float:
    if norm.kind == "linf":
        return float(positive.sum())
    if norm.kind != "spectral":
        return float(positive.max(initial=0.0))
    # The squares of the entries of an orthogonal matrix are doubly stochastic; the best of those is a permutation.
    blocks = positive.reshape(-1, *shape[-2:])
    return float(sum(block[linear_sum_assignment(block, maximize=True)].sum() for block in blocks))


def _cut(values: np.ndarray, norm: Norm, shapes: list[tuple[int, ...]]) -> list[tuple[np.ndarray, tuple[int, ...]]]:
    """Values by the arrays that a norm is of."""
    if norm.elementwise:
        return [(values, (len(values),))]
    ends = np.cumsum([int(np.prod(shape)) for shape in shapes])[:-1]
    return list(zip(np.split(values, ends), shapes, strict=True))


def _by_signs(square: np.ndarray) -> float:
    """The best of all vertices of the cube, the curvature along each coordinate being positive."""
    half = len(square) // 2
    first, second = (_signs(n) for n in (half, len(square) - half))
    own = [np.einsum("ki,ij,kj->k", d, block, d) for d, block in (
        (first, square[:half, :half]), (second, square[half:, half:]))]  # fmt: skip
    both = own[0][:, None] + own[1] + 2.0 * first @ square[:half, half:] @ second.T
    return float(both.max())


def _signs(count: int) -> np.ndarray:
    return 1.0 - 2.0 * ((np.arange(2**count)[:, None] >> np.arange(count)) & 1)


def _climbed(square: np.ndarray, norm: Norm, parameters: Vector) -> float:
    """The largest curvature that climbs from many starts find: of a convex function no step along them goes down."""
    values, vectors = np.linalg.eigh(square)
    rng = np.random.default_rng(0)
    starts = np.concatenate([vectors[:, ::-1].T[:_STARTS], rng.standard_normal((_STARTS, len(square)))])
    shift = max(-float(values[0]), 0.0)
    return max(float(np.max(_climb(norm, parameters, on_device(square), on_device(starts), shift))), 0.0)


@partial(jax.jit, static_argnums=0)
def _climb(norm: Norm, parameters: Vector, square: Array, starts: Array, shift: Array) -> Array:
    unraveled = ravel_pytree(parameters)[1]

    def directed(slope: Array) -> Array:
        return ravel_pytree(norm.unit_direction(unraveled(slope)))[0]

    def climb(start: Array) -> Array:
        def body(_: Any, d: Array) -> Array:
            return directed(square @ d + shift * d)

        d = jax.lax.fori_loop(0, _CLIMBS, body, directed(start))
        return d @ square @ d

    return jax.vmap(climb)(starts)


def _bounded(square: np.ndarray, norm: Norm, shapes: list[tuple[int, ...]]) -> float:
    r"""$\sum_i\rho_iy_i$ of a matrix of diagonal blocks $y_i$ that exceeds H, $\rho_i$ the largest $|d_i|^2$ of one."""
    blocks = _blocks(norm, shapes, len(square))
    starts = np.concatenate([[0], np.cumsum(blocks)])[:-1]
    radii = _radii(norm, shapes, blocks)
    scales = np.maximum(np.add.reduceat(np.abs(square).sum(axis=1), starts), 1e-300)
    best = np.inf
    for i in range(_SCALINGS):
        roots = np.repeat(np.sqrt(scales), blocks)
        values, vectors = np.linalg.eigh(square / roots[:, None] / roots)
        best = min(best, max(float(values[-1]), 0.0) * float(radii @ scales))
        # The gradient of a smoothed largest eigenvalue: where several are equal each has its part.
        weights = np.exp((values - values[-1]) / (1e-3 * max(abs(values[-1]), 1e-300)))
        part = np.add.reduceat(vectors**2 @ (weights / weights.sum()), starts)
        share = radii * scales / (radii @ scales)
        scales = scales * np.exp((0.5 / (1.0 + 0.05 * i)) * np.log(np.maximum(part, 1e-12) / share))
        scales /= scales.max()
        scales = np.maximum(scales, 1e-12)
    if norm.kind == "l1":
        best = min(best, _l1_bound(square, blocks))
    # The largest eigenvalue is found to rounding only.
    return best * (1.0 + _ROUNDING)


def _blocks(norm: Norm, shapes: list[tuple[int, ...]], count: int) -> list[int]:
    if norm.kind == "linf":
        return [1] * count
    if norm.elementwise:
        return [count]
    return [int(np.prod(shape)) for shape in shapes]


def _radii(norm: Norm, shapes: list[tuple[int, ...]], blocks: list[int]) -> np.ndarray:
    if norm.kind != "spectral":
        return np.ones(len(blocks))
    return np.array([np.prod(shape[:-2], dtype=float) * min(shape[-2:]) for shape in shapes])


def _l1_bound(square: np.ndarray, blocks: list[int]) -> float:
    """The sum over pairs of arrays of their largest entry; of one array no more than that of a larger convex one."""
    starts = np.concatenate([[0], np.cumsum(blocks)])[:-1]
    largest = np.maximum.reduceat(np.maximum.reduceat(np.abs(square), starts, axis=0), starts, axis=1)
    bound = float(largest.sum())
    if len(blocks) == 1:
        values, vectors = np.linalg.eigh(square)
        bound = min(bound, float(((vectors * np.maximum(values, 0.0)) @ vectors.T).diagonal().max()))
    return bound
