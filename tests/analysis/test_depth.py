"""Networks cut otherwise: closed forms of linear fields, verdicts, margins, and digits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import thalweg as tw
from thalweg._networks import margin
from thalweg._networks.edges import first_beyond, first_beyond_damped

XS = jax.random.normal(jax.random.key(0), (6, 3))
LABELS = np.array([0, 1, 2, 0, 1, 2])


def linear(scale, depth=3, step=0.5, seed=0):
    """Blocks that are matrices, whose flow is known, and the matrices."""
    found = scale * np.random.default_rng(seed).normal(size=(depth, 3, 3))
    layers = [eqx.nn.Linear(3, 3, use_bias=False, key=jax.random.key(0)) for _ in found]
    blocks = [
        eqx.tree_at(lambda layer: layer.weight, layer, jnp.asarray(a)) for layer, a in zip(layers, found, strict=True)
    ]
    return tw.networks.residual(blocks, depth, step), found


def test_outputs_and_the_flow_are_those_of_matrices():
    network, matrices = linear(0.5)
    found = tw.analysis.depth_transfer(network, XS, depths=(3, 6, 12, 24, 48, 96))
    flow, halves = np.eye(3), np.eye(3)
    for a in matrices:
        flow = expm(0.5 * a) @ flow
        halves = np.linalg.matrix_power(np.eye(3) + 0.25 * a, 2) @ halves
    np.testing.assert_allclose(found.flow, XS @ flow.T, rtol=1e-10, atol=1e-12)
    assert found.depths == (3, 6, 12, 24, 48, 96) and found.schemes == ("Euler", "Midpoint", "RK4")
    np.testing.assert_allclose(found.outputs[0, 1], XS @ halves.T, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(found.orders, [1.0, 2.0, 4.0], atol=0.1)
    spread = np.sqrt(np.mean(np.sum((found.flow - found.flow.mean(axis=0)) ** 2, axis=1)))
    change = np.sqrt(np.mean(np.sum((found.outputs[0, 1] - found.flow) ** 2, axis=1))) / spread
    np.testing.assert_allclose(found.changes[0, 1], change, rtol=1e-12)


def test_the_change_decides():
    network, _ = linear(0.5)
    change = float(tw.analysis.depth_transfer(network, XS, depths=(6,)).changes[0, 0])
    for factor, follows in ((1.01, True), (0.99, False)):
        found = tw.analysis.depth_transfer(network, XS, depths=(6,), tolerance=factor * change)
        assert found.follows_ode == follows
        assert ("relies on its steps" in found.reason) != follows
    assert "follow an ODE: the outputs of its 3 steps" in str(found)


def test_accuracy_is_of_the_largest_logit_and_has_a_say():
    network, _ = linear(0.5)
    labels = np.asarray(jax.vmap(network)(XS)).argmax(axis=1)
    found = tw.analysis.depth_transfer(network, XS, labels, depths=(6, 48), tolerance=1e3)
    assert found.accuracy[0, 0] == 1.0
    np.testing.assert_allclose(found.accuracy, (found.outputs.argmax(-1) == labels).mean(-1))
    same = bool(np.all(found.accuracy[0] == 1.0)) and found.flow_accuracy == 1.0
    assert found.follows_ode == same
    # Labels by which a field that turns is right only at its own step.
    turn = tw.networks.residual(lambda x: 1.2 * jnp.stack([-x[1], x[0]]), 2, 1.0, shared=True)
    xs = jax.random.normal(jax.random.key(3), (50, 2))
    own = np.asarray(jax.vmap(turn)(xs)).argmax(axis=1)
    turned = tw.analysis.depth_transfer(turn, xs, own, tolerance=1e3)
    assert not turned.follows_ode and "its accuracy changes by" in turned.reason


def test_margins_are_those_of_the_stability_function():
    decay = tw.networks.residual(lambda x: jnp.array([-1.0, -3.0]) * x, 4, 0.5, shared=True)
    found = tw.analysis.depth_transfer(decay, XS[:, :2], depths=(8,))
    # Euler's steps are stable up to 2 / 3 in the steeper of the two; their radius is that of the other.
    np.testing.assert_allclose(found.margins, 2.0 / 3.0 / 0.5, rtol=1e-7)
    np.testing.assert_allclose(found.radii, 0.5, rtol=1e-12)
    np.testing.assert_allclose(found.times, 0.5 * np.arange(4))
    assert "the least margin of stability is 1.33" in str(found)
    swelling = tw.networks.residual(lambda x: 0.3 * x, 2, 0.5, shared=True)
    assert np.all(np.isinf(tw.analysis.depth_transfer(swelling, XS, depths=(4,)).margins))


@pytest.mark.parametrize(("scheme", "real"), [(tw.Euler(), 2.0), (tw.Midpoint(), 2.0), (tw.RK4(), 2.785293563405282)])
def test_the_edge_of_stability(scheme, real):
    np.testing.assert_allclose(first_beyond(scheme, np.array([-3.0 + 0j])), real, rtol=1e-7)
    if scheme == tw.Euler():
        # The circle about -1: |1 + r e^(i a)| = 1 at r = -2 cos a.
        angles = np.array([2.0, 2.5, 3.0])
        np.testing.assert_allclose(first_beyond(scheme, np.exp(1j * angles)), -2.0 * np.cos(angles), rtol=1e-6)


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.95])
def test_margins_of_momentum_are_those_of_its_mass(momentum):
    network = tw.networks.momentum(lambda x: jnp.array([-0.2, -3.0, 0.4]) * x, 3, 0.5, momentum, shared=True)
    found = tw.analysis.depth_transfer(network, XS, depths=(6,))
    # Momentum is stable up to (2 + 2 beta) / curvature, which is a step of 2 sqrt(m / curvature) whatever beta is.
    np.testing.assert_allclose(found.margins, 2.0 * np.sqrt(network.mass / 3.0) / 0.5, rtol=1e-7)
    if momentum == 0.0:
        # At its own step it is the residual network, stable up to 2 / 3; its law is not.
        np.testing.assert_allclose(found.margins**2, 2.0 / 3.0 / 0.5, rtol=1e-7)


@pytest.mark.parametrize("scheme", [tw.Leapfrog(), tw.RK4(), tw.Heun()], ids=lambda scheme: type(scheme).__name__)
def test_the_edge_of_a_damped_mode_that_turns(scheme):
    decay, turn, mass = -2.0, 1.5, 0.3
    law = tw.DampedField(lambda t, x, a: a @ x, jnp.array([[decay, -turn], [turn, decay]]), mass=mass)
    edge = mass * first_beyond_damped(scheme, mass * np.array([decay + 1j * turn]))[0]
    radii = [
        tw.analysis.spectral_radius(tw.Method(law, scheme, step), at=(0.0, jnp.zeros(2)))
        for step in (edge * (1.0 - 1e-5), edge * (1.0 + 1e-5))
    ]
    assert radii[0] < 1.0 < radii[1]


def test_what_the_law_of_momentum_swells_has_no_margin():
    # z = -1 + 8 i is damped in x' = z x, and not where it pushes a mass of 1/4: 4 m z = -1 + 8 i, whose root is 1.88.
    law = jnp.array([[-1.0, -8.0], [8.0, -1.0]])
    network = tw.networks.momentum(lambda x: law @ x, 2, 0.5, momentum=0.0, shared=True)
    assert np.all(np.isinf(tw.analysis.depth_transfer(network, XS[:, :2], depths=(4,)).margins))


def symmetric(count, lowest):
    """A symmetric map whose eigenvalues go from a lowest one to 0.4, and are not along the coordinates."""
    values = jnp.append(lowest, jnp.linspace(-2.0, 0.4, count - 1))
    mirror = jax.random.normal(jax.random.key(1), (count,))
    mirror = mirror / jnp.linalg.norm(mirror)

    def reflected(x):
        return x - 2.0 * jnp.vdot(mirror, x) * mirror

    return lambda x: reflected(values * reflected(x))


def test_margins_of_a_wide_network():
    xs = jax.random.normal(jax.random.key(2), (3, 520))
    makes = (tw.networks.residual, tw.networks.momentum)
    still, moving = (make(symmetric(520, -3.0), 2, 0.9, shared=True) for make in makes)
    found = tw.analysis.depth_transfer(still, xs, depths=(4,), schemes=())
    assert found.outermost and found.margins.shape == (2, 2)
    np.testing.assert_allclose(found.margins, 2.0 / 3.0 / 0.9, rtol=1e-7)
    np.testing.assert_allclose(found.radii, 1.7, rtol=1e-10)
    assert "margin of stability is at most 0.741" in str(found)
    found = tw.analysis.depth_transfer(moving, xs, depths=(4,), schemes=())
    np.testing.assert_allclose(found.margins, 2.0 * np.sqrt(moving.mass / 3.0) / 0.9, rtol=1e-7)
    method = tw.Method(tw.HeavyBall(None, 1.0, moving.mass), tw.Leapfrog(), 0.9)
    radius = max(tw.analysis.spectral_radius(method, [3.0, 2.0, -0.4]))
    np.testing.assert_allclose(found.radii, radius, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("scheme", [tw.Euler(), tw.RK4(), tw.Leapfrog()], ids=lambda scheme: type(scheme).__name__)
def test_the_outermost_eigenvalues_are_those_of_the_whole_matrix(scheme, monkeypatch):
    make = tw.networks.momentum if isinstance(scheme, tw.Leapfrog) else tw.networks.residual
    network = make(lambda key: eqx.nn.MLP(48, 48, 64, 1, activation=jnp.tanh, key=key), 2, 0.5, key=0, scheme=scheme)
    xs = jax.random.normal(jax.random.key(4), (2, 48))
    whole = tw.analysis.depth_transfer(network, xs, depths=(4,), schemes=())
    monkeypatch.setattr(margin, "_LARGEST", 40)
    found = tw.analysis.depth_transfer(network, xs, depths=(4,), schemes=())
    assert found.outermost and not whole.outermost
    np.testing.assert_allclose(found.radii, whole.radii, rtol=1e-9)
    assert np.all(found.margins >= whole.margins * (1.0 - 1e-6))
    if scheme == tw.RK4():
        # What turns slowly is not blown up by it.
        np.testing.assert_allclose(found.margins, whole.margins, rtol=1e-6)


def test_a_wide_network_that_does_nothing():
    network = tw.networks.residual(lambda x: 0.0 * x, 2, shared=True)
    found = tw.analysis.depth_transfer(network, jnp.ones((2, 600)), depths=(4,), schemes=())
    assert np.all(np.isinf(found.margins)) and np.all(found.radii == 1.0)


class Model(eqx.Module):
    inward: eqx.nn.Linear
    network: tw.networks.Network
    out: eqx.nn.Linear

    def __call__(self, x):
        return self.out(self.network(self.inward(x)))


def test_a_network_within_a_module():
    network, _ = linear(0.4)
    keys = jax.random.split(jax.random.key(1))
    model = Model(eqx.nn.Linear(2, 3, key=keys[0]), network, eqx.nn.Linear(3, 4, key=keys[1]))
    found = tw.analysis.depth_transfer(model, XS[:, :2], depths=(6, 12))
    np.testing.assert_allclose(found.outputs[0, 0], jax.vmap(model)(XS[:, :2]), rtol=1e-12)
    deeper = eqx.tree_at(lambda m: m.network, model, network.with_scheme(tw.RK4()).with_depth(12))
    np.testing.assert_allclose(found.outputs[2, 2], jax.vmap(deeper)(XS[:, :2]), rtol=1e-12)
    # The steps are probed where the network stands, behind the layer before it.
    alone = tw.analysis.depth_transfer(network, jax.vmap(model.inward)(XS[:, :2]), depths=(6,))
    np.testing.assert_allclose(found.radii, alone.radii, rtol=1e-10)


def test_a_momentum_network_and_a_neural_ode():
    moving = tw.networks.momentum(lambda x: -jnp.sin(x), 8, 0.1, momentum=0.5, shared=True)
    found = tw.analysis.depth_transfer(moving, XS)
    assert found.schemes == ("Leapfrog", "RK4") and not found.outermost
    np.testing.assert_allclose(found.orders, [1.0, 4.0], atol=0.1)
    ode = tw.networks.neural_ode(lambda t, x: jnp.cos(t) * x, 1.0, 8)
    found = tw.analysis.depth_transfer(ode, XS, depths=(5, 8, 16, 32))
    assert found.follows_ode and found.schemes[0] == "RK4"
    np.testing.assert_allclose(found.flow, XS * np.exp(np.sin(1.0)), rtol=1e-9)


NETWORK, _ = linear(0.3)
REFUSED = {
    "must be a tw.networks.Network": lambda: tw.analysis.depth_transfer(jnp.sin, XS),
    "must be a multiple of the 3 blocks": lambda: tw.analysis.depth_transfer(NETWORK, XS, depths=(4,)),
    "must be 6 whole numbers": lambda: tw.analysis.depth_transfer(NETWORK, XS, labels=[0, 1]),
    "one logit a class": lambda: tw.analysis.depth_transfer(
        tw.networks.residual(jnp.sin, 2, shared=True), XS[:, :1], labels=LABELS),
    "one leading axis that counts them": lambda: tw.analysis.depth_transfer(NETWORK, jnp.array(1.0)),
    "a block raised|must give the shape": lambda: tw.analysis.depth_transfer(NETWORK, XS[0]),
    "scheme must be one of fixed steps": lambda: tw.analysis.depth_transfer(NETWORK, XS, schemes=(tw.Adaptive(),)),
    "tolerance must be greater than 0": lambda: tw.analysis.depth_transfer(NETWORK, XS, tolerance=0.0),
    "acts on force and friction": lambda: tw.analysis.depth_transfer(NETWORK, XS, schemes=(tw.Leapfrog(),)),
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_wrong_input_is_one_line(words):
    with pytest.raises(tw.InputError, match=words) as raised:
        REFUSED[words]()
    assert "\n" not in str(raised.value)


def trained(depth, step):
    """A classifier of digits, with the digits it has not seen."""
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    spread = images.std(axis=0)
    images = jnp.asarray((images - images.mean(axis=0)) / np.where(spread > 0, spread, 1.0))
    order = np.random.default_rng(0).permutation(len(labels))
    seen, rest = order[:1400], order[1400:]
    keys = jax.random.split(jax.random.key(0))

    def block(key):
        return eqx.nn.MLP(16, 16, 32, 1, activation=jnp.tanh, key=key)

    network = tw.networks.residual(block, depth, step, key=1)
    start = Model(eqx.nn.Linear(64, 16, key=keys[0]), network, eqx.nn.Linear(16, 10, key=keys[1]))

    def loss(model, sample):
        x, y = sample
        return -jax.nn.log_softmax(model(x))[y]

    f = tw.FiniteSum(loss, (images[seen], jnp.asarray(labels[seen])), batch_size=64)
    run = tw.run(tw.adam(f, 3e-3), start, 300, key=0)
    return run.final.position, images[rest], labels[rest]


@pytest.mark.slow
@pytest.mark.parametrize(("depth", "step", "follows"), [(8, 0.125, True), (3, 8.0, False)], ids=["gentle", "coarse"])
def test_digits(depth, step, follows):
    found = tw.analysis.depth_transfer(*trained(depth, step))
    own, doubled = found.accuracy[0, :2]
    assert own > 0.95 and found.depths[1] == 2 * depth
    assert found.follows_ode == follows
    if follows:
        assert abs(doubled - own) <= 0.01
        np.testing.assert_allclose(found.orders, [1.0, 2.0, 4.0], atol=0.1)
    else:
        # 0.25 points are one digit; it was a fall of 25 points.
        assert doubled < own - 0.1 and found.flow_accuracy < own - 0.2
