"""The least stability margin of a recorded loop, its batches and their noise: in words, at show, in a report."""

import warnings

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import thalweg as tw
from thalweg._records.shown import show_run
from thalweg._records.stability import StabilityWarning

H = tw.Hyperparameters(0.05, 0.9)
# The largest stable learning rate of momentum times the curvature.
LIMIT = 2 * (1 + 0.9)


def recorded(path, curvatures, **options):
    with tw.Recorder(path, H, **options) as recorder:
        for k, curvature in enumerate(curvatures):
            recorder.log(loss=1.0 + k, curvature=curvature)
    return recorder.run


def test_the_least_margin_and_its_step(tmp_path):
    run = recorded(tmp_path / "run", [4.0, None, 8.0, 2.0, None])
    least = LIMIT / 8.0 / 0.05
    assert run.message == f"logged 5 steps; the least stability margin was {least:.3g}, at step 2"
    shown = show_run(tmp_path / "run", run.config)
    assert f"least margin    {least:.4g} at step 2" in shown.lines
    assert shown.rows[0]["least_margin"] == {"margin": pytest.approx(least, rel=1e-9), "step": 2}
    # What was there before counts, unless it is left out.
    with tw.Recorder(tmp_path / "run", H, resume=True) as recorder:
        recorder.log(loss=1.0, curvature=6.0)
    assert recorder.run.message == f"logged 6 steps; the least stability margin was {least:.3g}, at step 2"
    with tw.Recorder(tmp_path / "run", H, resume=True) as recorder:
        recorder.log(loss=1.0, step=1)
    assert recorder.run.message == "logged 2 steps; the least stability margin was 19, at step 0"


def test_below_1_is_warned_of_once(tmp_path):
    says = r"the stability margin fell to 0\.76 at step 1: .* largest stable learning rate is 0\.038, and 0\.05 is in"
    with pytest.warns(StabilityWarning, match=says) as caught:
        recorded(tmp_path / "run", [4.0, 100.0, 200.0, 4.0])
    assert len(caught) == 1
    assert tw.Run.load(tmp_path / "run").message.endswith("the least stability margin was 0.38, at step 2")
    with warnings.catch_warnings():
        # Whoever goes on has been told.
        warnings.simplefilter("error")
        with tw.Recorder(tmp_path / "run", H, resume=True) as recorder:
            recorder.log(loss=1.0, curvature=4.0)


def failing(path):
    with tw.Recorder(path, H) as recorder:
        recorder.log(loss=1.0, curvature=100.0)
        raise ZeroDivisionError


def test_an_error_is_not_hidden_by_the_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(ZeroDivisionError):
            failing(tmp_path / "run")
    assert "ZeroDivisionError" in tw.Run.load(tmp_path / "run").message


def sharpening(path):
    """A loop of torch on a bowl that sharpens from step 120 on, to beyond its limit of 76, between two measurements."""
    x = torch.nn.Parameter(torch.tensor([1.001], dtype=torch.float64))
    optimizer, sharpness = torch.optim.SGD([x], 0.05, 0.9), 20.0
    with tw.Recorder(path, H, curvature=lambda: sharpness, curvature_every=100) as recorder:
        for k in range(150):
            sharpness = 20.0 if k < 120 else min(20.0 * 1.15 ** (k - 120), 120.0)
            optimizer.zero_grad()
            loss = 1.0 + 0.5 * sharpness * ((x - 1.0) ** 2).sum()
            loss.backward()
            recorder.log(loss=loss)
            optimizer.step()
    return recorder.run


def test_a_training_that_sharpens_between_two_measurements(tmp_path):
    with pytest.warns(StabilityWarning, match="the stability margin fell to"):
        run = sharpening(tmp_path / "run")
    metrics = run.metrics
    measured = metrics["step"][np.isfinite(metrics["stability_margin"])]
    below = metrics["step"][metrics["stability_margin"] < 1.0]
    # Nothing would be due between 100 and 200; when it is, the loss has not risen by much.
    assert below[0] > 120 and (measured > 100).sum() >= 3 and metrics["loss"][below[0]] < 2.0


def test_batch_size_and_the_scale_of_the_noise(tmp_path):
    """A loop of optax that takes its gradients in two parts: the scale that the noise it was given has."""
    b, batch, d, spread = 4, 32, 10, 1.5
    x, optimizer = jnp.full(d, 2.0), optax.sgd(1e-9)
    state, key = optimizer.init(x), jax.random.key(0)
    with tw.Recorder(tmp_path / "r", tw.Hyperparameters(1e-9, batch_size=batch), part_size=b) as recorder:
        for k in range(400):
            samples = spread * jax.random.normal(jax.random.fold_in(key, k), (batch, d))
            part, whole = x + samples[:b].mean(0), x + samples.mean(0)
            recorder.log(loss=0.5 * x @ x, gradient=whole, part=part)
            updates, state = optimizer.update(whole, state, x)
            x = optax.apply_updates(x, updates)
    run = recorder.run
    assert list(run.metrics)[2:] == ["loss", "gradient_norm", "part_norm"]
    expected = tw.analysis.noise_scale(run.metrics["part_norm"], run.metrics["gradient_norm"], b, batch)
    assert abs(expected.value - spread**2 / 4.0) < 4 * expected.error < expected.value
    says = f"noise scale     {expected.value:.4g} samples, to {expected.error:.2g} (from 400 rows)"
    assert says in show_run(tmp_path / "r", run.config).lines


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number of at least 1, but is 0"),
        ({"part_size": 4}, "part_size is that of a part of the batch; give batch_size, too"),
        ({"batch_size": 8, "part_size": 8}, "part_size must be less than batch_size, 8, but is 8"),
        ({"batch_size": 8, "method": tw.Hyperparameters(0.1, batch_size=4)}, "batch_size is 8, but that of the method"),
    ],
)
def test_sizes_that_cannot_be_are_one_line(options, says, tmp_path):
    with pytest.raises(tw.InputError, match=says):
        tw.Recorder(tmp_path / "r", **({"method": H} | options))
    assert not (tmp_path / "r").exists()


def test_a_part_without_sizes_is_one_line(tmp_path):
    with tw.Recorder(tmp_path / "r", H, batch_size=8) as recorder:
        with pytest.raises(tw.InputError, match="part= needs to know the samples of both"):
            recorder.log(loss=1.0, gradient=np.ones(2), part=np.ones(2))
        recorder.log(loss=1.0)


def test_the_report_draws_the_course(tmp_path):
    """Each quantity that was logged, against steps, and against samples where a batch size is known."""
    for name, options in (("a", {"batch_size": 32}), ("b", {})):
        with tw.Recorder(tmp_path / name, H, **options) as recorder:
            for k in range(40):
                rate = 0.05 * (1 + k / 40)
                curvature = 2.0 + k / 5 if k % 4 == 0 else None
                recorder.log(loss=2.0**-k, gradient_norm=1.5**-k, learning_rate=rate, curvature=curvature)
    runs = {name: tw.Run.load(tmp_path / name) for name in "ab"}
    page = tw.compare_runs(runs, tolerance=1e-2).report(tmp_path / "page.html").read_text()
    assert page.count("<h3>Stability margin</h3>") == page.count("<h3>Learning rate</h3>") == 2
    assert page.count("<h3>Norm of the gradient</h3>") == page.count("<h3>Largest curvature</h3>") == 2
    margin = runs["a"].metrics["stability_margin"]
    assert f"The least margin was: a {np.nanmin(margin):.3g} at step 36; b" in page
    ax = tw.plot.course(runs, "stability_margin", "samples")
    drawn = ax.lines[0]
    np.testing.assert_array_equal(drawn.get_xdata(), 32.0 * np.arange(0, 40, 4))
    np.testing.assert_allclose(drawn.get_ydata(), margin[::4], rtol=0)
    with pytest.raises(tw.InputError, match="no run recorded speed; there is loss, gradient_norm"):
        tw.plot.course(runs, "speed")
    with pytest.raises(tw.InputError, match="and knows its batch size"):
        tw.plot.course({"b": runs["b"]}, "loss", "samples")


def test_samples_of_batches_that_change(tmp_path):
    with tw.Recorder(tmp_path / "r") as recorder:
        for size in (8, 8, 16, 16):
            recorder.log(loss=1.0, batch_size=size)
    ax = tw.plot.course({"r": recorder.run}, "loss", "samples")
    assert ax.lines[0].get_xdata().tolist() == [0.0, 8.0, 16.0, 32.0]
