"""One writer a directory: a lock that the kernel lets go of when its process ends, however it ends."""

import contextlib
import errno
import os
import sys
import threading
import warnings
import weakref
from pathlib import Path
from typing import Any

from .._errors import InputError

# What this process holds, by device and inode: the locks of some network file systems know no threads.
_HELD: dict[tuple[int, int], "weakref.ref[Lock]"] = {}
_GUARD = threading.Lock()
# A file system that has no locks says one of these.
_NONE = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP}


class Lock:
    """The lock of a run directory: a hidden file in it that is held open, and goes when it is let go of.

    Arguments:
        path: the directory.

    Raises:
        InputError: another writer has it, of this process or of any other.
        OSError: the file cannot be made.
    """

    def __init__(self, path: Path) -> None:
        while not self._take(path):
            # Whoever had it has let go of it, and the file with it, since it was opened.
            continue

    def _take(self, path: Path) -> bool:
        file = path / ".lock"
        # No link is followed, which in a directory of somebody else's may lead anywhere.
        handle = os.open(file, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)
        key = _identity(os.fstat(handle))
        try:
            with _GUARD:
                if key in _HELD:
                    raise InputError(f"{path} is written by this process already; close that first, or choose another")
                free = _locked(handle)
                there = _found(file) == key
                # Of a file that is gone it may be held by who finds that out just now.
                if there and not free:
                    raise InputError(
                        f"{path} is written by another process{_holder(handle)}; wait until it has ended, or choose "
                        "another directory"
                    )
                if there:
                    _HELD[key] = weakref.ref(self)
        except OSError as error:
            os.close(handle)
            if error.errno not in _NONE:
                raise
            warnings.warn(
                f"{path} is on a file system without locks; see to it that nothing else writes there", stacklevel=4
            )
            self.release: Any = lambda: None
            return True
        except BaseException:
            os.close(handle)
            raise
        if not there:
            os.close(handle)
            return False
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
            os.write(handle, str(os.getpid()).encode())
        self._handle = handle
        # Who forgets to let go of it does so when it is collected.
        self.release = weakref.finalize(self, _let_go, handle, key, file)
        return True

    def leave_to_parent(self) -> None:
        """Of a process that was forked: what its parent holds is held by the parent alone."""
        if self.release.detach() is not None:
            os.close(self._handle)


def _let_go(handle: int, key: tuple[int, int], file: Path) -> None:
    with _GUARD:
        _HELD.pop(key, None)
        with contextlib.suppress(OSError):
            # While it is locked: who opens it now finds that it is gone, and makes another.
            if _found(file) == key:
                os.unlink(file)
        os.close(handle)


def _found(file: Path) -> tuple[int, int] | None:
    try:
        return _identity(os.stat(file))
    except FileNotFoundError:
        return None


def _identity(about: os.stat_result) -> tuple[int, int]:
    return about.st_dev, about.st_ino


def _holder(handle: int) -> str:
    with contextlib.suppress(OSError, ValueError):
        return f" ({int(os.read(handle, 20))})"
    return ""


if sys.platform == "win32":
    import msvcrt

    def _locked(handle: int) -> bool:
        # Beyond what is in the file, which others may read.
        os.lseek(handle, 1 << 20, os.SEEK_SET)
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        finally:
            os.lseek(handle, 0, os.SEEK_SET)
        return True

else:
    import fcntl

    def _locked(handle: int) -> bool:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _forked() -> None:
        global _GUARD
        # The guard may have been held by a thread that there is none of here.
        _GUARD = threading.Lock()
        held = [lock for ref in _HELD.values() if (lock := ref()) is not None]
        _HELD.clear()
        for lock in held:
            lock.leave_to_parent()

    os.register_at_fork(after_in_child=_forked)
