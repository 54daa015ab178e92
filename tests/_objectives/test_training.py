"""Losses that draw and that carry a state: dropout and batch normalisation in a run, by hand and resumed."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._methods.drawing import BATCHES

X = jax.random.normal(jax.random.key(1), (24, 3))
Y = jnp.sin(jnp.sum(X, axis=1, keepdims=True))


class Net(eqx.Module):
    first: eqx.nn.Linear
    norm: eqx.nn.BatchNorm
    dropout: eqx.nn.Dropout
    last: eqx.nn.Linear

    def __init__(self):
        self.first = eqx.nn.Linear(3, 4, key=jax.random.key(0))
        self.norm = eqx.nn.BatchNorm(4, "batch", momentum=0.9, mode="batch")
        self.dropout = eqx.nn.Dropout(0.5)
        self.last = eqx.nn.Linear(4, 1, key=jax.random.key(1))

    def __call__(self, x, state, key=None):
        x, state = self.norm(self.first(x), state)
        x = self.dropout(jnp.tanh(x), key=key, inference=key is None)
        return self.last(x), state


def network():
    return eqx.nn.make_with_state(Net)()


NET, STATE = network()


def loss(net, sample, key, state):
    x, y = sample
    out, state = net(x, state, key)
    return jnp.mean((out - y) ** 2), state


def dropped(x, sample, key):
    kept = 1.0 if key is None else 2.0 * jax.random.bernoulli(key, shape=x.shape)
    return 0.5 * jnp.sum(kept * (x - sample) ** 2)


def of_both(**options):
    return tw.FiniteSum(loss, (X, Y), batch_size=8, keyed=True, state=STATE, **options)


def leaves(run):
    """Parameters and state at the end of a run."""
    return [np.asarray(leaf) for leaf in jax.tree.leaves((run.state.position, run.state.carried))]


def by_hand(f, steps, rate):
    """Gradient descent as a user of Equinox writes it: the state is handed from one step to the next."""
    parameters, rest = eqx.partition(NET, eqx.is_inexact_array)
    _, state = network()

    def value(parameters, state, batch):
        rows, key = batch
        net = eqx.combine(parameters, rest)
        keys = jax.random.split(key, len(rows))
        losses, state = jax.vmap(lambda x, y, k: loss(net, (x, y), k, state), axis_name="batch", out_axes=(0, None))(
            X[rows], Y[rows], keys
        )
        return jnp.mean(losses), state

    step = jax.jit(jax.value_and_grad(value, has_aux=True))
    found = []
    for k in range(steps):
        (now, state), slope = step(parameters, state, f.draw(jax.random.key(0), k))
        found.append(float(now))
        parameters = jax.tree.map(lambda p, g: p - rate * g, parameters, slope)
    return eqx.combine(parameters, rest), state, found


def test_a_run_is_the_loop_that_a_user_of_equinox_writes():
    f = of_both()
    net, state, losses = by_hand(f, 6, 0.1)
    seen = []

    def count(seen):
        return jax.tree.leaves(seen.carried)[0]

    run = tw.run(tw.gradient_descent(f, 0.1), NET, 6, key=0, record=tw.Record(("loss", count)))
    np.testing.assert_allclose(run.metrics["loss"][:-1], losses, rtol=1e-12)
    for one, two in zip(
        *(jax.tree.leaves(eqx.filter(n, eqx.is_array)) for n in (run.final.position, net)), strict=True
    ):
        np.testing.assert_allclose(one, two, rtol=1e-11, atol=1e-14)
    for one, two in zip(jax.tree.leaves(run.state.carried), jax.tree.leaves(state), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)
    np.testing.assert_array_equal(run.metrics["count"], np.arange(7))
    # The last row is of all data, without dropout, with the state at the end.
    last = jnp.mean(jax.vmap(lambda x, y: loss(net, (x, y), None, state)[0], axis_name="batch")(X, Y))
    np.testing.assert_allclose(run.metrics["loss"][-1], last, rtol=1e-12)
    assert not seen


@pytest.mark.parametrize("method", [tw.momentum, tw.adam], ids=["momentum", "adam"])
def test_resumed_is_uninterrupted_bit_for_bit(method, tmp_path):
    make = method(of_both(), 0.05)
    whole = tw.run(make, NET, 9, key=0)
    tw.run(make, NET, 4, key=0, out=tmp_path / "run")
    resumed = tw.run(make, NET, 9, key=0, out=tmp_path / "run", resume=True)
    for one, two in zip(leaves(whole), leaves(resumed), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(whole.metrics["loss"], resumed.metrics["loss"])
    other = tw.run(make, NET, 9, key=1)
    assert not np.array_equal(leaves(whole)[0], leaves(other)[0])


def test_solve_makes_the_steps_of_a_run():
    method = tw.nesterov(of_both(), 0.05, 0.9)
    run, solved = tw.run(method, NET, 5, key=0), tw.solve(method, NET, 5, key=0).final
    for one, two in zip(jax.tree.leaves(run.state.carried), jax.tree.leaves(solved.carried), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)
    np.testing.assert_allclose(run.final.position.last.weight, solved.position.last.weight, rtol=1e-11)


def test_a_key_is_one_of_every_sample_and_every_step():
    f = tw.FiniteSum(dropped, jnp.zeros((5, 2)), keyed=True)
    x = jnp.array([1.0, -2.0])
    slopes = [f.gradient(x, f.draw(jax.random.key(0), k)) for k in range(40)]
    # Of five samples, each entry counts double in as many as its mask has kept.
    counts = np.asarray(slopes) / np.asarray(x) * 5 / 2
    np.testing.assert_allclose(counts, counts.round(), atol=1e-12)
    assert len({tuple(row) for row in counts.round().tolist()}) > 8
    # 40 draws of the mean of 5 Bernoulli variables: within 4 deviations of what it is without dropout.
    assert np.all(np.abs(counts.mean(axis=0) - 2.5) < 4 * np.sqrt(5 / 4 / 40))
    np.testing.assert_array_equal(f.gradient(x), x)
    assert f.stochastic and not f.whole().stochastic
    np.testing.assert_array_equal(f.whole().gradient(x), x)


def test_what_needs_a_loss_without_a_key_has_it():
    f = tw.FiniteSum(dropped, X, batch_size=4, keyed=True)
    plain = tw.FiniteSum(lambda x, s: dropped(x, s, None), X, batch_size=4)
    x = jnp.array([1.0, -2.0, 0.5])
    one, other = (tw.analysis.gradient_noise(g, x) for g in (f, plain))
    np.testing.assert_allclose(one.covariance, other.covariance, rtol=1e-12)
    assert one.factor == other.factor == 0.25
    swept = tw.sweep(lambda a: tw.gradient_descent(f, a), {"a": [0.1, 0.2]}, x, 4, seeds=2)
    assert np.isfinite(swept.final_loss).all() and len(np.unique(np.asarray(swept.final_loss))) == 4


def average(x, sample, state):
    """A state alone: the mean of the samples of a batch, averaged."""
    mean = jax.lax.pmean(sample, "batch")
    return 0.5 * jnp.sum((x - sample) ** 2), 0.9 * state + 0.1 * mean


def test_every_scheme_moves_the_state_once_a_step():
    data, x = X[:, :2], jnp.array([1.0, -2.0])
    f = tw.FiniteSum(average, data, state=jnp.zeros(2))
    mean = jnp.mean(data, axis=0)
    laws = {"first": tw.GradientFlow(f), "second": tw.HeavyBall(f, 0.5), "adam": tw.AdamFlow(f)}
    schemes = {
        "first": (tw.Euler(), tw.RK4()),
        "second": (tw.Leapfrog(), tw.Lookahead(), tw.Heun()),
        "adam": (tw.LieTrotter(),),
    }
    for name, law in laws.items():
        for scheme in schemes[name]:
            run = tw.run(tw.Method(law, scheme, 0.1), x, 3)
            np.testing.assert_allclose(run.state.carried, (1 - 0.9**3) * mean, rtol=1e-12)
    sampled = tw.sweep(lambda a: tw.gradient_descent(f, a), {"a": [0.1]}, x, 2)
    assert np.isfinite(sampled.final_loss).all()


def test_the_derivative_of_steps_that_draw_is_the_same_by_their_inverses():
    method = tw.momentum(tw.FiniteSum(dropped, X, batch_size=4, keyed=True), 0.1, 0.9)

    def end(x, gradient):
        return jnp.sum(jnp.sin(tw.solve(method, x, 6, key=0, gradient=gradient).final.position))

    slopes = [jax.jit(jax.grad(end), static_argnums=1)(X[0], gradient) for gradient in ("direct", "reversible")]
    np.testing.assert_allclose(*slopes, rtol=1e-12)


def copy(state):
    """A state that may be spent."""
    return jax.tree.map(lambda leaf: leaf, state)


EPOCHS = {"replace": False, "epochs": True}


def batches_of(f, key, steps, noisy=False):
    """The samples that a sum draws in each step of a run."""
    key = jax.random.fold_in(key, BATCHES) if noisy else key
    rows = [np.asarray(f.draw(key, k)[0]) for k in range(steps)]
    return [(np.asarray(X)[at], np.asarray(Y)[at]) for at in rows]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nesterov", "sgld"])
def test_a_stream_goes_the_way_of_the_sum_whose_batches_it_gives(name):
    def make(f):
        return tw.nesterov(f, 0.05, 0.9) if name == "nesterov" else tw.sgld(f, 0.01, 0.1)

    def average(seen):
        return jnp.sum(jax.tree.leaves(seen.carried)[1])

    whole, key = of_both(**EPOCHS), jax.random.key(3)
    method = make(whole)
    batches = batches_of(whole, key, 7, noisy=method.normals > 0)
    # The host takes the one of every third step.
    record = tw.Record(("loss", "gradient_norm", *([("average", average, 3)] if name == "sgld" else [])))
    expected = tw.run(method, NET, 7, key=key, record=record)
    run = tw.run(make(tw.Stream(loss, batches.__getitem__, keyed=True, state=STATE)), NET, 7, key=key, record=record)
    for one, two in zip(leaves(run), leaves(expected), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-11, atol=1e-14)
    for name, values in expected.metrics.items():
        np.testing.assert_allclose(run.metrics[name][:-1], values[:-1], rtol=1e-11, err_msg=name)
    # The last row is of the last batch, without dropout, with the state at the end.
    net, state = run.final.lookahead, run.state.carried
    last = jnp.mean(jax.vmap(lambda x, y: loss(net, (x, y), None, copy(state))[0], axis_name="batch")(*batches[-1]))
    np.testing.assert_allclose(run.metrics["loss"][-1], last, rtol=1e-12)


def both(x, sample, key, state):
    """A small loss that draws and carries, and needs what it carries."""
    return dropped(x - state, sample, key), average(x, sample, state)[1]


def test_a_stream_draws_and_carries_as_a_sum_does():
    whole, key = tw.FiniteSum(both, X, 5, keyed=True, state=jnp.zeros(3), **EPOCHS), jax.random.key(3)
    batches = [np.asarray(X)[np.asarray(whole.draw(key, k)[0])] for k in range(6)]
    stream = tw.Stream(both, batches, keyed=True, state=jnp.zeros(3))
    expected, run = (tw.run(tw.momentum(f, 0.1, 0.9), X[0], 6, key=key) for f in (whole, stream))
    np.testing.assert_allclose(run.final.position, expected.final.position, rtol=1e-13)
    np.testing.assert_allclose(run.state.carried, expected.state.carried, rtol=1e-13)
    np.testing.assert_allclose(run.metrics["loss"][:-1], expected.metrics["loss"][:-1], rtol=1e-13)


OPTIONS = [{"keyed": True, "state": True}] + [
    pytest.param(one, marks=pytest.mark.slow) for one in ({"keyed": True}, {"state": True})
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_a_stream_resumed_is_one_never_stopped_bit_for_bit(options, tmp_path):
    batches = batches_of(of_both(**EPOCHS), jax.random.key(3), 9)
    keyed, stateful = "keyed" in options, "state" in options

    def fn(net, sample, *own):
        found, state = loss(net, sample, own[0] if keyed else None, own[-1] if stateful else copy(STATE))
        return (found, state) if stateful else found

    def make():
        return tw.adam(tw.Stream(fn, batches, **(options | ({"state": STATE} if stateful else {}))), 0.02)

    key = 0 if keyed else None
    whole = tw.run(make(), NET, 9, key=key)
    tw.run(make(), NET, 4, key=key, out=tmp_path / "run")
    resumed = tw.run(make(), NET, 9, key=key, out=tmp_path / "run", resume=True)
    for one, two in zip(leaves(whole), leaves(resumed), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(whole.metrics["loss"], resumed.metrics["loss"])
    if keyed:
        assert not np.array_equal(leaves(whole)[0], leaves(tw.run(make(), NET, 9, key=1))[0])
    if stateful:
        assert jax.tree.leaves(whole.state.carried)[0] == 9


def test_a_stream_gives_what_a_loss_needs():
    f = tw.Stream(dropped, [np.asarray(X[:4]), np.asarray(X[4:8])], keyed=True)
    x = jnp.array([1.0, -2.0, 0.5])
    samples, key = f.draw(jax.random.key(0), 1)
    np.testing.assert_array_equal(samples, X[4:8])
    expected = tw.FiniteSum(dropped, X[4:8], keyed=True)
    np.testing.assert_array_equal(f.gradient(x, (samples, key)), expected.gradient(x, (None, key)))
    np.testing.assert_array_equal(f.on(samples).gradient(x), expected.gradient(x))
    assert f.draw(None)[1] is None


def test_as_jax_comes():
    with jax.enable_x64(False):
        net, state = network()
        data = (jnp.asarray(np.asarray(X), jnp.float32), jnp.asarray(np.asarray(Y), jnp.float32))
        f = tw.FiniteSum(loss, data, batch_size=8, keyed=True, state=state)
        run = tw.run(tw.momentum(f, 0.05), net, 3, key=0)
        assert {leaf.dtype for leaf in leaves(run)} == {np.dtype("float32"), np.dtype("int32")}


STREAM = tw.Stream(average, [X, X], state=jnp.zeros(3))
F = tw.FiniteSum(average, X, state=jnp.zeros(3))
REFUSED = {
    r"fn must be a function of \(x, sample, key\)": lambda: tw.FiniteSum(lambda x, s: 0.0, X, keyed=True),
    r"fn must be a function of \(x, sample, state\)": lambda: tw.FiniteSum(lambda x, s: 0.0, X, state=jnp.zeros(1)),
    "draws mini-batches; give a key": lambda: tw.run(
        tw.gradient_descent(tw.FiniteSum(dropped, X, keyed=True), 0.1), X[0], 2),
    r"must return \(loss, new state\)": lambda: tw.run(
        tw.gradient_descent(tw.FiniteSum(lambda x, s, state: jnp.sum(x), X, state=jnp.zeros(1)), 0.1), X[0], 2),
    "must return its state as it was given": lambda: tw.run(
        tw.gradient_descent(
            tw.FiniteSum(lambda x, s, state: (jnp.sum(x), state[:1]), X, state=jnp.zeros(2)), 0.1), X[0], 2),
    "compares evaluations of one function": lambda: tw.Method(tw.GradientFlow(F), tw.PseudoTransient(), 0.1),
    "which no inverse of a step gives back": lambda: tw.solve(tw.momentum(F, 0.1, 0.9), X[0], 3, gradient="reversible"),
    "changes at every step with the state": lambda: tw.solve(
        tw.gradient_descent(F, 0.1), X[0], 3, times=jnp.array([0.15])),
    "the loss of this stream draws; give a key": lambda: tw.run(
        tw.gradient_descent(tw.Stream(dropped, [X], keyed=True), 0.1), X[0], 1),
    r"fn must be a function of \(x, sample, key, state\)": lambda: tw.Stream(
        dropped, [X], keyed=True, state=jnp.zeros(1)),
    "depends on the others where": lambda: tw.analysis.gradient_noise(F, X[0]),
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_wrong_input_is_one_line(words):
    with pytest.raises(tw.InputError, match=words) as raised:
        REFUSED[words]()
    assert "\n" not in str(raised.value)
