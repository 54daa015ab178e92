"""Eight schools: a small hierarchical model, in two sets of parameters."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._objectives.objective import Objective
from ._moments import Moments
from ._problem import Problem

_EFFECTS = np.array([28.0, 8.0, -3.0, 7.0, -1.0, 1.0, 18.0, 12.0])
_ERRORS = np.array([15.0, 10.0, 16.0, 11.0, 9.0, 11.0, 10.0, 18.0])


def _value(x: dict[str, Float[Array, "..."]], args: dict[str, Float[Array, "8"]]) -> Float[Array, ""]:
    mu, log_tau, eta = x["mu"], x["log_tau"], x["eta"]
    tau = jnp.exp(log_tau)
    prior = 0.5 * (mu / 5.0) ** 2 + jnp.log1p((tau / 5.0) ** 2) - log_tau + 0.5 * jnp.sum(eta**2)
    return prior + 0.5 * jnp.sum(((args["effects"] - mu - tau * eta) / args["errors"]) ** 2)


def eight_schools() -> Problem:
    r"""Eight schools: the effect of coaching measured in each, partly pooled; not centred.

    $$\mu \sim N(0, 5^2),\quad \tau \sim \text{half-Cauchy}(0, 5),\quad \eta_i \sim N(0, 1),\quad
      y_i \mid \mu, \tau, \eta \sim N(\mu + \tau\eta_i, \sigma_i^2)$$
    $$L(\mu, \log\tau, \eta) = \frac{\mu^2}{50} + \log\Bigl(1 + \frac{\tau^2}{25}\Bigr) - \log\tau
      + \tfrac12\sum_{i=1}^8 \eta_i^2 + \sum_{i=1}^8 \frac{(y_i - \mu - \tau\eta_i)^2}{2\sigma_i^2}$$

    from $\mu = 0$, $\tau = 1$, $\eta = 0$; $-\log\tau$ is the Jacobian of the logarithm. At a given $\tau$ all else is
    Gaussian and is integrated in closed form, which leaves one integral over $\log\tau$.

    Returns:
        The problem, with the moments at temperature 1; its start holds `mu` (), `log_tau` () and `eta` (8,), which
        ravel in the order eta, log_tau, mu. They imply means of 3.60 for $\tau$ and 6.21 for
        $\theta_1 = \mu + \tau\eta_1$; posteriordb's reference draws have 3.60 and 6.15, with standard errors of 0.03
        and 0.06. Not convex; no minimum is stated.

    >>> import thalweg as tw
    >>> moments = tw.problems.eight_schools().moments
    >>> round(float(moments.mean["mu"]), 3), moments.source
    (4.397, 'quadrature')

    Reference: Rubin (1981); the parametrisation of Papaspiliopoulos, Roberts and Sköld (2007).
    """
    mean, covariance, log_normaliser = _integrate()
    args = {"effects": jnp.asarray(_EFFECTS, float), "errors": jnp.asarray(_ERRORS, float)}
    return Problem(
        name="eight-schools",
        objective=Objective(fn=_value, args=args),
        start={"mu": jnp.zeros((), float), "log_tau": jnp.zeros((), float), "eta": jnp.zeros(8, float)},
        description="eight schools, not centred: a hierarchical model with 10 parameters",
        reference="rubin1981",
        moments=Moments(
            mean=_tree(mean),
            variance=_tree(np.diag(covariance)),
            covariance=covariance,
            source="quadrature",
            how="mu and eta integrated in closed form, log tau by the trapezium rule on the line, to a relative 1e-11",
        ),
        log_normaliser=log_normaliser,
    )


def _centred(x: dict[str, Float[Array, "..."]], args: dict[str, Float[Array, "8"]]) -> Float[Array, ""]:
    mu, log_tau, theta = x["mu"], x["log_tau"], x["theta"]
    prior = 0.5 * (mu / 5.0) ** 2 + jnp.log1p((jnp.exp(log_tau) / 5.0) ** 2) + 7.0 * log_tau
    schools = 0.5 * jnp.sum(((theta - mu) * jnp.exp(-log_tau)) ** 2)
    return prior + schools + 0.5 * jnp.sum(((args["effects"] - theta) / args["errors"]) ** 2)


def eight_schools_centred() -> Problem:
    r"""Eight schools, centred: the same law as `eight_schools`, in parameters in which its curvature has no bound.

    $$L(\mu, \log\tau, \theta) = \frac{\mu^2}{50} + \log\Bigl(1 + \frac{\tau^2}{25}\Bigr) + 7\log\tau
      + \sum_{i=1}^8 \frac{(\theta_i - \mu)^2}{2\tau^2} + \sum_{i=1}^8 \frac{(y_i - \theta_i)^2}{2\sigma_i^2}$$

    with $\theta_i = \mu + \tau\eta_i$, from $\mu = 0$, $\tau = 1$, $\theta = 0$. As $\tau$ falls the law narrows like a
    funnel: of a step that is right elsewhere the energy grows there, and a shorter one hardly gets out of it.

    Returns:
        The problem, with the moments at temperature 1; its start holds `mu` (), `log_tau` () and `theta` (8,), which
        ravel in the order log_tau, mu, theta. Not convex, without a lower bound.

    >>> import thalweg as tw
    >>> moments = tw.problems.eight_schools_centred().moments
    >>> round(float(moments.mean["theta"][0]), 2)
    6.21

    Reference: Rubin (1981); the parametrisation of Papaspiliopoulos, Roberts and Sköld (2007).
    """
    mean, covariance, log_normaliser = _integrate(centred=True)
    order = [8, 9, *range(8)]
    args = {"effects": jnp.asarray(_EFFECTS, float), "errors": jnp.asarray(_ERRORS, float)}
    return Problem(
        name="eight-schools-centred",
        objective=Objective(fn=_centred, args=args),
        start={"mu": jnp.zeros((), float), "log_tau": jnp.zeros((), float), "theta": jnp.zeros(8, float)},
        description="eight schools, centred: a funnel, on which samplers go wrong",
        reference="rubin1981",
        moments=Moments(
            mean=_tree(mean, "theta"),
            variance=_tree(np.diag(covariance), "theta"),
            covariance=covariance[np.ix_(order, order)],
            source="quadrature",
            how="mu, theta integrated in closed form, log tau by the trapezium rule on the line, to a relative 1e-11",
        ),
        log_normaliser=log_normaliser,
    )


def _tree(vector: np.ndarray, name: str = "eta") -> dict[str, np.ndarray]:
    return {name: vector[:8].copy(), "log_tau": np.array(vector[8]), "mu": np.array(vector[9])}


def _integrate(centred: bool = False) -> tuple[np.ndarray, np.ndarray, float]:
    """Mean and covariance of (eta, log tau, mu), or of theta for eta, and the logarithm of the integral of exp(-L)."""
    # The integrand is analytic in a strip about the line and falls off like an exponential either way, so that the
    # trapezium rule converges faster than any power of the step; this one is far finer than needed.
    step = 0.01
    log_tau = -45.0 + step * np.arange(6001)
    tau = np.exp(log_tau)[:, None]
    total = _ERRORS**2 + tau**2  # the variance of y_i about mu
    V = 1.0 / (1.0 / 25.0 + np.sum(1.0 / total, axis=1))
    m = V * np.sum(_EFFECTS / total, axis=1)
    log_weight = (
        log_tau - np.log1p((tau[:, 0] / 5.0) ** 2)
        + 0.5 * np.sum(np.log(_ERRORS**2 / total) - _EFFECTS**2 / total, axis=1)
        + 0.5 * np.log(V) + 0.5 * m**2 / V
    )  # fmt: skip
    peak = log_weight.max()
    weight = np.exp(log_weight - peak)
    log_normaliser = 4.5 * np.log(2 * np.pi) + peak + np.log(weight.sum()) + np.log(step)
    weight /= weight.sum()

    # At a given tau and mu the mean of eta_i, or of theta_i - mu, is this share of y_i - mu, and this its variance.
    share, own = (tau**2 / total, _ERRORS**2 * tau**2 / total) if centred else (tau / total, _ERRORS**2 / total)
    shift = 1.0 - share if centred else -share
    given = np.column_stack([share * (_EFFECTS - m[:, None]) + (m[:, None] if centred else 0.0), log_tau, m])
    within = np.zeros((10, 10))
    within[:8, :8] = np.diag(weight @ own) + np.einsum("n,ni,nj->ij", weight * V, shift, shift)
    within[:8, 9] = within[9, :8] = (weight * V) @ shift
    within[9, 9] = weight @ V
    mean = weight @ given
    return mean, within + (given - mean).T @ (weight[:, None] * (given - mean)), float(log_normaliser)
