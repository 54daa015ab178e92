"""The dictionary of hyperparameters against the optimizers it speaks of, the law of motion, and itself."""

import dataclasses
import math

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
import torch

import thalweg as tw

SETTINGS, STEPS, CHANGE = 200, 120, 50
HESSIAN = np.array([[2.0, 0.7, 0.0], [0.7, 1.0, -0.3], [0.0, -0.3, 0.5]])
PULL = np.array([0.3, -1.0, 0.6])


def gradient(x):
    """Of a bowl with a bump: not linear, not even."""
    return HESSIAN @ x + 0.5 * np.sin(x) + PULL


def draw(rng):
    """Torch's hyperparameters at random, what torch refuses left out."""
    momentum = float(rng.choice([0.0, rng.uniform(0.05, 0.99)], p=[0.1, 0.9]))
    kind = rng.integers(3) if momentum else 0
    return tw.Hyperparameters(
        float(np.exp(rng.uniform(np.log(1e-3), np.log(0.3)))),
        momentum,
        nesterov=bool(kind == 1),
        dampening=float(rng.uniform(0.0, 0.9)) if kind == 2 else 0.0,
        batch_size=float(rng.integers(1, 500)),
        weight_decay=float(rng.choice([0.0, 0.03])),
    )


def settings(seed, count=SETTINGS):
    rng = np.random.default_rng(seed)
    return [draw(rng) for _ in range(count)]


class Torch:
    """torch.optim.SGD."""

    def __init__(self, x, h, buffer=None):
        assert h.convention == "torch"
        self.x = torch.nn.Parameter(torch.tensor(x))
        self.optimizer = torch.optim.SGD(
            [self.x], lr=h.learning_rate, momentum=h.momentum, dampening=h.dampening, nesterov=h.nesterov,
            weight_decay=h.weight_decay,
        )  # fmt: skip
        if buffer is not None:
            self.optimizer.state[self.x]["momentum_buffer"] = torch.tensor(buffer)

    def step(self):
        self.x.grad = torch.tensor(gradient(self.position))
        self.optimizer.step()

    @property
    def position(self):
        return self.x.detach().numpy().copy()

    @property
    def buffer(self):
        return self.optimizer.state[self.x]["momentum_buffer"].numpy().copy()


class Optax:
    """optax.sgd, or an exponential average in front of the learning rate."""

    def __init__(self, x, h, buffer=None):
        average = optax.ema(h.momentum, debias=h.bias_correction)
        rule = (
            optax.sgd(h.learning_rate, h.momentum or None, h.nesterov)
            if h.convention == "torch"
            else optax.chain(average, optax.scale(-h.learning_rate))
        )
        self.optimizer = optax.chain(optax.add_decayed_weights(h.weight_decay), rule)
        self.position = x
        self.state = self.optimizer.init(x)
        if buffer is not None:
            self.state = jax.tree.map(lambda leaf: buffer if np.shape(leaf) == (3,) else leaf, self.state)

    def step(self):
        updates, self.state = self.optimizer.update(gradient(self.position), self.state, self.position)
        self.position = np.asarray(self.position + np.asarray(updates))

    @property
    def buffer(self):
        (buffer,) = [np.asarray(leaf) for leaf in jax.tree.leaves(self.state) if np.shape(leaf) == (3,)]
        return buffer


class Keras:
    """keras.optimizers.SGD, the weight decay a part of the gradient."""

    def __init__(self, x, h, buffer=None):
        import keras

        assert h.convention == "keras"
        self.decay = h.weight_decay
        self.x = keras.Variable(x, dtype="float64")
        self.optimizer = keras.optimizers.SGD(h.learning_rate, h.momentum, h.nesterov)
        self.optimizer.build([self.x])
        self.keep_precision(keras, h)
        if buffer is not None:
            self.optimizer.momentums[0].assign(buffer)

    def keep_precision(self, keras, h):
        # keras holds the learning rate in float32.
        self.optimizer._learning_rate = keras.Variable(h.learning_rate, dtype="float64", trainable=False)

    def step(self):
        self.optimizer.apply([jnp.asarray(gradient(self.position))], [self.x])

    @property
    def position(self):
        return np.asarray(self.x.value)

    @property
    def buffer(self):
        return np.asarray(self.optimizer.momentums[0].value)


def walk(optimizer, steps=STEPS):
    path = [optimizer.position]
    for _ in range(steps):
        optimizer.step()
        path.append(optimizer.position)
    return np.array(path)


def peer(x, h, buffer=None):
    """The framework that speaks the convention."""
    kinds = {"torch": Torch, "keras": Keras, "ema": Optax}
    return kinds[h.convention](x, h, buffer)


X0 = np.array([1.5, -0.4, 2.0])


def close(found, expected, tolerance):
    for field in dataclasses.fields(expected):
        a, b = getattr(found, field.name), getattr(expected, field.name)
        if isinstance(b, float):
            assert math.isclose(a, b, rel_tol=tolerance, abs_tol=tolerance * 1e-3), (field.name, a, b)
        else:
            assert a == b, (field.name, a, b)


def equivalents(h):
    """The conventions that say the same from an empty buffer."""
    return [c for c in ("torch", "keras", "ema") if not (h.dampening and c != "torch")
            and not (h.weight_decay and c == "keras")]  # fmt: skip


def test_round_trips_between_conventions():
    for h in settings(1, 500):
        for there in equivalents(h):
            for further in equivalents(h):
                close(h.to(there).to(further).to("torch"), h, 1e-14)


def test_round_trips_through_the_constants_of_the_law():
    for h in settings(2, 500):
        for convention in equivalents(h):
            one = h.to(convention)
            if not one.momentum:
                continue
            options = dict(weight_decay=one.weight_decay, dampening=one.dampening)
            found = tw.Hyperparameters.from_physical(one.physical(), convention, **options)
            # Roundings counted, each of at most `half` an eps. That of λh = 2(1 - β)/(1 + β) is of 5 of them, of which
            # β = (1 - λh/2)/(1 + λh/2) keeps 2.5 at most and adds 3. The scale h²/(1 + λh/2) has 10, the conventions
            # 4 more; an average divides by 1 - β, which is known the less the nearer β is to 1. B = h/2λT has 14.
            conditioned = 6 / (1 - one.momentum) if convention == "ema" else 0
            half = np.finfo(float).eps / 2
            assert abs(found.momentum - one.momentum) <= 6 * half
            assert found.learning_rate == pytest.approx(one.learning_rate, rel=(16 + conditioned) * half, abs=0)
            assert found.batch_size == pytest.approx(one.batch_size, rel=14 * half, abs=0)
            numbers = {name: getattr(one, name) for name in ("learning_rate", "momentum", "batch_size")}
            assert dataclasses.replace(found, **numbers) == one


def test_the_constants_are_those_of_the_method():
    for h in settings(3, 50):
        make = tw.nesterov if h.nesterov else tw.momentum
        method, physical = make(None, h.scale, h.momentum), h.physical()
        assert float(method.step_size) == physical.step
        assert float(method.dynamics.friction) == physical.friction
        assert physical.lookahead == float(getattr(method.scheme, "fraction", 0.0))


def test_the_temperature():
    h = tw.Hyperparameters(0.2, 0.9, batch_size=32)
    assert h.physical().temperature == pytest.approx(0.2 / (2 * 32 * 0.1), rel=1e-14)
    assert tw.Hyperparameters(0.2, batch_size=32).physical().temperature == pytest.approx(0.2 / 64, rel=1e-14)
    assert tw.Hyperparameters(0.2, 0.9).physical().temperature is None


def test_torch_is_the_dictionary_of_optax():
    for h in settings(4):
        if not h.dampening:
            np.testing.assert_allclose(walk(Optax(X0, h)), walk(Torch(X0, h)), rtol=0, atol=1e-12)


def test_an_exponential_average_goes_the_way_of_torch():
    kept = [h for h in settings(5) if not h.dampening and not h.nesterov]
    assert len(kept) > 60
    for h in kept:
        np.testing.assert_allclose(walk(Optax(X0, h.to("ema"))), walk(Torch(X0, h)), rtol=0, atol=1e-12)


@pytest.mark.slow
def test_keras_goes_the_way_of_torch():
    kept = [h for h in settings(6, 2 * SETTINGS) if not h.dampening and not h.weight_decay][:SETTINGS]
    assert sum(h.nesterov for h in kept) > 30
    for h in kept:
        np.testing.assert_allclose(walk(Keras(X0, h.to("keras")), 40), walk(Torch(X0, h), 40), rtol=0, atol=1e-12)


def test_keras_goes_the_way_of_torch_where_it_is_quick():
    for h in (tw.Hyperparameters(0.1, 0.9), tw.Hyperparameters(0.05, 0.7, nesterov=True), tw.Hyperparameters(0.3)):
        np.testing.assert_allclose(walk(Keras(X0, h.to("keras")), 15), walk(Torch(X0, h), 15), rtol=0, atol=1e-12)


def test_a_corrected_average_is_torch_on_the_schedule_that_the_refusal_names():
    h = tw.Hyperparameters(0.4, 0.8, convention="ema", bias_correction=True)
    with pytest.raises(tw.InputError, match=r"learning_rate \* \(1 - momentum\) / \(1 - momentum\*\*k\)"):
        h.to("torch")
    schedule = Torch(X0, tw.Hyperparameters(1.0, 0.8))
    path = [X0]
    for k in range(1, 40):
        schedule.optimizer.param_groups[0]["lr"] = 0.4 * (1 - 0.8) / (1 - 0.8**k)
        schedule.step()
        path.append(schedule.position)
    np.testing.assert_allclose(walk(Optax(X0, h), 39), path, rtol=0, atol=1e-12)


@pytest.mark.parametrize("convention", ["torch", "ema", "keras"])
def test_a_convention_is_changed_in_mid_run(convention):
    """With dampening, whose first step no other convention makes."""
    kept = [h for h in settings(7) if h.momentum and not (h.weight_decay and convention == "keras")]
    kept = [h for h in kept if not (h.nesterov and convention == "ema")][: 20 if convention == "keras" else SETTINGS]
    assert any(h.dampening for h in kept)
    for h in kept:
        whole = walk(Torch(X0, h), CHANGE + 20)
        first = Torch(X0, h)
        np.testing.assert_array_equal(walk(first, CHANGE)[-1], whole[CHANGE])
        to = dataclasses.replace(h, dampening=0.0, learning_rate=h.scale) if convention == "torch" else h
        to = to.to(convention, running=True)
        parameters, buffer = h.carry(to, first.position, first.buffer)
        np.testing.assert_allclose(walk(peer(parameters, to, buffer), 20), whole[CHANGE:], rtol=0, atol=1e-12)


@pytest.mark.parametrize("convention", ["torch", "keras", "ema"])
@pytest.mark.parametrize("name", ["learning_rate", "momentum", "batch_size"])
def test_retuning_keeps_friction_and_temperature(convention, name):
    rng = np.random.default_rng(8)
    for h in settings(9):
        if not h.momentum or convention not in equivalents(h):
            continue
        one = h.to(convention)
        value = float(rng.uniform(0.3, 0.99)) if name == "momentum" else getattr(one, name) * float(rng.uniform(0.1, 1))
        other = one.retune(**{name: value})
        assert getattr(other, name) == value
        now, then = one.physical(), other.physical()
        assert then.friction == pytest.approx(now.friction, rel=1e-11)
        assert then.temperature == pytest.approx(now.temperature, rel=1e-11)
        assert then.lookahead == now.lookahead and then.step != now.step
        assert (other.convention, other.dampening, other.weight_decay) == (convention, one.dampening, one.weight_decay)
        # Back again, by each of the three numbers.
        for back in ("learning_rate", "momentum", "batch_size"):
            close(other.retune(**{back: getattr(one, back)}), one, 1e-10)


def test_the_retuned_momentum_in_closed_form():
    for rate, beta, r in [(0.1, 0.9, 0.1), (0.02, 0.5, 3.0), (0.3, 0.99, 0.25)]:
        c = r * (1 - beta) ** 2 / (1 + beta)
        expected = (2 + c - math.sqrt(c**2 + 8 * c)) / 2
        assert tw.Hyperparameters(rate, beta).retune(learning_rate=r * rate).momentum == pytest.approx(
            expected, rel=1e-13
        )


def test_the_square_root_rule_is_right_to_second_order():
    """Exact and square root differ by order (1 - momentum) squared."""
    gaps = []
    for short in 0.1 / 2.0 ** np.arange(6):
        h = tw.Hyperparameters(0.1, 1.0 - short)
        by_rule = [h.retune(learning_rate=0.01, rule=rule).momentum for rule in ("exact", "square root")]
        gaps.append(by_rule[1] - by_rule[0])
    assert np.log2(np.divide(gaps[:-1], gaps[1:]))[-1] == pytest.approx(2.0, abs=0.05)


def test_without_momentum_rate_and_batch_change_alike():
    h = tw.Hyperparameters(0.1, batch_size=64)
    assert h.retune(learning_rate=0.05) == tw.Hyperparameters(0.05, batch_size=32.0)
    assert h.retune(batch_size=128) == tw.Hyperparameters(0.2, batch_size=128)
    with pytest.raises(tw.InputError, match="no friction to keep"):
        h.retune(momentum=0.9)


FRICTION, SWITCH, END = 0.7, 2.0, 4.0


def flow_end():
    """The heavy ball itself."""
    from scipy.integrate import solve_ivp

    def field(t, y):
        return np.concatenate([y[3:], -FRICTION * y[3:] - gradient(y[:3])])

    start = np.concatenate([X0, [0.5, 1.0, -1.0]])
    return solve_ivp(field, (0.0, END), start, method="DOP853", rtol=1e-13, atol=1e-13).y[:3, -1]


def end_after_a_drop(steps, how, convention="torch"):
    """Half the time at step h, then a quarter of the learning rate: half the step."""
    h = SWITCH / steps
    now = tw.Hyperparameters.from_physical(tw.Physical(h, FRICTION), convention)
    then = tw.Hyperparameters.from_physical(tw.Physical(h / 2, FRICTION), convention)
    eta = np.array([0.5, 1.0, -1.0])
    v = h * (eta + 0.5 * h * (FRICTION * eta + gradient(X0)))
    x, v = go(X0, v, now, steps)
    if how == "alone":
        alone = dataclasses.replace(now, learning_rate=now.learning_rate / 4)
        # The buffer stays; the displacement it stands for is a quarter.
        return go(x, v / 4, alone, 2 * steps)[0]
    if how == "scaled":
        return go(x, v / 2, then, 2 * steps)[0]
    x, buffer = now.carry(then, x, v / now._displacement, gradient(x))
    return go(x, buffer * then._displacement, then, 2 * steps)[0]


def go(x, v, h, steps):
    for _ in range(steps):
        v = h.momentum * v - h.scale * gradient(x)
        x = x + v
    return x, v


def observed_order(how, convention="torch"):
    exact = flow_end()
    errors = [np.linalg.norm(end_after_a_drop(n, how, convention) - exact) for n in (40, 80, 160)]
    return np.log2(errors[1] / errors[2]), errors[2]


@pytest.mark.parametrize("convention", ["torch", "keras", "ema"])
def test_a_velocity_carried_over_is_second_order(convention):
    assert observed_order("carried", convention)[0] == pytest.approx(2.0, abs=0.1)


def test_a_velocity_scaled_is_first_order_and_one_left_alone_follows_another_flow():
    assert observed_order("scaled")[0] == pytest.approx(1.0, abs=0.1)
    order, error = observed_order("alone")
    assert order == pytest.approx(0.0, abs=0.1) and error > 0.05


def test_nesterovs_shifted_parameters_are_shifted_anew():
    h = tw.Hyperparameters(0.1, 0.9, nesterov=True)
    x, buffer, slope = X0, np.array([1.0, -2.0, 0.5]), gradient(X0)
    position = x - 0.9 * (-0.1 * buffer)
    plain, same = h.carry(dataclasses.replace(h, nesterov=False), x, buffer, slope)
    np.testing.assert_allclose(plain, position, rtol=1e-14)
    np.testing.assert_allclose(same, buffer, rtol=1e-13)
    to = h.retune(learning_rate=0.02)
    moved, after = h.carry(to, x, buffer, slope)
    np.testing.assert_allclose(moved - to.momentum * (-0.02 * after), position, rtol=1e-13)


def test_trees_and_tensors_are_carried():
    h, to = tw.Hyperparameters(0.1, 0.9), tw.Hyperparameters(0.05, 0.9)
    x, buffer, slope = X0, X0 + 1.0, gradient(X0)
    expected = h.carry(to, x, buffer, slope)[1]
    tree = h.carry(to, {"x": x}, {"x": buffer}, {"x": slope})[1]
    np.testing.assert_array_equal(tree["x"], expected)
    tensors = h.carry(to, *(torch.tensor(a) for a in (x, buffer, slope)))[1]
    np.testing.assert_array_equal(tensors.numpy(), expected)


FINE = tw.Hyperparameters(0.1, 0.9)
REFUSED = {
    "nesterov with dampening": (
        lambda: tw.Hyperparameters(0.1, 0.9, nesterov=True, dampening=0.1),
        "nesterov needs dampening 0, as in torch",
    ),
    "nesterov without momentum": (lambda: tw.Hyperparameters(0.1, nesterov=True), "needs a momentum greater than 0"),
    "momentum 1": (lambda: tw.Hyperparameters(0.1, 1.0), "momentum must be less than 1, but is 1"),
    "negative rate": (lambda: tw.Hyperparameters(-0.1), "learning_rate must be greater than 0, but is -0.1"),
    "nan": (lambda: tw.Hyperparameters(0.1, float("nan")), "momentum must be finite"),
    "text": (lambda: tw.Hyperparameters("0.1"), "learning_rate must be a real number, but is '0.1'"),
    "unknown convention": (
        lambda: tw.Hyperparameters(0.1, convention="pytorch"),
        "convention 'pytorch' is unknown; did you mean 'torch'?",
    ),
    "to an unknown convention": (lambda: FINE.to("Keras"), "did you mean 'keras'?"),
    "keras dampening": (
        lambda: tw.Hyperparameters(0.1, 0.9, dampening=0.5, convention="keras"),
        "dampening is torch's alone",
    ),
    "keras weight decay": (
        lambda: tw.Hyperparameters(0.1, weight_decay=0.1).to("keras"),
        "add 0.5 * weight_decay * sum(x**2) to the loss",
    ),
    "dampening elsewhere": (
        lambda: tw.Hyperparameters(0.1, 0.9, dampening=0.5).to("keras"),
        "torch takes its first gradient whole",
    ),
    "bias correction in torch": (lambda: tw.Hyperparameters(0.1, 0.9, bias_correction=True), "is of convention 'ema'"),
    "nesterov as a number": (lambda: tw.Hyperparameters(0.1, 0.9, nesterov=1), "nesterov must be True or False"),
    "no batch": (lambda: tw.Hyperparameters(0.1, batch_size=0), "batch_size must be greater than 0"),
    "nothing to retune": (
        lambda: FINE.retune(),
        "takes one of learning_rate, momentum and batch_size, but is given none",
    ),
    "two to retune": (
        lambda: FINE.retune(learning_rate=0.1, momentum=0.9),
        "but is given learning_rate and momentum",
    ),
    "a batch from nowhere": (lambda: FINE.retune(batch_size=2), "needs the one that it replaces"),
    "too fast for the friction": (lambda: FINE.retune(learning_rate=1e3), "asks for a negative momentum"),
    "unknown rule": (lambda: FINE.retune(learning_rate=0.1, rule="sqrt"), "rule 'sqrt' is unknown"),
    "half a look-ahead": (
        lambda: tw.Hyperparameters.from_physical(tw.Physical(0.1, 1.0, None, 0.5)),
        "lookahead must be 0 (momentum) or 1 (Nesterov)",
    ),
    "too much friction": (
        lambda: tw.Hyperparameters.from_physical(tw.Physical(1.0, 3.0)),
        "friction times step must be at most 2, but is 3",
    ),
    "half a look-ahead in words": (
        lambda: tw.Hyperparameters.from_physical(tw.Physical(0.1, 1.0, None, "half")),
        "lookahead must be a real number, but is 'half'",
    ),
    "no constants": (lambda: tw.Hyperparameters.from_physical(0.1), "physical must be a tw.Physical"),
    "carried to a name": (lambda: FINE.carry("keras", X0, X0), "to must be tw.Hyperparameters, but is 'keras'"),
    "carried without a gradient": (lambda: FINE.carry(tw.Hyperparameters(0.2, 0.9), X0, X0), "gradient="),
    "carried without momentum": (lambda: FINE.carry(tw.Hyperparameters(0.1), X0, X0), "no velocity to carry"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_one_line(case, monkeypatch):
    # As a user meets it, without the tests' type checker.
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = REFUSED[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)


def test_a_convention_into_itself_is_the_same():
    for h in (FINE, tw.Hyperparameters(0.4, 0.8, convention="ema", bias_correction=True), FINE.to("keras")):
        assert h.to(h.convention) == h
