"""Any method as a callable for `scipy.optimize.minimize`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.optimize import OptimizeResult, approx_fprime

from .._errors import InputError, check_count, check_number
from .._methods.method import Method
from .._objectives.objective import AbstractObjective, Batch
from .._tree import Vector
from ..dynamics import GradientFlow
from ..dynamics._base import check_descends, check_flat
from ..schemes import PseudoTransient, State
from ..schemes._descent import KINKED, Descent


class _Function:
    """SciPy's function, gradient and product with the Hessian, counted.

    The gradient where it was last taken is not taken twice. What is raised is kept, for code that is compiled calls it.
    """

    def __init__(self, fun: Callable, jac: Callable | None, hessp: Callable | None, args: tuple) -> None:
        self._fun, self._jac, self._hessp, self._args = fun, jac, hessp, args
        self.values = self.gradients = self.products = 0
        self.raised: BaseException | None = None
        self._last: tuple[np.ndarray, np.ndarray] | None = None

    def value(self, x: np.ndarray) -> float:
        self.values += 1
        return float(self._fun(x, *self._args))

    def gradient(self, x: np.ndarray) -> np.ndarray:
        if self._last is None or not np.array_equal(self._last[0], x):
            self._last = x.copy(), self._taken(x)
        return self._last[1]

    def product(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        if self._hessp is None:
            return self._quotient(x, v)
        self.products += 1
        return np.asarray(self._hessp(x, v, *self._args), dtype=float)

    def _taken(self, x: np.ndarray) -> np.ndarray:
        self.gradients += 1
        found = approx_fprime(x, self.value) if self._jac is None else self._jac(x, *self._args)
        return np.asarray(found, dtype=float)

    def _quotient(self, x: np.ndarray, v: np.ndarray) -> np.ndarray:
        """The change of the gradient over a short way along v."""
        norm = float(np.linalg.norm(v))
        if norm == 0.0:
            return np.zeros_like(v)
        # Half of the digits of the point; a third where the gradient is a quotient itself.
        part = np.finfo(float).eps ** (0.5 if self._jac is not None else 1.0 / 3.0)
        way = part * (1.0 + float(np.linalg.norm(x))) / norm
        return (self._taken(x + way * v) - self.gradient(x)) / way


class _Slot:
    """Place where compiled code finds the current function, so that it serves another one as well."""

    function: _Function | None = None


class _Foreign(AbstractObjective):
    """A function that is no JAX function, called back from what is compiled."""

    slot: _Slot = eqx.field(static=True)

    def value(self, x: Vector, batch: Batch = None) -> Array:
        del batch
        return self._called(lambda f, x: f.value(x), jax.ShapeDtypeStruct((), x.dtype), x)

    def gradient(self, x: Vector, batch: Batch = None) -> Vector:
        del batch

        @jax.custom_jvp
        def gradient(x: Array) -> Array:
            return self._called(lambda f, x: f.gradient(x), x, x)

        @gradient.defjvp
        def _(at: tuple[Array], along: tuple[Array]) -> tuple[Array, Array]:
            return gradient(*at), self.hessian_vector_product(at[0], along[0])

        return gradient(x)

    def hessian_vector_product(self, x: Vector, v: Vector, batch: Batch = None) -> Vector:
        del batch

        @jax.custom_jvp
        def product(v: Array) -> Array:
            return self._called(lambda f, x, v: f.product(x, v), x, jax.lax.stop_gradient(x), v)

        # Linear in v; nothing asks how it depends on x.
        product.defjvp(lambda at, along: (product(*at), product(*along)))
        return product(v)

    def value_and_gradient(self, x: Vector, batch: Batch = None) -> tuple[Array, Vector]:
        return self.value(x, batch), self.gradient(x, batch)

    def _called(self, ask: Callable, like: Any, *arguments: Array) -> Array:
        shape = jax.ShapeDtypeStruct(like.shape, like.dtype)

        def call(*arguments: Any) -> np.ndarray:
            function = self.slot.function
            assert function is not None
            if function.raised is None:
                try:
                    found = ask(function, *(np.array(argument) for argument in arguments))
                    return np.asarray(found, shape.dtype).reshape(shape.shape)
                except BaseException as error:
                    function.raised = error
            return np.full(shape.shape, np.nan, shape.dtype)

        return jax.pure_callback(call, shape, *arguments)


# How a run ended, in SciPy's numbers.
_STATUS = {"converged": 0, "budget spent": 1, "not finite": 2, "unbounded": 3, "stalled": 4}


def minimizer(method: Method | None = None) -> Callable[..., OptimizeResult]:
    r"""A method as `scipy.optimize.minimize(fun, x0, jac=..., method=minimizer(method))`.

    Arguments:
        method: a `tw.Method`; its objective, if it has one, is not used. None is `tw.PseudoTransient`, as in
            `tw.minimize`, which has nothing to set. What is asked for besides the gradient, a product with the Hessian,
            is the change of the gradient over a short way where neither `hessp` nor `hess` is given.

    Returns:
        the callable. Its options are those of SciPy's own: `gtol` on the largest component of the gradient [1e-5]
        and `maxiter` in steps [200 a parameter, as BFGS has it]. `minimize(tol=)` sets `gtol`. A method that ends by
        itself takes `gtol` for the tolerance on its Euclidean norm. The status of the result is 0 where the gradient is
        within it, 1 where the steps are made, 2 where something is not finite, 3 where the function falls without
        bound, 4 where no step goes down any more, 99 where the callback stopped.

    Raises:
        InputError: the method draws noise; in minimize, where bounds, constraints or an unknown option are given.

    >>> import numpy as np, scipy.optimize, thalweg as tw
    >>> method = tw.adapters.scipy.minimizer(tw.momentum(None, learning_rate=0.3, momentum=0.5))
    >>> result = scipy.optimize.minimize(lambda x: np.sum((x - 1.0)**2), np.zeros(2), jac=lambda x: 2 * (x - 1.0),
    ...                                  method=method)
    >>> result.success, result.x.round(4).tolist()
    (True, [1.0, 1.0])
    """
    if method is None:
        method = Method(GradientFlow(None), PseudoTransient(), 1.0)
    if not isinstance(method, Method):
        raise InputError(f"minimizer takes a tw.Method, such as tw.momentum(None, 0.1, 0.9), but is {method!r}")
    check_descends(method.dynamics, "a scipy minimizer")
    check_flat(method.dynamics, "a scipy minimizer")
    if method.noisy:
        raise InputError(f"{type(method.dynamics).__name__} draws noise, and does not come to rest at a minimum")
    free: list[_Slot] = []
    # Compiled once for every length of x, whatever the function; with the look-ahead point that the next step is to
    # evaluate, to the last bit.
    init = eqx.filter_jit(lambda method, x: method.init(x).with_lookahead())
    step = eqx.filter_jit(lambda method, state: method.step(state).with_lookahead())

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
        # A function that minimises another one inside has one to itself.
        slot = free.pop() if free else _Slot()
        slot.function = function
        try:
            with jax.enable_x64(True):
                asked = method.with_objective(_Foreign(slot))
                if isinstance(asked.scheme, PseudoTransient):
                    asked = Method(asked.dynamics, dataclasses.replace(asked.scheme, tolerance=gtol), asked.step_size)
                result = _walk(asked, init, step, function, x0, steps, float(gtol), callback)
        finally:
            slot.function = None
            free.append(slot)
        if disp:
            print(result.message)
        return result

    return minimize


def _by_matrix(hess: Callable) -> Callable:
    return lambda x, v, *args: np.asarray(hess(x, *args)) @ v


def _walk(
    method: Method, init: Callable, step: Callable, function: _Function, x0: np.ndarray, steps: int, gtol: float,
    callback: Callable | None,
) -> OptimizeResult:  # fmt: skip
    def made(state: State) -> State:
        state = jax.block_until_ready(state)
        if function.raised is not None:
            raise function.raised
        return state

    state = made(init(method, jnp.asarray(x0)))
    x, done, status = x0, 0, 1
    message = f"made {steps} steps without reaching gtol"
    ends = isinstance(method.scheme, PseudoTransient)
    while True:
        point = np.asarray(state.lookahead)
        end = method.scheme.termination(state)
        if end is not None:
            x, status, message = point, _STATUS.get(end.status, 1), end.message
            if status == _STATUS["stalled"] and function._jac is None and _within_differences(state):
                told = f"the gradient is as small as differences of the function can tell after {done} steps"
                status, message = 0, f"{told}; {message}"
            break
        gradient = function.gradient(point) if np.isfinite(point).all() else np.full_like(point, np.nan)
        if not np.isfinite(gradient).all():
            status, message = 2, f"the gradient is not finite after {done} steps; the last finite point is kept"
            break
        x = point
        # What ends by itself may be on a saddle.
        if not ends and np.max(np.abs(gradient), initial=0.0) <= gtol:
            status, message = 0, f"the gradient is within gtol after {done} steps"
            break
        if done == steps:
            break
        state, done = made(step(method, state)), done + 1
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


def _within_differences(state: State) -> bool:
    """Tell whether a gradient of forward differences is within what rounding and curvature leave of it."""
    end: Descent = state.memory
    if int(end.code) == KINKED:
        return False
    x, eps = np.asarray(state.position), np.finfo(float).eps
    way = eps**0.5 * np.maximum(1.0, np.abs(x))
    curvature = max(float(end.base), float(np.max(end.secants.bends)))
    error = 4.0 * eps * abs(float(end.energy)) / way + way * curvature
    return float(np.linalg.norm(end.slope)) <= float(np.linalg.norm(error))
