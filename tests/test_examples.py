"""The example scripts run, and end where they say."""

import runpy
from pathlib import Path

import numpy as np
import pytest

import thalweg as tw

EXAMPLES = Path(__file__).parent.parent / "examples"


def run(name, *arguments):
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](*arguments)


@pytest.mark.slow
def test_your_objective():
    result = run("your_objective")
    assert all(entry.reached for entry in result.entries), repr(result)


@pytest.mark.slow
def test_rate_drop():
    """Both frameworks go the same way, and the exact one goes on where the rate left alone brakes."""
    found = run("rate_drop", 60, 1)
    for values in found.values():
        np.testing.assert_allclose(values["torch"], values["optax"], rtol=0, atol=1e-12)
    last = {way: values["torch"][-1] for way, values in found.items()}
    assert last["never dropped"] < last["exact"] < last["left alone"]
    assert abs(last["square root"] - last["exact"]) < 0.1 * (last["left alone"] - last["exact"])


def test_larger_than_memory():
    """Each weight to six standard errors: 0.1/sqrt(51200) of the rows, and what the noise of the batches leaves."""
    result = run("larger_than_memory", 200)
    weights = np.linspace(-1.0, 1.0, 20)
    noise = 0.1**2 / 256
    left = tw.analysis.stationary_covariance(result.method, np.eye(1), noise * np.eye(1))[0, 0]
    error = np.abs(np.asarray(result.final.position) - weights)
    assert result.steps == 200 and error.max() < 6 * np.sqrt(left + 0.1**2 / 51_200)


@pytest.mark.slow
def test_sample_posterior():
    """Means and standard deviations to the errors of the draws and of the reference run."""
    tree, problem = run("sample_posterior", 10_000)
    values, moments = tree["diagnostics"], problem.moments
    assert (values["weights"].sel(statistic="ess_bulk") > 300).all()
    for name in ("bias", "weights"):
        mean, sd, error, spread = (
            values[name].sel(statistic=s).values for s in ("mean", "sd", "mcse_mean", "mcse_sd")
        )  # fmt: skip
        assert (np.abs(mean - moments.mean[name]) < 5 * np.hypot(error, moments.mean_error[name])).all()
        exact = np.sqrt(moments.variance[name])
        known = moments.variance_error[name] / (2 * exact)
        assert (np.abs(sd - exact) < 5 * np.hypot(spread, known) + 0.02 * exact).all()


def test_every_example_is_tested():
    assert {path.stem for path in EXAMPLES.glob("*.py")} == {
        "your_objective", "rate_drop", "larger_than_memory", "sample_posterior", "adam_edge",
        "one_wine_into_another",
    }  # fmt: skip


@pytest.mark.slow
def test_adam_edge():
    """Full-batch Adam hovers about the limit of its preconditioned curvature, at another beta1 about another."""
    found = run("adam_edge", 2000, 20)
    assert [round(one["limit"], 6) for one in found.values()] == [3800.0, 2000.0]
    for one in found.values():
        late = one["ratio"][-30:]
        assert 0.9 < np.median(late) < 1.1 and 0.8 < min(late) < max(late) < 1.3
        assert one["loss"][-1] < 0.02


@pytest.mark.slow
def test_one_wine_into_another():
    """Grid and particles end together, F falls as fast as it should, and wines go straight to their partners."""
    found = run("one_wine_into_another", 50, 1000)
    energy = found["energy"]
    assert 5.5 < energy[0] < 6.5 and energy[-1] < 2e-3 and np.diff(energy).max() < 0.0
    # The first steps are long beside how fast the start is smoothed.
    assert np.abs(found["ratio"][5:] - 1.0).max() < 0.02
    assert found["mass"] < 1e-13
    apart = found["apart"]
    assert apart.value < 2.0 * apart.error < 0.15
    # As a square of Wasserstein's distance would fall, and its root.
    assert abs(found["sinkhorn"][-1] / found["sinkhorn"][0] - np.exp(-4.0)) < 0.02 * np.exp(-4.0)
    left = found["left"]
    assert 2.2 < left[0] < 2.3 and abs(left[-1] / left[0] - np.exp(-2.0)) < 0.1 * np.exp(-2.0)
    assert found["beside"].max() < 0.1
