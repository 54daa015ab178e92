"""Runs that were made, side by side: ours and recorded ones."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._errors import InputError, check_number
from .._records.describe import labels
from .._records.run import Run
from .._records.sweep import regime
from .._showing.html import table_html
from .._showing.text import make_table, plain
from .._typed import typed
from .text import COLUMNS, head

if TYPE_CHECKING:
    from rich.table import Table


@dataclasses.dataclass(frozen=True)
class RunEntry:
    """One run's part in a comparison.

    Attributes:
        name: how it is called.
        path: its directory, None for a run in memory.
        objective: what it went down.
        method: its method.
        hyperparameters: by name.
        reached: whether the tolerance was met.
        gradients: gradients it took to the tolerance, or in all.
        steps: steps likewise.
        seconds: wall time to there, compilation apart.
        loss: the last loss that was recorded.
        best: the least.
        regime: "monotone", "oscillating" or "diverging"; "fluctuating" where it ends above its start by no more than
            mini-batches differ; "unbounded" where f falls for ever.
        status: how it ended.
    """

    name: str
    path: str | None
    objective: str
    method: str
    hyperparameters: dict[str, Any]
    reached: bool
    gradients: int
    steps: int
    seconds: float
    loss: float | None
    best: float | None
    regime: str | None
    status: str


@dataclasses.dataclass(frozen=True)
class RunComparison:
    """Result of `tw.compare_runs`.

    Attributes:
        entries: one `RunEntry` a run.
        runs: the runs by name.
        tolerance: as given.
        criterion: what the tolerance is on, "gradient norm" or "loss".
    """

    entries: tuple[RunEntry, ...]
    runs: dict[str, Run]
    tolerance: float
    criterion: str

    def as_list(self) -> list[dict[str, Any]]:
        """One dictionary a run."""
        return [dataclasses.asdict(entry) for entry in self.entries]

    def __getitem__(self, name: str) -> RunEntry:
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise KeyError(name)

    @typed()
    def report(self, path: str | Path, title: str = "Runs side by side") -> Path:
        """Write one page with the table and the loss curves that opens without a network."""
        from ..plot._runs import write_runs_report

        return write_runs_report(self, Path(path), title)

    def as_table(self) -> "Table":
        """The runs as a rich table, one a row; objectives are a column where they differ."""
        differ = len({entry.objective for entry in self.entries}) > 1
        rows = []
        for entry in self.entries:
            rows.append((
                entry.name, *((entry.objective,) if differ else ()),
                *head(entry.method, entry.hyperparameters, entry.gradients, entry.reached), entry.seconds,
                entry.loss, entry.best, entry.regime, entry.status,
            ))  # fmt: skip
        columns = ("run", *(("objective",) if differ else ()), *COLUMNS, "seconds", "last loss", "best loss", "regime",
                   "status")  # fmt: skip
        return make_table(columns, rows, f"To a {self.criterion} of {self.tolerance:g} of its start")

    def __repr__(self) -> str:
        return plain(self.as_table())

    def _repr_html_(self) -> str:
        return table_html(self.as_table())


@typed()
def compare_runs(
    runs: Mapping[str, Run | str | Path] | Sequence[Run | str | Path] | Run | str | Path, tolerance: float = 1e-3
) -> RunComparison:
    r"""Set runs side by side without running anything: our own, and what `tw.Recorder` logged.

    The tolerance is on the gradient, $\|g\| \le \mathtt{tolerance}\,\|g_0\|$, where every run recorded its norm; else
    on the loss, $f \le \mathtt{tolerance}\,f_0$. Each run is held to its own start.

    Arguments:
        runs: by name, or a sequence; each a `tw.Run` or the path of a run directory.
        tolerance: relative, as above.

    Returns:
        a `RunComparison`: prints as a table; `.entries`, `.report(path)`.

    Raises:
        InputError: no runs, or one that is none or kept no loss.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = lambda x: 0.5 * jnp.sum(jnp.array([1.0, 10.0]) * x**2)
    >>> slow, fast = (tw.run(tw.gradient_descent(f, rate), jnp.ones(2), 200) for rate in (0.01, 0.1))
    >>> result = tw.compare_runs({"slow": slow, "fast": fast}, tolerance=1e-3)
    >>> [(entry.name, entry.gradients, entry.regime) for entry in result.entries]
    [('slow', 200, 'monotone'), ('fast', 22, 'monotone')]
    """
    check_number("tolerance", tolerance, above=0.0)
    named = {name: _loaded(name, run) for name, run in _named(runs).items()}
    metrics = [run.metrics for run in named.values()]
    criterion = "gradient norm" if all(_kept(m, "gradient_norm") for m in metrics) else "loss"
    if criterion == "loss":
        for name, run in named.items():
            if not _kept(run.metrics, "loss"):
                raise InputError(
                    f"the run {name!r} kept neither its loss nor its gradient norm, so it does not compare"
                )
    entries = tuple(_entry(name, run, criterion, tolerance) for name, run in named.items())
    return RunComparison(entries, named, tolerance, criterion)


def _named(runs: Any) -> dict[str, Any]:
    if isinstance(runs, Run | str | Path):
        runs = [runs]
    if not isinstance(runs, Mapping):
        listed = list(runs)
        names = [str(run.path or "run") if isinstance(run, Run) else str(run) for run in listed]
        if len(set(names)) < len(names):
            names = [f"{name} {i}" for i, name in enumerate(names)]
        runs = dict(zip(names, listed, strict=True))
    if not runs:
        raise InputError("compare_runs needs at least one run")
    return {str(name): run for name, run in runs.items()}


def _loaded(name: str, run: Any) -> Run:
    if isinstance(run, Run):
        return run
    if not isinstance(run, str | Path):
        raise InputError(f"runs[{name!r}] must be a tw.Run or the path of a run directory, but is {run!r}")
    return Run.load(run)


def _short(method: str) -> str:
    """A law and a scheme without the scheme's arguments."""
    return method.partition("(")[0]


def _kept(metrics: Mapping[str, np.ndarray], name: str) -> bool:
    return name in metrics and len(metrics[name]) > 0


def _risen(losses: np.ndarray) -> bool:
    """Tell whether the last twentieth lies above the first by more than three errors of both means.

    How much the losses of mini-batches differ is seen from one to the next, whatever way they go.
    """
    window = len(losses) // 20
    if window < 2:
        return True
    with np.errstate(over="ignore", invalid="ignore"):
        ends = losses[:window], losses[-window:]
        noise = sum(float(np.mean(np.diff(end) ** 2)) / 2.0 / window for end in ends)
        return not float(ends[1].mean() - ends[0].mean()) <= 3.0 * noise**0.5


def _entry(name: str, run: Run, criterion: str, tolerance: float) -> RunEntry:
    objective, method, hyperparameters = labels(run)
    metrics, steps = run.metrics, max(run.steps, 1)
    values = metrics[criterion.replace(" ", "_")]
    first = next(iter(values[np.isfinite(values)]), np.nan)
    # Of a start that is not positive no part is less.
    met = values <= tolerance * first if first > 0.0 else np.zeros(len(values), bool)
    reached = bool(met.any())
    taken = int(metrics["step"][np.argmax(met)]) if reached else run.steps
    # A run knows only its total: so many gradients a step, the rest at the start.
    each, at_start = divmod(run.gradients, steps)
    losses = metrics.get("loss", np.zeros(0))
    finite = losses[np.isfinite(losses)]
    kind = "diverging" if run.status in ("diverged", "not finite") else None
    kind = "unbounded" if run.status == "unbounded" else kind
    if kind is None and finite.size:
        # A loss that was left out here and there is no divergence, and neither are those of unlike mini-batches.
        kind = regime(finite)
        if kind == "diverging" and not _risen(finite):
            kind = "fluctuating"
    return RunEntry(
        name=name,
        path=None if run.path is None else str(run.path),
        objective=objective,
        method=_short(method),
        hyperparameters=hyperparameters,
        reached=reached,
        gradients=at_start + taken * each if reached else run.gradients,
        steps=taken,
        seconds=run.seconds * taken / steps,
        loss=float(finite[-1]) if finite.size else None,
        best=float(finite.min()) if finite.size else None,
        regime=kind,
        status=run.status,
    )
