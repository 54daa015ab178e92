"""A limited memory of curvature: secant pairs with their inner products, and steps of a shifted quasi-Newton matrix."""

from typing import Any, NamedTuple

from ._arithmetic import Arithmetic


class Secants(NamedTuple):
    r"""The last m pairs $(s_i, y_i)$, $y_i$ the change of the gradient over $s_i$, and their products with a slope.

    The matrix B is that of L-BFGS. It takes no notice of how long a pair is, so that of each only the directions are
    kept, and $\kappa_i = |y_i|/|s_i|$: nothing here has the units of f or x but these and the size of the slope, and
    no square of them is ever formed. For $B + \sigma$ the pairs are shifted, $(s_i, y_i + \sigma s_i)$, which keeps it
    positive and costs no products of long vectors (Kanzow and Steck 2023).

    Attributes:
        rows: the directions, those of s above those of y, (2m, d).
        gram: their inner products, (2m, 2m), from the oldest to the newest.
        along: theirs with the direction of the slope, (2m,), likewise.
        bends: $\kappa$, (m,), likewise; 0 for no pair.
        size: of the slope.
        oldest: which row it is.
    """

    rows: Any
    gram: Any
    along: Any
    bends: Any
    size: Any
    oldest: Any

    @classmethod
    def empty(cls, xp: Arithmetic, count: int, slope: Any) -> "Secants":
        """No pairs yet."""
        zeros, dtype = xp.numpy.zeros, slope.dtype
        return cls(
            zeros((2 * count, slope.size), dtype), zeros((2 * count, 2 * count), dtype), zeros(2 * count, dtype),
            zeros(count, dtype), xp.length(slope), xp.counted(0),
        )  # fmt: skip

    def push(self, xp: Arithmetic, s: Any, y: Any, keep: Any, slope: Any) -> "Secants":
        """With another pair, if it is to be kept, in the place of the oldest; at another slope."""
        np, m = xp.numpy, self.bends.size
        far, steep, size = xp.length(s), xp.length(y), xp.length(slope)
        s, y, unit = (_unit(xp, v, norm) for v, norm in ((s, far), (y, steep), (slope, size)))
        at = self.oldest
        rows = xp.placed(xp.placed(self.rows, at, s, keep), m + at, y, keep)
        oldest = xp.where(keep, (at + 1) % m, at)
        order = (oldest + np.arange(m)) % m
        bend = np.reshape(np.asarray(xp.over(steep, far), self.bends.dtype), (1,))
        bends = xp.chosen(keep, np.concatenate([self.bends[1:], bend]), self.bends)
        products = (rows @ np.stack([s, y, unit], axis=1))[np.concatenate([order, m + order])]
        there = bends > 0
        products = products * np.concatenate([there, there])[:, None]
        gram = xp.chosen(keep, _moved(np, self.gram, products[:, :2]), self.gram)
        return Secants(rows, gram, products[:, 2], bends, size, oldest)

    def cleared(self, xp: Arithmetic, clear: Any) -> "Secants":
        """Forgotten, if so; the vectors may stay."""
        kept = self.gram, self.along, self.bends
        gram, along, bends = xp.when(clear, lambda: tuple(0.0 * x for x in kept), kept)
        return self._replace(gram=gram, along=along, bends=bends)

    def solve(self, xp: Arithmetic, base: Any, shift: Any) -> "Solution":
        r"""$-(B + \sigma)^{-1}g$, where B is `base` off the pairs.

        Reference: Byrd, Nocedal and Schnabel (1994), the inverse in compact form.
        """
        np, m = xp.numpy, self.bends.size
        there, total = self.bends > 0, base + shift
        bends = np.where(there, self.bends, 1.0) + shift
        # The shifted pair has the direction z = (1 - part) y + part s.
        part = np.where(there, shift / bends, 0.0)
        rest = 1.0 - part
        ss, sy, yy = self.gram[:m, :m], self.gram[:m, m:], self.gram[m:, m:]
        sg, yg = self.along[:m], self.along[m:]

        def products() -> tuple[Any, Any, Any]:
            mixed = rest[:, None] * sy.T + part[:, None] * ss
            zz = rest[None, :] * (rest[:, None] * yy + part[:, None] * sy) + part[None, :] * mixed
            return mixed.T, zz, rest * yg + part * sg

        sz, zz, zg = xp.shorter(shift == 0, lambda: (sy, yy, yg), products)
        upper = sz + np.diag(np.where(there, 0.0, 1.0))  # what is below stays unread
        p = xp.solved(upper, sg)
        a = xp.solved(upper, np.diagonal(sz) * (total / bends) * p + zz @ p - zg, transposed=True)
        on_rows = np.concatenate([a - part * p, -rest * p]) * np.concatenate([there, there])
        turned = xp.dot(on_rows, self.along)
        square = 1.0 + 2.0 * turned + xp.dot(on_rows, self.gram @ on_rows)
        # Products of products leave rounding, and nothing tells a negative square from infinity but a test.
        long = self.size / total
        return Solution(long, on_rows, xp.where(square > 0, long * xp.sqrt(square), xp.numpy.inf), -(1.0 + turned))

    def unsolved(self, xp: Arithmetic) -> "Solution":
        """The shape of a solution, too long for any step."""
        zero = 0.0 * self.size
        return Solution(zero, xp.numpy.zeros_like(self.along), zero + xp.numpy.inf, zero)

    def vector(self, xp: Arithmetic, solution: "Solution", slope: Any) -> Any:
        """The step itself."""
        np, m = xp.numpy, self.bends.size
        # From the order of age to that of the rows.
        age = (np.arange(m) - self.oldest) % m
        on_rows = solution.on_rows[np.concatenate([age, m + age])]
        return -solution.size * (_unit(xp, slope, self.size) + on_rows @ self.rows)


class Solution(NamedTuple):
    """A step as coefficients of the directions of the slope, `size`, and of the rows, `on_rows` times that.

    `length` is its own, `descent` its product with the direction of the slope as a part of `size`.
    """

    size: Any
    on_rows: Any
    length: Any
    descent: Any


def _unit(xp: Arithmetic, x: Any, norm: Any) -> Any:
    return x / xp.where(norm > 0, norm, 1.0)


def _moved(np: Any, gram: Any, products: Any) -> Any:
    """Inner products with the oldest pair left out, and those of a new one in the last place."""
    m = len(gram) // 2
    kept, new = gram.reshape(2, m, 2, m)[:, 1:, :, 1:], products.reshape(2, m, 2)
    above = np.concatenate([kept, new[:, :-1, :, None]], axis=3)
    below = np.transpose(new, (2, 0, 1))[:, None]
    return np.concatenate([above, below], axis=1).reshape(2 * m, 2 * m)
