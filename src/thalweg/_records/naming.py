"""Names that become a part of a path: one component each, which leads nowhere else."""

import os
import re
import sys
from pathlib import Path

from .._errors import InputError

# File systems hold 255 bytes, of which a file that is written aside takes some more than its own name.
_BYTES = 200


def check_component(what: str, name: object) -> str:
    """Refuse a name that is not one component of a path, wherever it is written."""
    wrong = None
    if not isinstance(name, str):
        wrong = "must be text"
    elif not name.strip(". "):
        wrong = "must have a letter or a digit"
    elif name.startswith("."):
        wrong = "must not begin with a dot"
    elif re.search(r"[/\\\x00-\x1f\x7f]", name):
        wrong = "must have no slash, backslash or control character in it"
    elif Path(name).drive:
        wrong = "must not begin with a drive"
    elif len(name.encode(errors="replace")) > _BYTES:
        wrong = f"must have at most {_BYTES} bytes"
    if wrong is not None:
        shown = repr(name)
        shown = shown if len(shown) <= 60 else f"{shown[:57]}..."
        raise InputError(f"{what} is the name of a directory, and {wrong}, but is {shown}")
    assert isinstance(name, str)
    return name


def as_component(label: str) -> str:
    """A label as one component of a path: what leads elsewhere, or means something to a shell, is a dash."""
    found = re.sub(r"[^\w.+=,@-]", "-", label).lstrip(".-")
    return found.encode()[: _BYTES // 2].decode(errors="ignore") or "run"


def as_variable(name: str) -> str:
    """A name as netCDF and Zarr hold it, where a slash makes a group and a dot at first a file of Zarr's own."""
    found = name.replace("/", ".").replace("\\", ".")
    return f"_{found}" if found.startswith(".") or not found else found


def user_cache() -> Path:
    """The path of all that can be made anew, in the user's cache directory."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "thalweg"
