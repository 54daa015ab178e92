"""Epochs: every sample once, in an order that is new each time and depends on the key alone."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy import stats

import thalweg as tw
from thalweg._objectives.finite_sum import shuffled

DATA = np.random.default_rng(2).normal(size=(12, 2))


def objective(batch=4, data=DATA):
    return tw.FiniteSum(lambda x, s: 0.5 * jnp.sum((x - s) ** 2), data, batch, replace=False, epochs=True)


@pytest.mark.parametrize("count", [1, 2, 3, 7, 64, 1797])
def test_an_order_is_a_permutation(count):
    orders = [np.asarray(shuffled(jax.random.key(seed), jnp.arange(count), count)) for seed in range(5)]
    for order in orders:
        assert sorted(order) == list(range(count))
    if count > 10:
        assert len({tuple(order) for order in orders}) == 5


def test_an_order_is_as_good_as_random():
    """Of 5 things every one of the 120 orders comes as often; of 40 every one stands at every place as often."""
    keys = jax.random.split(jax.random.key(0), 24_000)
    orders = np.asarray(jax.vmap(lambda key: shuffled(key, jnp.arange(5), 5))(keys))
    counts = np.unique(orders @ 10 ** np.arange(5), return_counts=True)[1]
    assert len(counts) == 120 and stats.chisquare(counts).pvalue > 1e-3
    orders = np.asarray(jax.vmap(lambda key: shuffled(key, jnp.arange(40), 40))(keys))
    table = np.array([np.bincount(column, minlength=40) for column in orders.T])
    assert stats.chisquare(table, axis=1).pvalue.min() > 1e-5
    # Neighbours are no more often neighbours.
    assert np.mean(np.abs(np.diff(orders, axis=1)) == 1) == pytest.approx(2 / 40, rel=0.02)


@pytest.mark.parametrize(("batch", "turns"), [(4, 3), (5, 2), (12, 1), (1, 12)])
def test_an_epoch_takes_no_sample_twice(batch, turns, key):
    f = objective(batch)
    if batch == 12:
        assert not f.stochastic  # a step is the whole of it
        return
    epochs = [np.concatenate([np.asarray(f.draw(key, turns * e + t)) for t in range(turns)]) for e in range(4)]
    for epoch in epochs:
        assert len(set(epoch.tolist())) == batch * turns and set(epoch.tolist()) <= set(range(12))
    assert len({tuple(epoch) for epoch in epochs}) == 4
    left_over = [set(range(12)) - set(epoch.tolist()) for epoch in epochs]
    assert all(len(left) == 12 - batch * turns for left in left_over)


def test_a_run_goes_through_the_epochs(tmp_path):
    """As by hand, whatever the chunks, and also when it was stopped within an epoch."""
    f, key = objective(), jax.random.key(7)
    run = tw.run(tw.gradient_descent(f, 0.1), jnp.zeros(2), 20, key=7, record=1)
    x = np.zeros(2)
    for k in range(20):
        x = x - 0.1 * (x - DATA[np.asarray(f.draw(key, k))].mean(0))
    np.testing.assert_allclose(run.final.position, x, rtol=1e-12)
    tw.run(tw.gradient_descent(f, 0.1), jnp.zeros(2), 8, key=7, out=tmp_path / "a")
    again = tw.run(tw.gradient_descent(f, 0.1), jnp.zeros(2), 20, key=7, out=tmp_path / "a", resume=True)
    assert (again.final.position == run.final.position).all()


def test_epochs_have_less_noise_than_drawing(key):
    """Over a whole epoch the noise of additive gradients cancels to first order in the learning rate."""
    ends = {}
    for name, f in (("epochs", objective()), ("drawn", tw.FiniteSum(objective().fn, DATA, 4, replace=False))):
        method = tw.gradient_descent(f, 0.02)

        def end(key, method=method):
            def step(i, state):
                return method.step(state, method.draw(key, state.position, i))

            return jax.lax.fori_loop(0, 600, step, method.init(jnp.asarray(DATA.mean(0)))).position

        ends[name] = np.asarray(jax.jit(jax.vmap(end))(jax.random.split(key, 300)))
    spread = {name: np.sum(np.var(positions, axis=0)) for name, positions in ends.items()}
    assert spread["epochs"] < 0.1 * spread["drawn"]


def test_wrong_input_is_one_line():
    for options in ({"batch_size": 4}, {"batch_size": None, "replace": False}):
        with pytest.raises(tw.InputError, match="epochs need a batch_size and replace=False"):
            tw.FiniteSum(lambda x, s: x, DATA, epochs=True, **options)


def test_a_wrong_kind_is_one_line(monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(tw.InputError, match="epochs must be True or False, but is 'yes'"):
        tw.FiniteSum(lambda x, s: x, DATA, 4, replace=False, epochs="yes")
