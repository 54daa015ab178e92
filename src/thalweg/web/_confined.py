"""Names that come from a browser as directories below one root, and nowhere else."""

import os
from pathlib import Path

from .._errors import InputError
from .._records.kinds import kind_of, read_config

# A configuration is some kilobytes; that of a grid has its edges.
_MOST = 4 * 2**20
_LONGEST = 1024


class UnknownRunError(InputError):
    """A name that is no run directory below the root."""


def inside(root: Path, name: object) -> Path:
    """The run directory of a name, refused where it or a file of it lies elsewhere."""
    if not isinstance(name, str) or not name or len(name) > _LONGEST or "\x00" in name:
        raise UnknownRunError(f"a run is named by its path below {root.name}, but not by {_short(name)}")
    path = root / name
    try:
        if Path(name).is_absolute() or ".." in Path(name).parts or not (path / "run.toml").is_file():
            raise UnknownRunError(f"there is no run {_short(name)}")
    except (OSError, ValueError):
        raise UnknownRunError(f"there is no run {_short(name)}") from None
    if not readable(path, root):
        raise UnknownRunError(f"the run {_short(name)} has files elsewhere, or a run.toml of a size that none has")
    return path


def readable(path: Path, root: Path) -> bool:
    """Tell whether all of a run directory lies below the root, and its configuration has the size of one."""
    within = os.path.realpath(root)
    try:
        for folder, below, files in os.walk(path):
            for name in (*below, *files):
                found = os.path.join(folder, name)
                if os.path.islink(found) and not _below(os.path.realpath(found), within):
                    return False
                if name in files and not (os.path.isfile(found) or name.startswith(".")):
                    return False
            # What it holds lies in these; other runs below are looked at by themselves.
            below[:] = [name for name in below if name in ("checkpoint", "trace") and folder == str(path)]
        return _below(os.path.realpath(path), within) and (path / "run.toml").stat().st_size <= _MOST
    except (OSError, ValueError):
        return False


def _below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def kind_at(path: Path) -> tuple[dict, str]:
    """The configuration of a run directory, and the name of its kind."""
    config = read_config(path)
    return config, kind_of(config).name


def _short(name: object) -> str:
    shown = repr(name)
    return shown if len(shown) <= 80 else f"{shown[:77]}..."
