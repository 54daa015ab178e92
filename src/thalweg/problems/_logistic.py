"""Logistic regression, two classes and several."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import check_number
from .._objectives.objective import Objective
from .._typed import typed
from ._data import cross_entropy, one_hot, standardised
from ._problem import Problem

Parameters = dict[str, Float[Array, "..."]]


def _penalty(x: Parameters, args: Parameters) -> Float[Array, ""]:
    return 0.5 * args["regularisation"] * (jnp.sum(x["weights"] ** 2) + jnp.sum(x["bias"] ** 2))


def _binary(x: Parameters, args: Parameters) -> Float[Array, ""]:
    margin = args["labels"] * (x["weights"] @ args["features"] + x["bias"])
    return jnp.mean(jax.nn.softplus(-margin)) + _penalty(x, args)


def _multinomial(x: Parameters, args: Parameters) -> Float[Array, ""]:
    logits = x["weights"].T @ args["features"] + x["bias"][:, None]
    return cross_entropy(logits, args["labels"]) + _penalty(x, args)


def _gram(features: np.ndarray) -> float:
    """The largest eigenvalue of the mean over samples of the outer product of (features, 1)."""
    rows = np.vstack([features, np.ones(features.shape[1])])
    return float(np.linalg.eigvalsh(rows @ rows.T / rows.shape[1])[-1])


def _args(features: np.ndarray, labels: np.ndarray, regularisation: float | int) -> Parameters:
    args = {"features": features, "labels": labels, "regularisation": regularisation}
    return {name: jnp.asarray(value, float) for name, value in args.items()}


@typed()
def logistic_breast_cancer(regularisation: float | int = 1e-3) -> Problem:
    r"""Logistic regression on the Wisconsin breast cancer data: 569 samples, 30 features, 2 classes.

    $$f(w, b) = \frac1N\sum_{i=1}^N \log\left(1 + e^{-y_i(w^\top z_i + b)}\right)
      + \frac\rho2\left(\|w\|^2 + b^2\right)$$

    with standardised features $z_i$ and $y_i = \pm1$ (benign is 1), from zero.

    Arguments:
        regularisation: $\rho > 0$, in units of $f$ over units of the parameters squared.

    Returns:
        The problem; its start holds `weights` (30,) and `bias` (). $L = \rho + \frac14\lambda_{\max}
        (\frac1N\sum_i \tilde z_i\tilde z_i^\top)$, $\tilde z = (z, 1)$, is exact: the curvature at zero.
        $\mu = \rho$ is the infimum of the curvature. The minimum is left to `solved`.

    Raises:
        InputError: the regularisation is not a finite positive number, or scikit-learn is not installed.

    >>> import thalweg as tw
    >>> problem = tw.problems.logistic_breast_cancer()
    >>> problem.dimension, round(float(problem.objective.value(problem.start)), 4)  # log 2
    (31, 0.6931)

    Reference: Street, Wolberg and Mangasarian (1993).
    """
    check_number("regularisation", regularisation, above=0.0)
    features, labels = standardised("breast_cancer")
    return Problem(
        name="breast-cancer",
        objective=Objective(
            fn=_binary,
            args=_args(features, 2.0 * labels - 1.0, regularisation),
            smoothness=regularisation + _gram(features) / 4,
            strong_convexity=float(regularisation),
        ),
        start={"weights": jnp.zeros(features.shape[0], float), "bias": jnp.zeros((), float)},
        description="logistic regression on the breast cancer data: 569 samples, 31 parameters",
        reference="street1993",
    )


@typed()
def logistic_digits(regularisation: float | int = 1e-3) -> Problem:
    r"""Multinomial logistic regression on handwritten digits: 1,797 samples, 8 by 8 pixels, 10 classes.

    $$f(W, b) = \frac1N\sum_{i=1}^N \left(\log\sum_{k=1}^{10} e^{w_k^\top z_i + b_k} - w_{y_i}^\top z_i - b_{y_i}\right)
      + \frac\rho2\left(\|W\|^2 + \|b\|^2\right)$$

    with standardised pixels $z_i$ (a constant pixel is 0), from zero.

    Arguments:
        regularisation: $\rho > 0$, in units of $f$ over units of the parameters squared.

    Returns:
        The problem; its start holds `weights` (64, 10) and `bias` (10,). $L = \rho + \frac12\lambda_{\max}
        (\frac1N\sum_i \tilde z_i\tilde z_i^\top)$, $\tilde z = (z, 1)$, is the exact supremum of the curvature
        (approached as two classes share every sample evenly: two equal, infinite biases); at the start the
        curvature is a fifth of it, and less at the minimum. $\mu = \rho$ is the infimum: the curvature along
        equal shifts of all classes. The minimum is left to `solved`.

    Raises:
        InputError: the regularisation is not a finite positive number, or scikit-learn is not installed.

    >>> import thalweg as tw
    >>> problem = tw.problems.logistic_digits()
    >>> problem.dimension, round(float(problem.objective.value(problem.start)), 4)  # log 10
    (650, 2.3026)

    Reference: Alpaydin and Kaynak (1998); for L, Böhning (1992).
    """
    check_number("regularisation", regularisation, above=0.0)
    features, labels = standardised("digits")
    labels = one_hot(labels)
    return Problem(
        name="digits",
        objective=Objective(
            fn=_multinomial,
            args=_args(features, labels, regularisation),
            smoothness=regularisation + _gram(features) / 2,
            strong_convexity=float(regularisation),
        ),
        start={
            "weights": jnp.zeros((features.shape[0], labels.shape[0]), float),
            "bias": jnp.zeros(labels.shape[0], float),
        },
        description="multinomial logistic regression on handwritten digits: 1,797 samples, 650 parameters",
        reference="alpaydin1998",
    )
