"""Code that only a file names is not imported."""

import sys
from pathlib import Path

import pytest

MODULE = """
import jax.numpy as jnp
import thalweg as tw
with open("ran", "a") as file:
    file.write("x")
x0 = jnp.array([1.0, -2.0])


def bowl(x):
    return 0.5 * jnp.sum(x**2)


def slow(objective, learning_rate=0.1):
    return tw.gradient_descent(objective, learning_rate)
"""


@pytest.fixture
def code(place, monkeypatch):
    """A module that leaves a trace where it is imported."""
    (place / "mine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(place)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    yield place
    sys.modules.pop("mine", None)


def begun(thalweg, *options):
    thalweg("run", *options, "--steps", 5, "--out", "run")
    sys.modules.pop("mine")
    Path("ran").unlink()


@pytest.mark.parametrize(
    "options",
    [
        ("mine:bowl", "--start", "1,2", "-m", "momentum", "--learning-rate", 0.1),
        ("rosenbrock", "--start", "mine:x0", "-m", "momentum", "--learning-rate", 1e-3),
        ("rosenbrock", "-m", "mine:slow:learning_rate=1e-3"),
    ],
)
def test_what_is_not_named_again_is_not_imported(thalweg, code, options):
    begun(thalweg, *options)
    err = thalweg("resume", "run", "--steps", 9, status=2).err
    assert err.startswith("error: run names code of its own, ") and err.count("\n") == 1
    assert "mine" not in sys.modules and not Path("ran").exists()
    typed = err.partition("type: thalweg ")[2].partition(" (or --trust")[0].split()
    (row,) = thalweg(*typed, "--steps", 9, "--json").rows
    assert row["steps"] == 9 and Path("ran").read_text() == "x"
    wrong = [word.replace("mine:", "other:") for word in typed]
    assert "not 'other:" in thalweg(*wrong, status=2).err
    assert thalweg("resume", "run", "--steps", 12, "--trust", "--json").rows[0]["steps"] == 12


@pytest.mark.parametrize("where", ["mine.py", "mine/__init__.py", "pack/mine.py"])
def test_what_lies_in_a_run_directory_is_never_imported(thalweg, code, where, monkeypatch):
    options = ("mine:bowl", "--start", "1,2", "-m", "momentum", "--learning-rate", 0.1)
    begun(thalweg, *options)
    file = Path("run") / where
    file.parent.mkdir(exist_ok=True)
    (code / "mine.py").rename(file)
    for path in (Path("run"), Path("run/pack")):
        if path.is_dir():
            monkeypatch.syspath_prepend(path.resolve())
    err = thalweg("resume", "run", "--steps", 9, "--trust", status=2).err
    assert "lies inside the run directory" in err and err.count("\n") == 1
    monkeypatch.chdir("run")
    assert "lies inside the run directory" in thalweg("run", *options, status=2).err
    assert "mine" not in sys.modules and not list(code.rglob("ran"))
