"""metrics.jsonl read block by block, and checked against what its checkpoint knows of it."""

import json
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from .growing import changed, check_text, extents
from .storage import RecordError, read_checkpoint

_BLOCK = 2**20
# A row is a line of some hundred bytes.
_LAST = 2**16


def blocks(path: Path) -> Iterator[list[bytes]]:
    """Whole lines, some 10,000 at a time; a last one cut off by a crash is left out.

    Raises:
        RecordError: it is not what was written; at the end, since nothing is read twice.
    """
    file, about = path / "metrics.jsonl", read_checkpoint(path, leaves=False) or {}
    size, crc = extents(about).get("metrics.jsonl", (0, 0))
    # A directory is read for what it holds.
    if not file.exists():
        return
    # The length alone, of which older versions knew, too.
    check_text(file, (max(size, about.get("offset", 0)), None))
    with open(file, "rb") as opened:
        if "whole" in about and os.fstat(opened.fileno()).st_size > size:
            raise RecordError(f"{file} is damaged: it has more than was written")
        read, found, rest = 0, 0, b""
        while block := opened.read(_BLOCK):
            found = zlib.crc32(block[: max(size - read, 0)], found)
            read += len(block)
            *lines, rest = (rest + block).split(b"\n")
            if lines:
                yield lines
    if found != crc:
        raise RecordError(changed(file))


def read_metrics(path: Path) -> dict[str, np.ndarray]:
    """Arrays by name, NaN where there is no number."""
    parts: dict[str, list[np.ndarray]] = {}
    count = 0
    for lines in blocks(path):
        rows = parsed(path, lines)
        # A recorder's curvature may come in after the first rows.
        for name in rows[0] | rows[-1]:
            if name not in parts:
                parts[name] = [np.full(count, np.nan)] if count else []
        for name, arrays in parts.items():
            values = [np.nan if (value := row.get(name)) is None else value for row in rows]
            try:
                arrays.append(np.array(values, dtype=int if name == "step" else float))
            except (TypeError, ValueError, OverflowError) as error:
                raise _damaged(path, error) from error
        count += len(rows)
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def picked_rows(path: Path, most: int) -> tuple[tuple[str, ...], list[dict[str, Any]], int]:
    """Names of the columns, at most so many rows from the first to the last, and how many there are."""
    sums = bool(extents(read_checkpoint(path, leaves=False) or {}))
    count, ends = 0, []
    for lines in blocks(path):
        if not sums:
            # Only reading them tells what is damaged.
            parsed(path, lines)
        ends = [(ends or lines)[0], lines[-1]]
        count += len(lines)
    if not count:
        return (), [], 0
    wanted = sorted({round(i * (count - 1) / (most - 1)) for i in range(most)})
    found, begun = [], 0
    for lines in blocks(path):
        found += [lines[i - begun] for i in wanted if begun <= i < begun + len(lines)]
        begun += len(lines)
    first, last = parsed(path, ends)
    return tuple(first | last), parsed(path, found), count


def last_row(path: Path) -> dict[str, Any]:
    """The last whole row, without a look at the others; an empty one where there is none."""
    try:
        with open(path / "metrics.jsonl", "rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _LAST))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return {}
    return parsed(path, [lines[-2]])[0] if len(lines) > 1 else {}


def parsed(path: Path, lines: list[bytes]) -> list[dict[str, Any]]:
    """Rows, or one line that names the file."""
    try:
        rows = json.loads(b"[" + b",".join(lines) + b"]")
    except (ValueError, RecursionError) as error:
        raise _damaged(path, error) from error
    if len(rows) != len(lines) or not all(isinstance(row, dict) for row in rows):
        raise _damaged(path, "a line is no row")
    return rows


def _damaged(path: Path, error: object) -> RecordError:
    return RecordError(f"{path / 'metrics.jsonl'} is damaged: {error}")
