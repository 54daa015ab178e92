"""Any method as a callable for `scipy.optimize.minimize`."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.optimize import OptimizeResult, approx_fprime

from .._errors import InputError, check_count, check_number
from .._method import Method
from .._objective import AbstractObjective, Batch
from .._tree import Vector


class _Function:
    """SciPy's function and gradient, counted; the gradient where it was last taken is not taken twice."""

    def __init__(self, fun: Callable, jac: Callable | None, hessp: Callable | None, args: tuple) -> None:
        self._fun, self._jac, self._hessp, self._args = fun, jac, hessp, args
        self.values = self.gradients = self.products = 0
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def value(self, x: np.ndarray) -> float:
        self.values += 1
        return float(self._fun(x, *self._args))

    def gradient(self, x: np.ndarray) -> np.ndarray:
        if self._last is None or not np.array_equal(self._last[0], x):
            self.gradients += 1
            found = approx_fprime(x, self.value) if self._jac is None else self._jac(x, *self._args)
            self._last = x.copy(), np.asarray(found, dtype=float)
        return self._last[1]

    def product(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        if self._hessp is None:
            raise InputError("this method needs the curvature along the velocity; give minimize hessp= or hess=")
        self.products += 1
        return np.asarray(self._hessp(x, v, *self._args), dtype=float)


class _Foreign(AbstractObjective):
    """A function that is no JAX function: steps are made one by one, nothing is traced."""

    function: _Function = eqx.field(static=True)

    def value(self, x: Vector, batch: Batch = None) -> Array:
        del batch
        return jnp.asarray(self.function.value(np.asarray(x)))

    def gradient(self, x: Vector, batch: Batch = None) -> Vector:
        del batch
        return jnp.asarray(self.function.gradient(np.asarray(x)))

    def gradient_and_curvature(self, x: Vector, v: Vector, batch: Batch = None) -> tuple[Vector, Vector]:
        return self.gradient(x, batch), jnp.asarray(self.function.product(np.asarray(x), np.asarray(v)))


def minimizer(method: Method) -> Callable[..., OptimizeResult]:
    r"""A method as `scipy.optimize.minimize(fun, x0, jac=..., method=minimizer(method))`.

    Arguments:
        method: a `tw.Method` that does not solve for its step; its objective, if it has one, is not used.

    Returns:
        the callable. Its options are those of SciPy's own: `gtol` on the largest component of the gradient [1e-5]
        and `maxiter` in steps [200 a parameter, as BFGS has it]. `minimize(tol=)` sets `gtol`.

    Raises:
        InputError: the method draws noise or solves for its step; in minimize, where bounds, constraints or an unknown
            option are given, or the method needs the curvature and has no `hessp` or `hess`.

    >>> import numpy as np, scipy.optimize, thalweg as tw
    >>> method = tw.adapters.scipy.minimizer(tw.momentum(None, learning_rate=0.3, momentum=0.5))
    >>> result = scipy.optimize.minimize(lambda x: np.sum((x - 1.0)**2), np.zeros(2), jac=lambda x: 2 * (x - 1.0),
    ...                                  method=method)
    >>> result.success, result.x.round(4).tolist()
    (True, [1.0, 1.0])
    """
    if not isinstance(method, Method):
        raise InputError(f"minimizer takes a tw.Method, such as tw.momentum(None, 0.1, 0.9), but is {method!r}")
    if method.normals:
        raise InputError(f"{type(method.dynamics).__name__} draws noise, and does not come to rest at a minimum")
    if method.uneven:
        raise InputError(
            f"{type(method.scheme).__name__} solves for its step in compiled code, where functions that are not JAX's "
            "cannot be called; use tw.run, or a method with an explicit step such as tw.Leapfrog()"
        )

    def minimize(
        fun: Callable, x0: Any, args: tuple = (), jac: Callable | None = None, hess: Any = None, hessp: Any = None,
        bounds: Any = None, constraints: Any = (), callback: Callable | None = None, gtol: float = 1e-5,
        maxiter: int | None = None, tol: float | None = None, disp: bool = False, **unknown: Any,
    ) -> OptimizeResult:  # fmt: skip
        if bounds is not None or constraints not in ((), None, []):
            raise InputError("a thalweg method takes no bounds and no constraints; add a penalty to the function")
        if unknown:
            raise InputError(f"option {next(iter(unknown))!r} is unknown; choose one of: disp, gtol, maxiter")
        gtol = gtol if tol is None else tol
        check_number("gtol", gtol, at_least=0.0)
        x0 = np.asarray(x0, dtype=float)
        steps = 200 * x0.size if maxiter is None else check_count("maxiter", maxiter, at_least=0)
        hessp = _by_matrix(hess) if hessp is None and callable(hess) else hessp
        function = _Function(fun, jac if callable(jac) else None, hessp, args)
        with jax.enable_x64(True):
            result = _walk(method.with_objective(_Foreign(function)), function, x0, steps, float(gtol), callback)
        if disp:
            print(result.message)
        return result

    return minimize


def _by_matrix(hess: Callable) -> Callable:
    return lambda x, v, *args: np.asarray(hess(x, *args)) @ v


def _walk(
    method: Method, function: _Function, x0: np.ndarray, steps: int, gtol: float, callback: Callable | None
) -> OptimizeResult:
    state = method.init(jnp.asarray(x0))
    x, done, status = x0, 0, 1
    message = f"made {steps} steps without reaching gtol"
    while True:
        point = np.asarray(state.lookahead)
        gradient = function.gradient(point) if np.isfinite(point).all() else np.full_like(point, np.nan)
        if not np.isfinite(gradient).all():
            status, message = 2, f"the gradient is not finite after {done} steps; the last finite point is kept"
            break
        x = point
        if np.max(np.abs(gradient), initial=0.0) <= gtol:
            status, message = 0, f"the gradient is within gtol after {done} steps"
            break
        if done == steps:
            break
        state, done = method.step(state), done + 1
        if callback is not None:
            try:
                stop = callback(np.array(state.lookahead))
            except StopIteration:
                stop = True
            if stop:
                status, message = 99, f"the callback stopped after {done} steps"
                x = np.asarray(state.lookahead)
                break
    x = np.array(x)
    return OptimizeResult(
        x=x, fun=function.value(x), jac=function.gradient(x), nit=done, nfev=function.values, njev=function.gradients,
        nhev=function.products, status=status, success=status == 0, message=message,
    )  # fmt: skip
