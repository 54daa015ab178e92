"""The directories below one, a row each: of those that have not changed since from an index, which is never needed."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .naming import user_cache
from .storage import write_atomically

# By what a file is known to be the one of before: path, time, size, and the inode, which changes where it is replaced.
_FILES = ("run.toml", "checkpoint/state.npz", "metrics.jsonl")
# What changed so lately may change once more without another time.
_SETTLED_NS = 2 * 10**9
_INSIDE = {"checkpoint", "trace"}
# Of what a row holds: another where rows of before lack something.
_LAYOUT = 2


def rows_below(root: Path, allowed: Callable[[Path], bool] | None = None) -> list[dict[str, Any]]:
    """A row each, by path; of one that cannot be read why, whatever is wrong with it.

    Arguments:
        root: the directory.
        allowed: tells which directories are read at all. What was allowed is in an index of its own.
    """
    return list(named_rows_below(root, allowed).values())


def named_rows_below(root: Path, allowed: Callable[[Path], bool] | None = None) -> dict[str, dict[str, Any]]:
    """The same by the path below the root, with slashes."""
    index = _Index(root, allowed)
    below = sorted(_directories(root), key=lambda one: one[0].split("/"))
    rows = {name: row for name, key in below if (row := index.row(name, key)) is not None}
    index.save()
    return rows


def cache_directory() -> Path:
    """The path of the index: in the user's cache, since who may read runs may not be able to write there."""
    return user_cache() / "lists"


class _Index:
    """Rows by relative path, each with what its files were when it was made; one that is damaged is none."""

    def __init__(self, root: Path, allowed: Callable[[Path], bool] | None) -> None:
        from .. import __version__

        which = "all" if allowed is None else "allowed"
        self._root, self._allowed = root, allowed
        self._made = [f"{__version__} {_LAYOUT} {which}", str(root.resolve())]
        name = hashlib.sha256("\n".join((which, self._made[1])).encode(errors="surrogateescape")).hexdigest()[:24]
        self._file, self._before = cache_directory() / f"{name}.json", {}
        self._rows: dict[str, Any] = {}
        try:
            found = json.loads(self._file.read_bytes())
            if found["made"] == self._made and isinstance(found["rows"], dict):
                self._before = found["rows"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return

    def row(self, name: str, key: list[Any]) -> dict[str, Any] | None:
        """The row of a directory whose files are such; None of one that may not be read."""
        kept = self._before.get(name)
        if isinstance(kept, list) and len(kept) == 2 and kept[0] == key and isinstance(kept[1], dict):
            self._rows[name] = kept
            return kept[1] | {"path": os.path.normpath(f"{self._root}/{name}")}
        path = self._root / name
        if self._allowed is not None and not self._allowed(path):
            return None
        row = _summary(path)
        newest = max((each[0] for each in key if each is not None), default=0)
        if newest < time.time_ns() - _SETTLED_NS and not str(row.get("status")).startswith("unreadable"):
            self._rows[name] = [key, row]
        return row

    def save(self) -> None:
        """Keep the rows for the next time, where that can be."""
        if self._rows == self._before:
            return
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            write_atomically(self._file, json.dumps({"made": self._made, "rows": self._rows}).encode())
        except (OSError, TypeError, ValueError):
            return


def _directories(root: Path) -> Iterator[tuple[str, list[Any]]]:
    """Run directories by their names, with what their files are; what may not be looked into is left out."""
    top = str(root)
    for folder, below, files in os.walk(top):
        if "run.toml" in files:
            below[:] = [name for name in below if name not in _INSIDE]
            name = folder[len(top) :].replace(os.sep, "/").strip("/") or "."
            yield name, [_state(f"{folder}/{file}") for file in _FILES]


def _state(file: str) -> list[int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return [found.st_mtime_ns, found.st_size, found.st_ino]


def _summary(path: Path) -> dict[str, Any]:
    from .kinds import kind_of, read_config

    try:
        config = read_config(path)
        kind = kind_of(config)
        return kind.call("summary", path, config) | {"kind": kind.name}
    except Exception as error:
        # Whatever is wrong with one does not hide the others.
        text = " ".join(str(error).split())
        known = isinstance(error, OSError | ValueError)
        return {"path": str(path), "status": f"unreadable: {text if known else f'{type(error).__name__} {text}'}"}
