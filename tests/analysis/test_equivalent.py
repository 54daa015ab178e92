"""Schedules of one temperature: the same noise over the same time, there and back; where that is not the same law."""

import dataclasses

import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest

import thalweg as tw
from thalweg.analysis import equivalent_batch_schedule, equivalent_rate_schedule, stationary_covariance

SGD = tw.Hyperparameters(0.1, batch_size=64)
MOMENTUM = tw.Hyperparameters(0.1, 0.9, batch_size=64)
KINDS = {"sgd": (SGD, "momentum"), "momentum": (MOMENTUM, "momentum"), "law": (MOMENTUM, "law"),
         "ema": (tw.Hyperparameters(1.0, 0.9, batch_size=64, convention="ema"), "momentum"),
         "keras law": (dataclasses.replace(MOMENTUM, convention="keras"), "law")}  # fmt: skip


def drop(h):
    return optax.piecewise_constant_schedule(h.learning_rate, {100: 0.2, 300: 0.5})


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_noise_in_the_same_time(kind):
    """Also where a window takes in steps of several temperatures: the integral of T over time is kept at each edge."""
    h, keep = KINDS[kind]
    found = equivalent_batch_schedule(h, optax.cosine_decay_schedule(h.learning_rate, 400), 400, keep)
    before, after = found.before, found.after
    heat = np.concatenate([[0.0], np.cumsum(before.temperature * before.duration)])
    again = np.concatenate([[0.0], np.cumsum(after.temperature * after.duration)])
    np.testing.assert_allclose(again[:-1], np.interp(after.time[:-1], before.time, heat), rtol=1e-9)
    assert 0 <= after.time[-1] - before.time[-1] < after.duration[-1]
    assert after.steps < before.steps
    np.testing.assert_allclose(after.learning_rate, h.learning_rate)
    assert (np.diff(after.batch_size) > -1e-9).all()


@pytest.mark.parametrize("kind", KINDS)
def test_temperatures_are_those_of_the_methods(kind):
    """T of each stage is that of the method at the stage's own numbers: `Method.temperature`, from its own step."""
    h, keep = KINDS[kind]
    found = equivalent_batch_schedule(h, drop(h), 500, keep)
    for side in (found.before, found.after):
        for i in (0, side.steps - 2):
            here = dataclasses.replace(h, learning_rate=side.learning_rate[i], momentum=side.momentum[i])
            method = tw.momentum(None, here.scale, here.momentum)
            if keep == "law":
                # The friction of the motion is that of the first step.
                assert float(method.dynamics.friction) == pytest.approx(float(h.physical().friction), rel=1e-6)
            assert method.temperature(1 / side.batch_size[i]) == pytest.approx(side.temperature[i], rel=1e-6)
    assert found.before.temperature[-1] == pytest.approx(found.after.temperature[-1], rel=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_there_and_back(kind):
    h, keep = KINDS[kind]
    there = equivalent_batch_schedule(h, drop(h), 500, keep).after
    back = equivalent_rate_schedule(h, lambda n: there.batch_size[n], there.steps, keep).after
    assert back.batch_size[0] == 64 and abs(back.steps - 500) <= 12
    np.testing.assert_allclose(back.learning_rate[:100], h.learning_rate, rtol=1e-6)
    np.testing.assert_allclose(back.learning_rate[-1], 0.1 * h.learning_rate, rtol=1e-6)


def test_sgd_written_out():
    """100 steps at 0.1, 200 at 0.02, 200 at 0.01: times 10, 4, 2, hence 100, 40 and 20 steps; batches 64, 320, 640."""
    found = equivalent_batch_schedule(SGD, drop(SGD), 500).after
    np.testing.assert_allclose(found.batch_size, [64.0] * 100 + [320.0] * 40 + [640.0] * 20, rtol=1e-6)
    # The samples looked at are the same: noise is what is paid for.
    assert found.gradients == pytest.approx(500 * 64, rel=1e-6)


def test_the_law_kept_needs_a_smaller_batch():
    """A rate ten times smaller is a step about the square root of it."""
    found = equivalent_batch_schedule(MOMENTUM, drop(MOMENTUM), 500, "law")
    after = MOMENTUM.retune(learning_rate=0.01)
    ratio = MOMENTUM.physical().step / after.physical().step
    assert found.after.batch_size[-1] == pytest.approx(64 * ratio, rel=1e-6)
    assert found.before.momentum[-1] == pytest.approx(after.momentum, rel=1e-6)


def test_where_it_breaks():
    """Of SGD at alpha l: (1 - alpha' l/2)/(1 - alpha l/2) - 1 is what the rate gains and the batch does not."""
    found = equivalent_batch_schedule(SGD, drop(SGD), 500)
    curvature = np.array([0.1, 5.0, 30.0])
    stages = found.where_it_breaks(curvature)
    assert [stage.batch_size[1] for stage in stages] == pytest.approx([64, 320, 640], rel=1e-6)
    np.testing.assert_allclose(stages[0].difference[:2], 0.0, atol=1e-6)
    for stage in stages[1:]:
        rates = np.array(stage.learning_rate)[:, None]
        exact = (1 - rates[0] * curvature[:2] / 2) / (1 - rates[1] * curvature[:2] / 2) - 1
        np.testing.assert_allclose(stage.difference[:2], exact, rtol=1e-5)
        method = tw.gradient_descent(None, stage.learning_rate[1])
        variance = stationary_covariance(method, 5.0, 1 / stage.batch_size[1])
        assert stage.variance[1, 1] == pytest.approx(variance, rel=1e-9)
        assert stage.difference[2] == np.inf
    assert stages[0].warnings == ("before: learning rate 0.1 is unstable at curvature 30 and above",
                                  "after: learning rate 0.1 is unstable at curvature 30 and above")  # fmt: skip
    assert stages[2].warnings[0] == "after: learning rate 0.1 is unstable at curvature 30 and above"
    assert "the variances differ by 30 % at curvature 5, where learning rate times" in stages[2].warnings[1]
    assert not any(stage.warnings for stage in found.where_it_breaks(0.1))


def test_batches_that_are_none():
    found = equivalent_batch_schedule(SGD, drop(SGD), 500)
    last = found.where_it_breaks(0.1, samples=500)[-1]
    assert last.warnings == (
        "after: a batch of 640 is more than the 500 samples, and costs more than the full gradient",
    )
    last = found.where_it_breaks(0.1, samples=500, replace=False)[-1]
    assert last.variance[1, 0] == 0.0 and "so that no noise is left" in last.warnings[0]
    middle = found.where_it_breaks(0.1, samples=500, replace=False)[1]
    # The batch that is named has the noise: (N - B)/(B (N - 1)), a fifth of that of 64.
    right = float(middle.warnings[0].split("a batch of ")[1].split(" ")[0])
    assert (500 - right) / right == pytest.approx((500 - 64) / 64 / 5, rel=1e-3)
    assert middle.difference[0] == pytest.approx((500 - 320) / (500 - 64) - 1, abs=0.01)
    rising = equivalent_batch_schedule(tw.Hyperparameters(0.1, batch_size=2), lambda n: 0.1 if n < 50 else 0.5, 100)
    assert "after: a batch of 0.4 is less than one sample" in rising.where_it_breaks(0.1)[-1].warnings


def test_the_noise_without_replacement_is_that_of_the_objective():
    data = jnp.asarray(np.random.default_rng(0).normal(size=(40, 1)))
    f = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum((x - s) ** 2), data, batch_size=8, replace=False)
    noise = tw.analysis.gradient_noise(f, jnp.zeros(1))
    found = equivalent_batch_schedule(tw.Hyperparameters(0.1, batch_size=8), lambda n: 0.1, 10)
    stage = found.where_it_breaks(1.0, samples=40, replace=False)[0]
    exact = stationary_covariance(tw.gradient_descent(None, 0.1), 1.0, noise.of_a_step[0, 0])
    assert stage.variance[0, 0] * noise.covariance[0, 0] == pytest.approx(exact, rel=1e-9)


def test_stages_are_not_more_than_are_asked_for():
    smooth = equivalent_batch_schedule(SGD, optax.cosine_decay_schedule(0.1, 400), 300)
    assert len(smooth.where_it_breaks(1.0, rows=4)) == 4


def batches(h=SGD, rate=None, steps=10, **options):
    return equivalent_batch_schedule(h, rate or (lambda n: 0.1), steps, **options)


REFUSED = {
    "no hyperparameters": (lambda: batches(0.1), "must be tw.Hyperparameters"),
    "no batch": (lambda: batches(tw.Hyperparameters(0.1)), "a temperature needs a batch size"),
    "no schedule": (lambda: equivalent_batch_schedule(SGD, 0.1, 10), "learning_rate must be a schedule"),
    "no batches": (lambda: equivalent_rate_schedule(SGD, 64, 10), "batch_size must be a schedule"),
    "keep": (lambda: batches(keep="lawn"), "did you mean 'law'?"),
    "no friction": (lambda: batches(keep="law"), "without momentum there is no friction to keep"),
    "negative": (lambda: batches(rate=lambda n: 0.1 - 0.05 * n), "at least 0 at every step, but is -0.05 at step 3"),
    "nothing": (lambda: batches(rate=lambda n: 0.0), "must be positive at some step"),
    "no samples": (lambda: equivalent_rate_schedule(SGD, lambda n: 3 - n, 9), "but is 0 at step 3"),
    "steps": (lambda: batches(steps=0), "steps must be a whole number"),
    "curvature": (lambda: batches().where_it_breaks(-1.0), "curvature must be positive"),
    "a word": (lambda: batches().where_it_breaks("x"), "curvature must be a number"),
    "how many": (lambda: batches().where_it_breaks(1.0, replace=False), "depends on the number of samples"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = REFUSED[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_schedule_without_an_end_is_refused():
    h = tw.Hyperparameters(0.1, 0.9, batch_size=32)
    with pytest.raises(tw.InputError, match=r"would take .* steps, and at most 10,000,000"):
        tw.analysis.equivalent_rate_schedule(h, lambda n: 1e300, 3)
    with pytest.raises(tw.InputError, match=r"would take .* steps, and at most 10,000,000"):
        tw.analysis.equivalent_batch_schedule(h, lambda n: 1e300, 3)
