"""Norms of the parameters that are of no inner product, and the steepest descent in them."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError, check_choice
from .._tree import Vector, wide_dtype
from ._leafwise import wide
from ._polar import polar_factor
from .base import AbstractDirection


class _Steepest(NamedTuple):
    """The unit direction of a slope, by arrays, and the rate at which it rises there."""

    direction: list[Array]
    rise: Array


class Norm(AbstractDirection):
    r"""A norm of the parameters: the direction in which f falls fastest, by two maps of a slope g.

    $$\mathtt{unit\_direction}(g) = \operatorname*{argmax}_{\|d\| \le 1}\,\langle g, d\rangle,\qquad
      \mathtt{sharp}(g) = \|g\|_*\,\mathtt{unit\_direction}(g),\qquad \|g\|_* = \max_{\|d\| \le 1}\langle g, d\rangle$$

    Along the flow of the first f falls at the rate $\|\nabla f\|_*$, which comes to a minimum in a finite time; along
    that of the second at $\|\nabla f\|_*^2$, and its negative minimises $\langle g, v\rangle + \tfrac12\|v\|^2$.

    | kind | norm | dual norm | unit direction |
    | --- | --- | --- | --- |
    | `"l2"` | Euclidean | Euclidean | $g/\|g\|$ |
    | `"linf"` | largest entry | sum of sizes | signs |
    | `"l1"` | sum of sizes | largest entry | the sign of the largest entry alone, of several the first |
    | `"spectral"` | largest singular value | sum of singular values | $UV^\top$ of $g = USV^\top$ |

    Where the direction is not the only one, it is the one that is 0 on what has no slope: of a slope 0 it is 0, of a
    matrix of lower rank the partial isometry.

    All parameters are one vector. A spectral norm is of every matrix, the last two axes of an array, as `per_leaf=True`
    makes the others of every array: that of all is the largest of theirs, so that the unit direction of all is theirs
    side by side, the dual norm is the sum of theirs, and the sharp map multiplies all by that one sum.

    Arguments:
        kind: `"l2"`, `"linf"`, `"l1"` or `"spectral"`.
        unit: whether a velocity is the unit direction, as in sign descent, or the sharp map.
        per_leaf: whether every array has a norm of its own; always, of `"spectral"`.

    Raises:
        InputError: the kind is unknown; of a spectral norm, an array has less than two axes.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> norm, slope = tw.geometry.Norm("linf"), jnp.array([3.0, 0.0, -0.5])
    >>> norm.unit_direction(slope).tolist(), norm.sharp(slope).tolist(), float(norm.dual_norm(slope))
    ([1.0, 0.0, -1.0], [3.5, 0.0, -3.5], 3.5)
    >>> flow = tw.GradientFlow(lambda x: 0.5 * jnp.sum(x**2), geometry=tw.geometry.Norm("l2", unit=True))
    >>> [round(float(v), 6) for v in flow.velocity(None, jnp.array([3.0, 4.0]))]
    [-0.6, -0.8]

    Reference: Boyd and Vandenberghe (2004), section 9.4.
    """

    kind: str = eqx.field(static=True)
    unit: bool = eqx.field(default=False, static=True)
    per_leaf: bool = eqx.field(default=False, static=True)

    def __check_init__(self) -> None:
        check_choice("kind", self.kind, _KINDS)

    @property
    def elementwise(self) -> bool:
        return not (self.per_leaf or self.kind == "spectral")

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        del position
        return self.unit_direction(covector) if self.unit else self.sharp(covector)

    def slope_norm(self, position: Vector, covector: Vector) -> Float[Array, ""]:
        del position
        return self.dual_norm(covector)

    def unit_direction(self, covector: Vector) -> Vector:
        """The direction of norm 1 in which a slope rises fastest."""
        return self._cast([part.direction for part in self._parts(covector)], covector)

    def sharp(self, covector: Vector) -> Vector:
        """The unit direction times the dual norm: of the Euclidean norm, the slope as it is."""
        parts = self._parts(covector)
        if self.kind == "l2" and not self.per_leaf:
            return covector
        total = _total(parts, covector)
        return self._cast([[total.astype(leaf.dtype) * leaf for leaf in part.direction] for part in parts], covector)

    def dual_norm(self, covector: Vector) -> Float[Array, ""]:
        """The rate at which a slope rises in its unit direction."""
        return _total(self._parts(covector), covector)

    def norm(self, tangent: Vector) -> Float[Array, ""]:
        """The length of a tangent."""
        self._check_shapes(tangent)
        dtype, of = wide_dtype(tangent), _NORMS[self.kind]
        return jnp.max(jnp.stack([of(block).astype(dtype) for block in self._blocks(tangent)]))

    @property
    def linear(self) -> bool:
        return self.kind == "l2" and not (self.unit or self.per_leaf)

    @property
    def without_probe(self) -> str:
        if self.linear:
            return ""
        of = f"L the largest curvature <d, Hd> of a d of norm 1 in {self}, tw.analysis.smoothness_constant"
        if not self.unit:
            return f"a step lowers f as long as it is below 2/L, {of}"
        return (
            "steps of length h end in circling a minimum at a distance of about h, and lower f as long as they are "
            f"below 2/L times the dual norm of its slope, {of}"
        )

    def check(self, position: Vector) -> None:
        self._check_shapes(position)

    def _check_shapes(self, tree: Vector) -> None:
        flat = [jnp.shape(leaf) for leaf in jax.tree.leaves(tree) if jnp.ndim(leaf) < 2]
        if self.kind == "spectral" and flat:
            raise InputError(
                f"Norm('spectral') is of matrices, the last two axes of an array, but one has shape {flat[0]}; give "
                "such leaves a geometry of their own, by label"
            )

    def _blocks(self, tree: Vector) -> list[list[Array]]:
        leaves = [wide(leaf) for leaf in jax.tree.leaves(tree)]
        return [leaves] if self.elementwise else [[leaf] for leaf in leaves]

    def _parts(self, covector: Vector) -> list[_Steepest]:
        self._check_shapes(covector)
        return [_STEEPEST[self.kind](block) for block in self._blocks(covector)]

    @staticmethod
    def _cast(parts: list[list[Array]], covector: Vector) -> Vector:
        leaves, structure = jax.tree.flatten(covector)
        found = [leaf for part in parts for leaf in part]
        return jax.tree.unflatten(structure, [a.astype(b.dtype) for a, b in zip(found, leaves, strict=True)])


def _total(parts: list[_Steepest], covector: Vector) -> Float[Array, ""]:
    dtype = wide_dtype(covector)
    return jnp.sum(jnp.stack([part.rise.astype(dtype) for part in parts]))


def _largest(leaves: list[Array]) -> Array:
    dtype = jnp.result_type(*leaves)
    return jnp.max(jnp.stack([jnp.max(jnp.abs(leaf), initial=0.0).astype(dtype) for leaf in leaves]))


def _sum_of_sizes(leaves: list[Array]) -> Array:
    return jnp.sum(jnp.stack([jnp.sum(jnp.abs(leaf)) for leaf in leaves]))


def _euclidean(leaves: list[Array]) -> _Steepest:
    # Scaled first, so that squares neither overflow nor vanish; of no slope each branch is smooth.
    most = jax.lax.stop_gradient(_largest(leaves))
    scale = jnp.where((most > 0.0) & jnp.isfinite(most), most, 1.0)
    scaled = [leaf / scale.astype(leaf.dtype) for leaf in leaves]
    square = jnp.sum(jnp.stack([jnp.sum(leaf**2) for leaf in scaled]))
    flat = most == 0.0
    root = jnp.sqrt(jnp.where(flat, 1.0, square))
    return _Steepest([leaf / root.astype(leaf.dtype) for leaf in scaled], jnp.where(flat, 0.0, scale * root))


def _signs(leaves: list[Array]) -> _Steepest:
    return _Steepest([jnp.sign(leaf) for leaf in leaves], _sum_of_sizes(leaves))


def _coordinate(leaves: list[Array]) -> _Steepest:
    sizes = jnp.concatenate([jnp.ravel(jnp.abs(leaf)) for leaf in leaves])
    here, direction, before = jnp.argmax(sizes), [], 0
    for leaf in leaves:
        chosen = jnp.arange(leaf.size) + before == here
        direction.append(jnp.where(chosen.reshape(leaf.shape), jnp.sign(leaf), 0.0).astype(leaf.dtype))
        before += leaf.size
    return _Steepest(direction, jnp.max(sizes))


def _polar(leaves: list[Array]) -> _Steepest:
    (matrix,) = leaves
    factor = polar_factor(matrix)
    return _Steepest([factor], jnp.sum(factor * matrix))


_STEEPEST: dict[str, Callable[[list[Array]], _Steepest]] = {
    "l2": _euclidean, "linf": _signs, "l1": _coordinate, "spectral": _polar,
}  # fmt: skip
_NORMS: dict[str, Callable[[list[Array]], Array]] = {
    "l2": lambda leaves: _euclidean(leaves).rise,
    "linf": _largest,
    "l1": _sum_of_sizes,
    "spectral": lambda leaves: jnp.max(jnp.linalg.svd(leaves[0], compute_uv=False), initial=0.0),
}
_KINDS = tuple(_STEEPEST)
