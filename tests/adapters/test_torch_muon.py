"""Muon as a torch optimizer: the way of torch's own, and of our own loop where torch has none."""

import copy

import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import torch

import thalweg as tw
from tests.tensors import copied, flat, saved
from thalweg.adapters.torch import Optimizer

torch_muon = getattr(torch.optim, "Muon", None)
needs_torchs = pytest.mark.skipif(torch_muon is None, reason="torch has Muon since 2.9")
rates = torch.optim.lr_scheduler
# Two of one shape, which are moved together, a tall and a wide one, and what is no matrix.
MATRICES = ((3, 4), (3, 4), (6, 2))
SHAPES = (*MATRICES, (4,), (2, 3, 2))
AIMS = [np.random.default_rng(i).normal(size=shape) for i, shape in enumerate(SHAPES)]
RATE, BFLOAT16 = 0.02, torch.finfo(torch.bfloat16).eps
TORCHS = {"layout": "out_in", "corrected": False, "iteration_dtype": "bfloat16"}


def start(shapes=SHAPES, dtype=torch.float64):
    aims = [np.random.default_rng(9 + i).normal(size=shape) for i, shape in enumerate(shapes)]
    return [torch.nn.Parameter(torch.tensor(x, dtype=dtype)) for x in aims]


def bumps(parameters):
    """A slope that pulls all parameters at each other."""
    total = sum(p.sum() for p in parameters)
    own = zip(parameters, AIMS, strict=False)
    return sum(torch.cosh(p - torch.tensor(a, dtype=p.dtype)).sum() for p, a in own) + torch.cos(total)


def bumps_in_jax(parameters):
    total = sum(jnp.sum(p) for p in parameters)
    return sum(jnp.sum(jnp.cosh(p - a.astype(p.dtype))) for p, a in zip(parameters, AIMS, strict=True)) + jnp.cos(total)


def train(optimizer, parameters, steps, scheduler=None):
    path = []
    for _ in range(steps):
        optimizer.zero_grad()
        bumps(parameters).backward()
        optimizer.step()
        if scheduler is not None:
            scheduler.step()
        path.append(flat(parameters))
    return np.array(path)


def muon(rate=RATE, beta=0.9, decay=0.1, nesterov=True, objective=None, **options):
    return tw.muon(objective, rate, beta, decay, nesterov, **options)


BY_OURSELVES = {
    "as optax": muon(objective=bumps_in_jax, adam_learning_rate=0.01, adam_weight_decay=0.2),
    "polar factors, stacked": muon(objective=bumps_in_jax, nesterov=False, iterations=None, stacked=True),
    "torch's, in float64": muon(objective=bumps_in_jax, layout="out_in", corrected=False, scaling="match_rms_adamw"),
    "a schedule": muon(lambda k: 0.1 / (1.0 + k), objective=bumps_in_jax, adam_learning_rate=0.03),
    "a schedule of the step": muon(objective=bumps_in_jax).with_step_size(lambda k: 0.1 / (1.0 + k)),
    "rows of coefficients": muon(
        objective=bumps_in_jax, scaling="none", iterations=2, coefficients=[[3.0, -3.2, 1.2], [1.5, -0.5, 0.0]]
    ),
    "without memory": muon(objective=bumps_in_jax, beta=0.0, nesterov=False),
    "other others": tw.Method(
        tw.MuonFlow(bumps_in_jax, first=None, others=tw.AdamFlow(None, second=None, form="sign")), tw.LieTrotter(), 0.02
    ),
}  # fmt: skip
# Every other is a program of some seconds; they are the same loop.
QUICK = ("as optax",)


@pytest.mark.parametrize(
    "name", [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in BY_OURSELVES]
)
def test_the_way_of_our_own_loop(name):
    """Also stopped in the midst of it, and in float32."""
    method = BY_OURSELVES[name]
    for dtype in (torch.float64,) if name in QUICK else (torch.float64, torch.float32):
        at = [jnp.asarray(p.detach().numpy()) for p in start(dtype=dtype)]
        run = tw.run(method, at, 20, record=None)
        parameters = start(dtype=dtype)
        optimizer = Optimizer(parameters, method)
        train(optimizer, parameters, 9)
        others = copied(parameters)
        other = Optimizer(others, method)
        other.load_state_dict(saved(optimizer.state_dict()))
        train(other, others, 11)
        # A rounding of what is small in its matrix grows 485 times in a step, and the steps are 20.
        bound = 20 * 485 * torch.finfo(dtype).eps
        np.testing.assert_allclose(flat(others), np.concatenate([np.ravel(x) for x in run.final.position]), 0, bound)


@needs_torchs
@pytest.mark.parametrize("number", [0, 1, pytest.param(range(40), marks=pytest.mark.slow)], ids=str)
def test_the_way_of_torch(number):
    """To what bfloat16 allows; one by one it is bit by bit, but for a tie that another processor breaks otherwise."""
    for case in [number] if isinstance(number, int) else number:
        rng = np.random.default_rng(case)
        rate, beta, decay = float(10.0 ** rng.uniform(-3, -1)), float(rng.choice([0.5, 0.9, 0.95])), 0.1 * (case % 3)
        nesterov, scaling = bool(case % 2), ("original", "match_rms_adamw")[case // 2 % 2]
        paths = []
        for which in ("torch", "one by one", "together"):
            parameters = start(MATRICES, torch.float32)
            groups = [{"params": parameters[:2]}, {"params": parameters[2:], "momentum": 0.8, "weight_decay": 0.3}]
            if which == "torch":
                optimizer = torch.optim.Muon(groups, rate, decay, beta, nesterov, adjust_lr_fn=scaling)
            else:
                method = muon(rate, beta, decay, nesterov, scaling=scaling, **TORCHS)
                optimizer = Optimizer(groups, method, foreach=None if which == "together" else False)
            scheduler = (rates.OneCycleLR(optimizer, rate, 21), rates.StepLR(optimizer, 5, 0.5))[case % 2]
            paths.append(train(optimizer, parameters, 20, scheduler))
        # Every step is within eight roundings of its own length.
        length = rate * max(1.0, *(0.2 * np.sqrt(6.0), np.sqrt(3.0)))
        for path in paths[1:]:
            np.testing.assert_allclose(path, paths[0], 0, 20 * length * 8 * BFLOAT16)


@needs_torchs
@pytest.mark.parametrize("nesterov", [True, False])
def test_a_state_goes_to_torch_and_comes_back(nesterov):
    parameters = start(MATRICES, torch.float32)
    ours = Optimizer(parameters, muon(nesterov=nesterov, **TORCHS), foreach=False)
    train(ours, parameters, 5)
    assert set(ours.state[parameters[0]]) == {"momentum_buffer"}
    others = copied(parameters)
    theirs = torch.optim.Muon(others, 1.0, 0.0, 0.5, nesterov)
    theirs.load_state_dict(saved(ours.state_dict()))
    bound = 5 * RATE * np.sqrt(3.0) * 8 * BFLOAT16
    np.testing.assert_allclose(train(theirs, others, 5), train(ours, parameters, 5), 0, bound)
    back = copied(others)
    again = Optimizer(back, muon(0.5, 0.5, 0.0, nesterov, **TORCHS), foreach=False)
    again.load_state_dict(saved(theirs.state_dict()))
    assert again.param_groups[0]["momentum"] == 0.9 and "ns_steps" not in again.param_groups[0]
    again.param_groups[0]["foreach"] = False
    np.testing.assert_allclose(train(again, back, 5), train(theirs, others, 5), 0, bound)


def test_groups_are_parted_and_have_their_numbers():
    parameters = start()
    groups = [
        {"params": [parameters[0], parameters[3]], "lr": 0.2, "weight_decay": 0.3, "beta": 0.7, "betas": (0.5, 0.6)},
        {"params": parameters[1:3], "eps": 1e-6},
        {"params": parameters[4:], "lr": 0.5, "weight_decay": 0.4},
        {"params": torch.nn.Parameter(torch.ones(3, dtype=torch.float64)), "adam_beta1": 0.1},
    ]
    optimizer = Optimizer(groups, muon(0.1, adam_learning_rate=0.01, adam_weight_decay=0.05))
    told = [
        (g["lr"], g["weight_decay"], g["betas"] if "betas" in g else g["momentum"], g["eps"])
        for g in optimizer.param_groups
    ]
    assert told == [
        (0.2, 0.3, 0.7, 1e-8), (pytest.approx(0.02), 0.05, (0.5, 0.6), 1e-8), (0.1, 0.1, 0.9, 1e-6),
        (0.5, 0.4, (0.9, 0.999), 1e-8), (0.01, 0.05, (0.1, 0.999), 1e-8),
    ]  # fmt: skip
    rates.LambdaLR(optimizer, lambda k: 0.5)
    assert [g["lr"] for g in optimizer.param_groups] == [x[0] * 0.5 for x in told]
    # What has no gradient stays, and keeps nothing.
    parameters[0].grad, parameters[3].grad = torch.ones_like(parameters[0]), torch.ones_like(parameters[3])
    optimizer.step()
    moved = [(x - y).abs().max() > 0 for x, y in zip(parameters, start(), strict=True)]
    assert moved == [True, False, False, True, False]
    assert [set(optimizer.state[x]) for x in parameters] == [
        {"step", "momentum_buffer"}, set(), set(), {"step", "exp_avg", "exp_avg_sq"}, set()
    ]  # fmt: skip


def test_a_matrix_of_no_gradient_or_none_of_a_number():
    """A gradient of 0 moves by the decay alone, one without a number is not hidden, one without rows is no error."""
    for method in (muon(0.5, nesterov=False), muon(0.5, nesterov=False, iterations=None), muon(0.5, epsilon=0.0)):
        still, odd, empty = (torch.nn.Parameter(torch.ones(shape)) for shape in ((2, 2), (2, 2), (0, 3)))
        still.grad, odd.grad, empty.grad = torch.zeros(2, 2), torch.full((2, 2), torch.nan), torch.zeros(0, 3)
        Optimizer([still, odd, empty], method).step()
        torch.testing.assert_close(still.detach(), torch.full((2, 2), 0.95))
        assert torch.isnan(odd).all()


def test_in_half_a_precision_the_average_stays_wide():
    parameters = [torch.nn.Parameter(x.detach().bfloat16()) for x in start()]
    optimizer = Optimizer(parameters, muon())
    exact = start()
    for x in exact:
        x.data.copy_(x.bfloat16())
    path, exacts = train(optimizer, parameters, 6), train(Optimizer(exact, muon()), exact, 6)
    assert {x.dtype for x in parameters} == {torch.bfloat16}
    assert optimizer.state[parameters[0]]["momentum_buffer"].dtype == torch.float32
    others = copied(parameters)
    other = Optimizer(others, muon())
    other.load_state_dict(saved(optimizer.state_dict()))
    assert (train(other, others, 3) == train(optimizer, parameters, 3)).all()
    assert np.abs(path - exacts).max() < 6 * 8 * torch.finfo(torch.bfloat16).eps


def test_a_copy_goes_on_by_itself():
    parameters = start()
    optimizer = Optimizer(parameters, muon())
    train(optimizer, parameters, 3)
    twin, twins = copy.deepcopy((optimizer, parameters))
    assert (train(twin, twins, 3) == train(optimizer, parameters, 3)).all()


FLOAT32 = {**TORCHS, "iteration_dtype": None}
STRANGERS = {
    "Adam": (TORCHS, torch.optim.Adam, "its groups have no 'momentum'"),
    "SGD": (TORCHS, lambda p: torch.optim.SGD(p, 0.1, 0.9), "its groups have no 'eps'"),
    "Lion": (TORCHS, lambda p: Optimizer(p, tw.lion(None, 0.1)), "its groups have no 'eps'"),
    "other iterations": (TORCHS, lambda p: torch_muon(p, ns_steps=3), "with ns_steps=3, and the method with 5"),
    "other coefficients": (
        TORCHS, lambda p: torch_muon(p, ns_coefficients=(2, -1.5, 0.5)), "with ns_coefficients=(2, -1.5, 0.5), and"
    ),
    "another scaling": (TORCHS | {"scaling": "match_rms_adamw"}, lambda p: torch_muon(p), "adjust_lr_fn=original, and"),
    "another form": (TORCHS, lambda p: torch_muon(p, nesterov=False), "with nesterov=False, and the method with True"),
    "torch's into float32": (FLOAT32, lambda p: torch_muon(p), "its groups have 'nesterov'"),
    "float32 into torch's": (TORCHS, lambda p: Optimizer(p, muon(**FLOAT32)), "its groups have no 'ns_steps'"),
    "another layout": (
        FLOAT32, lambda p: Optimizer(p, muon(corrected=False)), "2.0315, in_out, original, nesterov', but this"
    ),
    "a momentum of 1": (TORCHS, lambda p: torch_muon(p, momentum=1.0), "beta must be less than 1, but is 1"),
}  # fmt: skip


@needs_torchs
@pytest.mark.parametrize("case", STRANGERS)
def test_the_state_of_another_is_refused_and_changes_nothing(case, monkeypatch):
    options, make, says = STRANGERS[case]
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    strangers, parameters = start(MATRICES), start(MATRICES)
    stranger, ours = make(strangers), Optimizer(parameters, muon(**options))
    train(stranger, strangers, 1)
    train(ours, parameters, 1)
    before = copy.deepcopy(ours.state_dict())
    with pytest.raises(tw.InputError, match=r"the state is|must be") as caught:
        ours.load_state_dict(stranger.state_dict())
    assert says in str(caught.value) and "\n" not in str(caught.value)
    after = ours.state_dict()
    assert after["param_groups"] == before["param_groups"]
    for i, entry in before["state"].items():
        assert all(torch.equal(torch.as_tensor(v), torch.as_tensor(after["state"][i][k])) for k, v in entry.items())


MATRIX, VECTOR = torch.ones(2, 2), torch.ones(2)
WRONG = {
    "a momentum of 1": ({"momentum": 1.0}, [MATRIX], "beta must be less than 1, but is 1"),
    "a momentum of 0": ({"momentum": 0.0}, [MATRIX], "looks ahead of an average"),
    "a rate below 0": ({"lr": -1.0}, [MATRIX, VECTOR], "learning_rate must be greater than 0, but is -1"),
    "a rate that is text": ({"lr": "fast"}, [MATRIX, VECTOR], "learning_rate must be a real number, but is 'fast'"),
    "decay below 0": ({"weight_decay": -0.1}, [MATRIX], "weight_decay must be at least 0, but is -0.1"),
    "epsilon below 0": ({"eps": -1.0}, [MATRIX], "epsilon must be at least 0"),
    "a beta of Adam": ({"betas": (0.9, 1.0)}, [MATRIX, VECTOR], "beta2 must be less than 1, but is 1"),
    "betas of matrices": ({"betas": (0.9, 0.9)}, [MATRIX], "betas is of what is no matrix"),
    "momentum of a bias": ({"momentum": 0.9}, [VECTOR], "momentum is of matrices, of which the group has none"),
    "twice": ({"momentum": 0.9, "beta": 0.9}, [MATRIX], "momentum and beta, which say the same"),
    "iterations": ({"ns_steps": 3}, [MATRIX], "ns_steps is no option of a group: the method says it"),
    "learning_rate": ({"learning_rate": 0.1}, [MATRIX], "the learning_rate of a group is called 'lr'"),
    "complex": ({}, [MATRIX * 1j], "matrices of real numbers, but one is of torch.complex64"),
    "mistyped": ({"beta_s": (0.9, 0.9)}, [VECTOR], "did you mean 'betas'?"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_numbers_of_a_group_are_one_line(case):
    numbers, tensors, says = WRONG[case]
    optimizer = Optimizer(start(), muon())
    with pytest.raises(tw.InputError) as caught:
        optimizer.add_param_group({"params": [torch.nn.Parameter(x.clone()) for x in tensors], **numbers})
    assert says in str(caught.value) and "\n" not in str(caught.value)
    assert len(optimizer.param_groups) == 2
    with pytest.raises(tw.InputError, match="the method has a weight_decay of its own"):
        Optimizer(start(), muon(), weight_decay=0.1)
