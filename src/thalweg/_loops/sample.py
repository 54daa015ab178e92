"""Sampling: many chains of a method, what they drew, and how well."""

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError, check_choice, check_count
from .._methods.method import STARTS, Method
from .._objectives.objective import as_position, check_at_start
from .._objectives.stream import Stream
from .._records.describe import describe_method, describe_start, objective_name
from .._records.directory import Directory, check_out
from .._records.kinds import stamped
from .._records.sums import Sums
from .._tree import ravel, unraveler
from ..dynamics import AbstractDynamics, AbstractNoisy
from ..dynamics._base import check_flat
from ..schemes import AbstractScheme, State
from .chains import Plan, acceptance, advance, start_chains, values
from .interrupt import Interrupt
from .progress import Progress
from .run import as_key
from .sampling_step import choose_method, step_warnings, warn
from .stopwatch import Stopwatch

_CHUNK_SECONDS = 0.5
_ROW_BYTES = 32 * 2**20
# Where the curvature is looked at, to judge the step.
_POINTS = 32
# Rows of sums that a chunk makes at most.
_SUMS = 64


def sample(
    method: Method | AbstractDynamics,
    x0: PyTree | Callable,
    draws: int = 1000,
    chains: int = 4,
    warmup: int = 1000,
    thin: int = 1,
    key: Any = 0,
    *,
    keep: str = "draws",
    scheme: AbstractScheme | None = None,
    energies: bool | None = None,
    diagnostics: bool | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    progress: bool | None = None,
    source: Mapping[str, Any] | None = None,
) -> Any:
    r"""Draw from the law to which a method settles: several chains side by side.

    A method of temperature T samples $p(\theta) \propto e^{-f(\theta)/T}$, up to the bias of its step; with T = 1
    and f a negative log density, that density.

    Arguments:
        method: a `tw.Method` that draws, such as `tw.sgld(f, 0.1)`; or a law of motion with a temperature, such as
            `tw.UnderdampedLangevin(f, friction=1.0, temperature=1.0)`, for which the step is chosen: by the curvature
            where the chains go, half its stability limit or less, such that a Gaussian of that curvature is sampled
            within 2 %.
        x0: the start of every chain, a pytree of float arrays; or a function of a key that draws one.
        draws: how many are kept of each chain.
        chains: how many.
        warmup: draws thrown away at first.
        thin: steps a draw.
        key: a seed or JAX key.
        keep: "draws", or "moments": means and variances alone, in the memory of a few hundred draws however many
            there are.
        scheme: of a law without a step; BAOAB, or the method of Leimkuhler and Matthews for an overdamped law, if None.
        energies: whether to keep the energy of every draw, one evaluation of f; None does so for draws.
        diagnostics: whether to compute effective sample sizes and the like; None does so up to 500 parameters.
        out: a directory to write to as it goes; None keeps the draws in memory.
        resume: go on from the last checkpoint in `out` (from the start, if there is none yet), to the same draws, bit
            for bit, as if it had never been stopped.
        progress: True or False; None shows it where it takes longer than a second.
        source: what `thalweg resume` needs to rebuild the method, kept in run.toml.

    Returns:
        an `xarray.DataTree` as ArviZ takes it: `posterior` (chain, draw, ...); `sample_stats` with `energy`,
        `potential` and `kinetic_temperature`, where they are kept; `diagnostics` over `statistic`: mean, sd, mcse_mean,
        mcse_sd, ess_bulk, ess_tail, r_hat (by ArviZ), and `bfmi`. Its attributes tell the method, status, gradients
        and warnings.

    Raises:
        InputError: before anything is traced or written, with one line that says what is wrong.
        RecordError: the directory could not be written.
        KeyboardInterrupt: Ctrl-C, once all is saved (what is in memory is returned instead).

    Warns:
        SamplingWarning: the step is beyond its stability limit, its bias is large, or mini-batches heat the chains.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = lambda x: 0.5 * jnp.sum(jnp.array([1.0, 4.0]) * x**2)
    >>> tree = tw.sample(tw.UnderdampedLangevin(f, friction=1.0, temperature=1.0), jnp.zeros(2), draws=4000)
    >>> tree["posterior"]["x"].shape
    (4, 4000, 2)
    >>> tree["diagnostics"]["x"].sel(statistic="sd").round(1).values.tolist()
    [1.0, 0.5]

    Reference: for the diagnostics, Vehtari et al. (2021).
    """
    loop = _Sampling(
        _check(method, scheme, keep, energies, diagnostics, resume, out), x0,
        check_count("draws", draws), check_count("chains", chains), check_count("warmup", warmup, at_least=0),
        check_count("thin", thin), as_key(key), keep, energies, scheme, progress, source,
    )  # fmt: skip
    directory, checkpoint = None, None
    if out is not None:
        directory = Directory(Path(out))
        if resume and (Path(out) / "run.toml").exists():
            checkpoint = directory.reopen(loop.config)
        else:
            directory.create(loop.config)
    loop.go(directory, checkpoint)
    return loop.tree(diagnostics)


def read_samples(path: str | Path, diagnostics: bool | None = None) -> Any:
    """Read what `tw.sample` wrote to a directory, also where it was killed or is still being written.

    Arguments:
        path: the directory.
        diagnostics: as in `tw.sample`.

    Returns:
        an `xarray.DataTree`, as `tw.sample` gives it; what was drawn after the last checkpoint is left out.

    Raises:
        InputError: it holds no samples, or no checkpoint yet.
    """
    from .._records.samples import read

    return read(Path(path), diagnostics)


def _check(
    method: Any, scheme: Any, keep: Any, energies: Any, diagnostics: Any, resume: bool, out: Any
) -> Method | AbstractDynamics:
    from .._records.samples import require

    require()
    if isinstance(method, Method):
        if scheme is not None:
            raise InputError("a tw.Method has its scheme; give scheme with a law of motion only")
        if not method.stochastic:
            raise InputError(
                "this method draws nothing, so it samples nothing; use tw.run, or a law with a temperature"
            )
    elif not isinstance(method, AbstractDynamics):
        raise InputError(
            "method must be a tw.Method such as tw.sgld(f, 0.1), or a law such as "
            f"tw.UnderdampedLangevin(f, friction=1.0, temperature=1.0), but is {method!r}"
        )
    elif not isinstance(method, AbstractNoisy):
        raise InputError(f"{type(method).__name__} has no noise to sample with; use a law with a temperature")
    check_flat(method.dynamics if isinstance(method, Method) else method, "sampling")
    if method.objective is None:
        raise InputError("this method was built without an objective; give one to sample, such as tw.sgld(f, 0.1)")
    if isinstance(method.objective, Stream):
        raise InputError(
            "sampling from a stream is not built: give a tw.FiniteSum, or make one path of it with tw.run(method, ...)"
        )
    check_choice("keep", keep, ("draws", "moments"))
    for name, value in (("energies", energies), ("diagnostics", diagnostics)):
        if value is not None and not isinstance(value, bool):
            raise InputError(f"{name} must be True, False or None, but is {value!r}")
    check_out(out, resume)
    return method


class _Sampling:
    """The host's side of a set of chains."""

    def __init__(
        self, method: Method | AbstractDynamics, x0: Any, draws: int, chains: int, warmup: int, thin: int, key: Any,
        keep: str, energies: bool | None, scheme: AbstractScheme | None, progress: bool | None,
        source: Mapping[str, Any] | None,
    ) -> None:  # fmt: skip
        self.watch = Stopwatch()
        self.draws, self.warmup, self.key, self.show = draws, warmup, key, progress
        self.total = warmup + draws
        self.moments = keep == "moments"
        self.energies = not self.moments if energies is None else energies
        starts = _starts(x0, key, chains)
        self.first = jax.tree.map(lambda leaf: leaf[0], starts)
        assert method.objective is not None
        loss = check_at_start(method.objective, self.first)
        self.cut = unraveler(self.first)
        positions = jax.vmap(ravel)(starts)
        self.user_method = choose_method(method, scheme, self.cut, positions, key)
        self.method = self.user_method.flattened(self.cut)
        self.plan = Plan.of(self.method, chains, positions.shape[1], thin, self.moments)
        self.states = start_chains(self.method, positions)
        self.reference = self._zeros() if warmup else values(self.method, self.states, self.energies)
        self.done = 0
        self.kept: dict[str, list[np.ndarray]] = {}
        self.latest: np.ndarray | None = None
        self.sums = Sums(self.total, warmup, self.plan.cell) if self.moments else None
        self.status, self.message = "finished", ""
        self.warnings: list[str] = []
        self.config = self._config(starts, loss, keep) | ({} if source is None else {"source": dict(source)})

    def _zeros(self) -> dict[str, Any]:
        shapes = jax.eval_shape(lambda s: values(self.method, s, self.energies), self.states)
        return {name: jnp.zeros(leaf.shape, leaf.dtype) for name, leaf in shapes.items()}

    def _config(self, starts: PyTree, loss: float, keep: str) -> dict[str, Any]:
        from .. import __version__

        plan = self.plan
        return stamped("samples", {
            "run": {
                "steps": self.draws, "version": __version__,
                "key": [int(word) for word in np.asarray(jax.random.key_data(self.key)).ravel()],
            },
            "method": describe_method(self.user_method),
            "objective": {"name": objective_name(self.user_method.dynamics)},
            "start": describe_start(self.first, starts) | {"loss": loss},
            # Sums are cut into batches by how many draws there will be.
            "sample": {"chains": plan.chains, "warmup": self.warmup, "thin": plan.thin, "keep": keep,
                       "energies": self.energies} | ({"draws": self.draws} if self.moments else {}),
        })  # fmt: skip

    def go(self, directory: Directory | None, checkpoint: dict[str, Any] | None) -> None:
        """Draw to the end, or to what ends it first."""
        self.directory = directory
        if checkpoint is not None:
            self._restore(checkpoint)
        interrupted = threading.Event()
        label = type(self.method.dynamics).__name__
        try:
            with Interrupt(interrupted), Progress(self.total, self.show, label) as progress:
                if directory is not None and checkpoint is None:
                    self._checkpoint()
                progress.announce("compiling")
                self._chunks(progress, interrupted)
            if not self.message:
                self.message = f"made {self.draws} draws of {self.plan.chains} chains"
            if self.done >= self.warmup and self.status != "diverged":
                self.warnings = self._complaints()
            if directory is not None:
                self._checkpoint()
        finally:
            if directory is not None:
                directory.close()
        for text in self.warnings:
            warn(text)
        if self.status == "interrupted" and directory is not None:
            raise KeyboardInterrupt(self.message)

    @property
    def rows(self) -> int:
        """Rows that a chunk keeps on the device."""
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(self.reference)) * (2 if self.moments else 1)
        most = min(max(1, _ROW_BYTES // size), -(-self.total // self.plan.row) + 1)
        most = min(most, _SUMS) if self.moments else most
        return 1 << max(0, most.bit_length() - (most & (most - 1) == 0))

    def _call(self, low: int, high: int) -> tuple[State, dict[str, Any]]:
        return advance(
            self.method, self.states, self.key, np.int64(low), np.int64(high), self.reference,
            self.plan, self.rows, self.energies,
        )  # fmt: skip

    def _chunks(self, progress: Progress, interrupted: threading.Event) -> None:
        rate, saved = None, time.monotonic()
        self.watch.begin()
        while self.done < self.total and self.status == "finished":
            low = self.done
            high = self._end(low, rate)
            self.watch.lap()
            states, kept = jax.block_until_ready(self._call(low, high))
            rate = (high - low) / max(self.watch.lap(), 1e-7)
            host = {name: np.asarray(rows) for name, rows in kept.items()}
            if not self._finite(states, host, low, high):
                break
            self.states = states
            self._keep(host, low, high)
            self.done = high
            if high == self.warmup:
                self.reference = values(self.method, states, self.energies) if self.moments else self.reference
            progress.update(high, None)
            if self.directory is not None:
                self.directory.check()
                if time.monotonic() - saved >= 2.0:
                    self.watch.lap()
                    self._checkpoint()
                    self.watch.begin()
                    saved = time.monotonic()
            if interrupted.is_set() and self.done < self.total:
                self.status = "interrupted"
                self.message = f"interrupted after {self.done} of {self.total} draws, {self.warmup} of them warmup"
                if self.directory is not None:
                    way = f": thalweg resume {self.directory.path}" if "source" in self.config else " resume=True"
                    self.message += f"; saved in {self.directory.path}, go on with{way}"
        self.watch.lap()

    def _end(self, low: int, rate: float | None) -> int:
        """End of the next chunk: after about half a second, at a whole block and row where it can be."""
        row = self.plan.row
        most = self.rows * row - low % row
        wanted = max(1, int(rate * _CHUNK_SECONDS)) if rate else 2 * max(row, self.plan.group)
        last = self.warmup if low < self.warmup else self.total
        high = min(low + most, low + wanted, last)
        if high == last:
            return high
        # Sums in float32 are cut where they always are, so that they do not depend on the clock.
        unit = row if self.moments else self.plan.group
        whole = high // unit * unit
        if whole > low:
            return whole
        return min(last, whole + unit) if self.moments else high

    def _finite(self, states: State, host: dict[str, np.ndarray], low: int, high: int) -> bool:
        if np.isfinite(np.asarray(states.position, dtype=float)).all():
            return True
        self.status = "diverged"
        gone = ~np.isfinite(np.asarray(states.position, dtype=float)).all(axis=1)
        if not self.moments:
            finite = np.isfinite(host["position"][: high - low].astype(float)).all(axis=(1, 2))
            self.done = low + int(np.argmin(finite))
            self._keep(host, low, self.done)
            self.states = self._call(low, self.done)[0]
        self.message = f"{gone.sum()} of {self.plan.chains} chains became not finite after {self.done} draws"
        if self.done < self.warmup:
            self.message += ", in the warmup"
        self.warnings = [self.message, *self._complaints()]
        return False

    def _complaints(self) -> list[str]:
        positions, accepted = self._visited(), self.about().get("acceptance")
        return step_warnings(self.user_method, self.cut, self.first, positions, self.key, accepted)

    def _visited(self) -> np.ndarray:
        """Some of where the chains have been."""
        now = np.asarray(self.states.position)[:_POINTS]
        if self.latest is None:
            return now
        every = max(1, len(self.latest) // _POINTS)
        return np.concatenate([now, self.latest[::every][:_POINTS]])

    def _keep(self, host: dict[str, np.ndarray], low: int, high: int) -> None:
        if high <= self.warmup:
            return
        if self.sums is not None:
            count = (high - 1) // self.plan.cell - low // self.plan.cell + 1
            self.sums.add({name: rows[:count] for name, rows in host.items()}, low, high)
            return
        host = {name: rows[max(self.warmup - low, 0) : high - low] for name, rows in host.items()}
        self.latest = host["position"].reshape(-1, host["position"].shape[-1])
        if self.directory is not None:
            self.directory.append(None, host)
            return
        for name, rows in host.items():
            # A copy: a view would keep the whole buffer of the chunk alive.
            self.kept.setdefault(name, []).append(rows.copy())

    def _checkpoint(self) -> None:
        assert self.directory is not None
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves((self.states, self.reference))]
        paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(self.states)[0]]
        extra = self.about() | {
            "names": [jax.tree_util.keystr(path, simple=True, separator=".") for path in paths],
            "reference": sorted(self.reference), "cell": self.plan.cell, "state_leaves": len(leaves),
            "warnings": self.warnings,
            "status": self.status if self.message else "running",
            "message": self.message or f"made {self.done} of {self.total} draws so far",
        }  # fmt: skip
        if self.sums is not None:
            leaves += self.sums.leaves()
            extra["sums"] = self.sums.names
        self.directory.checkpoint(leaves, self.done, extra)

    def _restore(self, checkpoint: dict[str, Any]) -> None:
        count = checkpoint["state_leaves"]
        structure = jax.tree.structure((self.states, self.reference))
        leaves = [jnp.asarray(leaf) for leaf in checkpoint["leaves"][:count]]
        self.states, self.reference = jax.tree.unflatten(structure, leaves)
        if self.sums is not None:
            self.sums.restore(checkpoint["sums"], checkpoint["leaves"][count:])
        self.done = checkpoint["step"]
        self.watch.go_on_from(checkpoint["seconds"], checkpoint["compile_seconds"])

    def about(self) -> dict[str, Any]:
        """Counts, times and the acceptance rate beside the draws."""
        method, plan = self.user_method, self.plan
        each = method.gradients_at_start + self.done * plan.thin * method.gradients_per_step
        facts = {"gradients": plan.chains * each, "seconds": self.watch.seconds}
        facts["compile_seconds"] = self.watch.compile_seconds
        accepted = acceptance(method, self.states)
        if accepted is not None:
            facts["acceptance"] = float(np.mean(np.asarray(accepted)))
        return facts

    def tree(self, diagnostics: bool | None) -> Any:
        """All of it as an xarray tree."""
        from .._records.samples import build

        about = self.about() | {"status": self.status, "message": self.message, "warnings": self.warnings}
        if self.directory is not None:
            return read_samples(self.directory.path, diagnostics)
        rows = {name: np.concatenate(parts) for name, parts in self.kept.items()}
        reference = {name: np.asarray(leaf) for name, leaf in self.reference.items()}
        return build(self.config, about, self.cut, self.sums or rows, diagnostics, reference)


def _starts(x0: Any, key: Any, chains: int) -> PyTree:
    if callable(x0):
        keys = jax.random.split(jax.random.fold_in(key, STARTS), chains)
        each = [as_position(x0(one)) for one in keys]
        first, *others = [[(leaf.shape, leaf.dtype) for leaf in jax.tree.leaves(start)] for start in each]
        if any(other != first for other in others):
            raise InputError("x0 must draw starts of the same shapes and dtypes for every key")
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *each)
    x0 = as_position(x0)
    return jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (chains, *leaf.shape)), x0)
