"""Caches of the command line, in the user's cache directory: compiled programs, and the table."""

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from .._records.naming import user_cache

# Programs take some 20 kB each.
_MOST_BYTES = 2**28
_ON = [True]


@contextlib.contextmanager
def switched(on: bool) -> Iterator[None]:
    """Caches in use or not, of one command."""
    before, _ON[0] = _ON[0], on and _ON[0]
    try:
        yield
    finally:
        _ON[0] = before


def keep_programs() -> None:
    """Have JAX keep what it compiles, where it has not been loaded yet and its user has not said where."""
    if not _ON[0] or "jax" in sys.modules or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    folder = user_cache() / "programs"
    with contextlib.suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        _bound(folder)
        if os.access(folder, os.W_OK):
            os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
            os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.05")
            os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")


def _bound(folder: Path) -> None:
    """Drop the oldest files of a directory that has grown too large."""
    found = [(entry.stat(), entry.path) for entry in os.scandir(folder) if entry.is_file()]
    total = sum(state.st_size for state, _ in found)
    for state, path in sorted(found, key=lambda one: one[0].st_mtime):
        if total <= _MOST_BYTES:
            return
        # Another process may have dropped it.
        with contextlib.suppress(OSError):
            os.unlink(path)
        total -= state.st_size


def kept(name: str, read: Callable[[Any], Any]) -> Any:
    """An answer that this very package gave before, as `read` takes it; None where nothing whole is there."""
    if not _ON[0]:
        return None
    try:
        found = json.loads(_file(name).read_bytes())
        return read(found["value"]) if found["of"] == _made_by() else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None


def keep(name: str, value: Any) -> None:
    """Keep it for the next time; where nothing can be written nothing is kept."""
    if _ON[0]:
        from .._records.storage import write_atomically

        with contextlib.suppress(OSError):
            _file(name).parent.mkdir(parents=True, exist_ok=True)
            write_atomically(_file(name), json.dumps({"of": _made_by(), "value": value}).encode())


def _file(name: str) -> Path:
    return user_cache() / "tables" / f"{name}.json"


def _made_by() -> str:
    """A digest of what an answer may depend on: the package's own files, and the versions of what it computes with."""
    from importlib.metadata import version

    root = Path(__file__).resolve().parents[1]
    words = [sys.version, str(root), *(version(name) for name in ("jax", "jaxlib", "equinox", "numpy", "scipy"))]
    for path in sorted(root.rglob("*.py")):
        state = path.stat()
        words.append(f"{path.relative_to(root)} {state.st_size} {state.st_mtime_ns}")
    return hashlib.sha256("\n".join(words).encode()).hexdigest()
