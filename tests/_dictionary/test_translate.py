"""What `translate` says is code that runs, and numbers that hold."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import torch

import thalweg as tw
from thalweg._dictionary.spelling import FRAMEWORKS, spell

CURVATURES = np.array([0.3, 1.0, 4.0])
X0 = np.array([1.0, -2.0, 0.5])
STEPS = 30
CASES = {
    "descent": tw.Hyperparameters(0.1),
    "momentum": tw.Hyperparameters(0.1, 0.9),
    "nesterov": tw.Hyperparameters(0.05, 0.85, nesterov=True),
    "dampened": tw.Hyperparameters(0.1, 0.9, dampening=0.4),
    "decayed": tw.Hyperparameters(0.1, 0.9, weight_decay=0.3),
    "keras": tw.Hyperparameters(0.1 / 3, 0.7, convention="keras"),
    "average": tw.Hyperparameters(0.4, 0.8, convention="ema"),
    "corrected": tw.Hyperparameters(0.4, 0.8, convention="ema", bias_correction=True),
}
HAVE_NONE = {
    ("dampened", "optax"), ("dampened", "keras"), ("dampened", "ema"), ("dampened", "thalweg"), ("nesterov", "ema"),
    ("decayed", "keras"), ("decayed", "thalweg"), ("corrected", "torch"), ("corrected", "optax"),
    ("corrected", "keras"), ("corrected", "thalweg"),
}  # fmt: skip


def by_hand(h):
    """The definition of the conventions, written out."""
    x, b, path = X0, np.zeros(3), [X0]
    for k in range(1, STEPS + 1):
        g = CURVATURES * x + h.weight_decay * x
        if h.convention == "torch":
            b = h.momentum * b + (g if k == 1 or not h.momentum else (1 - h.dampening) * g)
            x = x - h.learning_rate * (g + h.momentum * b if h.nesterov else b)
        elif h.convention == "keras":
            b = h.momentum * b - h.learning_rate * g
            x = x + (h.momentum * b - h.learning_rate * g if h.nesterov else b)
        else:
            b = h.momentum * b + (1 - h.momentum) * g
            x = x - h.learning_rate * b / (1 - h.momentum**k if h.bias_correction else 1)
        path.append(x)
    return np.array(path)


def run_code(code, framework):
    """Paste, run."""
    path = [X0]
    if framework == "torch":
        x = torch.nn.Parameter(torch.tensor(X0))
        optimizer = eval(code, {"torch": torch, "params": [x]})
        for _ in range(STEPS):
            x.grad = torch.tensor(CURVATURES) * x.detach()
            optimizer.step()
            path.append(x.detach().numpy().copy())
    elif framework == "keras":
        import keras

        x = keras.Variable(X0, dtype="float64")
        optimizer = eval(code, {"keras": keras})
        optimizer.build([x])
        for _ in range(STEPS):
            optimizer.apply([CURVATURES * jnp.asarray(x.value)], [x])
            path.append(np.asarray(x.value))
    elif framework == "thalweg":
        method = eval(code, {"tw": tw, "f": lambda x: 0.5 * jnp.sum(CURVATURES * x**2)})
        state = method.init(jnp.asarray(X0))
        for _ in range(STEPS):
            state = method.step(state)
            path.append(np.asarray(state.lookahead))
    else:
        optimizer = eval(code, {"optax": optax})
        x, state = jnp.asarray(X0), optimizer.init(jnp.asarray(X0))
        for _ in range(STEPS):
            updates, state = optimizer.update(CURVATURES * x, state, x)
            x = optax.apply_updates(x, updates)
            path.append(np.asarray(x))
    return np.array(path)


@pytest.mark.parametrize("framework", FRAMEWORKS)
@pytest.mark.parametrize("case", CASES)
def test_the_code_is_the_same_optimizer(case, framework):
    h = CASES[case]
    wording = tw.translate(h)[framework]
    if (case, framework) in HAVE_NONE:
        assert wording.code is None and wording.hyperparameters is None and len(wording.why) > 20
        return
    assert wording.why == ""
    # keras keeps its learning rate in float32; printed digits end at the fifteenth.
    tolerance = 3e-6 if framework == "keras" else 1e-12
    np.testing.assert_allclose(run_code(wording.code, framework), by_hand(h), rtol=0, atol=tolerance)


@pytest.mark.parametrize("case", ["descent", "momentum", "nesterov", "average"])
def test_the_limit_in_the_units_of_each_framework(case):
    h = CASES[case]
    found = tw.translate(h, [0.5, 2.0])
    beta, top = h.momentum, 2.0
    limit = (2 + 2 * beta) / top / ((1 + 2 * beta) if h.nesterov else 1.0)
    assert found["torch"].stable_up_to == pytest.approx(limit, rel=1e-9)
    if found["ema"].code is not None:
        assert found["ema"].stable_up_to == pytest.approx(limit / (1 - beta), rel=1e-9)


def test_the_constants():
    found = tw.translate(tw.Hyperparameters(0.1, 0.81, batch_size=10), 1.0)
    assert found.physical == tw.Hyperparameters(0.1, 0.81, batch_size=10).physical()
    assert found.memory_steps == pytest.approx(1 / 0.19)
    assert found.effective_learning_rate == pytest.approx(0.1 / 0.19)
    # It oscillates, and shrinks by the root of its momentum a step.
    assert found.relaxation_steps == pytest.approx(-1 / math.log(0.9), rel=1e-9)
    assert tw.translate(tw.Hyperparameters(3.0, 0.5), 2.0).relaxation_steps == math.inf
    assert tw.translate(tw.Hyperparameters(0.1)).relaxation_steps is None
    assert "torch.optim.SGD(params, lr=0.1, momentum=0.81)" in repr(found)


def test_precision_of_the_constants_is_double_whatever_jax_is_set_to():
    with jax.enable_x64(False):
        physical = tw.Hyperparameters(0.1, 0.9).physical()
    assert physical == tw.Hyperparameters(0.1, 0.9).physical()
    assert physical.step == math.sqrt(0.2 / 1.9)


@pytest.mark.parametrize("curvature", [0.0, -1.0, float("nan")])
def test_a_curvature_that_is_none(curvature):
    with pytest.raises(tw.InputError, match="curvature must be"):
        tw.translate(CASES["momentum"], curvature)


def test_a_framework_that_is_none():
    with pytest.raises(tw.InputError, match="framework 'pytorch' is unknown; did you mean 'torch'"):
        spell(CASES["momentum"], "pytorch")
