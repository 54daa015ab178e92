"""Answers to a page: run directories read, the library asked; nothing of it is written or kept on disk."""

import concurrent.futures
import dataclasses
import functools
import itertools
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__
from .._errors import InputError
from .._records.labels import labels_of_config
from .._records.lines import last_row
from .._records.listing import named_rows_below
from .._records.storage import read_checkpoint
from ._confined import inside, kind_at, readable
from ._readers import Readers, curve
from ._series import AGAINST, MOST_POINTS, Store, tick_points

if TYPE_CHECKING:
    from .._records.run import Run
    from ._grounds import Ground
    from ._playground import Playground

_MOST_CURVES = 500
_LISTED = 20_000
# Of one run: rows of its log, and arrays of its state.
_ROWS, _ARRAYS, _STATE_BYTES = 12, 40, 32 * 2**20
# Bytes of a metrics.jsonl that take longer to read than to ask a process for.
_LONG, _STEPS = 4 * 2**20, 100_000


class Answers:
    """All that a page may ask, each a method from a dictionary to a dictionary.

    Arguments:
        root: the directory that holds the runs.
        grounds: functions of the user's own for the playground, by name.
    """

    def __init__(self, root: Path, grounds: "dict[str, Callable[[], Ground]] | None" = None) -> None:
        self.root, self._grounds = root, grounds or {}
        self._store = Store()
        self._texts: dict[str, str] = {}
        self._mark = secrets.token_hex(8)
        self._readers = Readers(root)
        # Most of them wait for a reader.
        self._pool = concurrent.futures.ThreadPoolExecutor(16, "thalweg-read")

    @functools.cached_property
    def _playground(self) -> "Playground":
        # It loads JAX, which a list of runs does without.
        from ._grounds import shipped
        from ._playground import Playground

        return Playground(self._grounds | shipped())

    def close(self) -> None:
        """Let go of the threads and processes."""
        self._pool.shutdown()
        self._readers.close()

    def state(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The version, what can be played with and how its numbers are called."""
        del asked
        from .._methods.table import find_row
        from ._playground import MAPPED, ROWS

        methods = {name: {"settings": find_row(name).defaults, "knob": find_row(name).knob} for name in ROWS}
        return {
            "version": __version__, "root": str(self.root), "problems": self._playground.names, "methods": methods,
            "mapped": MAPPED, "against": AGAINST, "points": MOST_POINTS,
        }  # fmt: skip

    def runs(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The runs below the root; with `since`, the mark of the last answer, those that are others now."""
        found = named_rows_below(self.root, lambda path: readable(path, self.root))
        found = {
            name: {"id": name} | {key: value for key, value in row.items() if key not in ("path", "message")}
            for name, row in itertools.islice(found.items(), _LISTED)
        }
        steps: Any = [row.get("steps") or 0 for row in found.values()]
        if max(steps, default=0) > _STEPS:
            # A page asks for their curves next.
            self._readers.begin()
        # As text, in which one NaN is another.
        texts = {name: repr(row) for name, row in found.items()}
        known, since, self._texts = self._texts, asked.get("since"), texts
        before, changed = self._mark, [found[name] for name, text in texts.items() if known.get(name) != text]
        gone = [name for name in known if name not in found]
        if changed or gone:
            self._mark = secrets.token_hex(8)
        if since is None or since != before:
            return {"mark": self._mark, "rows": list(found.values()), "gone": [], "all": True}
        return {"mark": self._mark, "rows": changed, "gone": gone, "all": False}

    def run(self, asked: dict[str, Any]) -> dict[str, Any]:
        """One run: its configuration, how it stands, the machine, and the names of what it kept."""
        path = inside(self.root, asked.get("id"))
        config, kind = kind_at(path)
        about = read_checkpoint(path, leaves=False)
        objective, method, hyperparameters = labels_of_config(config)
        names = self._names(path)
        return {
            "id": asked["id"], "kind": kind, "objective": objective, "method": method,
            "hyperparameters": hyperparameters, "config": _short_config(config), "metrics": names,
            "about": {key: value for key, value in (about or {"status": "running"}).items() if key in _TOLD},
            "environment": _environment(path), "log": _last_rows(path), "state": _state(path),
            "measure": bool(config.get("start", {}).get("measure")),
            "against": [name for name in AGAINST if _knows(name, config)],
            "python": f"import thalweg as tw\n\nrun = {_reader(kind)}({str(path)!r})\n",
        }  # fmt: skip

    def _names(self, path: Path) -> list[str]:
        # The first and the last rows tell the names without a look at the others.
        names = dict.fromkeys(_first_row(path) | last_row(path))
        return [name for name in names if name not in ("step", "time")]

    def series(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Curves, at most 4,000 points each, in the order in which they were asked for.

        Of a tick, where all say `after`, as many points as fit into 64 kB.
        """
        wanted = asked.get("wanted")
        if not isinstance(wanted, list) or not 1 <= len(wanted) <= _MOST_CURVES:
            raise InputError(f"from 1 to {_MOST_CURVES} curves are asked for at once")
        if not all(isinstance(one, dict) for one in wanted):
            raise InputError("a curve is asked for by its run and its metric")
        points = asked.get("points", MOST_POINTS)
        if not isinstance(points, int) or isinstance(points, bool) or not 10 <= points <= MOST_POINTS:
            raise InputError(f"points must be a whole number from 10 to {MOST_POINTS}")
        if all(one.get("after") is not None for one in wanted):
            points = min(points, tick_points(len(wanted)))
        return {"curves": list(self._pool.map(lambda one: self._curve(one, points), wanted))}

    def _curve(self, one: dict[str, Any], points: int) -> dict[str, Any]:
        try:
            long = (inside(self.root, one.get("run")) / "metrics.jsonl").stat().st_size > _LONG
        except (InputError, OSError):
            long = False
        return self._readers.curve(one, points) if long else curve(self._store, self.root, one, points)

    def compare(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Runs side by side: gradients to a tolerance, the regime, the best loss."""
        from .._side_by_side.compare_runs import compare_runs

        ids = asked.get("runs")
        if not isinstance(ids, list) or not 1 <= len(ids) <= 50:
            raise InputError("from 1 to 50 runs are compared at once")
        tolerance = asked.get("tolerance", 1e-3)
        rows, failed = [], {}
        for name in ids:
            try:
                found = compare_runs({str(name): self._loaded(inside(self.root, name))}, tolerance)
                rows.append(found.as_list()[0] | {"name": name, "criterion": found.criterion})
            except (InputError, OSError) as error:
                failed[str(name)] = " ".join(str(error).split())
        return {"rows": [{k: v for k, v in row.items() if k != "path"} for row in rows], "failed": failed}

    def _loaded(self, path: Path) -> "Run":
        """A run with the metrics that a comparison asks for, of a million rows in a moment."""
        from .._records.run import Run

        run = Run.load(path)
        columns = {name: self._store.column(path, name) for name in ("step", "loss", "gradient_norm")}
        rows = min(one.rows for one in columns.values())
        metrics = {name: one.column(name)[:rows] for name, one in columns.items() if name in one.names}
        return dataclasses.replace(run, _metrics=metrics)

    def sweep(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The final loss of a sweep over two of its settings."""
        from ._sweeps import plane

        with _double():
            return plane(inside(self.root, asked.get("id")), asked.get("across"), asked.get("up"))

    def flow(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Frames of a flow of a distribution."""
        from ._distributions import film

        with _double():
            return film(inside(self.root, asked.get("id")))

    def samples(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Diagnostics of samples, a row a parameter."""
        from ._draws import summary

        path = inside(self.root, asked.get("id"))
        with _double():
            return summary(path, kind_at(path)[0])

    def parameter(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Traces and the histogram of one parameter."""
        from ._draws import parameter

        with _double():
            return parameter(inside(self.root, asked.get("id")), asked.get("name"), MOST_POINTS)

    def landscape(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The function of the playground on a grid."""
        return self._playground.landscape(asked.get("problem"), asked.get("aspect", 1.0), asked.get("zoom", 1.0))

    def playground(self, asked: dict[str, Any]) -> dict[str, Any]:
        """Paths of methods, and what their steps say."""
        return self._playground.answer(asked)

    def stability(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The map of learning rate and momentum."""
        return self._playground.stability(asked)

    def best(self, asked: dict[str, Any]) -> dict[str, Any]:
        """The best settings of a method."""
        return self._playground.best(asked)


# By the names of the addresses.
NAMES = (
    "state", "runs", "run", "series", "compare", "sweep", "flow", "samples", "parameter", "landscape", "playground",
    "stability", "best",
)  # fmt: skip
_TOLD = {"status", "message", "step", "gradients", "seconds", "compile_seconds", "least_margin", "noise_scale", "time"}


def _double() -> Any:
    """Double precision for what is read back, whatever JAX is set to; its switch is of a thread."""
    import jax

    return jax.enable_x64(True)


def _knows(against: str, config: dict[str, Any]) -> bool:
    """Tell whether a run can be drawn against something."""
    if against == "samples":
        numbers = config["method"].get("hyperparameters", {})
        return bool(config.get("batch", {}).get("size") or numbers.get("batch_size"))
    return against != "time" or config.get("kind") != "recorded"


def _reader(kind: str) -> str:
    from .._records.kinds import KINDS

    return KINDS[kind].reader


def _short_config(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without long lists, such as the edges of a grid."""

    def short(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: short(one) for name, one in value.items()}
        if isinstance(value, list):
            return [short(one) for one in value] if len(value) <= 20 else f"{len(value)} values"
        return value

    return short(config)


def _last_rows(path: Path) -> list[dict[str, Any]]:
    """The last whole rows of the metrics."""
    import json

    found = []
    try:
        with open(path / "metrics.jsonl", "rb") as file:
            file.seek(max(0, file.seek(0, 2) - 65_536))
            for line in file.read().split(b"\n")[1:-1][-_ROWS:]:
                row = json.loads(line)
                found.append(row if isinstance(row, dict) else {"row": row})
    except (OSError, ValueError, RecursionError):
        return found
    return found


def _state(path: Path) -> list[dict[str, Any]]:
    """The arrays of the last checkpoint: position, velocity and the like, each by its shape and its extent."""
    import numpy as np

    file = path / "checkpoint" / "state.npz"
    if not file.exists() or file.stat().st_size > _STATE_BYTES:
        return []
    about = read_checkpoint(path, derived=True) or {}
    arrays = about.get("derived") or dict(zip(about.get("names", ()), about.get("leaves", ()), strict=False))
    found = []
    for name, array in list(arrays.items())[:_ARRAYS]:
        if array.dtype.kind not in "fiu" or not array.size:
            continue
        values = np.asarray(array, float).ravel()
        with np.errstate(over="ignore", invalid="ignore"):
            about_it = {
                "norm": float(np.linalg.norm(values)),
                "least": float(values.min()),
                "largest": float(values.max()),
            }
        found.append({"name": name, "shape": list(array.shape), "dtype": str(array.dtype)} | about_it)
    return found


def _environment(path: Path) -> Any:
    import json

    try:
        with open(path / "env.json", "rb") as file:
            return json.loads(file.read(100_000))
    except (OSError, ValueError, RecursionError):
        return None


def _first_row(path: Path) -> dict[str, Any]:
    import json

    try:
        with open(path / "metrics.jsonl", "rb") as file:
            found = json.loads(file.readline(65_536))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError, RecursionError):
        return {}
