"""A minimum without a parameter to tune."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxtyping import PyTree

from .._errors import InputError, check_count
from .._methods.method import Method
from .._objectives.least_squares import LeastSquares
from .._objectives.objective import as_objective
from .._records.run import Record, Run
from .._typed import typed
from ..dynamics import GradientFlow
from ..schemes import AbstractScheme, LevenbergMarquardt, PseudoTransient
from .run import run
from .starting import check_host


@typed("record")
def minimize(
    objective: Any,
    x0: PyTree,
    tolerance: float | int = 1e-6,
    max_gradients: int = 10_000,
    record: Record | int | str | Callable | tuple[Any, ...] | bool | None = Record(),  # noqa: B008
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool | None = None,
    relative: float | int = 0.0,
) -> Run:
    r"""Go down to a point where $\|\nabla f\| \le$ `tolerance`, from any start, with nothing to set.

    Gradient flow by `tw.PseudoTransient`: linearly implicit steps, the curvature from a memory of the gradients met,
    the time step set by how f falls. One gradient a step. Where the gradient is within the tolerance a few products
    of the Hessian look for negative curvature, so that a saddle or a maximum is left; they cost at most 60 gradients
    at the start, and 6 or a tenth of the gradients taken later.

    A `tw.LeastSquares` is fitted by `tw.LevenbergMarquardt`, with the curvature $J^\top J$ of its residuals and in
    units of its own: `tolerance` is then the part of the residuals that is left to take away, which has no unit,
    evaluations are counted as there, and `run.fit` has the covariance of the parameters.

    Arguments:
        objective: $f$, a `tw.Objective`, a `tw.LeastSquares` or a function, smooth, of gradients that JAX finds; none
            that draws mini-batches.
        x0: the start, a pytree of float arrays; its dtype is kept.
        tolerance: of the Euclidean norm of the gradient, in units of f over x.
        max_gradients: gradient evaluations at most; a product of the Hessian counts as two.
        record, out, resume, progress: as in `tw.run`.
        relative: a part of the gradient's norm at the start that is within the tolerance as well.

    Returns:
        a `Run`. Its `status` is one of: "converged"; "budget spent"; "unbounded", where f falls and falls;
        "stalled", with the reason in `message`; "not finite", where the gradient is not at the start; "interrupted".
        `.gradients` are those taken, products of the Hessian as two.

    Raises:
        InputError: an argument is out of its range, f is not finite at the start, or it draws mini-batches.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> result = tw.minimize(lambda x: jnp.sum((x**2 - 1.0)**2), jnp.array([0.0, 3.0]))  # the first is on a saddle
    >>> result.status, abs(result.final.position).round(6).tolist()
    ('converged', [1.0, 1.0])

    Reference: as for `tw.PseudoTransient`.
    """
    check_host("tw.minimize", objective, x0, tolerance)
    found = as_objective(objective)
    if found is None:
        raise InputError("minimize needs an objective, a function of x0 that returns a number")
    check_count("max_gradients", max_gradients)
    if isinstance(found, LeastSquares):
        if relative:
            raise InputError("the tolerance of a least-squares fit has no unit already; leave relative out")
        scheme: AbstractScheme = LevenbergMarquardt(tolerance=tolerance, max_gradients=max_gradients)
    else:
        scheme = PseudoTransient(tolerance=tolerance, max_gradients=max_gradients, relative=relative)
    method = Method(GradientFlow(found), scheme, 1.0)
    # A step takes a gradient at least, so that the budget ends the run.
    return run(method, x0, max_gradients, record=record, out=out, resume=resume, progress=progress)
