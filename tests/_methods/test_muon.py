"""Muon beside the frameworks that have it, in loops and sweeps, and the products that a step costs."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from optax.contrib import MuonDimensionNumbers
from optax.contrib import muon as muon_of_optax

import thalweg as tw

SHAPES = {"tall": (7, 3), "wide": (4, 9), "square": (5, 5), "vector": (6,), "kernel": (2, 3, 4)}
STEPS = 6
# Nesterov or not, decay or not, and numbers at random.
SETTINGS = list(itertools.product([True, False], [0.0, 0.1], ["original", "match_rms_adamw"]))
# The last is without Nesterov's form, with a decay and with the other factor.
NUMBERS = [
    pytest.param(number, marks=[] if number == len(SETTINGS) - 1 else pytest.mark.slow)
    for number in range(len(SETTINGS))
]


def drawn(rng, names=tuple(SHAPES)):
    return {name: rng.normal(size=SHAPES[name]).astype(np.float32) for name in names}


class Bent:
    """A function of all leaves together, level nowhere near the start."""

    def __init__(self, aim):
        self.aim = aim

    def __call__(self, p):
        own = sum(jnp.sum(jnp.cosh(p[name] - self.aim[name])) for name in p)
        return own + 0.01 * sum(jnp.sum(leaf) for leaf in p.values()) ** 2


def path_of_optax(optimizer, f, p):
    state, update = optimizer.init(p), jax.jit(optimizer.update)
    for _ in range(STEPS):
        updates, state = update(jax.grad(f)(p), state, p)
        p = optax.apply_updates(p, updates)
        yield p


def path(method, p):
    state, step = method.init(p), jax.jit(lambda state: method.step(state))
    for _ in range(STEPS):
        state = step(state)
        yield state.position


def check_near(ours, theirs, tolerance):
    for name, one in theirs.items():
        one = np.asarray(one, float)
        gap = np.linalg.norm(np.asarray(ours[name], float) - one)
        assert gap <= tolerance * np.linalg.norm(one), (name, gap / np.linalg.norm(one))


@pytest.mark.parametrize("number", NUMBERS)
def test_the_path_is_that_of_optax(number, rng):
    nesterov, decay, scaling = SETTINGS[number]
    rate, beta = 10.0 ** rng.uniform(-2.5, -1.0), rng.choice([0.5, 0.9, 0.95])
    beta1, beta2 = rng.choice([0.5, 0.9]), rng.choice([0.9, 0.99])
    with jax.enable_x64(False):
        f = Bent(jax.tree.map(jnp.asarray, drawn(rng)))
        p = jax.tree.map(jnp.asarray, drawn(rng))
        theirs = muon_of_optax(
            rate, beta=beta, weight_decay=decay, nesterov=nesterov, adam_b1=beta1, adam_b2=beta2,
            consistent_rms=0.2 if scaling == "match_rms_adamw" else None,
        )  # fmt: skip
        ours = tw.muon(f, rate, beta, decay, nesterov, adam_beta1=beta1, adam_beta2=beta2, scaling=scaling)
        for mine, own in zip(path(ours, p), path_of_optax(theirs, f, p), strict=True):
            check_near(mine, own, 1e-6)
        assert mine["tall"].dtype == jnp.float32
        # By run, which makes one vector of the parameters and cuts it for the law.
        if number == 0:
            check_near(tw.run(ours, p, STEPS, record=None).final.position, own, 1e-6)


@pytest.mark.slow
def test_stacks_of_matrices_other_numbers_of_adam_and_a_schedule_are_those_of_optax(rng):
    stack = MuonDimensionNumbers(-2, -1)
    numbers = {name: stack if len(shape) > 1 else None for name, shape in SHAPES.items()}
    schedule = optax.warmup_cosine_decay_schedule(0.01, 0.05, 3, STEPS)
    coefficients = tuple((a, b, c) for a, b, c in ((4.0, -6.5, 2.9), (3.4445, -4.775, 2.0315), (1.875, -1.25, 0.375)))
    f, p = Bent(drawn(rng)), jax.tree.map(jnp.asarray, drawn(rng))
    theirs = muon_of_optax(
        schedule, coefficients, 3, adam_learning_rate=0.02, adam_weight_decay=0.3, muon_weight_dimension_numbers=numbers
    )
    ours = tw.muon(
        f,
        schedule,
        adam_learning_rate=0.02,
        adam_weight_decay=0.3,
        stacked=True,
        iterations=3,
        coefficients=coefficients,
    )
    for mine, own in zip(path(ours, p), path_of_optax(theirs, f, p), strict=True):
        check_near(mine, own, 1e-6)
    assert ours.hyperparameters["learning_rate"] is schedule
    assert ours.hyperparameters["adam_learning_rate"] == pytest.approx(0.02)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_path_is_that_of_torch(number, rng):
    """Its matrices lie (out, in), its average is not corrected, and it iterates in bfloat16.

    Every rounding of the iteration is the same, so that paths differ by those of float32 alone, unless one of them
    takes a number of bfloat16 (1 part in 256) to its neighbour, which the iteration may make 485 times as much of.
    """
    torch = pytest.importorskip("torch")
    nesterov, decay, scaling = SETTINGS[number]
    rate, beta = 10.0 ** rng.uniform(-2.5, -1.0), float(rng.choice([0.5, 0.9, 0.95]))
    names = ("tall", "wide", "square")
    aim, start = drawn(rng, names), drawn(rng, names)
    tensors = {name: torch.tensor(x, requires_grad=True) for name, x in start.items()}
    optimizer = torch.optim.Muon(list(tensors.values()), rate, decay, beta, nesterov, adjust_lr_fn=scaling)
    with jax.enable_x64(False):
        f, p = Bent(jax.tree.map(jnp.asarray, aim)), jax.tree.map(jnp.asarray, start)
        options = {"layout": "out_in", "scaling": scaling, "corrected": False, "epsilon": 1e-7}
        rounded, other = (
            tw.muon(f, rate, beta, decay, nesterov, iteration_dtype=dtype, **options) for dtype in ("bfloat16", None)
        )
        gaps = []
        for mine, exact in zip(path(rounded, p), path(other, p), strict=True):
            optimizer.zero_grad()
            own = sum(torch.cosh(x - torch.tensor(aim[name])).sum() for name, x in tensors.items())
            (own + 0.01 * sum(x.sum() for x in tensors.values()) ** 2).backward()
            optimizer.step()
            theirs = {name: x.detach().numpy() for name, x in tensors.items()}
            gaps.append([[np.linalg.norm(at[name] - theirs[name]) / np.linalg.norm(theirs[name] - start[name])
                          for name in names] for at in (mine, exact)])  # fmt: skip
    mine, exact = np.moveaxis(np.array(gaps), 1, 0)
    # Of how far it has gone. In float32 the first step is already off by the roundings of bfloat16.
    assert np.median(mine) < 1e-4 and mine.max() < 2e-2
    assert exact[0].min() > 2e-3


def test_the_factor_of_a_shape_is_that_of_the_way_a_weight_lies():
    """Of 2 inputs and 8 outputs: each layout by the shape that its frameworks give the same weight."""
    slope = np.linalg.qr(np.random.default_rng(3).normal(size=(8, 2)))[0]
    alone = tw.AdamFlow(None, first=None, second=None, form="sign")

    def length(weight, layout, scaling):
        options = {"layout": layout, "scaling": scaling, "iterations": None}
        law = tw.MuonFlow(lambda x: jnp.sum(weight * x), first=None, others=alone, **options)
        return float(np.linalg.norm(law.velocity(None, jnp.zeros(weight.shape)), 2))

    for layout, weight in (("out_in", slope), ("in_out", slope.T)):
        assert length(weight, layout, "original") == pytest.approx(2.0)
        assert length(weight, layout, "match_rms_adamw") == pytest.approx(0.2 * np.sqrt(8.0))
        assert length(weight, layout, "none") == pytest.approx(1.0)
    # A weight of the other way about is not lengthened.
    assert length(slope, "in_out", "original") == pytest.approx(1.0)


def products(jaxpr):
    """Matrix products in a program, those of its loops once."""
    found = 0
    for equation in jaxpr.eqns:
        found += equation.primitive.name == "dot_general"
        for value in jax.tree.leaves(tuple(equation.params.values()), is_leaf=lambda x: hasattr(x, "eqns")):
            inner = getattr(value, "jaxpr", value)
            found += products(inner) if hasattr(inner, "eqns") else 0
    return found


def test_a_step_has_three_products_for_each_iteration():
    p = {"one": jnp.ones((4, 3)), "two": jnp.ones((3, 5)), "b": jnp.ones(4)}
    method = tw.muon(lambda p: sum(jnp.sum(jnp.cosh(x)) for x in p.values()), 0.1)

    def loop(p):
        return jax.lax.scan(lambda state, _: (method.step(state), None), method.init(p), length=50)[0].position

    assert products(jax.make_jaxpr(loop)(p).jaxpr) == 2 * 15
    # And as many when it is compiled: as dots, or as calls of a library.
    text = jax.jit(loop).lower(p).compile().as_text()
    dots = [line for line in text.splitlines() if " dot(" in line or "matmul" in line.split("metadata")[0]]
    assert 0 < len(dots) <= 2 * 15 * 1.1


@pytest.mark.slow
def test_a_sweep_and_a_comparison_go_by_its_numbers():
    aim = jnp.asarray(np.random.default_rng(5).normal(size=(4, 3)))
    f = tw.Objective(lambda x: 0.5 * jnp.sum((x - aim) ** 2), minimum=0.0)
    rates = [0.02, 0.05, 0.1]
    found = tw.sweep(lambda learning_rate: tw.muon(f, learning_rate), {"learning_rate": rates}, jnp.zeros((4, 3)), 12)
    alone = [tw.run(tw.muon(f, rate), jnp.zeros((4, 3)), 12).metrics["loss"][-1] for rate in rates]
    np.testing.assert_allclose(found.losses[:, 0, -1], alone, rtol=1e-10)
    both = tw.compare({"muon": tw.muon(f, 0.1), "gd": tw.gradient_descent(f, 0.1)}, jnp.zeros((4, 3)), max_steps=12)
    assert both["muon"].predicted_limit is None
    with pytest.raises(tw.InputError, match="no hyperparameter 'betas'"):
        tw.muon(f, 0.1).with_hyperparameters(betas=0.9)


def test_a_vector_goes_by_the_form_of_nesterov_of_adam():
    f, x0 = lambda x: jnp.sum(jnp.cosh(x - 0.3)), jnp.array([2.0, -1.0])
    one, other = (tw.run(make(f, 0.1), x0, 5, record=None).final.position for make in (tw.muon, tw.nadam))
    np.testing.assert_allclose(one, other, rtol=1e-14)
    assert "coefficients" not in repr(tw.muon(f, 0.1)) and "coefficients" in repr(
        tw.muon(f, 0.1, coefficients=(1.5, -0.5, 0))
    )


def test_other_learning_rates_follow_unless_they_are_given():
    one, other = tw.muon(None, 0.1), tw.muon(None, 0.1, adam_learning_rate=0.01)
    assert "adam_learning_rate" not in one.hyperparameters
    assert other.hyperparameters["adam_learning_rate"] == pytest.approx(0.01, rel=1e-12)
    assert other.with_learning_rate(0.2).hyperparameters["adam_learning_rate"] == pytest.approx(0.01, rel=1e-12)
    fixed = tw.muon(None, lambda step: 0.1).with_learning_rate(0.2)
    assert fixed.hyperparameters == pytest.approx(tw.muon(None, 0.2).hyperparameters, rel=1e-12)
