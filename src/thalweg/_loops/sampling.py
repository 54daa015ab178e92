"""A sampling as a job: chunks of draws of chains side by side."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._methods.method import Method
from .._methods.raveled import check_drawn
from .._records.derived import as_now, named_leaves
from .._records.describe import describe_method, describe_start, objective_name
from .._records.keeper import Rows
from .._records.kinds import stamped
from .._records.sums import Sums
from .._tree import on_device, ravel, unraveler
from ..dynamics import AbstractDamped, AbstractDynamics
from ..geometry import AbstractDualFlat, AbstractManifold
from ..schemes import AbstractScheme, State
from .chains import (
    EVERY,
    Plan,
    acceptance,
    advance,
    broken_proposals,
    potentials,
    reference,
    start_chains,
    unseen,
    values,
)  # fmt: skip
from .drive import AbstractJob, Chunk
from .kinetic import constant_temperature, predicted_temperatures
from .on_the_way import check_on_the_way
from .sampling_step import Chunks, choose_step, draft, step_warnings
from .stopwatch import Stopwatch
from .support import cause_of_loss, check_starts, check_starts_on, degrees_of_freedom, look_back
from .tally import Tally, jump_bar

_ROW_BYTES = 32 * 2**20
# Where the curvature is looked at, to judge the step.
_POINTS = 32
# Draws that tell a covariance: so many a parameter at least, so many in all at most.
_ENOUGH, _MOST = 20, 2000
# Rows of sums that a chunk makes at most.
_SUMS = 64


class Sampling(AbstractJob):
    """The host's side of a set of chains.

    Arguments:
        method: what draws, or a law whose step is chosen here.
        starts: a tree of the starts of all chains.
        draws, chains, warmup, thin, energies, scheme: as in `tw.sample`.
        key: of all draws.
        moments: draws are summed up, not kept.
        watch: its time.
        by_command: its record tells how it was begun at the command line.
    """

    units = "draws"

    def __init__(
        self, method: Method | AbstractDynamics, starts: PyTree, *, draws: int, chains: int, warmup: int, thin: int,
        key: Any, moments: bool, energies: bool, scheme: AbstractScheme | None, watch: Stopwatch, by_command: bool,
    ) -> None:  # fmt: skip
        super().__init__(watch)
        self.draws, self.warmup, self.key, self.total = draws, warmup, key, warmup + draws
        self.moments, self.energies, self.by_command = moments, energies, by_command
        self.starts, self.first = starts, jax.tree.map(lambda leaf: on_device(np.asarray(leaf)[0]), starts)
        check_drawn(method.dynamics if isinstance(method, Method) else method, self.first)
        assert method.objective is not None
        if isinstance(method, Method):
            check_on_the_way(method, self.total * thin)
        law = method.dynamics if isinstance(method, Method) else method
        check_starts_on(law.geometry, starts)
        # Directions in which a velocity may point, of which each has half a temperature of energy.
        self.degrees = degrees_of_freedom(law.geometry, self.first)
        self.loss = check_starts(method.objective, starts)
        self.cut = unraveler(self.first)
        positions = jax.vmap(ravel)(starts)
        self.user_method = method if isinstance(method, Method) else draft(method, scheme)
        self.method = self.user_method.flattened(self.cut)
        self.label = type(self.user_method.dynamics).__name__
        self.blocks = Plan.of(self.method, chains, positions.shape[1], thin, moments)
        self.states = start_chains(self.method, positions)
        self.reference = self._zeros()
        self.tally = Tally(chains, jump_bar(constant_temperature(self.method), self.degrees))
        if self.user_method is not method:
            chunks = Chunks(lambda *chunk: self._moved(*chunk)[0], thin)
            self.user_method = choose_step(self.user_method, self.cut, positions, key, chunks)
            check_on_the_way(self.user_method, self.total * thin)
            self.method = self.user_method.flattened(self.cut)
            self.states = start_chains(self.method, positions)
        if not warmup:
            self.reference = reference(self.method, self.states, energies)
        self.latest: np.ndarray | None = None
        self.warnings: list[str] = []
        # Where each chain was last known not to have moved from, and states on the way of chains that keep no draws.
        self.anchor, self.passed = np.asarray(positions), list[np.ndarray]()
        self.found: dict[str, Any] = {}

    def _zeros(self) -> dict[str, Any]:
        shapes = jax.eval_shape(lambda s: values(self.method, s, self.energies), self.states)
        return {name: on_device(np.zeros(leaf.shape, leaf.dtype)) for name, leaf in shapes.items()}

    def config(self) -> dict[str, Any]:
        """The configuration, as run.toml keeps it."""
        from .. import __version__

        plan = self.blocks
        return stamped("samples", {
            "run": {
                "steps": self.draws, "version": __version__,
                "key": [int(word) for word in np.asarray(jax.random.key_data(self.key)).ravel()],
            },
            "method": describe_method(self.user_method),
            "objective": {"name": objective_name(self.user_method.dynamics)},
            "start": describe_start(self.first, self.starts) | {"loss": self.loss},
            # Sums are cut into batches by how many draws there will be.
            "sample": {"chains": plan.chains, "warmup": self.warmup, "thin": plan.thin,
                       "keep": "moments" if self.moments else "draws", "energies": self.energies}
                      | ({"draws": self.draws} if self.moments else {}),
        })  # fmt: skip

    @property
    def so_far(self) -> str:
        return f"{self.done} of {self.total} draws" + (f", {self.warmup} of them warmup" if self.warmup else "")

    @property
    def rows(self) -> int:
        """Rows that a chunk keeps on the device."""
        size = sum(leaf.nbytes for leaf in jax.tree.leaves(self.reference)) * (2 if self.moments else 1)
        most = min(max(1, _ROW_BYTES // size), -(-self.total // self.blocks.row) + 1)
        most = min(most, _SUMS) if self.moments else most
        return 1 << max(0, most.bit_length() - (most & (most - 1) == 0))

    def plan(self, wanted: int | None) -> Chunk:
        """A chunk that ends at a whole block and row where it can."""
        low, row, group = self.done, self.blocks.row, self.blocks.group
        most = self.rows * row - low % row
        wanted = 2 * max(row, group) if wanted is None else wanted
        last = self.warmup if low < self.warmup else self.total
        high = min(low + most, low + wanted, last)
        if high < last:
            # Sums in float32 are cut where they always are, so that they do not depend on the clock.
            unit = row if self.moments else group
            whole = high // unit * unit
            if whole > low:
                high = whole
            elif self.moments:
                high = min(last, whole + unit)
        return Chunk(high - low, high)

    def advance(self, chunk: Chunk) -> tuple[State, dict[str, Any]]:
        return self._advance(chunk.plan)

    def _advance(self, high: int) -> tuple[State, dict[str, Any]]:
        return self._moved(self.method, self.states, self.key, self.done, high)

    def _moved(self, method: Method, states: State, key: Any, low: int, high: int) -> tuple[State, dict[str, Any]]:
        seen = unseen(states, self.tally.last, self.tally.bar) if self.moments else None
        return advance(
            method, states, key, np.int64(low), np.int64(high), self.reference, self.blocks, self.rows, self.energies,
            seen,
        )  # fmt: skip

    def take(self, chunk: Chunk, found: Any) -> Rows:
        states, kept = found
        low, high = self.done, chunk.plan
        seen = kept.pop("seen", None)
        host = {name: np.asarray(rows) for name, rows in kept.items()}
        finite = np.asarray(np.isfinite(np.asarray(states.position, dtype=float)).all(axis=1))
        if not finite.all():
            return self._lost(np.logical_not(finite), host, low, high)
        self._watch(host, low, high, seen, None if self.moments else kept["position"])
        self.states, self.done = states, high
        self._follow()
        rows = self._rows(host, low, high)
        if high == self.warmup and self.moments:
            self.reference = reference(self.method, states, self.energies)
        return rows

    def _watch(self, host: dict[str, np.ndarray], low: int, high: int, seen: Any, rows: Any) -> None:
        """Count what the draws from `low` to `high` met: one chunk is of the warmup alone, or of what is kept."""
        kept = high > self.warmup
        if seen is not None:
            self.tally.add_counts(kept, seen)
            return
        potential, kinetic = (host[name][: high - low] if name in host else None for name in ("potential", "kinetic"))
        assert self.method.objective is not None
        if rows is not None and not self.energies and not self.method.objective.stochastic:
            # f is looked at as often as where no draw is kept, by the number of the draw.
            first = -(low + 1) % EVERY
            count = max(0, -(-(high - low - first) // EVERY))
            potential = np.asarray(potentials(self.method, rows, np.int64(first)))[:count]
        self.tally.add(kept, potential, kinetic)

    def _follow(self) -> None:
        """Note which chains have moved."""
        position, kept = np.asarray(self.states.position), int(self.done > self.warmup)
        moved = (position != self.anchor).any(axis=1)
        self.tally.moved[kept] |= moved
        if self.done == self.warmup:
            self.anchor = position
        if self.moments and len(self.passed) < _POINTS:
            self.passed.append(position)

    def _lost(self, lost: np.ndarray, host: dict[str, np.ndarray], low: int, high: int) -> Rows:
        """Chains have become not finite: what they drew before it is kept."""
        gone = int(np.count_nonzero(lost))
        self.status, rows = "diverged", Rows()
        if not self.moments:
            finite = np.isfinite(host["position"][: high - low].astype(float)).all(axis=(1, 2))
            high = low + int(np.argmin(finite))
            self.states = jax.block_until_ready(self._advance(high))[0]
            self._watch(host, low, high, None, None)
            self.done = high
            rows = self._rows(host, low, high)
        self.message = f"{gone} of {self.blocks.chains} chains became not finite after {self.done} draws"
        if self.done < self.warmup:
            self.message += ", in the warmup"
        self.warnings = [self.message, *self._complaints(np.flatnonzero(lost))]
        return rows

    def _rows(self, host: dict[str, np.ndarray], low: int, high: int) -> Rows:
        if high <= self.warmup:
            return Rows()
        if self.moments:
            count = (high - 1) // self.blocks.cell - low // self.blocks.cell + 1
            return Rows(arrays={name: rows[:count] for name, rows in host.items()}, span=(low, high))
        host = {name: rows[max(self.warmup - low, 0) : high - low] for name, rows in host.items()}
        self.latest = host["position"].reshape(-1, host["position"].shape[-1])
        return Rows(arrays=host, span=(low, high))

    def finish(self) -> None:
        if not self.message:
            self.message = f"made {self.draws} draws of {self.blocks.chains} chains"
        if self.done >= self.warmup and self.status != "diverged":
            self.warnings = self._complaints()

    def _complaints(self, lost: Any = ()) -> list[str]:
        """Faults of the step; what is found of the law by the way is kept for the verdicts."""
        positions, accepted = self._visited(), self._acceptance().get("acceptance")
        step = step_warnings(self.user_method, self.cut, self.first, positions, self.key, accepted)
        assert self.user_method.objective is not None
        self.found |= {
            "predicted": predicted_temperatures(self.method, step.curvature, self._spread()),
            "heat": step.heat, "curvatures": [step.usual, step.curvature],
        }  # fmt: skip
        objective = self.user_method.objective
        if not objective.stochastic:
            begun = np.asarray(ravel(self.first), float)
            # A manifold or the domain of a mirror map may hold chains by itself.
            held = isinstance(self.user_method.dynamics.geometry, AbstractManifold | AbstractDualFlat)
            self.found["density"] = [] if held else look_back(objective, self.cut, positions, begun, self.temperature)
            if len(lost):
                ends = np.asarray(self.states.position)[lost]
                self.found["cause"] = cause_of_loss(objective, self.cut, ends, self.loss, self.temperature)
        return step.texts

    @property
    def temperature(self) -> float | None:
        """T of the law, where it has one at all times."""
        return constant_temperature(self.method)

    def _spread(self) -> np.ndarray | None:
        """The covariance of the latest draws, where they tell it."""
        if self.latest is None or not _ENOUGH * self.latest.shape[1] <= len(self.latest):
            return None
        rows = self.latest[:: max(1, len(self.latest) // _MOST)].astype(float)
        with np.errstate(all="ignore"):
            return np.atleast_2d(np.cov(rows.T)) if rows.shape[1] <= _MOST // _ENOUGH else None

    def _visited(self) -> np.ndarray:
        """Some of where the chains have been."""
        now = np.asarray(self.states.position)[:_POINTS]
        if self.latest is None:
            return np.concatenate([*self.passed, now])[-_POINTS:] if self.passed else now
        every = max(1, len(self.latest) // _POINTS)
        return np.concatenate([now, self.latest[::every][:_POINTS]])

    def leaves(self) -> tuple[list[np.ndarray], dict[str, Any]]:
        leaves = [np.asarray(leaf) for leaf in jax.tree.leaves((self.states, self.reference))]
        about = {
            "names": named_leaves(self.states)[0],
            "reference": sorted(self.reference), "cell": self.blocks.cell, "state_leaves": len(leaves),
            "warnings": self.warnings, "seen": self._seen(),
        }  # fmt: skip
        return leaves, self._counts() | about

    def _seen(self) -> dict[str, Any]:
        """The numbers that the verdicts are made from."""
        law, plan, temperature = self.method.dynamics, self.blocks, self.temperature
        warm = min(self.done, self.warmup)
        found = {
            "tally": self.tally.about(), "bar": self.tally.bar, "temperature": temperature,
            "steps": [warm * plan.thin, (self.done - warm) * plan.thin],
        } | self.found  # fmt: skip
        if np.isinf(self.tally.bar):
            found["bar"] = None
        if isinstance(law, AbstractDamped):
            # The kinetic energy forgets by friction alone.
            apart = plan.thin * (EVERY if self.moments else 1)
            friction: Any = law.friction_at(law.start_time)
            forgets = float(friction) / float(law.mass) * self._step_size() * apart
            found |= {"degrees": self.degrees, "correlated": 1.0 + 2.0 / max(forgets, 1e-9)}
        accepted, broken = acceptance(self.method, self.states), broken_proposals(self.method, self.states)
        found |= {} if accepted is None else {"acceptances": np.asarray(accepted, float).tolist()}
        return found | ({} if broken is None else {"broken_gradients": np.asarray(broken).tolist()})

    def _step_size(self) -> float:
        clock: Any = self.states.clock
        return float(self.method.step_size_at(clock))

    def restore(self, checkpoint: dict[str, Any]) -> None:
        structure = jax.tree.structure((self.states, self.reference))
        both = checkpoint["leaves"][: checkpoint["state_leaves"]]
        count = len(both) - len(checkpoint["reference"])
        leaves = [jnp.asarray(leaf) for leaf in (*as_now(self.states, checkpoint, both[:count]), *both[count:])]
        self.states, self.reference = jax.tree.unflatten(structure, leaves)
        # A chain that has not moved yet is still where it was.
        self.anchor = np.asarray(self.states.position)
        if "seen" in checkpoint:
            self.tally.restore(checkpoint["seen"]["tally"])

    def _counts(self) -> dict[str, Any]:
        """Gradients taken and the acceptance rate."""
        method, plan = self.user_method, self.blocks
        each = method.gradients_at_start + self.done * plan.thin * method.gradients_per_step
        return {"gradients": plan.chains * each} | self._acceptance()

    def _acceptance(self) -> dict[str, float]:
        accepted = acceptance(self.user_method, self.states)
        return {} if accepted is None else {"acceptance": float(np.mean(np.asarray(accepted)))}

    def tree(self, kept: dict[str, np.ndarray] | Sums, diagnostics: bool | None) -> Any:
        """All of it as an xarray tree."""
        from .._records.samples import build

        about = {
            "status": self.status, "message": self.message, "warnings": self.warnings, "seconds": self.watch.seconds,
            "compile_seconds": self.watch.compile_seconds, "seen": self._seen(),
        } | self._counts()  # fmt: skip
        reference = {name: np.asarray(leaf) for name, leaf in self.reference.items()}
        return build(self.config(), about, self.cut, kept, diagnostics, reference)
