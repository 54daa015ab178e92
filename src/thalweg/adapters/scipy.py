"""Any method as a callable for `scipy.optimize.minimize`."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array
from scipy.optimize import OptimizeResult

from .._errors import InputError, check_count, check_number
from .._methods.method import Method
from .._objectives.objective import AbstractObjective, Batch
from .._tree import Vector
from .._typed import typed
from ..dynamics import GradientFlow
from ..dynamics._base import check_descends, check_flat
from ..schemes import PseudoTransient, State
from ..schemes._descent import KINKED, Descent
from ._scipy_protocol import Function, binds, by_matrix, start_of, told_of


class _Slot:
    """Place where compiled code finds the current function, so that it serves another one as well."""

    function: Function | None = None


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
        # Callbacks run in threads where JAX may be set to single precision; words of 32 bits go through as they are.
        def call(*words: Any) -> np.ndarray:
            function = self.slot.function
            assert function is not None
            if function.raised is None:
                try:
                    found = ask(function, *(_of_words(word) for word in words))
                    return _as_words(np.asarray(found, np.float64).reshape(like.shape))
                except BaseException as error:
                    function.raised = error
            return _as_words(np.full(like.shape, np.nan))

        words = [jax.lax.bitcast_convert_type(argument, jnp.uint32) for argument in arguments]
        found = jax.pure_callback(call, jax.ShapeDtypeStruct((*like.shape, 2), jnp.uint32), *words)
        return jax.lax.bitcast_convert_type(found, jnp.float64)


def _of_words(words: Any) -> np.ndarray:
    words = np.ascontiguousarray(words)
    return words.view(np.float64).reshape(words.shape[:-1])


def _as_words(numbers: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(numbers).reshape(-1).view(np.uint32).reshape(*numbers.shape, 2)


# How a run ended, in SciPy's numbers.
_STATUS = {"converged": 0, "budget spent": 1, "not finite": 2, "unbounded": 3, "stalled": 4}


@typed()
def minimizer(method: Method | None = None) -> Callable[..., OptimizeResult]:
    r"""A method as `scipy.optimize.minimize(fun, x0, jac=..., method=minimizer(method))`.

    Arguments:
        method: a `tw.Method`; its objective, if it has one, is not used. None is `tw.PseudoTransient`, as in
            `tw.minimize`, which has nothing to set. What is asked for besides the gradient, a product with the Hessian,
            is the change of the gradient over a short way where neither `hessp` nor `hess` is given.

    Returns:
        the callable. Its options are those of SciPy's own: `gtol` on the largest component of the gradient [1e-5]
        and `maxiter` in steps [200 a parameter, as BFGS has it], `disp` and `return_all`. `minimize(tol=)` sets `gtol`
        where the options do not. A `callback` is one of x or of `intermediate_result`; it stops by StopIteration or by
        returning True. `hess` gives an array, a sparse one or a LinearOperator. A method that ends by itself takes
        `gtol` for the tolerance on its Euclidean norm. The status of the result is 0 where the gradient is within it, 1
        where the steps are made, 2 where something is not finite, 3 where the function falls without bound, 4 where no
        step goes down any more, 99 where the callback stopped.

    Raises:
        InputError: the method draws noise; in minimize, where bounds or constraints that bind or an unknown option are
            given, or a start, value, gradient or product that is not real or of another length.

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
        bounds: Any = None, constraints: Any = (), callback: Callable | None = None, gtol: float | None = None,
        maxiter: int | None = None, tol: float | None = None, disp: bool = False, return_all: bool = False,
        **unknown: Any,
    ) -> OptimizeResult:  # fmt: skip
        if unknown:
            known = "disp, gtol, maxiter, return_all"
            raise InputError(f"option {next(iter(unknown))!r} is unknown; choose one of: {known}")
        x0 = start_of(x0)
        if binds(bounds, constraints, x0.size):
            raise InputError("a thalweg method takes no bounds and no constraints; add a penalty to the function")
        gtol = next(value for value in (gtol, tol, 1e-5) if value is not None)
        check_number("gtol", gtol, at_least=0.0)
        steps = 200 * x0.size if maxiter is None else check_count("maxiter", maxiter, at_least=0)
        hessp = by_matrix(hess) if hessp is None and callable(hess) else hessp
        function = Function(fun, jac if callable(jac) else None, hessp, args if isinstance(args, tuple) else (args,))
        path: list[np.ndarray] | None = [x0.copy()] if return_all else None
        if x0.size == 0:
            return _nowhere(function, x0, path)
        # A function that minimises another one inside has one to itself.
        slot = free.pop() if free else _Slot()
        slot.function = function
        try:
            with jax.enable_x64(True):
                asked = method.with_objective(_Foreign(slot))
                if isinstance(asked.scheme, PseudoTransient):
                    asked = Method(asked.dynamics, dataclasses.replace(asked.scheme, tolerance=gtol), asked.step_size)
                result = _walk(asked, init, step, function, x0, steps, float(gtol), told_of(callback, function), path)
        finally:
            slot.function = None
            free.append(slot)
        if disp:
            print(result.message)
        return result

    return minimize


def _nowhere(function: Function, x0: np.ndarray, path: list[np.ndarray] | None) -> OptimizeResult:
    message = "x0 is empty: there is nothing to minimise over"
    more = {} if path is None else {"allvecs": path}
    return OptimizeResult(
        x=x0, fun=function.value(x0), jac=np.zeros(0), nit=0, nfev=1, njev=0, nhev=0, status=0, success=True,
        message=message, **more,
    )  # fmt: skip


def _walk(
    method: Method, init: Callable, step: Callable, function: Function, x0: np.ndarray, steps: int, gtol: float,
    told: Callable[[np.ndarray], bool] | None, path: list[np.ndarray] | None,
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
                words = f"the gradient is as small as differences of the function can tell after {done} steps"
                status, message = 0, f"{words}; {message}"
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
        if path is not None:
            path.append(np.array(state.lookahead))
        if told is not None and told(np.array(state.lookahead)):
            status, message = 99, f"the callback stopped after {done} steps"
            x = np.asarray(state.lookahead)
            break
    x = np.array(x)
    more = {} if path is None else {"allvecs": path}
    return OptimizeResult(
        x=x, fun=function.value(x), jac=function.gradient(x).copy(), nit=done, nfev=function.values,
        njev=function.gradients, nhev=function.products, status=status, success=status == 0, message=message, **more,
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
