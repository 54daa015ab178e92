"""Columns of a metrics.jsonl that may be written meanwhile: read once, as it grows, a million rows in a moment."""

import io
import json
import os
from pathlib import Path

import numpy as np

from .storage import RecordError

_BLOCK = 4 * 2**20
# Longer than any number that Python writes.
_WIDTH = 26
# Fewer rows are read number by number.
_FEW = 1000


class Columns:
    """The numbers of a metrics.jsonl by name; what was read is not read again.

    Arguments:
        path: the run directory.
        only: the columns that are wanted, which is quicker than all of them; None takes all.

    Attributes:
        rows: whole rows read so far.
        generation: how often the file was another than before (cut, or replaced), and so was read anew.
    """

    def __init__(self, path: Path, only: tuple[str, ...] | None = None) -> None:
        self._file, self._only = path / "metrics.jsonl", only
        self.generation = -1
        self._forget()

    def _forget(self) -> None:
        self.generation += 1
        self.rows = self._offset = 0
        self._inode: int | None = None
        self._parts: dict[str, list[np.ndarray]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in the order in which they came."""
        return tuple(self._parts)

    @property
    def nbytes(self) -> int:
        """Memory that the columns take."""
        return 8 * self.rows * len(self._parts)

    def advance(self) -> None:
        """Read the whole rows that have come since; a file that is cut or another is read anew.

        Raises:
            RecordError: a line of it is no row.
        """
        try:
            opened = open(self._file, "rb")  # noqa: SIM115
        except OSError:
            if self.rows:
                self._forget()
            return
        with opened:
            about = os.fstat(opened.fileno())
            if about.st_ino != self._inode or about.st_size < self._offset:
                if self._inode is not None:
                    self._forget()
                self._inode = about.st_ino
            opened.seek(self._offset)
            rest = b""
            while block := opened.read(_BLOCK):
                whole, newline, after = block.rpartition(b"\n")
                if not newline:
                    rest += block
                    continue
                self._take(rest + whole + newline)
                rest = after

    def _take(self, block: bytes) -> None:
        found, count = self._parse(block)
        for name, values in found.items():
            if name not in self._parts:
                self._parts[name] = [np.full(self.rows, np.nan)] if self.rows else []
            self._parts[name].append(values)
        for name in self._parts.keys() - found.keys():
            self._parts[name].append(np.full(count, np.nan))
        self.rows += count
        self._offset += len(block)

    def _parse(self, block: bytes) -> tuple[dict[str, np.ndarray], int]:
        first = block[: block.index(b"\n")]
        try:
            found = _alike(block, json.loads(first), self._only)
            found = found if found is not None else _unlike(block)
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
            raise RecordError(f"{self._file} is damaged: {error}") from error
        columns, count = found
        only = self._only
        return columns if only is None else {name: columns[name] for name in only if name in columns}, count

    def column(self, name: str, start: int = 0) -> np.ndarray:
        """A column from a row on, NaN where it has no number."""
        parts = self._parts.get(name)
        if parts is None:
            return np.full(self.rows - start, np.nan)
        if len(parts) > 1:
            parts[:] = [np.concatenate(parts)]
        return parts[0][start:] if parts else np.zeros(0)


def _letters() -> tuple[np.ndarray, np.ndarray]:
    """A weight a letter, and which sums of weights numbers have: one point, one exponent, two signs at most."""
    weights = np.full(256, 255, np.uint8)
    weights[[ord(letter) for letter in "0123456789 "]] = 0
    for letters, weight in (("\n", 0), (".", 1), ("eE", 4), ("+-", 16)):
        weights[[ord(letter) for letter in letters]] = weight
    allowed = np.zeros(256, bool)
    allowed[[point + exponent + sign for point in (0, 1) for exponent in (0, 4) for sign in (0, 16, 32)]] = True
    return weights, allowed


_LETTERS, _ALLOWED = _letters()


def _alike(
    block: bytes, first: dict[str, object], only: tuple[str, ...] | None
) -> tuple[dict[str, np.ndarray], int] | None:
    """Columns of lines that all have the same names in the same order, as a loop of ours writes them; else None."""
    names = tuple(first)
    opening = [("{" if i == 0 else ", ") + json.dumps(name) + ": " for i, name in enumerate(names)]
    texts = [text.encode() for text in opening]
    if not names or any(b":" in text[:-2] for text in texts):
        return None
    buffer = np.frombuffer(block, np.uint8)
    ends = np.flatnonzero(buffer == ord("\n"))
    colons = np.flatnonzero(buffer == ord(":"))
    count, begin = len(ends), np.concatenate([[0], ends[:-1] + 1])
    if len(colons) != count * len(names):
        return None
    colons = colons.reshape(count, len(names))
    starts = [colons[:, i] - (len(text) - 2) for i, text in enumerate(texts)]
    if not (np.array_equal(starts[0], begin) and np.all(colons[:, -1] < ends) and np.all(buffer[ends - 1] == ord("}"))):
        return None
    padded = block + b" " * max(_WIDTH, *map(len, texts))
    stops, found = [*starts[1:], ends - 1], {}
    # Of each column that is wanted, its name, and that of the next, where it ends.
    wanted = [i for i, name in enumerate(names) if only is None or name in only]
    for i in sorted({*wanted, *(i + 1 for i in wanted if i + 1 < len(names))}):
        if starts[i].min() < 0 or not np.all(_texts(padded, len(texts[i]), starts[i]) == texts[i]):
            return None
    for i in wanted:
        values = _counted(padded, colons[:, i] + 2, stops[i]) if names[i] == "step" else None
        values = _numbers(padded, colons[:, i] + 2, stops[i]) if values is None else values
        if values is None:
            return None
        found[names[i]] = values
    return found, count


def _counted(padded: bytes, starts: np.ndarray, stops: np.ndarray) -> np.ndarray | None:
    """Whole numbers that rise by one from row to row, known by their ends, lengths and last digits; else None."""
    count, ends = len(starts), [padded[starts[at] : stops[at]] for at in (0, -1)]
    if count < _FEW or not all(text.isdigit() for text in ends):
        return None
    first, last = map(int, ends)
    if last - first != count - 1:
        return None
    found = np.arange(first, last + 1)
    digits = np.frombuffer(padded, np.uint8)[stops - 1] - ord("0")
    lengths = np.searchsorted(10 ** np.arange(1, 18), found, side="right") + 1
    if not (np.array_equal(digits, found % 10) and np.array_equal(stops - starts, lengths)):
        return None
    return found.astype(float)


def _texts(padded: bytes, width: int, starts: np.ndarray) -> np.ndarray:
    """The text of so many bytes from each start, without a loop."""
    return np.ndarray((len(padded) - width + 1,), f"S{width}", padded, strides=(1,))[starts]


def _numbers(padded: bytes, starts: np.ndarray, stops: np.ndarray) -> np.ndarray | None:
    """Numbers that stand between starts and stops, read at once by SciPy's reader; null is NaN."""
    from scipy.io import mmread

    lengths = stops - starts
    if lengths.min() < 1 or lengths.max() >= _WIDTH:
        return None
    letters = _texts(padded, _WIDTH, starts).view(np.uint8).reshape(len(starts), _WIDTH)
    letters[np.arange(_WIDTH)[None, :] >= lengths[:, None]] = ord(" ")
    missing = letters[:, 0] == ord("n")
    if missing.any():
        if not np.all(_texts(padded, 4, starts[missing]) == b"null"):
            return None
        letters[missing] = np.frombuffer(b"0".ljust(_WIDTH), np.uint8)
    # The reader goes no further than it understands: what else is there is looked at here.
    if not np.all(_ALLOWED[_LETTERS[letters].sum(axis=1, dtype=np.uint8)]):
        return None
    letters[:, -1] = ord("\n")
    head = b"%%%%MatrixMarket matrix array real general\n%d 1\n" % len(starts)
    values = np.asarray(mmread(io.BytesIO(head + letters.tobytes())), float).ravel()
    values[missing] = np.nan
    return values


def _unlike(block: bytes) -> tuple[dict[str, np.ndarray], int]:
    """Columns of lines that differ in their names."""
    rows = json.loads(b"[" + b",".join(block.splitlines()) + b"]")
    names = dict.fromkeys(name for row in rows for name in row)
    found = {name: np.array([_value(row.get(name)) for row in rows], float) for name in names}
    return found, len(rows)


def _value(value: object) -> float:
    if value is None:
        return float("nan")
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(f"{value!r} is no number")
    return float(value)
