"""A network whose depth is time: blocks as a field, and the scheme that cuts it into layers."""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import PyTree

from .._errors import InputError, as_key, check_choice, check_count, check_number
from .._loops.solve import GRADIENTS, Solution, solve
from .._methods.method import Method
from .._module import Module
from .._objectives.objective import as_position
from .._tree import zeros_like
from .._typed import check_fields
from ..dynamics import DampedField, Pieces
from ..dynamics import Field as FieldLaw
from ..schemes import AbstractScheme, Clock, Leapfrog, RungeKutta, State
from .blocks import Field, Takes, taken_by

# The part of a position that may be off by what an inverse makes of rounding, as in `tw.solve`.
_ALLOWED = 0.5


class Network(Module):
    r"""Blocks as a field in depth, followed by a scheme: what `tw.networks` makes.

    $$\dot x = f(t, x, \theta_l)\qquad\text{or}\qquad m\ddot x + \dot x = f(t, x, \theta_l),\qquad
      l = \lfloor t/h\rfloor$$

    It is a function of one x (`jax.vmap` it over several) and a module of Equinox whose arrays, the parameters, are
    those of its blocks: `tw.run` trains it, alone or as a part of another module. The same field cut otherwise are
    `with_depth` and `with_scheme`.

    Attributes:
        block: the block; where there are several, one whose arrays have a leading axis.
        blocks: how many there are, of which each has as long a part of the time.
        time: the end of the time, which begins at 0.
        depth: steps of the scheme, a multiple of the blocks.
        scheme: of fixed steps, and without arrays of its own.
        mass: of a second-order law; None is the first-order one.
        shared: one block for all times.
        gradient: as in `tw.solve`.

    Raises:
        InputError: the numbers are out of their ranges, the scheme has numbers of its own, or it has no inverse and
            the gradient asks for one.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> decay = tw.networks.neural_ode(lambda x: -x, time=1.0, steps=4, scheme=tw.Euler())
    >>> float(decay(jnp.array(1.0))), round(float(decay.with_scheme(tw.RK4()).with_depth(64)(jnp.array(1.0))), 6)
    (0.31640625, 0.367879)
    """

    block: Any
    blocks: int = eqx.field(static=True)
    time: float = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    scheme: AbstractScheme = eqx.field(static=True)
    mass: float | None = eqx.field(static=True, default=None)
    shared: bool = eqx.field(static=True, default=False)
    gradient: str = eqx.field(static=True, default="direct")
    # Steps in place of the depth where they are traced, so that many depths are one program; without a derivative.
    _steps: Any = None

    def __check_init__(self) -> None:
        check_fields(self)
        check_count("depth", self.depth)
        if self.depth % self.blocks and not self.shared:
            raise InputError(f"depth must be a multiple of the {self.blocks} blocks, but is {self.depth}")
        check_choice("gradient", self.gradient, GRADIENTS)
        method = self.method
        if self.gradient == "reversible" and (reason := self.scheme.without_inverse(method.dynamics)):
            raise InputError(
                f'gradient="reversible" needs the inverse of a step, which {type(self.scheme).__name__} has not: '
                f'{reason}; take a tw.networks.momentum network, or gradient="checkpoint"'
            )

    @property
    def step(self) -> float:
        """The step size, time over depth."""
        return self.time / self.depth

    @property
    def method(self) -> Method:
        """The law and the scheme with the step, a `tw.Method`."""
        return self._method(None)

    def _method(self, key: Any) -> Method:
        takes = self._takes
        fn = Field(self.block if self.shared else None, takes)
        words = None
        if key is not None and takes.key:
            words = jax.vmap(jax.random.key_data)(jax.random.split(as_key(key), self.blocks))
        args: Any = (None if self.shared else self.block, words)
        if any(eqx.is_array(leaf) for leaf in jax.tree.leaves(args)):
            args = Pieces(args, self.time / self.blocks)
        law = FieldLaw(fn, args) if self.mass is None else DampedField(fn, args, 1.0, self.mass)
        return Method(law, self.scheme, self.step)

    @property
    def _takes(self) -> Takes:
        return taken_by(self.block)

    def __call__(self, x: PyTree, *, key: Any = None) -> PyTree:
        """The output for one input, a pytree of float arrays; `key` is for blocks that take one, as dropout does."""
        self._check_input(x, key)
        return _end(self, x, key)

    def path(self, x: PyTree, *, key: Any = None) -> PyTree:
        """The input, and x after every step: of each array depth + 1 rows."""
        self._check_input(x, key)
        return _path(self, x, key)

    def solve(self, x: PyTree, save: Callable | None = None, *, key: Any = None) -> Solution:
        """The `tw.Solution` of the motion: `.final` is the last `State`, with the velocity of a momentum network."""
        self._check_input(x, key)
        return solve(self._method(key), x, self.depth, save=save, gradient=self.gradient)

    def inverse(self, state: State) -> State:
        """The state at the input, of the one at the output: step by step back, but for rounding.

        Arguments:
            state: `solve(x).final`.

        Raises:
            InputError: a step of the scheme has no inverse.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> network = tw.networks.momentum(jnp.sin, depth=4, step=0.5, momentum=0.5, shared=True)
        >>> final = network.solve(jnp.array([1.0, -2.0])).final
        >>> network.inverse(final).position.round(5).tolist()
        [1.0, -2.0]
        """
        method = self.method
        if reason := self.scheme.without_inverse(method.dynamics):
            raise InputError(f"{type(self.scheme).__name__} has no inverse: {reason}")
        return _begin(self, state)

    def with_depth(self, depth: int) -> "Network":
        """The same field cut into other steps: the time of each block, or all of it where they share one, subdivided.

        Raises:
            InputError: the depth is no multiple of the blocks.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> network = tw.networks.residual(lambda x: -x, depth=1, shared=True)
        >>> [float(network.with_depth(n)(jnp.array(1.0))) for n in (1, 2)]
        [0.0, 0.25]
        """
        return dataclasses.replace(self, depth=depth)

    def with_scheme(self, scheme: AbstractScheme) -> "Network":
        """The same field followed by another scheme."""
        return dataclasses.replace(self, scheme=fixed(scheme))

    def with_gradient(self, gradient: str) -> "Network":
        """The same network with another way to the states that a derivative needs, as in `tw.solve`."""
        return dataclasses.replace(self, gradient=gradient)

    def block_at(self, index: int) -> Any:
        """One of the blocks, as a module of its own.

        Raises:
            InputError: there is no such block.
        """
        if not 0 <= check_count("index", index, at_least=0) < self.blocks:
            raise InputError(f"index must be less than the {self.blocks} blocks, but is {index}")
        if self.shared:
            return self.block
        return jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, self.block)

    def _check_input(self, x: PyTree, key: Any) -> None:
        x, takes = as_position(x), self._takes
        given = (jnp.zeros(()), x) if takes.time else (x,)
        named = {} if key is None or not takes.key else {"key": as_key(0)}
        try:
            found: Any = eqx.filter_eval_shape(self.block_at(0), *given, **named)
        except Exception as error:
            raise InputError(f"a block raised {type(error).__name__} on {_shapes(x)}: {_first_line(error)}") from error
        if jax.tree.structure(found) != jax.tree.structure(x) or _shapes(found) != _shapes(x):
            raise InputError(f"a block must give the shape of x, {_shapes(x)}, but gives {_shapes(found)}")
        self._check_reversible(x)

    def _check_reversible(self, x: PyTree) -> None:
        """Refuse what the inverse would make of rounding here, where all that it depends on is known."""
        if self.gradient != "reversible":
            return
        method = self.method
        eps = float(jnp.finfo(jnp.result_type(*jax.tree.leaves(x))).eps)
        still = jax.tree.map(jnp.zeros_like, x)
        growth = float(method.scheme.inverse_growth(method.dynamics, self.start(still), self.step))
        worst = sum(growth**k for k in range(self.depth)) if growth < 1e6 or self.depth < 3 else float("inf")
        if not eps * worst <= _ALLOWED * eps**0.5:
            raise InputError(
                f'gradient="reversible" would lose more than half of the digits: going back multiplies a rounding by '
                f"{growth:g} at each of {self.depth} steps; take fewer steps, a momentum nearer to 1, or "
                'gradient="checkpoint"'
            )

    def start(self, x: PyTree) -> State:
        """The state at the input: at rest, where there is a velocity."""
        return self.method.init(x, None if self.mass is None else zeros_like(x))


@eqx.filter_jit
def _end(network: Network, x: PyTree, key: Any) -> PyTree:
    if network._steps is not None:
        method = network._method(key).with_step_size(network.time / network._steps)
        state = method.init(x, None if network.mass is None else zeros_like(x))
        return jax.lax.fori_loop(0, network._steps, lambda _, state: method.step(state), state).position
    return solve(network._method(key), x, network.depth, gradient=network.gradient).final.position


@eqx.filter_jit
def _path(network: Network, x: PyTree, key: Any) -> PyTree:
    found = solve(network._method(key), x, network.depth, save=lambda state: state.position, gradient=network.gradient)
    return found.saved


@eqx.filter_jit
def _begin(network: Network, state: State) -> State:
    method, step = network.method, network.step

    def back(state: State, k: Any) -> tuple[State, None]:
        time = jnp.asarray(k * step, float)
        clock = Clock(time, jnp.zeros((), float), k, jnp.asarray(step, float))
        return method.inverse(state, clock=clock), None

    return jax.lax.scan(back, state, jnp.arange(network.depth), reverse=True)[0]


def _shapes(tree: PyTree) -> str:
    return ", ".join(str(getattr(leaf, "shape", type(leaf).__name__)) for leaf in jax.tree.leaves(tree)) or "nothing"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [""])[0].rstrip(".")


def networks_in(model: PyTree) -> list[Network]:
    """The networks in a module, or the module itself where it is one."""
    leaves = jax.tree.leaves(model, is_leaf=lambda node: isinstance(node, Network))
    return [leaf for leaf in leaves if isinstance(leaf, Network)]


def mapped(fn: Callable[[Network], Any], model: PyTree) -> PyTree:
    """The same module with others in place of its networks."""
    return jax.tree.map(
        lambda node: fn(node) if isinstance(node, Network) else node,
        model,
        is_leaf=lambda node: isinstance(node, Network),
    )


def fixed(scheme: AbstractScheme) -> AbstractScheme:
    """The scheme; refused where it has numbers of its own, which would be trained, or sets its steps."""
    if not isinstance(scheme, RungeKutta | Leapfrog):
        raise InputError(
            "scheme must be one of fixed steps without numbers of its own, tw.Leapfrog() or a tw.RungeKutta such as "
            f"tw.Euler() or tw.RK4(), but is {scheme!r}"
        )
    return scheme


def check_time(what: str, value: Any) -> float:
    """A length of time as a number of Python, since what is an array of a module is trained."""
    if isinstance(value, Tracer):
        raise InputError(f"{what} must be a number that is known when the network is made, not one that is traced")
    check_number(what, value, above=0.0)
    return float(value)
