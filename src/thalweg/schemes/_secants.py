"""A limited memory of curvature: secant pairs with their inner products, and steps of a shifted quasi-Newton matrix."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


class Secants(eqx.Module):
    r"""The last m pairs $(s_i, y_i)$, $y_i$ the change of the gradient over $s_i$, and their products with a slope.

    The matrix B is that of L-BFGS. For $B + \sigma$ the pairs are shifted, $(s_i, y_i + \sigma s_i)$, which keeps it
    positive and costs no products of long vectors (Kanzow and Steck 2023).
    """

    s: Float[Array, "m d"]
    y: Float[Array, "m d"]
    ss: Float[Array, "m m"]
    sy: Float[Array, "m m"]
    yy: Float[Array, "m m"]
    sg: Float[Array, " m"]
    yg: Float[Array, " m"]
    gg: Float[Array, ""]
    oldest: Int[Array, ""]

    @classmethod
    def empty(cls, count: int, slope: Float[Array, " d"]) -> "Secants":
        """No pairs yet."""
        rows, square = jnp.zeros((count, *slope.shape), slope.dtype), jnp.zeros((count, count), slope.dtype)
        none = jnp.zeros(count, slope.dtype)
        return cls(rows, rows, square, square, square, none, none, slope @ slope, jnp.zeros((), int))

    def push(
        self, s: Float[Array, " d"], y: Float[Array, " d"], keep: Bool[Array, ""], slope: Float[Array, " d"]
    ) -> "Secants":
        """With another pair, if it is to be kept, in the place of the oldest; at another slope."""
        at = self.oldest
        rows_s = self.s.at[at].set(jnp.where(keep, s, self.s[at]))
        rows_y = self.y.at[at].set(jnp.where(keep, y, self.y[at]))
        right = jnp.stack([s, y, slope], axis=1)
        by_s, by_y = rows_s @ right, rows_y @ right

        def moved(matrix: Array, row: Array, column: Array) -> Array:
            return jnp.where(keep, matrix.at[at, :].set(row).at[:, at].set(column), matrix)

        return Secants(
            rows_s, rows_y,
            moved(self.ss, by_s[:, 0], by_s[:, 0]), moved(self.sy, by_y[:, 0], by_s[:, 1]),
            moved(self.yy, by_y[:, 1], by_y[:, 1]), by_s[:, 2], by_y[:, 2], slope @ slope,
            jnp.where(keep, (at + 1) % len(self.s), at),
        )  # fmt: skip

    def cleared(self, clear: Bool[Array, ""]) -> "Secants":
        """Forgotten, if so."""
        names = ("ss", "sy", "yy", "sg", "yg")
        zeros = [jnp.where(clear, 0.0, getattr(self, name)) for name in names]
        # A pair without length is none; its vectors may stay.
        return eqx.tree_at(lambda m: [getattr(m, name) for name in names], self, zeros)

    def solve(self, base: Float[Array, ""], shift: Float[Array, ""]) -> "Solution":
        r"""$-(B + \sigma)^{-1}g$, where B is `base` off the pairs.

        Reference: Byrd, Nocedal and Schnabel (1994), the inverse in compact form.
        """
        order = (self.oldest + jnp.arange(len(self.s))) % len(self.s)

        def sorted_(matrix: Array) -> Array:
            return matrix[order][:, order]

        ss, sy, yy = sorted_(self.ss), sorted_(self.sy), sorted_(self.yy)
        sg, yg = self.sg[order], self.yg[order]
        there = jnp.diag(ss) > 0
        theta = 1.0 / (base + shift)
        shifted_sy = sy + shift * ss
        shifted_yy = yy + shift * (sy + sy.T) + shift**2 * ss
        upper = jnp.triu(shifted_sy) + jnp.diag(jnp.where(there, 0.0, 1.0))
        p = jax.scipy.linalg.solve_triangular(upper, sg)
        middle = jnp.diag(shifted_sy) * p + theta * (shifted_yy @ p) - theta * (yg + shift * sg)
        a = jax.scipy.linalg.solve_triangular(upper, middle, trans=1)
        on_s, on_y = jnp.where(there, a - theta * shift * p, 0.0), jnp.where(there, -theta * p, 0.0)
        slope = theta * self.gg + on_s @ sg + on_y @ yg
        square = (
            theta * (theta * self.gg + 2.0 * (on_s @ sg + on_y @ yg))
            + on_s @ (ss @ on_s) + on_y @ (yy @ on_y) + 2.0 * on_s @ (sy @ on_y)
        )  # fmt: skip
        back = jnp.zeros_like
        return Solution(theta, back(on_s).at[order].set(on_s), back(on_y).at[order].set(on_y), square, -slope)

    def unsolved(self) -> "Solution":
        """The shape of a solution, without length."""
        zero, none = jnp.zeros_like(self.gg), jnp.zeros_like(self.sg)
        return Solution(zero, none, none, zero, zero)

    def vector(self, solution: "Solution", slope: Float[Array, " d"]) -> Float[Array, " d"]:
        """The step itself."""
        return -(solution.on_slope * slope + solution.on_s @ self.s + solution.on_y @ self.y)


class Solution(eqx.Module):
    """A step as coefficients of the slope and of the pairs, with its square length and its product with the slope."""

    on_slope: Float[Array, ""]
    on_s: Float[Array, " m"]
    on_y: Float[Array, " m"]
    square: Float[Array, ""]
    descent: Float[Array, ""]
