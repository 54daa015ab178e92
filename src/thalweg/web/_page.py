"""The page itself: its files, served one by one, or all in one file with what it would have asked for."""

import html
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .._errors import InputError, is_path
from .._records.storage import write_out
from .._typed import typed
from ._answers import Answers
from ._plain import plain

# In the order in which they are loaded.
SCRIPTS = (
    "uPlot.iife.min.js", "base.js", "draw.js", "chart.js", "runs.js", "run.js", "compare.js", "sweep.js", "flow.js",
    "samples.js", "playground.js", "main.js",
)  # fmt: skip
STYLES = ("uPlot.min.css", "app.css")
_STATIC = Path(__file__).parent / "static"
_KINDS = {".js": "text/javascript", ".css": "text/css", ".html": "text/html; charset=utf-8"}
_PICTURE_METRICS = 12
_POINTS = 2000


def files() -> dict[str, tuple[bytes, str]]:
    """Content and kind of each file of the page, by name."""
    found = {}
    for folder in (_STATIC, _STATIC / "vendor"):
        for file in folder.iterdir():
            if file.suffix in _KINDS:
                found[file.name] = (file.read_bytes(), _KINDS[file.suffix])
    scripts = "\n".join(f'<script src="/static/{name}" defer></script>' for name in SCRIPTS)
    styles = "\n".join(f'<link rel="stylesheet" href="/static/{name}">' for name in STYLES)
    content = found["index.html"][0].decode().replace("<!-- styles -->", styles).replace("<!-- scripts -->", scripts)
    return found | {"index.html": (content.encode(), _KINDS[".html"])}


@typed()
def write_page(runs: Sequence[str | Path] | str | Path, path: str | Path, title: str = "Runs") -> Path:
    """Write one html file that shows run directories as `thalweg view` does, and opens without a network.

    Curves have at most 2,000 points each, extremes kept; a flow is a film, samples have their traces. Where there are
    several runs the page sets them side by side.

    Arguments:
        runs: run directories, or one that holds some.
        path: the file to write; folders on the way are made.
        title: of the page.

    Returns:
        the path.

    Raises:
        InputError: there is no run, or the path is a directory.
        RecordError: the file could not be written.

    >>> import tempfile, thalweg as tw, jax.numpy as jnp
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     method = tw.gradient_descent(lambda x: 0.5 * jnp.sum(x**2), 0.5)
    ...     run = tw.run(method, jnp.array([8.0]), 3, out=f"{folder}/mine")
    ...     tw.web.write_page(f"{folder}/mine", f"{folder}/report.html").read_text()[:15]
    '<!DOCTYPE html>'
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a directory; give the page a file name, such as {path / 'report.html'}")
    root, names = _chosen([runs] if isinstance(runs, str | Path) else list(runs))
    answers = Answers(root)
    try:
        kept = _asked(answers, names)
    finally:
        answers.close()
    return write_out(path, _whole(title, kept, names))


def _chosen(given: list[str | Path]) -> tuple[Path, list[str]]:
    """The directory below which all runs lie, and their names there."""
    if not given:
        raise InputError("give at least one run directory")
    for one in given:
        if not is_path(one):
            raise InputError(f"runs must be the paths of run directories, but one is {one!r}")
    found: list[Path] = []
    for one in map(Path, given):
        if not one.is_dir():
            raise InputError(f"{one} is not a directory")
        inner = [one] if (one / "run.toml").is_file() else sorted(file.parent for file in one.rglob("run.toml"))
        if not inner:
            raise InputError(f"{one} is no run directory, and holds none")
        found += [each for each in inner if each not in found]
    places = [one.resolve() for one in found]
    root = Path(os.path.commonpath([one.parent for one in places]))
    return root, [one.relative_to(root).as_posix() for one in places]


def _asked(answers: Answers, names: list[str]) -> dict[str, Any]:
    """Answers to all that the page would ask a server, by question."""
    kept: dict[str, Any] = {}

    def ask(question: str, asked: dict[str, Any]) -> Any:
        try:
            found = plain(getattr(answers, question)(asked))
        except (InputError, OSError) as error:
            found = {"error": " ".join(str(error).split())}
        kept[_key(question, asked)] = found
        return found

    chosen = set(names)
    rows = ask("runs", {})
    rows["rows"] = [row for row in rows["rows"] if row["id"] in chosen]
    lines = []
    for name in names:
        about = ask("run", {"id": name})
        kind = about.get("kind")
        if kind in ("run", "recorded"):
            lines.append(name)
            for metric in about["metrics"][:_PICTURE_METRICS]:
                for against in about["against"]:
                    wanted = {"run": name, "metric": metric, "against": against}
                    found = answers.series({"wanted": [wanted], "points": _POINTS})
                    kept[_key("curve", wanted)] = plain(found["curves"][0])
        if about.get("measure"):
            ask("flow", {"id": name})
        if kind == "sweep":
            ask("sweep", {"id": name, "across": None, "up": None})
        if kind == "samples":
            for row in ask("samples", {"id": name}).get("rows", [])[:_PICTURE_METRICS]:
                ask("parameter", {"id": name, "name": row["name"]})
    if lines:
        ask("compare", {"runs": lines[:50], "tolerance": 1e-3})
    return kept


def _key(question: str, asked: dict[str, Any]) -> str:
    """A question as the page writes it: names in alphabetical order, what is null left out."""
    some = {name: value for name, value in sorted(asked.items()) if value is not None}
    return f"{question} {json.dumps(some, separators=(',', ':'), ensure_ascii=False, sort_keys=True)}"


def _whole(title: str, kept: dict[str, Any], names: list[str]) -> str:
    found = files()
    styles = "\n".join(f"<style>{found[name][0].decode()}</style>" for name in STYLES)
    scripts = "\n".join(f"<script>{found[name][0].decode()}</script>" for name in SCRIPTS)
    # In a script no tag may end it.
    data = json.dumps({"title": title, "runs": names, "answers": kept}, separators=(",", ":")).replace("<", "\\u003c")
    scripts = f'<script type="application/json" id="kept">{data}</script>\n{scripts}'
    content = (_STATIC / "index.html").read_text()
    content = content.replace("<title>thalweg</title>", f"<title>{html.escape(title)}</title>")
    return content.replace("<!-- styles -->", styles).replace("<!-- scripts -->", scripts)
