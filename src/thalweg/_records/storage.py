"""Files that are always readable: written aside and renamed, or growing by whole rows."""

import io
import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np


class RecordError(OSError):
    """A run directory that could not be written or read, with what remains."""


class GrowingArray:
    """A .npy file that grows: rows are appended, then the count in its header; always readable."""

    _HEADER = 128

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None
        self._rows = 0
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(float)
        if path.exists():
            array = np.load(path, mmap_mode="r")
            self._rows, self._shape, self._dtype = len(array), array.shape[1:], array.dtype

    def append(self, rows: np.ndarray) -> None:
        rows = np.ascontiguousarray(rows)
        if self._file is None:
            if not self._path.exists():
                self._shape, self._dtype = rows.shape[1:], rows.dtype
                write_atomically(self._path, self._header())
            self._file = open(self._path, "r+b")  # noqa: SIM115
        self._file.seek(self._HEADER + self._rows * self._row_bytes)
        self._file.write(rows.tobytes())
        self._file.flush()
        self._rows += len(rows)
        self._write_header()

    def cut(self, rows: int) -> None:
        """Forget the rows after the first `rows`."""
        if self._rows > rows:
            self._rows = rows
            with open(self._path, "r+b") as self._file:
                self._write_header()
                self._file.truncate(self._HEADER + rows * self._row_bytes)
            self._file = None

    def sync(self) -> None:
        if self._file is not None:
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    @property
    def _row_bytes(self) -> int:
        return int(np.prod(self._shape, dtype=int)) * self._dtype.itemsize

    def _header(self) -> bytes:
        description = {
            "descr": np.lib.format.dtype_to_descr(self._dtype),
            "fortran_order": False,
            "shape": (self._rows, *self._shape),
        }
        text = repr(description).encode()
        length = self._HEADER - 10
        header = b"\x93NUMPY\x01\x00" + length.to_bytes(2, "little") + text.ljust(length - 1) + b"\n"
        assert len(header) == self._HEADER
        return header

    def _write_header(self) -> None:
        self._file.seek(0)
        self._file.write(self._header())
        self._file.flush()


def write_atomically(path: Path, content: bytes) -> None:
    """Write aside, fsync, rename: a reader sees the old file or the new one."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with open(aside, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(aside, path)
    except OSError:
        aside.unlink(missing_ok=True)
        raise


def write_checkpoint(
    path: Path,
    leaves: list[np.ndarray],
    about: dict[str, Any],
    derived: Mapping[str, np.ndarray] = MappingProxyType({}),
) -> None:
    """The state's leaves, what belongs to them and named arrays beside them, as one npz, without pickle."""
    buffer = io.BytesIO()
    # NumPy stores no bfloat16; its bits travel as unsigned integers, its name in `about`.
    plain = [leaf.view(f"u{leaf.dtype.itemsize}") if leaf.dtype.kind == "V" else leaf for leaf in leaves]
    stored = {f"leaf{i}": leaf for i, leaf in enumerate(plain)}
    # Named arrays are for others to read, too; float32 holds the same numbers.
    stored |= {name: leaf.astype(np.float32) if leaf.dtype.kind == "V" else leaf for name, leaf in derived.items()}
    about = about | {"dtypes": [str(leaf.dtype) for leaf in leaves]}
    about |= {"derived": {name: str(leaf.dtype) for name, leaf in derived.items()}} if derived else {}
    np.savez(buffer, about=np.array(json.dumps(about)), **stored)  # pyright: ignore[reportArgumentType]
    (path / "checkpoint").mkdir(exist_ok=True)
    write_atomically(path / "checkpoint" / "state.npz", buffer.getvalue())


def read_checkpoint(path: Path, derived: bool = False) -> dict[str, Any] | None:
    """The newest checkpoint's `about`, with its `leaves`, and its `derived` arrays if asked; None if there is none."""
    import ml_dtypes  # noqa: F401  (a JAX dependency; teaches NumPy the name bfloat16)

    file = path / "checkpoint" / "state.npz"
    if not file.exists():
        return None
    with open(file, "rb") as opened:
        try:
            # Whatever is read is checked against the sum that the archive has of each array.
            with np.load(opened, allow_pickle=False) as stored:
                about = json.loads(str(stored["about"]))
                about["leaves"] = [stored[f"leaf{i}"].view(dtype) for i, dtype in enumerate(about["dtypes"])]
                named = about.get("derived", {}) if derived else {}
                about["derived"] = {name: stored[name].astype(dtype) for name, dtype in named.items()}
        except Exception as error:
            # What zipfile raises depends on the bit that is wrong.
            raise RecordError(f"{file} is damaged: {' '.join(str(error).split())}") from error
    return about
