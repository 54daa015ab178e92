"""A functional of a density on a grid in the parts that a scheme of finite volumes tells apart."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from .._errors import InputError
from .._measures.base import known
from .._measures.functional import AbstractFunctional, Sum, scaled
from .._measures.grid import Grid
from .._measures.internal import AbstractInternal, Entropy
from .._measures.kl import Constant
from .._measures.potential import Potential
from ..dynamics import AbstractDynamics


class Parts(NamedTuple):
    """Potentials, the temperature (0 without an entropy), other internal energies, and what depends on all of q."""

    potentials: tuple[tuple[Any, Potential], ...]
    temperature: Any
    internal: tuple[tuple[Any, AbstractInternal], ...]
    rest: Sum | None

    @property
    def linear(self) -> bool:
        """Tell whether the equation is linear."""
        return not self.internal and self.rest is None

    def level(self, q: Grid) -> Array:
        """The potential in the cells."""
        total = jnp.zeros_like(q.density)
        for coefficient, term in self.potentials:
            total = total + scaled(coefficient, term.on_grid(q).astype(total.dtype))
        return total

    def far(self, q: Grid) -> Array:
        """The first variation of what depends on all of q."""
        assert self.rest is not None
        slope: Any = self.rest.gradient(q)
        return slope.density / q.volumes

    def pressure(self, density: Array) -> Array:
        r"""$U'(\rho)$ of the internal energies but the entropy."""
        # A power below 1 of nothing at all is infinite.
        there = jnp.maximum(density, _LEAST * jnp.max(density)) if self.internal else density
        total = jnp.zeros_like(density)
        for coefficient, term in self.internal:
            total = total + scaled(coefficient, term.slope(there))
        return total

    def stiffness(self, density: Array) -> Array:
        r"""$U''(\rho)$ of the same."""
        return jax.jvp(self.pressure, (density,), (jnp.ones_like(density),))[1]


_LEAST = 1e-14


def parted(functional: AbstractFunctional, name: str) -> Parts:
    """The parts of a functional.

    Raises:
        InputError: an internal energy has a negative coefficient.
    """
    potentials, internal, rest, temperature = [], [], [], 0.0
    for coefficient, term in functional.terms:
        if isinstance(term, AbstractInternal) and known(coefficient) and float(coefficient) < 0.0:
            raise InputError(
                f"{name} needs internal energies that spread mass, but {type(term).__name__} has the coefficient "
                f"{float(coefficient):g}; its flow is not well-posed"
            )
        if isinstance(term, Potential):
            potentials.append((coefficient, term))
        elif isinstance(term, Entropy):
            temperature = temperature + coefficient
        elif isinstance(term, AbstractInternal):
            internal.append((coefficient, term))
        elif not isinstance(term, Constant):
            rest.append((coefficient, term))
    return Parts(tuple(potentials), temperature, tuple(internal), Sum(tuple(rest)) if rest else None)


def check_grid(name: str, dynamics: AbstractDynamics, position: Any) -> None:
    """Refuse a start that is no grid."""
    if dynamics.geometry is not None and not isinstance(position, Grid):
        what = getattr(
            position,
            "words",
            "one vector, which tw.sweep and tw.analysis make of it; they take schemes such as tw.RK4(), tw.run any",
        )
        raise InputError(f"{name} moves a density on a tw.measures.Grid, but the start is {what}")
