"""`import thalweg` costs nothing, and every public name is there when it is asked for."""

import importlib
import os
import subprocess
import sys

import pytest

import thalweg as tw

ENV = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
CONTRACT = """
    Objective FiniteSum GradientFlow HeavyBall NesterovFlow HighResolutionFlow
    Euler Midpoint Heun Ralston RK4 Tsit5 RungeKutta Leapfrog Lookahead
    Method gradient_descent momentum nesterov run sweep compare table analysis problems claims
"""


def python(code):
    return subprocess.run([sys.executable, "-c", code], env=ENV, capture_output=True, text=True, check=False)


def test_importing_loads_nothing_heavy():
    done = python("import sys, thalweg; print(*sorted({name.split('.')[0] for name in sys.modules}))")
    assert done.stderr == ""
    heavy = {
        "jax",
        "jaxlib",
        "numpy",
        "scipy",
        "equinox",
        "optax",
        "rich",
        "cyclopts",
        "matplotlib",
        "sklearn",
        "torch",
        "xarray",
        "pandas",
        "zarr",
        "h5netcdf",
    }
    assert not heavy & set(done.stdout.split())


def test_jax_is_loaded_without_the_peers_and_the_plots():
    names = "thalweg.run, thalweg.compare, thalweg.sweep, thalweg.Recorder, thalweg.compare_runs"
    done = python(f"import sys, thalweg; {names}; print(*sys.modules)")
    assert done.stderr == ""
    peers = {"matplotlib", "sklearn", "torch", "diffrax", "cyclopts", "xarray", "pandas", "zarr", "h5netcdf"}
    assert not peers & set(done.stdout.split())


@pytest.mark.parametrize("name", tw.__all__)
def test_every_public_name_is_there(name):
    value = getattr(tw, name)
    assert value is getattr(tw, name)
    home = tw._HOME.get(name)
    assert value is (
        importlib.import_module(f"thalweg.{name}")
        if home is None
        else getattr(importlib.import_module(f"thalweg.{home}"), name)
    )


def test_the_contract_is_kept():
    assert set(CONTRACT.split()) <= set(tw.__all__)
    assert tw.__all__ == sorted(set(tw.__all__))
    assert set(tw.__all__) <= set(dir(tw))
    assert "__version__" in dir(tw)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'thalweg' has no attribute 'adam'"):
        _ = tw.adam
    assert not hasattr(tw, "_run_")


def test_a_module_is_never_hidden_by_a_name():
    """`tw.run` is the function, also after the module that holds it was imported, and after a star."""
    done = python(
        "import thalweg._loops.run, thalweg as tw; from thalweg import *; assert callable(tw.run) and callable(run)"
    )
    assert done.stderr == ""


def test_python_dash_m():
    done = subprocess.run(
        [sys.executable, "-m", "thalweg", "--version"], env=ENV, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{tw.__version__}\n", "")
