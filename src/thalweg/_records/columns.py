"""Columns of a metrics.jsonl that may be written meanwhile: read once, as it grows, a million rows in a moment."""

import contextlib
import functools
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .storage import RecordError

if TYPE_CHECKING:
    from threadpoolctl import ThreadpoolController

# What is made of so much fits into a processor's cache.
_BLOCK = 2**21
# As long as any number that Python writes, in words of eight.
_WIDTH = 24
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
            text = b""
            while block := opened.read(_BLOCK):
                text += block
                if size := text.rfind(b"\n") + 1:
                    self._take(text, size)
                    text = text[size:]

    def _take(self, text: bytes, size: int) -> None:
        found, count = self._parse(text, size)
        for name, values in found.items():
            if name not in self._parts:
                self._parts[name] = [np.full(self.rows, np.nan)] if self.rows else []
            self._parts[name].append(values)
        for name in self._parts.keys() - found.keys():
            self._parts[name].append(np.full(count, np.nan))
        self.rows += count
        self._offset += size

    def _parse(self, text: bytes, size: int) -> tuple[dict[str, np.ndarray], int]:
        first = text[: text.index(b"\n")]
        try:
            found = _alike(text, size, json.loads(first), self._only)
            found = found if found is not None else _unlike(text[:size])
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


@contextlib.contextmanager
def reading_in_threads() -> Iterator[None]:
    """Columns read by threads of the caller's: SciPy's reader, which has threads of its own for each block, has none.

    Two files at once take a third less of the processor so.
    """
    found = _readers()
    with contextlib.nullcontext() if found is None else found.limit(limits=1, user_api="scipy"):
        yield


@functools.cache
def _readers() -> "ThreadpoolController | None":
    from scipy.io import mmread

    try:
        from threadpoolctl import ThreadpoolController
    except ImportError:
        # A page is written without the extra that brings it, and is then read somewhat more slowly.
        return None

    # Its threads are known once it has read something.
    mmread(io.BytesIO(b"%%MatrixMarket matrix array real general\n1 1\n1\n"))
    return ThreadpoolController()


def _letters() -> tuple[bytes, np.ndarray]:
    """A weight a letter, and which sums of weights numbers have after their sign: at most one point, one exponent."""
    weights = bytearray([80]) * 256
    for letters, weight in (("0123456789 ", 0), (".", 1), ("eE", 10), ("+-", 30)):
        for letter in letters:
            weights[ord(letter)] = weight
    allowed = np.zeros(80 * _WIDTH + 1, bool)
    allowed[[point + exponent for point in (0, 1) for exponent in (0, 10, 10 + 30)]] = True
    return bytes(weights), allowed


_LETTERS, _ALLOWED = _letters()
# The first bytes of a word, by how many they are, and spaces in place of the others.
_FIRST = np.array([(1 << 8 * count) - 1 for count in range(9)], np.dtype("<u8"))
_SPACES = ~_FIRST & np.frombuffer(b" " * 8, np.dtype("<u8"))


def _alike(
    text: bytes, size: int, first: dict[str, object], only: tuple[str, ...] | None
) -> tuple[dict[str, np.ndarray], int] | None:
    """Columns of lines that all have the same names in the same order, as a loop of ours writes them; else None."""
    names = tuple(first)
    opening = [("{" if i == 0 else ", ") + json.dumps(name) + ": " for i, name in enumerate(names)]
    texts = [text.encode() for text in opening]
    if not names or any(b":" in text[:-2] for text in texts):
        return None
    # So much may be looked at beyond the last line; mostly there is the beginning of the next ones.
    room = max(_WIDTH, *map(len, texts)) - (len(text) - size)
    padded = text + b" " * room if room > 0 else text
    buffer = np.frombuffer(padded, np.uint8, size)
    for look in (_after_steps, _marked):
        place = look(buffer, padded, texts)
        if place is not None and (found := _read(padded, names, texts, *place, only)) is not None:
            return found, len(place[1])
    return None


# Where the colons of all lines are, and their ends.
_Places = tuple[list[np.ndarray], np.ndarray]


def _after_steps(buffer: np.ndarray, padded: bytes, texts: list[bytes]) -> _Places | None:
    """The colons of lines of a step and another number, by how long steps are that rise by one: the quickest look."""
    if len(texts) != 2 or texts[0] != b'{"step": ':
        return None
    ends = np.flatnonzero(buffer == ord("\n"))
    begin = np.concatenate([[0], ends[:-1] + 1])
    first, last = (padded[begin[at] + len(texts[0]) : ends[at]].partition(b",")[0] for at in (0, -1))
    if not (first.isdigit() and last.isdigit()) or int(last) - int(first) != len(ends) - 1:
        return None
    one = begin + (len(texts[0]) - 2)
    other = one + (_lengths(int(first), int(last)) + len(texts[1]))
    return ([one, other], ends) if np.all(other < ends) else None


def _marked(buffer: np.ndarray, padded: bytes, texts: list[bytes]) -> _Places | None:
    """The colons of lines that have one a name and no others."""
    del padded
    marks = np.flatnonzero((buffer == ord(":")) | (buffer == ord("\n")))
    if len(marks) % (len(texts) + 1):
        return None
    marks = marks.reshape(-1, len(texts) + 1)
    ends = marks[:, -1]
    return (list(marks[:, :-1].T), ends) if np.all(buffer[ends] == ord("\n")) else None


def _read(
    padded: bytes, names: tuple[str, ...], texts: list[bytes], colons: list[np.ndarray], ends: np.ndarray,
    only: tuple[str, ...] | None,
) -> dict[str, np.ndarray] | None:  # fmt: skip
    """The columns between colons, where the lines are what they seem."""
    starts = [colon - (len(text) - 2) for colon, text in zip(colons, texts, strict=True)]
    buffer = np.frombuffer(padded, np.uint8)
    if starts[0][0] != 0 or not np.array_equal(starts[0][1:], ends[:-1] + 1) or np.any(buffer[ends - 1] != ord("}")):
        return None
    stops, found = [*starts[1:], ends - 1], {}
    # Of each column that is wanted, its name, and that of the next, where it ends.
    wanted = [i for i, name in enumerate(names) if only is None or name in only]
    for i in sorted({*wanted, *(i + 1 for i in wanted if i + 1 < len(names))}):
        name = json.dumps(names[i]).encode() + b": "
        if starts[i].min() < 0 or not _stands(padded, name, colons[i] + 2 - len(name)):
            return None
    for i in wanted:
        values = _counted(padded, colons[i] + 2, stops[i]) if names[i] == "step" else None
        values = _numbers(padded, colons[i] + 2, stops[i]) if values is None else values
        if values is None:
            return None
        found[names[i]] = values
    return found


def _lengths(first: int, last: int) -> Any:
    """The digits of whole numbers from one to another."""
    if len(str(first)) == len(str(last)):
        return len(str(first))
    return np.searchsorted(10 ** np.arange(1, 18), np.arange(first, last + 1), side="right") + 1


def _counted(padded: bytes, starts: np.ndarray, stops: np.ndarray) -> np.ndarray | None:
    """Whole numbers that rise by one from row to row, known by their ends, lengths and last digits; else None."""
    count, ends = len(starts), [padded[starts[at] : stops[at]] for at in (0, -1)]
    if count < _FEW or not all(text.isdigit() for text in ends):
        return None
    first, last = map(int, ends)
    if last - first != count - 1:
        return None
    ten = np.array([ord(str(step)[-1]) for step in range(first, first + 10)], np.uint8)
    digits = np.tile(ten, count // 10 + 1)[:count]
    last_digits = np.frombuffer(padded, np.uint8)[stops - 1]
    if not (np.array_equal(digits, last_digits) and np.all(stops - starts == _lengths(first, last))):
        return None
    return np.arange(first, last + 1, dtype=float)


def _texts(padded: bytes, kind: str, starts: np.ndarray) -> np.ndarray:
    """Numbers or text of a kind at each start, without a loop."""
    dtype = np.dtype(kind)
    return np.ndarray((len(padded) - dtype.itemsize + 1,), dtype, padded, strides=(1,))[starts]


def _stands(padded: bytes, text: bytes, starts: np.ndarray) -> bool:
    """The text stands at every start; by words of eight, the last of which overlaps, which is quicker."""
    if len(text) < 8:
        return bool(np.all(_texts(padded, f"S{len(text)}", starts) == text))
    places = {*range(0, len(text) - 7, 8), len(text) - 8}
    words = {at: int.from_bytes(text[at : at + 8], "little") for at in places}
    return all(np.all(_texts(padded, "<u8", starts + at) == word) for at, word in words.items())


def _numbers(padded: bytes, starts: np.ndarray, stops: np.ndarray) -> np.ndarray | None:
    """Numbers that stand between starts and stops, read at once by SciPy's reader; null is NaN."""
    from scipy.io import mmread

    lengths = stops - starts
    shortest = lengths.min()
    if shortest < 1 or lengths.max() > _WIDTH:
        return None
    letters = _texts(padded, f"S{_WIDTH}", starts)
    words = letters.view("<u8").reshape(len(starts), -1)
    for i in range(shortest // 8, words.shape[1]):
        count = lengths - 8 * i
        words[:, i] = words[:, i] & _FIRST.take(count, mode="clip") | _SPACES.take(count, mode="clip")
    letters = letters.view(np.uint8).reshape(len(starts), -1)
    missing = letters[:, 0] == ord("n")
    if missing.any():
        if not np.all(letters[missing].view(f"S{_WIDTH}") == b"null".ljust(_WIDTH)):
            return None
        letters[missing] = np.frombuffer(b"0".ljust(_WIDTH), np.uint8)
    # The reader goes no further than it understands: what else is there is looked at here.
    signs = np.where(letters[:, 0] == ord("-"), np.uint64(30), np.uint64(0))
    if not np.all(_ALLOWED[_sums(letters.tobytes().translate(_LETTERS)) - signs]):
        return None
    if lengths.max() == _WIDTH:
        letters = np.concatenate([letters, np.zeros_like(letters[:, :1])], axis=1)
    letters[:, -1] = ord("\n")
    head = b"%%%%MatrixMarket matrix array real general\n%d 1\n" % len(starts)
    values = np.asarray(mmread(io.BytesIO(head + letters.tobytes())), float).ravel()
    values[missing] = np.nan
    return values


def _sums(weights: bytes) -> np.ndarray:
    """The sum of each `_WIDTH` bytes of at most 85, eight and then four of them at once."""
    words = np.frombuffer(weights, "<u8").reshape(-1, _WIDTH // 8)
    eight = words[:, 0] + words[:, 1] + words[:, 2]
    pairs = np.uint64(0x00FF00FF00FF00FF)
    four = (eight & pairs) + (eight >> np.uint64(8) & pairs)
    return four * np.uint64(0x0001000100010001) >> np.uint64(48)


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
