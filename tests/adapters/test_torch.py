"""A method as a torch optimizer: the way of torch's own, and of our own loop where torch has none."""

import copy
import io
import itertools
import os
import subprocess
import sys
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import optax
import pytest
import torch

import thalweg as tw
from tests.rows import few, quick
from thalweg.adapters.torch import ConstantFriction, Optimizer, retune
from thalweg.dynamics import Phase

SETTINGS, STEPS = 200, 60
SHAPES = ((3, 2), (2,), (4,))
HESSIAN = np.diag(np.linspace(0.3, 2.0, 12)) + 0.1


def start(dtype=torch.float64):
    """Parameters of three shapes."""
    rng = np.random.default_rng(0)
    return [torch.nn.Parameter(torch.tensor(rng.normal(size=shape), dtype=dtype)) for shape in SHAPES]


def bowl(parameters):
    """A bowl with bumps, in which the parameters pull at each other."""
    x = torch.cat([p.ravel() for p in parameters])
    return 0.5 * x @ torch.tensor(HESSIAN, dtype=x.dtype) @ x + torch.cos(x).sum() + 0.3 * x.sum()


def bowl_in_jax(parameters):
    x = jnp.concatenate([jnp.ravel(p) for p in parameters])
    return 0.5 * x @ HESSIAN @ x + jnp.sum(jnp.cos(x)) + 0.3 * jnp.sum(x)


def flat(parameters):
    return torch.cat([p.detach().ravel() for p in parameters]).double().numpy().copy()


def train(optimizer, parameters, steps=STEPS, scheduler=None, at=None):
    """The parameters after every step; `at[k]` is called before step k."""
    path = []
    for k in range(steps):
        if at and k in at:
            at[k]()
        optimizer.zero_grad()
        bowl(parameters).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        path.append(flat(parameters))
    return np.array(path)


def agree(found, expected, tolerance=1e-12):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def draw(rng):
    """Settings of torch.optim.SGD and the method they are."""
    rate, momentum = float(np.exp(rng.uniform(-6, -1.5))), float(rng.uniform(0.05, 0.99))
    kind = ("descent", "momentum", "nesterov")[rng.integers(3)]
    method = {
        "descent": lambda: tw.gradient_descent(None, rate),
        "momentum": lambda: tw.momentum(None, rate, momentum),
        "nesterov": lambda: tw.nesterov(None, rate, momentum),
    }[kind]()
    settings = {"lr": rate} | ({} if kind == "descent" else {"momentum": momentum, "nesterov": kind == "nesterov"})
    decay = float(rng.choice([0.0, 0.03]))
    return method, settings | {"weight_decay": decay}, {"weight_decay": decay}


SCHEDULERS = (
    lambda o: None,
    lambda o: torch.optim.lr_scheduler.StepLR(o, 20, 0.3),
    lambda o: torch.optim.lr_scheduler.CosineAnnealingWarmRestarts(o, 15),
    lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda k: min(k, 10) / 10),
)


@pytest.mark.parametrize("settings_drawn", [24, pytest.param(SETTINGS, marks=pytest.mark.slow)])
def test_the_way_of_torch(settings_drawn):
    """Two hundred settings: with schedules, weight decay and parameter groups of their own settings."""
    rng = np.random.default_rng(3)
    for case in range(settings_drawn):
        method, settings, decay = draw(rng)
        other = {"lr": settings["lr"] * 0.5} | ({"momentum": 0.7} if "momentum" in settings else {})
        other |= {"weight_decay": 0.1}
        paths = []
        ways = ({}, {"foreach": True}, {"foreach": False}, {"fused": False})[case % 4]
        for make in (lambda g, m=method, d=decay, w=ways: Optimizer(g, m, **d, **w),
                     lambda g, s=settings: torch.optim.SGD(g, **s)):  # fmt: skip
            parameters = start()
            groups = [{"params": parameters[:2]}, {"params": parameters[2:], **other}]
            optimizer = make(groups if case % 3 else parameters)
            paths.append(train(optimizer, parameters, STEPS, SCHEDULERS[case % len(SCHEDULERS)](optimizer)))
        agree(*paths)


def test_a_scheduler_that_turns_the_momentum():
    paths = []
    for make in (lambda p: Optimizer(p, tw.momentum(None, 0.01, 0.9)),
                 lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9)):  # fmt: skip
        parameters = start()
        optimizer = make(parameters)
        paths.append(train(optimizer, parameters, 50, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.1, 60)))
    agree(*paths)


def is_linear(method):
    return method.dynamics.geometry is None and method.linearised() is method


# Of laws with variables besides position and velocity the optimizer keeps averages alone: test_torch_adaptive.py.
ROWS = [
    row
    for row in tw.table()
    if not (row.method.normals or row.method.gradients_vary or row.dynamics.has_auxiliary) and is_linear(row.method)
]


def test_a_loop_over_stages_is_the_same_step():
    method = tw.Method(tw.GradientFlow(None), tw.RungeKuttaChebyshev(stages=15), 3.0)
    x = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
    optimizer = Optimizer([x], method)

    def closure():
        optimizer.zero_grad()
        loss = 0.5 * (x**2 * torch.tensor([0.1, 1.0, 30.0], dtype=torch.float64)).sum()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    f = tw.Objective(lambda x: 0.5 * jnp.sum(jnp.array([0.1, 1.0, 30.0]) * x**2))
    run = tw.run(method.with_objective(f), jnp.array([1.0, -2.0, 0.5]), 3)
    np.testing.assert_allclose(x.detach().numpy(), run.final.position, rtol=0, atol=1e-13)


class Dragged(tw.dynamics.AbstractSecondOrder):
    """A ball in a stream: its friction grows with its speed."""

    objective: Any
    elementwise: ClassVar[bool] = True

    def rates(self, time, phase, evaluation):
        del time
        return Phase(phase.velocity, -evaluation.gradient - phase.velocity * jnp.abs(phase.velocity))


def test_a_law_that_is_not_linear_is_refused():
    with pytest.raises(tw.InputError, match="a step of Dragged is not linear in velocity and gradients"):
        Optimizer(start(), tw.Method(Dragged(None), tw.Heun(), 0.1))


def test_a_step_that_is_solved_for_is_refused():
    with pytest.raises(tw.InputError, match=r"ImplicitEuler draws noise, restarts, keeps a force or solves for"):
        Optimizer(start(), tw.Method(tw.GradientFlow(None), tw.ImplicitEuler(), 0.1))


@pytest.mark.parametrize(
    "row",
    few(ROWS, "gradient_descent", "rk4", "momentum", "nesterov", "leapfrog", "nesterov_flow", "high_resolution_rk4"),
)
def test_every_row_goes_its_own_way(row):
    """Against our own loop, also where it begins with a gradient, or needs the curvature."""
    method = row.build(bowl_in_jax, **{next(iter(row.defaults)): 0.05})
    run = tw.run(method, [jnp.asarray(p.detach().numpy()) for p in start()], 8, record=None)
    parameters = start()
    optimizer = Optimizer(parameters, method)

    def closure():
        optimizer.zero_grad()
        loss = bowl(parameters)
        if not isinstance(method.dynamics, tw.HighResolutionFlow | tw.HessianDampedFlow):
            loss.backward()
        return loss

    for _ in range(8):
        optimizer.step(closure)
    agree(flat(parameters), np.concatenate([np.ravel(x) for x in run.final.lookahead]))


def test_weight_decay_is_a_part_of_every_gradient():
    decay = 0.2

    def heavier(parameters):
        return bowl_in_jax(parameters) + 0.5 * decay * sum(jnp.sum(x**2) for x in parameters)

    for name in ("rk4", "heavy_ball_heun", "high_resolution_strong_rk4"):
        row = next(row for row in ROWS if row.name == name)
        method = row.build(heavier, **{next(iter(row.defaults)): 0.05})
        run = tw.run(method, [jnp.asarray(p.detach().numpy()) for p in start()], 5, record=None)
        parameters = start()
        optimizer = Optimizer(parameters, method, weight_decay=decay)

        def closure(optimizer=optimizer, parameters=parameters, name=name):
            optimizer.zero_grad()
            loss = bowl(parameters)
            if "high" not in name:
                loss.backward()
            return loss

        losses = [optimizer.step(closure).item() for _ in range(5)]
        assert losses[0] == bowl(start()).item()
        agree(flat(parameters), np.concatenate([np.ravel(x) for x in run.final.lookahead]))


def test_a_schedule_of_the_methods_own():
    schedule = optax.cosine_decay_schedule(0.2, 20)
    method = tw.Method(tw.HeavyBall(bowl_in_jax, 0.7), tw.Leapfrog(start="zero"), schedule)
    run = tw.run(method, [jnp.asarray(p.detach().numpy()) for p in start()], 12, record=None)
    parameters = start()
    optimizer = Optimizer(parameters, method)
    train(optimizer, parameters, 12)
    agree(flat(parameters), np.concatenate([np.ravel(x) for x in run.final.position]))
    assert optimizer.param_groups[0]["lr"] == pytest.approx(float(schedule(11)), rel=1e-14)
    optimizer.param_groups[0]["lr"] = 0.3
    with pytest.raises(tw.InputError, match=r"lr was set to 0\.3, but the method's step size is a schedule of its own"):
        optimizer.step()


def saved(state):
    """Through a file, read as safely as torch can."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


@pytest.mark.parametrize("row", quick(ROWS))
def test_resumed_is_uninterrupted(row):
    def closure_of(optimizer, parameters):
        def closure():
            optimizer.zero_grad()
            loss = bowl(parameters)
            if not isinstance(row.dynamics, tw.HighResolutionFlow | tw.HessianDampedFlow):
                loss.backward()
            return loss

        return closure

    parameters = start()
    optimizer = Optimizer(parameters, row.method)
    for _ in range(4):
        optimizer.step(closure_of(optimizer, parameters))
    others = [torch.nn.Parameter(p.detach().clone()) for p in parameters]
    other = Optimizer(others, row.method)
    other.load_state_dict(saved(optimizer.state_dict()))
    for _ in range(4):
        optimizer.step(closure_of(optimizer, parameters))
        other.step(closure_of(other, others))
    assert (flat(others) == flat(parameters)).all()


def test_a_copy_goes_on_by_itself():
    parameters = start()
    optimizer = Optimizer(parameters, tw.momentum(None, 0.05, 0.9))
    train(optimizer, parameters, 5)
    both = copy.deepcopy((optimizer, parameters))
    agree(train(*both, 5), train(optimizer, parameters, 5), 0)


@pytest.mark.parametrize("nesterov", [False, True])
def test_a_state_of_torch_is_taken_over(nesterov):
    parameters, others = start(), start()
    peer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9, nesterov=nesterov, weight_decay=0.01)
    train(peer, parameters, 10)
    with torch.no_grad():
        for x, y in zip(others, parameters, strict=True):
            x.copy_(y)
    ours = Optimizer(others, (tw.nesterov if nesterov else tw.momentum)(None, 0.3, 0.5))
    ours.load_state_dict(saved(peer.state_dict()))
    agree(train(ours, others, 20), train(peer, parameters, 20))


def test_parameters_that_come_late_begin_like_torchs():
    paths = []
    for make in (lambda p: Optimizer(p, tw.nesterov(None, 0.05, 0.9)),
                 lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True)):  # fmt: skip
        parameters = start()
        parameters[1].requires_grad_(False)
        optimizer = make(parameters)
        still = parameters[1].detach().clone()
        train(optimizer, parameters, 5)
        assert torch.equal(parameters[1].detach(), still)
        parameters[1].requires_grad_(True)
        paths.append(train(optimizer, parameters, 5))
    agree(*paths)


def test_transposed_tensors():
    """The fused kernel of torch would take them as they lie in memory."""
    paths = []
    for ways in ({}, {"foreach": False}):
        x = torch.nn.Parameter(torch.arange(6.0, dtype=torch.float64).reshape(2, 3).t())
        optimizer = Optimizer([x], tw.momentum(None, 0.1, 0.5), **ways)
        for _ in range(4):
            x.grad = (torch.arange(6.0, dtype=torch.float64).reshape(3, 2) * x.detach()).contiguous()
            optimizer.step()
        paths.append(x.detach().numpy().copy())
    agree(*paths, 1e-14)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("ways", [{}, {"foreach": True}], ids=["fused", "foreach"])
def test_low_precision_stays(dtype, ways):
    exact = start()
    path = train(Optimizer(exact, tw.momentum(None, 0.02, 0.9), **ways), exact, 20)
    low = start(dtype)
    optimizer = Optimizer(low, tw.momentum(None, 0.02, 0.9), **ways)
    found = train(optimizer, low, 20)
    assert (
        {x.dtype for x in low} == {buffer.dtype for s in optimizer.state.values() for buffer in s.values()} == {dtype}
    )
    assert np.abs(found - path).max() < 20 * torch.finfo(dtype).eps


def test_gradients_are_left_as_they_are():
    parameters = start()
    optimizer = Optimizer(parameters, tw.nesterov(None, 0.05, 0.9), weight_decay=0.1, foreach=True)
    for _ in range(3):
        gradients = [torch.randn_like(x) for x in parameters]
        for x, gradient in zip(parameters, gradients, strict=True):
            x.grad = gradient.clone()
        optimizer.step()
        assert all(torch.equal(x.grad, gradient) for x, gradient in zip(parameters, gradients, strict=True))


def test_a_closure_that_fails_leaves_the_parameters():
    parameters = start()
    optimizer, calls = Optimizer(parameters, tw.Method(tw.GradientFlow(None), tw.RK4(), 0.1)), []

    def closure():
        optimizer.zero_grad()
        bowl(parameters).backward()
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        optimizer.step(closure)
    agree(flat(parameters), flat(start()), 0)


PLAIN = """
import torch, thalweg as tw, jax
assert not jax.config.jax_enable_x64
ends = []
for make in (lambda x: tw.adapters.torch.Optimizer([x], tw.momentum(None, learning_rate=0.1, momentum=0.9)),
             lambda x: torch.optim.SGD([x], lr=0.1, momentum=0.9)):
    x = torch.nn.Parameter(torch.linspace(-1, 2, 5, dtype=torch.float64))
    optimizer = make(x)
    for _ in range(50):
        optimizer.zero_grad()
        (0.5 * x**2).sum().backward()
        optimizer.step()
    assert optimizer.param_groups[0]["lr"] == 0.1 and optimizer.param_groups[0]["momentum"] == 0.9
    ends.append(x.detach())
assert (ends[0] - ends[1]).abs().max() < 1e-14
"""


@pytest.mark.slow
def test_numbers_are_those_that_were_meant_where_jax_is_single():
    env = dict(os.environ, JAX_ENABLE_X64="0", PYTHONPATH=os.pathsep.join(filter(None, sys.path)))
    done = subprocess.run([sys.executable, "-c", PLAIN], env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


# The dictionary on running optimizers.


def makers(nesterov, **settings):
    """The same optimizer, torch's and ours."""
    method = (tw.nesterov if nesterov else tw.momentum)(None, 0.05, 0.9)
    return (
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=nesterov, **settings),
        lambda p: Optimizer(p, method, **settings),
    )


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("which", [0, 1], ids=["torch", "ours"])
def test_read(nesterov, which):
    optimizer = makers(nesterov, weight_decay=0.01)[which](start())
    found = tw.Hyperparameters.from_torch(optimizer, batch_size=32)
    assert found == tw.Hyperparameters(0.05, 0.9, nesterov, batch_size=32, weight_decay=0.01)


def test_read_of_groups():
    parameters = start()
    optimizer = torch.optim.SGD(
        [{"params": parameters[:1]}, {"params": parameters[1:], "lr": torch.tensor(0.25)}], lr=0.5, dampening=0.1
    )
    assert tw.Hyperparameters.from_torch(optimizer, group=1).learning_rate == 0.25
    with pytest.raises(tw.InputError, match="2 groups have different settings; choose one with group=0, 1"):
        tw.Hyperparameters.from_torch(optimizer)
    with pytest.raises(tw.InputError, match="group must be from 0 to 1, but is 2"):
        tw.Hyperparameters.from_torch(optimizer, group=2)


@pytest.mark.parametrize("which", [0, 1], ids=["torch", "ours"])
@pytest.mark.parametrize("change", [{"learning_rate": 0.005}, {"learning_rate": 0.11}, {"momentum": 0.97}])
def test_retuned_in_place_is_carried_over(which, change):
    """The way of a new optimizer that is given what `carry` gives, the gradient at the change included."""
    parameters = start()
    optimizer = makers(False)[which](parameters)
    path = train(optimizer, parameters, 40, at={20: lambda: retune(optimizer, **change)})
    group = optimizer.param_groups[0]
    h = tw.Hyperparameters(0.05, 0.9)
    new = h.retune(**change)
    assert (group["lr"], group["momentum"]) == (new.learning_rate, new.momentum)

    parameters = start()
    optimizer = torch.optim.SGD(parameters, lr=0.05, momentum=0.9)
    first = train(optimizer, parameters, 20)
    optimizer.zero_grad()
    bowl(parameters).backward()
    buffers = [optimizer.state[x]["momentum_buffer"] for x in parameters]
    _, carried = h.carry(new, [x.detach() for x in parameters], buffers, [x.grad for x in parameters])
    optimizer = torch.optim.SGD(parameters, lr=new.learning_rate, momentum=new.momentum)
    for x, buffer in zip(parameters, carried, strict=True):
        optimizer.state[x]["momentum_buffer"] = buffer
    agree(path, np.concatenate([first, train(optimizer, parameters, 20)]))


@pytest.mark.parametrize("nesterov", [False, True])
def test_retuned_alike_in_torch_and_ours(nesterov):
    paths = []
    for make in makers(nesterov, weight_decay=0.02):
        parameters = start()
        optimizer = make(parameters)

        def twice(optimizer=optimizer):
            retune(optimizer, learning_rate=0.2)
            retune(optimizer, learning_rate=0.004)

        paths.append(train(optimizer, parameters, 40, at={10: twice}))
    # In torch's form the new step of Nesterov's method cannot weigh its first gradient twice.
    agree(*paths, 1e-2 if nesterov else 1e-12)


@pytest.mark.parametrize("which", [0, 1], ids=["torch", "ours"])
def test_retuning_nesterov_leaves_the_iterate_and_its_velocity(which):
    """The parameters are the look-ahead point: they move so that what they look ahead from does not."""
    parameters = start()
    optimizer = makers(True)[which](parameters)
    train(optimizer, parameters, 10)

    def phase():
        h = tw.Hyperparameters.from_torch(optimizer)
        buffer = np.concatenate([optimizer.state[x]["momentum_buffer"].ravel().numpy() for x in parameters])
        step = -h.learning_rate * buffer
        # The velocity a half step behind: with friction alone, it is 1 + momentum times that of the middle.
        return flat(parameters) - h.momentum * step, (1 + h.momentum) * step / h.physical().step

    before, shown = phase(), flat(parameters)
    retune(optimizer, learning_rate=0.004)
    after = phase()
    agree(after[0], before[0], 1e-14)
    agree(after[1], before[1], 1e-13)
    assert np.abs(flat(parameters) - shown).max() > 1e-3


@pytest.mark.parametrize("which", [0, 1], ids=["torch", "ours"])
def test_a_refused_scheduler_leaves_the_optimizer_as_it_is(which):
    optimizer = (torch.optim.Adam(start(), lr=0.1), Optimizer(start(), tw.midpoint_momentum(None, 0.1, 0.9)))[which]
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: 0.5)
    with pytest.raises(tw.InputError, match="are read from SGD"):
        ConstantFriction(scheduler)
    assert optimizer.param_groups[0]["lr"] == 0.05


def test_a_parameter_that_comes_after_a_change_begins_as_any():
    """It has no last step of another kick."""
    parameters = start()
    late = parameters[1]
    optimizer = Optimizer(parameters, tw.momentum(None, 0.05, 0.9))
    for x in parameters[::2]:
        x.grad = torch.ones_like(x)
    optimizer.step()
    retune(optimizer, learning_rate=0.005)
    late.grad = torch.ones_like(late)
    shown = late.detach().clone()
    optimizer.step()
    torch.testing.assert_close(late.detach(), shown - 0.005, rtol=0, atol=1e-15)


def motion(change, steps, which, nesterov=False):
    """The parameters at time 4, the rate changed half-way by `change(optimizer, rate)`; steps halve with 1/steps."""
    h, friction = 2.0 / steps, 1.0
    first = tw.Hyperparameters.from_physical(tw.Physical(h, friction, None, float(nesterov)))
    parameters = start()
    # From the exact half-step velocity, so that the change is all that is measured.
    bowl(parameters).backward()
    kick = first.scale / h
    make = (
        lambda p: torch.optim.SGD(p, lr=first.learning_rate, momentum=first.momentum, nesterov=nesterov),
        lambda p: Optimizer(p, (tw.nesterov if nesterov else tw.momentum)(None, first.learning_rate, first.momentum)),
    )[which]
    optimizer = make(parameters)
    for x in parameters:
        optimizer.state[x]["momentum_buffer"] = -0.5 * h / kick * x.grad.clone()
    train(optimizer, parameters, steps)
    # Three quarters of the step: the time that is left is a whole number of both.
    later = tw.Hyperparameters.from_physical(tw.Physical(0.75 * h, friction, None, float(nesterov)))
    change(optimizer, later)
    train(optimizer, parameters, steps)
    return flat(parameters)


def orders(change, which, nesterov=False):
    ends = [motion(change, steps, which, nesterov) for steps in (80, 160, 320, 640)]
    moves = [np.linalg.norm(a - b) for a, b in itertools.pairwise(ends)]
    return [float(np.log2(a / b)) for a, b in itertools.pairwise(moves)]


def left_alone(optimizer, later):
    optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"] = later.learning_rate, later.momentum


def to_the_rate(optimizer, later):
    retune(optimizer, learning_rate=later.learning_rate)


@pytest.mark.parametrize("which", [0, 1], ids=["torch", "ours"])
def test_a_change_of_the_rate_costs_no_order(which):
    assert orders(to_the_rate, which)[-1] == pytest.approx(2.0, abs=0.1)
    # Nesterov's method is itself of first order.
    assert orders(to_the_rate, which, nesterov=True)[-1] == pytest.approx(1.0, abs=0.1)


RATES = (
    optax.piecewise_constant_schedule(0.05, {15: 0.1, 30: 5.0}),
    optax.cosine_decay_schedule(0.1, 40),
    optax.warmup_cosine_decay_schedule(0.0, 0.1, 8, 45),
)


@pytest.mark.parametrize("rate", RATES, ids=["steps", "cosine", "warm-up"])
@pytest.mark.parametrize("which", [0, 1], ids=["torch", "ours"])
def test_a_scheduler_at_constant_friction(rate, which):
    """The way of optax.sgd under the schedules that keep the friction, and of our own leapfrog nearly."""
    h = tw.Hyperparameters(0.1, 0.9)
    parameters = start()
    method = tw.momentum(None, 0.1, 0.9)
    optimizer = (
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9),
        lambda p: Optimizer(p, method),
    )[which](parameters)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: float(rate(jnp.int32(k))) / 0.1)
    scheduler = ConstantFriction(scheduler)
    path = train(optimizer, parameters, 45, scheduler)
    motion = h.schedule(rate)
    peer = optax.inject_hyperparams(optax.sgd)(motion.learning_rate, motion.momentum)
    x = [jnp.asarray(p.detach().numpy()) for p in start()]
    state, expected = peer.init(x), []
    for _ in range(45):
        updates, state = peer.update(jax.grad(bowl_in_jax)(x), state, x)
        x = optax.apply_updates(x, updates)
        expected.append(np.concatenate([np.ravel(leaf) for leaf in x]))
    agree(path, np.array(expected), 1e-10)
    group = optimizer.param_groups[0]
    if group["lr"] > 0:
        now = tw.Hyperparameters(group["lr"], group["momentum"]).physical()
        assert now.friction == pytest.approx(h.physical().friction, rel=1e-9)


def test_a_scheduler_at_constant_friction_goes_on_after_a_stop():
    def make():
        parameters = start()
        optimizer = Optimizer(parameters, tw.momentum(None, 0.1, 0.9))
        return parameters, optimizer, ConstantFriction(torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.95))

    parameters, optimizer, scheduler = make()
    train(optimizer, parameters, 10, scheduler)
    others, other, second = make()
    with torch.no_grad():
        for x, y in zip(others, parameters, strict=True):
            x.copy_(y)
    other.load_state_dict(saved(optimizer.state_dict()))
    second.load_state_dict(saved(scheduler.state_dict()))
    assert second.get_last_lr() == scheduler.get_last_lr()
    agree(train(other, others, 10, second), train(optimizer, parameters, 10, scheduler), 0)


ADAM = torch.optim.Adam([torch.nn.Parameter(torch.ones(1))])
RMSPROP = torch.optim.RMSprop([torch.nn.Parameter(torch.ones(1))])
WRONG = {
    "no method": (lambda: Optimizer(start(), "momentum"), "Optimizer takes a tw.Method"),
    "nesterov's name": (lambda: Optimizer(start(), tw.momentum(None, 0.1), foreach="yes"), "foreach must be True"),
    "both ways": (
        lambda: Optimizer(start(), tw.momentum(None, 0.1), foreach=True, fused=True), "foreach and fused cannot both",
    ),
    "a group's learning_rate": (
        lambda: Optimizer([{"params": start(), "learning_rate": 0.1}], tw.momentum(None, 0.1)),
        "the learning_rate of a group is called 'lr'",
    ),
    "a group's momentum": (
        lambda: Optimizer([{"params": start(), "momentum": 1.5}], tw.momentum(None, 0.1)),
        "momentum must be less than 1",
    ),
    "momentum without": (
        lambda: Optimizer([{"params": start(), "momentum": 0.5}], tw.gradient_descent(None, 0.1)),
        "this method has no hyperparameter 'momentum'",
    ),
    "nesterov of a group": (
        lambda: Optimizer([{"params": start(), "nesterov": True}], tw.momentum(None, 0.1)), "the method says it",
    ),
    "a mistyped option": (
        lambda: Optimizer([{"params": start(), "weight_decy": 0.1}], tw.momentum(None, 0.1)),
        "a group has no option 'weight_decy'; did you mean 'weight_decay'?",
    ),
    "negative rate": (
        lambda: Optimizer([{"params": start(), "lr": -1.0}], tw.momentum(None, 0.1)),
        "learning_rate must be greater than 0, but is -1",
    ),
    "negative decay": (
        lambda: Optimizer(start(), tw.momentum(None, 0.1), weight_decay=-1.0), "weight_decay must be at least 0",
    ),
    "negative friction": (
        lambda: Optimizer(
            [{"params": start(), "friction": -1.0}], tw.Method(tw.HeavyBall(None, 1.0), tw.RK4(), 0.1)
        ),
        "friction must be at least 0, but is -1",
    ),
    "no closure": (
        lambda: trained(tw.Method(tw.GradientFlow(None), tw.RK4(), 0.1)),
        "GradientFlow by RungeKutta needs more than the gradient",
    ),
    "a closure that calls backward": (
        lambda: trained(ROWS[-1].method, closed=True), "must return the loss and not call backward",
    ),
    "Adam's state": (
        lambda: Optimizer(start()[:1], tw.momentum(None, 0.1)).load_state_dict(ADAM.state_dict()),
        "the state is of another optimizer: its groups have no 'momentum'",
    ),
    "no state": (lambda: Optimizer(start(), tw.momentum(None, 0.1)).load_state_dict({}), "with 'state' and 'param_"),
    "a state with dampening": (
        lambda: Optimizer(start(), tw.momentum(None, 0.1)).load_state_dict(
            torch.optim.SGD(start(), lr=0.1, momentum=0.9, dampening=0.5).state_dict()
        ),
        "with a dampening, which no method has",
    ),
    "a state with nesterov": (
        lambda: Optimizer(start(), tw.momentum(None, 0.1)).load_state_dict(
            torch.optim.SGD(start(), lr=0.1, momentum=0.9, nesterov=True).state_dict()
        ),
        "with another nesterov than this method's",
    ),
    "buffers of other shapes": (lambda: misfit(), "a buffer has shape (5,) where the parameter has (3, 2)"),
    "read from RMSprop": (lambda: tw.Hyperparameters.from_torch(RMSPROP), "not from a RMSprop"),
    "read from RK4": (
        lambda: tw.Hyperparameters.from_torch(Optimizer(start(), tw.Method(tw.GradientFlow(None), tw.RK4(), 0.1))),
        "not from GradientFlow by RungeKutta",
    ),
    "read from a number": (lambda: tw.Hyperparameters.from_torch(0.1), "optimizer must be a torch.optim.SGD"),
    "retuned to nothing": (lambda: retune(makers(False)[0](start())), "retune takes new hyperparameters, or one of"),
    "retuned to a number": (lambda: retune(makers(False)[0](start()), 0.1), "but is 0.1"),
    "retuned to another method": (
        lambda: retune(makers(False)[0](start()), tw.Hyperparameters(0.1, 0.9, True)), "agree with the old in nesterov",
    ),
    "retuned too far": (lambda: retune(makers(False)[0](start()), learning_rate=1e9), "asks for a negative momentum"),
    "a scheduler of the momentum": (
        lambda: ConstantFriction(torch.optim.lr_scheduler.OneCycleLR(makers(False)[0](start()), 0.1, 10)),
        "make it with cycle_momentum=False",
    ),
    "no scheduler": (lambda: ConstantFriction(0.1), "scheduler must be one of torch.optim.lr_scheduler"),
    "a foreign state of it": (
        lambda: ConstantFriction(SCHEDULERS[1](makers(False)[0](start()))).load_state_dict({}),
        "not of a ConstantFriction",
    ),
    "a schedule that is a number": (
        lambda: tw.Hyperparameters(0.1, 0.9).schedule(0.1), "learning_rate must be a function, but is 0.1",
    ),
    "a schedule without friction": (
        lambda: tw.Hyperparameters(0.1).schedule(lambda k: 0.1), "no friction to keep",
    ),
    "a schedule of an average": (
        lambda: tw.Hyperparameters(0.1, 0.9, convention="ema").schedule(lambda k: 0.1), "use to()",
    ),
    "a momentum of Nesterov's": (
        lambda: tw.Hyperparameters(0.1, 0.9, True).schedule(lambda k: 0.1).momentum(0), "use tw.Method(tw.HeavyBall",
    ),
    "batches without a size": (
        lambda: tw.Hyperparameters(0.1, 0.9).schedule(lambda k: 0.1).batch_size(0), "needs the one to begin with",
    ),
}  # fmt: skip


def trained(method, closed=False):
    parameters = start()
    optimizer = Optimizer(parameters, method)

    def closure():
        loss = bowl(parameters)
        loss.backward()
        return loss

    closure()
    optimizer.step(closure if closed else None)


def misfit():
    others = [torch.nn.Parameter(torch.ones(5)) for _ in SHAPES]
    other = torch.optim.SGD(others, lr=0.1, momentum=0.9)
    for x in others:
        x.grad = torch.ones_like(x)
    other.step()
    Optimizer(start(), tw.momentum(None, 0.1)).load_state_dict(other.state_dict())


@pytest.mark.parametrize("case", WRONG)
def test_wrong_use_is_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = WRONG[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)
