"""Keepers of what runs: in memory, in a directory, or as sums in either."""

import abc
import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .directory import Directory, to_lines
from .kinds import command
from .sums import Sums


@dataclasses.dataclass(frozen=True)
class Rows:
    """A chunk's rows: `columns` of numbers, one a step, `arrays` by name, and from which unit to which they are."""

    columns: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    arrays: dict[str, np.ndarray] = dataclasses.field(default_factory=dict)
    span: tuple[int, int] = (0, 0)


class AbstractKeeper(abc.ABC):
    """A place for rows and checkpoints."""

    # The directory, None where all is lost with the process.
    path: Path | None = None

    # What is typed to go on with it, where it was begun at the command line.
    command = ""

    def begin(self) -> dict[str, Any] | None:
        """The checkpoint from which to go on, None at a new start."""
        return None

    @abc.abstractmethod
    def keep(self, rows: Rows) -> None:
        """Add rows."""

    def checkpoint(self, leaves: list[np.ndarray], done: int, about: dict[str, Any]) -> None:
        """Keep a state to go on from."""
        del leaves, done, about

    def end(self, leaves: list[np.ndarray], done: int, about: dict[str, Any], last: Rows | None) -> None:
        """Keep the state it ended in, and the last rows, which nothing follows."""
        del leaves, done, about
        if last is not None:
            self.keep(last)

    def check(self) -> None:
        """Raise what went wrong while rows were written."""
        return

    def close(self) -> None:
        """Wait until all is kept."""
        return


class Memory(AbstractKeeper):
    """Rows in memory."""

    def __init__(self) -> None:
        self._parts: dict[str, dict[str, list[np.ndarray]]] = {"columns": {}, "arrays": {}}

    def keep(self, rows: Rows) -> None:
        for kind, parts in self._parts.items():
            for name, part in getattr(rows, kind).items():
                # A view would keep the whole buffer of the chunk alive.
                parts.setdefault(name, []).append(part if part.base is None else part.copy())

    @property
    def columns(self) -> dict[str, np.ndarray]:
        """All columns."""
        return {name: _joined(parts) for name, parts in self._parts["columns"].items()}

    @property
    def arrays(self) -> dict[str, np.ndarray]:
        """All arrays."""
        return {name: _joined(parts) for name, parts in self._parts["arrays"].items()}


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


class Files(AbstractKeeper):
    """Rows and checkpoints in a run directory.

    Arguments:
        path: the directory.
        config: what run.toml says of it.
        resume: go on where there is a run already, which must have been configured alike.

    Raises:
        InputError: the directory holds another run, or is none.
    """

    def __init__(self, path: Path, config: dict[str, Any], resume: bool) -> None:
        self.path, self.command = path, command(path, config)
        self._directory, self._before = Directory(path), None
        if resume and (path / "run.toml").exists():
            self._before = self._directory.reopen(config)
        else:
            self._directory.create(config)

    def begin(self) -> dict[str, Any] | None:
        return self._before

    def keep(self, rows: Rows) -> None:
        lines = _lines(rows)
        if lines is not None or rows.arrays:
            self._directory.append(lines, rows.arrays)

    def checkpoint(self, leaves: list[np.ndarray], done: int, about: dict[str, Any]) -> None:
        self._directory.checkpoint(leaves, done, about)

    def end(self, leaves: list[np.ndarray], done: int, about: dict[str, Any], last: Rows | None) -> None:
        last = last or Rows()
        self._directory.end(leaves, done, about, _lines(last), last.arrays)

    def check(self) -> None:
        self._directory.check()

    def close(self) -> None:
        self._directory.close()


def _lines(rows: Rows) -> Callable[[], str] | None:
    """A function that writes the rows' columns, where there is a number beside the step and the time."""
    columns = rows.columns
    return (lambda: to_lines(columns)) if set(columns) - {"step", "time"} and len(columns["step"]) else None


class Summing(AbstractKeeper):
    """Rows that are summed up; the sums are in the checkpoints of another keeper."""

    def __init__(self, sums: Sums, store: AbstractKeeper) -> None:
        self.sums, self._store, self.path, self.command = sums, store, store.path, store.command

    def begin(self) -> dict[str, Any] | None:
        before = self._store.begin()
        if before is not None:
            self.sums.restore(before["sums"], before["leaves"][before["state_leaves"] :])
        return before

    def keep(self, rows: Rows) -> None:
        low, high = rows.span
        if rows.arrays:
            self.sums.add(rows.arrays, low, high)

    def checkpoint(self, leaves: list[np.ndarray], done: int, about: dict[str, Any]) -> None:
        self._store.checkpoint([*leaves, *self.sums.leaves()], done, about | {"sums": self.sums.names})

    def end(self, leaves: list[np.ndarray], done: int, about: dict[str, Any], last: Rows | None) -> None:
        if last is not None:
            self.keep(last)
        self._store.end([*leaves, *self.sums.leaves()], done, about | {"sums": self.sums.names}, None)

    def check(self) -> None:
        self._store.check()

    def close(self) -> None:
        self._store.close()
