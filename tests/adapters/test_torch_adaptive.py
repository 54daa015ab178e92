"""Adam's family as torch optimizers: the way of torch's own, and of our own loop where torch has none."""

import copy
import io

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import torch

import thalweg as tw
from tests.tensors import copied, flat, saved
from thalweg.adapters.torch import Optimizer, retune

rates = torch.optim.lr_scheduler
SETTINGS, STEPS = 100, 20
SHAPES = ((3, 2), (2,), (4,))
HESSIAN = np.diag(np.linspace(0.03, 0.2, 12)) + 0.01
# Far from level, where a rounding of the gradient would be as large as it, and bent, so that it changes all the way.
SLOPE = np.array([3.0, -2.0, 1.5, 2.5, -3.5, 2.0, -1.5, 4.0, -2.5, 1.7, -1.9, 3.2])


@pytest.fixture(autouse=True)
def counts_in_double():
    """Torch keeps its count of steps and NAdam's products in the default dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def start():
    x = np.split(2.0 * SLOPE, np.cumsum([np.prod(shape) for shape in SHAPES])[:-1])
    return [torch.nn.Parameter(torch.tensor(part.reshape(shape))) for part, shape in zip(x, SHAPES, strict=True)]


def bowl(parameters):
    """A slope with bumps, on which the parameters pull at each other."""
    x = torch.cat([p.ravel() for p in parameters])
    return 0.5 * x @ torch.from_numpy(HESSIAN) @ x + torch.cos(x).sum() + torch.from_numpy(SLOPE) @ x


def bowl_in_jax(parameters):
    x = jnp.concatenate([jnp.ravel(p) for p in parameters])
    return 0.5 * x @ HESSIAN @ x + jnp.sum(jnp.cos(x)) + SLOPE @ x


def train(optimizer, parameters, steps=STEPS, scheduler=None):
    path = []
    for _ in range(steps):
        optimizer.zero_grad()
        bowl(parameters).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 12.0)
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        path.append(flat(parameters))
    return np.array(path)


def agree(found, expected, tolerance=1e-12):
    np.testing.assert_allclose(found, expected, rtol=0, atol=tolerance)


def outside(a, c, e):
    """The RMSprop of torch."""
    flow = tw.AdamFlow(None, first=None, second=-a / np.log(c), epsilon=e, corrected=False)
    return tw.Method(flow, tw.LieTrotter(), a)


# Ours and torch's of learning rate, both betas, epsilon and decay; options are groups' and ways'.
PEERS = {
    "Adam": (
        lambda p, a, b, c, e, w, **o: Optimizer(p, tw.adam(None, a, b, c, e), weight_decay=w, **o),
        lambda p, a, b, c, e, w: torch.optim.Adam(p, a, (b, c), e, weight_decay=w),
    ),
    "AdamW": (
        lambda p, a, b, c, e, w, **o: Optimizer(p, tw.adamw(None, a, b, c, e, w), **o),
        lambda p, a, b, c, e, w: torch.optim.AdamW(p, a, (b, c), e, weight_decay=w),
    ),
    "NAdam": (
        lambda p, a, b, c, e, w, **o: Optimizer(p, tw.nadam(None, a, b, c, e, 0.02), weight_decay=w, **o),
        lambda p, a, b, c, e, w: torch.optim.NAdam(p, a, (b, c), e, weight_decay=w, momentum_decay=0.02),
    ),
    "RMSprop": (
        lambda p, a, b, c, e, w, **o: Optimizer(p, outside(a, c, e), weight_decay=w, **o),
        lambda p, a, b, c, e, w: torch.optim.RMSprop(p, a, c, e, weight_decay=w),
    ),
}
SCHEDULES = (
    lambda o: None,
    lambda o: rates.StepLR(o, 10, 0.3),
    lambda o: rates.LambdaLR(o, lambda k: min(k, 10) / 10),
    lambda o: rates.CosineAnnealingWarmRestarts(o, 7),
)


def of(name, which, parameters, setting=(0.05, 0.9, 0.99, 1e-8, 0.01), **more):
    return PEERS[name][which](parameters, *setting, **(more if which == 0 else {}))


@pytest.mark.parametrize("name", PEERS)
@pytest.mark.parametrize("count", [3, pytest.param(SETTINGS, marks=pytest.mark.slow)])
def test_the_way_of_torch(name, count):
    """Random settings with schedules, clipping, groups of their own numbers; resumed and retuned in mid run."""
    rng = np.random.default_rng(3)
    for case in range(count):
        setting = (
            float(10.0 ** rng.uniform(-3, -1)), float(rng.choice([0.5, 0.9, 0.95])),
            float(rng.choice([0.5, 0.9, 0.99, 0.999])), float(10.0 ** rng.uniform(-16, -1)),
            float(rng.choice([0.0, 0.01, 0.3])),
        )  # fmt: skip
        ways = ({}, {"foreach": True}, {"foreach": False}, {"fused": True})[(case + case // 4) % 4]
        own = {"lr": 0.5 * setting[0], "eps": 1e-3, "weight_decay": 0.1}
        own |= {"alpha": 0.8} if name == "RMSprop" else {"betas": (0.7, 0.95)}
        paths = []
        for which in (0, 1):
            parameters = start()
            groups = [{"params": parameters[:2]}, {"params": parameters[2:], **own}] if case % 3 else parameters
            optimizer = of(name, which, groups, setting, **ways)
            scheduler = SCHEDULES[case % 4](optimizer)
            path = [train(optimizer, parameters, STEPS, scheduler)]
            if name.startswith("Adam") and optimizer.param_groups[0]["lr"] > 0:
                retune(optimizer, learning_rate=0.4 * setting[0])
            if which == 0:
                again = copied(parameters)
                groups = [{"params": again[:2]}, {"params": again[2:]}] if case % 3 else again
                other = of(name, 0, groups, setting, **ways)
                other.load_state_dict(saved(optimizer.state_dict()))
                optimizer, parameters = other, again
            path.append(train(optimizer, parameters, STEPS))
            paths.append(np.concatenate(path))
        agree(*paths)


FLOW = tw.AdamFlow(bowl_in_jax)
BY_OURSELVES = {
    "nadam": tw.nadam(bowl_in_jax, 0.05),
    "rmsprop": tw.rmsprop(bowl_in_jax, 0.05),
    "lion": tw.lion(bowl_in_jax, 0.05, weight_decay=0.1),
    "sign_descent": tw.sign_descent(bowl_in_jax, 0.05),
    "adam, a schedule": tw.adam(bowl_in_jax, lambda k: 0.1 / (1.0 + k)),
    "adamw, a schedule of the step": tw.adamw(bowl_in_jax, 0.1, weight_decay=0.2).with_step_size(
        lambda k: 0.1 / (1.0 + k)
    ),
    "a schedule with a rest": tw.adam(bowl_in_jax, 0.1).with_step_size(
        lambda k: jnp.where(k % 4 == 3, 0.0, 0.1 / (1.0 + k))
    ),
    "a rate in time": tw.Method(tw.AdamFlow(bowl_in_jax, rate=lambda t: 1.0 / (1.0 + t)), tw.LieTrotter(), 0.1),
    "a grid of times": tw.Method(FLOW, tw.LieTrotter(), times=jnp.linspace(0.0, 3.0, 41) ** 1.3),
    "a share": tw.Method(tw.AdamFlow(bowl_in_jax, share=0.3), tw.LieTrotter(), 0.1),
    "coupled": tw.Method(tw.AdamFlow(bowl_in_jax, decay=0.3, coupled=True), tw.LieTrotter(), 0.1),
    "uncorrected, nesterov": tw.Method(tw.AdamFlow(bowl_in_jax, corrected=False), tw.LieTrotter(nesterov=True), 0.1),
    "no squares": tw.Method(tw.AdamFlow(bowl_in_jax, second=None, epsilon=0.1), tw.LieTrotter(), 0.1),
    "frozen": tw.Method(tw.AdamFlow(bowl_in_jax, second=None, form="frozen"), tw.LieTrotter(), 0.1),
}  # fmt: skip
# Every other is a program of some seconds; they are the same loop.
QUICK = ("lion", "adamw, a schedule of the step")


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BY_OURSELVES]
)
def test_the_way_of_our_own_loop(name):
    """Also stopped in the midst of it."""
    method = BY_OURSELVES[name]
    run = tw.run(method, [jnp.asarray(p.detach().numpy()) for p in start()], 20, record=None)
    parameters = start()
    optimizer = Optimizer(parameters, method)
    step_by_step(optimizer, parameters, 9)
    others = copied(parameters)
    other = Optimizer(others, method)
    other.load_state_dict(saved(optimizer.state_dict()))
    step_by_step(other, others, 11)
    agree(flat(others), np.concatenate([np.ravel(x) for x in run.final.position]))


def step_by_step(optimizer, parameters, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        bowl(parameters).backward()
        optimizer.step()


@pytest.mark.parametrize("name", PEERS)
def test_a_state_goes_to_torch_and_comes_back(name):
    parameters = start()
    ours = of(name, 0, parameters)
    train(ours, parameters, 5)
    names = {"RMSprop": {"step", "square_avg"}}.get(name, {"step", "exp_avg", "exp_avg_sq"})
    assert set(ours.state[parameters[0]]) - {"mu_product"} == names
    others = copied(parameters)
    theirs = of(name, 1, others, (1.0, 0.5, 0.5, 1.0, 0.0))
    theirs.load_state_dict(saved(ours.state_dict()))
    agree(train(theirs, others, 5), train(ours, parameters, 5), 1e-13)
    back = copied(others)
    again = of(name, 0, back, (1.0, 0.5, 0.5, 1.0, 0.0))
    again.load_state_dict(saved(theirs.state_dict()))
    assert {k: v for k, v in again.param_groups[0].items() if k in ("lr", "betas", "eps", "alpha", "weight_decay")} == {
        k: v for k, v in ours.param_groups[0].items() if k in ("lr", "betas", "eps", "alpha", "weight_decay")
    }
    agree(train(again, back, 5), train(theirs, others, 5), 1e-13)


LION, NADAM, SIGN = tw.lion(None, 0.1), tw.nadam(None, 0.1), tw.sign_descent(None, 0.1)
ADAM, ADAMW, RMSPROP = tw.adam(None, 0.1), tw.adamw(None, 0.1), tw.rmsprop(None, 0.1)
STRANGERS = {
    "SGD into Adam": (ADAM, lambda p: torch.optim.SGD(p, 0.1, 0.9), "its groups have no 'betas'"),
    "Adam into Lion": (LION, torch.optim.Adam, "its groups have 'amsgrad'"),
    "ours into Lion": (LION, lambda p: Optimizer(p, ADAM), "its groups have 'amsgrad'"),
    "amsgrad": (ADAM, lambda p: torch.optim.Adam(p, amsgrad=True), "an optimizer with amsgrad=True, which no method"),
    "maximize": (ADAM, lambda p: torch.optim.Adam(p, maximize=True), "an optimizer with maximize=True"),
    "RAdam into Adam": (ADAM, torch.optim.RAdam, "its groups have no 'amsgrad'"),
    "Adamax into Adam": (ADAM, torch.optim.Adamax, "its groups have no 'amsgrad'"),
    "NAdam into Adam": (ADAM, torch.optim.NAdam, "its groups have no 'amsgrad'"),
    "Adam into the NAdam of optax": (NADAM, torch.optim.Adam, "its groups have 'amsgrad'"),
    "that into Adam": (ADAM, lambda p: Optimizer(p, NADAM), "its groups have no 'amsgrad'"),
    "RMSprop inside into outside": (outside(0.1, 0.9, 1e-8), lambda p: Optimizer(p, RMSPROP), "have no 'centered'"),
    "RMSprop outside into inside": (RMSPROP, torch.optim.RMSprop, "its groups have 'momentum'"),
    "centered": (outside(0.1, 0.9, 1e-8), lambda p: torch.optim.RMSprop(p, centered=True), "with centered=True"),
    "descent into signs": (SIGN, lambda p: Optimizer(p, tw.gradient_descent(None, 0.1)), "its groups have 'momentum'"),
    "signs into descent": (tw.gradient_descent(None, 0.1), lambda p: Optimizer(p, SIGN), "'sign' of Adam's family"),
    "Adam into momentum": (tw.momentum(None, 0.1), torch.optim.Adam, "its groups have no 'momentum'"),
    "AdamW into Adam": (ADAM, torch.optim.AdamW, "the weight decay of the state is decoupled, which that of this"),
    "Adam with decay into AdamW": (ADAMW, lambda p: torch.optim.Adam(p, weight_decay=0.1), "is a part of the gradient"),
    "betas out of range": (ADAM, lambda p: spoilt(p, "betas", (0.9, 1.5)), "beta2 must be less than 1, but is 1.5"),
}  # fmt: skip


def spoilt(parameters, name, value):
    optimizer = torch.optim.Adam(parameters)
    optimizer.param_groups[0][name] = value
    optimizer.step = lambda: None
    return optimizer


@pytest.mark.parametrize("case", STRANGERS)
def test_the_state_of_another_is_refused_and_changes_nothing(case, monkeypatch):
    method, make, says = STRANGERS[case]
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    for steps in (0, 2):
        strangers, parameters = start(), start()
        stranger, ours = make(strangers), Optimizer(parameters, method)
        train(stranger, strangers, steps)
        train(ours, parameters, 2)
        before = copy.deepcopy(ours.state_dict())
        with pytest.raises(tw.InputError, match=r"the state is|the weight decay|must be") as caught:
            ours.load_state_dict(stranger.state_dict())
        assert says in str(caught.value) and "\n" not in str(caught.value)
        after = ours.state_dict()
        assert after["param_groups"] == before["param_groups"]
        for i, entry in before["state"].items():
            assert all(torch.equal(torch.as_tensor(v), torch.as_tensor(after["state"][i][k])) for k, v in entry.items())


def test_buffers_of_other_shapes_are_refused():
    others = [torch.nn.Parameter(torch.ones(5)) for _ in SHAPES]
    other = torch.optim.Adam(others)
    for x in others:
        x.grad = torch.ones_like(x)
    other.step()
    with pytest.raises(tw.InputError, match=r"exp_avg has shape \(5,\) where the parameter has \(3, 2\)"):
        Optimizer(start(), ADAM).load_state_dict(other.state_dict())


WRONG = {
    "a beta of 1": ({"betas": (0.9, 1.0)}, "beta2 must be less than 1, but is 1"),
    "a beta below 0": ({"beta1": -0.5}, "beta1 must be at least 0, but is -0.5"),
    "no betas": ({"betas": ()}, "betas must be two numbers"),
    "one beta": ({"betas": 0.9}, "betas must be two numbers, such as (0.9, 0.999), but is 0.9"),
    "a beta twice": ({"betas": (0.9, 0.9), "beta1": 0.9}, "betas and beta1, which say the same"),
    "a rate below 0": ({"lr": -1.0}, "learning_rate must be greater than 0, but is -1"),
    "a rate that is none": ({"lr": float("nan")}, "learning_rate must be finite, but is nan"),
    "a rate that is text": ({"lr": "fast"}, "learning_rate must be a real number, but is 'fast'"),
    "learning_rate": ({"learning_rate": 0.1}, "the learning_rate of a group is called 'lr'"),
    "epsilon below 0": ({"eps": -1e-8}, "epsilon must be at least 0"),
    "epsilon, a list": ({"epsilon": [1e-8]}, "epsilon must be"),
    "decay below 0": ({"weight_decay": -0.1}, "weight_decay must be at least 0, but is -0.1"),
    "amsgrad": ({"amsgrad": True}, "amsgrad is no option of a group"),
    "mistyped": ({"beta": (0.9, 0.9)}, "did you mean 'betas'?"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_numbers_of_a_group_are_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    numbers, says = WRONG[case]
    with pytest.raises(tw.InputError) as caught:
        Optimizer([{"params": start(), **numbers}], ADAM)
    assert says in str(caught.value) and "\n" not in str(caught.value)
    parameters = start()
    optimizer = Optimizer([{"params": parameters[:1]}, {"params": parameters[1:]}], ADAM)
    if not set(numbers) <= set(optimizer.param_groups[1]):
        return
    # Put there later, it is seen before anything moves.
    optimizer.param_groups[1].update(numbers)
    bowl(parameters).backward()
    with pytest.raises(tw.InputError):
        optimizer.step()
    agree(flat(parameters), flat(start()), 0)


def test_a_decay_of_the_methods_own_is_not_given_twice():
    with pytest.raises(tw.InputError, match="the method has a weight_decay of its own; give it there"):
        Optimizer(start(), ADAMW, weight_decay=0.1)
    with pytest.raises(tw.InputError, match=r"lr was set to 0\.3, but the method's learning rate is a schedule"):
        Optimizer([{"params": start(), "lr": 0.3}], BY_OURSELVES["adam, a schedule"])


def test_parameters_that_come_late_or_seldom_begin_as_torchs():
    paths = []
    for which in (0, 1):
        parameters = start()
        optimizer = of("AdamW", which, parameters)
        parameters[1].requires_grad_(False)
        train(optimizer, parameters, 4)
        parameters[1].requires_grad_(True)
        paths.append(train(optimizer, parameters, 4))
        assert float(optimizer.state[parameters[1]]["step"]) == 4.0
    agree(*paths)


def test_in_half_a_precision_averages_stay_wide():
    """The parameters keep their dtype; beside others of another, saved and resumed bit for bit."""
    exact = start()
    path = train(Optimizer(exact, ADAMW), exact, 12)
    parameters = start()
    parameters[0] = torch.nn.Parameter(parameters[0].detach().bfloat16())
    optimizer = Optimizer(parameters, ADAMW)

    def step(optimizer, parameters, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            bowl([p.double() for p in parameters]).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 12.0)
            optimizer.step()

    step(optimizer, parameters, 6)
    assert [p.dtype for p in parameters] == [torch.bfloat16, torch.float64, torch.float64]
    kept = [optimizer.state[p]["exp_avg_sq"].dtype for p in parameters]
    assert kept == [torch.float32, torch.float64, torch.float64]
    others = copied(parameters)
    other = Optimizer(others, ADAMW)
    other.load_state_dict(saved(optimizer.state_dict()))
    step(optimizer, parameters, 6)
    step(other, others, 6)
    assert (flat(others) == flat(parameters)).all()
    assert np.abs(flat(parameters) - path[-1]).max() < 12 * 8 * torch.finfo(torch.bfloat16).eps


def test_sparse_gradients_are_those_of_dense_ones_and_all_are_left_as_they_are():
    ends = []
    for sparse in (False, True):
        table = torch.nn.Embedding(5, 2, sparse=sparse)
        with torch.no_grad():
            table.weight.copy_(torch.arange(10.0).reshape(5, 2))
        optimizer = Optimizer(table.parameters(), ADAM, weight_decay=0.1)
        for k in range(5):
            optimizer.zero_grad()
            (table(torch.tensor([k % 3, 1, 1])) ** 2).sum().backward()
            given = table.weight.grad.clone()
            optimizer.step()
            assert torch.equal(table.weight.grad.to_dense(), given.to_dense())
        ends.append(table.weight.detach().numpy().copy())
    agree(*ends, 1e-14)


@pytest.mark.parametrize("shape", [(330, 330), (3,)], ids=["large", "complex"])
def test_large_and_complex_tensors_go_the_way_of_torch(shape):
    """Cut in pieces, in the one kernel of torch, and as pairs of reals; the gradients stay."""
    dtype = torch.complex128 if shape == (3,) else torch.float64
    x0 = [torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(i)) for i in range(5)]
    ends = []
    for ways in ({}, {"fused": False}, {"foreach": True}, None):
        parameters = [torch.nn.Parameter(x.clone()) for x in x0]
        if ways is None:
            optimizer = torch.optim.Adam(parameters, 0.1, weight_decay=0.1)
        else:
            optimizer = Optimizer(parameters, ADAM, weight_decay=0.1, **ways)
        for k in range(3):
            for x, x_0 in zip(parameters, x0, strict=True):
                x.grad = x_0 * (1.0 + k) + 0.1
            optimizer.step()
            assert torch.equal(parameters[0].grad, x0[0] * (1.0 + k) + 0.1)
        ends.append(torch.cat([torch.view_as_real(x.detach().to(torch.complex128)).ravel() for x in parameters]))
    for end in ends[:-1]:
        torch.testing.assert_close(end, ends[-1], rtol=0, atol=1e-14)


def test_a_scheduler_that_cycles_beta1():
    paths = []
    for which in (0, 1):
        parameters = start()
        optimizer = of("Adam", which, parameters)
        scheduler = rates.OneCycleLR(optimizer, 0.1, STEPS + 1)
        paths.append(train(optimizer, parameters, STEPS, scheduler))
        assert optimizer.param_groups[0]["betas"][0] != 0.9
    agree(*paths)


def test_a_copy_goes_on_by_itself_and_pickled():
    parameters = start()
    optimizer = Optimizer(parameters, tw.nadam(None, 0.05, momentum_decay=0.004))
    train(optimizer, parameters, 5)
    twin, twins = copy.deepcopy((optimizer, parameters))
    file = io.BytesIO()
    torch.save((optimizer, parameters), file)
    file.seek(0)
    other, others = torch.load(file, weights_only=False)
    expected = train(optimizer, parameters, 5)
    agree(train(twin, twins, 5), expected, 0)
    agree(train(other, others, 5), expected, 0)


def test_what_is_not_adam_is_not_read_as_such():
    ours = Optimizer(start(), tw.adamw(None, 0.05, 0.8, 0.9, 1e-6, 0.2))
    expected = tw.AdamHyperparameters(0.05, 0.8, 0.9, 1e-6, weight_decay=0.2)
    assert tw.Hyperparameters.from_torch(ours) == tw.AdamHyperparameters.from_torch(ours) == expected
    assert retune(ours, learning_rate=0.01) == expected.retune(0.01)
    for method in (LION, NADAM, SIGN):
        with pytest.raises(tw.InputError, match="not from AdamFlow by LieTrotter"):
            retune(Optimizer(start(), method), learning_rate=0.01)
