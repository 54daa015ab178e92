"""The Sinkhorn divergence to a target, by ott-jax."""

import functools
import warnings
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import MissingExtraError, check_number
from .._krylov import conjugate_gradients
from .._tree import length, scalar
from .base import AbstractMeasure
from .functional import AbstractTerm, points_of
from .gaussian import Gaussian
from .kernels import squares
from .mmd import as_points, other_dimension
from .pairs import by_rows

# Of what the potentials leave of the marginals, in the sum of absolute values; and iterations of Sinkhorn at most.
_LEFT, _ITERATIONS = 1e-10, 20_000
# Newton's method begins where so much is left; its steps, and products of conjugate gradients in one, at most.
_NEAR, _NEWTON, _PRODUCTS, _SHORTEST = 1e-6, 50, 1_000, 1e-4


class Sinkhorn(AbstractTerm):
    r"""The Sinkhorn divergence to a target, with the cost $|x - y|^2$.

    $$F[q] = T(q, p) - \tfrac12T(q, q) - \tfrac12T(p, p),\qquad
      T(q, p) = \min_\gamma\int|x - y|^2\,d\gamma + \varepsilon\,\mathrm{KL}(\gamma\,|\,q\otimes p)$$

    It is 0 at p alone, tends to $W_2^2$ as $\varepsilon$ goes to 0, and of a shift by v is $|v|^2$ for every
    $\varepsilon$. Its first variation is made of the potentials, which ott-jax finds by Sinkhorn's iterations and,
    where those are slow, Newton's method, until what is left of the marginals is at most 1e-10 (in float32 what that
    allows), and its derivative is theirs by the envelope theorem, to 1e-6. Where $\varepsilon$ is so small that they
    are not found, it is NaN.

    Arguments:
        target: p, `tw.measures.Particles`, an array (M, d) of points, a `Grid` or `Quantiles`.
        epsilon: $\varepsilon > 0$, in units of the cost.

    Raises:
        InputError: the target is none of these, epsilon is not positive, or ott-jax is not installed; in a value, q is
            a Gaussian, or of another dimension.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> points = jnp.array([[0.0, 1.0], [2.0, -1.0], [3.0, 5.0]])
    >>> F = tw.measures.Sinkhorn(points, epsilon=1.0)
    >>> round(float(F.value(tw.measures.Particles(points + jnp.array([[3.0, 4.0]])))), 6)
    25.0

    Reference: Feydy, Séjourné, Vialard, Amari, Trouvé and Peyré (2019).
    """

    points: Float[Array, "M d"]
    masses: Float[Array, " M"]
    epsilon: Float[Array, ""]

    def __init__(self, target: Any, epsilon: Any) -> None:
        check_number("epsilon", epsilon, above=0.0)
        self.points, self.masses = as_points(target, "Sinkhorn")
        self.epsilon = scalar(epsilon)
        check_ott("tw.measures.Sinkhorn")

    def missing(self, q: AbstractMeasure) -> str:
        if isinstance(q, Gaussian):
            return "Sinkhorn is of points, and a Gaussian has none; take particles, a grid or quantiles"
        return other_dimension("Sinkhorn", self.points, q)

    def on(self, q: Any) -> Float[Array, ""]:
        found = points_of(q)
        assert found is not None
        own, goal = found, (self.points.astype(found[0].dtype), self.masses.astype(found[0].dtype))
        epsilon = self.epsilon.astype(own[0].dtype)
        across = regularised(own, goal, epsilon)
        return across - 0.5 * regularised(own, own, epsilon) - 0.5 * regularised(goal, goal, epsilon)


def check_ott(what: str) -> None:
    """Refuse where ott-jax is missing."""
    try:
        with warnings.catch_warnings():
            # It loads a package that warns of its own age.
            warnings.simplefilter("ignore", DeprecationWarning)
            import ott  # noqa: F401
    except ImportError:
        raise MissingExtraError(f"{what} needs ott-jax: pip install 'thalweg[ot]'") from None


def regularised(q: tuple[Array, Array], p: tuple[Array, Array], epsilon: Array) -> Float[Array, ""]:
    r"""$T(q, p)$ of points and masses, NaN where the potentials are not found.

    Its value and derivative are those of the dual at fixed potentials,
    $\int f\,dq + \int g\,dp - \varepsilon\int(e^{(f + g - c)/\varepsilon} - 1)\,dq\,dp$.
    """
    # The means apart cost their square, whatever else: without them Sinkhorn's iterations converge faster.
    (x, a), (y, b) = q, p
    here, there = a @ x, b @ y
    x, y = x - here[None], y - there[None]
    f, g, left = _potentials(*jax.lax.stop_gradient((x, a, y, b, epsilon)), same=q is p)

    def rows(own: tuple[Array, Array]) -> Array:
        points, potential = own
        return jnp.exp((potential[:, None] + g[None, :] - squares(points, y)) / epsilon) @ b

    plan = by_rows(rows, (x, f), y.shape[0])
    found = (here - there) @ (here - there) + a @ f + b @ g - epsilon * (a @ plan - jnp.sum(a) * jnp.sum(b))
    # A hundred times what was asked for is far more than rounding leaves; NaN, so that its derivative is NaN, too.
    return found * jnp.where(left <= 100.0 * _left(x.dtype), 1.0, jnp.nan)


def _left(dtype: Any) -> float:
    return max(_LEFT, 30.0 * float(jnp.finfo(dtype).eps))


@functools.partial(jax.jit, static_argnames="same")
def _potentials(x: Array, a: Array, y: Array, b: Array, epsilon: Array, same: bool) -> tuple[Array, Array, Array]:
    """Potentials f (n,) and g (m,), also of points without mass, and what they leave of the marginal of q."""
    from ott.geometry import pointcloud
    from ott.problems.linear import linear_problem
    from ott.solvers.linear import acceleration, sinkhorn

    geometry = pointcloud.PointCloud(x, y, epsilon=epsilon)
    options: dict[str, Any] = dict(
        threshold=_left(x.dtype) if same else max(_left(x.dtype), _NEAR), max_iterations=_ITERATIONS
    )
    if same:
        # Both potentials at once and averaged, which for a distribution and itself takes a few iterations.
        options.update(parallel_dual_updates=True, momentum=acceleration.Momentum(start=0, value=0.5))
    start = {}
    if not same:
        # From the potentials of p and itself, which are those of any shift of it.
        _, g, _ = _potentials(y, b, y, b, epsilon, same=True)
        start = dict(init=(_softly(x, y, g, b, epsilon) + epsilon * jnp.log(a), g + epsilon * jnp.log(b)))
    # ott-jax adds arrays of different ranks, which a user may have refused.
    with jax.numpy_rank_promotion("allow"):
        found = sinkhorn.Sinkhorn(**options)(linear_problem.LinearProblem(geometry, a, b), **start)
    # Those of ott-jax hold the logarithms of the masses; made anew from one, they are known where no mass is, too.
    g = found.g - epsilon * jnp.log(jnp.where(b > 0.0, b, 1.0))
    if same:
        f = _softly(x, y, g, b, epsilon)
        f = 0.5 * (f + _softly(y, x, f, a, epsilon))
        # Once more, so that what was left is squared away where the average has met its fixed point.
        return f, f, b @ jnp.abs(jnp.exp((f - _softly(y, x, f, a, epsilon)) / epsilon) - 1.0)
    return _polished(x, a, y, b, g, epsilon)


def _polished(x: Array, a: Array, y: Array, b: Array, g: Array, epsilon: Array) -> tuple[Array, Array, Array]:
    r"""Potentials at which Newton's method ends, from near them: Sinkhorn's iterations slow down at small epsilon.

    Its matrix $\operatorname{diag}(b) - P^\top\operatorname{diag}(a)^{-1}P$ knows no constants, nor has what is solved
    any.
    """

    def told(g: Array) -> tuple[Array, Array, Array]:
        f = _softly(x, y, g, b, epsilon)
        short = b * (1.0 - jnp.exp((g - _softly(y, x, f, a, epsilon)) / epsilon))
        return f, short, jnp.sum(jnp.abs(short))

    def sums(here: Array, f: Array, there: Array, g: Array, values: Array) -> Array:
        def of(own: tuple[Array, Array]) -> Array:
            return jnp.exp((own[1][:, None] + g[None, :] - squares(own[0], there)) / epsilon) @ values

        return by_rows(of, (here, f), there.shape[0])

    def iterate(now: tuple[Array, ...]) -> tuple[Array, ...]:
        g, f, short, left, count, _ = now

        def matrix(v: Array) -> Array:
            return b * v - b * sums(y, g, x, f, a * sums(x, f, y, g, b * v))

        found = conjugate_gradients(
            matrix,
            short,
            1e-3 * length(short),
            _PRODUCTS,
            lambda v: jnp.where(b > 0.0, v / jnp.where(b > 0.0, b, 1.0), 0.0),
        )

        def halved(trial: tuple[Array, ...]) -> tuple[Array, ...]:
            along, *_ = trial
            tried = g + 0.5 * along * epsilon * found.x
            return (0.5 * along, tried, *told(tried))

        # As far as what is left falls: where the step is short, it does.
        start = (jnp.full_like(left, 2.0), g, f, short, jnp.full_like(left, jnp.inf))
        trial = jax.lax.while_loop(lambda t: ~(t[4] < left) & (t[0] > _SHORTEST), halved, start)
        tried, after = trial[1], trial[2:]
        better = after[2] < left
        kept = jax.tree.map(lambda new, old: jnp.where(better, new, old), (tried, *after), (g, f, short, left))
        return (*kept, count + 1, ~better)

    def unfinished(now: tuple[Array, ...]) -> Array:
        return (now[3] > _left(x.dtype)) & (now[4] < _NEWTON) & ~now[5]

    first = (g, *told(g), jnp.zeros((), int), jnp.zeros((), bool))
    g, f, _, left, _, _ = jax.lax.while_loop(unfinished, iterate, first)
    return f, _softly(y, x, f, a, epsilon), left


def _softly(x: Array, y: Array, g: Array, b: Array, epsilon: Array) -> Array:
    r"""$-\varepsilon\log\int e^{(g - |x - y|^2)/\varepsilon}\,dp$ at every x."""
    weight = jnp.where(b > 0.0, jnp.log(jnp.where(b > 0.0, b, 1.0)), -jnp.inf)
    height = jnp.where(b > 0.0, g, 0.0) / epsilon + weight

    def rows(points: Array) -> Array:
        return -epsilon * jax.scipy.special.logsumexp(height[None, :] - squares(points, y) / epsilon, axis=1)

    return by_rows(rows, x, y.shape[0])
