"""The energy of a distribution in a potential."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError, check_arguments
from .._objectives.objective import AbstractObjective
from .base import AbstractMeasure, as_floats, known
from .cubature import gaussian_mean
from .functional import AbstractTerm, points_of
from .gaussian import Gaussian
from .grid import Grid


class Potential(AbstractTerm):
    r"""The energy in a potential, $F[q] = \int V\,dq$, with first variation V.

    On a Gaussian the mean is taken by cubature: in one to three dimensions a product of Gauss and Hermite's rules, in
    more one that is exact where V is a polynomial of degree 5.

    Arguments:
        potential: V, a function of a point (d,), a `tw.Objective` of one, or an array of its values in the cells of a
            grid.

    Raises:
        InputError: it is none of these; in a value, it is no number, or not finite in a cell of the grid.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> F = tw.measures.Potential(lambda x: jnp.sum(x**2))
    >>> float(F.value(tw.measures.Particles(jnp.array([[1.0, 2.0], [3.0, 0.0]]))))
    7.0
    """

    potential: Any = eqx.field()

    def __init__(self, potential: Any) -> None:
        self.potential = potential if callable(potential) else getattr(potential, "objective", potential)
        if isinstance(self.potential, AbstractObjective):
            if self.potential.stochastic or self.potential.time_dependent:
                raise InputError("a potential must be one function at all times, without mini-batches")
            return
        if callable(self.potential):
            check_arguments("potential", self.potential, "point")
            return
        if not isinstance(self.potential, np.ndarray | jax.Array):
            raise InputError(f"potential must be a function of a point, or its values on a grid, but is {potential!r}")
        self.potential = jnp.asarray(as_floats("potential", self.potential), float)

    @property
    def fn(self) -> Callable[[Array], Any]:
        """V as a function of a point."""
        return self.potential.value if isinstance(self.potential, AbstractObjective) else self.potential

    @property
    def tabulated(self) -> bool:
        """Tell whether V is known on a grid alone."""
        return not callable(self.potential) and not isinstance(self.potential, AbstractObjective)

    def missing(self, q: AbstractMeasure) -> str:
        if not self.tabulated:
            return ""
        if not isinstance(q, Grid):
            return "a potential given by its values on a grid is known there alone; give a function of a point"
        if q.density.shape != self.potential.shape:
            return (
                f"the potential has values of shape {self.potential.shape}, but the grid has shape {q.density.shape}; "
                "give a value for every cell"
            )
        return ""

    def explain_term(self, q: AbstractMeasure) -> None:
        if isinstance(q, Grid):
            self.on_grid(q)

    def on_grid(self, q: Grid) -> Float[Array, "..."]:
        """V in the cells of a grid.

        Raises:
            InputError: it is not finite in one.
        """
        if self.tabulated:
            values = self.potential.astype(q.density.dtype)
        else:
            values = _checked(jax.vmap(self.fn)(q.points.reshape(-1, q.dimension))).reshape(q.density.shape)
        if known(values) and not np.all(np.isfinite(np.asarray(values))):
            bad = np.argwhere(~np.isfinite(np.asarray(values)))
            where = q.mesh.points[tuple(bad[0])].round(6).tolist()
            raise InputError(
                f"the potential is not finite in {len(bad)} cells of the grid, such as at {where}; end the grid before "
                "it is infinite"
            )
        return values

    def on(self, q: Any) -> Float[Array, ""]:
        if isinstance(q, Gaussian):
            return gaussian_mean(self.fn, q.mean, q.covariance)
        if isinstance(q, Grid):
            return jnp.sum(self.on_grid(q) * q.masses)
        found = points_of(q)
        assert found is not None
        return found[1] @ _checked(jax.vmap(self.fn)(found[0]))


def _checked(values: Any) -> Array:
    if jnp.ndim(values) != 1:
        raise InputError(f"a potential must give a number at a point, but gives shape {jnp.shape(values)[1:]}")
    return jnp.asarray(values, float) if not jnp.issubdtype(jnp.result_type(values), jnp.floating) else values
