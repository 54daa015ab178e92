"""Quadratics of given spectrum."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float

from .._errors import InputError, check_count, check_number, is_real
from .._objectives.objective import Objective
from .._typed import typed
from ._problem import Problem


def _value(x: Float[Array, " d"], args: dict[str, Float[Array, "..."]]) -> Float[Array, ""]:
    y = x @ args["basis"] if "basis" in args else x
    return 0.5 * jnp.sum(args["curvature"] * y * y)


@typed()
def quadratic(
    spectrum: ArrayLike | Sequence[float | int] | None = None,
    *,
    condition_number: float | int | None = None,
    dimension: int | None = None,
    rotated: bool = True,
    seed: int = 0,
) -> Problem:
    r"""A quadratic of given spectrum, in axes of its own.

    $$f(x) = \tfrac12\, x^\top Q\,\mathrm{diag}(\ell)\,Q^\top x,\qquad x_0 = Q\,(1, \dots, 1)^\top$$

    The start has the same share, 1, of every eigenvector.

    Arguments:
        spectrum: $\ell$, shape (d,), at least 0 and not all 0; if None, $d$ values spaced evenly in
            the logarithm from $1/\kappa$ to 1.
        condition_number: $\kappa \ge 1$, a ratio; 100 if None. Not together with `spectrum`.
        dimension: d; 10 if None. Not together with `spectrum`.
        rotated: take $Q$ orthogonal, uniformly distributed, drawn by `seed`; else $Q$ is the identity.
        seed: a whole number.

    Returns:
        The problem; $f^\star = 0$ at $x^\star = 0$, $L = \max\ell$ and $\mu = \min\ell$ are exact.

    Raises:
        InputError: a number is out of its range, or the spectrum comes with a condition number or a dimension.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> problem = tw.problems.quadratic([1.0, 4.0], rotated=False)
    >>> problem.objective.gradient(jnp.array([1.0, -1.0])).tolist(), problem.objective.smoothness
    ([1.0, -4.0], 4.0)

    Reference: Nesterov (2018), section 2.1.
    """
    curvature = _log_spaced(condition_number, dimension) if spectrum is None else _given(spectrum)
    if spectrum is not None and (condition_number is not None or dimension is not None):
        raise InputError("give a quadratic its spectrum, or its condition_number and dimension, but not both")
    seed = check_count("seed", seed, at_least=0)
    d = curvature.size
    basis = _orthogonal(d, seed) if rotated else np.eye(d)
    args = {"curvature": curvature} | ({"basis": basis} if rotated else {})
    largest, smallest = float(curvature.max()), float(curvature.min())
    ratio = f"condition number {largest / smallest:g}" if smallest else "a flat direction"
    return Problem(
        name="quadratic",
        objective=Objective(
            fn=_value,
            args={name: jnp.asarray(value, float) for name, value in args.items()},
            minimum=0.0,
            minimiser=jnp.zeros(d, float),
            smoothness=largest,
            strong_convexity=smallest,
        ),
        start=jnp.asarray(basis.sum(axis=1), float),
        description=f"a quadratic in {d} dimension{'s' if d > 1 else ''}, {ratio}",
        reference="nesterov2018",
    )


def _log_spaced(condition_number: float | int | None, dimension: int | None) -> np.ndarray:
    kappa = 100.0 if condition_number is None else condition_number
    check_number("condition_number", kappa, at_least=1.0)
    d = check_count("dimension", 10 if dimension is None else dimension)
    if d == 1 and kappa != 1:
        raise InputError(f"dimension must be at least 2 for a condition_number of {kappa:g}, but is 1")
    return np.geomspace(1 / kappa, 1.0, d)


def _given(spectrum: object, what: str = "spectrum") -> np.ndarray:
    if not is_real(spectrum):
        raise InputError(f"{what} must be a list of numbers, but is {spectrum!r}")
    curvature = np.asarray(spectrum, dtype=float)
    if curvature.ndim != 1 or curvature.size == 0:
        raise InputError(f"{what} must be a list of at least one number, but has shape {curvature.shape}")
    if not np.all(np.isfinite(curvature)) or curvature.min() < 0 or curvature.max() == 0:
        raise InputError(f"{what} must be finite, at least 0 and not all 0, but is {curvature.tolist()}")
    return curvature


def _orthogonal(d: int, seed: int) -> np.ndarray:
    q, r = np.linalg.qr(np.random.default_rng(seed).normal(size=(d, d)))
    return q * np.sign(np.diag(r))
