"""A sweep as a job: batches of settings side by side, and chunks of their steps."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from .._errors import as_key
from .._methods.method import Method
from .._objectives.parts import Composed, parted, same
from .._records.keeper import Rows
from .._records.metrics import Metric, look
from .._records.sweep import column_file
from .._tree import on_device, ravel, unraveler
from ..schemes import Draws, State
from .drive import AbstractJob, Chunk
from .stopwatch import Stopwatch

# Of the numbers that a chunk keeps on the device.
_ROW_BYTES = 64 * 2**20
# Steps of one batch that keep their numbers in a chunk, at least.
_FEWEST_STEPS = 16
# Steps of a first chunk, whose speed is not known: more where those side by side are so small that a step is quick.
_FIRST, _FIRST_QUICK, _QUICK_BYTES = 64, 512, 2**18
# Bytes of last positions and of settings that a chunk has.
_END_BYTES = 32 * 2**20


class Sweeping(AbstractJob):
    """The host's side of a sweep.

    Arguments:
        make_method: as in `tw.sweep`.
        settings: an array (n,) a hyperparameter.
        seeds: runs of each setting.
        start: a function of a key that gives the start.
        steps: of each run.
        metrics, columns: what is kept of every step, and the columns that it fills.
        at_once: runs side by side.
        row_bytes: of a raveled start.
        watch: its time.
        label: what is running.
    """

    units = "steps"

    def __init__(
        self, make_method: Callable[..., Method], settings: dict[str, np.ndarray], seeds: int, start: Callable,
        steps: int, metrics: tuple[Metric, ...], columns: tuple[str, ...], at_once: int, row_bytes: int,
        watch: Stopwatch, label: str,
    ) -> None:  # fmt: skip
        super().__init__(watch)
        self.make_method, self.start, self.steps = make_method, start, steps
        self.metrics, self.columns = metrics, columns
        self.runs = seeds * len(next(iter(settings.values())))
        self.at_once, self.batches = at_once, -(-self.runs // at_once)
        self.total, self.label = self.batches * steps, label
        # Every pair of a setting and a seed, the seed the faster index; the last batch is filled up with its last pair.
        self._settings, self._seeds = settings, seeds
        step_bytes = 8 * len(columns) * at_once
        self.first_chunk = _FIRST_QUICK if at_once * row_bytes <= _QUICK_BYTES else _FIRST
        self.span = min(steps, max(_FEWEST_STEPS, _ROW_BYTES // max(step_bytes, 1))) if columns else 0
        room = min(
            _ROW_BYTES // max(step_bytes * (self.span + 1), 1) if columns else self.batches,
            _END_BYTES // max(at_once * row_bytes, 1),
        )
        # With room for whole batches alone; a power of two, so that another number of settings seldom compiles anew.
        self.abreast = min(1 << (self.batches - 1).bit_length(), 1 << max(room.bit_length() - 1, 0))
        if columns and self.span < steps:
            self.abreast = 1
        # Of the batch that is begun: its states, and its rows so far.
        self.states: Any = None
        self.begun: dict[str, np.ndarray] = {}

    @property
    def done_runs(self) -> int:
        """Runs made to their end."""
        return min(self.done // self.steps * self.at_once, self.runs)

    @property
    def so_far(self) -> str:
        return f"{self.done_runs} of {self.runs} runs"

    def plan(self, wanted: int | None) -> Chunk:
        """Some steps of one batch, or some whole batches: `plan` is (batch, batches, first step, last step)."""
        batch, step = divmod(self.done, self.steps)
        wanted = self.first_chunk if wanted is None else wanted
        whole = min(wanted // self.steps, self.abreast, self.batches - batch)
        if step == 0 and whole and not (self.columns and self.span < self.steps):
            return Chunk(whole * self.steps, (batch, whole, 0, self.steps))
        last = min(step + wanted, self.steps)
        last = min(last, step + self.span) if self.columns else last
        return Chunk(last - step, (batch, 1, step, last))

    def advance(self, chunk: Chunk) -> Any:
        batch, count, first, last = chunk.plan
        pairs = (batch + np.arange(self.abreast))[:, None] * self.at_once + np.arange(self.at_once)
        pairs = np.minimum(pairs, self.runs - 1)
        settings = {name: on_device(values[pairs // self._seeds], float) for name, values in self._settings.items()}
        seeds = on_device(pairs % self._seeds)
        if self.states is None:
            self.states = _blank(self.make_method, settings, self.start, seeds)
        return _advance(
            self.make_method, settings, self.start, seeds, self.states, np.int64(count), np.int64(first),
            np.int64(last), self.metrics, self.columns, self.span,
        )  # fmt: skip

    def take(self, chunk: Chunk, found: Any) -> Rows:
        batch, count, first, last = chunk.plan
        self.states, kept, ends = found
        self.done += chunk.size
        # A batch of which there is more to come is kept aside.
        parts = {name: np.asarray(rows)[:count] for name, rows in kept.items()}
        parts = {name: rows[:, : last - first + (last == self.steps)] for name, rows in parts.items()}
        if self.begun:
            parts = {name: np.concatenate([self.begun[name], rows], axis=1) for name, rows in parts.items()}
        if last < self.steps:
            self.begun = parts
            return Rows()
        self.begun = {}
        arrays = {name: np.asarray(rows)[:count] for name, rows in ends.items()}
        arrays |= {column_file(name): np.moveaxis(rows, 1, 2) for name, rows in parts.items()}
        # Without what the last batch was filled up with.
        made = min((batch + count) * self.at_once, self.runs) - batch * self.at_once
        return Rows(arrays={name: rows.reshape(-1, *rows.shape[2:])[:made] for name, rows in arrays.items()})

    def finish(self) -> None:
        if not self.message:
            self.message = f"made {self.runs} runs of {self.steps} steps"

    def leaves(self) -> tuple[list[np.ndarray], dict[str, Any]]:
        leaves = list(self._settings.values())
        about: dict[str, Any] = {"settings": list(self._settings), "runs": self.done_runs, "begun": []}
        if self.done % self.steps:
            about["begun"] = list(self.begun)
            leaves += [*self.begun.values(), *map(np.asarray, jax.tree.leaves(self.states))]
        return leaves, about

    def restore(self, checkpoint: dict[str, Any]) -> None:
        if not checkpoint["step"] % self.steps:
            return
        leaves = checkpoint["leaves"][len(self._settings) :]
        names = checkpoint["begun"]
        self.begun = dict(zip(names, leaves[: len(names)], strict=True))
        seeds = np.zeros((self.abreast, self.at_once), int)
        settings = {name: np.zeros(seeds.shape) for name in self._settings}
        like = jax.eval_shape(lambda s, k: _blank(self.make_method, s, self.start, k), settings, seeds)
        self.states = jax.tree.unflatten(jax.tree.structure(like), list(map(jnp.asarray, leaves[len(names) :])))


def _begin(make_method: Callable[..., Method], setting: dict[str, Array], start: Callable, key: Any) -> State:
    x0, join = parted(start(key))
    return make_method(**setting).joined(join).flattened(unraveler(x0)).init(ravel(x0))


@eqx.filter_jit
def _blank(make_method: Callable[..., Method], settings: dict[str, Array], start: Callable, seeds: Array) -> State:
    """States of the shapes of a batch."""
    one = jax.tree.map(lambda leaf: leaf[0], settings)
    shapes = jax.eval_shape(lambda s, k: _starts(make_method, s, start, k)[0], one, seeds[0])
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)


def _starts(make_method: Callable[..., Method], settings: dict[str, Array], start: Callable, seeds: Array) -> Any:
    """The states at the start, and the keys, of a batch."""

    def one(setting: dict[str, Array], seed: Array) -> tuple[State, Array]:
        key, start_key = jax.random.split(jax.random.key(seed))
        return _begin(make_method, setting, start, start_key), key

    return jax.vmap(one)(settings, seeds)


@eqx.filter_jit
def _advance(
    make_method: Callable[..., Method], settings: dict[str, Array], start: Callable, seeds: Array, states: State,
    count: Any, first: Any, last: Any, metrics: tuple[Metric, ...], columns: tuple[str, ...], span: int,
) -> tuple[State, dict[str, Array], dict[str, Array]]:  # fmt: skip
    """Of `count` batches the steps from `first` to `last`: the last batch's states, the metrics, and the ends.

    The first step of a batch begins it; from any other it goes on with the states it is given.
    """
    steps_kept = span + 1
    x0, join = parted(start(as_key(0)))
    cut = unraveler(x0)
    shown = cut if join is same else Composed(join, cut)

    def method_of(setting: dict[str, Array]) -> Method:
        return make_method(**setting).joined(join).flattened(cut)

    def seen(method: Method, state: State, step: Any, batch: Any) -> dict[str, Array]:
        found = {}
        for metric in metrics:
            found |= metric.columns(metric.fn(look(method, state, step, batch, same if metric.ours else shown)))
        return {name: jnp.asarray(found[name], float) for name in columns}

    def step(setting: dict[str, Array], key: Array, state: State, k: Array) -> tuple[State, dict[str, Array]]:
        method = method_of(setting)
        draws = method.draw(key, state.position, k) if method.stochastic else Draws()
        if not metrics:
            return method.step(state.with_lookahead(), draws), {}
        state = method.evaluated(state, draws.batch)
        return method.step(state, draws), seen(method, state, k, draws.batch)

    def end(setting: dict[str, Array], state: State) -> tuple[dict[str, Array], dict[str, Array]]:
        method = method_of(setting)
        objective = method.objective_at(state)
        value = jnp.full((), jnp.nan) if objective is None else objective.value(state.lookahead)
        # The last row has no step of its own, and is of the whole of the data.
        found = seen(method, method.evaluated(state), last, None) if metrics else {}
        found |= {"loss": jnp.asarray(value, float)} if "loss" in found else {}
        return {"final_loss": value, "position": state.position}, found

    def put(rows: Array, at: tuple[Array, ...], row: Array) -> Array:
        # Without a look at whether the place exists, which costs as much as a small step.
        return jax.lax.dynamic_update_slice(
            rows, row[(None,) * len(at)], (*(i.astype(int) for i in at), *(0,) * row.ndim)
        )

    def batch(j: Array, carry: Any) -> Any:
        states, kept, ends = carry
        own = {name: values[j] for name, values in settings.items()}
        begun, keys = _starts(make_method, own, start, seeds[j])
        states = jax.lax.cond(first == 0, lambda: begun, lambda: states)

        def one(k: Array, carry: Any) -> Any:
            states, kept = carry
            states, found = jax.vmap(step, (0, 0, 0, None))(own, keys, states, k)
            return states, {name: put(kept[name], (j, k - first), found[name]) for name in columns}

        states, kept = jax.lax.fori_loop(first, last, one, (states, kept))
        now, found = jax.vmap(end)(own, states)
        kept = {name: put(kept[name], (j, last - first), found[name]) for name in columns}
        return states, kept, {name: put(ends[name], (j,), now[name]) for name in ends}

    rows = seeds.shape
    one = jax.tree.map(lambda leaf: leaf[0], settings)
    shapes = jax.eval_shape(lambda s, x: jax.vmap(end)(s, x)[0], one, states)
    ends = {name: jnp.zeros((rows[0], *leaf.shape), leaf.dtype) for name, leaf in shapes.items()}
    kept = {name: jnp.zeros((rows[0], steps_kept, rows[1]), float) for name in columns}
    return jax.lax.fori_loop(0, count, batch, (states, kept, ends))
