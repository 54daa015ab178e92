"""Public names that are loaded on first use, so that importing a package that has many costs nothing."""

import ast
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any


def _is_shown(module: str, package: str) -> bool:
    """Tell whether a file is of a package itself, and its name begins without an underscore."""
    return module.startswith(f"{package}.") and not module.rpartition(".")[2].startswith("_")


@cache
def homes(package: str) -> dict[str, str]:
    """Modules that hold the public names of a package, by name, read from its source and not imported.

    A name is written once, in the `__init__.py` of the package: `from .home import name as name`, under
    `if TYPE_CHECKING:` where it is to be loaded on first use, so that type checkers know it too.
    `from .package import *` stands for what that package takes from files of its own whose names begin without an
    underscore.
    """
    found = {}
    for node in ast.walk(ast.parse(_source(package))):
        if not isinstance(node, ast.ImportFrom) or node.level not in (1, 2):
            continue
        base = package if node.level == 1 else package.rpartition(".")[0]
        home = f"{base}.{node.module}" if node.module else base
        for alias in node.names:
            if alias.name == "*":
                found |= {name: home for name, its in homes(home).items() if _is_shown(its, home)}
            elif alias.asname:
                found[alias.asname] = home
    return found


def attach(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make `__getattr__`, `__dir__` and `__all__` of a package whose names are loaded on first use.

    Arguments:
        package: its `__name__`.
    """
    known = homes(package)

    def load(name: str) -> Any:
        if name not in known:
            raise unknown(package, name, known)
        if known[name] == package:
            return importlib.import_module(f"{package}.{name}")
        value = getattr(importlib.import_module(known[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def listed() -> list[str]:
        return [*sorted(known), *({"__version__"} & vars(sys.modules[package]).keys())]

    return load, listed, sorted(known)


def near_misses(package: str) -> Callable[[str], Any]:
    """Make `__getattr__` of a package that has loaded all of its names: nothing but what was perhaps meant."""

    def missing(name: str) -> Any:
        raise unknown(package, name, dir(sys.modules[package]))

    return missing


def unknown(package: str, name: str, known: Iterable[str]) -> AttributeError:
    """The error of a name that a package lacks, with the one that is near."""
    import difflib

    near = [] if name.startswith("_") else difflib.get_close_matches(name, known, 1, 0.75)
    return AttributeError(
        f"module {package!r} has no attribute {name!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    )


def _source(package: str) -> str:
    spec = importlib.util.find_spec(package)
    assert spec is not None and spec.loader is not None
    source = spec.loader.get_source(package)  # pyright: ignore[reportAttributeAccessIssue]
    assert source is not None
    return source
