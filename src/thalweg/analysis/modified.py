"""The stochastic differential equation that a method follows at its own step size."""

import dataclasses
from typing import Any

import numpy as np
import scipy.linalg

from .._errors import InputError, check_choice
from .._methods.method import Method
from .._methods.stationary import linear_step, stationary_covariance, symmetric
from .._typed import typed
from . import _chain
from .diffusion_limit import diffusion_limit

_ORDERS = (0, 1, 2)
_OF = ("position", "velocity", "phase")


@dataclasses.dataclass(frozen=True, eq=False)
class ModifiedEquation:
    r"""The linear equation $dz = Mz\,dt + \text{noise of covariance } D\,dt$ that a method follows on a quadratic.

    Attributes:
        drift: M, (n, n), of the position and, of a second-order law, the velocity as the method has it: half a step
            behind in leapfrog and look-ahead methods.
        diffusion: D, (n, n).
        order: up to which power of the step, None for all.
        second: whether the law is of second order.
        scalar: whether the Hessian is a number.
    """

    drift: np.ndarray
    diffusion: np.ndarray
    order: int | None
    second: bool
    scalar: bool

    @property
    def rate(self) -> float:
        """The rate at which the slowest mode decays, negative where one grows; per unit time."""
        return -float(np.linalg.eigvals(self.drift).real.max())

    @property
    def genuine(self) -> bool:
        """Tell whether D is positive semidefinite, the covariance of a real noise.

        The expansion of a second-order law's D is mostly not: a step's gradient noise moves position and velocity
        together, which noise spread over the step would not. Covariances follow from D all the same.
        """
        values = np.linalg.eigvalsh(self.diffusion)
        return bool(values[0] >= -1e-9 * np.abs(values).max())

    def stationary_covariance(self, of: str = "position") -> Any:
        r"""The solution of $M\Sigma + \Sigma M^\top + D = 0$.

        Arguments:
            of: "position", "velocity", or "phase" for both.

        Raises:
            InputError: there is none, since a mode does not decay.
        """
        check_choice("of", of, _OF)
        if of == "velocity" and not self.second:
            raise InputError("a first-order law has no velocity")
        if not self.rate > 0.0:
            raise InputError(
                f"there is no stationary law: a mode of this equation grows at the rate {-self.rate:.6g}; "
                "take a smaller step, and a Hessian that is positive definite"
            )
        found = scipy.linalg.solve_continuous_lyapunov(self.drift, -self.diffusion)
        found = 0.5 * (found + found.T)
        d = len(found) // (2 if self.second else 1)
        if of != "phase":
            found = found[:d, :d] if of == "position" else found[d:, d:]
        return float(found[0, 0]) if self.scalar and found.size == 1 else found


@typed()
def modified_equation(
    method: Method, hessian: Any, noise_covariance: Any = None, order: int | None = 1
) -> ModifiedEquation:
    r"""The equation that a method follows on a quadratic, expanded in its step size, or exactly.

    $$M = M_0 + hM_1 + h^2M_2 + \dots,\qquad D = D_0 + hD_1 + h^2D_2 + \dots,\qquad
      A = e^{hM},\quad Q = \int_0^h e^{Ms}De^{M^\top s}\,ds$$

    with A and Q of one step, at fixed constants of the law, $K = hC$ among them. Order 0 is the diffusion limit.
    Of gradient descent on the curvature $\ell$: $M = -(\ell + \tfrac h2\ell^2 + \tfrac{h^2}3\ell^3)$, the flow of
    $f + \tfrac h4|\nabla f|^2$ at order 1, and $D = hC\,(1 + h\ell + \tfrac56h^2\ell^2)$.

    Arguments:
        method: any method with constant hyperparameters whose diffusion limit is known; its objective is not used.
        hessian: H, a curvature or a symmetric array (d, d).
        noise_covariance: C, of the gradient noise of one step, as in `stationary_covariance`; None for exact
            gradients.
        order: 0, 1 or 2, or None for the equation that passes through every step.

    Returns:
        a `ModifiedEquation`: `.drift`, `.diffusion`, `.rate`, `.stationary_covariance()`.

    Raises:
        InputError: a step remembers noise of the last one, or none is exact: a step that multiplies a direction
            by a negative number, as gradient descent does where $h\ell > 1$, is one of no equation.

    >>> import thalweg as tw
    >>> equation = tw.analysis.modified_equation(tw.gradient_descent(None, 0.1), 2.0, noise_covariance=1.0)
    >>> equation.drift.round(9).tolist(), equation.diffusion.round(9).tolist()  # -(2 + 0.1 * 4/2), 0.1 (1 + 0.2)
    ([[-2.2]], [[0.12]])

    Reference: Barrett and Dherin (2021) for the drift of gradient descent; Li, Tai and E (2017) with noise, whose
    equation has the drift of order 1 and the diffusion of order 0: its variance is further off than that of the
    diffusion limit.
    """
    if order is not None and (isinstance(order, bool) or order not in _ORDERS):
        raise InputError(f"order must be 0, 1, 2 or None, but is {order!r}")
    hessian = symmetric("hessian", hessian, None)
    scalar, hessian = hessian.ndim == 0, np.atleast_2d(hessian)
    d = len(hessian)
    noise = np.zeros((d, d)) if noise_covariance is None else symmetric("noise_covariance", noise_covariance, d)
    linear_step(method, hessian, noise, "position")
    second, h = method.dynamics.order == 2, float(np.asarray(method.step_size))
    if order is None:
        drift, diffusion = _chain.interpolating(*_chain.chain(method, hessian, noise), h)
        return ModifiedEquation(drift, diffusion, None, second, scalar)
    # The diffusion limit only for how fast the law is; any noise will do.
    rate = float(np.abs(np.linalg.eigvals(diffusion_limit(method, 1.0).drift(hessian))).max()) or 1.0
    drifts, diffusions = _chain.expanded(*_chain.series(method, hessian, h * noise, rate))
    powers = h ** np.arange(order + 1)
    drift, diffusion = (np.einsum("k,kij->ij", powers, part[: order + 1]) for part in (drifts, diffusions))
    return ModifiedEquation(drift, 0.5 * (diffusion + diffusion.T), order, second, scalar)


@dataclasses.dataclass(frozen=True)
class ModifiedError:
    """Distance of the modified equation of an order from the method itself.

    Attributes:
        order: the order.
        covariance: relative error of the stationary covariance of the position, in the spectral norm; infinite where
            the equation has none.
        rate: relative error of the slowest rate of decay.
    """

    order: int
    covariance: float
    rate: float


@typed()
def modified_error(method: Method, hessian: Any, noise_covariance: Any = None) -> tuple[ModifiedError, ...]:
    r"""Measure the modified equations of order 0, 1 and 2 against the method's exact law at its own step.

    Against `stationary_covariance`, and against the rate $-\log\rho(A)/h$.

    Arguments: as in `modified_equation`.

    Returns:
        a `ModifiedError` for each of the orders 0, 1 and 2.

    Raises:
        InputError: the method has no stationary law, or as in `modified_equation`.

    >>> import thalweg as tw
    >>> errors = tw.analysis.modified_error(tw.gradient_descent(None, 0.1), 2.0, noise_covariance=1.0)
    >>> [(error.order, round(error.covariance, 4)) for error in errors]  # the diffusion limit is 1 - a l/2 of it
    [(0, 0.1), (1, 0.0182), (2, 0.003)]
    """
    exact = np.atleast_2d(stationary_covariance(method, hessian, noise_covariance))
    whole = linear_step(method, hessian, noise_covariance, "position")
    decay = -np.log(np.abs(np.linalg.eigvals(whole.matrix)).max()) / float(np.asarray(method.step_size))
    found = []
    for order in _ORDERS:
        equation = modified_equation(method, hessian, noise_covariance, order)
        apart = np.inf
        if equation.rate > 0.0:
            covariance = np.atleast_2d(equation.stationary_covariance())
            apart = float(np.linalg.norm(covariance - exact, 2) / np.linalg.norm(exact, 2))
        found.append(ModifiedError(order, apart, float(abs(equation.rate / decay - 1.0))))
    return tuple(found)
