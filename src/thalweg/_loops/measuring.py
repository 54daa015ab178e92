"""Metrics of a run, on the host's side: which columns they fill, and those that the host takes itself."""

import warnings
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np

from .._errors import InputError
from .._methods.method import Method
from .._records.metrics import Metric, columns, look, taken
from .._records.run import Record
from ..schemes import State
from .chunk import seen_by_host

# Ours that any state has, and those that an objective gives: they need no look at what they are given.
_ALWAYS, _OF_OBJECTIVE = {"step_size", "gradients"}, {"loss", "gradient_norm"}


class Measures:
    """The metrics of one run.

    Attributes:
        traced: those of every step, compiled into it.
        called: those that the host takes every so many steps.
        columns: what the traced ones fill.

    Raises:
        InputError: a metric cannot be taken at the start.
    """

    def __init__(self, record: Record, method: Method, state: State, key: Any, cut: Callable) -> None:
        self._key, self._cut, self._failed = key, cut, False
        self.traced = tuple(metric for metric in record.parsed if metric.every == 1)
        self.called = tuple(metric for metric in record.parsed if metric.every > 1)
        self.columns = tuple(name for metric in self.traced for name in self._columns(metric, method, state))
        self._rows = {metric: tuple(self._taken(metric, method, state)) for metric in self.called}
        names = self.columns + tuple(name for row in self._rows.values() for name in row)
        if len(set(names)) < len(names):
            raise InputError(f"metrics must fill columns of their own, but fill {', '.join(names)}")

    def _columns(self, metric: Metric, method: Method, state: State) -> tuple[str, ...]:
        plain = _ALWAYS if method.objective is None else _ALWAYS | _OF_OBJECTIVE
        plain = plain | ({"speed"} if method.dynamics.order == 2 else set())
        if metric.ours and metric.name in plain:
            return (metric.name,)
        seen = eqx.filter_eval_shape(lambda method, state: self._seen(method, state), method, state)
        return columns(metric, seen)

    def _seen(self, method: Method, state: State) -> Any:
        batch = method.draw_batch(self._key, 0)
        return look(method, method.evaluated(state, batch), 0, batch, self._cut)

    def _taken(self, metric: Metric, method: Method, state: State) -> dict[str, float]:
        return taken(metric, jax.block_until_ready(seen_by_host(method, state, self._key, np.int64(0), self._cut)))

    def until_due(self, step: int, most: int) -> int:
        """Steps to the next one at which the host takes a metric."""
        return min([most, *(metric.every - step % metric.every for metric in self.called)])

    def row(self, method: Method, state: State, step: int, batch: Any = None, last: bool = False) -> dict[str, float]:
        """Numbers that the host takes of a state, NaN where it is not the turn of a metric or it fails."""
        due = [metric for metric in self.called if last or step % metric.every == 0]
        found = {name: np.nan for names in self._rows.values() for name in names}
        if not due:
            return found
        # The last row has no step of its own, and is of the whole of the data.
        seen = seen_by_host(method, state, None if last else self._key, np.int64(step), self._cut, batch)
        for metric in due:
            try:
                now = taken(metric, seen)
                if set(now) != set(self._rows[metric]):
                    raise InputError(f"metric {metric.name!r} gives {', '.join(now)} and gave other names before")
                found |= now
            except InputError as error:
                self._say(f"{error}, at step {step}: its row has NaN")
        return found

    def _say(self, text: str) -> None:
        if not self._failed:
            warnings.warn(text, RuntimeWarning, stacklevel=2)
        self._failed = True
