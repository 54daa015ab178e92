"""The posterior of a logistic regression."""

import importlib.resources
import json

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import check_scale
from .._objectives.objective import Objective
from .._typed import typed
from ._data import standardised
from ._logistic import Parameters, _args, _gram, _penalty
from ._moments import Moments
from ._problem import Problem


def _value(x: Parameters, args: Parameters) -> Float[Array, ""]:
    margin = args["labels"] * (x["weights"] @ args["features"] + x["bias"])
    return jnp.sum(jax.nn.softplus(-margin)) + _penalty(x, args)


@typed()
def logistic_posterior(prior_scale: float | int = 1.0) -> Problem:
    r"""The posterior of a logistic regression on the Wisconsin breast cancer data, with a normal prior.

    $$L(w, b) = \sum_{i=1}^{569} \log\left(1 + e^{-y_i(w^\top z_i + b)}\right) + \frac{\|w\|^2 + b^2}{2s^2}$$

    with standardised features $z_i$ and $y_i = \pm1$ (benign is 1), from zero: a sum over the samples, where
    `logistic_breast_cancer` has the mean.

    Arguments:
        prior_scale: $s > 0$, the standard deviation of the prior; the moments are stored for $s = 1$ alone.

    Returns:
        The problem; its start holds `weights` (30,) and `bias` (). For $s = 1$ it has the moments at temperature 1 of a
        reference run by importance sampling with their standard errors, made by `python -m tools.logistic_posterior`
        in the repository. $L = s^{-2} + \frac14\lambda_{\max}(\sum_i \tilde z_i\tilde z_i^\top)$,
        $\tilde z = (z, 1)$, is exact: the curvature at zero. $\mu = s^{-2}$ is the infimum of the curvature. The
        minimum is left to `solved`.

    Raises:
        InputError: the scale is not a finite positive number, or scikit-learn is not installed.

    >>> import thalweg as tw
    >>> problem = tw.problems.logistic_posterior()
    >>> problem.dimension, round(float(problem.objective.value(problem.start)), 4)  # 569 log 2
    (31, 394.4007)
    >>> round(float(problem.moments.mean["bias"]), 2)
    0.21

    Reference: Street, Wolberg and Mangasarian (1993).
    """
    check_scale("prior_scale", prior_scale)
    features, labels = standardised("breast_cancer")
    precision = float(prior_scale) ** -2
    moments, log_normaliser = _stored() if prior_scale == 1 else (None, None)
    return Problem(
        name="logistic-posterior",
        objective=Objective(
            fn=_value,
            args=_args(features, 2.0 * labels - 1.0, precision),
            smoothness=precision + labels.size * _gram(features) / 4,
            strong_convexity=precision,
        ),
        start={"weights": jnp.zeros(features.shape[0], float), "bias": jnp.zeros((), float)},
        description="the posterior of a logistic regression on the breast cancer data: 31 parameters",
        reference="street1993",
        moments=moments,
        log_normaliser=log_normaliser,
    )


def _stored() -> tuple[Moments, float]:
    found = json.loads(
        importlib.resources.files("thalweg.problems").joinpath("_logistic_posterior.json").read_text("utf-8")
    )
    covariance = np.array(found["covariance"])
    moments = Moments(
        mean=_tree(found["mean"]),
        variance=_tree(np.diag(covariance)),
        covariance=covariance,
        source="reference run",
        how=f"importance sampling from a Student t, {found['draws']} draws with an effective sample size of "
        f"{found['effective_sample_size']}; {found['made_by']}",
        mean_error=_tree(found["mean_error"]),
        variance_error=_tree(found["variance_error"]),
    )
    return moments, found["log_normaliser"]


def _tree(vector: object) -> dict[str, np.ndarray]:
    """The bias comes first, as the tree ravels."""
    vector = np.array(vector, dtype=float)
    return {"bias": np.array(vector[0]), "weights": vector[1:]}
