"""The exact motion of one mode: of a linear law whose curvature is a number."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

# Eight points on [0, 1]: exact to the last place of a mode that turns by half a radian and decays by a factor e.
_NODES, _WEIGHTS = (0.5 * np.asarray(part) for part in np.polynomial.legendre.leggauss(8))
_NODES = _NODES + 0.5


def phi(z: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""$\varphi_1(z) = (e^z - 1)/z$."""
    return jnp.where(z == 0.0, 1.0, jnp.expm1(z) / jnp.where(z == 0.0, 1.0, z))


def _sinc(z: Float[Array, "..."], sign: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""$\sinh z/z$ where the sign is positive, $\sin z/z$ where it is not, for z up to a half."""
    total, square = jnp.ones_like(z), sign * z * z
    for n in (12, 10, 8, 6, 4, 2):
        total = 1.0 + square / (n * (n + 1)) * total
    return total


def oscillator(
    stiffness: Float[Array, "..."], damping: ArrayLike, duration: ArrayLike
) -> tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."]]:
    r"""Motion by $\ddot u + a\dot u + wu = c$ of a velocity and of a force in a time h.

    $$u = s\,\dot u_0 + k\,c,\qquad \dot u = s'\,\dot u_0 + s\,c,\qquad
      s = \frac{e^{r_+h} - e^{r_-h}}{r_+ - r_-},\quad k = \int_0^h s = \frac{1 - s' - as}w$$

    with $r_\pm = -\tfrac a2 \pm \sqrt{a^2/4 - w}$. Each of s, s' and k has its digits at any w, a and h.

    Arguments:
        stiffness: w, of either sign.
        damping: a, at least 0.
        duration: h > 0.

    Returns:
        s, k, s'.
    """
    dtype = stiffness.dtype
    h, a = jnp.asarray(duration, dtype), jnp.asarray(damping, dtype)
    half = 0.5 * a * h
    discriminant = half * half - stiffness * h * h
    root = jnp.sqrt(jnp.abs(discriminant))
    real, near = discriminant > 0.0, root <= 0.5
    decay = jnp.exp(-half)
    # Two real roots apart; the smaller by the product of the two, since their sum would lose it.
    apart = jnp.where(real & ~near, root, 1.0)
    low = -(half + apart)
    high = jnp.where(real & ~near, stiffness * h * h / jnp.where(low != 0.0, low, 1.0), 0.0)
    rising, falling = jnp.exp(high), jnp.exp(low)
    s_real = (rising - falling) / (2.0 * apart)
    k_real = (phi(high) - phi(low)) / (2.0 * apart)
    t_real = (high * rising - low * falling) / (2.0 * apart)
    # A pair of complex ones, or two close together.
    turned = jnp.where(near, 1.0, root)
    small = jnp.where(near, root, 0.0)
    sign = jnp.where(real, 1.0, -1.0).astype(dtype)
    s_pair = decay * jnp.where(near, _sinc(small, sign), jnp.sin(turned) / turned)
    cosine = jnp.where(near, 1.0 + 0.5 * sign * small**2 * _sinc(0.5 * small, sign) ** 2, jnp.cos(turned))
    t_pair = decay * cosine - half * s_pair
    product = stiffness * h * h
    k_pair = (1.0 - t_pair - 2.0 * half * s_pair) / jnp.where(product != 0.0, product, 1.0)
    # All slow, so that the quotient above would be rounding over nearly nothing: the integral itself.
    slow = near & (half < 1.0)
    k_slow = sum(
        float(weight) * float(x) * jnp.exp(-half * float(x)) * _sinc(float(x) * small, sign)
        for x, weight in zip(_NODES, _WEIGHTS, strict=True)
    )
    far = real & ~near
    s, t = jnp.where(far, s_real, s_pair), jnp.where(far, t_real, t_pair)
    k = jnp.where(far, k_real, jnp.where(slow, k_slow, k_pair))
    return h * s, h * h * k, t
