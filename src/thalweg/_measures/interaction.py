"""Interaction energies: pairs that attract or repel one another."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError, check_arguments
from .cubature import gaussian_mean
from .functional import AbstractTerm, points_of
from .gaussian import Gaussian
from .grid import Grid
from .mesh import Mesh
from .pairs import by_rows

# Points along an axis at which the mean over a cell is taken, where the energy at distance 0 is infinite.
_WITHIN = 32


class Interaction(AbstractTerm):
    r"""The energy of all pairs, $F[q] = \tfrac12\iint W(x - y)\,dq(x)\,dq(y)$, with first variation $W * q$.

    On a grid the convolution is one of free space, along a periodic axis that of the circle. Where W is not finite at
    0, as of a logarithm, a cell has with itself the mean of W over it, and a particle nothing with itself; two
    particles in one place have the energy that W is there, infinite.

    Arguments:
        energy: W, a symmetric function of the difference of two points, (d,).

    Raises:
        InputError: it is no function; in a value, it is no number.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> F = tw.measures.Interaction(lambda z: 0.5 * jnp.sum(z**2))
    >>> float(F.value(tw.measures.Particles(jnp.array([-1.0, 1.0]))))  # half of the variance
    0.5

    Reference: Carrillo, McCann and Villani (2003).
    """

    energy: Callable

    def __check_init__(self) -> None:
        check_arguments("energy", self.energy, "difference")

    def on(self, q: Any) -> Float[Array, ""]:
        if isinstance(q, Gaussian):
            return 0.5 * gaussian_mean(self.energy, jnp.zeros_like(q.mean), 2.0 * q.covariance)
        if isinstance(q, Grid):
            masses = q.masses
            return 0.5 * jnp.sum(masses * self.convolved(q, masses))
        found = points_of(q)
        assert found is not None
        points, masses = found

        # By their numbers, not by a difference of 0: a compiler may round the two of one point apart.
        order = jnp.arange(len(points))

        def rows(own: tuple[Array, Array]) -> Array:
            x, i = own
            values = jax.vmap(lambda a, i: jax.vmap(lambda b, j: self._energy(a - b, i == j))(points, order))(x, i)
            return values @ masses

        return 0.5 * masses @ by_rows(rows, (points, order), points.size)

    def convolved(self, q: Grid, masses: Array) -> Float[Array, "..."]:
        """The energy of a grain of mass in every cell with given masses of the cells."""
        if q.mesh.uniform:
            return _convolution(self._kernel(q.mesh, masses.dtype), masses, q.mesh)
        points = q.points.reshape(-1, q.dimension)
        self_energy = self._self_energies(q.mesh, masses.dtype).ravel()

        def rows(own: tuple[Array, Array]) -> Array:
            x, i = own
            values = jax.vmap(lambda a: jax.vmap(lambda b: self._of(self._shortest(a - b, q.mesh)))(points))(x)
            same = i[:, None] == jnp.arange(len(points))[None, :]
            return jnp.where(same, self_energy[None, :], values) @ masses.ravel()

        return by_rows(rows, (points, jnp.arange(len(points))), points.size).reshape(masses.shape)

    def _of(self, z: Array) -> Array:
        found = jnp.asarray(self.energy(z))
        if found.ndim:
            raise InputError(f"an interaction energy must be a number, but has shape {found.shape}")
        return found.astype(z.dtype)

    def _energy(self, z: Array, same: Array) -> Array:
        """W; of a point with itself 0 where it is not finite there, and no slope where there is a kink."""
        value, smooth = self._at_nothing(z.size, z.dtype)
        if smooth:
            return self._of(z)
        if not math.isfinite(value):
            return jnp.where(same, 0.0, self._of(jnp.where(same, jnp.ones_like(z), z)))
        together = same | jnp.all(z == 0.0)
        return jnp.where(together, value, self._of(jnp.where(together, jnp.ones_like(z), z)))

    def _at_nothing(self, dimension: int, dtype: Any) -> tuple[float, bool]:
        """W at a difference of 0, and whether it has a slope there."""
        with jax.ensure_compile_time_eval():
            value, slope = jax.value_and_grad(self._of)(jnp.zeros(dimension, dtype))
            return float(value), bool(jnp.isfinite(value) & jnp.all(jnp.isfinite(slope)))

    def _shortest(self, z: Array, mesh: Mesh) -> Array:
        """A difference, the shortest of its images along a periodic axis."""
        periods = jnp.array([axis[-1] - axis[0] for axis in mesh.edges], z.dtype)
        return jnp.where(jnp.array(mesh.periodic), z - periods * jnp.round(z / periods), z)

    def _self_energies(self, mesh: Mesh, dtype: Any) -> Array:
        """The energy of every cell with itself."""
        widths = np.stack(np.meshgrid(*mesh.widths, indexing="ij"), axis=-1).reshape(-1, mesh.dimension)
        every, back = np.unique(widths, axis=0, return_inverse=True)
        found = jnp.stack([self._self_energy(row, dtype) for row in every])
        return found[back.ravel()].reshape(mesh.shape)

    def _self_energy(self, widths: np.ndarray, dtype: Any) -> Array:
        with jax.ensure_compile_time_eval():
            centre = self._of(jnp.zeros(len(widths), dtype))
            if bool(jnp.isfinite(centre)):
                return centre
            inside = (np.arange(_WITHIN) + 0.5) / _WITHIN - 0.5
            points = np.stack(np.meshgrid(*(inside * width for width in widths), indexing="ij"), axis=-1)
            return jnp.mean(jax.vmap(self._of)(jnp.asarray(points.reshape(-1, len(widths)), dtype)))

    def _kernel(self, mesh: Mesh, dtype: Any) -> Array:
        """W at all differences of two cells of an even mesh, those of 0 first, for a Fourier transform."""
        offsets = []
        for cells, widths, around in zip(mesh.shape, mesh.widths, mesh.periodic, strict=True):
            steps = np.arange(cells) if around else np.arange(2 * cells)
            size = cells if around else 2 * cells
            offsets.append(widths[0] * np.where(steps > size // 2, steps - size, steps))
        points = np.stack(np.meshgrid(*offsets, indexing="ij"), axis=-1)
        flat = jnp.asarray(points.reshape(-1, mesh.dimension), dtype)
        values = jax.vmap(self._of)(flat).reshape(points.shape[:-1])
        own = self._self_energy(np.array([widths[0] for widths in mesh.widths]), dtype)
        return values.at[(0,) * mesh.dimension].set(own)


def _convolution(kernel: Array, masses: Array, mesh: Mesh) -> Array:
    shape = kernel.shape
    axes = tuple(range(masses.ndim))
    spectrum = jnp.fft.rfftn(kernel, axes=axes) * jnp.fft.rfftn(masses, s=shape, axes=axes)
    whole = jnp.fft.irfftn(spectrum, s=shape, axes=axes)
    return whole[tuple(slice(cells) for cells in mesh.shape)].astype(masses.dtype)
