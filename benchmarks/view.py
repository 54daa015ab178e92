"""How long does a page of `thalweg view` wait? The peer is what a person waits for without noticing.

The list of 1,000 runs stands beside `thalweg list`'s own; a tick is in bytes.
"""

import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

import thalweg as tw
from benchmarks._harness import Result, compare
from thalweg._records.directory import to_lines
from thalweg._records.listing import cache_directory, rows_below
from thalweg.web._answers import Answers
from thalweg.web._plain import encoded

RUNS, LONG, STEPS, SETTINGS, DRAGS = 1000, 20, 1_000_000, 100_000, 200


def results() -> Iterator[Result]:
    folder = Path(tempfile.mkdtemp())
    try:
        yield from _lists(folder / "many")
        yield from _curves(folder / "long")
        yield _tick(folder / "live")
        yield _map(folder / "sweep")
        yield _drags(folder)
    finally:
        shutil.rmtree(folder)


def _recorded(path: Path, columns: dict[str, np.ndarray]) -> None:
    with tw.Recorder(path, tw.Hyperparameters(0.1)) as recorder:
        recorder.log(loss=1.0)
    (path / "metrics.jsonl").write_text(to_lines(columns))


def _lists(root: Path) -> Iterator[Result]:
    _recorded(root / "run-0", {"step": np.arange(10), "loss": np.ones(10)})
    for i in range(1, RUNS):
        shutil.copytree(root / "run-0", root / f"run-{i}")
    time.sleep(2.1)
    answers = Answers(root)

    def ours() -> float:
        return float(len(answers.runs({})["rows"]))

    def peer() -> float:
        return float(len(rows_below(root)))

    yield compare(f"list of {RUNS} runs", ours, peer, 1.5)
    for how in ("deleted", "corrupted"):

        def spoil(how: str = how) -> None:
            for file in cache_directory().glob("*.json"):
                file.write_text("{") if how == "corrupted" else file.unlink()

        def anew(read: Callable[[], float], spoil: Callable[[], None] = spoil) -> float:
            spoil()
            return read()

        yield compare(f"the same, the index {how}", lambda a=anew: a(ours), lambda a=anew: a(peer), 1.5, 5)


def _curves(root: Path) -> Iterator[Result]:
    rng = np.random.default_rng(0)
    loss = np.exp(-np.linspace(0.0, 9.0, STEPS)) * (1.0 + 0.1 * rng.random(STEPS))
    loss[654_321] = 7.25
    _recorded(root / "run-0", {"step": np.arange(STEPS), "loss": loss})
    for i in range(1, LONG):
        shutil.copytree(root / "run-0", root / f"run-{i}")
    wanted = [{"run": f"run-{i}", "metric": "loss"} for i in range(LONG)]
    for case, count in (("first", 3), ("again", 9)):
        taken = []
        answers = Answers(root)
        for _ in range(count):
            if case == "first":
                answers.close()
                answers = Answers(root)
                answers.runs({})
                # A person who selects twenty takes longer.
                time.sleep(1.0)
            began = time.perf_counter()
            found = answers.series({"wanted": wanted})
            encoded(found)
            taken.append(time.perf_counter() - began)
            assert all(max(curve["y"]) == 7.25 for curve in found["curves"])
        answers.close()
        yield Result(f"{LONG} runs of {STEPS} steps, {case}", statistics.median(taken), 2.0, 1.0, count, 0.0)


def _tick(root: Path) -> Result:
    _recorded(root / "run-0", {"step": np.arange(50), "loss": np.ones(50)})
    for i in range(1, 200):
        shutil.copytree(root / "run-0", root / f"run-{i}")
    answers = Answers(root)
    wanted = [{"run": f"run-{i}", "metric": "loss"} for i in range(200)]
    first = answers.series({"wanted": wanted, "points": 300})["curves"]
    more = to_lines({"step": np.arange(50, 5000), "loss": np.linspace(1.0, 1.0 / 3.0, 4950)})
    for i in range(200):
        with open(root / f"run-{i}" / "metrics.jsonl", "a") as file:
            file.write(more)
    asked = [one | {"after": [c["generation"], c["rows"]]} for one, c in zip(wanted, first, strict=True)]
    size = len(encoded(answers.series({"wanted": asked})))
    return Result("a tick of 200 runs, 4,950 new rows each", size / 1e3, 64.0, 1.0, 1, 0.0, "kB")


def _map(root: Path) -> Result:
    def bowl(x: Any) -> Any:
        return 0.5 * jnp.sum(x**2)

    side = round(SETTINGS**0.5)
    grid = {"learning_rate": jnp.geomspace(1e-3, 3.0, side), "momentum": jnp.linspace(0.0, 0.99, SETTINGS // side)}
    tw.sweep(lambda learning_rate, momentum: tw.momentum(bowl, learning_rate, momentum), grid, jnp.ones(2), 5,
             losses=False, out=root / "sweep")  # fmt: skip
    answers, taken = Answers(root), []
    for _ in range(5):
        began = time.perf_counter()
        encoded(answers.sweep({"id": "sweep"}))
        taken.append(time.perf_counter() - began)
    return Result(f"map of {SETTINGS} settings", statistics.median(taken), 1.0, 1.0, 5, 0.0)


def _drags(root: Path) -> Result:
    answers, rng = Answers(root), np.random.default_rng(0)
    taken = []
    for k in range(DRAGS + 5):
        settings = {"learning_rate": float(rng.random()), "momentum": float(rng.random())}
        methods = [{"name": "momentum", "settings": settings}, {"name": "gradient_descent", "settings": {}}]
        start = rng.standard_normal(2).tolist()
        began = time.perf_counter()
        encoded(answers.playground({"problem": "quadratic-2d", "methods": methods, "start": start, "limits": False}))
        if k >= 5:
            taken.append(time.perf_counter() - began)
    return Result(f"95 % of {DRAGS} drags", float(np.quantile(taken, 0.95)), 0.05, 1.0, DRAGS, 0.0)
