"""Directives for the public names, under the first line of the docstring of their home."""

import importlib
import inspect
import re
from pathlib import Path

import thalweg as tw
from thalweg._lazy import homes

AREAS = Path(__file__).parents[1] / "reference" / "api"


def names(*areas: str) -> str:
    """Every public name whose home begins with one of these: `thalweg._loops`, or a module, `thalweg.analysis`."""
    lines = []
    for area in areas:
        lines += [line for home in _homes() if _within(home, area) for line in _of_home(home)]
    return "\n".join(lines)


def unplaced() -> list[str]:
    """Homes of public names that no page of the reference lists, or several do."""
    pages = [path.read_text("utf-8") for path in sorted(AREAS.glob("*.md"))]
    areas = [area for page in pages for found in re.findall(r"<!-- names (.*?) -->", page) for area in found.split()]
    return [home for home in _homes() if sum(_within(home, area) for area in areas) != 1]


def _within(home: str, area: str) -> bool:
    return home == area or home.startswith(f"{area}.")


def _homes() -> list[str]:
    """Where the public names are from: private files, and the public modules."""
    by_name = homes("thalweg")
    modules = [f"thalweg.{name}" for name, home in by_name.items() if home == "thalweg"]
    return list(dict.fromkeys([*(home for home in by_name.values() if home != "thalweg"), *modules]))


def _of_home(home: str) -> list[str]:
    """The names that are `tw.Name`, then those of the module alone."""
    module = importlib.import_module(home)
    public = [name for name, at in homes("thalweg").items() if at == home]
    lines = _section(module, "thalweg", public) if public else []
    if home.split(".")[1].startswith("_"):
        return lines
    own = [name for name, value in _contents(module) if _is_ours(name, value) and name not in tw.__all__]
    return lines + (_section(module, home, own) if own else [])


def _is_ours(name: str, value: object) -> bool:
    described = inspect.isfunction(value) or inspect.isclass(value)
    return not name.startswith("_") and described and value.__module__.startswith("thalweg.")


def _contents(module) -> list:
    """What a module holds by name; some load their names on first use and list them."""
    listed = getattr(module, "__all__", None) or list(vars(module))
    return [(name, getattr(module, name)) for name in listed]


def _section(module, prefix: str, listed: list[str]) -> list[str]:
    title = inspect.getdoc(module).splitlines()[0].split(". ")[0].rstrip(".")
    title = title if prefix == "thalweg" else f"`{prefix}`: {title}"
    lines = ["", f"## {title}", "", "```{eval-rst}"]
    for name in listed:
        value = getattr(tw if prefix == "thalweg" else module, name)
        kind, members = ("class", "   :members:") if inspect.isclass(value) else ("function", "")
        lines += [f".. auto{kind}:: {prefix}.{name}", members, ""]
    return [*lines, "```"]
