"""Lion's and Muon's numbers in steps and in time, in every framework's words, and betas beside a schedule."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import thalweg as tw

LION = tw.LionHyperparameters(0.02, 0.9, 0.99, weight_decay=0.1)
MUON = tw.MuonHyperparameters(0.02, 0.9, weight_decay=0.1)
START = np.array([[3.0, -4.0, 0.5], [1.0, 2.0, -1.5]])


def bent(x):
    return jnp.sum(jnp.cosh(0.5 * (x - 0.3))) + 0.1 * x[0, 0] * x[1, 2]


@pytest.mark.parametrize("now", [LION, MUON, tw.MuonHyperparameters(0.1, 0.0, False)], ids=lambda h: h.name)
def test_physical_constants_there_and_back_and_at_another_step(now):
    law = now.physical()
    again = type(now).from_physical(law, **({"nesterov": now.nesterov} if now.name == "Muon" else {}))
    assert again.betas_at(1.0) == pytest.approx(now.betas_at(1.0), rel=1e-13)
    assert (again.learning_rate, again.weight_decay) == (now.learning_rate, now.weight_decay)
    then = now.retune(0.005)
    for name, time in now.memory_times.items():
        assert then.memory_times[name] == (None if time is None else pytest.approx(time, rel=1e-12))
    assert then.weight_decay == now.weight_decay and then.learning_rate == 0.005
    assert now.carry(then, 7) == pytest.approx(7 * now.learning_rate / 0.005)


@pytest.mark.parametrize(
    "h", [LION, MUON, MUON.to("optax"), MUON.to("keras", scaling="none", shape=(2, 3))], ids=lambda h: h.name
)
def test_a_method_has_the_numbers_it_is_made_of(h):
    assert type(h).from_method(h.method()) == h


@pytest.mark.parametrize("now", [LION, MUON.to("optax")], ids=lambda h: h.name)
def test_a_retuned_flow_is_the_same_law_at_another_step(now):
    """As a law: the constants of the flow of which its method is a splitting."""
    one, other = (h.method(bent).dynamics for h in (now, now.retune(1e-3)))
    for name, constant in one.constants.items():
        np.testing.assert_allclose(other.constants[name], constant, rtol=1e-12)


def path_of_optax(optimizer, steps=20):
    x, path = jnp.asarray(START), []
    state, update = optimizer.init(x), jax.jit(optimizer.update)
    for _ in range(steps):
        updates, state = update(jax.grad(bent)(x), state, x)
        x = optax.apply_updates(x, updates)
        path.append(np.asarray(x))
    return np.array(path)


def path(method, steps=20):
    return np.asarray(tw.run(method, jnp.asarray(START), steps, record=1).trace.position).reshape(-1, 2, 3)[1:]


# Numbers of a line of code, by keras' names.
KERAS = types.SimpleNamespace(optimizers=types.SimpleNamespace(Lion=dict, Muon=dict))


def test_the_code_of_lion_makes_the_same_path():
    said, exact = tw.translate(LION), path(LION.method(bent))
    np.testing.assert_allclose(path(eval(said["thalweg"].code, {"tw": tw, "f": bent})), exact, rtol=1e-13)
    np.testing.assert_allclose(path_of_optax(eval(said["optax"].code, {"optax": optax})), exact, rtol=1e-12)
    # Keras decays the parameters before it moves them, by the same amount.
    numbers = eval(said["keras"].code, {"keras": KERAS})
    x, m = START.copy(), np.zeros_like(START)
    for there in exact:
        g = np.asarray(jax.grad(bent)(jnp.asarray(x)))
        x = x - x * numbers["weight_decay"] * numbers["learning_rate"]
        x = x - numbers["learning_rate"] * np.sign(m * numbers["beta_1"] + g * (1 - numbers["beta_1"]))
        m = m * numbers["beta_2"] + g * (1 - numbers["beta_2"])
        np.testing.assert_allclose(x, there, rtol=1e-12)
    assert said["torch"].code is None and "torch has no Lion" in said["torch"].as_line


def polar(matrix):
    """Keras' iteration."""
    x = matrix / (np.linalg.norm(matrix) + 1e-7)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


@pytest.mark.parametrize("nesterov", [True, False])
def test_the_code_of_muon_makes_the_same_path(nesterov):
    h = tw.MuonHyperparameters(0.02, 0.9, nesterov, scaling="match_rms_adamw", weight_decay=0.1, convention="keras")
    said, exact = tw.translate(h), path(h.method(bent))
    np.testing.assert_allclose(path(eval(said["thalweg"].code, {"tw": tw, "f": bent})), exact, rtol=1e-13)
    there = path_of_optax(eval(said["optax"].code, {"optax": optax}))
    np.testing.assert_allclose(there, path(h.to("optax").method(bent)), rtol=1e-9)
    # Without Nesterov's form the correction for the start does nothing, for a direction has no size.
    assert (np.abs(there - exact).max() > 1e-7) == nesterov == ("corrected for its start" in said["optax"].why)
    numbers = eval(said["keras"].code, {"keras": KERAS})
    x, m, rate = START.copy(), np.zeros_like(START), numbers["learning_rate"]
    for here in exact:
        g = np.asarray(jax.grad(bent)(jnp.asarray(x)))
        x = x - x * numbers["weight_decay"] * rate
        m = numbers["momentum"] * m + g
        direction = g + numbers["momentum"] * m if numbers["nesterov"] else m
        x = x - rate * polar(direction) * np.sqrt(3) * numbers["rms_rate"]
        np.testing.assert_allclose(x, here, rtol=1e-6)
    torch = pytest.importorskip("torch")
    # The weight lies the other way there, and in bfloat16 a step is off by some hundredths of its length.
    weight = torch.tensor(START.T.copy(), requires_grad=True)
    optimizer = eval(said["torch"].code, {"torch": torch, "params": [weight]})
    for _ in range(20):
        optimizer.zero_grad()
        weight.grad = torch.tensor(np.asarray(jax.grad(bent)(jnp.asarray(weight.detach().numpy().T))).T.copy())
        optimizer.step()
    gone = np.linalg.norm(exact[-1] - START)
    assert np.linalg.norm(weight.detach().numpy().T - exact[-1]) < 0.02 * gone
    assert tw.MuonHyperparameters.from_torch(optimizer) == h.to("torch")


def test_a_factor_that_becomes_another_is_made_up_for():
    # An Equinox weight from 2 inputs to 8 outputs, which optax takes for one from 8 to 2.
    there = MUON.to("optax", shape=(8, 2), transposed=False)
    assert there.factor((8, 2)) == 1.0 and MUON.factor((8, 2)) == 2.0
    assert there.learning_rate * there.factor((8, 2)) == pytest.approx(MUON.learning_rate * MUON.factor((8, 2)))
    assert there.learning_rate * there.weight_decay == pytest.approx(MUON.learning_rate * MUON.weight_decay)
    same = MUON.to("optax", scaling="match_rms_adamw", shape=(8, 2))
    assert same.learning_rate * same.factor((2, 8)) == pytest.approx(MUON.learning_rate * MUON.factor((8, 2)))
    with pytest.raises(tw.InputError, match=r"becomes another, by the shape; give shape=\(rows, columns\)"):
        MUON.to("optax", transposed=False)
    with pytest.raises(tw.InputError, match="keras has no scaling 'original'"):
        MUON.to("keras")
    with pytest.raises(tw.InputError, match="shape must be that of a matrix"):
        MUON.factor((8,))


ADAM = tw.AdamHyperparameters(0.02, 0.9, 0.99)
WARMED = optax.warmup_cosine_decay_schedule(0.0, 0.05, 10, 40)


@pytest.mark.parametrize("h", [ADAM, LION, MUON], ids=lambda h: h.name)
def test_the_betas_beside_a_schedule_are_those_of_retune_at_every_step(h):
    motion = h.schedule(WARMED)
    for step in range(1, 40):
        rate = float(WARMED(jnp.asarray(step, float)))
        assert float(motion.learning_rate(step)) == pytest.approx(rate, rel=1e-6)
        for name, beta in h.retune(rate).betas_at(1.0).items():
            found = float(getattr(motion, name)(jnp.asarray(step, float)))
            assert found == pytest.approx(min(beta, 1 - 1e-6 * min(1, beta)), abs=2e-6), (name, step)
    assert all(float(getattr(motion, name)(0)) < 1.0 for name in h.betas_at(1.0))


def by_hand(corrected_by_what_has_come):
    """Adam whose betas change from step to step."""
    motion, x, m, v, filled, path = ADAM.schedule(WARMED), START.copy(), 0.0, 0.0, np.zeros(2), []
    for k in range(40):
        now = jnp.asarray(k, float)
        rate, *betas = (float(of(now)) for of in (motion.learning_rate, motion.beta1, motion.beta2))
        b = np.array(betas)
        g = np.asarray(jax.grad(bent)(jnp.asarray(x)))
        m, v = b[0] * m + (1 - b[0]) * g, b[1] * v + (1 - b[1]) * g * g
        filled = b * filled + 1 - b
        one, other = filled if corrected_by_what_has_come else 1 - b ** (k + 1)
        x = x - rate * (m / one) / (np.sqrt(v / other) + 1e-8)
        path.append(x)
    return np.array(path)


def test_the_betas_are_taken_by_optax_from_warm_up_to_the_end():
    """From a rate of 0 to one of 0; by its own correction, where a step size that changes has that of the flow."""
    motion = ADAM.schedule(lambda step: WARMED(jnp.asarray(step, float)))
    injected = optax.inject_hyperparams(optax.adam)(motion.learning_rate, b1=motion.beta1, b2=motion.beta2)
    found = path_of_optax(injected, 40)
    np.testing.assert_allclose(found, by_hand(False), rtol=1e-5)
    method = ADAM.method(bent).with_step_size(lambda step: jnp.maximum(WARMED(jnp.asarray(step, float)), 1e-9))
    np.testing.assert_allclose(path(method, 40), by_hand(True), rtol=1e-5)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: tw.LionHyperparameters(beta2=0.0), "beta2 must be greater than 0"),
        (lambda: tw.LionHyperparameters(beta1=1.0), "beta1 must be less than 1"),
        (lambda: tw.MuonHyperparameters(beta=0.0), "nesterov needs a beta above 0"),
        (lambda: tw.MuonHyperparameters(convention="pytorch"), "'pytorch' is unknown; did you mean 'torch'"),
        (lambda: tw.LionHyperparameters.from_method(tw.adam(None, 0.1)), "Lion's numbers are read from tw.lion"),
        (lambda: tw.MuonHyperparameters.from_method(tw.lion(None, 0.1)), "Muon's numbers are read from tw.muon"),
        (lambda: tw.MuonHyperparameters.from_method(tw.muon(None, 0.1, layout="out_in")), "no framework has Muon"),
        (lambda: tw.MuonHyperparameters.from_method(tw.muon(None, lambda k: 0.1)), "the learning rate is a schedule"),
        (lambda: tw.MuonHyperparameters.from_torch(3), "must be a torch.optim.Muon, but is 3"),
        (lambda: LION.carry(MUON, 3), "then must be a tw.LionHyperparameters"),
        (lambda: LION.carry(tw.LionHyperparameters(0.02, 0.9, 0.95), 3), "the memory time would change from"),
        (lambda: MUON.schedule(WARMED).beta1(0), "Muon has no beta1; it has beta"),
        (lambda: tw.translate(MUON, 1.0), "a curvature of f tells no limit of Muon"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_in_a_line(make, says):
    with pytest.raises(tw.InputError, match=says) as caught:
        make()
    assert "\n" not in str(caught.value)
