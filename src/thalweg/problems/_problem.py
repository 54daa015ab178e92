"""A problem: an objective, a start, and where it is from."""

import dataclasses
from collections.abc import Callable

import jax
import jax.numpy as jnp

from .._errors import InputError, check_number
from .._objectives.finite_sum import FiniteSum
from .._objectives.objective import Objective
from .._objectives.polish import polish
from .._tree import Vector, size
from ._moments import Moments


@dataclasses.dataclass(frozen=True, eq=False)
class Problem:
    r"""An objective with a start. One that is also a target, the potential L of a law $\propto e^{-L/T}$, has moments.

    Arguments:
        name: how the command line calls it.
        objective: the function to go down, with what is known of its minimum and curvature.
        start: $x_0$, a pytree of float arrays.
        description: one line.
        reference: a key of `docs/references.bib`.
        moments: of the law at `moments.temperature`; None where they are not known.
        log_normaliser: $\log\int e^{-L(x)/T}\,dx$ at the same temperature; None where it is not known.
        sampler: exact, independent draws from that law: `sampler(key, count)` is a tree like the start with a new
            leading axis; None where there is none.

    >>> import thalweg as tw
    >>> tw.problems.beale().dimension
    2
    """

    name: str
    objective: Objective | FiniteSum
    start: Vector
    description: str
    reference: str
    moments: Moments | None = None
    log_normaliser: float | None = None
    sampler: Callable | None = None

    @property
    def dimension(self) -> int:
        """Number of real parameters."""
        return size(self.start)

    def solved(self, tolerance: float = 1e-9) -> "Problem":
        r"""The problem with its minimum and minimiser, computed in float64 where they are not known.

        scipy's L-BFGS-B, then Newton steps by conjugate gradients until $\|\nabla f\| <$ `tolerance`,
        which puts $f$ within $\|\nabla f\|^2 / 2\mu$ of $f^\star$ and $x$ within $\|\nabla f\| / \mu$ of $x^\star$.

        Arguments:
            tolerance: the Euclidean norm of the gradient to reach, in units of $f$ over units of $x$.

        Returns:
            A problem like this one, its `objective.minimum` and `objective.minimiser` filled in.

        Raises:
            InputError: the objective is not known to be strongly convex, so that no point found is
                known to be its minimum; or the tolerance is not positive or below what float64 can reach.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> f = tw.Objective(lambda x: jnp.sum(jnp.cosh(x) - 0.75 * x), strong_convexity=1.0)
        >>> problem = tw.problems.Problem("cosh", f, jnp.zeros(2), "a hanging chain", "boyd2004")
        >>> round(problem.solved().objective.minimum, 6)  # 2 (5/4 - 3/4 log 2)
        1.460279

        Reference: Nocedal and Wright (2006), chapters 6 and 7.
        """
        check_number("tolerance", tolerance, above=0.0)
        known = self.objective
        if known.minimum is not None and known.minimiser is not None:
            return self
        if not known.strong_convexity:
            raise InputError(
                f"{self.name} is not known to be strongly convex, so no point found would be known as its minimum"
            )
        minimum, minimiser, norm = polish(known, self.start, tolerance)
        if not norm < tolerance:
            raise InputError(f"tolerance must be within float64's reach ({norm:.1e} here), but is {tolerance:g}")
        minimiser = jax.tree.map(lambda leaf: jnp.asarray(leaf, float), minimiser)
        return dataclasses.replace(self, objective=dataclasses.replace(known, minimum=minimum, minimiser=minimiser))
