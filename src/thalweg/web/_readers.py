"""Processes that read long curves, for NumPy's and SciPy's readers hold the interpreter: each reads its own runs."""

import contextlib
import os
import pickle
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

from .._errors import InputError
from .._records.columns import reading_in_threads
from ._confined import inside, kind_at
from ._series import Store, series

_MOST = 8
# GNU's allocator gives memory back after each block and takes it anew, which is a sixth of the time.
_MEMORY = dict.fromkeys(("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_TOP_PAD_"), str(2**26))


def curve(store: Store, root: Path, one: dict[str, Any], points: int) -> dict[str, Any]:
    """A curve of a run below the root; one that cannot be read says why and does not hide the others."""
    try:
        path = inside(root, one.get("run"))
        config, _ = kind_at(path)
        return series(store, path, config, one, points)
    except (InputError, OSError) as error:
        return {"error": " ".join(str(error).split())}


class Readers:
    """As many processes as there are processors, each with the columns of its own runs; begun when first asked.

    Arguments:
        root: the directory that holds the runs.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._readers = [_Reader() for _ in range(min(os.cpu_count() or 1, _MOST))]
        self._whose: dict[str, _Reader] = {}
        self._lock = threading.Lock()

    def begin(self) -> None:
        """Begin the processes, which takes them a moment."""
        for reader in self._readers:
            reader.begin()

    def curve(self, one: dict[str, Any], points: int) -> dict[str, Any]:
        """A curve, by the process that has read its run before, or else by the one with the fewest runs."""
        name = str(one.get("run"))
        with self._lock:
            if name not in self._whose:
                self._whose[name] = min(self._readers, key=lambda reader: reader.runs)
                self._whose[name].runs += 1
            reader = self._whose[name]
        return reader.ask((self._root, one, points))

    def close(self) -> None:
        """End the processes."""
        for reader in self._readers:
            reader.end()


class _Reader:
    """One process, which is asked one thing at a time."""

    def __init__(self) -> None:
        self.runs = 0
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        with self._lock:
            self._begin()

    def _begin(self) -> subprocess.Popen[bytes]:
        if self._process is not None and self._process.poll() is not None:
            self._end()
        if self._process is None:
            # -P: a file in the user's directory that is called like a module of ours is not it.
            command = [sys.executable, "-P", "-m", __name__]
            environment = os.environ | _MEMORY
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        return self._process

    def ask(self, asked: Any) -> dict[str, Any]:
        with self._lock:
            for _ in range(2):
                process = self._begin()
                assert process.stdin is not None and process.stdout is not None
                try:
                    pickle.dump(asked, process.stdin)
                    process.stdin.flush()
                    return pickle.load(process.stdout)
                except (OSError, EOFError, pickle.UnpicklingError):
                    # It was killed, for want of memory as a rule. Another one is tried once.
                    self._end()
        return {"error": "the process that reads long curves was ended, perhaps for want of memory; ask once more"}

    def end(self) -> None:
        with self._lock:
            self._end()

    def _end(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


def _answer() -> None:
    """Answer until nothing more can be asked."""
    # Ctrl-C is for the server, at whose end there is nothing to read any more.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    store, answers = Store(), os.fdopen(os.dup(1), "wb")
    # What anything prints does not get between the answers.
    os.dup2(2, 1)
    with reading_in_threads(), contextlib.suppress(EOFError, BrokenPipeError):
        while True:
            root, one, points = pickle.load(sys.stdin.buffer)
            pickle.dump(curve(store, root, one, points), answers, pickle.HIGHEST_PROTOCOL)
            answers.flush()


if __name__ == "__main__":
    _answer()
