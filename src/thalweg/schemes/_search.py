"""The look for a direction in which a function curves downwards, one product of the Hessian at a time."""

from typing import Any, NamedTuple

from ._arithmetic import Arithmetic


class Search(NamedTuple):
    """The lowest Rayleigh quotient found so far, on the span of its vector, the residual and the last change.

    Locally optimal conjugate gradients for one vector (Knyazev 2001), without a preconditioner.

    Attributes:
        pair: the vector and the last change, orthonormal, (2, d).
        images: their products.
        quotient, scale, residual: of the vector; the largest product met; what keeps it from an eigenvector.
        count: of products.
    """

    pair: Any
    images: Any
    quotient: Any
    scale: Any
    residual: Any
    count: Any

    @classmethod
    def none(cls, xp: Arithmetic, x: Any) -> "Search":
        """Before any look."""
        rows = xp.numpy.zeros((2, x.size), x.dtype)
        number = xp.dot(rows[0], rows[0])
        return cls(rows, rows, number, number, number, xp.counted(0))

    @property
    def vector(self) -> Any:
        return self.pair[0]

    def asked(self, xp: Arithmetic) -> Any:
        """The vector whose product comes next."""
        left = self.images[0] - self.quotient * self.pair[0]
        for _ in range(2):  # once leaves the rounding of what was large
            left = left - (self.pair @ left) @ self.pair
        start = xp.hashed(left.size, left)
        left = xp.chosen(self.count == 0, start, left)
        size = xp.length(left)
        return left / xp.where(size > 0, size, 1.0)

    def after(self, xp: Arithmetic, asked: Any, product: Any) -> "Search":
        """With the product of the vector that was asked for."""
        np = xp.numpy
        first = self.count == 0
        old = xp.where(first, 0.0, 1.0)
        basis = np.concatenate([old * self.pair, asked[None]])
        images = np.concatenate([old * self.images, product[None]])
        there = np.sum(basis * basis, axis=1) > 0.5
        matrix = basis @ images.T
        most = np.max(np.abs(matrix))
        scale = xp.larger(old * self.scale, xp.number(most))
        # What is not there must not be the lowest.
        high = xp.where(scale > 0, 3.0 * scale, 1.0)
        vectors = np.linalg.eigh(0.5 * (matrix + matrix.T) + np.diag(np.where(there, 0.0, high)))[1]
        c = np.where(there, vectors[:, 0], 0.0)
        c = c / xp.length(c)
        # The change is what came to the old vector, made orthogonal to the new one.
        rest = c * np.asarray([0.0, 1.0, 1.0], c.dtype)
        rest = rest - (rest @ c) * c
        far = xp.length(rest)
        rest = rest * xp.where(far > 0, xp.over(1.0, far), 0.0)
        both = np.stack([c, rest])
        pair, images = both @ basis, both @ images
        quotient = xp.dot(pair[0], images[0])
        residual = xp.length(images[0] - quotient * pair[0])
        return Search(pair, images, quotient, scale, residual, self.count + 1)

    def threshold(self, eps: float) -> Any:
        """Bound of the rounding of a curvature, of a gradient to so many digits."""
        return 10.0 * eps**0.5 * self.scale

    def found(self, eps: float) -> Any:
        """Tell whether the function curves downwards along the vector."""
        return self.quotient < -self.threshold(eps)

    def settled(self, eps: float) -> Any:
        """Tell whether the quotient is an eigenvalue, so that another product says no more."""
        return self.residual <= self.threshold(eps)
