"""Metrics of outputs pulled back to the parameters: formed and factored where they are few, else by their products."""

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Bool, Float

from .._errors import InputError, check_count, check_number
from .._krylov import Solution, conjugate_gradients
from .._tree import Vector, combine, length, ravel, size, unraveler, wide, wide_inner
from .base import AbstractMetric, traced

# Parameters of which the matrix is formed, at most, and numbers in their Jacobian.
DENSE, _NUMBERS = 256, 2**25
# What the solves are told by default: of the residual, and products of a solve at most.
TOLERANCE, PRODUCTS = 1e-8, 1000


class Pulled(NamedTuple):
    r"""Outputs linearised at a point, and the inner product among them.

    `forward` is $v \mapsto Jv$, `backward` $u \mapsto J^\top u$, `weigh` $u \mapsto Wu$; W has rank `rank` at most.
    """

    forward: Callable[[Vector], Array]
    backward: Callable[[Array], Vector]
    weigh: Callable[[Array], Array]
    rank: int


class AbstractPullback(AbstractMetric):
    r"""The metric $G = J^\top WJ + \lambda$ with J the Jacobian of outputs and $W \ge 0$ an inner product of theirs.

    Of up to `dense` parameters G is formed, scaled to a diagonal of ones and factored by Cholesky; of more
    $G^{-1}p$ is found by conjugate gradients, to `tolerance` of p, from products $J^\top(W(Jv))$ alone, J linearised
    once a solve. It is differentiable either way. Where G is singular to precision, or conjugate gradients need more
    than `products`, there is no velocity: it is NaN, so that a run ends as diverged, and an error where nothing is
    traced.
    """

    if TYPE_CHECKING:
        # A type checker would take them for fields, which come before those of the metric itself.
        damping: ClassVar[Float[Array, ""]]
        tolerance: ClassVar[Float[Array, ""]]
        products: ClassVar[int]
        dense: ClassVar[int]
    else:
        damping: eqx.AbstractVar[Float[Array, ""]]
        tolerance: eqx.AbstractVar[Float[Array, ""]]
        products: eqx.AbstractVar[int]
        dense: eqx.AbstractVar[int]

    @abc.abstractmethod
    def pulled(self, position: Vector) -> Pulled:
        """The outputs linearised at a point, which is in float32 at least."""

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        x = wide(position)
        p, pulled = _as(covector, x), self.pulled(x)
        self._check_rank(pulled.rank, size(x))
        if self._formed(x, pulled):
            found, sound = self._factored(x, pulled, p)
            instead = f"{self._name} is singular to precision here; give {self._more} damping"
        else:
            found, sound = self._iterated(pulled, p)
            instead = (
                f"conjugate gradients left more than tolerance={float(self.tolerance):g} of a slope after "
                f"{self.products} products with {self._name}; give more products, a larger tolerance, or "
                f"{self._more} damping"
                if not isinstance(self.tolerance, Tracer)
                else ""
            )
        found = only_where(sound, found, instead)
        return jax.tree.map(lambda leaf, own: leaf.astype(own.dtype), found, covector)

    def inner(self, position: Vector, u: Vector, v: Vector) -> Float[Array, ""]:
        x = wide(position)
        pulled, u, v = self.pulled(x), _as(u, x), _as(v, x)
        return jnp.sum(pulled.forward(u) * pulled.weigh(pulled.forward(v))) + self.damping * wide_inner(u, v)

    def residual(self, position: Vector, covector: Vector) -> Float[Array, ""]:
        """The part of a slope that its velocity leaves unexplained, $|Gv - p|/|p|$: how good the solve is.

        Arguments:
            position: where.
            covector: p.
        """
        x = wide(position)
        p = _as(covector, x)
        v = self.velocity(x, p)
        norm = length(p)
        left = length(combine((1, self._product(self.pulled(x), v)), (-1, p)))
        return left / jnp.where(norm > 0, norm, 1.0)

    def _product(self, pulled: Pulled, v: Vector) -> Vector:
        return combine((1, pulled.backward(pulled.weigh(pulled.forward(v)))), (self.damping, v))

    def _formed(self, x: Vector, pulled: Pulled) -> bool:
        outputs = jax.eval_shape(pulled.forward, x).size
        return size(x) <= self.dense and size(x) * outputs <= _NUMBERS

    def _factored(self, x: Vector, pulled: Pulled, p: Vector) -> tuple[Vector, Bool[Array, ""]]:
        cut, flat = unraveler(x), ravel(p)
        columns = jax.vmap(lambda e: pulled.forward(cut(e)))(jnp.eye(flat.size, dtype=flat.dtype))
        weighed = jax.vmap(pulled.weigh)(columns)
        n = flat.size
        matrix = columns.reshape(n, -1) @ weighed.reshape(n, -1).T
        matrix = matrix.astype(flat.dtype) + self.damping.astype(flat.dtype) * jnp.eye(n, dtype=flat.dtype)
        squares = jnp.diag(matrix)
        # Scaled so that the units of the parameters do not tell what is singular.
        held = squares > 0
        scale = jnp.where(held, jnp.sqrt(jnp.where(held, squares, 1.0)), 1.0)
        factor = jnp.linalg.cholesky(matrix / (scale[:, None] * scale[None, :]))
        # A squared pivot is what is left of a column beside those before it.
        pivots = jnp.diag(factor) ** 2
        sound = jnp.all(held) & jnp.all(pivots > 4.0 * n * jnp.finfo(flat.dtype).eps)
        found = jax.scipy.linalg.cho_solve((jnp.where(sound, factor, jnp.eye(n, dtype=flat.dtype)), True), flat / scale)
        return cut(found / scale), sound

    def _iterated(self, pulled: Pulled, p: Vector) -> tuple[Vector, Bool[Array, ""]]:
        least = 4.0 * float(jnp.finfo(jnp.result_type(*jax.tree.leaves(p))).eps)

        def product(v: Vector) -> Vector:
            return self._product(pulled, v)

        def solve(operator: Callable[[Vector], Vector], b: Vector) -> tuple[Vector, Array]:
            goal = jnp.maximum(self.tolerance, least) * length(b)
            found: Solution = conjugate_gradients(operator, b, goal, self.products, lambda r: r)
            # A number, for what a solve gives back beside its solution has a derivative.
            return found.x, (found.residual <= goal).astype(jnp.float32)

        found, sound = jax.lax.custom_linear_solve(product, p, solve, symmetric=True, has_aux=True)
        return found, sound > 0

    def _check_rank(self, rank: int, n: int) -> None:
        if rank < n and not isinstance(self.damping, Tracer) and not float(self.damping) > 0.0:
            raise InputError(
                f"{self._name} of {n} parameters has rank {rank} at most, so that a slope has no one velocity; give "
                "damping > 0"
            )

    @property
    def _name(self) -> str:
        return f"the metric {type(self).__name__}"

    @property
    def _more(self) -> str:
        return "a" if isinstance(self.damping, Tracer) or not float(self.damping) > 0.0 else "more"


def _as(v: Vector, x: Vector) -> Vector:
    return jax.tree.map(lambda leaf, own: jnp.asarray(leaf).astype(own.dtype), v, x)


def only_where(sound: Bool[Array, ""], found: Vector, instead: str) -> Vector:
    """Value that was found where it is sound, and NaN elsewhere; an error, where nothing is traced."""
    if not traced(sound) and not bool(sound):
        raise InputError(instead)
    return jax.tree.map(lambda leaf: jnp.where(sound, leaf, jnp.nan), found)


def check_solves(damping: Any, tolerance: Any, products: Any, dense: Any) -> None:
    """Refuse numbers of a metric that are out of their range."""
    check_number("damping", damping, at_least=0.0)
    check_number("tolerance", tolerance, above=0.0)
    check_count("products", products)
    check_count("dense", dense, at_least=0)
