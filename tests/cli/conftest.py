"""The command line in this process, in an empty directory."""

import json
import os
import subprocess
import sys
from typing import NamedTuple

import jax
import pytest

from thalweg.cli._app import _status

MODULE = """
import jax, jax.numpy as jnp
import thalweg as tw

x0 = jnp.array([1.0, -2.0])
tree = lambda: {"w": jnp.ones((2, 2)), "b": jnp.zeros(3)}


def bowl(x):
    return 0.5 * jnp.sum(jnp.array([1.0, 10.0]) * x**2)


def tree_bowl(p):
    return jnp.sum((p["w"] - 2.0) ** 2) + jnp.sum((p["b"] + 1.0) ** 2)


def half(x):
    return jnp.sum(jnp.where(x > 0.0, 0.5 * x**2, jnp.inf))


known = tw.Objective(bowl, minimum=0.0, minimiser=jnp.zeros(2))
data = jax.random.normal(jax.random.key(0), (10, 2))
sums = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum((x - s) ** 2), data, batch_size=2)
"""


class Outcome(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def rows(self):
        """What --json printed, all of it."""
        return json.loads(self.out, parse_constant=lambda token: pytest.fail(f"{token} is no JSON"))


@pytest.fixture
def place(tmp_path, monkeypatch):
    """An empty working directory, and a module of the user's beside it."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "valleys.py").write_text(MODULE)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    # As in a pipe; workers of pytest have 80.
    monkeypatch.delenv("COLUMNS", raising=False)
    monkeypatch.syspath_prepend(tmp_path / "modules")
    monkeypatch.delitem(sys.modules, "valleys", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield tmp_path / "here"
    jax.config.update("jax_enable_x64", True)


@pytest.fixture
def thalweg(place, capsys):
    """`thalweg("run", "rosenbrock", ...)`: exit status, stdout, stderr."""

    def call(*arguments, status=0):
        found = _status([str(argument) for argument in arguments])
        outcome = Outcome(found, *capsys.readouterr())
        assert found == status, outcome.err
        return outcome

    return call


@pytest.fixture
def shell(place):
    """A command line for a shell, with PYTHON and THALWEG in it; a process of its own."""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)), COLUMNS="120")

    def call(line, **more):
        line = line.replace("THALWEG", "PYTHON -m thalweg").replace("PYTHON", f"'{sys.executable}'")
        return subprocess.run(
            ["bash", "-c", line], cwd=place, env=env | more, capture_output=True, text=True, check=False, timeout=120
        )

    return call
