"""Checks of a method's state: finite, a function of its arguments, all of the phase moved, dtypes kept."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._methods.method import Method
from ..dynamics import Phase
from ..schemes import State, phase
from ._subject import ONE, THREE, TREE, Problem, Subject, broken, drawn, flat, near, phases, stepping, walked

_STEPS = 5
# Where a step is tried and rejected, the next ones are tried too.
_PATIENCE = 10
_ROUNDING = 1e-12


def finite(subject: Subject) -> None:
    """No NaN from an ordinary start."""
    for problem in (ONE, THREE):
        for count, found in enumerate(phases(walked(subject.build(problem.objective), problem.x(), _STEPS))):
            if not np.all(np.isfinite(flat(found))):
                raise broken(
                    subject, problem, count, "finite numbers", flat(found).tolist(),
                    *(stepping(count) if count else ("state = method.init(x)",)),
                )  # fmt: skip


def pure(subject: Subject) -> None:
    """The same step twice, and compiled."""
    for problem in (ONE, THREE):
        method = subject.build(problem.objective)
        state = method.init(problem.x())
        draws = drawn(method, state, jax.random.key(0), 0)
        once = method.step(state, draws)
        for _ in range(2):
            again = method.step(state, draws)
            if not np.array_equal(flat(phase(once)), flat(phase(again)), equal_nan=True):
                raise broken(
                    subject, problem, 1, flat(phase(once)).tolist(), flat(phase(again)).tolist(),
                    "state = method.init(x)", "method.step(state)  # once, and again:", "method.step(state)",
                )  # fmt: skip
        compiled = phases(walked(method, problem.x(), 1))[1]
        if not near(phase(once), compiled, _ROUNDING):
            raise broken(
                subject, problem, 1, flat(phase(once)).tolist(), flat(compiled).tolist(),
                "state = method.init(x)", "jax.jit(method.step)(state)  # and not as method.step(state)",
            )  # fmt: skip


def form(subject: Subject) -> None:
    """The state of a step has the parts that it had."""
    for problem in (ONE, TREE):
        method = subject.build(problem.objective)
        first, second, _, _ = _two(method, problem.x())
        for part in dataclasses.fields(State):
            before, after = getattr(first, part.name), getattr(second, part.name)
            if jax.tree.structure(before) != jax.tree.structure(after) or _shapes(before) != _shapes(after):
                raise broken(subject, problem, 1, f"{part.name} {_said(before)}", f"{part.name} {_said(after)}")


def moved(subject: Subject) -> None:
    """All variables that the law moves are moved."""
    for problem in (ONE, THREE):
        method = subject.build(problem.objective)
        if method.objective is not None and method.objective.stochastic:
            continue
        states = walked(method, problem.x(), _PATIENCE)
        start, law = phase(states[0]), method.dynamics
        time = law.start_time if states[0].time is None else states[0].time
        rates = law.rates(time, start, law.evaluate(time, start))
        for part in Phase._fields:
            _check_part(subject, problem, part, start, rates, phases(states))


def _check_part(subject: Subject, problem: Problem, part: str, start: Phase, rates: Phase, path: list[Phase]) -> None:
    here, there = getattr(start, part), getattr(rates, part)
    if jax.tree.structure(here) != jax.tree.structure(there):
        # Of noise alone; the scheme says of a deterministic law what is missing.
        return
    names = [jax.tree_util.keystr(where) for where, _ in jax.tree_util.tree_leaves_with_path(here)]
    later = [jax.tree.leaves(getattr(one, part)) for one in path]
    for i, (name, rate) in enumerate(zip(names, jax.tree.leaves(there), strict=True)):
        if np.any(np.asarray(rate)) and all(np.array_equal(later[0][i], leaves[i]) for leaves in later):
            where = f"state.{part}{name}"
            raise broken(
                subject, problem, 1, f"{where} to move: the law gives it the rate {np.ravel(rate).tolist()}",
                f"it stays at {np.ravel(later[0][i]).tolist()}, for {len(path) - 1} steps",
            )  # fmt: skip


def dtype(subject: Subject) -> None:
    """float32 and bfloat16 stay what they are."""
    for problem in (ONE, TREE):
        for kind in (jnp.float32, jnp.bfloat16):
            _check_dtypes(subject, problem, problem.x(kind), f"leaf.astype(jnp.{jnp.dtype(kind).name})")
    leaves, structure = jax.tree.flatten(TREE.x(jnp.float32))
    mixed = jax.tree.unflatten(structure, [leaves[0].astype(jnp.bfloat16), *leaves[1:]])
    _check_dtypes(subject, TREE, mixed, "leaf.astype(jnp.bfloat16 if leaf.ndim == 1 else jnp.float32)")


def _check_dtypes(subject: Subject, problem: Problem, x: Any, cast: str) -> None:
    first, second, start, end = _two(subject.build(problem.objective), x)
    lines = (f"x = jax.tree.map(lambda leaf: {cast}, x)", *stepping(1))
    own = _dtypes(x)
    parts = [(part, getattr(start, part), getattr(end, part), own) for part in ("position", "velocity")]
    parts += [(f.name, getattr(first, f.name), getattr(second, f.name), None) for f in dataclasses.fields(State)]
    for part, before, after, wanted in parts:
        if wanted is not None and before is not None and _dtypes(before) != wanted:
            shown = (lines[0], "state = method.init(x)")
            raise broken(subject, problem, 0, f"{part} in {_listed(wanted)}", f"in {_listed(_dtypes(before))}", *shown)
        if _dtypes(after) != _dtypes(before):
            now = f"in {_listed(_dtypes(after))}"
            raise broken(subject, problem, 1, f"{part} in {_listed(_dtypes(before))}", now, *lines)


def _two(method: Method, x: Any) -> tuple[State, State, Phase, Phase]:
    """Shapes and dtypes of the state at the start and after a step, and of all that moves in them."""

    def two(x: Any) -> tuple[State, State, Phase, Phase]:
        first = method.init(x)
        second = method.step(first, drawn(method, first, jax.random.key(0), jnp.zeros((), int)))
        return first, second, phase(first), phase(second)

    return jax.eval_shape(two, x)


def _shapes(tree: Any) -> list[Any]:
    return [leaf.shape for leaf in jax.tree.leaves(tree)]


def _dtypes(tree: Any) -> list[str]:
    return [leaf.dtype.name for leaf in jax.tree.leaves(tree)]


def _listed(names: list[str]) -> str:
    return " and ".join(dict.fromkeys(names)) or "nothing"


def _said(tree: Any) -> str:
    return (
        "None"
        if tree is None
        else f"of shapes {_shapes(tree)}, {str(jax.tree.structure(tree))[len('PyTreeDef(') : -1]}"
    )
