"""Files that grow by whole rows, each with a running sum of what has been written, by which it is checked when read."""

import os
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from .storage import RecordError, write_atomically

_BLOCK = 2**20


class GrowingText:
    """Lines that are appended.

    Attributes:
        size: bytes of it.
        crc: their CRC-32.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._file = path, None
        self.size, self.crc = 0, 0

    @property
    def extent(self) -> tuple[int, int]:
        """Its size, and the sum."""
        return self.size, self.crc

    def take_up(self, size: int, known: tuple[int, int] | None) -> None:
        """Go on behind the first `size` bytes, of which the beginning must be as it is known."""
        begin, crc = known or (0, 0)
        check_text(self._path, known or (size, None))
        self.size, self.crc = size, crc
        if size > begin:
            with open(self._path, "rb") as file:
                file.seek(begin)
                self.crc = _crc(file, size - begin, crc)

    def append(self, content: bytes) -> None:
        if self._file is None:
            self._file = open(self._path, "ab")  # noqa: SIM115
        _check_there(self._path, self._file, self.size, exactly=True)
        self._file.write(content)
        self._file.flush()
        self.size += len(content)
        self.crc = zlib.crc32(content, self.crc)

    def cut(self) -> None:
        """Forget what is behind where it goes on; before anything is appended."""
        if self._path.exists() and self._path.stat().st_size > self.size:
            os.truncate(self._path, self.size)

    def sync(self) -> None:
        if self._file is not None:
            _check_there(self._path, self._file, self.size, exactly=True)
            os.fsync(self._file.fileno())

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None


class GrowingArray:
    """A .npy file that grows: rows are appended, then the count in its header; always readable.

    Attributes:
        rows: of it.
        crc: the CRC-32 of dtype, shape of a row, and rows.
        goes_on: the rows that stay where it goes on.
    """

    _HEADER = 128

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: Any = None
        self._shape: tuple[int, ...] = ()
        self._dtype = np.dtype(float)
        self.rows = self.crc = self.goes_on = 0
        if path.exists():
            array = open_array(path)
            self.rows, self._shape, self._dtype = len(array), array.shape[1:], array.dtype

    @property
    def extent(self) -> tuple[int, int]:
        """Its rows, and the sum."""
        return self.rows, self.crc

    def take_up(self, rows: int, known: tuple[int, int] | None) -> None:
        """Go on behind the first `rows`, which must be as they are known."""
        if known is not None:
            check_array(self._path, known)
        if self.rows < rows:
            raise RecordError(_short(self._path, f"{self.rows} rows", f"{rows}"))
        self.goes_on = rows
        self.crc = known[1] if known is not None else _array_crc(self._path, open_array(self._path), rows)

    def append(self, rows: np.ndarray) -> None:
        rows = np.ascontiguousarray(rows)
        if self._file is None:
            if not self._path.exists():
                if self.rows:
                    raise RecordError(_gone(self._path))
                self._shape, self._dtype = rows.shape[1:], rows.dtype
                self.crc = _seed(self._dtype, self._shape)
                write_atomically(self._path, self._header())
            self._file = open(self._path, "r+b")  # noqa: SIM115
        at = self._HEADER + self.rows * self._row_bytes
        _check_there(self._path, self._file, at)
        content = rows.tobytes()
        self._file.seek(at)
        self._file.write(content)
        self._file.flush()
        self.rows += len(rows)
        self.crc = zlib.crc32(content, self.crc)
        self._write_header()

    def cut(self, rows: int) -> None:
        """Forget the rows after the first `rows`."""
        # Killed between rows and their count it has bytes behind its rows.
        end = self._HEADER + rows * self._row_bytes
        if self.rows > rows or (self._path.exists() and self._path.stat().st_size > end):
            self.rows = rows
            with open(self._path, "r+b") as self._file:
                self._write_header()
                self._file.truncate(end)
            self._file = None

    def sync(self) -> None:
        if self._file is not None:
            _check_there(self._path, self._file, self._HEADER + self.rows * self._row_bytes)
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
            "shape": (self.rows, *self._shape),
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


def open_array(path: Path) -> np.ndarray:
    """An array on disk, memory-mapped, or one line that names the file."""
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except FileNotFoundError:
        raise RecordError(_gone(path)) from None
    except Exception as error:
        # What NumPy raises depends on the bit that is wrong.
        raise RecordError(f"{path} is damaged: {' '.join(str(error).split())}") from error
    if not isinstance(array, np.ndarray) or array.ndim == 0:
        raise RecordError(f"{path} is damaged: it is no array of rows")
    return array


def check_array(path: Path, known: tuple[int, int]) -> None:
    """Refuse an array whose first rows are not those that were written."""
    rows, crc = known
    array = open_array(path)
    if len(array) < rows:
        raise RecordError(_short(path, f"{len(array)} rows", f"{rows}"))
    if _array_crc(path, array, rows) != crc:
        raise RecordError(changed(path))


def check_text(path: Path, known: tuple[int, int | None]) -> None:
    """Refuse a file whose first bytes are not those that were written; without a sum, one that has fewer."""
    size, crc = known
    if not size:
        return
    try:
        with open(path, "rb") as file:
            there = os.fstat(file.fileno()).st_size
            if there < size:
                raise RecordError(_short(path, f"{there} bytes", f"{size}"))
            if crc is not None and _crc(file, size, 0) != crc:
                raise RecordError(changed(path))
    except FileNotFoundError:
        raise RecordError(_gone(path)) from None


def extents(about: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """The part of each file that is known, and its sum there: whole where nothing follows; none of older versions."""
    return {name: (size, crc) for name, (size, crc) in (about.get("whole") or about.get("checks") or {}).items()}


def check_files(path: Path, about: Mapping[str, Any], partly: bool = True) -> None:
    """Refuse a directory of which a file is not as its checkpoint knows it; what is read `partly` may lack some."""
    known = extents(about)
    if "metrics.jsonl" in known and not (partly and not (path / "metrics.jsonl").exists()):
        check_text(path / "metrics.jsonl", known["metrics.jsonl"])
    checked_arrays(path, about, partly)


def checked_arrays(path: Path, about: Mapping[str, Any], partly: bool = False) -> dict[str, np.ndarray]:
    """The arrays of a directory by name, memory-mapped, once they are checked against its checkpoint."""
    known = {name: extent for name, extent in extents(about).items() if name.startswith("trace/")}
    for name, extent in known.items():
        if not (partly and not (path / name).exists()):
            check_array(path / name, extent)
    found = {file.stem: open_array(file) for file in sorted((path / "trace").glob("*.npy"))}
    if "whole" in about:
        for name, array in found.items():
            if len(array) != known.get(f"trace/{name}.npy", (0, 0))[0]:
                raise RecordError(f"{path / 'trace' / name}.npy is damaged: it has more than was written")
    return found


def whole_lines(path: Path) -> int:
    """The bytes of a file up to the end of its last whole line."""
    with open(path, "rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            begin = max(0, end - _BLOCK)
            file.seek(begin)
            at = file.read(end - begin).rfind(b"\n")
            if at >= 0:
                return begin + at + 1
            end = begin
    return 0


def _check_there(path: Path, file: Any, size: int, exactly: bool = False) -> None:
    """Refuse to go on with a file that somebody else has deleted, replaced, cut or written to."""
    about = os.fstat(file.fileno())
    try:
        there = os.stat(path)
    except FileNotFoundError:
        raise RecordError(_gone(path)) from None
    if (about.st_dev, about.st_ino) != (there.st_dev, there.st_ino):
        raise RecordError(f"{path} was replaced while it was written")
    if about.st_size < size or (exactly and about.st_size > size):
        raise RecordError(f"{path} was changed by something else while it was written")


def _array_crc(path: Path, array: np.ndarray, rows: int) -> int:
    row_bytes = int(np.prod(array.shape[1:], dtype=int)) * array.dtype.itemsize
    if not array.flags.c_contiguous:
        raise RecordError(f"{path} is damaged: its rows are not in order")
    with open(path, "rb") as file:
        file.seek(getattr(array, "offset", GrowingArray._HEADER))
        return _crc(file, rows * row_bytes, _seed(array.dtype, array.shape[1:]))


def _seed(dtype: np.dtype, shape: tuple[int, ...]) -> int:
    # Rows that are read as another dtype or shape are other rows.
    return zlib.crc32(f"{np.lib.format.dtype_to_descr(dtype)} {tuple(shape)}".encode())


def _crc(file: BinaryIO, size: int, crc: int) -> int:
    while size > 0:
        block = file.read(min(_BLOCK, size))
        if not block:
            return -1
        size -= len(block)
        crc = zlib.crc32(block, crc)
    return crc


def _short(path: Path, found: str, wanted: str) -> str:
    return f"{path} is damaged: it has {found}, fewer than the {wanted} that its checkpoint knows"


def _gone(path: Path) -> str:
    return f"{path} is gone, of which the checkpoint knows"


def changed(path: Path) -> str:
    """The message on a file whose sum is another."""
    return f"{path} is damaged: it is not what was written (its checksum differs)"
