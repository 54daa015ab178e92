"""Objectives: a scalar function of parameters, with what is known about it."""

import abc
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Key, PyTree

from .._drawing import called
from .._errors import InputError, check_number, is_real
from .._module import Module
from .._programs import compiled_quickly
from .._tree import Vector, combine, copied
from .._typed import check_fields
from .parts import Joined

Batch = PyTree


class AbstractObjective(Module):
    """A scalar function of the parameters, its derivatives, and known facts about it.

    Everything random in an evaluation is the argument `batch`, drawn by `draw`.
    """

    def __check_init__(self) -> None:
        check_fields(self)

    @property
    def minimum(self) -> float | None:
        r"""$f^\star$, where it is known."""
        return None

    @property
    def minimiser(self) -> PyTree:
        """A point where the minimum is attained, where one is known."""
        return None

    @property
    def smoothness(self) -> float | None:
        """$L$, the largest curvature, where it is known."""
        return None

    @property
    def strong_convexity(self) -> float | None:
        r"""$\mu$, the smallest curvature, where it is known."""
        return None

    @abc.abstractmethod
    def value(self, x: Vector, batch: Batch = None) -> Float[Array, ""]:
        """$f(x)$, on the mini-batch if one is given."""

    def value_and_gradient(self, x: Vector, batch: Batch = None) -> tuple[Float[Array, ""], Vector]:
        r"""$(f(x), \nabla f(x))$ in one evaluation."""
        return jax.value_and_grad(self.value)(x, batch)

    def gradient(self, x: Vector, batch: Batch = None) -> Vector:
        r"""$\nabla f(x)$, a tree of the shape of `x`."""
        return jax.grad(self.value)(x, batch)

    def hessian_vector_product(self, x: Vector, v: Vector, batch: Batch = None) -> Vector:
        r"""$\nabla^2 f(x)\,v$ by forward over reverse, at about the cost of two gradients."""
        return self.gradient_and_curvature(x, v, batch)[1]

    def gradient_and_curvature(self, x: Vector, v: Vector, batch: Batch = None) -> tuple[Vector, Vector]:
        r"""$(\nabla f(x), \nabla^2 f(x)\,v)$, sharing the gradient's own work."""
        return jax.jvp(lambda y: self.gradient(y, batch), (x,), (v,))

    def linearised_gradient(self, x: Vector, batch: Batch = None) -> tuple[Vector, Callable[[Vector], Vector]]:
        r"""$(\nabla f(x),\ v \mapsto Bv)$ with the curvature B that a linearly implicit step takes: the Hessian."""
        return jax.linearize(lambda y: self.gradient(y, batch), x)

    def gradient_along(self, x: Vector, move: Vector, batch: Batch = None) -> Vector:
        r"""$\nabla f(x) + Bd$ with the same curvature: the gradient a move away, to first order."""
        gradient, change = jax.jvp(lambda y: self.gradient(y, batch), (x,), (move,))
        return combine((1, gradient), (1, change))

    def draw(self, key: Key[Array, ""] | None, step: ArrayLike | None = None) -> Batch:
        """Draw what is random in one step's evaluations; nothing unless overridden.

        Arguments:
            key: of the run; of the step, where no step is given.
            step: which one.
        """
        del key, step
        return None

    @property
    def stochastic(self) -> bool:
        """Tell whether a step needs a mini-batch, hence a key."""
        return False

    def whole(self) -> "AbstractObjective":
        """The same function without mini-batches; itself, where it has none."""
        return self

    @property
    def time_dependent(self) -> bool:
        """Tell whether the function changes in time, so that it has a value at a time only."""
        return False

    def at(self, time: ArrayLike | None) -> "AbstractObjective":
        """The function at a time; itself, where it is the same at all."""
        del time
        return self

    @property
    def carried(self) -> PyTree:
        """State that a run carries from step to step beside the parameters; None where there is none."""
        return None

    def carrying(self, carried: PyTree) -> "AbstractObjective":
        """The same function with what was carried so far; itself, where nothing is."""
        del carried
        return self

    def carried_on(self, x: Vector, batch: Batch = None) -> PyTree:
        """The state carried after an evaluation at x."""
        del x, batch
        return self.carried

    def joined(self, join: Callable) -> "AbstractObjective":
        """The same function, of the parameters from which `join` makes what it takes."""
        fn = getattr(self, "fn", None)
        return Flattened(self, join) if fn is None else copied(self, fn=Joined(fn, join))

    def flattened(self, unravel: Callable) -> "AbstractObjective":
        """The same function of one raveled vector, the loop's own coordinates."""
        return Flattened(self, unravel)


def check_facts(objective: AbstractObjective) -> None:
    for name in ("minimum", "smoothness", "strong_convexity"):
        fact = getattr(objective, name)
        if fact is not None:
            check_number(name, fact, at_least=None if name == "minimum" else 0.0)
    if objective.minimiser is not None:
        check_tree("minimiser", objective.minimiser)


def check_tree(what: str, tree: PyTree) -> None:
    """Refuse what is no pytree of finite real numbers, or holds none."""
    leaves = jax.tree.leaves(tree)
    if not leaves:
        raise InputError(f"{what} must hold at least one number, but is {tree!r}")
    for leaf in leaves:
        if isinstance(leaf, bool) or not is_real(leaf):
            raise InputError(f"{what} must be made of arrays of numbers, but holds {leaf!r}")
        if not isinstance(leaf, Tracer) and not np.all(np.isfinite(np.asarray(leaf, dtype=float))):
            raise InputError(f"{what} must be finite, but holds NaN or infinity")


class Objective(AbstractObjective):
    r"""A function to go down, with optional known facts.

    $f(x) = \mathtt{fn}(x)$, or $\mathtt{fn}(x, \mathtt{args})$ when `args` is given; where it depends on time, with
    the time as one argument more at the end.

    Arguments:
        fn: maps a pytree of float arrays (and `args`) to a real scalar.
        args: pytree passed on to `fn`; its arrays are traced, so changing them never recompiles.
        minimum: $f^\star$, in the units of $f$.
        minimiser: a pytree of the shape of `x` at which the minimum is attained.
        smoothness: $L$, the largest curvature.
        strong_convexity: $\mu$, the smallest curvature.
        time_dependent: whether `fn` takes the time too, as `fn(x, t)` or `fn(x, args, t)`.

    Raises:
        InputError: `fn` is not callable, or a fact is not a finite number.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = tw.Objective(lambda x: 0.5 * jnp.sum(x**2), minimum=0.0, smoothness=1.0)
    >>> f.gradient(jnp.array([3.0, -1.0])).tolist()
    [3.0, -1.0]
    """

    fn: Callable
    args: PyTree = None
    minimum: float | None = eqx.field(default=None, static=True)
    minimiser: PyTree = None
    smoothness: float | None = eqx.field(default=None, static=True)
    strong_convexity: float | None = eqx.field(default=None, static=True)
    time_dependent: bool = eqx.field(default=False, static=True, kw_only=True)

    def __check_init__(self) -> None:
        if not callable(self.fn):
            raise InputError(f"an objective must be a function of the parameters, but is {self.fn!r}")
        check_facts(self)

    def at(self, time: ArrayLike | None) -> "Objective":
        """The function at a time.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> f = tw.Objective(lambda x, t: 0.5 * jnp.sum((x - t)**2), time_dependent=True)
        >>> f.at(1.0).gradient(jnp.array([3.0])).tolist()
        [2.0]
        """
        if not self.time_dependent or time is None:
            return self
        return copied(self, fn=_AtTime(self.fn, jnp.asarray(time, float)), time_dependent=False)

    def value(self, x: Vector, batch: Batch = None) -> Float[Array, ""]:
        del batch
        if self.time_dependent:
            raise InputError("this objective depends on time and was asked for its value at none; f.at(t) has one")
        return as_value(called("the objective", self.fn, x, *(() if self.args is None else (self.args,))), x)


def as_value(found: Any, x: Vector) -> Any:
    """A number of Python or NumPy that a function returns, a constant, as an array of the parameters' precision."""
    if isinstance(found, float | int | np.floating | np.integer) and not isinstance(found, bool):
        return jnp.asarray(found, jnp.result_type(*jax.tree.leaves(x)))
    return found


class _AtTime(Module):
    fn: Callable
    time: Float[Array, ""]

    def __call__(self, *arguments: Any) -> Any:
        return self.fn(*arguments, self.time)


class Flattened(AbstractObjective):
    """An objective seen as a function of one raveled vector (the loop's own coordinates)."""

    objective: AbstractObjective
    unravel: Callable = eqx.field(static=True)

    @property
    def minimum(self) -> float | None:
        return self.objective.minimum

    @property
    def smoothness(self) -> float | None:
        return self.objective.smoothness

    @property
    def strong_convexity(self) -> float | None:
        return self.objective.strong_convexity

    @property
    def stochastic(self) -> bool:
        return self.objective.stochastic

    def value(self, x: Vector, batch: Batch = None) -> Float[Array, ""]:
        return self.objective.value(self.unravel(x), batch)

    @property
    def carried(self) -> PyTree:
        return self.objective.carried

    def carrying(self, carried: PyTree) -> "Flattened":
        return self if carried is None else Flattened(self.objective.carrying(carried), self.unravel)

    def carried_on(self, x: Vector, batch: Batch = None) -> PyTree:
        return self.objective.carried_on(self.unravel(x), batch)

    def draw(self, key: Key[Array, ""] | None, step: ArrayLike | None = None) -> Batch:
        return self.objective.draw(key, step)

    @property
    def time_dependent(self) -> bool:
        return self.objective.time_dependent

    def at(self, time: ArrayLike | None) -> "Flattened":
        return Flattened(self.objective.at(time), self.unravel) if self.time_dependent else self

    def whole(self) -> "Flattened":
        return Flattened(self.objective.whole(), self.unravel)


class Quadratic(AbstractObjective):
    r"""$f(x) = \tfrac12 \sum_i \ell_i x_i^2$: the model problem of the linear probe.

    Arguments:
        curvature: $\ell$, an array of the shape of `x`.
    """

    curvature: Float[Array, "..."]

    @property
    def minimum(self) -> float:
        return 0.0

    def value(self, x: Vector, batch: Batch = None) -> Float[Array, ""]:
        del batch
        return 0.5 * jnp.sum(self.curvature * x * x)


def as_objective(f: object) -> AbstractObjective | None:
    """An objective as it is, a bare callable wrapped, None (for adapters) kept: `eqx.field(converter=as_objective)`.

    Raises:
        InputError: it is none of these.
    """
    if f is None or isinstance(f, AbstractObjective):
        return f
    if callable(f):
        return Objective(f)
    raise InputError(f"an objective must be a function or a tw.Objective, but is {f!r}")


def as_position(x0: PyTree[ArrayLike]) -> Vector:
    """A start as a tree of float arrays, refused where it is empty, complex, integer or not finite."""
    leaves = jax.tree.leaves(x0)
    if not leaves:
        raise InputError("the start must hold at least one parameter, but is empty")
    for leaf in leaves:
        if isinstance(leaf, str | bytes) or not isinstance(leaf, int | float | np.generic | np.ndarray | jax.Array):
            raise InputError(f"the start must be made of arrays of numbers, but holds {leaf!r}")
        if isinstance(leaf, np.ndarray | np.generic) and leaf.dtype.kind in "OSUMm":
            way = "; cast it with astype(float)" if leaf.dtype.kind == "O" else ""
            raise InputError(f"the start must be made of arrays of numbers, but holds an array of {leaf.dtype}{way}")
        # Of a whole number that is too large for an array, too.
        known = leaf.dtype if isinstance(leaf, Tracer) else None
        dtype = jnp.asarray(type(leaf)() if isinstance(leaf, int) else leaf).dtype if known is None else known
        if jnp.issubdtype(dtype, jnp.complexfloating):
            raise InputError(
                f"the start must be floating point, but holds {dtype}; move its parts, {{'real': z.real, 'imag': "
                "z.imag}, and make z of them in the objective"
            )
        if isinstance(leaf, bool | int) or not jnp.issubdtype(dtype, jnp.floating):
            raise InputError(
                f"the start must be floating point, but holds {dtype}; "
                "write 1.0 instead of 1, or cast with astype(float)"
            )
        if not isinstance(leaf, Tracer) and not np.all(np.isfinite(np.asarray(leaf, dtype=float))):
            raise InputError("the start must be finite, but holds NaN or infinity")
    if not any(np.size(leaf) for leaf in leaves):
        raise InputError("the start must hold at least one parameter, but its arrays are empty")
    return jax.tree.map(jnp.asarray, x0)


@compiled_quickly
def start_value_and_gradient(objective: AbstractObjective, x: Vector, batch: Batch = None) -> Any:
    """Compiled value and gradient, for the ends of a run."""
    return objective.value_and_gradient(x, batch)
