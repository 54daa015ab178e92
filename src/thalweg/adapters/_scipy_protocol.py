"""SciPy's protocol of a minimiser: what a user's functions may give, and what else they may ask for."""

import contextlib
import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import scipy.sparse
from scipy.optimize import Bounds, LinearConstraint, NonlinearConstraint, OptimizeResult, approx_fprime
from scipy.sparse.linalg import LinearOperator

from .._errors import InputError


class Function:
    """SciPy's function, gradient and product with the Hessian, counted.

    The gradient where it was last taken is not taken twice. What is raised is kept, for code that is compiled calls it.
    What is given and taken are copies: a function may write into its argument, or into what it returned before. In all
    threads JAX is in double precision for it.
    """

    def __init__(self, fun: Callable, jac: Callable | None, hessp: Callable | None, args: tuple) -> None:
        self._fun, self._jac, self._hessp, self._args = fun, jac, hessp, args
        self.values = self.gradients = self.products = 0
        self.raised: BaseException | None = None
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def value(self, x: np.ndarray) -> float:
        self.values += 1
        with jax.enable_x64(True):
            found = self._fun(np.array(x), *self._args)
        if found is not None and np.size(found) == 1 and not np.iscomplexobj(found):
            with contextlib.suppress(TypeError, ValueError):
                return float(np.asarray(found).astype(float).item())
        raise InputError(f"fun must return one real number, but returns {_shown(found)}")

    def gradient(self, x: np.ndarray) -> np.ndarray:
        if self._last is None or not np.array_equal(self._last[0], x):
            self._last = x.copy(), self._taken(x)
        return self._last[1]

    def product(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        if self._hessp is None:
            return self._quotient(x, v)
        self.products += 1
        with jax.enable_x64(True):
            return _vector("hess or hessp", self._hessp(np.array(x), np.array(v), *self._args), x)

    def _taken(self, x: np.ndarray) -> np.ndarray:
        self.gradients += 1
        if self._jac is None:
            return np.array(approx_fprime(x, self.value), dtype=float)
        with jax.enable_x64(True):
            return _vector("jac", self._jac(np.array(x), *self._args), x)

    def _quotient(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The change of the gradient over a short way along v."""
        norm = float(np.linalg.norm(v))
        if norm == 0.0:
            return np.zeros_like(v)
        # Half of the digits of the point; a third where the gradient is a quotient itself.
        part = np.finfo(float).eps ** (0.5 if self._jac is not None else 1.0 / 3.0)
        way = part * (1.0 + float(np.linalg.norm(x))) / norm
        return (self._taken(x + way * v) - self.gradient(x)) / way


def _vector(name: str, found: Any, x: np.ndarray) -> np.ndarray:
    """A vector as long as x, of whatever kind of array."""
    found = found.toarray() if scipy.sparse.issparse(found) else found
    if np.size(found) == x.size and not np.iscomplexobj(found):
        with contextlib.suppress(TypeError, ValueError):
            return np.array(found, dtype=float).reshape(x.shape)
    raise InputError(f"{name} must give {x.size} real numbers, but gives {_shown(found)}")


def _shown(found: Any) -> str:
    shape = np.shape(found)
    return f"an array of shape {shape}" if shape and np.size(found) != 1 else f"{found!r:.60}"


def start_of(x0: Any) -> np.ndarray:
    """The start as a vector in double precision."""
    found = np.atleast_1d(np.asarray(x0))
    if np.iscomplexobj(found):
        raise InputError("x0 must be real, but is complex; minimise over real and imaginary parts, one after the other")
    try:
        found = found.astype(float)
    except (TypeError, ValueError):
        raise InputError(f"x0 must be made of numbers, but is {x0!r:.60}") from None
    if found.ndim != 1:
        raise InputError(f"x0 must have one dimension, but has shape {found.shape}")
    return found


def binds(bounds: Any, constraints: Any, size: int) -> bool:
    """Tell whether any bound or constraint is one."""
    if isinstance(constraints, LinearConstraint | NonlinearConstraint | dict):
        constraints = [constraints] if constraints else []
    for one in () if constraints is None else constraints:
        free = not isinstance(one, dict) and np.all(np.isneginf(one.lb)) and np.all(np.isposinf(one.ub))
        if one and not free:
            return True
    if bounds is None:
        return False
    if isinstance(bounds, Bounds):
        low, high = np.asarray(bounds.lb, float), np.asarray(bounds.ub, float)
    else:
        try:
            pairs = [(-np.inf if a is None else float(a), np.inf if b is None else float(b)) for a, b in bounds]
        except (TypeError, ValueError):
            raise InputError(f"bounds must be pairs (low, high), None for none, but are {bounds!r:.60}") from None
        if pairs and len(pairs) != size:
            raise InputError(f"bounds must be one pair a parameter, {size} of them, but are {len(pairs)}")
        low, high = np.array([a for a, _ in pairs]), np.array([b for _, b in pairs])
    return not (np.all(np.isneginf(low)) and np.all(np.isposinf(high)))


def told_of(callback: Callable | None, function: Function) -> Callable[[np.ndarray], bool] | None:
    """The callback as a function of x that tells whether to stop."""
    if callback is None:
        return None
    try:
        by_result = set(inspect.signature(callback).parameters) == {"intermediate_result"}
    except (TypeError, ValueError):
        by_result = False

    def told(x: np.ndarray) -> bool:
        try:
            if by_result:
                stop = callback(intermediate_result=OptimizeResult(x=x, fun=function.value(x)))
            else:
                stop = callback(x)
        except StopIteration:
            return True
        return isinstance(stop, bool | np.bool_) and bool(stop)

    return told


def by_matrix(hess: Callable) -> Callable:
    """The product with a Hessian that is an array, a sparse one or a linear operator."""

    def product(x: np.ndarray, v: np.ndarray, *args: Any) -> Any:
        found = hess(x, *args)
        known = scipy.sparse.issparse(found) or isinstance(found, LinearOperator)
        return found @ v if known else np.asarray(found).reshape(x.size, x.size) @ v

    return product
