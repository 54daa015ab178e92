"""Birth and death of mass where it is: the reaction of Fisher and Rao's geometry on a grid."""

import jax.numpy as jnp
from jaxtyping import Array

from .._measures.grid import Grid, replaced
from ._parts import Parts


def reacted(parts: Parts, q: Grid, step: Array) -> Grid:
    r"""The density after a while of $\partial_t\rho = -\rho(\phi - \bar\phi)$ with $\phi = T\log\rho + V$, exactly.

    $$\log\rho^+ = e^{-Th}\log\rho - \frac{1 - e^{-Th}}T\,V + \text{const}$$

    with V the first variation at the start of all but the entropy.
    """
    level = parts.level(q) + parts.pressure(q.density)
    if parts.rest is not None:
        level = level + parts.far(q)
    cooled = jnp.asarray(parts.temperature, q.density.dtype) * step
    at_rest = cooled == 0.0
    way = step * jnp.where(at_rest, 1.0, -jnp.expm1(-cooled) / jnp.where(at_rest, 1.0, cooled))
    there = q.density > 0.0
    logs = jnp.exp(-cooled) * jnp.log(jnp.where(there, q.density, 1.0)) - way * level
    logs = jnp.where(there, logs, -jnp.inf)
    risen = jnp.exp(logs - jnp.max(logs))
    return replaced(q, risen * (q.mass / jnp.sum(risen * q.volumes)))
