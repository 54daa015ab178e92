"""Laws and schemes whose steps on a quadratic are made by a matrix, told from those that are not."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.core import Tracer
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float

from .._errors import InputError, as_reals, is_number
from .._objectives.objective import AbstractObjective, Batch
from .._programs import written_out
from .._tree import copied, on_device
from ..dynamics import AbstractDynamics, Phase
from ..dynamics._probed import check_law_probed
from ..geometry import AbstractDirection
from ..schemes import Clock, State
from .evaluated import Evaluated
from .knobs import knobs_of
from .method import Method


def check_linear(method: Method) -> None:
    """Refuse a method of whose steps on a quadratic none is made by a matrix."""
    if method.scheme.controlled:
        raise InputError(
            f"{type(method.scheme).__name__} sets the length of its steps as it goes, so that no matrix makes one"
        )
    if method.scheme.exact_law:
        raise InputError(
            f"a step of {type(method.scheme).__name__} is accepted or rejected, so that no matrix makes it; "
            "tw.EulerMaruyama() makes the step that it proposes"
        )


def check_linear_law(dynamics: AbstractDynamics) -> None:
    """Refuse a law, without what it holds for the probe, whose right-hand side is not linear on a quadratic."""
    check_law_probed(dynamics)
    name = type(dynamics).__name__
    geometry = dynamics.geometry
    if isinstance(geometry, AbstractDirection) and geometry.linear:
        # It may be of another number of parameters than is asked here.
        dynamics = dynamics.in_flat_space()
    try:
        with jax.enable_x64(True):
            sound = bool(_additive(in_float64(dynamics)))
    except InputError:
        raise
    except Exception as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise InputError(
            f"{name} raised {type(error).__name__} on a quadratic of two parameters, one vector: {first}; give a point "
            "instead, at=(t, x)"
        ) from error
    if not sound:
        raise InputError(
            f"{name} is not linear on a quadratic, so that no matrix makes its step and a curvature tells nothing; "
            "give a point instead, at=(t, x), or hold what is not linear in the law's linearised()"
        )


def remembers(method: Method) -> bool:
    """Tell whether a step of a method depends on steps before it by more than where they led.

    What a scheme keeps only so as not to compute it again, such as the force where it is, is no such memory.
    """
    with jax.enable_x64(True):
        # A geometry is none of the scheme's, and may be of another number of parameters.
        wide = copied(method, dynamics=method.dynamics.in_flat_space())
        wide = in_float64(wide).with_objective(Bowl(jnp.array([[1.0, 0.3], [0.3, 2.5]])))
        first = jax.eval_shape(lambda: _first(wide)[0])
        if not any(jnp.issubdtype(leaf.dtype, jnp.inexact) for leaf in jax.tree.leaves(first.memory)):
            return False
        return not bool(_same_from_its_end(wide))


def _first(method: Method) -> tuple[State, Callable[[State], Any]]:
    """A start on a quadratic, and what the method would remember if it began at a state."""
    law, step = method.dynamics, method.step_size
    step = jnp.asarray(step(0) if callable(step) else step, float)
    x = jnp.array([0.7, -0.4])
    speed = jnp.array([0.2, 0.5]) if law.order == 2 else None
    clock = None if method.autonomous else Clock(law.start_time + 1.0, jnp.zeros(()), jnp.zeros((), int), step)

    def begun(x: Array, velocity: Array | None, clock: Clock | None) -> State:
        return method.scheme.init(law, x, step, velocity, clock)

    return begun(x, speed, clock), lambda state: begun(state.position, state.velocity, state.clock).memory


@Evaluated
def _same_from_its_end(method: Method) -> Array:
    first, memory = _first(method)
    silent = method.silent(first.position)
    second = method.step(first, silent)
    third, anew = (method.step(state, silent) for state in (second, dataclasses.replace(second, memory=memory(second))))
    one, other = (ravel_pytree((state.position, state.velocity, state.auxiliary))[0] for state in (third, anew))
    return jnp.max(jnp.abs(one - other)) <= 1e-8 * jnp.max(jnp.abs(one))


def has_limit(method: Method) -> bool:
    """Tell whether a curvature of f says at which steps a method is stable."""
    return not method.dynamics.preconditioned and has_linear_limit(method)


def has_linear_limit(method: Method) -> bool:
    """The same of the curvature that the probe takes, of f or of f over what a law keeps."""
    try:
        check_linear_law(method.linearised().dynamics)
        if method.dynamics.geometry is not None:
            # One curvature is of one parameter, which a metric of several does not take.
            preconditioned(method, 1.0)
    except InputError:
        return False
    return not method.scheme.controlled


def preconditioned(method: Method, curvature: Any) -> tuple[Method, Any]:
    """The same motion in flat space: the method without its metric, and the curvatures $G^{-1}H$ in place of H.

    Arguments:
        method: one whose geometry is linear, or flat.
        curvature: a number or a list, each of one parameter, or a Hessian (d, d).

    Raises:
        InputError: the metric is of another number of parameters.
    """
    geometry = method.dynamics.geometry
    if geometry is None:
        return method, curvature
    given = as_reals("curvature", curvature)
    if given.ndim > 2 or (given.ndim == 2 and given.shape[0] != given.shape[1]) or not np.all(np.isfinite(given)):
        return method, curvature
    count = given.shape[0] if given.ndim == 2 else 1
    with jax.enable_x64(True):
        # Of one law and no other: the slope of a step is the same wherever it is taken.
        wide: Any = in_float64(geometry)
        try:
            inverse = np.asarray([wide.velocity(jnp.zeros(count), row) for row in jnp.eye(count)])
        except InputError as error:
            raise InputError(f"{error}; a Hessian as a matrix (d, d) is of all parameters as one vector") from error
    flat = copied(method, dynamics=method.dynamics.in_flat_space())
    if given.ndim < 2:
        return flat, given * float(inverse[0, 0])
    root = np.linalg.cholesky(0.5 * (inverse + inverse.T))
    return flat, np.linalg.eigvalsh(root.T @ given @ root)


@Evaluated
def _additive(dynamics: AbstractDynamics) -> Array:
    """Tell whether the rates at a sum of two displacements are the sum of those at each."""
    law = dynamics.with_objective(Bowl(jnp.array([[1.0, 0.3], [0.3, 2.5]])))
    rest = Phase(jnp.zeros(2), jnp.zeros(2) if law.order == 2 else None, law.initial_auxiliary(jnp.zeros(2)))
    start, cut = ravel_pytree(rest)
    # A late coefficient may be infinite; what is linear at one time is so at all.
    time = law.start_time + 1.0

    def rates(moved: Array) -> Array:
        phase = cut(start + moved)
        # What only the noise's part moves, or is held, has no rate.
        return ravel_pytree(law.rates(time, phase, law.evaluate(time, phase)))[0]

    # Of opposite signs, or what bends at 0 alone would pass; where a root of a memory is no number, it is not linear.
    one, other = 0.3 + jnp.arange(start.size) / 7, -1.1 / (1.0 + jnp.arange(start.size))
    values = jax.vmap(written_out(rates, one))(jnp.stack([one + other, one, other, jnp.zeros_like(one)]))
    return jnp.max(jnp.abs(jnp.array([1.0, -1.0, -1.0, 1.0]) @ values)) <= 1e-8 * jnp.max(jnp.abs(values))


class Bowl(AbstractObjective):
    r"""$f(x) = \tfrac12 x^\top H x$ of one vector, H symmetric; its derivatives written out are quicker to trace."""

    hessian: Float[Array, "d d"]

    def value(self, x: Array, batch: Batch = None) -> Float[Array, ""]:
        del batch
        return 0.5 * jnp.vdot(x, self.gradient(x))

    def gradient(self, x: Array, batch: Batch = None) -> Array:
        del batch
        return lax.dot(self.hessian, x)

    def value_and_gradient(self, x: Array, batch: Batch = None) -> tuple[Float[Array, ""], Array]:
        return self.value(x, batch), self.gradient(x, batch)


def in_float64(tree: Any) -> Any:
    """A tree with its arrays in float64; a method with its numbers as they were meant.

    In float32 0.1 is 0.10000000149, and 0.1 was meant. A friction that was worked out of a momentum is again.
    """
    wide = jax.tree.map(lambda leaf: on_device(leaf, float) if eqx.is_inexact_array(leaf) else leaf, tree)
    if not isinstance(tree, Method):
        return wide
    own = jax.tree.leaves((tree.dynamics.constants, tree.step_size))
    narrow = [leaf for leaf in own if eqx.is_inexact_array(leaf) and leaf.dtype != jnp.float64]
    if not narrow or any(isinstance(leaf, Tracer) or leaf.ndim for leaf in narrow):
        return wide
    with jax.enable_x64(False):  # whose rounding is looked through
        meant = {name: value for name, value in tree.hyperparameters.items() if isinstance(value, float)}

    def make(**constants: Any) -> AbstractDynamics:
        return copied(wide.dynamics, **jax.tree.map(_wide, constants))

    knobs = knobs_of(wide)
    kept = wide.dynamics.constants | {"step_size": wide.step_size}
    law, scheme, step = knobs.write(knobs.read(wide) | meant, make, wide.scheme, kept)
    return copied(wide, dynamics=law, scheme=scheme, step_size=_wide(step))


def _wide(value: Any) -> Any:
    return on_device(value, float) if is_number(value) or eqx.is_inexact_array(value) else value
