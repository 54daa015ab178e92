"""Networks in depth: what they compute by hand, their orders, their inverse, and their training."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

X = jnp.array([0.8, -0.3, 0.5])


def linear(key):
    return eqx.nn.Linear(3, 3, key=key)


def bent(key):
    return eqx.nn.MLP(3, 3, 4, 1, activation=jnp.tanh, key=key)


NET = tw.networks.residual(bent, depth=4, step=0.5, key=1)
MOVING = tw.networks.momentum(bent, depth=4, step=0.5, momentum=0.8, key=1)


def by_hand(network, x, step):
    for k in range(network.blocks):
        x = x + step * network.block_at(k)(x)
    return x


def test_a_residual_network_is_its_blocks_one_after_another():
    np.testing.assert_allclose(NET(X), by_hand(NET, X, 0.5), rtol=1e-13)
    xs = jnp.stack([X, 2 * X])
    np.testing.assert_allclose(jax.vmap(NET)(xs)[1], NET(2 * X), rtol=1e-13)
    path = NET.path(X)
    assert path.shape == (5, 3)
    np.testing.assert_array_equal(path[0], X)
    np.testing.assert_array_equal(path[-1], NET(X))
    listed = tw.networks.residual([NET.block_at(k) for k in range(4)], 4, 0.5)
    np.testing.assert_array_equal(listed(X), NET(X))


def test_a_momentum_network_is_its_recursion():
    x, v = X, jnp.zeros(3)
    for k in range(4):
        v = 0.8 * v + 0.2 * 0.5 * MOVING.block_at(k)(x)
        x = x + v
    found = MOVING.solve(X).final
    np.testing.assert_allclose(found.position, x, rtol=1e-13)
    np.testing.assert_allclose(0.5 * found.velocity, v, rtol=1e-12)
    still = tw.networks.momentum([MOVING.block_at(k) for k in range(4)], 4, 0.5, momentum=0.0)
    np.testing.assert_allclose(still(X), by_hand(MOVING, X, 0.5), rtol=1e-13)


def test_it_goes_back():
    deep = tw.networks.momentum(bent, depth=40, step=0.2, momentum=0.9, key=1)
    begun = deep.inverse(deep.solve(X).final)
    # A rounding grows by 1 / 0.9 a step.
    bound = np.finfo(float).eps * (0.9**-40 - 1) / (1 / 0.9 - 1)
    np.testing.assert_allclose(begun.position, X, atol=4 * bound)
    np.testing.assert_allclose(begun.velocity, 0.0, atol=20 * bound)


@pytest.mark.parametrize("network", [NET, MOVING], ids=["residual", "momentum"])
def test_gradients_of_all_kinds_agree(network):
    xs = jnp.stack([X, -X])

    def slopes(gradient):
        of = network.with_gradient(gradient)
        return jax.tree.leaves(eqx.filter_grad(lambda net: jnp.sum(jnp.sin(jax.vmap(net)(xs))))(of))

    direct = slopes("direct")
    assert len(direct) == 4 and all(leaf.shape[0] == 4 and bool(jnp.any(leaf)) for leaf in direct)
    others = ["checkpoint"] if network is NET else ["checkpoint", "reversible"]
    for other in others:
        for one, two in zip(direct, slopes(other), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-13)
    # And that of the recursion by hand, over the same stacked arrays.
    if network is NET:
        loss = eqx.filter_grad(lambda net: jnp.sum(jnp.sin(jnp.stack([by_hand(net, x, 0.5) for x in xs]))))(network)
        for one, two in zip(direct, jax.tree.leaves(loss), strict=True):
            np.testing.assert_allclose(one, two, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize(("scheme", "order"), [(tw.Euler(), 1), (tw.Heun(), 2), (tw.RK4(), 4)])
def test_depth_refined_shows_the_order_of_the_scheme(scheme, order):
    exact = NET.with_scheme(tw.DormandPrince()).with_depth(512)(X)
    network = NET.with_scheme(scheme)
    errors = [float(jnp.linalg.norm(network.with_depth(4 * k)(X) - exact)) for k in (4, 8, 16)]
    slopes = np.log2(np.divide(errors[:-1], errors[1:]))
    assert abs(2 * slopes[1] - slopes[0] - order) < 0.1


def test_a_momentum_network_follows_its_law():
    """Another depth is of the same mass, so that both schemes come to one end."""
    exact = MOVING.with_scheme(tw.RK4()).with_depth(64)(X)
    errors = [float(jnp.linalg.norm(MOVING.with_depth(n)(X) - exact)) for n in (64, 128, 256)]
    np.testing.assert_allclose(np.log2(np.divide(errors[:-1], errors[1:])), 1.0, atol=0.1)
    shared = tw.networks.momentum(bent(jax.random.key(0)), 4, 0.5, shared=True, scheme=tw.Leapfrog())
    exact = shared.with_scheme(tw.RK4()).with_depth(64)(X)
    errors = [float(jnp.linalg.norm(shared.with_depth(n)(X) - exact)) for n in (32, 64)]
    assert np.log2(errors[0] / errors[1]) == pytest.approx(2.0, abs=0.1)


def test_a_neural_ode_equals_diffrax():
    diffrax = pytest.importorskip("diffrax")
    block = bent(jax.random.key(3))
    network = tw.networks.neural_ode(block, time=2.0, steps=8, scheme=tw.Tsit5())

    def peer(block):
        solved = diffrax.diffeqsolve(
            diffrax.ODETerm(lambda t, x, own: own(x)), diffrax.Tsit5(), 0.0, 2.0, 0.25, X, block,
            adjoint=diffrax.RecursiveCheckpointAdjoint(), saveat=diffrax.SaveAt(t1=True),
        )  # fmt: skip
        return jnp.sum(jnp.sin(solved.ys[0]))

    value, slope = eqx.filter_value_and_grad(lambda net: jnp.sum(jnp.sin(net(X))))(network)
    wanted, wanted_slope = eqx.filter_value_and_grad(peer)(block)
    np.testing.assert_allclose(value, wanted, rtol=1e-12)
    for one, two in zip(jax.tree.leaves(slope), jax.tree.leaves(wanted_slope), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-13)


def test_a_block_may_take_the_time():
    swing = tw.networks.neural_ode(lambda t, x: jnp.cos(t) * x, time=1.0, steps=32)
    assert float(swing(jnp.array(1.0))) == pytest.approx(float(jnp.exp(jnp.sin(1.0))), rel=1e-7)
    # Of depth 2 at step 1, by Euler's method: 1 + cos 0, times 1 + cos 1.
    depth = tw.networks.residual(lambda t, x: jnp.cos(t) * x, 2, shared=True)
    assert float(depth(jnp.array(1.0))) == pytest.approx(2.0 * (1.0 + np.cos(1.0)), rel=1e-12)


class Dropped(eqx.Module):
    layer: eqx.nn.Linear
    dropout: eqx.nn.Dropout

    def __init__(self, key):
        self.layer, self.dropout = linear(key), eqx.nn.Dropout(0.5)

    def __call__(self, x, *, key=None):
        return self.dropout(self.layer(x), key=key, inference=key is None)


def test_a_key_is_one_of_every_block_and_the_same_for_all_of_its_stages():
    network = tw.networks.residual(Dropped, depth=3, step=0.1, key=0)
    keys = jax.random.split(jax.random.key(7), 3)
    x = X
    for k in range(3):
        x = x + 0.1 * network.block_at(k)(x, key=keys[k])
    np.testing.assert_allclose(network(X, key=jax.random.key(7)), x, rtol=1e-13)
    plain = network(X)
    assert not np.allclose(plain, x)
    # One mask for all stages of a block: the field is one field, so that depth can be refined.
    ends = [network.with_scheme(tw.RK4()).with_depth(n)(X, key=7) for n in (12, 24)]
    np.testing.assert_allclose(*ends, rtol=1e-8)
    shared = tw.networks.residual(Dropped(jax.random.key(0)), 3, 0.1, shared=True)
    assert not np.allclose(shared(X, key=1), shared(X, key=2))
    moving = tw.networks.momentum(Dropped, 3, 0.1, key=0, gradient="reversible")
    slope = eqx.filter_grad(lambda net: jnp.sum(net(X, key=1)))
    for one, two in zip(
        *(jax.tree.leaves(slope(moving.with_gradient(g))) for g in ("direct", "reversible")), strict=True
    ):
        np.testing.assert_allclose(one, two, rtol=1e-9, atol=1e-14)


INPUTS = jax.random.normal(jax.random.key(2), (64, 2))
LABELS = (jnp.sum(INPUTS**2, axis=1) > 1.2).astype(int)


class Classifier(eqx.Module):
    network: tw.networks.Network
    out: eqx.nn.Linear

    def __call__(self, x):
        return self.out(self.network(x))


def classifier():
    def block(key):
        return eqx.nn.MLP(2, 2, 8, 1, activation=jnp.tanh, key=key)

    network = tw.networks.residual(block, depth=3, step=0.5, key=0)
    return Classifier(network, eqx.nn.Linear(2, 2, key=jax.random.key(1)))


def loss(model, sample):
    x, y = sample
    return -jax.nn.log_softmax(model(x))[y]


def accuracy(seen):
    return jnp.mean(jnp.argmax(jax.vmap(seen.position)(INPUTS), axis=1) == LABELS)


def test_a_run_trains_it_and_leaves_its_step_alone():
    f = tw.FiniteSum(loss, (INPUTS, LABELS), batch_size=32)
    run = tw.run(tw.adam(f, 0.03), classifier(), 150, key=0, record=tw.Record(("loss", accuracy)))
    assert run.metrics["accuracy"][-1] > max(0.95, run.metrics["accuracy"][0] + 0.2)
    trained = run.final.position.network
    assert (trained.step, trained.depth, trained.scheme) == (0.5, 3, tw.Euler())
    assert jax.tree.structure(trained) == jax.tree.structure(classifier().network)


def test_as_jax_comes():
    with jax.enable_x64(False):
        for network in (tw.networks.residual(linear, 3, 0.1, key=0), tw.networks.momentum(linear, 3, 0.1, key=0)):
            x = jnp.array([0.8, -0.3, 0.5])
            assert network(x).dtype == jnp.float32
            assert {leaf.dtype for leaf in jax.tree.leaves(eqx.filter_grad(lambda n, x=x: jnp.sum(n(x)))(network))} == {
                jnp.dtype(jnp.float32)
            }


REFUSED = {
    "depth must be a whole number of at least 1, but is 0": lambda: tw.networks.residual(linear, 0, key=0),
    "step must be greater than 0, but is 0": lambda: tw.networks.residual(linear, 2, 0.0, key=0),
    "time must be greater than 0, but is -1": lambda: tw.networks.neural_ode(jnp.sin, -1.0),
    "steps must be a whole number of at least 1": lambda: tw.networks.neural_ode(jnp.sin, 1.0, 0),
    "momentum must be less than 1": lambda: tw.networks.momentum(linear, 2, momentum=1.0, key=0),
    "give a list of blocks, or key=0": lambda: tw.networks.residual(linear, 2),
    "number of blocks in the list, 2": lambda: tw.networks.residual([NET.block_at(0), NET.block_at(1)], 3),
    "block 1 is not": lambda: tw.networks.residual([linear(jax.random.key(0)), bent(jax.random.key(0))], 2),
    "must have arrays, by which": lambda: tw.networks.residual([jnp.sin, jnp.sin], 2),
    "makes one of a key": lambda: tw.networks.residual(lambda: linear, 2, key=0),
    r"function of x or of \(t, x\)": lambda: tw.networks.residual(lambda a, b, c: a, 2, shared=True),
    r"must give the shape of x, \(3,\), but gives \(2,\)": lambda: tw.networks.residual(
        lambda x: x[:2], 2, shared=True)(X),
    "a block raised TypeError": lambda: NET(jnp.ones(2)),
    "the start must be floating point": lambda: NET(jnp.array([1, 2, 3])),
    "depth must be a multiple of the 4 blocks": lambda: NET.with_depth(6),
    "scheme must be one of fixed steps": lambda: NET.with_scheme(tw.Adaptive()),
    "acts on force and friction": lambda: NET.with_scheme(tw.Leapfrog()),
    "needs the inverse of a step": lambda: NET.with_gradient("reversible"),
    "RungeKutta has no inverse": lambda: NET.inverse(NET.solve(X).final),
    "gradient 'adjoint' is unknown": lambda: NET.with_gradient("adjoint"),
    "lose more than half": lambda: tw.networks.momentum(
        jnp.tanh, 40, momentum=0.5, shared=True, gradient="reversible")(X),
    "index must be less than the 4 blocks": lambda: NET.block_at(4),
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_wrong_input_is_one_line(words):
    with pytest.raises(tw.InputError, match=words) as raised:
        REFUSED[words]()
    assert "\n" not in str(raised.value)
