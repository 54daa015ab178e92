"""`import thalweg` costs nothing, and every public name is there when it is asked for."""

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import thalweg as tw
from thalweg._lazy import homes

ENV = dict(os.environ, PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
PACKAGE = Path(tw.__file__).parent
CONTRACT = """
    Objective FiniteSum GradientFlow HeavyBall AdamFlow NesterovFlow HighResolutionFlow
    Euler Midpoint Heun Ralston RK4 Tsit5 RungeKutta Leapfrog Lookahead
    Method gradient_descent momentum nesterov adam adamw rmsprop lion run sweep compare table analysis problems claims
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


def test_a_run_loads_no_scipy():
    done = python(
        "import sys, thalweg as tw; tw.Method(tw.GradientFlow(None), tw.Euler(), 0.1); tw.run; print(*sys.modules)"
    )
    assert done.stderr == ""
    assert not {"scipy.special", "scipy.optimize", "scipy.linalg"} & set(done.stdout.split())


@pytest.mark.parametrize("name", tw.__all__)
def test_every_public_name_is_there(name):
    value = getattr(tw, name)
    assert value is getattr(tw, name)
    home = homes("thalweg")[name]
    module = importlib.import_module(f"thalweg.{name}" if home == "thalweg" else home)
    assert value is (module if home == "thalweg" else getattr(module, name))


PACKAGES = sorted(".".join(path.relative_to(PACKAGE.parent).parent.parts) for path in PACKAGE.rglob("__init__.py"))


def test_a_public_name_is_written_once():
    """What one package has of another comes by a star, so that a new name is written in one place."""
    written = []
    for package in PACKAGES:
        module = importlib.import_module(package)
        text = Path(module.__file__).read_text("utf-8")
        names = re.findall(r"^ *from \S+ import (\w+) as \1$", text, re.MULTILINE)
        written += [(name, id(getattr(module, name))) for name in names]
    assert len(written) > 100
    assert len(written) == len(set(written))


@pytest.mark.parametrize("package", [package for package in PACKAGES if homes(package)])
def test_the_names_of_a_package_are_there(package):
    module = importlib.import_module(package)
    assert set(homes(package)) <= set(dir(module))
    for name in homes(package):
        assert hasattr(module, name)


def test_names_of_private_files_stay_in_their_package():
    assert {"AbstractDynamics", "HeavyBall"} <= set(dir(tw.dynamics))
    assert "HeavyBall" in tw.__all__ and "AbstractDynamics" not in tw.__all__


def test_the_contract_is_kept():
    assert set(CONTRACT.split()) <= set(tw.__all__)
    assert tw.__all__ == sorted(set(tw.__all__))
    assert set(tw.__all__) <= set(dir(tw))
    assert "__version__" in dir(tw)


def test_a_name_that_is_not_there():
    with pytest.raises(AttributeError, match="module 'thalweg' has no attribute 'adagrad'"):
        _ = tw.adagrad
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


@pytest.mark.parametrize(
    ("package", "written", "meant"),
    [("", "momentm", "momentum"), (".analysis", "spectral_radious", "spectral_radius"),
     (".schemes", "Lepfrog", "Leapfrog"), (".dynamics", "HeavyBal", "HeavyBall"), (".geometry", "Sphre", "Sphere")],
)  # fmt: skip
def test_a_name_that_is_misspelled_is_told_the_one_meant(package, written, meant):
    module = importlib.import_module(f"thalweg{package}")
    with pytest.raises(AttributeError, match=f"no attribute '{written}'; did you mean '{meant}'"):
        getattr(module, written)
    assert not hasattr(module, "quite_another_word") and not hasattr(module, "__wrapped__")
