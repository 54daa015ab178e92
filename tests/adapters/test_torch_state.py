"""States of torch optimizers: a user's own keys, changes under way, to torch's SGD and back, sparse gradients."""

import copy
import functools
import io
import warnings

import numpy as np
import pytest
import torch

import thalweg as tw
from thalweg.adapters.torch import ConstantFriction, Optimizer, retune

rates = torch.optim.lr_scheduler
CURVATURES = torch.linspace(0.3, 2.0, 6, dtype=torch.float64)


@functools.cache
def method(kind):
    return {
        "descent": lambda: tw.gradient_descent(None, 0.05),
        "momentum": lambda: tw.momentum(None, 0.05, 0.9),
        "nesterov": lambda: tw.nesterov(None, 0.05, 0.9),
    }[kind]()


def start():
    x = np.random.default_rng(0).normal(size=6)
    return [torch.nn.Parameter(torch.tensor(part)) for part in (x[:4].reshape(2, 2), x[4:])]


def make(which, kind, parameters, **more):
    groups = [{"params": parameters[:1], **more}, {"params": parameters[1:], "lr": 0.1}]
    if which == "ours":
        return Optimizer(groups, method(kind))
    settings = {} if kind == "descent" else {"momentum": 0.9, "nesterov": kind == "nesterov"}
    return torch.optim.SGD(groups, lr=0.05, **settings)


def take(parameters):
    x = torch.cat([p.ravel() for p in parameters])
    (0.5 * (CURVATURES * x**2).sum() + torch.cos(x.sum())).backward()


def train(optimizer, parameters, steps, scheduler=None):
    for _ in range(steps):
        optimizer.zero_grad()
        take(parameters)
        optimizer.step()
        if scheduler is not None:
            scheduler.step(*((1.0,) if isinstance(scheduler, rates.ReduceLROnPlateau) else ()))
    return flat(parameters)


def flat(parameters):
    return torch.cat([p.detach().ravel() for p in parameters]).numpy().copy()


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def copied(parameters):
    return [torch.nn.Parameter(p.detach().clone()) for p in parameters]


def by_state(optimizer, parameters, which, kind):
    others = copied(parameters)
    other = make(which, kind, others)
    other.load_state_dict(through_a_file(optimizer.state_dict()))
    return other, others


def by_copy(optimizer, parameters, which, kind):
    return copy.deepcopy((optimizer, parameters))


def by_pickle(optimizer, parameters, which, kind):
    file = io.BytesIO()
    torch.save((optimizer, parameters), file)
    file.seek(0)
    return torch.load(file, weights_only=False)


WAYS = (by_state, by_copy, by_pickle)
BOTH = pytest.mark.parametrize("which", ["torch", "ours"])
MOVING = pytest.mark.parametrize("kind", ["momentum", "nesterov"])


@pytest.mark.parametrize("way", WAYS)
@BOTH
@MOVING
def test_resumed_between_a_change_and_a_step(which, kind, way):
    """The weight of the first gradient after it goes with the state, and leaves no mark."""
    parameters = start()
    optimizer = make(which, kind, parameters)
    train(optimizer, parameters, 5)
    keys = [set(group) for group in optimizer.param_groups]
    retune(optimizer, learning_rate=0.01, group=0)
    retune(optimizer, learning_rate=0.004)
    other, others = way(optimizer, parameters, which, kind)
    unmarked = copied(parameters)
    plain = make(which, kind, unmarked)
    plain.load_state_dict(optimizer.state_dict())
    for group in plain.param_groups:
        group["last_kick"] = None
    assert (train(other, others, 4) == train(optimizer, parameters, 4)).all()
    assert [set(group) for group in optimizer.param_groups] == [set(group) for group in other.param_groups] == keys
    assert not any(group.get("last_kick") for group in other.param_groups)
    if which == "torch":
        assert [group["dampening"] for group in other.param_groups] == [0, 0]
    # The weight is none that could be left out.
    assert np.abs(train(plain, unmarked, 4) - flat(parameters)).max() > 1e-4


@BOTH
def test_a_step_that_raises_or_is_left_out_uses_nothing_up(which):
    parameters = start()
    optimizer = make(which, "momentum", parameters)
    train(optimizer, parameters, 5)
    retune(optimizer, learning_rate=0.01)
    other, others = by_state(optimizer, parameters, which, "momentum")

    def closure():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        other.step(closure)
    other, others = by_state(other, others, which, "momentum")
    assert tw.Hyperparameters.from_torch(other, group=0).dampening == 0
    other.zero_grad()
    other.step()
    assert (train(other, others, 3) == train(optimizer, parameters, 3)).all()


@pytest.mark.parametrize("order", ["before", "after"])
@BOTH
@MOVING
def test_constant_friction_resumed(which, kind, order):
    """Whichever is loaded first, the optimizer or the scheduler that is made on it."""

    def scheduled(optimizer):
        return ConstantFriction(rates.LambdaLR(optimizer, lambda k: (0.5, 1.0, 2.0, 0.0, 0.7)[k % 5]))

    for stop in (3, 4, 6):
        parameters = start()
        optimizer = make(which, kind, parameters)
        scheduler = scheduled(optimizer)
        train(optimizer, parameters, stop, scheduler)
        kept = through_a_file({"optimizer": optimizer.state_dict(), "scheduler": scheduler.state_dict()})
        others = copied(parameters)
        other = make(which, kind, others)
        with warnings.catch_warnings():
            # Torch says that this order loses the rates; ours go with the scheduler's state.
            warnings.simplefilter("ignore")
            second = scheduled(other) if order == "before" else None
            other.load_state_dict(kept["optimizer"])
            second = second or scheduled(other)
        second.load_state_dict(kept["scheduler"])
        assert second.get_last_lr() == scheduler.get_last_lr()
        expected = train(optimizer, parameters, 6, scheduler)
        np.testing.assert_array_equal(train(other, others, 6, second), expected)


def test_a_scheduler_within_another_that_turns_the_momentum_is_refused():
    optimizer = make("torch", "momentum", start())
    within = [rates.ConstantLR(optimizer), rates.CyclicLR(optimizer, 0.01, 0.1)]
    with pytest.raises(tw.InputError, match="CyclicLR changes the momentum itself"):
        ConstantFriction(rates.ChainedScheduler(within, optimizer))


@pytest.mark.parametrize("kind", ["descent", "momentum", "nesterov"])
def test_keys_of_ones_own_stay(kind):
    """As in torch: given with the group or put there later, also where the new optimizer has none."""
    own = {"name": "head", "lr_scale": 0.5, "layers": [1, 2], "tag": None}
    parameters = start()
    optimizer = make("ours", kind, parameters, **own)
    optimizer.param_groups[1]["note"] = "set later"
    train(optimizer, parameters, 3)
    other, others = by_state(optimizer, parameters, "ours", kind)
    assert {name: other.param_groups[0][name] for name in own} == own
    assert other.param_groups[1]["note"] == "set later" and "note" not in other.param_groups[0]
    assert (train(other, others, 3) == train(optimizer, parameters, 3)).all()
    named = Optimizer([("w", start()[0])], method(kind))
    assert named.state_dict()["param_groups"][0]["param_names"] == ["w"]
    named.load_state_dict(named.state_dict())


@pytest.mark.parametrize("other", ["Adam", "RMSprop", "Adadelta", "ASGD", "Rprop", "NAdam", "Adagrad"])
@pytest.mark.parametrize("kind", ["descent", "momentum"])
def test_states_of_others_are_refused(kind, other):
    """Also before their first step, when their groups alone tell."""
    for steps in (0, 1):
        parameters = start()
        peer = getattr(torch.optim, other)(parameters)
        train(peer, parameters, steps)
        with pytest.raises(tw.InputError, match="the state is of another optimizer: "):
            Optimizer(start(), method(kind)).load_state_dict(peer.state_dict())


@pytest.mark.parametrize("changed", [False, True], ids=["", "changed"])
@pytest.mark.parametrize("kind", ["descent", "momentum", "nesterov"])
def test_to_sgd_and_back(kind, changed):
    """A state of ours in a new SGD, which goes on as ours would; and its state in ours."""
    parameters = start()
    ours = make("ours", kind, parameters)
    train(ours, parameters, 5)
    if changed and kind != "descent":
        retune(ours, learning_rate=0.01)
    others = copied(parameters)
    sgd = torch.optim.SGD([{"params": [x]} for x in others], lr=1.0)
    sgd.load_state_dict(through_a_file(ours.state_dict()))
    # In torch's form the new step of Nesterov's method cannot weigh its first gradient twice.
    tolerance = 1e-2 if changed and kind == "nesterov" else 1e-13
    np.testing.assert_allclose(train(sgd, others, 5), train(ours, parameters, 5), rtol=0, atol=tolerance)
    assert set(sgd.param_groups[0]) == set(torch.optim.SGD(start()).param_groups[0])
    back, backs = by_state(sgd, others, "ours", kind)
    np.testing.assert_allclose(train(back, backs, 5), train(sgd, others, 5), rtol=0, atol=1e-13)


def test_a_momentum_that_descent_has_not_is_refused():
    peer = make("torch", "momentum", start())
    with pytest.raises(tw.InputError, match=r"the state is of an optimizer with momentum 0\.9, which this method has"):
        make("ours", "descent", start()).load_state_dict(peer.state_dict())


SCHEDULES = {
    "LambdaLR": lambda o: rates.LambdaLR(o, lambda k: 0.9**k),
    "MultiplicativeLR": lambda o: rates.MultiplicativeLR(o, lambda k: 0.9),
    "StepLR": lambda o: rates.StepLR(o, 3),
    "MultiStepLR": lambda o: rates.MultiStepLR(o, [2, 5]),
    "ConstantLR": lambda o: rates.ConstantLR(o, 0.5, 3),
    "LinearLR": lambda o: rates.LinearLR(o, 0.1, 1.0, 5),
    "ExponentialLR": lambda o: rates.ExponentialLR(o, 0.9),
    "PolynomialLR": lambda o: rates.PolynomialLR(o, 9),
    "CosineAnnealingLR": lambda o: rates.CosineAnnealingLR(o, 9),
    "CosineAnnealingWarmRestarts": lambda o: rates.CosineAnnealingWarmRestarts(o, 4),
    "ReduceLROnPlateau": lambda o: rates.ReduceLROnPlateau(o, patience=1),
    "OneCycleLR": lambda o: rates.OneCycleLR(o, 0.1, 12),
    "CyclicLR": lambda o: rates.CyclicLR(o, 0.01, 0.1, 3),
    "ChainedScheduler": lambda o: rates.ChainedScheduler([rates.StepLR(o, 3), rates.ExponentialLR(o, 0.9)]),
    "SequentialLR": lambda o: rates.SequentialLR(o, [rates.ConstantLR(o, 0.1, 4), rates.ExponentialLR(o, 0.9)], [4]),
    "SWALR": lambda o: torch.optim.swa_utils.SWALR(o, 0.01, 5),
}


@pytest.mark.parametrize("kind", ["descent", "momentum", "nesterov"])
def test_under_every_schedule_of_torch_as_sgd(kind):
    """With its defaults, those that cycle the momentum too; and resumed in the midst of it."""
    for name, schedule in SCHEDULES.items():
        ends = []
        for which in ("torch", "ours"):
            parameters = start()
            optimizer = make(which, kind, parameters)
            scheduler = schedule(optimizer)
            train(optimizer, parameters, 6, scheduler)
            if which == "ours":
                others = copied(parameters)
                other = make(which, kind, others)
                second = schedule(other)
                other.load_state_dict(through_a_file(optimizer.state_dict()))
                second.load_state_dict(scheduler.state_dict())
                ends.append(train(other, others, 5, second))
            ends.append(train(optimizer, parameters, 5, scheduler))
        np.testing.assert_allclose(ends[1:], [ends[0]] * 2, rtol=0, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("decay", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["descent", "momentum", "nesterov"])
def test_sparse_gradients(kind, decay):
    """The way that the same gradients go when they are dense; rows that no batch touched stay without memory."""
    ends = []
    for sparse in (False, True):
        table = torch.nn.Embedding(5, 2, sparse=sparse, dtype=torch.float64)
        with torch.no_grad():
            table.weight.copy_(torch.arange(10.0).reshape(5, 2))
        optimizer = Optimizer(table.parameters(), method(kind), weight_decay=decay)
        for k in range(6):
            optimizer.zero_grad()
            (table(torch.tensor([k % 3, 1, 1])) ** 2).sum().backward()
            assert table.weight.grad.is_sparse == sparse
            optimizer.step()
            retune(optimizer, learning_rate=0.03) if k == 2 and kind != "descent" else None
        ends.append(table.weight.detach().numpy().copy())
    np.testing.assert_allclose(ends[1], ends[0], rtol=0, atol=1e-13)
    if not decay:
        moved = ends[1] != np.arange(10.0).reshape(5, 2)
        assert moved[1:3].all() and not moved[3:].any()
