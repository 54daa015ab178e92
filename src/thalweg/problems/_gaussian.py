"""Gaussians of given precisions."""

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, Key

from .._errors import InputError, check_count, is_real
from .._objectives.objective import Objective
from .._typed import typed
from ._moments import exact
from ._problem import Problem
from ._quadratic import _given, _log_spaced, _orthogonal


def _value(x: Float[Array, " d"], args: dict[str, Float[Array, "..."]]) -> Float[Array, ""]:
    y = (x - args["mean"]) @ args["basis"]
    return 0.5 * jnp.sum(args["precision"] * y * y)


@typed()
def gaussian(
    precision: ArrayLike | Sequence[float | int] | None = None,
    *,
    condition_number: float | int | None = None,
    dimension: int | None = None,
    rotated: bool = True,
    seed: int = 0,
    mean: ArrayLike | Sequence[float | int] | None = None,
) -> Problem:
    r"""A Gaussian of given precisions, in axes of its own.

    $$L(x) = \tfrac12\,(x - m)^\top Q\,\mathrm{diag}(\ell)\,Q^\top (x - m),\qquad x_0 = m + Q\,(1, \dots, 1)^\top$$

    Arguments:
        precision: $\ell$, shape (d,), greater than 0: the curvatures, one over the variances along the axes;
            if None, $d$ values spaced evenly in the logarithm from $1/\kappa$ to 1.
        condition_number: $\kappa \ge 1$, a ratio; 100 if None. Not together with `precision`.
        dimension: d; 10 if None. Not together with `precision`.
        rotated: take $Q$ orthogonal, uniformly distributed, drawn by `seed`; else $Q$ is the identity.
        seed: a whole number.
        mean: $m$, shape (d,); zero if None.

    Returns:
        The problem, with the moments at temperature 1 (mean $m$, covariance $Q\,\mathrm{diag}(1/\ell)\,Q^\top$) and
        a sampler; $L$'s minimum 0 at $m$, $\max\ell$ and $\min\ell$ as its bounds of curvature are exact.

    Raises:
        InputError: a number is out of its range, or the precision comes with a condition number or a dimension.

    >>> import thalweg as tw, numpy as np
    >>> problem = tw.problems.gaussian(condition_number=1e4, dimension=3)
    >>> np.linalg.eigvalsh(problem.moments.covariance).round(6).tolist()
    [1.0, 100.0, 10000.0]

    Reference: Gelman et al. (2013), appendix A.
    """
    if precision is not None and (condition_number is not None or dimension is not None):
        raise InputError("give a Gaussian its precision, or its condition_number and dimension, but not both")
    curvature = _log_spaced(condition_number, dimension) if precision is None else _given(precision, "precision")
    if curvature.min() == 0:
        raise InputError(f"precision must be greater than 0, but is {curvature.tolist()}")
    d = curvature.size
    basis = _orthogonal(d, check_count("seed", seed, at_least=0)) if rotated else np.eye(d)
    centre = np.zeros(d) if mean is None else as_vector("mean", mean, d)
    args = {"precision": curvature, "basis": basis, "mean": centre}
    args = {name: jnp.asarray(value, float) for name, value in args.items()}

    def sampler(key: Key[Array, ""], count: int) -> Float[Array, "count d"]:
        z = jax.random.normal(key, (count, d)) / jnp.sqrt(args["precision"])[None]
        return args["mean"][None] + z @ args["basis"].T

    return Problem(
        name="gaussian",
        objective=Objective(
            fn=_value,
            args=args,
            minimum=0.0,
            minimiser=jnp.asarray(centre, float),
            smoothness=float(curvature.max()),
            strong_convexity=float(curvature.min()),
        ),
        start=jnp.asarray(centre + basis.sum(axis=1), float),
        description=f"a Gaussian in {d} dimension{'s' if d > 1 else ''}, condition number "
        f"{curvature.max() / curvature.min():g}",
        reference="gelman2013",
        moments=exact(centre, (basis / curvature) @ basis.T, "the covariance is the inverse of the Hessian"),
        log_normaliser=float(0.5 * d * np.log(2 * np.pi) - 0.5 * np.log(curvature).sum()),
        sampler=sampler,
    )


def as_vector(what: str, value: object, size: int | None = None) -> np.ndarray:
    """Finite numbers as an array (size,), or of any length."""
    if not is_real(value):
        raise InputError(f"{what} must be a list of numbers, but is {value!r}")
    vector = np.asarray(value, dtype=float)
    if vector.ndim != 1 or vector.size != (size or vector.size) or vector.size == 0:
        wanted = f"{size} numbers" if size else "at least one number"
        raise InputError(f"{what} must be a list of {wanted}, but has shape {vector.shape}")
    if not np.all(np.isfinite(vector)):
        raise InputError(f"{what} must be finite, but is {vector.tolist()}")
    return vector
