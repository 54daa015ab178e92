"""Checks of a method's figures: its order, its limit, the gradients it counts, the numbers it is set by."""

import contextlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError
from .._methods.probe import stable_limit
from .._objectives.objective import Objective
from .._side_by_side.limit import measured_limit
from ..analysis import convergence_order
from ..problems import lopsided
from ._counter import Counter
from ._problems import MATRICES, Problem
from ._subject import InapplicableError, Subject, broken, walked

_ORDER = 0.15
# Of a law that changes in time the limit is that of late times, and found at early ones.
_LIMIT, _LATE_LIMIT = 0.01, 0.025
_NUMBER = 1e-9
_LOPSIDED = Problem("tw.problems.lopsided().objective", "tw.problems.lopsided().start")


def order(subject: Subject) -> None:
    """The order that the scheme claims, on a function of 3 parameters and on one of 1."""
    subject.need_own_step()
    subject.need(not subject.bare.normals, "it draws noise, and the order of a path is not measured")
    claimed = subject.bare.scheme.order

    ladder, known = subject.ladder, lopsided()
    several = ladder.few if ladder is MATRICES else _LOPSIDED
    objective, start = (several.objective, several.x()) if ladder is MATRICES else (known.objective, known.start)
    try:
        seen = convergence_order(subject.build(objective), start)
    except InputError as reason:
        raise InapplicableError(str(reason)) from None
    if abs(seen.order - claimed) <= _ORDER:
        return
    smaller = False
    # Where the order cannot be measured on one parameter, a few are the smallest example.
    with contextlib.suppress(InputError):
        one = convergence_order(subject.build(ladder.one.objective), ladder.one.x())
        smaller = abs(one.order - claimed) > _ORDER
        seen = one if smaller else seen
    raise broken(
        subject, ladder.one if smaller else several, int(seen.steps[-1]), f"order {claimed}, as the scheme claims",
        f"order {seen.order:.2f}", "tw.analysis.convergence_order(method, x).order",
    )  # fmt: skip


_PARABOLA = Problem("lambda x: 0.5 * jnp.sum(x**2)", "jnp.array([0.0])")
_BOWL = Problem("lambda x: 0.5 * jnp.sum(jnp.array([1.0, 3.0, 10.0]) * x**2)", "jnp.array([0.0, 0.0, 0.0])")


def limit(subject: Subject) -> None:
    """The largest stable step that is predicted, found by running."""
    subject.need_own_step()
    bare = subject.bare
    subject.need(not bare.scheme.exact_law, "what goes too far is rejected, so that no step is too large")
    subject.need(bare.dynamics.geometry is None, "a limit is that of flat space")
    subject.need(not callable(bare.step_size), "its step is a schedule")
    subject.need(not bare.dynamics.preconditioned, "its limit is one of the preconditioned curvature")
    wrong = _limit_parts(subject, _BOWL, jnp.array([0.0, 0.0, 1.0]), 10.0)
    if wrong is not None:
        raise _limit_parts(subject, _PARABOLA, jnp.ones(1), 1.0) or wrong


def _limit_parts(subject: Subject, problem: Problem, direction: Any, curvature: float) -> Any:
    try:
        knob, predicted = stable_limit(subject.bare, curvature)
    except InputError as reason:
        raise InapplicableError(str(reason)) from None
    subject.need(predicted < np.inf, "every step is stable")
    subject.need(predicted > 0, "it predicts that no step is stable, and growth may be too slow to be seen")
    measured = measured_limit(subject.build(problem.objective), problem.x(), direction, curvature)
    tolerance = _LIMIT if subject.bare.autonomous else _LATE_LIMIT
    if measured is not None and abs(measured / predicted - 1.0) <= tolerance:
        return None
    seen = "none within a factor of 10" if measured is None else f"{measured:.6g}"
    return broken(
        subject, problem, 120, f"stable up to {knob} {predicted:.6g} at curvature {curvature:g}, as predicted",
        f"{seen}, by running", f"tw.analysis.largest_stable_{'learning_rate' if knob == 'learning_rate' else 'step'}"
        f"(method, {curvature:g})",
    )  # fmt: skip


def gradients(subject: Subject) -> None:
    """Gradients that are evaluated, and those that are counted in the traced step or reported by the scheme."""
    problem = Problem(_PARABOLA.function, subject.ladder.one.start)
    for steps in (1, 3):
        counter = Counter(jnp.ones_like(problem.x()))
        method = subject.build(Objective(counter.fn))
        state = walked(method, problem.x(), steps)[-1]
        jax.block_until_ready(state)
        evaluated = counter.evaluations
        if method.gradients_vary:
            # Many products at one point, where the gradient is taken once: each counts 2, as one with its gradient.
            evaluated = counter.gradients + 2 * counter.products
        told = method.gradients_after(state, steps)
        if told != evaluated:
            who = "its report says" if method.gradients_vary else "are counted in its step"
            raise broken(
                subject, problem, steps, f"{evaluated}, evaluated up to step {steps}",
                f"{told}, which {who}", *_counting(steps),
            )  # fmt: skip


def _counting(steps: int) -> tuple[str, ...]:
    return (
        "state = method.init(x)",
        *((f"for _ in range({steps}):", "    state = method.step(state)") if steps > 1 else (_STEP,)),
        f"method.gradients_after(state, {steps})",
    )


_STEP = "state = method.step(state)"


def hyperparameters(subject: Subject) -> None:
    """Numbers that a method was made with are those it tells, and those it is given it has."""
    bare = subject.bare
    told = bare.hyperparameters
    subject.need(bool(told), "it has no numbers")
    for name, value in subject.elsewhere().items():
        if name not in told:
            raise broken(
                subject, _PARABOLA, 0, f"{name} among the numbers of the method, under that name",
                f"its numbers are {', '.join(told)}", "method.hyperparameters",
            )  # fmt: skip
        seen = subject.build(None, **{name: value}).hyperparameters[name]
        _check_number(subject, name, value, seen, "method.hyperparameters", **{name: value})
    for name, value in told.items():
        if callable(value):
            continue
        other = subject.elsewhere().get(name, value)
        found = bare.with_hyperparameters(**{name: other}).hyperparameters
        for which, wanted in (told | {name: other}).items():
            call = f"method.with_hyperparameters({name}={other:g}).hyperparameters"
            _check_number(subject, which, wanted, found[which], call)


def _check_number(subject: Subject, name: str, wanted: Any, seen: Any, line: str, **given: Any) -> None:
    if callable(wanted) or abs(seen - wanted) <= _NUMBER * max(abs(wanted), 1e-3):
        return
    raise broken(subject, _PARABOLA, 0, f"{name} {wanted:g}", f"{name} {seen:g}", line, **given)
