"""Work and precision: what following a law of motion to a time costs, and how far from the law it ends."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError, check_choice, check_count, check_number
from .._loops.chunk import check_rates
from .._methods.linearity import in_float64
from .._methods.method import Method
from .._objectives.at_start import check_at_start
from .._objectives.objective import as_position
from .._showing.text import make_table, number, plain
from .._tree import ravel, unraveler
from .._typed import typed
from ..analysis.order import horizon_of, velocity_of
from ..dynamics import AbstractDynamics
from ..dynamics._curved import check_on
from .compare import _named
from .ladder import Rung, check_control, check_ladder, ladder
from .solution import ACCURACY, given, solution

if TYPE_CHECKING:
    from rich.table import Table

# Farther from the law than this many times the scale of x, a run has diverged, be it finite or not.
_DIVERGED = 10.0
COSTS = {"gradients": "gradients", "seconds": "wall time"}

# What the tables tell the cost of.
ERRORS = (1e-3, 1e-6, 1e-9)


@dataclasses.dataclass(frozen=True)
class WorkPoint:
    """One run of a method to the time.

    Attributes:
        method: how it is called.
        steps: how many steps; None where the scheme sets them by `tolerance`.
        step_size: of all steps, in units of the law's time; None likewise.
        tolerance: relative, and absolute in units of x, of a scheme that sets its own steps; else None.
        gradients: evaluated, those of the start among them.
        seconds: wall time of the compiled run, the median of the repeats.
        error: distance of the last position from the law's, over the scale of x; None where the run diverged.
        diverged: whether it is not finite or farther than 10 times the scale, or did not reach the time.
        order: seen between this run and the next coarser one; None where either error says nothing.
    """

    method: str
    steps: int | None
    step_size: float | None
    tolerance: float | None
    gradients: int
    seconds: float
    error: float | None
    diverged: bool
    order: float | None


@dataclasses.dataclass(frozen=True)
class WorkPrecision:
    """Result of `tw.work_precision`.

    Attributes:
        points: a `WorkPoint` a run, by method from the coarsest on.
        orders: the order of each method, between its two finest runs whose errors tell it; None where too few do.
        law: the law of motion that all follow.
        until: the time, from the law's start, in its units.
        reference: how the law's own position is known.
        scale: of x, that errors are relative to: the larger norm of start and end.
    """

    points: tuple[WorkPoint, ...]
    orders: dict[str, float | None]
    law: str
    until: float
    reference: str
    scale: float

    @property
    def methods(self) -> tuple[str, ...]:
        """The methods by name."""
        return tuple(self.orders)

    @typed()
    def of(self, method: str) -> tuple[WorkPoint, ...]:
        """The runs of one method, from the coarsest on."""
        check_choice("method", method, self.orders)
        return tuple(point for point in self.points if point.method == method)

    @typed()
    def cost(self, method: str, error: float, of: str = "gradients") -> float | None:
        """The cost of a method to an error, interpolated between two runs in the logarithms of cost and error.

        The cost of the first run where that is good enough already; None where no run is.
        """
        check_choice("of", of, COSTS)
        check_number("error", error, above=0.0)
        before = None
        for point in self.of(method):
            cost = float(getattr(point, of))
            if point.error is not None and point.error <= error:
                if before is None or point.error == 0.0:
                    return cost
                worse, cheaper = before
                share = np.log(worse / error) / np.log(worse / point.error)
                return float(cheaper ** (1.0 - share) * cost**share)
            before = None if point.error is None else (point.error, cost)
        return None

    @typed()
    def cheapest(self, error: float, of: str = "gradients") -> str | None:
        """The method of least `cost`; None where none comes so close."""
        costs = {name: cost for name in self.methods if (cost := self.cost(name, error, of)) is not None}
        return min(costs, key=costs.__getitem__) if costs else None

    def as_list(self) -> list[dict[str, Any]]:
        """One dictionary a run."""
        return [dataclasses.asdict(point) for point in self.points]

    def plot(self) -> Any:
        """Draw error against gradients and against wall time: `tw.plot.work_precision`."""
        from ..plot import work_precision as draw

        return draw(self)

    @typed()
    def save(self, directory: str | Path) -> tuple[Path, Path]:
        """Write `work_precision.json` and `work_precision.svg` into a directory."""
        from ..plot._work import save

        return save(self, Path(directory))

    def as_tables(self) -> "list[Table | str]":
        """A head, and rich tables: every run, what each method spends to an error, and which is cheapest there."""
        from rich.markup import escape

        head = f"{self.law} followed to time {self.until:g}; errors relative to the size of x, {self.scale:.3g}.\n"
        head = escape(f"{head}The exact end is known from: {self.reference}.")
        runs = []
        for p in self.points:
            size = p.step_size if p.tolerance is None else f"tolerance {number(p.tolerance)}"
            error = "diverged" if p.error is None else f"{p.error:.2e}"
            order = "" if p.order is None else f"{p.order:.2f}"
            runs.append((p.method, number(size), p.gradients, 1e3 * p.seconds, error, order))
        tables = [make_table(("method", "step size", "gradients", "ms", "error", "order seen"), runs)]
        costs_of_errors = []
        for name in self.methods:
            order = self.orders[name]
            costs = [[self.cost(name, error, of) for error in ERRORS] for of in ("gradients", "seconds")]
            cells = [None if c is None else f"{c:.0f}" for c in costs[0]]
            cells += [None if c is None else f"{1e3 * c:.3g}" for c in costs[1]]
            costs_of_errors.append((name, None if order is None else f"{order:.2f}", *cells))
        columns = ("method", "order", *(f"gradients to {e:g}" for e in ERRORS), *(f"ms to {e:g}" for e in ERRORS))
        tables.append(make_table(columns, costs_of_errors, "What an error costs (-: not reached)"))
        best = [(f"{e:g}", self.cheapest(e), self.cheapest(e, "seconds")) for e in ERRORS]
        tables.append(make_table(("to an error of", "fewest gradients", "least time"), best, "Cheapest"))
        return [head, *tables]

    def __repr__(self) -> str:
        return "\n\n".join(plain(table) for table in self.as_tables())


@typed()
def work_precision(
    methods: Mapping[str, Method] | Sequence[Method] | Method,
    x0: PyTree,
    until: float | int | None = None,
    steps: Sequence[int] | None = None,
    tolerances: Sequence[float | int] | None = None,
    velocity: PyTree = None,
    repeats: int = 7,
    reference: PyTree = None,
) -> WorkPrecision:
    r"""Measure what methods cost, and how close to their common law of motion they end.

    $$e(h) = \frac{\|\theta_n - \theta(T)\|}{\max(\|\theta(0)\|, \|\theta(T)\|)},\qquad n = T/h$$

    against gradient evaluations and wall time, for a ladder of h. The law's own $\theta(T)$ is known to 1e-13: by the
    matrix exponential on a quadratic of `tw.problems`, else by a method of order 8 in n and 2n steps that agree to it.
    Everything is computed in float64; runs are compiled first, then timed in turn.

    Arguments:
        methods: by name, or a sequence; of one law on one objective, or along one field. Their own step sizes are not
            used, but as the first step of a scheme that sets its steps by tolerances.
        x0: the start, a pytree of float arrays.
        until: T, in units of the law's time from its start; None takes what `tw.analysis.convergence_order` takes.
        steps: how many steps to the time, one run each; if None, what 16, 32, ..., 16,384 gradients pay for, up to the
            first error below 1e-13.
        tolerances: the same for schemes that set their own steps; if None 1e-2, 1e-3, ..., 1e-12.
        velocity: the starting velocity of a second-order law, a pytree like `x0`; the law's own if None.
        repeats: how often each run is timed.
        reference: the exact position at that time, a pytree like `x0`, where it is known.

    Returns:
        a `WorkPrecision`: prints as tables; `.points`, `.orders`, `.cost(...)`, `.cheapest(...)`, `.plot()`.

    Raises:
        InputError: no methods, different laws or objectives, anything random, a scheme that sets its steps but not by
            tolerances, a bad time or ladder, or a law that no reference can be had of.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> problem = tw.problems.quadratic([1.0, 4.0])
    >>> flow = tw.GradientFlow(problem.objective)
    >>> both = {name: tw.Method(flow, scheme, 0.1) for name, scheme in (("Euler", tw.Euler()), ("RK4", tw.RK4()))}
    >>> result = tw.work_precision(both, problem.start, until=1.0)
    >>> {name: round(order, 1) for name, order in result.orders.items()}, result.cheapest(1e-6)
    ({'Euler': 1.0, 'RK4': 4.0}, 'RK4')

    Reference: Hairer, Nørsett and Wanner (1993), section II.10.
    """
    named = _named(methods, fields=True)
    check_count("repeats", repeats)
    check_ladder(steps, tolerances)
    # Of an array no truth is known.
    steps = None if steps is None else [int(n) for n in steps]
    tolerances = None if tolerances is None else [float(one) for one in tolerances]
    if until is not None:
        check_number("until", until, above=0.0)
    for name, method in named.items():
        if method.stochastic:
            raise InputError(f"methods[{name!r}] draws noise or mini-batches; work and precision is for what is exact")
        check_control(name, method)
    with jax.enable_x64(True):
        named = {name: in_float64(method) for name, method in named.items()}
        law = _common_law(named)
        x0 = in_float64(as_position(x0))
        first = next(iter(named.values()))
        start, unravel, v0 = ravel(x0), unraveler(x0), velocity_of(first, x0, velocity)
        check_on(first.dynamics.geometry, x0, None if velocity is None else unravel(v0))
        flat = first.flattened(unravel)
        if first.objective is None:
            check_rates(flat, flat.init(start, v0))
        else:
            check_at_start(first.objective.at(first.dynamics.start_time), x0)
        until = horizon_of(first, x0, until)
        exact = solution(first, x0, flat, v0, until) if reference is None else given(x0, reference)
        ladders: dict[str, list[tuple[Rung, WorkPoint]]] = {}
        for name, method in named.items():
            ladders[name] = []
            for rung in ladder(method.flattened(unravel), start, v0, until, steps, tolerances):
                point = _measured(name, rung, exact.position, exact.scale)
                ladders[name].append((rung, _with_order(point, [p for _, p in ladders[name]])))
                if steps is None and point.error is not None and point.error <= ACCURACY:
                    break
        seconds = _timed([rung for rungs in ladders.values() for rung, _ in rungs], repeats)
    points = [point for rungs in ladders.values() for _, point in rungs]
    timed = tuple(dataclasses.replace(p, seconds=s) for p, s in zip(points, seconds, strict=True))
    # A fit would take in runs whose steps are too long to show an order.
    seen = {name: [point.order for _, point in rungs if point.order is not None] for name, rungs in ladders.items()}
    orders = {name: found[-1] if found else None for name, found in seen.items()}
    return WorkPrecision(timed, orders, law, until, exact.known, exact.scale)


def _common_law(methods: Mapping[str, Method]) -> str:
    laws = {name: method.with_objective(None).dynamics for name, method in methods.items()}
    name, law = next(iter(laws.items()))
    for other, its in laws.items():
        if not bool(eqx.tree_equal(its, law, rtol=1e-12, atol=0.0)):
            raise InputError(
                f"methods must follow one law of motion, but {name!r} follows {_words(law)} and {other!r} {_words(its)}"
            )
    return _words(law)


def _words(law: AbstractDynamics) -> str:
    known = (f"{k} {number(v if callable(v) else float(v))}" for k, v in law.constants.items())
    space = () if law.geometry is None else (f"geometry {type(law.geometry).__name__}",)
    return f"{type(law).__name__}({', '.join((*known, *space))})"


def _measured(name: str, rung: Rung, exact: np.ndarray, scale: float) -> WorkPoint:
    """A run, not yet timed; by it the program is compiled."""
    state, gradients, reached = rung.result(jax.block_until_ready(rung.run()))
    with np.errstate(over="ignore", invalid="ignore"):
        error = float(np.linalg.norm(np.asarray(state.position) - exact)) / scale
    diverged = not (reached and error <= _DIVERGED)
    row = (rung.steps, rung.step_size, rung.tolerance, gradients, 0.0)
    return WorkPoint(name, *row, None if diverged else error, diverged, None)


def _with_order(point: WorkPoint, coarser: Sequence[WorkPoint]) -> WorkPoint:
    if not coarser or point.steps is None or coarser[-1].steps is None:
        return point
    here, before = point.error, coarser[-1].error
    if here is None or before is None or not (ACCURACY < here < 1.0 and ACCURACY < before < 1.0):
        return point
    return dataclasses.replace(point, order=float(np.log(before / here) / np.log(point.steps / coarser[-1].steps)))


def _timed(rungs: Sequence[Rung], repeats: int) -> list[float]:
    """Medians; the runs take turns, forth and back, so that what slows the machine for a while slows them all."""
    times: list[list[float]] = [[] for _ in rungs]
    for i in range(repeats):
        for k in range(len(rungs)) if i % 2 == 0 else reversed(range(len(rungs))):
            began = time.perf_counter()
            jax.block_until_ready(rungs[k].run())
            times[k].append(time.perf_counter() - began)
    return [float(np.median(seen)) for seen in times]
