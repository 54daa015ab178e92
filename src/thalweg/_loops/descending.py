"""A descent as a job of the host: it decides, and what is compiled is f with its gradient and a product of the Hessian.

A program of all that is decided takes many times as long to compile as most functions take to be minimised.
"""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from .._methods.method import Method
from .._objectives.objective import AbstractObjective, start_value_and_gradient
from .._objectives.parts import Composed, same
from .._programs import called_often
from .._records.derived import as_now, named_leaves
from .._records.keeper import Rows
from .._records.run import Record
from .._tree import Unravel, Vector, sharded, to_host, unraveler
from ..schemes import PseudoTransient, State, _descent
from ..schemes._arithmetic import Host
from ..schemes._descent import Descent, Goal
from .chunk import last_values
from .drive import AbstractJob, Chunk
from .ending import Stop, first_stop
from .measuring import Measures
from .starting import Start
from .stopwatch import Stopwatch

# What the host knows of every state.
_KNOWN = {"loss", "gradient_norm", "gradients", "step_size"}


class Descending(AbstractJob):
    """The descent of `tw.minimize`, in double precision whatever that of the parameters is.

    Arguments:
        method: a `PseudoTransient` of gradient flow.
        start: its checked start.
        steps: to make at most.
        record: what it keeps.
        stop: when it ends before.
        watch: its time, from before it was prepared.
        by_command: its record tells how it was begun at the command line.
    """

    units = "steps"

    def __init__(
        self, method: Method, start: Start, steps: int, record: Record, stop: Stop | None, watch: Stopwatch,
        by_command: bool,
    ) -> None:  # fmt: skip
        super().__init__(watch)
        self.total, self._stop, self.by_command = steps, stop, by_command
        assert isinstance(method.scheme, PseudoTransient) and isinstance(start.objective, AbstractObjective)
        self.start, self.scheme, self._objective = start, method.scheme, start.objective
        self.stride, self.checkpoint_seconds = record.positions, record.checkpoint_seconds
        self.cut = unraveler(start.x0)
        self.shown = self.cut if start.join is same else Composed(start.join, self.cut)
        self.method = (method if start.join is same else method.joined(start.join)).flattened(self.cut)
        self.label = type(method.dynamics).__name__
        vector = to_host(start.x0)
        self._dtype, self._x = vector.dtype, vector.astype(float)
        self._places = jax.tree.map(lambda leaf: leaf.sharding, start.x0) if sharded(start.x0) else None
        self._evaluated = called_often(_value_and_gradient, (self._objective, self.cut))
        self._step_size = float(method.step_size)  # pyright: ignore[reportArgumentType]
        with np.errstate(all="ignore"):
            energy, slope = self._value_and_slope(self._x)
            product = self._product(_descent.direction(Host, slope))
            self._memory: Descent = _descent.begun(
                Host, self._x, energy, slope, product, self._goal, self.scheme.memory, self._step_size
            )
        self.measures = Measures(record, self.method, self.state, None, self.shown)

    @property
    def names(self) -> tuple[str, ...]:
        """The columns of every step."""
        return self.measures.columns

    @property
    def gradients(self) -> int:
        """Gradients taken so far, products as two."""
        return self._memory.gradients

    @property
    def counted(self) -> int:
        """The same, which takes no counting."""
        return self.gradients

    @property
    def time(self) -> float:
        """The time of the state, whose steps count as one each."""
        return self._step_size * self.done

    @property
    def state(self) -> State:
        """The state as a scheme has it, its memory of NumPy's arrays."""
        return State(jnp.asarray(self._x, self._dtype), memory=jax.tree.map(np.asarray, self._memory))

    def _tree(self, x: np.ndarray) -> Vector:
        return jax.device_put(self.cut(x), self._places)

    def _value_and_slope(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        if self._places is None:
            value, slope = self._evaluated(x.astype(self._dtype))
        else:
            value, slope = start_value_and_gradient(self._objective, self._tree(x))
        if not hasattr(self, "_goal"):
            found: Goal = self.scheme.goal(self.start.x0, value)
            budget = None if found.budget is None else int(found.budget)
            self._goal = found._replace(
                tolerance=float(found.tolerance), relative=float(found.relative), budget=budget
            )  # fmt: skip
        return float(value), _flat(slope)

    def _product(self, v: np.ndarray) -> np.ndarray:
        # Of a vector of length 1, which no precision is too small for.
        size = Host.length(v)
        size = size if size > 0 else 1.0
        found = _hessian_product(self._objective, self._tree(self._x), self._tree(v / size))
        return size * _flat(jax.device_get(found))

    def _rounded(self, x: np.ndarray) -> np.ndarray:
        if len(self.cut.dtypes) == 1:
            return x.astype(self._dtype).astype(float)
        return _flat(self.cut(x))

    def plan(self, wanted: int | None) -> Chunk | None:
        wanted = self.measures.until_due(self.done, 64 if wanted is None else wanted)
        return Chunk(max(1, min(wanted, self.total - self.done)), None)

    def advance(self, chunk: Chunk) -> Any:
        columns: dict[str, list[float]] = {name: [] for name in self.names}
        positions: list[np.ndarray] = []
        called = self.measures.row(self.method, self.state, self.done) if self.measures.called else {}
        made = 0
        with np.errstate(all="ignore"):
            while made < chunk.size and self._memory.code == _descent.GOING:
                row = self._row(self.done + made)
                if self._stops(self.done + made, row):
                    break
                for name, value in row.items():
                    columns[name].append(value)
                if self.stride and (self.done + made) % self.stride == 0:
                    positions.append(self._x.astype(self._dtype))
                self._step()
                made += 1
        found = {name: np.asarray(column, float) for name, column in columns.items()}
        if made:
            found |= {name: np.append(value, np.full(made - 1, np.nan)) for name, value in called.items()}
        return made, found, positions

    def _stops(self, step: int, row: dict[str, float]) -> bool:
        if self._stop is None:
            return False
        columns = {"step": np.array([step]), "time": np.array([self._step_size * step])}
        if first_stop(self._stop, columns | {name: np.array([value]) for name, value in row.items()}) is None:
            return False
        self.status, self.message = "stopped", f"stopped at step {step}, where the stop condition was met"
        return True

    def _step(self) -> None:
        old, x = self._memory, self._x
        if old.mode == _descent.LOOK:
            asked = old.search.asked(Host)
            product = old.scale * self._product(old.scale * asked)
            self._memory = _descent.after_look(Host, old, x, asked, product, self._goal)
            return
        move = _descent.proposed(Host, old, x, self._rounded)
        energy, slope = self._value_and_slope(move.there)
        self._x, self._memory = _descent.after_trial(Host, old, x, move, energy, slope, self._goal)

    def _row(self, step: int) -> dict[str, float]:
        now, row = self._memory, {}
        known = {"loss": lambda: now.energy, "gradient_norm": lambda: Host.length(now.slope),
                 "gradients": lambda: now.gradients, "step_size": lambda: self._step_size}  # fmt: skip
        others = tuple(metric for metric in self.measures.traced if metric.name not in _KNOWN)
        if others:
            row = last_values(self.method, self.state, np.int64(step), others, self.shown, None)
        return {name: float(known[name]() if name in known else row[name]) for name in self.names}

    def take(self, chunk: Chunk, found: Any) -> Rows:
        made, columns, positions = found
        steps = np.arange(self.done, self.done + made)
        rows = Rows(
            {"step": steps, "time": self._step_size * steps} | columns,
            self._arrays(steps[steps % self.stride == 0], positions) if self.stride and positions else {},
        )
        self.done += made
        self.newest = self._memory.energy
        self._judge()
        return rows

    def _judge(self) -> None:
        end = self.scheme.termination(self.state)
        if end is not None and not self.message:
            self.status, self.message = end.status, end.message

    def _arrays(self, steps: np.ndarray, positions: list[np.ndarray]) -> dict[str, np.ndarray]:
        return {"step": steps, "time": self._step_size * steps, "position": np.stack(positions)}

    def finish(self) -> Rows:
        """The row of the final state."""
        row: dict[str, Any] = {"step": np.array([self.done]), "time": np.array([self.time])}
        row |= {name: np.array([value]) for name, value in self._row(self.done).items()}
        last = self.measures.row(self.method, self.state, self.done, last=True) if self.measures.called else {}
        row |= {name: np.array([value]) for name, value in last.items()}
        self.message = self.message or f"made {self.total} steps"
        whole = self.stride and self.done % self.stride == 0
        return Rows(row, self._arrays(np.array([self.done]), [self._x.astype(self._dtype)]) if whole else {})

    def leaves(self) -> tuple[list[np.ndarray], dict[str, Any]]:
        names, leaves = named_leaves(self.state)
        return leaves, {"names": names, "time": self.time, "gradients": self.gradients}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        state = self.state
        found = jax.tree.unflatten(jax.tree.structure(state), as_now(state, checkpoint, checkpoint["leaves"]))
        self._x = np.array(found.position, float)
        # Numbers are Python's again.
        self._memory = jax.tree.map(lambda leaf: np.array(leaf) if np.ndim(leaf) else leaf.item(), found.memory)
        self._judge()


def _flat(tree: Any) -> np.ndarray:
    """Arrays of NumPy as one vector in double precision."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(tree)]
    if len(leaves) == 1:
        return leaves[0].ravel().astype(float)
    return np.concatenate([leaf.ravel().astype(float) for leaf in leaves])


def _value_and_gradient(bound: tuple[AbstractObjective, Unravel], x: Any) -> Any:
    objective, cut = bound
    return objective.value_and_gradient(cut(x), None)


@eqx.filter_jit
def _hessian_product(objective: AbstractObjective, x: Vector, v: Vector) -> Vector:
    return objective.hessian_vector_product(x, v)
