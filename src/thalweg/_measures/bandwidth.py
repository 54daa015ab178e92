"""Bandwidths of kernels from the particles themselves."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError
from .._typed import typed
from .kernels import squares
from .particles import Particles

# Particles of which all pairs are looked at: 32 MB of distances.
_MOST = 2_000


@typed()
def median_bandwidth(q: Particles) -> Float[Array, ""]:
    r"""The bandwidth of a Gaussian kernel by the median of the particles' distances.

    $$\sigma^2 = \frac{\operatorname{median}_{i<j}|x_i - x_j|^2}{2\log N}$$

    so that the kernels of all others sum up to about that of a particle with itself. It is taken of the particles as
    they are now; during a run the bandwidth stays what it is given. Of more than 2,000 particles the distances are
    those between 2,000, evenly chosen by their numbers; weights are not looked at.

    Arguments:
        q: two particles or more.

    Returns:
        $\sigma$, in units of the points.

    Raises:
        InputError: there are fewer than two, or more than half of all pairs coincide.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> q = tw.measures.Particles(jnp.array([0.0, 1.0, 3.0]))
    >>> round(float(tw.measures.median_bandwidth(q)), 6)  # 2 over the root of 2 log 3
    1.349251

    Reference: Liu and Wang (2016), section 5.
    """
    points = q.positions
    count = points.shape[0]
    if count < 2:
        raise InputError("a median of distances needs two particles or more")
    if count > _MOST:
        points = points[np.linspace(0, count - 1, _MOST).round().astype(int)]
    above = np.triu_indices(points.shape[0], 1)
    square = float(np.median(np.asarray(squares(points, points))[above]))
    if not square > 0.0:
        raise InputError("more than half of all pairs of particles coincide, so that the median of distances is 0")
    return jnp.asarray((square / (2.0 * np.log(count))) ** 0.5, points.dtype)
