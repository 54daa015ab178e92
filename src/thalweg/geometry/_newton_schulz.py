"""Newton-Schulz iterations: nearly the polar factor of matrices, by products alone."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

# a, b and c of the quintic whose slope at 0 is steep, so that small singular values grow fast.
QUINTIC = (3.4445, -4.7750, 2.0315)


def newton_schulz(
    matrix: Float[Array, "*k m n"], coefficients: Float[Array, "i 3"], epsilon: ArrayLike, dtype: Any = None
) -> Float[Array, "*k m n"]:
    r"""A polynomial of the singular values of $G/(\|G\|_F + \varepsilon)$, one quintic after another.

    $$X \leftarrow aX + (bA + cA^2)X,\qquad A = XX^\top,\qquad s \leftarrow as + bs^3 + cs^5$$

    Arguments:
        matrix: G, the last two axes.
        coefficients: (a, b, c) of each iteration.
        epsilon: of the norm; where both are 0 so is the result.
        dtype: to iterate in, the first rounding that of the matrix itself; None is that of the matrix.

    Returns:
        in the dtype of the matrix.
    """
    # Of the smaller of the two Gram matrices.
    tall = matrix.shape[-2] > matrix.shape[-1]
    # None would be the default of JAX, float64 where it has that.
    x = (jnp.swapaxes(matrix, -1, -2) if tall else matrix).astype(matrix.dtype if dtype is None else dtype)
    # In low precision all is rounded where torch does it, a product and what is added to it once: bit by bit the same.
    wide = jnp.promote_types(x.dtype, jnp.float32)
    norm = (_frobenius(x.astype(wide)) + jnp.asarray(epsilon, wide)).astype(x.dtype).astype(wide)
    x = (x.astype(wide) / jnp.where(norm == 0.0, 1.0, norm)).astype(x.dtype)
    for row in range(coefficients.shape[0]):
        a, b, c = (coefficients[row, column].astype(wide) for column in range(3))
        gram = _product(x, jnp.swapaxes(x, -1, -2), wide).astype(x.dtype)
        added = (b * gram.astype(wide) + c * _product(gram, gram, wide)).astype(x.dtype)
        x = (a * x.astype(wide) + _product(added, x, wide)).astype(x.dtype)
    x = x.astype(matrix.dtype)
    return jnp.swapaxes(x, -1, -2) if tall else x


def _product(one: Array, other: Array, dtype: Any) -> Array:
    return jnp.matmul(one, other, preferred_element_type=dtype)


def _frobenius(x: Array) -> Array:
    # Scaled first, so that squares neither overflow nor vanish.
    most = jnp.max(jnp.abs(x), axis=(-2, -1), keepdims=True, initial=0.0)
    scale = jnp.where((most > 0.0) & jnp.isfinite(most), most, 1.0)
    return scale * jnp.sqrt(jnp.sum((x / scale) ** 2, axis=(-2, -1), keepdims=True))
