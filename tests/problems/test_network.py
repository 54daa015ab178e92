import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.datasets import load_digits

import thalweg as tw


def test_is_the_textbook_loss():
    problem = tw.problems.network_digits(regularisation=0.02)
    features, labels = load_digits(return_X_y=True)
    spread = features.std(axis=0)
    spread[spread == 0] = 1.0
    features = (features - features.mean(axis=0)) / spread
    first, second = jax.tree.map(np.asarray, (problem.start["hidden"], problem.start["output"]))
    logits = np.tanh(features @ first["weights"] + first["bias"]) @ second["weights"] + second["bias"]
    chance = np.exp(logits)
    chance /= chance.sum(axis=1, keepdims=True)
    squares = sum(float((leaf**2).sum()) for layer in (first, second) for leaf in layer.values())
    loss = -np.mean(np.log(chance[np.arange(1797), labels])) + 0.01 * squares
    np.testing.assert_allclose(problem.objective.value(problem.start), loss, rtol=1e-12)


def test_start():
    hidden, output = (tw.problems.network_digits(8).start[layer] for layer in ("hidden", "output"))
    assert [leaf.shape for leaf in (*hidden.values(), *output.values())] == [(64, 8), (8,), (8, 10), (10,)]
    assert jnp.all(hidden["bias"] == 0) and jnp.all(output["bias"] == 0)
    np.testing.assert_allclose(jnp.std(hidden["weights"]), 64**-0.5, rtol=0.1)
    np.testing.assert_allclose(jnp.std(output["weights"]), 8**-0.5, rtol=0.2)


def test_the_seed_is_the_start():
    starts = [tw.problems.network_digits(seed=seed).start["output"]["weights"] for seed in (0, 0, 1)]
    assert jnp.all(starts[0] == starts[1]) and not jnp.any(starts[0] == starts[2])


@pytest.mark.parametrize("regularisation", [0.0, 1])
def test_a_little_descent_lowers_it(regularisation):
    problem = tw.problems.network_digits(regularisation=regularisation)
    x, f = problem.start, problem.objective
    value, gradient = f.value_and_gradient(x)
    squares = sum(float(jnp.sum(leaf**2)) for layer in gradient.values() for leaf in layer.values())
    down = {k: {n: x[k][n] - 1e-6 * gradient[k][n] for n in x[k]} for k in x}
    np.testing.assert_allclose(value - f.value(down), 1e-6 * squares, rtol=1e-4)
