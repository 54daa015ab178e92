"""Files that are written aside and renamed, and the checkpoint, which is one."""

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


def write_out(path: Path, text: str) -> Path:
    """Write a file that a user asked for, folders on the way made, or raise one line."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        raise RecordError(f"could not write {path}: {error.strerror or error}") from error
    return path


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


def read_checkpoint(path: Path, derived: bool = False, leaves: bool = True) -> dict[str, Any] | None:
    """The newest checkpoint's `about`, with its `leaves`, and its `derived` arrays if asked; None if there is none."""
    if leaves:
        import ml_dtypes  # noqa: F401  (a JAX dependency; teaches NumPy the name bfloat16)

    file = path / "checkpoint" / "state.npz"
    if not file.exists():
        return None
    with open(file, "rb") as opened:
        try:
            # Whatever is read is checked against the sum that the archive has of each array.
            with np.load(opened, allow_pickle=False) as stored:
                about = json.loads(str(stored["about"]))
                if not leaves:
                    return about
                about["leaves"] = [stored[f"leaf{i}"].view(dtype) for i, dtype in enumerate(about["dtypes"])]
                named = about.get("derived", {}) if derived else {}
                about["derived"] = {name: stored[name].astype(dtype) for name, dtype in named.items()}
        except Exception as error:
            # What zipfile raises depends on the bit that is wrong.
            raise RecordError(f"{file} is damaged: {' '.join(str(error).split())}") from error
    return about
