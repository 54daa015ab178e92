"""A method that is checked, what it is put on, and what went wrong there."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError
from .._methods.linearity import in_float64
from .._methods.method import Method
from .._methods.probe import stable_limit
from .._methods.row import Row, row_of
from .._objectives.objective import Objective, Quadratic
from .._tree import Vector
from ..dynamics import Phase
from ..schemes import Draws, State, phase
from ._clause import BrokenError, InapplicableError
from ._factory import name_of
from ._problems import MATRICES, VECTORS, Ladder, Problem
from ._report import Example

# Above the curvature of every problem at its start and on the way down.
_STEEPEST = 5.0


@dataclasses.dataclass(frozen=True)
class Subject:
    """A method to be checked.

    Arguments:
        name: of it.
        make: function `(objective, **numbers)` that gives it, at its own numbers where none are given.
        call: the lines that make it of `factory`, up to the bracket that closes.
        numbers: that can be set, with their own values.
        lowered: its step, where its own is none that is stable on the problems.
        ladder: the problems that it is put on.
    """

    name: str
    make: Callable[..., Method]
    call: str
    numbers: dict[str, Any]
    lowered: dict[str, float]
    ladder: Ladder = VECTORS

    def build(self, objective: Any, **numbers: Any) -> Method:
        """The method on a function."""
        return self.make(objective, **(self.lowered | numbers))

    @functools.cached_property
    def bare(self) -> Method:
        """The method without a function."""
        return self.build(None)

    def need(self, holds: bool, otherwise: str) -> None:
        """Only where something holds."""
        if not holds:
            raise InapplicableError(otherwise)

    def need_own_step(self) -> None:
        """Only where a user sets how long a step is."""
        self.need(not self.bare.scheme.controlled, "f itself sets how long a step is")

    def elsewhere(self) -> dict[str, float]:
        """Another value of each of the numbers that has one."""
        found = {}
        for name, value in self.numbers.items():
            if type(value) is int:
                # A count, of stages for one, may make another program.
                continue
            for other in (0.7 * value, 1.3 * value, 0.5 * value + 0.1):
                try:
                    self.build(None, **{name: other})
                except InputError:
                    continue
                if other != value:
                    found[name] = other
                    break
        return found

    def code(self, problem: Problem, *lines: str, **numbers: Any) -> str:
        """Lines to paste, that make the method and go on as given."""
        given = "".join(f", {name}={value:g}" for name, value in (self.lowered | numbers).items())
        head = (f"f = {problem.function}", f"x = {problem.start}", f"method = {self.call}(f{given})")
        return "\n".join((*head, *lines))


def stepping(steps: int) -> tuple[str, ...]:
    """Lines that make steps by hand."""
    if steps == 1:
        return ("state = method.step(method.init(x))",)
    return ("state = method.init(x)", f"for _ in range({steps}):", "    state = method.step(state)")


def broken(
    subject: Subject, problem: Problem, steps: int, expected: Any, found: Any, *lines: str, **numbers: Any
) -> BrokenError:
    """A fault on a problem after so many steps, with the lines that show it."""
    start = [float(number) for leaf in jax.tree.leaves(problem.x()) for number in np.ravel(leaf)]
    return BrokenError(
        Example(
            settings=dict(subject.numbers | subject.lowered | numbers),
            dimension=len(start),
            steps=steps,
            start=start,
            gradients=[],
            expected=expected,
            found=found,
            code=subject.code(problem, *(lines or stepping(steps)), **numbers),
        )
    )


def subject_of(method: Any) -> Subject:
    """The subject of a check, by a row, a method or a function that makes one.

    Raises:
        InputError: it is none of these, builds no method, or goes down no function.
    """
    if isinstance(method, Method):
        own = in_float64(method)
        numbers = {name: value for name, value in own.hyperparameters.items() if not callable(value)}

        def remade(objective: Any, **given: Any) -> Method:
            moved = own.with_objective(None if objective is None else _as_objective(objective))
            return moved.with_hyperparameters(**given) if given else moved

        name = f"{type(own.dynamics).__name__} by {getattr(own.scheme, 'name', type(own.scheme).__name__)}"
        found = Subject(name, remade, "factory.with_objective", numbers, {})
    elif isinstance(method, Row):
        found = Subject(method.name, method.build, "factory.build", dict(method.defaults), {})
    else:
        name = name_of(method) if callable(method) else repr(method)
        row = row_of(method, name)
        found = Subject(name, row.build, "factory", dict(row.defaults), {})
    bare = found.bare
    if bare.with_objective(Quadratic(jnp.zeros(()))).objective is None:
        raise InputError(
            f"{found.name} goes down no function: {type(bare.dynamics).__name__} takes no objective; check its scheme "
            "on a law that does, such as tw.GradientFlow"
        )
    ladder = MATRICES if not _goes(found, VECTORS.one) and _goes(found, MATRICES.one) else VECTORS
    return dataclasses.replace(found, lowered=_lowered(bare), ladder=ladder)


def _goes(subject: Subject, problem: Problem) -> bool:
    """Tell whether a step can be made of the parameters of a problem."""
    method = subject.build(problem.objective)
    try:
        jax.eval_shape(lambda x: method.step(method.init(x), method.silent(x)), problem.x())
    except Exception:
        return False
    return True


def _as_objective(objective: Any) -> Any:
    return Objective(objective) if not isinstance(objective, eqx.Module) else objective


def _lowered(method: Method) -> dict[str, float]:
    """Half the largest stable step on the problems, where a method's own is above it."""
    if (
        method.scheme.controlled
        or method.scheme.exact_law
        or callable(method.step_size)
        or method.dynamics.preconditioned
    ):
        return {}
    try:
        knob, limit = stable_limit(method, _STEEPEST)
    except Exception:
        # The check of the limit says what is wrong.
        return {}
    own = float(method.hyperparameters.get(knob, 0.0))
    half = float(f"{0.5 * limit:.2g}") if 0.0 < limit < float("inf") else own
    return {knob: half} if own > half else {}


@eqx.filter_jit
def _begin(method: Method, x: Vector) -> State:
    return method.init(x)


@eqx.filter_jit
def _move(method: Method, state: State, key: Any, step: Any) -> State:
    return method.step(state, drawn(method, state, key, step))


def drawn(method: Method, state: State, key: Any, step: Any) -> Draws:
    """All that one step draws; nothing where it draws nothing."""
    return method.draw(key, state.position, step) if method.stochastic else Draws()


def walked(method: Method, x: Vector, steps: int, key: Any = None) -> list[State]:
    """The states of steps by hand, the start among them, each step compiled for itself."""
    key = jax.random.key(0) if key is None else key
    states = [_begin(method, x)]
    for step in range(steps):
        states.append(_move(method, states[-1], key, jnp.asarray(step)))
    return states


def phases(states: list[State]) -> list[Phase]:
    """All that moves, state by state."""
    return [phase(state) for state in states]


def flat(tree: Any) -> np.ndarray:
    """All numbers of a tree as one vector of float64."""
    leaves = [np.asarray(leaf, np.float64).ravel() for leaf in jax.tree.leaves(tree)]
    return np.concatenate(leaves) if leaves else np.zeros(0)


def near(expected: Any, found: Any, tolerance: float) -> bool:
    """Tell whether two trees are alike, to a tolerance of the largest number."""
    one, other = flat(expected), flat(found)
    if one.shape != other.shape:
        return False
    scale = max(1.0, float(np.max(np.abs(one[np.isfinite(one)]), initial=0.0)))
    return bool(np.allclose(other, one, rtol=0.0, atol=tolerance * scale, equal_nan=True))
