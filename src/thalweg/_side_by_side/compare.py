"""Methods side by side: same start, same budget of gradients, same tolerance."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError, check_count, check_number
from .._loops.on_the_way import check_on_the_way
from .._loops.run import run
from .._methods.linearity import has_limit
from .._methods.method import Method
from .._methods.probe import stable_limit
from .._objectives.curvature import top_curvature
from .._objectives.objective import as_position
from .._objectives.polish import polish
from .._objectives.stream import Stream
from .._records.naming import check_component
from .._records.run import Record, Run
from .._records.sweep import regime
from .._showing.html import table_html
from .._showing.text import make_table, plain
from .._typed import typed
from ..geometry import AbstractDualFlat, AbstractManifold
from .judged import Curves, curves, notes, spacing
from .limit import measured_limit
from .text import COLUMNS, head

if TYPE_CHECKING:
    from rich.table import Table

# The gradient norm at which a point counts as a minimum, for the curvature there.
_STATIONARY = 1e-10


@dataclasses.dataclass(frozen=True)
class Entry:
    """One method's part in a comparison.

    Attributes:
        method: how it is called.
        hyperparameters: by name.
        reached: whether the tolerance was met.
        gradients: gradients it took to the tolerance, or the whole budget (median over seeds).
        steps: steps likewise.
        seconds: wall time to there, compilation apart.
        loss: the last loss.
        regime: "monotone", "oscillating" or "diverging"; "fluctuating" for a method that draws noise and is bounded;
            "unbounded" where f falls for ever.
        predicted_limit: the largest stable learning rate (or step size) from the linear probe.
        measured_limit: the same found by running on the objective itself; None where not asked for.
        limit_of: the knob the limits are of.
    """

    method: str
    hyperparameters: dict[str, Any]
    reached: bool
    gradients: int
    steps: int
    seconds: float
    loss: float
    regime: str
    predicted_limit: float | None
    measured_limit: float | None
    limit_of: str

    def as_dict(self) -> dict[str, Any]:
        """The entry as JSON prints it."""
        numbers = {k: v if isinstance(v, int | float) else str(v) for k, v in self.hyperparameters.items()}
        return dataclasses.asdict(dataclasses.replace(self, hyperparameters=numbers))


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Result of `tw.compare`.

    Attributes:
        entries: one `Entry` a method.
        runs: the `Run` of each method by name (of the first seed).
        methods: the methods by name.
        tolerance: as given.
        criterion: what the tolerance is on.
        budget: gradients each method may take.
        curvature: the largest curvature at the best point found, from which the limits follow.
        minimiser: that point.
        direction: the unit direction of that curvature.
        judged: what the runs of `runs` are judged by, their losses and gradients on all of the data.
        notes: what is to be known besides: a stated minimum that a run falls below, a saddle that one ends at.
    """

    entries: tuple[Entry, ...]
    runs: dict[str, Run]
    methods: dict[str, Method]
    tolerance: float
    criterion: str
    budget: int
    curvature: float
    minimiser: PyTree
    direction: PyTree
    judged: dict[str, Curves]
    notes: tuple[str, ...] = ()

    def as_list(self) -> list[dict[str, Any]]:
        """One dictionary a method."""
        return [entry.as_dict() for entry in self.entries]

    def __getitem__(self, name: str) -> Entry:
        for entry in self.entries:
            if entry.method == name:
                return entry
        raise KeyError(name)

    @typed()
    def report(self, path: str | Path, title: str = "Comparison") -> Path:
        """Write one page with plots that opens without a network."""
        from ..plot.report import write_report

        return write_report(self, Path(path), title)

    def as_table(self) -> "Table":
        """The comparison as a rich table, one method a row."""
        rows = []
        for entry in self.entries:
            rows.append((
                *head(entry.method, entry.hyperparameters, entry.gradients, entry.reached), 1e3 * entry.seconds,
                entry.loss, entry.regime, entry.limit_of, entry.predicted_limit, entry.measured_limit,
            ))  # fmt: skip
        title = f"To {self.criterion} {self.tolerance:g} of its start, at most {self.budget} gradients"
        columns = (*COLUMNS, "ms", "last loss", "regime", "stable up to", "predicted", "measured")
        return make_table(columns, rows, title)

    def __repr__(self) -> str:
        return "\n".join((plain(self.as_table()), *self.notes))

    def _repr_html_(self) -> str:
        return table_html(self.as_table(), self.notes)


@typed()
def compare(
    methods: Mapping[str, Method] | Sequence[Method] | Method,
    x0: PyTree,
    tolerance: float = 1e-6,
    max_steps: int = 1000,
    seeds: int = 1,
    limits: bool = True,
    out: str | Path | None = None,
    progress: bool | None = None,
    record: Record | int | None = None,
    sources: Mapping[str, Mapping[str, Any]] | None = None,
) -> Comparison:
    r"""Run methods from the same start on the same budget of gradients.

    Of an objective that draws mini-batches loss and gradient are judged on all of the data, at some 64 steps of a run.

    The tolerance is on the gap to the minimum, $f - f^\star \le \mathtt{tolerance}\,(f_0 - f^\star)$, where the
    objective knows its minimum; else on the gradient, $\|g\| \le \mathtt{tolerance}\,\|g_0\|$.

    Arguments:
        methods: by name, or a sequence.
        x0: the start, a pytree of float arrays.
        tolerance: relative, as above.
        max_steps: the budget in gradients: a method of s gradients a step makes `max_steps // s` steps.
        seeds: keys to run with, for objectives that draw mini-batches; medians are reported.
        limits: find each method's stability limit by running, beside the predicted one.
        out: a directory that gets one run directory a method, by its name.
        progress: as in `tw.run`.
        record: what to keep besides loss and gradient norm; a whole number keeps positions.
        sources: what `thalweg resume` needs, by name.

    Returns:
        a `Comparison`: prints as a table; `.entries`, `.runs`, `.report(path)`.

    Raises:
        InputError: no methods, different objectives, a bad budget, tolerance or start; with `out`, a name
            that is not one component of a path.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = tw.Objective(lambda x: 0.5 * jnp.sum(jnp.array([1.0, 10.0]) * x**2), minimum=0.0)
    >>> both = {"gd": tw.gradient_descent(f, 0.1), "momentum": tw.momentum(f, 0.1, 0.5)}
    >>> result = tw.compare(both, jnp.ones(2), tolerance=1e-8, max_steps=200)
    >>> [(e.method, e.gradients, e.regime, round(e.predicted_limit, 3)) for e in result.entries]
    [('gd', 77, 'monotone', 0.2), ('momentum', 27, 'oscillating', 0.3)]
    """
    named = _named(methods)
    if out is not None:
        for name in named:
            check_component(f"methods[{name!r}]", name)
    check_count("max_steps", max_steps)
    check_count("seeds", seeds)
    check_number("tolerance", tolerance, above=0.0)
    x0 = as_position(x0)
    objective = next(iter(named.values())).objective
    assert objective is not None
    drawing = any(method.stochastic for method in named.values())
    keys = range(seeds) if drawing else range(1)
    positions = record if isinstance(record, int) else 0 if record is None else record.positions
    kept = ("loss", "gradient_norm")
    runs: dict[str, list[Run]] = {}
    each = {name: _steps_within(max_steps, name, method) for name, method in named.items()}
    for name, method in named.items():
        check_on_the_way(method, each[name])
    for name, method in named.items():
        steps = each[name]
        keep = Record(
            (*kept, "gradients") if method.gradients_vary else kept, positions or spacing(objective, x0, steps)
        )
        folder = None if out is None else Path(out) / name
        runs[name] = [
            run(
                method, x0, steps, key=key if drawing else None, record=keep,
                out=folder if key == 0 else None, progress=progress, source=(sources or {}).get(name),
                stop=(lambda host: host["gradients"] >= max_steps) if method.gradients_vary else None,
            )
            for key in keys
        ]  # fmt: skip
    judged = {name: [curves(one, x0) for one in found] for name, found in runs.items()}
    best, stationary = _best_point(objective, [r for found in runs.values() for r in found])
    curvature, direction = top_curvature(objective.whole(), best)
    limits = limits and stationary
    criterion = "gap" if objective.minimum is not None else "gradient norm"
    entries = tuple(
        _entry(name, named[name], found, judged[name], tolerance, best, direction, curvature, limits, max_steps)
        for name, found in runs.items()
    )
    first = {name: found[0] for name, found in runs.items()}
    by = {name: found[0] for name, found in judged.items()}
    return Comparison(
        entries, first, named, tolerance, criterion, max_steps, curvature, best, direction, by, notes(first, by)
    )


def _steps_within(budget: int, name: str, method: Method) -> int:
    """Steps that a budget of gradients allows, one at least."""
    start, each = method.gradients_at_start, max(1, method.gradients_per_step)
    if start + each > budget:
        raise InputError(
            f"a step of {name} takes {each} gradients" + (f", its start {start}" if start else "")
            + f": more than the {budget} of max_steps; give at least {start + each}"
        )  # fmt: skip
    return (budget - start) // each


def _named(methods: Any, fields: bool = False) -> dict[str, Method]:
    if isinstance(methods, Method):
        methods = [methods]
    if not isinstance(methods, Mapping):
        listed = list(methods)
        if strange := [one for one in listed if not isinstance(one, Method)]:
            raise InputError(f"methods must be tw.Method, by name or in a list, but hold {strange[0]!r}")
        names = [f"{type(m.dynamics).__name__} {getattr(m.scheme, 'name', type(m.scheme).__name__)}" for m in listed]
        if len(set(names)) < len(names):
            names = [f"{name} {i}" for i, name in enumerate(names)]
        methods = dict(zip(names, listed, strict=True))
    if not methods:
        raise InputError("compare needs at least one method")
    for name, method in methods.items():
        if not isinstance(method, Method) or (method.objective is None and (method.lacks_objective or not fields)):
            raise InputError(f"methods[{name!r}] must be a tw.Method with an objective, but is {method!r}")
        if isinstance(method.objective, Stream):
            raise InputError(
                "compare needs the gradient over all of the data, which a tw.Stream does not have; use a tw.FiniteSum, "
                "or tw.run(..., out=...) for each method and tw.compare_runs"
            )
    objectives = {id(getattr(m.objective, "fn", m.objective)) for m in methods.values()}
    if len(objectives) > 1:
        raise InputError("methods must share one objective, or their losses do not compare")
    return dict(methods)


def _best_point(objective: Any, runs: list[Run]) -> tuple[PyTree, bool]:
    """A point to take the curvature at, and whether it is a minimum to the digits a limit needs."""
    if objective.minimiser is not None:
        _check_minimiser(objective.minimiser, runs[0].final.position)
        return objective.minimiser, True
    losses = [run.metrics["loss"][-1] for run in runs]
    best = runs[int(np.argmin(np.where(np.isfinite(losses), losses, np.inf)))]
    if isinstance(best.method.dynamics.geometry, AbstractManifold | AbstractDualFlat):
        # A minimum of f on a manifold, or at the edge of a domain, is none of f.
        return best.final.lookahead, False
    _, point, norm = polish(objective.whole(), best.final.lookahead, _STATIONARY)
    dtypes = best.final.lookahead
    point = as_position(jax.tree.map(lambda new, old: np.asarray(new, old.dtype), point, dtypes))
    return point, bool(norm <= np.sqrt(_STATIONARY) * max(float(best.metrics["gradient_norm"][0]), 1.0))


def _check_minimiser(minimiser: PyTree, position: PyTree) -> None:
    shapes = [[jnp.shape(leaf) for leaf in jax.tree.leaves(tree)] for tree in (minimiser, position)]
    if jax.tree.structure(minimiser) != jax.tree.structure(position) or shapes[0] != shapes[1]:
        raise InputError(
            f"the objective's minimiser must have the shapes of the start, {shapes[1]}, but has {shapes[0]}"
        )


def _entry(
    name: str, method: Method, runs: list[Run], judged: list[Curves], tolerance: float, minimiser: PyTree,
    direction: PyTree, curvature: float, limits: bool, budget: int,
) -> Entry:  # fmt: skip
    pairs = list(zip(runs, judged, strict=True))
    steps, gradients, reached = zip(*(_steps_to(*pair, method, tolerance, budget) for pair in pairs), strict=True)
    median = int(np.median(steps))
    knob = predicted = measured = None
    if not callable(method.step_size) and curvature > 0 and has_limit(method):
        knob, predicted = stable_limit(method, curvature)
        measured = measured_limit(method, minimiser, direction, curvature) if limits else None
    total = max(runs[0].steps, 1)
    return Entry(
        method=name,
        hyperparameters=method.hyperparameters,
        reached=all(reached),
        gradients=int(np.median(gradients)),
        steps=median,
        seconds=float(np.median([r.seconds for r in runs])) * median / total,
        loss=float(np.median([r.metrics["loss"][-1] for r in runs])),
        regime=_worst([_regime(*pair, method) for pair in pairs]),
        predicted_limit=predicted,
        measured_limit=measured,
        limit_of=knob or "",
    )


def _steps_to(run: Run, curve: Curves, method: Method, tolerance: float, budget: int) -> tuple[int, int, bool]:
    """Steps and gradients until the tolerance is met for the first time.

    Where steps differ, a run ends with the step that goes over the budget, which counts no more.
    """
    assert method.objective is not None
    minimum = method.objective.minimum
    values = curve.gradient_norm if minimum is None else curve.loss - minimum
    met = values <= tolerance * values[0]
    if method.gradients_vary:
        met &= run.metrics["gradients"][curve.step] <= budget
    at = int(curve.step[np.argmax(met)]) if met.any() else run.steps
    each, start = method.gradients_per_step, method.gradients_at_start
    return at, int(run.metrics["gradients"][at]) if method.gradients_vary else start + at * each, bool(met.any())


def _regime(run: Run, curve: Curves, method: Method) -> str:
    if run.status in ("diverged", "not finite"):
        return "diverging"
    if run.status == "unbounded":
        return "unbounded"
    # A loss that noise has raised to its temperature is not on its way to infinity.
    return "fluctuating" if method.normals else regime(curve.loss)


def _worst(regimes: list[str]) -> str:
    order: Callable[[str], int] = ("monotone", "fluctuating", "oscillating", "unbounded", "diverging").index
    return max(regimes, key=order)
