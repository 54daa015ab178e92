"""Adam's numbers in steps and in time, read from what runs, and another learning rate in mid run."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

NOW = tw.AdamHyperparameters(1e-2, 0.9, 0.99, 1e-8)


def bent(x):
    return jnp.sum(jnp.cosh(x - jnp.array([0.5, -1.0]))) + x[0] * x[1]


@pytest.mark.parametrize("beta1", [0.0, 0.9])
def test_physical_constants_there_and_back(beta1):
    now = tw.AdamHyperparameters(3e-3, beta1, 0.999, 1e-6, batch_size=32, weight_decay=0.1)
    law = now.physical()
    assert (law.step, law.epsilon, law.decay) == (3e-3, 1e-6, 0.1)
    assert law.second == pytest.approx(-3e-3 / np.log(0.999), rel=1e-14)
    assert (law.first is None) == (beta1 == 0.0)
    again = tw.AdamHyperparameters.from_physical(law, batch_size=32)
    assert (again.learning_rate, again.batch_size, again.weight_decay) == (3e-3, 32, 0.1)
    assert (again.beta1, again.beta2) == pytest.approx((beta1, 0.999), rel=1e-13)


def test_a_retuned_flow_is_the_same_law_at_another_step():
    then = NOW.retune(learning_rate=1e-3)
    one, other = NOW.physical(), then.physical()
    assert (other.first, other.second) == pytest.approx((one.first, one.second), rel=1e-12)
    assert other.step == 1e-3
    assert then.beta1 == pytest.approx(0.9**0.1, rel=1e-14)
    # Both go the same way, the shorter steps ten times as often: the error of a step is of first order in it.
    x0 = jnp.array([3.0, -4.0])

    def ends(h, steps):
        return np.asarray(tw.run(h.method(bent), x0, steps, record=None).final.position)

    fine = ends(NOW.retune(1e-5), 100_000)
    gaps = [np.linalg.norm(ends(h, round(1.0 / h.learning_rate)) - fine) for h in (NOW.retune(2e-3), then)]
    assert gaps[0] / gaps[1] == pytest.approx(2.0, abs=0.1)


@pytest.mark.parametrize(
    "numbers",
    [NOW, tw.AdamHyperparameters(1e-2, 0.0, 0.9), tw.AdamHyperparameters(weight_decay=0.1),
     tw.AdamHyperparameters(weight_decay=0.1, coupled=True)],
)  # fmt: skip
def test_a_method_has_the_numbers_it_is_made_of(numbers):
    found = tw.AdamHyperparameters.from_method(numbers.method())
    assert found == numbers


@pytest.mark.parametrize("method", [tw.lion(None, 0.1), tw.nadam(None, 0.1), tw.momentum(None, 0.1), 3])
def test_other_methods_have_no_such_numbers(method):
    with pytest.raises(tw.InputError, match=r"read from tw.adam and tw.adamw, not from"):
        tw.AdamHyperparameters.from_method(method)


def test_a_schedule_has_no_one_number():
    with pytest.raises(tw.InputError, match="the learning rate is a schedule"):
        tw.AdamHyperparameters.from_method(tw.adam(None, lambda step: 0.1))


def torch_run(make, changes, steps=60):
    """A path by torch; `changes` of the optimizer by step."""
    torch = pytest.importorskip("torch")
    x = torch.tensor([3.0, -4.0], dtype=torch.float64, requires_grad=True)
    optimizer, path = make([x]), []
    for k in range(steps):
        if k in changes:
            changes[k](optimizer)
        optimizer.zero_grad()
        (torch.cosh(x - torch.tensor([0.5, -1.0], dtype=torch.float64)).sum() + x[0] * x[1]).backward()
        optimizer.step()
        path.append(x.detach().numpy().copy())
    return np.array(path), optimizer


def test_a_running_torch_optimizer_is_read_and_retuned():
    torch = pytest.importorskip("torch")

    def make(parameters):
        return torch.optim.AdamW(parameters, lr=0.05, betas=(0.9, 0.99), weight_decay=0.1)

    def retune(optimizer):
        then = tw.adapters.torch.retune(optimizer, learning_rate=0.01)
        assert then == tw.AdamHyperparameters.from_torch(optimizer)

    path, optimizer = torch_run(make, {20: retune})
    assert float(optimizer.state[optimizer.param_groups[0]["params"][0]]["step"]) == pytest.approx(20 * 5 + 40)
    # Ours: the same law at two steps, whose state takes its averages along.
    first = tw.AdamHyperparameters(0.05, 0.9, 0.99, weight_decay=0.1)
    one, other = first.method(bent), first.retune(0.01).method(bent)
    state = one.init(jnp.array([3.0, -4.0]))
    for k in range(60):
        state = (one if k < 20 else other).step(state)
        np.testing.assert_allclose(state.position, path[k], rtol=1e-6)


def test_what_torch_has_besides_is_refused():
    torch = pytest.importorskip("torch")
    x = torch.nn.Parameter(torch.ones(2))
    with pytest.raises(tw.InputError, match="amsgrad=True makes another method"):
        tw.AdamHyperparameters.from_torch(torch.optim.Adam([x], amsgrad=True))
    with pytest.raises(tw.InputError, match=r"must be a torch.optim.Adam or AdamW"):
        tw.AdamHyperparameters.from_torch(torch.optim.SGD([x], lr=0.1))
    assert tw.Hyperparameters.from_torch(torch.optim.AdamW([x])) == tw.AdamHyperparameters(weight_decay=0.01)
    with pytest.raises(tw.InputError, match=r"of Adam the learning rate is changed"):
        tw.adapters.torch.retune(torch.optim.AdamW([x]), momentum=0.5)
    assert tw.AdamHyperparameters.from_torch(torch.optim.Adam([x], weight_decay=0.1)).coupled


def test_a_count_of_steps_that_is_right_for_no_memory_is_refused():
    assert NOW.carry(NOW.retune(1e-3), 7) == pytest.approx(70.0)
    with pytest.raises(tw.InputError, match="the first memory time would change from"):
        NOW.carry(tw.AdamHyperparameters(1e-3, 0.9, 0.99), 7)


def test_a_larger_batch_takes_its_decay_along():
    now = tw.AdamHyperparameters(1e-3, 0.9, 0.99, batch_size=8, weight_decay=0.1)
    then = tw.analysis.scale_adam(now, 32)
    # In one step of the new batch pass four of the old.
    assert then.learning_rate * then.weight_decay == pytest.approx(4 * now.learning_rate * now.weight_decay)


SAID = {
    "Adam": tw.AdamHyperparameters(0.02, 0.8, 0.95, 1e-6),
    "AdamW": tw.AdamHyperparameters(0.02, weight_decay=0.3),
    "coupled": tw.AdamHyperparameters(0.02, weight_decay=0.3, coupled=True),
}


@pytest.mark.parametrize("name", SAID)
def test_the_code_of_every_framework_makes_the_same_path(name):
    import optax

    h, x0 = SAID[name], jnp.array([3.0, -4.0])
    said = tw.translate(h)
    exact = np.asarray(tw.run(h.method(bent), x0, 30, record=None).final.position)
    ours = eval(said["thalweg"].code, {"tw": tw, "f": bent})
    np.testing.assert_allclose(tw.run(ours, x0, 30, record=None).final.position, exact, rtol=1e-12)
    optimizer, x = eval(said["optax"].code, {"optax": optax}), x0
    state = optimizer.init(x)
    for _ in range(30):
        updates, state = optimizer.update(jax.grad(bent)(x), state, x)
        x = optax.apply_updates(x, updates)
    np.testing.assert_allclose(x, exact, rtol=1e-10)
    torch = pytest.importorskip("torch")
    path, _ = torch_run(lambda params: eval(said["torch"].code, {"torch": torch, "params": params}), {}, 30)
    np.testing.assert_allclose(path[-1], exact, rtol=1e-10)
    if name == "coupled":
        assert said["keras"].code is None and "add 0.5 * weight_decay" in said["keras"].why
    else:
        # Keras' epsilon is held to its formula: it is larger at first, and the same in the end.
        assert "epsilon stands before the correction" in said["keras"].as_line
        assert keras_path(eval(said["keras"].code, {"keras": KERAS}), 1) != pytest.approx(first_step(h), rel=1e-4)


# Numbers of a line of code, by keras' names.
KERAS = types.SimpleNamespace(optimizers=types.SimpleNamespace(Adam=dict, AdamW=dict))


def keras_path(numbers, steps):
    """One entry of a constant gradient as small as epsilon, by keras' formula."""
    g, m, v, x = 1e-8, 0.0, 0.0, 0.0
    for k in range(1, steps + 1):
        b1, b2 = numbers["beta_1"], numbers["beta_2"]
        rate = numbers["learning_rate"] * np.sqrt(1 - b2**k) / (1 - b1**k)
        m, v = m + (g - m) * (1 - b1), v + (g * g - v) * (1 - b2)
        x -= rate * m / (np.sqrt(v) + numbers["epsilon"])
    return x


def first_step(h):
    return -h.learning_rate * 1e-8 / (1e-8 + h.epsilon)


def test_a_curvature_of_f_is_refused_with_what_tells_a_limit():
    with pytest.raises(tw.InputError, match="tells no limit of Adam, but that of f over the root of its squares does"):
        tw.translate(NOW, curvature=1.0)
