"""One arithmetic for two places: traced, where JAX compiles it, and on the host, with numbers of Python and NumPy.

What is decided from a few numbers after every gradient is a large program and hardly any work: on the host it runs at
once, inside of somebody's `jit` it is traced. Both are written once, over one of these.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

# Squares of vectors beyond which, or beyond one over which, a part of them is lost.
_SAFE = 2.0**-800


class Traced:
    """JAX's arrays."""

    numpy = jnp
    where = staticmethod(jnp.where)
    sqrt = staticmethod(jnp.sqrt)
    isfinite = staticmethod(jnp.isfinite)
    no = staticmethod(jnp.logical_not)
    larger = staticmethod(jnp.maximum)
    smaller = staticmethod(jnp.minimum)

    @staticmethod
    def over(a: Any, b: Any) -> Any:
        """a/b, and 0 where b is 0."""
        return jnp.where(b != 0, a / jnp.where(b != 0, b, 1.0), 0.0)

    @staticmethod
    def dot(a: Any, b: Any) -> Any:
        return a @ b

    @staticmethod
    def length(x: Any) -> Any:
        """The Euclidean norm, whatever the size of its square."""
        most = jnp.max(jnp.abs(x), initial=0.0)
        scale = jnp.where((most > 0) & jnp.isfinite(most), most, 1.0)
        return scale * jnp.sqrt(jnp.sum((x / scale) ** 2))

    @staticmethod
    def chosen(which: Any, a: Any, b: Any) -> Any:
        """`where` for vectors and trees, of one truth value."""
        return jax.tree.map(lambda a, b: jnp.where(which, a, b), a, b)

    @staticmethod
    def when(which: Any, make: Callable[[], Any], otherwise: Any) -> Any:
        """`chosen` of what is made only where it is wanted."""
        return jax.lax.cond(which, make, lambda: otherwise)

    @staticmethod
    def placed(rows: Any, at: Any, row: Any, keep: Any) -> Any:
        """Rows with another one in a place, if it is to be kept."""
        return rows.at[at].set(jnp.where(keep, row, rows[at]))

    @staticmethod
    def shorter(which: Any, short: Callable[[], Any], whole: Callable[[], Any]) -> Any:
        """The same by a shorter way, where it may be gone; one way is the smaller program."""
        del which, short
        return whole()

    @staticmethod
    def solved(upper: Any, right: Any, transposed: bool = False) -> Any:
        return jax.scipy.linalg.solve_triangular(upper, right, trans=1 if transposed else 0)

    @staticmethod
    def loop(going: Callable, body: Callable, first: Any) -> Any:
        return jax.lax.while_loop(going, body, first)

    @staticmethod
    def counted(x: Any) -> Any:
        return jnp.asarray(x, int)

    @staticmethod
    def number(x: Any) -> Any:
        return x

    @staticmethod
    def hashed(size: int, like: Any) -> Any:
        # The same numbers on the host, and a small program.
        return _scattered(jnp, size).astype(like.dtype)


class Host:
    """Python's numbers, and vectors of NumPy that may be overwritten."""

    numpy = np
    isfinite = staticmethod(math.isfinite)

    @staticmethod
    def where(which: Any, a: Any, b: Any) -> Any:
        return a if which else b

    @staticmethod
    def sqrt(a: Any) -> Any:
        return math.sqrt(a) if a >= 0 else math.nan

    @staticmethod
    def no(a: Any) -> bool:
        return not a

    @staticmethod
    def larger(a: Any, b: Any) -> Any:
        return a if a >= b or a != a else b

    @staticmethod
    def smaller(a: Any, b: Any) -> Any:
        return a if a <= b or a != a else b

    @staticmethod
    def over(a: Any, b: Any) -> Any:
        return a / b if b else 0.0

    @staticmethod
    def dot(a: Any, b: Any) -> float:
        return float(a @ b)

    @staticmethod
    def length(x: Any) -> float:
        # Not NumPy's product, which warns of what overflows.
        square = _routines()[0](x, x) if x.size else 0.0
        if _SAFE < square < 1.0 / _SAFE:
            return math.sqrt(square)
        most = float(np.max(np.abs(x), initial=0.0))
        if most == 0.0 or not math.isfinite(most):
            return most
        # By a power of 2, so that another unit of f changes no digit.
        power = math.frexp(most)[1]
        x = np.ldexp(x, -power)
        return math.ldexp(math.sqrt(float(x @ x)), power)

    @staticmethod
    def chosen(which: Any, a: Any, b: Any) -> Any:
        return a if which else b

    @staticmethod
    def when(which: Any, make: Callable[[], Any], otherwise: Any) -> Any:
        return make() if which else otherwise

    @staticmethod
    def placed(rows: Any, at: Any, row: Any, keep: Any) -> Any:
        if keep:
            rows[at] = row
        return rows

    @staticmethod
    def shorter(which: Any, short: Callable[[], Any], whole: Callable[[], Any]) -> Any:
        return short() if which else whole()

    @staticmethod
    def solved(upper: Any, right: Any, transposed: bool = False) -> Any:
        found, singular = _routines()[1](upper, right, trans=1 if transposed else 0)
        return np.full_like(right, np.nan) if singular else found

    @staticmethod
    def loop(going: Callable, body: Callable, first: Any) -> Any:
        while going(first):
            first = body(first)
        return first

    @staticmethod
    def counted(x: Any) -> int:
        return int(x)

    @staticmethod
    def number(x: Any) -> float:
        return float(x)

    @staticmethod
    def hashed(size: int, like: Any) -> Any:
        del like
        return _scattered(np, size)


@functools.cache
def _routines() -> tuple[Any, Any]:
    """An inner product and a triangular system in double precision, without checks that cost more than they do."""
    import scipy.linalg

    (dot,) = scipy.linalg.get_blas_funcs(("dot",), dtype=np.float64)
    (solve,) = scipy.linalg.get_lapack_funcs(("trtrs",), dtype=np.float64)
    return dot, solve


# Either of them: a type checker does not look into static methods that are given and not written.
Arithmetic = Any


def _scattered(numpy: Any, size: int) -> Any:
    """Numbers between -1/2 and 1/2 that look drawn and are always the same: the bits of the places, mixed."""
    bits = numpy.arange(1, size + 1, dtype=numpy.uint32) * numpy.uint32(0x9E3779B9)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        bits = (bits ^ (bits >> numpy.uint32(shift))) * numpy.uint32(factor)
    return (bits ^ (bits >> numpy.uint32(16))) * 2.0**-32 - 0.5
