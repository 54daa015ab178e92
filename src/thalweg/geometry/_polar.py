"""The polar factor of matrices, and its derivative."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


@jax.custom_jvp
def polar_factor(matrix: Float[Array, "*k m n"]) -> Float[Array, "*k m n"]:
    r"""$UV^\top$ of $G = USV^\top$; of a matrix of lower rank the partial isometry, which is 0 where G is.

    What is below the rounding of the largest singular value is taken for 0.
    """
    return _polar(matrix)[0]


def _polar(matrix: Array) -> tuple[Array, Any]:
    u, s, vt = jnp.linalg.svd(matrix, full_matrices=False)
    rounding = jnp.finfo(s.dtype).eps * max(matrix.shape[-2:])
    # Not a number is kept, so that the factor is none either.
    kept = ~(s <= rounding * jnp.max(s, axis=-1, keepdims=True, initial=0.0))
    u = jnp.where(kept[..., None, :], u, 0.0)
    return u @ vt, (u, jnp.where(kept, s, 0.0), vt, kept)


@polar_factor.defjvp
def _polar_jvp(primals: Any, tangents: Any) -> Any:
    # The derivative of the factors of an SVD is infinite where two values are equal; that of their product is not:
    # dP = U K V' + (1 - UU') dG V/S V' + U/S U' dG (1 - VV'), K_ij = (D - D')_ij/(s_i + s_j) with D = U' dG V.
    (matrix,), (moved,) = primals, tangents
    factor, (u, s, vt, kept) = _polar(matrix)
    v = jnp.where(kept[..., None, :], _turned(vt), 0.0)
    inner = _turned(u) @ moved @ v
    total = s[..., :, None] + s[..., None, :]
    both = kept[..., :, None] & kept[..., None, :]
    turn = jnp.where(both, (inner - _turned(inner)) / jnp.where(both, total, 1.0), 0.0)
    over = jnp.where(kept, 1.0 / jnp.where(kept, s, 1.0), 0.0)[..., None, :]
    left, right = moved @ (v * over), _turned(moved) @ (u * over)
    left, right = left - u @ (_turned(u) @ left), right - v @ (_turned(v) @ right)
    return factor, u @ turn @ _turned(v) + left @ _turned(v) + u @ _turned(right)


def _turned(matrix: Array) -> Array:
    return jnp.swapaxes(matrix, -1, -2)
