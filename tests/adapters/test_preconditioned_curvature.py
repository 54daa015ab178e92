"""The curvature that a running Adam sees: closed forms in both frameworks, and the limit that it is held against."""

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
import torch

import thalweg as tw
from thalweg.adapters.optax import preconditioned_curvature
from thalweg.adapters.torch import Optimizer, largest_curvature

HESSIAN = np.array([[3.0, 0.7, -0.2], [0.7, 1.5, 0.4], [-0.2, 0.4, 0.9]])
SLOPE = np.array([2.0, -0.5, 30.0])
BETAS, EPSILON = (0.9, 0.99), 1e-3
CURVATURE = torch.from_numpy(HESSIAN)


def top(scale, decay=0.0):
    """The largest eigenvalue of the Hessian over the scale of a step."""
    root = 1.0 / np.sqrt(scale)
    return np.linalg.eigvalsh(root[:, None] * (HESSIAN + decay * np.eye(3)) * root).max()


def bowl(x):
    return 0.5 * x @ jnp.asarray(HESSIAN) @ x


def outside(epsilon):
    flow = tw.AdamFlow(None, first=None, second=-0.1 / np.log(0.99), epsilon=epsilon, corrected=False)
    return tw.Method(flow, tw.LieTrotter(), 0.1)


Adam, RMSprop = torch.optim.Adam, torch.optim.RMSprop
CORRECTED, BARE = 1.0, 1.0 - 0.99**3
# Of three constant gradients the average of squares is g^2 times what has come into it.
RUNNING = {
    "Adam": (lambda p: Adam(p, 0.1, BETAS, EPSILON), CORRECTED, 0.0),
    "Adam with decay": (lambda p: Adam(p, 0.1, BETAS, EPSILON, weight_decay=0.5), None, 0.5),
    "AdamW": (lambda p: torch.optim.AdamW(p, 0.1, BETAS, EPSILON, weight_decay=0.5), CORRECTED, 0.0),
    "AMSGrad": (lambda p: Adam(p, 0.1, BETAS, EPSILON, amsgrad=True), CORRECTED, 0.0),
    "NAdam": (lambda p: torch.optim.NAdam(p, 0.1, BETAS, EPSILON), CORRECTED, 0.0),
    "RMSprop": (lambda p: RMSprop(p, 0.1, 0.99, EPSILON), BARE, 0.0),
    "ours, adamw": (lambda p: Optimizer(p, tw.adamw(None, 0.1, *BETAS, EPSILON, 0.5)), CORRECTED, 0.0),
    "ours, nadam": (lambda p: Optimizer(p, tw.nadam(None, 0.1, *BETAS, EPSILON)), CORRECTED, 0.0),
    "ours, outside": (lambda p: Optimizer(p, outside(EPSILON)), BARE, 0.0),
    "ours, inside": (lambda p: Optimizer(p, tw.rmsprop(None, 0.1, 0.99, EPSILON)), "inside", 0.0),
}  # fmt: skip


@pytest.mark.parametrize("name", RUNNING)
def test_of_a_running_torch_optimizer(name):
    make, filled, decay = RUNNING[name]
    x = torch.nn.Parameter(torch.zeros(3, dtype=torch.float64))
    optimizer = make([x])
    for _ in range(3):
        # Where the decay takes nothing, the gradient is the same each time.
        x.data.zero_()
        x.grad = torch.from_numpy(SLOPE.copy())
        optimizer.step()

    def loss():
        return 0.5 * x @ CURVATURE @ x

    if filled == "inside":
        scale = np.sqrt(BARE * SLOPE**2 + EPSILON)
    else:
        scale = np.sqrt(filled or CORRECTED) * np.abs(SLOPE) + EPSILON
    assert largest_curvature(loss, [x], optimizer=optimizer) == pytest.approx(top(scale, decay), rel=1e-6)
    assert largest_curvature(loss, [x]) == pytest.approx(np.linalg.eigvalsh(HESSIAN).max(), rel=1e-6)


NUMBERS = tw.AdamHyperparameters(0.1, *BETAS, EPSILON)
STATES = {
    "adam": (lambda: optax.adam(0.1, *BETAS, EPSILON), NUMBERS, CORRECTED),
    "a chain": (
        lambda: optax.chain(optax.clip(1e3), optax.inject_hyperparams(optax.adamw)(0.1, *BETAS, EPSILON)),
        NUMBERS, CORRECTED,
    ),
    "rmsprop": (lambda: optax.rmsprop(0.1, 0.99, EPSILON), tw.rmsprop(None, 0.1, 0.99, EPSILON), "inside"),
    "ours": (
        lambda: tw.adapters.optax.transformation(tw.adam(None, 0.1, *BETAS, EPSILON)),
        tw.adam(None, 0.1, *BETAS, EPSILON), CORRECTED,
    ),
}  # fmt: skip


def stepped(optimizer, slope=SLOPE, steps=3):
    params = jnp.zeros(3)
    state, update = optimizer.init(params), jax.jit(optimizer.update)
    for _ in range(steps):
        _, state = update(jnp.asarray(slope), state, params)
    return state


@pytest.mark.parametrize("name", STATES)
def test_of_a_state_of_optax(name):
    make, method, filled = STATES[name]
    inside = filled == "inside"
    scale = np.sqrt(BARE * SLOPE**2 + EPSILON) if inside else np.sqrt(filled) * np.abs(SLOPE) + EPSILON
    found = preconditioned_curvature(bowl, jnp.zeros(3), stepped(make()), method)
    assert found == pytest.approx(top(scale), rel=1e-6)


def test_a_step_is_at_its_limit_where_this_curvature_says():
    """A step of a bowl at a constant second moment grows above the limit and not below, by the optimizer of torch."""
    squares = torch.tensor([4.0, 0.25, 9.0], dtype=torch.float64)
    scale = np.sqrt(squares.numpy())
    limit = 2.0 * (1.0 + 0.9) / (1.0 - 0.9) / top(scale)
    sizes = []
    for factor in (0.995, 1.005):
        x = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
        optimizer = Adam([x], factor * limit, (0.9, 1.0 - 1e-15), 0.0)
        optimizer.state[x] = {
            "step": torch.tensor(1e18), "exp_avg": torch.zeros_like(x), "exp_avg_sq": squares.clone(),
        }  # fmt: skip
        found = largest_curvature(lambda x=x: 0.5 * x @ CURVATURE @ x, [x], optimizer=optimizer)
        motion = tw.AdamHyperparameters(factor * limit)
        largest = tw.analysis.largest_stable_learning_rate(motion.method(), found)
        assert largest / (factor * limit) == pytest.approx(1.0 / factor, rel=1e-6)
        for _ in range(100):
            x.grad = CURVATURE @ x.detach()
            optimizer.step()
        sizes.append(float(x.detach().norm()))
    assert sizes[0] < 0.5 and sizes[1] > 1e4


def made(make):
    x = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    optimizer = make([x])
    x.grad = torch.ones_like(x)
    optimizer.step()
    return x, optimizer


def of(optimizer, x):
    return largest_curvature(lambda: 0.5 * x @ CURVATURE @ x, [x], optimizer=optimizer)


def test_before_the_first_step_it_is_not_known_and_what_does_not_move_counts_nothing():
    x = torch.nn.Parameter(torch.ones(3, dtype=torch.float64))
    assert np.isnan(of(Adam([x]), x))
    assert np.isnan(preconditioned_curvature(bowl, jnp.zeros(3), stepped(optax.adam(0.1), steps=0), NUMBERS))
    bare, state = tw.rmsprop(None, 0.1), stepped(optax.rmsprop(0.1), steps=0)
    assert np.isnan(preconditioned_curvature(bowl, jnp.zeros(3), state, bare))
    still = torch.nn.Parameter(torch.ones(1, dtype=torch.float64))
    optimizer = Adam([x, still], 0.1, BETAS, EPSILON)
    x.grad = torch.from_numpy(SLOPE.copy())
    optimizer.step()
    found = largest_curvature(lambda: 0.5 * x @ CURVATURE @ x + 1e3 * (still**2).sum(), [x, still], optimizer=optimizer)
    assert found == pytest.approx(top(np.abs(SLOPE) + EPSILON), rel=1e-6)


def stranger():
    _, optimizer = made(Adam)
    return of(optimizer, torch.nn.Parameter(torch.ones(3, dtype=torch.float64)))


def at(make):
    x, optimizer = made(make)
    return of(optimizer, x)


SGD = tw.momentum(None, 0.1)
TWICE = optax.partition({"a": optax.adam(0.1), "b": optax.adam(0.1)}, {"x": "a", "y": "b"})
PAIR = {"x": jnp.ones(1), "y": jnp.ones(1)}
WRONG = {
    "SGD": (lambda: at(lambda p: torch.optim.SGD(p, 0.1)), "SGD keeps no average of squared gradients"),
    "ours of momentum": (lambda: at(lambda p: Optimizer(p, SGD)), "HeavyBall by Leapfrog keeps no average of squared"),
    "Lion": (lambda: at(lambda p: Optimizer(p, tw.lion(None, 0.1))), "whose direction is a sign: no curvature sets"),
    "another's parameter": (stranger, "the optimizer has no parameter of shape (3,) that is given"),
    "climbing": (lambda: at(lambda p: Adam(p, maximize=True)), "the optimizer climbs (maximize=True)"),
    "no average": (
        lambda: preconditioned_curvature(bowl, jnp.zeros(3), stepped(optax.sgd(0.1)), NUMBERS),
        "but the state keeps none",
    ),
    "two": (
        lambda: preconditioned_curvature(lambda p: jnp.sum(p["x"]), PAIR, TWICE.init(PAIR), NUMBERS),
        "but the state keeps 2 of them; give that of one part",
    ),
    "other parameters": (
        lambda: preconditioned_curvature(lambda p: p["x"][0], PAIR, stepped(optax.adam(0.1)), NUMBERS),
        "the second moment in the state is of other parameters than these",
    ),
    "a method without squares": (
        lambda: preconditioned_curvature(bowl, jnp.zeros(3), stepped(optax.adam(0.1)), tw.lion(None, 0.1)),
        "AdamFlow keeps no average of squared gradients",
    ),
    "no correction": (
        lambda: preconditioned_curvature(bowl, jnp.zeros(3), stepped(optax.rmsprop(0.1)), NUMBERS),
        "the state is of a method without correction",
    ),
    "0 over 0": (
        lambda: preconditioned_curvature(
            bowl, jnp.zeros(3), stepped(optax.adam(0.1), np.zeros(3)), tw.AdamHyperparameters(0.1, epsilon=0.0)
        ),
        "an entry of the second moment and epsilon are both 0",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_input_is_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = WRONG[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)
