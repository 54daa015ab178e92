"""Checks of ways that must lead to the same: a tree and one vector, vmap and a loop, resumed and uninterrupted."""

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError
from .._loops.run import run
from .._methods.method import Method
from .._objectives.objective import Objective
from .._records.run import Record
from .._tree import ravel, unraveler
from ..dynamics import Phase
from ..schemes import phase
from ._subject import LEAVES, MATRIX, ONE, THREE, TREE, InapplicableError, Problem, Subject, broken, flat, near

_STEPS = 5
_ROUNDING = 1e-10
# What f itself controls depends on what is less than what, which rounding decides sooner or later.
_CONTROLLED = 1e-8


def tree(subject: Subject) -> None:
    """tw.run, whose loop goes over one vector, and steps on the tree itself."""
    if _parted(subject, TREE) is None:
        return
    # The smallest that shows it; a tree of its own may do where a smaller one does not.
    raise next(fault for problem in (LEAVES, MATRIX, TREE) if (fault := _parted(subject, problem)) is not None)


def _parted(subject: Subject, problem: Problem) -> Any:
    method, x = subject.build(problem.objective), problem.x()
    by_hand = [phase(state) for state in _silently(method, x)]
    try:
        by_run = _raveled(method, x) if method.noisy else _run(method, x)
    except InputError as reason:
        raise InapplicableError(str(reason)) from None
    tolerance = _CONTROLLED if method.scheme.controlled else _ROUNDING
    for step, (one, other) in enumerate(zip(by_hand, by_run, strict=True)):
        for part in ("position", "velocity"):
            expected, found = getattr(one, part), getattr(other, part)
            if expected is not None and not near(expected, found, tolerance):
                return broken(
                    subject, problem, step, flat(expected).tolist(), flat(found).tolist(), *_lines(step, part)
                )  # fmt: skip
    return None


def _lines(step: int, part: str) -> tuple[str, ...]:
    hand = f"state = method.init(x)\nfor _ in range({step}):\n    state = method.step(state)"
    return (*hand.splitlines(), f"state.{part}  # and by tw.run:", f"tw.run(method, x, {step}).final.{part}")


def _silently(method: Method, x: Any) -> list[Any]:
    """States of steps by hand, without noise."""
    move = eqx.filter_jit(lambda method, state: method.step(state, method.silent(state.position)))
    states = [method.init(x)]
    for _ in range(_STEPS):
        states.append(move(method, states[-1]))
    return states


def _run(method: Method, x: Any) -> list[Phase]:
    trace = run(method, x, _STEPS, record=Record((), 1), progress=False).trace
    assert trace is not None
    return [
        Phase(*(None if part is None else jax.tree.map(lambda leaf, i=i: leaf[i], part) for part in parts))
        for parts in [(trace.position, trace.velocity)]
        for i in range(len(trace))
    ]


def _raveled(method: Method, x: Any) -> list[Phase]:
    """The same on one vector, as a run makes them."""
    cut = unraveler(x)
    states = _silently(method.flattened(cut), ravel(x))
    return [Phase(cut(one.position), None if one.velocity is None else cut(one.velocity)) for one in states]


def vmap(subject: Subject) -> None:
    """Several settings side by side, and one after the other."""
    other = subject.elsewhere()
    for problem in (ONE, THREE):
        if other:
            first = {name: (subject.numbers | subject.lowered)[name] for name in other}
            settings = {name: jnp.array([first[name], value]) for name, value in other.items()}
            _check_side_by_side(subject, problem, settings, _by_numbers(subject, problem))
        else:
            x = problem.x()
            method = subject.build(problem.objective)
            starts = jnp.stack([x, 0.5 * x])
            _check_side_by_side(subject, problem, starts, lambda start, method=method: _walk(method, start))


def _by_numbers(subject: Subject, problem: Problem) -> Callable[[Any], Any]:
    return lambda setting: _walk(subject.build(problem.objective, **setting), problem.x())


def _walk(method: Method, x: Any) -> Any:
    key, state, states = jax.random.key(0), method.init(x), []
    for step in range(2):
        draws = method.draw(key, state.position, step) if method.stochastic else method.silent(x)
        state = method.step(state, draws)
        states.append(phase(state))
    return states


def _check_side_by_side(subject: Subject, problem: Problem, settings: Any, walk: Callable[[Any], Any]) -> None:
    together = jax.jit(jax.vmap(walk))(settings)
    alone = [jax.jit(walk)(jax.tree.map(lambda leaf, i=i: leaf[i], settings)) for i in range(2)]
    for step in range(2):
        for i in range(2):
            expected, found = alone[i][step], jax.tree.map(lambda leaf, i=i: leaf[i], together[step])
            if not near(expected, found, _CONTROLLED):
                changed = {n: float(v[i]) for n, v in settings.items()} if isinstance(settings, dict) else {}
                raise broken(subject, problem, step + 1, flat(expected).tolist(), flat(found).tolist(), **changed)


def recompile(subject: Subject) -> None:
    """A step at another number, without being traced anew."""
    other = subject.elsewhere()
    subject.need(bool(other), "it has no numbers")
    traced: list[int] = []

    @eqx.filter_jit
    def step(method: Method, x: Any) -> Any:
        traced.append(1)
        state = method.init(x)
        return method.step(state, method.silent(x)).position

    x = ONE.x()
    step(subject.build(ONE.objective), x)
    before = len(traced)
    for name, value in other.items():
        step(subject.build(ONE.objective, **{name: value}), x)
        if len(traced) > before:
            own = (subject.numbers | subject.lowered)[name]
            raise broken(
                subject, ONE, 1, f"one program for {name} {own:g} and {value:g}",
                "another is compiled; is it kept as an array, eqx.field(converter=thalweg.dynamics.coefficient)?",
                "state = method.step(method.init(x))", **{name: value},
            )  # fmt: skip


def resume(subject: Subject) -> None:
    """A run that was stopped and goes on, and one that was not; bit for bit."""
    fault = _resumed(subject, THREE, 5, 3)
    if fault is not None:
        raise _resumed(subject, ONE, 2, 1) or fault


def _resumed(subject: Subject, problem: Problem, steps: int, stop: int) -> Any:
    key = 0 if subject.build(problem.objective).stochastic else None
    x, record = problem.x(), Record(("loss",), 1)

    def go(count: int, folder: Path, objective: Objective, **more: Any) -> Any:
        method = subject.build(objective)
        return run(method, x, count, key=key, record=record, out=folder, progress=False, **more)

    with tempfile.TemporaryDirectory() as root:
        whole = go(steps, Path(root) / "whole", problem.objective)
        go(stop, Path(root) / "part", problem.objective)
        # A function that is new is traced anew, as in the process that goes on.
        resumed = go(steps, Path(root) / "part", problem.fresh(), resume=True)
        expected, found = flat(phase(whole.state)), flat(phase(resumed.state))
    if np.array_equal(expected, found, equal_nan=True):
        return None
    lines = (
        f"tw.run(method, x, {stop}, out='part')",
        f"tw.run(method, x, {steps}, out='part', resume=True).state  # in another process",
    )
    return broken(subject, problem, steps, expected.tolist(), found.tolist(), *lines)
