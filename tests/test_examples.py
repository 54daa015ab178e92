"""The example scripts run, and end where they say."""

import runpy
from pathlib import Path

import numpy as np
import pytest
import scipy.special
import sklearn.datasets

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


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_every_example_is_tested(name):
    assert callable(globals().get(f"test_{name}"))


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
    assert found["beside"].max() < 0.09


@pytest.mark.slow
def test_posterior_by_five_geometries():
    """Two geometries do not notice the unit and three do; moments, and the weights of one, are what they should be."""
    example = runpy.run_path(str(EXAMPLES / "posterior_by_five_geometries.py"))
    found, names = example["main"](), example["NAMES"]
    mean = example["quadrature"]()[0]
    log_likelihood = _of_irises()

    # By another rule, of Gauss and Legendre.
    nodes, weights = np.polynomial.legendre.leggauss(80)
    points = np.stack(np.meshgrid(0.5 + 4.0 * nodes, 7.75 + 7.25 * nodes, indexing="ij"), axis=-1).reshape(-1, 2)
    heights = [log_likelihood(*x) - 0.5 * np.sum((x / [3.0, 5.0]) ** 2) for x in points]
    masses = np.outer(weights, weights).ravel() * np.exp(heights - np.max(heights))
    np.testing.assert_allclose(mean, masses @ points / masses.sum(), rtol=1e-5)
    # Both errors at the end, in the own unit and in the other, at most.
    ends = {
        "Wasserstein": (0.2, 0.3, 2.8, 3.5), "Fisher-Rao": (0.4, 0.3, 0.4, 0.3),
        "Wasserstein-Fisher-Rao": (0.2, 0.3, 0.3, 0.4), "Stein": (0.15, 1.2, 2.5, 12.0),
        "Kalman-Wasserstein": (0.15, 0.25, 0.15, 0.25),
    }  # fmt: skip
    for name in names:
        here, other = found[name, 1.0], found[name, 10.0]
        last = [one[what][-1] for one in (here, other) for what in ("mean", "covariance")]
        assert np.less(last, ends[name]).all(), (name, last)
        apart = max(np.abs(here[what] - other[what]).max() for what in ("points", "weights"))
        assert apart < 1e-9 if name in ("Fisher-Rao", "Kalman-Wasserstein") else apart > 1.0, (name, apart)

    def gradients(name, unit, what="there"):
        one = found[name, unit]
        return np.inf if one[what] is None else one["gradients"][one[what]]

    assert gradients("Fisher-Rao", 1.0) < 120 and gradients("Kalman-Wasserstein", 1.0) < 800
    assert gradients("Wasserstein", 1.0) < 400 < 1500 < gradients("Wasserstein", 10.0)
    assert gradients("Wasserstein-Fisher-Rao", 1.0) < 400 < gradients("Wasserstein-Fisher-Rao", 10.0)
    assert gradients("Stein", 1.0, "mean_there") < 150 and gradients("Stein", 1.0) == np.inf
    # In Fisher-Rao weights are known: of a power of the posterior over the prior.
    one = found["Fisher-Rao", 1.0]
    ratio = np.array([log_likelihood(a, b) for a, b in one["points"][0]])
    exact = scipy.special.softmax((1.0 - np.exp(-one["time"][-1])) * ratio)
    np.testing.assert_allclose(one["weights"][-1], exact, atol=2e-3 * exact.max())
    assert 20 < one["effective"] < 40


def _of_irises():
    """The logarithm of the likelihood of the iris example, written once more."""
    data = sklearn.datasets.load_iris()
    width, sign = data.data[50:, 3], np.where(data.target[50:] == 2, 1.0, -1.0)
    z = (width - width.mean()) / width.std()
    return lambda a, b: -np.logaddexp(0.0, -sign * (a + b * z)).sum()


@pytest.mark.slow
def test_digits_diffusion():
    """Better schemes end nearer to the flow, which makes digits of its own; the exact score makes those it has seen."""
    found = run("digits_diffusion", 2000, 100)
    table = found["table"]
    away = [table[name]["from the flow"] for name in ("DDIM, Euler's method", "Heun", "RK4")]
    assert away[0] > 3.0 * away[1] > 3.0 * away[2]
    assert table["DPM-Solver++(2M)"]["from the flow"] < away[0] / 3.0
    assert table["the flow"]["from digits unseen"] < 0.1 * table["noise"]["from digits unseen"]
    # A nearest digit among those seen is as far as one of those unseen is, and 0 of what is learnt by heart.
    assert table["the flow"]["to the nearest seen"] > found["unseen"]
    assert table["the exact score of the digits seen"]["to the nearest seen"] < 1e-3
    again = run("digits_diffusion", 2000, 100)
    for name, end in found["ends"].items():
        np.testing.assert_array_equal(end, again["ends"][name])


@pytest.mark.slow
def test_two_players():
    """Who leaves the saddle when its linearisation says, who comes in at the solution, and who goes round."""
    found = run("two_players", 2000, 2)
    for radius, growth in found["bilinear"].values():
        # Of a run in turns the size goes up and down as it turns.
        assert abs(radius - growth) < 2e-4
    coming = {"extragradient", "look-ahead 4 times Nesterov's", "in turns, momentum -0.5"}
    assert {name for name, (radius, _) in found["bilinear"].items() if radius < 1.0 - 1e-9} == coming
    for rate in (0.002, 0.02):
        for row in found["small", rate].values():
            assert row["predicted"] == row["ran"]
            assert (row["radius"] < 1.0) == (row["left"] < 1e-10) == (row["left"] < 1.0)
    slow, fast = found["network", 0.003], found["network", 0.03]
    for row in [*slow.values(), *fast.values()]:
        np.testing.assert_allclose(row["ran"], row["predicted"], atol=1)
    assert max(fast["descent-ascent"]["swing"]) < 0.02 < min(fast["momentum"]["swing"])
    assert np.mean(slow["Nesterov"]["ran"]) < np.mean(slow["momentum"]["ran"]) < np.mean(slow["extragradient"]["ran"])
    again = run("two_players", 2000, 2)
    for rate in (0.003, 0.03):
        for name, row in found["network", rate].items():
            assert row == again["network", rate][name]


@pytest.mark.slow
def test_burst_embeddings():
    """The new item moves as linear theory says, on by its velocity after the burst, and the tail alike."""
    found = run("burst_embeddings", 3, 600, (3, 10), (0.5, 1.0))
    for length, least in ((3, 0.02), (10, 0.1)):
        ball, ahead = found["dense", length]["momentum"], found["dense", length]["Nesterov"]
        for row in (ball, ahead):
            # By the noise of some 32 samples a step.
            np.testing.assert_allclose(row["moved"], row["predicted"], rtol=0.35)
            # 0.9^101 of it is left after 100 steps.
            np.testing.assert_allclose(row["moved after"], row["predicted after"], rtol=1e-4)
        of, by = ([np.mean(ahead[what] / ball[what]) for what in names] for names in (
            ("moved", "stored"), ("predicted", "predicted stored")))  # fmt: skip
        np.testing.assert_allclose(of, by, rtol=0.05)
        assert (ahead["moved"] < (1.0 - least) * ball["moved"]).all()
        assert abs(np.mean(ahead["tail moved"] / ball["tail moved"]) - 1.0) < 0.05
        assert (ahead["error after"] < ball["error after"]).all()
    assert (found["dense", 3]["Nesterov"]["stored"] > 1.1 * found["dense", 3]["momentum"]["stored"]).all()
    for row in found["lazy", 10].values():
        assert row["moved after"].max() == 0.0
        assert (row["error after"] < found["dense", 10]["momentum"]["error after"]).all()
    again = run("burst_embeddings", 3, 600, (3, 10), (0.5, 1.0))
    for kind, rows in found.items():
        for maker, row in rows.items():
            for name, values in row.items():
                np.testing.assert_array_equal(values, again[kind][maker][name])


@pytest.mark.slow
def test_random_settings():
    """The limit tells who diverges on a quadratic; a network lasts beyond it, and both methods lose alike within it."""
    found = run("random_settings", 60, 100, 2)
    for scale in (1.0, 4.0):
        for maker in ("momentum", "Nesterov"):
            lost, out = found["quadratic", scale, maker]
            # So near to the limit that they have not got far by then.
            assert np.sum(lost != out) <= 2
    assert not found["quadratic", 1.0, "momentum"][1].any() and found["quadratic", 1.0, "Nesterov"][1].any()
    beyond = found["network", 20.0, "Nesterov"]
    assert beyond["beyond"].mean() > 0.5 and np.mean(beyond["accuracy"] > 0.5) > 0.9
    ratio = np.mean(found["ratio", "accuracy", 1.0], axis=0)
    assert abs(ratio[0] - 1.0) < 4.0 * ratio[1] < 1.0
    assert max(one for one, _ in found["ratio", "loss", 20.0]) < 0.8
    again = run("random_settings", 60, 100, 2)
    for key, row in found.items():
        if key[0] == "network":
            for name in ("accuracy", "loss"):
                np.testing.assert_array_equal(row[name], again[key][name])


@pytest.mark.slow
def test_images_momentum_nesterov():
    """Untuned, Nesterov's method is the sooner there; a second time all is the same, bit for bit."""
    found, again = (run("images_momentum_nesterov", 2, 8, 100, 16, ("shallow",))["shallow"] for _ in range(2))
    assert found["chosen"] == again["chosen"]
    for name, values in found["found"].items():
        np.testing.assert_array_equal(values, again["found"][name])
    ball, ahead = (found["found"][name, "gradients, untuned"] for name in ("momentum", "Nesterov"))
    gain = ball - ahead
    assert gain.mean() > 2.0 * gain.std(ddof=1) / gain.size**0.5
    assert ahead.mean() > 20.0 and ball.mean() < 100.0


@pytest.mark.slow
def test_large_batches():
    """Near the minimum a large batch leaves the spread of theory; a second time all is the same, bit for bit."""
    found, again = (
        run("large_batches", 200, 48, (4096,), ("momentum 0.9", "Nesterov 0.9")) for _ in range(2)
    )  # fmt: skip
    for name, row in found.items():
        np.testing.assert_array_equal(row["near"], again[name]["near"])
        np.testing.assert_array_equal(row["far"], again[name]["far"])
        mean, deviation = row["theory"]
        assert abs(row["near"].mean() / mean - 1.0) < 0.08
        # A deviation of 48 has an error of a tenth.
        assert abs(row["near"].std(ddof=1) / deviation - 1.0) < 0.4
    ball, ahead = (found[4096, name]["near"] for name in ("momentum 0.9", "Nesterov 0.9"))
    assert ahead.mean() < ball.mean()
