"""The noise of mini-batches: against what drawn mini-batches do, exactly and estimated."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.chance import scores
from tests.table.test_noise import assert_covariance
from thalweg.analysis import gradient_noise

RNG = np.random.default_rng(0)
FEATURES, TARGETS = RNG.normal(size=(40, 3)), RNG.normal(size=40)
X = {"w": jnp.array([0.3, -0.5, 1.0]), "b": jnp.array(0.2)}


def fit(x, sample):
    features, target = sample
    return 0.5 * (features @ x["w"] + x["b"] - target) ** 2 + 0.1 * jnp.sum(x["w"] ** 4)


def by_hand():
    """The gradient of every sample, in the order of the raveled tree: b, then w."""
    w, b = np.asarray(X["w"]), float(X["b"])
    off = FEATURES @ w + b - TARGETS
    return np.column_stack([off, off[:, None] * FEATURES + 0.4 * w**3])


def objective(**options):
    return tw.FiniteSum(fit, (FEATURES, TARGETS), **options)


def test_over_all_samples_it_is_exact():
    found, gradients = gradient_noise(objective(batch_size=5), X), by_hand()
    np.testing.assert_allclose(found.mean, gradients.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(gradients.T, bias=True), rtol=1e-12, atol=1e-14)
    assert found.trace == pytest.approx(np.trace(found.covariance), rel=1e-13)
    assert found.scale == pytest.approx(found.trace / np.sum(gradients.mean(0) ** 2), rel=1e-12)
    assert found.covariance_error is None and found.samples == 40


@pytest.mark.parametrize(("replace", "batch"), [(True, 5), (False, 5), (False, 39)])
def test_mini_batches_that_are_drawn_have_that_covariance(replace, batch, key, chance):
    f, draws = objective(batch_size=batch, replace=replace), 40_000

    def gradient(key):
        drawn = f.gradient(X, f.draw(key))
        return jnp.concatenate([jnp.ravel(drawn["b"]), drawn["w"]])

    many = np.asarray(jax.jit(jax.vmap(gradient))(jax.random.split(key, draws)))
    exact = gradient_noise(f, X)
    assert_covariance(many - exact.mean, exact.of_a_step, chance)


def test_the_full_gradient_has_no_noise():
    assert not gradient_noise(objective(), X).of_a_step.any()
    assert not gradient_noise(objective(batch_size=40, replace=False), X).of_a_step.any()


def test_an_estimate_is_unbiased_and_knows_its_error(chance):
    exact = gradient_noise(objective(batch_size=5), X)
    found = [gradient_noise(objective(batch_size=5), X, samples=15, key=seed) for seed in range(200)]
    covariances = np.array([one.covariance for one in found])
    spread = covariances.std(axis=0, ddof=1)
    i, j = np.triu_indices(4)
    assert np.abs(scores(covariances[:, i, j], exact.covariance[i, j])).max() < chance.z(len(i), checks=2)
    stated = np.sqrt(np.mean([one.covariance_error**2 for one in found], axis=0))
    np.testing.assert_allclose(stated, spread, rtol=0.3)
    traces = np.array([one.trace for one in found])
    assert np.sqrt(np.mean([one.trace_error**2 for one in found])) == pytest.approx(traces.std(ddof=1), rel=0.3)


def test_many_parameters_keep_the_trace():
    f = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum((x - s) ** 2), RNG.normal(size=(6, 5000)), batch_size=2)
    found = gradient_noise(f, jnp.zeros(5000))
    assert found.covariance is None
    assert found.trace == pytest.approx(np.sum(np.var(np.asarray(f.data), axis=0)), rel=1e-12)
    with pytest.raises(tw.InputError, match="with 5000 parameters the covariance is not kept"):
        _ = found.of_a_step


def test_it_leads_to_the_law_of_sgd(key, chance):
    """Least squares whose noise is the same everywhere: a shift of each sample."""
    samples = RNG.normal(size=(30, 2)) * [1.0, 2.0]
    f = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum(jnp.array([1.0, 3.0]) * (x - s) ** 2), samples, batch_size=3,
                     replace=False)  # fmt: skip
    noise = gradient_noise(f, jnp.zeros(2)).of_a_step
    law = tw.analysis.stationary_covariance(tw.gradient_descent(None, 0.3), np.diag([1.0, 3.0]), noise)
    method = tw.gradient_descent(f, 0.3)

    @jax.jit
    @jax.vmap
    def end(key):
        def step(i, state):
            return method.step(state, method.draw(jax.random.fold_in(key, i), state.position))

        return jax.lax.fori_loop(0, 50, step, method.init(jnp.asarray(samples.mean(0)))).position

    assert_covariance(np.asarray(end(jax.random.split(key, 2500))) - samples.mean(0), law, chance)


def test_wrong_input_is_one_line(monkeypatch):
    import jaxtyping

    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for attempt, says in (
        (lambda: gradient_noise(tw.Objective(fit), X), "objective must be a tw.FiniteSum"),
        (
            lambda: gradient_noise(objective(), X, samples=41, key=0),
            "samples must be at most the 40 there are, but is 41",
        ),
        (lambda: gradient_noise(objective(), X, samples=1, key=0), "samples must be a whole number of at least 2"),
        (lambda: gradient_noise(objective(), X, samples=5), "give a key"),
    ):
        with pytest.raises(tw.InputError) as caught:
            attempt()
        assert says in str(caught.value) and "\n" not in str(caught.value)
