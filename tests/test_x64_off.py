"""Every public entry point once as JAX comes: in float32, where warnings of lost precision are errors."""

import inspect
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.calls import calls, found

# Refused in either precision: there is nothing to read, or nothing that makes what is asked for.
REFUSED = {
    "read_samples", "Run.load", "Sweep.load", "testing.check_optimizer", "plot.chains", "web.serve", "web.write_page",
}  # fmt: skip
SLOW = {
    "sample", "minimize", "work_precision", "compare", "Comparison.report", "plot.paths", "plot.curves",
    "plot.write_report", "plot.work_precision", "WorkPrecision.cost", "WorkPrecision.cheapest", "WorkPrecision.of",
    "WorkPrecision.save", "testing.check_method", "testing.check_geometry", "analysis.lyapunov",
    "analysis.energy_account", "plot.loss", "plot.losses", "compare_runs", "translate", "plot.sweep", "sweep",
    "analysis.convergence_order", "problems.network_digits",
}  # fmt: skip
CASES = [
    pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in calls() if name not in REFUSED
]


@pytest.fixture(scope="module")
def made():
    with jax.enable_x64(False):
        return calls()


@pytest.mark.parametrize("name", CASES)
def test_it_works(name, made, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with jax.enable_x64(False):
        assert jnp.ones(()).dtype == jnp.float32
        call = made[name]
        given = dict(call() if callable(call) else call)
        arguments = [given.pop("ids")] if name.startswith("claims.") else []
        with warnings.catch_warnings():
            # So few draws are said to be few.
            warnings.simplefilter("ignore", tw.SamplingWarning)
            result = found(name)(*arguments, **given)
        if name == "Recorder":
            result.close()
        leaves = [leaf for leaf in jax.tree.leaves(result) if isinstance(leaf, jax.Array)]
    # A number that the user gave stays of the precision that JAX has.
    assert {leaf.dtype for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)} <= {jnp.dtype(jnp.float32)}


def test_right_in_float32(made):
    """Closed forms of what the calls make, to the rounding of float32."""
    shrunk = np.array([1.0, -2.0]) * (1.0 - 0.1 * np.array([1.0, 3.0])) ** 3
    with jax.enable_x64(False):
        run, solved = tw.run(**made["run"] | {"out": None}), tw.solve(**made["solve"])
        swept = tw.sweep(**made["sweep"])
        spread = tw.analysis.stationary_covariance(**made["analysis.stationary_covariance"])
    np.testing.assert_allclose(run.final.position, shrunk, rtol=1e-6)
    np.testing.assert_array_equal(run.final.position, solved.final.position)
    np.testing.assert_allclose(swept.final[0, 0], shrunk, rtol=1e-6)
    assert swept.final.dtype == run.final.position.dtype == np.float32
    # a C/(l (2 - a l)), of a learning rate that was meant to be 0.1.
    np.testing.assert_allclose(spread, 0.1 / 1.9, rtol=1e-13)


def test_every_call_has_the_arguments_of_its_function(made):
    for name, call in made.items():
        if isinstance(call, dict) and not name.startswith("claims."):
            assert set(call) <= set(inspect.signature(found(name)).parameters)
