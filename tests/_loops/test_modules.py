"""Modules of Equinox as starts: their arrays move, all else stays where it is."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import thalweg as tw

DATA = jax.random.normal(jax.random.key(1), (32, 2))
LABELS = (DATA[:, :1] * DATA[:, 1:] > 0).astype(float)
NET = eqx.nn.MLP(2, 1, 4, 1, activation=jnp.tanh, key=jax.random.key(0))


def loss(net, sample):
    x, y = sample
    return jnp.mean((net(x) - y) ** 2)


F = tw.FiniteSum(loss, (DATA, LABELS), batch_size=8)
METHOD = tw.momentum(F, 0.1, 0.9)


def accuracy(seen):
    return jnp.mean((jax.vmap(seen.position)(DATA) > 0.5) == (LABELS > 0.5))


def by_hand(steps):
    """The frameworks' momentum over the arrays of the module."""
    parameters, rest = eqx.partition(NET, eqx.is_inexact_array)
    buffer = jax.tree.map(jnp.zeros_like, parameters)
    for k in range(steps):
        batch = F.draw(jax.random.key(0), k)
        drawn = DATA[batch], LABELS[batch]
        gradient = jax.grad(lambda p, s=drawn: jnp.mean(jax.vmap(lambda one: loss(eqx.combine(p, rest), one))(s)))(
            parameters
        )
        buffer = jax.tree.map(lambda v, g: 0.9 * v - 0.1 * g, buffer, gradient)
        parameters = jax.tree.map(jnp.add, parameters, buffer)
    return eqx.combine(parameters, rest)


def test_a_run_moves_the_arrays_and_gives_the_module_back():
    run = tw.run(METHOD, NET, 7, key=0, record=tw.Record(metrics=("loss", accuracy), positions=7))
    expected = by_hand(7)
    assert jax.tree.structure(run.final.position) == jax.tree.structure(NET)
    for found, wanted in zip(
        *(jax.tree.leaves(eqx.filter(tree, eqx.is_array)) for tree in (run.final.position, expected)), strict=True
    ):
        np.testing.assert_allclose(found, wanted, rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(run.final.position)(DATA), jax.vmap(expected)(DATA), rtol=1e-12)
    last = jnp.mean((jax.vmap(expected)(DATA) > 0.5) == (LABELS > 0.5))
    assert run.metrics["accuracy"][-1] == last
    kept = jax.tree.map(lambda leaf: leaf[-1] if eqx.is_array(leaf) else leaf, run.trace.position)
    np.testing.assert_array_equal(kept(DATA[0]), run.final.position(DATA[0]))


def test_solve_sweep_and_a_resumed_run_do_too(tmp_path):
    run = tw.run(METHOD, NET, 9, key=0)
    solved = tw.solve(METHOD, NET, 9, key=0, save=lambda state: state.position(DATA[0]))
    np.testing.assert_allclose(solved.final.position(DATA[0]), run.final.position(DATA[0]), rtol=1e-12)
    assert solved.saved.shape == (10, 1)
    tw.run(METHOD, NET, 4, key=0, out=tmp_path / "run")
    resumed = tw.run(METHOD, NET, 9, key=0, out=tmp_path / "run", resume=True)
    np.testing.assert_array_equal(resumed.final.position(DATA[0]), run.final.position(DATA[0]))
    full = tw.FiniteSum(loss, (DATA, LABELS))
    swept = tw.sweep(
        lambda learning_rate: tw.gradient_descent(full, learning_rate), {"learning_rate": [0.1, 0.3]}, NET, 5
    )
    one = tw.run(tw.gradient_descent(full, 0.3), NET, 5)
    np.testing.assert_allclose(swept.final_loss[1, 0], one.metrics["loss"][-1], rtol=1e-12)


def test_the_look_ahead_point_of_a_module_is_a_module():
    full = tw.FiniteSum(loss, (DATA, LABELS))
    run, solved = (go(tw.nesterov(full, 0.1, 0.9), NET, 4) for go in (tw.run, tw.solve))
    ahead = [one.final.lookahead(DATA[0]) for one in (run, solved)]
    np.testing.assert_allclose(*ahead, rtol=1e-12)
    assert not np.allclose(ahead[1], solved.final.position(DATA[0]))


def test_a_tree_may_hold_modules_beside_arrays():
    def f(x):
        return jnp.sum((x["net"](DATA[0]) * x["scale"] - 1.0) ** 2)

    run = tw.run(tw.gradient_descent(f, 0.1), {"net": NET, "scale": jnp.array(2.0)}, 20)
    assert run.metrics["loss"][-1] < 0.5 * run.metrics["loss"][0]
    assert run.final.position["net"].activation is jnp.tanh


class Counted(eqx.Module):
    weight: jax.Array
    count: jax.Array
    rate: float
    act: Callable

    def __call__(self):
        return jnp.sum(self.act(self.weight) ** 2) * self.count * self.rate


def test_counts_and_plain_numbers_of_a_module_stay():
    start = Counted(jnp.array([1.0, -2.0]), jnp.array(3), 0.5, jnp.abs)
    run = tw.run(tw.gradient_descent(lambda module: module(), 0.1), start, 3)
    assert (run.final.position.count, run.final.position.rate, run.final.position.act) == (3, 0.5, jnp.abs)
    np.testing.assert_allclose(run.final.position.weight, np.array([1.0, -2.0]) * 0.7**3, rtol=1e-12)


def test_a_field_on_a_module():
    start = Counted(jnp.array([1.0, -2.0]), jnp.array(3), 0.5, jnp.abs)
    decay = tw.Field(lambda t, module, args: jax.tree.map(jnp.negative, eqx.filter(module, eqx.is_inexact_array)))
    run = tw.run(tw.Method(decay, tw.RK4(), 0.1), start, 10)
    np.testing.assert_allclose(run.final.position.weight, np.array([1.0, -2.0]) * np.exp(-1.0), rtol=1e-6)
