"""A run as a job: chunks of steps, judged by their losses, with their metrics and positions."""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import Array

from .._methods.method import Method
from .._objectives.batches import EndedError
from .._objectives.objective import start_value_and_gradient
from .._records.derived import as_now, named_leaves
from .._records.keeper import Rows
from .._records.run import Record
from .._tree import ravel, to_host
from ..dynamics._curved import slope_norm
from ..schemes import State, Termination
from .chunk import advance, last_values
from .drive import AbstractJob, Chunk
from .ending import Stop, diverged, falls_for_ever, first_bad, first_stop, limit_at_start, unmoved
from .ensemble import said_of
from .starting import Prepared
from .stopwatch import Stopwatch

# A chunk's scalars are kept on the device until it ends; a longer buffer makes a chunk no faster.
_SCALARS = 16384
_POSITION_BYTES = 32 * 2**20
# A loss of so many steps falls for ever where the last tenth of them is at least so much of its fall.
_LONG, _STILL = 20, 0.03
# Metrics whose last row is made here, from programs that a run has in any case.
_BY_HOST = {"loss", "gradient_norm", "gradients"}


class _Plan(NamedTuple):
    length: int
    segments: int


class Running(AbstractJob):
    """The host's side of one run.

    Arguments:
        prepared: its start.
        steps: to make.
        key: of what it draws.
        record: what it keeps.
        stop: when it ends.
        watch: its time, from before it was prepared.
        by_command: its record tells how it was begun at the command line.
    """

    units = "steps"

    def __init__(
        self, prepared: Prepared, steps: int, key: Any, record: Record, stop: Stop | None, watch: Stopwatch,
        by_command: bool,
    ) -> None:  # fmt: skip
        super().__init__(watch)
        self.total, self.key, self.stop, self.by_command = steps, key, stop, by_command
        self.stride, self.checkpoint_seconds = record.positions, record.checkpoint_seconds
        self.method, self.state, self.start = prepared.method, prepared.state, prepared.start
        self.measures, self.cut, self.shown = prepared.measures, prepared.cut, prepared.shown
        self.whole, self.feed = prepared.whole, prepared.feed
        self.label = type(self.method.plain.dynamics).__name__
        # The loss of the state, where a chunk has told it.
        self._loss: float | None = None
        # And a tenth of all steps before, or as far back as the last chunk goes.
        self._recent: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The columns that the compiled loop fills."""
        return self.measures.columns

    @property
    def gradients(self) -> int:
        """Gradients taken so far."""
        return self.counted()

    @property
    def counted(self) -> Callable[[], int]:
        """Function that counts them: what it traces, a short run need not wait for."""
        return functools.partial(Method.gradients_after, self.method, self.state, self.done)

    @property
    def time(self) -> float:
        """The time of the state."""
        if self.state.clock is not None:
            return float(self.state.clock.time)
        first, step = self._times
        return first + step * self.done

    @functools.cached_property
    def _times(self) -> tuple[float, float]:
        """The time at the start and that of a step, where all are alike."""
        return float(self.method.dynamics.start_time), float(self.method.step_size)  # pyright: ignore

    def begin(self) -> None:
        if self.feed is not None:
            self.feed.begin(self.done)

    def close(self) -> None:
        if self.feed is not None:
            self.feed.close()

    def plan(self, wanted: int | None) -> Chunk | None:
        if self.feed is not None and not self.feed.reach(self.done):
            return self._starved(self.feed.block.failure)
        left = self.total - self.done
        wanted = 64 if wanted is None else wanted
        if self.names or not self.method.autonomous:
            wanted = min(wanted, self._most)
        if self.feed is not None:
            wanted = min(wanted, self.feed.reach(self.done))
        stride, rows = self.stride, self._rows_per_chunk
        wanted = self.measures.until_due(self.done, wanted)
        if not stride:
            return _chunk(min(wanted, left), 1)
        to_mark = stride - self.done % stride
        if rows == 0 or to_mark < stride or left < stride or wanted < stride:
            return _chunk(min(wanted, left, to_mark), 1)
        return _chunk(stride, min(rows, wanted // stride, left // stride))

    def _starved(self, failure: BaseException | None) -> None:
        """There is no batch for this step: the run ends here."""
        assert failure is not None
        if not isinstance(failure, EndedError):
            raise failure
        self.status = "stopped"
        self.message = f"stopped at step {self.done} of {self.total}, where the batches ended"

    @property
    def _most(self) -> int:
        """Steps of a chunk at most, where it keeps scalars or takes batches."""
        return _SCALARS if self.feed is None else min(_SCALARS, self.feed.capacity)

    @property
    def _rows_per_chunk(self) -> int:
        """Rows of positions a chunk keeps on the device; 0 where the host takes them between chunks."""
        if not self.stride or self.whole:
            return 0
        row_bytes = sum(leaf.nbytes for leaf in jax.tree.leaves((self.state.position, self.state.buffer)))
        rows = min(_POSITION_BYTES // max(row_bytes, 1), self._most // self.stride)
        # A power of two where fewer will do, so that another number of steps seldom compiles anew.
        rows = min(rows, 1 << (self.total // self.stride + 1).bit_length())
        return rows if rows >= 2 else 0

    def advance(self, chunk: Chunk) -> Any:
        return self._advance(self.state, chunk.plan.segments, chunk.plan.length)

    def _advance(self, state: State, segments: int, length: int) -> Any:
        # Of a fixed size, so that another number of steps compiles nothing anew.
        scalars = self._most if self.names or not self.method.autonomous else 0
        block = None if self.feed is None else self.feed.block
        return advance(
            self.method, state, self.key, np.int64(self.done), np.int64(segments), np.int64(length),
            self.measures.traced, self.names, scalars, self._rows_per_chunk, self.shown,
            None if block is None else block.arrays, np.int64(0 if block is None else self.done - block.start),
        )  # fmt: skip

    def take(self, chunk: Chunk, found: Any) -> Rows:
        state, kept, positions, sound = found
        columns = self._to_columns(kept, chunk.size)
        end = self.method.scheme.termination(state)
        good = self._judge(state, columns, chunk.size, sound, end)
        # What has ended by itself stays where it is, so that no step was made after the last that counts.
        rests = end is not None and self.done + good == end.steps
        if good < chunk.size and not rests:
            # Deterministic steps: the state at the step that ended the run is made again from the chunk's start.
            state, self._loss = jax.block_until_ready(self._advance(self.state, 1, good))[0], None
        columns = {name: column[:good] for name, column in columns.items()}
        if "loss" in columns and good:
            since = self.total - max(1, self.total // 10) - self.done
            self._recent = float(columns["loss"][min(max(0, since), good - 1)])
        rows = Rows(columns, self._positions(columns, good, positions))
        self.done += good
        self.state = state
        return rows

    def _positions(self, columns: dict[str, np.ndarray], good: int, kept: dict[str, Array]) -> dict[str, np.ndarray]:
        """The rows of the trace of a chunk, from its start."""
        if not self.stride or self.done % self.stride:
            return {}
        # A chunk keeps the row at its start even where it is shorter than the stride. The same program must make every
        # row: another rounds a look-ahead method's position otherwise, and chunks are cut by the clock.
        at = np.arange(0, good, self.stride)
        if not len(at):
            return {}
        parts = {part: np.asarray(array)[: len(at)] for part, array in (kept or _host_parts(self.state)).items()}
        return {"step": columns["step"][at], "time": columns["time"][at], **parts}

    def _to_columns(self, kept: dict[str, Array], taken: int) -> dict[str, np.ndarray]:
        columns = {name: np.asarray(kept[name])[:taken] for name in self.names}
        steps = np.arange(self.done, self.done + taken)
        if "gradients" in columns and not self.method.gradients_vary:
            columns["gradients"] = (self.method.gradients_at_start + steps * self.method.gradients_per_step).astype(
                float
            )
        if self.method.autonomous:
            first, step = self._times
            times = first + step * steps
        else:
            times = np.asarray(kept["time"])[:taken]
        if self.measures.called:
            batch = self._batch(self.done)
            for name, value in self.measures.row(self.method, self.state, self.done, batch).items():
                columns[name] = np.append(value, np.full(taken - 1, np.nan))
        return {"step": steps, "time": times} | columns

    def _judge(
        self, after: State, columns: dict[str, np.ndarray], taken: int, sound: tuple[Array, Array | None],
        end: Termination | None,
    ) -> int:  # fmt: skip
        """Count the steps of a chunk that are kept; set the status where the run ends."""
        if end is not None:
            # What has ended stays where it is, so that no later row could say otherwise.
            columns = {name: column[: end.steps - self.done] for name, column in columns.items()}
            taken = end.steps - self.done
        finite, loss = jax.device_get(sound)
        self._loss = None if loss is None else float(loss)
        if self.feed is not None and "loss" in self.names:
            loss = self._loss_of(after, self.done + taken)
        losses = None if loss is None else np.append(columns["loss"], loss)
        bad = None
        if losses is not None:
            assert self.start.loss is not None
            bad = first_bad(losses, self.start.loss)
        if bad is None and not finite:
            bad = self._last_finite(taken) + 1
        # What happens first decides, so that the end does not depend on where chunks were cut.
        hit = first_stop(self.stop, {name: column[:bad] for name, column in columns.items()})
        if hit is not None:
            self.status = "stopped"
            self.message = f"stopped at step {self.done + hit}, where the stop condition was met"
            return hit
        if bad is not None:
            good = max(bad - 1, 0)
            around = self._losses_around(losses, good)
            self.status, message = diverged(self.method, around, self.start.loss, self.done + bad)
            where = "" if self.feed is None else " of the first mini-batch"
            at_start = (
                ""
                if self.status == "unbounded"
                else limit_at_start(self.method, self.start.objective, self.start.x0, where)
            )
            self.message = message + at_start
            return good
        if end is not None:
            self.status, self.message = end.status, end.message
            return taken
        if losses is not None:
            self.newest = float(losses[-2])
        return taken

    def _losses_around(self, losses: np.ndarray | None, good: int) -> np.ndarray:
        """The last loss that counts and the one after it."""
        if losses is not None:
            return losses[good : good + 2]
        if self.start.objective is None:
            return np.full(2, np.nan)
        return self._loss_of(self._advance(self.state, 1, good)[0], self.done + good)[None]

    def _loss_of(self, state: State, step: int) -> np.ndarray:
        objective = self.method.objective_at(state)
        assert objective is not None
        batch = self._batch(step)
        return np.asarray(start_value_and_gradient(objective, state.lookahead, batch)[0])

    def _batch(self, step: int) -> Any:
        """The mini-batch of a step where they come from the host, with its key where the loss takes one."""
        if self.feed is None:
            return None
        samples, key = self.feed.seen_from(step), self.method.draw_batch(self.key, step)
        return samples if key is None else (samples, key)

    def _last_batch(self) -> Any:
        """The batch of the step before the end, without a key."""
        if self.feed is None:
            return None
        objective: Any = self.method.objective
        return (self.feed.last(self.done), None) if objective.stochastic else self.feed.last(self.done)

    def _last_finite(self, taken: int) -> int:
        low, high = 0, taken
        while high - low > 1:
            middle = (low + high) // 2
            finite, _ = self._advance(self.state, 1, middle)[3]
            low, high = (middle, high) if finite else (low, middle)
        return low

    def finish(self) -> Rows:
        """The row of the final state."""
        objective = self.method.objective
        # The last row has no step of its own: its loss is on the whole of the data (a stream has the last batch alone),
        # its time the clock's.
        row: dict[str, Any] = {"step": np.array([self.done]), "time": np.array([self.time])}
        value = gradient = None
        batch = self._last_batch()
        if {"loss", "gradient_norm"} & set(self.names):
            assert objective is not None
            if self._loss is not None and not objective.stochastic and "gradient_norm" not in self.names:
                value = self._loss
            else:
                now: Any = self.method.objective_at(self.state)
                value, gradient = start_value_and_gradient(now, self.state.lookahead, batch)
        rest = tuple(metric for metric in self.measures.traced if metric.name not in _BY_HOST)
        others = last_values(self.method, self.state, np.int64(self.done), rest, self.shown, batch) if rest else {}
        others |= self.measures.row(self.method, self.state, self.done, batch, last=True)
        for name in (*self.names, *(name for name in others if name not in self.names)):
            if name == "loss":
                self.newest = float(value)  # pyright: ignore[reportArgumentType]
                row[name] = np.array([self.newest])
            elif name == "gradient_norm":
                row[name] = np.array([float(slope_norm(self.method.dynamics.geometry, self.state.lookahead, gradient))])
            elif name == "gradients":
                row[name] = np.array([float(self.gradients)])
            else:
                row[name] = np.array([float(others[name])])
        rows = {}
        if self.stride and self.done % self.stride == 0:
            rows = {"step": row["step"], "time": row["time"], **_host_parts(self.state)}
        if not self.message:
            # Where steps differ in length their number does not say how far they went.
            far = f", up to time {self.time:g}" if self.method.scheme.adaptive else ""
            self.message = f"made {self.total} steps{far}{self._unsolved()}{self._unbounded(value, gradient)}"
            self.message += self.method.scheme.remark(self.state)
            if self.feed is None and self.start.objective is not None and self.total:
                self.message += unmoved(self.method, self.start.x0, self.state.position, self.cut, gradient)
            self.message += said_of(self.method, self.start.x0, self.state.position)
        return Rows(row, rows)

    def _unsolved(self) -> str:
        """Words for steps that were not solved to the tolerance of the scheme."""
        scheme: Any = self.method.scheme
        # An adaptive scheme rejects them.
        if scheme.adaptive or not all(hasattr(scheme, name) for name in ("failures", "tolerance")):
            return ""
        count = int(scheme.failures(self.state))
        if not count:
            return ""
        return (
            f", {count} of which were not solved to the tolerance {float(scheme.tolerance):g} "
            f"of {type(scheme).__name__}; take a shorter step, a tolerance that f can be computed to, or more precision"
        )

    def _unbounded(self, value: Any, gradient: Any) -> str:
        """Words for a function that falls for ever, and the status that says so."""
        objective, law = self.method.objective, self.method.dynamics
        if value is None or objective is None or law.geometry is not None or self.method.normals or not self.total:
            return ""
        first = self.start.loss
        if self.feed is not None or objective.time_dependent or first is None or not float(value) < first:
            return ""
        # After a few steps nothing is for ever, and what slows down comes to rest: those need not be asked.
        if self.total < _LONG or (
            self._recent is not None and not self._recent - float(value) > _STILL * (first - float(value))
        ):
            return ""
        if gradient is None:
            gradient = start_value_and_gradient(objective, self.state.lookahead)[1]
        start = self.start.x0 if self.whole else ravel(self.start.x0)
        found = falls_for_ever(objective, start, self.state.lookahead, float(value), gradient)
        self.status = "unbounded" if found else self.status
        return found

    def leaves(self) -> tuple[list[np.ndarray], dict[str, Any]]:
        names, leaves = named_leaves(self.state)
        if self.state.geometry is not None and self.state.lookahead_weight is not None:
            # In curved space it does not follow from the rest by arithmetic, for whoever reads the directory.
            names, leaves = [*names, "ahead"], [*leaves, to_host(self.state.lookahead)]
        return leaves, {"names": names, "time": self.time, "gradients": self.gradients}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        leaves, structure = jax.tree.flatten(self.state)
        # A leaf on one device stays free to go where the sharded ones are.
        placed = [
            jax.device_put(new, old.sharding if len(old.sharding.device_set) > 1 else None)
            for new, old in zip(as_now(self.state, checkpoint, checkpoint["leaves"]), leaves, strict=True)
        ]
        self.state = jax.tree.unflatten(structure, placed)


def _chunk(length: int, segments: int) -> Chunk:
    return Chunk(length * segments, _Plan(length, segments))


def _host_parts(state: State) -> dict[str, np.ndarray]:
    parts = {"position": to_host(state.position)[None]}
    return parts if state.velocity is None else parts | {"velocity": to_host(state.velocity)[None]}
