"""Scaling rules: SGD and momentum by exact laws, Adam by running Adam."""

import math

import jaxtyping
import numpy as np
import pytest

import thalweg as tw
from thalweg.analysis import (
    AdamHyperparameters,
    scale_adam,
    scale_sgd,
    stationary_covariance,
    transient_covariance,
    transient_mean,
)

HESSIAN = np.array([[1.6, 0.5], [0.5, 0.7]])
NOISE = np.array([[1.0, 0.4], [0.4, 2.0]])
KAPPA = 4


def method(h):
    return tw.momentum(None, h.scale, h.momentum) if h.momentum else tw.gradient_descent(None, h.scale)


def settled(h):
    return stationary_covariance(method(h), HESSIAN, NOISE / h.batch_size)


def apart(a, b):
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.mark.parametrize("convention", ["torch", "ema"])
@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_the_linear_rule_keeps_temperature_and_stationary_law(momentum, convention):
    """To first order in the rate, which a rate four times smaller shows.

    The first order is alpha/(1 - b)^2 between directions where noise and Hessian do not commute.
    """
    errors = []
    for rate in (2.5e-4, 6.25e-5):
        h = tw.Hyperparameters(rate, momentum, batch_size=16, convention=convention)
        after = scale_sgd(h, KAPPA * 16)
        assert after.physical().temperature == pytest.approx(h.physical().temperature, rel=1e-12)
        errors.append(apart(settled(after), settled(h)))
    assert errors[0] < 0.01 and errors[1] == pytest.approx(errors[0] / 4, rel=0.1)


def test_the_linear_rule_keeps_the_way_there_where_friction_is_large():
    """SGD, and momentum after many steps of 1/(1 - b): a quarter of the steps for four times the batch."""
    h = tw.Hyperparameters(2e-4, 0.9, batch_size=16)
    after = scale_sgd(h, KAPPA * 16)
    now, then = (transient_covariance(method(x), HESSIAN, n, NOISE / x.batch_size) for x, n in ((h, 400), (after, 100)))
    assert apart(then, now) < 0.1
    # The batch alone, or the rate alone, does not.
    alone = transient_covariance(method(h), HESSIAN, 100, NOISE / after.batch_size)
    assert apart(alone, now) > 0.5


def test_the_law_keeps_the_whole_motion():
    """Position and velocity on the way, underdamped, at steps four times as long; the linear rule keeps neither."""
    errors = []
    for rate, momentum, n in ((1e-4, 0.996, 800), (1e-4 / 16, 0.999, 3200)):
        h = tw.Hyperparameters(rate, momentum, batch_size=16)
        law, linear = scale_sgd(h, KAPPA * 16, "law"), scale_sgd(h, KAPPA * 16)
        known, kept = h.physical(), law.physical()
        assert kept.friction == pytest.approx(known.friction, rel=1e-9)
        assert kept.temperature == pytest.approx(known.temperature, rel=1e-9)
        assert kept.step == pytest.approx(KAPPA * known.step, rel=1e-9)
        assert law.learning_rate == pytest.approx(KAPPA**2 * rate, rel=0.02)
        assert 1 - law.momentum == pytest.approx(KAPPA * (1 - momentum), rel=0.02)
        parts = {}
        for name, x in (("now", h), ("law", law), ("linear", linear)):
            steps = n if x is h else n // KAPPA
            parts[name] = (transient_covariance(method(x), HESSIAN, steps, NOISE / x.batch_size),
                           transient_mean(method(x), HESSIAN, steps, [1.0, -2.0]))  # fmt: skip
        errors.append([apart(a, b) for a, b in zip(parts["law"], parts["now"], strict=True)])
        assert all(apart(a, b) > 0.3 for a, b in zip(parts["linear"], parts["now"], strict=True))
    assert max(errors[0]) < 0.1
    # First order in the step, which is four times smaller.
    assert (np.array(errors[1]) < np.array(errors[0]) / 3.5).all()


def test_without_momentum_the_law_is_the_linear_rule():
    h = tw.Hyperparameters(0.01, batch_size=16)
    assert scale_sgd(h, 64, "law") == scale_sgd(h, 64)


def spread(adam, curvature, noise, rng, time=12.0, chains=3000):
    """The variance of plain Adam, as its paper has it, on curvature x^2/2 with gradient noise of variance noise/B."""
    x, m, v = np.zeros(chains), np.zeros(chains), np.zeros(chains)
    scale = math.sqrt(noise / adam.batch_size)
    steps = int(time / (adam.learning_rate / scale * curvature))
    late = []
    for k in range(1, steps + 1):
        g = curvature * x + scale * rng.standard_normal(chains)
        m = adam.beta1 * m + (1 - adam.beta1) * g
        v = adam.beta2 * v + (1 - adam.beta2) * g * g
        x = x - adam.learning_rate * (m / (1 - adam.beta1**k)) / (np.sqrt(v / (1 - adam.beta2**k)) + adam.epsilon)
        if k > steps // 3:
            late.append(float(np.mean(x * x)))
    return float(np.mean(late))


def test_adams_rule_by_running_adam(rng):
    """The square root rule keeps the stationary variance, a sigma/(2 l sqrt B); the linear rule doubles it."""
    curvature, noise = 1.0, 4.0
    now = AdamHyperparameters(0.004, 0.9, 0.995, epsilon=0.02, batch_size=4)
    kept, linear = scale_adam(now, 16), scale_adam(now, 16, "linear")
    found = [spread(adam, curvature, noise, rng) for adam in (now, kept, linear)]
    # 1/(1 + epsilon/scale) less; v's own fluctuations are some percent.
    predicted = now.learning_rate * math.sqrt(noise / now.batch_size) / (2 * curvature) / 1.02
    assert found[0] == pytest.approx(predicted, rel=0.06)
    assert found[1] == pytest.approx(found[0], rel=0.06)
    assert found[2] == pytest.approx(2 * found[0], rel=0.1)


def test_adams_rule_composes_and_goes_back():
    now = AdamHyperparameters(1e-3, 0.9, 0.999, 1e-8, batch_size=256)
    back = scale_adam(scale_adam(scale_adam(now, 512), 1024), 256)
    for name in ("learning_rate", "beta1", "beta2", "epsilon", "batch_size"):
        assert getattr(back, name) == pytest.approx(getattr(now, name), rel=1e-12)


NOW = AdamHyperparameters(batch_size=8)
REFUSED = {
    "no batch": (lambda: scale_sgd(tw.Hyperparameters(0.1), 8), "needs the one that it replaces"),
    "no adams batch": (lambda: scale_adam(AdamHyperparameters(), 8), "AdamHyperparameters(..., batch_size=)"),
    "nothing": (lambda: scale_sgd(tw.Hyperparameters(0.1, batch_size=8), 0), "batch_size must be greater than 0"),
    "a rule": (lambda: scale_adam(NOW, 16, "square-root"), "did you mean 'square root'?"),
    "sgds rule": (lambda: scale_sgd(tw.Hyperparameters(0.1, batch_size=8), 9, "laws"), "did you mean 'law'?"),
    "an average": (lambda: scale_adam(NOW, 81), "the batch can grow 10 times at most"),
    "brakes": (
        lambda: scale_sgd(tw.Hyperparameters(0.1, 0.5, batch_size=8), 80, "law"), "asks for a negative momentum",
    ),
    "a number": (lambda: AdamHyperparameters(beta2=1.0), "beta2 must be less than 1"),
    "no adam": (lambda: scale_adam(tw.Hyperparameters(0.1), 8), "must be tw.AdamHyperparameters"),
    "no sgd": (lambda: scale_sgd(NOW, 8), "must be tw.Hyperparameters"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = REFUSED[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)
