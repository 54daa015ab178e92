"""Samplers that are wrong say so, with the cause and the cure; those that are right say nothing."""

import json
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg._loops.interrupt import Interrupt

TRAP = "a branch of jnp.where that is not taken still gives its gradient"


def bath(f, friction=1.0, temperature=1.0):
    return tw.UnderdampedLangevin(f, friction, temperature)


def baoab(f, step, **constants):
    return tw.Method(bath(f, **constants), tw.Splitting("BAOAB"), step)


def told(*arguments, **options):
    """The tree, and its warnings, which are those of Python."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tree = tw.sample(*arguments, progress=False, **options)
    assert all(one.category is tw.SamplingWarning for one in caught), [str(one.message) for one in caught]
    texts = [str(one.message) for one in caught]
    assert texts == json.loads(tree.attrs["warnings"])
    return tree, texts


def half_normal(x):
    return jnp.where(x[0] > 0.0, 0.5 * x[0] ** 2, jnp.inf)


@pytest.mark.parametrize(
    "options",
    [{}, {"keep": "moments"}, *(pytest.param(few, marks=pytest.mark.slow)
                                for few in ({"energies": False}, {"draws": 80, "thin": 10}))],
    ids=str,
)  # fmt: skip
def test_a_potential_that_is_not_finite(options):
    tree, texts = told(baoab(half_normal, 0.8), jnp.ones(1), **options)
    (text,) = (text for text in texts if "the potential is not finite at" in text)
    assert "of all chains" in text and "take a method that rejects such steps" in text
    assert tree.attrs["nonfinite_potentials"] > 50
    if not options:
        x = tree["posterior"]["x"].values
        assert f"not finite at {(x <= 0.0).sum()} of 4000 draws" in text
    # What rejects is right, and says nothing.
    if not options:
        tree, texts = told(tw.mala(half_normal, 0.5), jnp.ones(1), draws=4000)
        assert texts == [] and tree.attrs["nonfinite_potentials"] == 0
        error = tree["diagnostics"]["x"].sel(statistic="mcse_mean").item()
        assert abs(tree["posterior"]["x"].mean().item() - np.sqrt(2.0 / np.pi)) < 5 * error


def gamma(x):
    return jnp.sum(x - jnp.log(x))


def test_every_start_is_checked(monkeypatch):
    signs = iter([1.0, -1.0, 1.0, -1.0, 1.0])
    with pytest.raises(
        tw.InputError, match="the objective is nan at the start of chain 1 of 5, as at that of 3; begin"
    ):
        tw.sample(tw.mala(gamma, 0.3), lambda key: next(signs) * jnp.ones(1), chains=5)
    roots = iter([1.0, 0.0])
    with pytest.raises(tw.InputError, match="gradient of the objective is not finite at the start of chain 1 of 2"):
        tw.sample(tw.mala(lambda x: jnp.sum(jnp.sqrt(x)), 0.3), lambda key: next(roots) * jnp.ones(1), chains=2)


def test_a_chain_that_never_moves():
    """In a well so narrow that every proposal is rejected, and once more where the walk alone brings it there."""

    def f(x):
        return jnp.where(x[0] > 5.0, 1e12 * (x[0] - 6.0) ** 2, 0.5 * x[0] ** 2)

    starts = iter([0.0, 6.0 + 1e-5, 1.0])
    tree, texts = told(tw.mala(f, 0.5), lambda key: next(starts) * jnp.ones(1), draws=200, warmup=20, chains=3)
    assert texts[0].startswith("1 of 3 chains (1) never moved; take a shorter step, or begin elsewhere")
    assert tree.attrs["unmoved_chains"] == 1


def test_a_step_that_is_lost_to_rounding():
    f, start = tw.Objective(lambda x: 0.5 * jnp.sum((x - 1e6) ** 2)), jnp.full(2, 1e6, jnp.float32)
    tree, texts = told(tw.sgld(f, 1e-6), start, draws=200, warmup=0, chains=2)
    assert "all chains never moved; the step is lost to rounding" in " ".join(texts)
    assert np.unique(tree["posterior"]["x"]).size == 1


def trap(x):
    """Half a parabola and a root, with the gradient of the root where it is none."""
    return 0.5 * x[0] ** 2 + jnp.where(x[0] < 1.0, jnp.sqrt(1.0 - x[0]), 0.0)


@pytest.mark.parametrize("keep", ["draws", pytest.param("moments", marks=pytest.mark.slow)])
def test_a_gradient_that_is_not_finite_where_f_is(keep):
    tree, texts = told(tw.mala(trap, 0.5), jnp.zeros(1), draws=2000, keep=keep)
    (text,) = (text for text in texts if TRAP in text)
    assert text.startswith(
        f"{tree.attrs['nonfinite_gradients']} steps were rejected because the gradient is not finite"
    )
    assert tree.attrs["nonfinite_gradients"] > 100


@pytest.mark.slow
def test_the_cause_of_a_loss():
    _, texts = told(baoab(trap, 0.1), jnp.zeros(1), draws=100, warmup=0)
    assert any("the gradient is not finite where the potential is" in text and TRAP in text for text in texts)
    _, texts = told(baoab(lambda x: -0.5 * jnp.sum(x**2), 1.0), jnp.zeros(2), draws=2000, warmup=0)
    assert any("f fell from" in text and "e^(-f/T) has no density" in text for text in texts)
    assert not any(TRAP in text for text in texts)


@pytest.mark.parametrize(
    ("f", "words"),
    [
        (lambda x: 0.0 * jnp.sum(x), "f hardly changes where the chains have been"),
        (lambda x: 0.5 * x[0] ** 2 + 0.0 * x[1], r"f hardly changes with x[1] where"),
        (lambda x: -0.5 * jnp.sum(x**2), "f falls all the way from where the chains began"),
        (lambda x: jnp.sum(x), "f falls all the way in one direction"),
    ],
    ids=["constant", "flat", "upside_down", "linear"],
)
@pytest.mark.parametrize("diagnostics", [pytest.param(None, marks=pytest.mark.slow), False])
def test_a_function_without_a_density(f, words, diagnostics):
    _, texts = told(baoab(f, 0.02), jnp.zeros(2), draws=500, diagnostics=diagnostics)
    assert texts[0].startswith(words) and "e^(-f/T) has no density if that goes on" in texts[0]


def modes(x):
    return -jnp.logaddexp(-0.5 * jnp.sum((x - 6.0) ** 2), -0.5 * jnp.sum((x + 6.0) ** 2))


@pytest.mark.slow
def test_chains_that_do_not_agree():
    def start(key):
        return 8.0 * jax.random.normal(key, (2,))

    _, texts = told(baoab(modes, 0.8), start, draws=1000)
    assert "r_hat of x[" in texts[0] and "each chain stays in a part of its own" in texts[0]
    assert "tw.ReplicaExchange" in texts[0] and "effective sample size of x[" in texts[1]
    _, texts = told(baoab(modes, 0.8), start, draws=1000, keep="moments")
    assert "r_hat of x[" in texts[0]
    # Of so few draws only that is told; and nothing where diagnostics are not wanted.
    _, texts = told(baoab(modes, 0.8), start, draws=60)
    assert len(texts) == 1 and "r_hat of x[" in texts[0]
    assert told(baoab(modes, 0.8), start, draws=1000, diagnostics=False)[1] == []


@pytest.mark.slow
def test_more_parameters_than_are_diagnosed_are_judged_too():
    f = lambda x: -jnp.logaddexp(-0.5 * jnp.sum((x - 3.0) ** 2), -0.5 * jnp.sum((x + 3.0) ** 2))  # noqa: E731
    tree, texts = told(
        baoab(f, 0.8), lambda key: jnp.sign(jax.random.normal(key)) * jnp.ones(600), draws=200, warmup=50
    )
    assert "diagnostics" not in tree.children and "r_hat of x[" in texts[0]


def bowl(x):
    return 0.5 * jnp.sum(x**2)


@pytest.mark.slow
def test_a_kinetic_temperature_of_the_step_is_explained():
    tree, texts = told(baoab(bowl, 1.6), jnp.zeros(3), draws=4000)
    assert texts == []
    (note,) = json.loads(tree.attrs["notes"])
    assert "the kinetic temperature is 0.36" in note and "the step of 1.6 of BAOAB itself makes it 0.36" in note
    assert tree.attrs["kinetic_temperature"] == pytest.approx(0.36, rel=0.05)
    sums, texts = told(baoab(bowl, 1.6), jnp.zeros(3), draws=20_000, keep="moments")
    assert texts == [] and sums.attrs["kinetic_temperature"] == pytest.approx(0.36, rel=0.05)


def test_a_kinetic_temperature_that_is_not_is_told():
    """Velocities that are kicked about: a force that is not the gradient of the potential that it is said to be."""

    @jax.custom_jvp
    def f(x):
        return 0.5 * jnp.sum(x**2)

    @f.defjvp
    def _(at, along):
        (x,), (v,) = at, along
        return f(x), jnp.vdot(x + 0.8 * jnp.array([x[1], -x[0]]), v)

    tree, texts = told(baoab(f, 0.1), jnp.zeros(2), draws=20_000, diagnostics=False)
    hot = tree.attrs["kinetic_temperature"]
    # The force does work as it turns: T (1 + w^2 / (k l^2 - w^2)) of the linear law.
    assert hot > 1.3
    assert any(text.startswith(f"the kinetic temperature is {hot:.3g}, where the temperature is 1") for text in texts)


def test_jumps_of_the_energy():
    """A wall that a step may land in: the potential there is a million."""

    def f(x):
        return 0.5 * jnp.sum(x**2) + 1e6 * jnp.sum(jnp.maximum(jnp.abs(x) - 2.5, 0.0))

    tree, texts = told(baoab(f, 0.5), jnp.zeros(2), draws=1000, diagnostics=False)
    assert tree.attrs["energy_jumps"] > 0
    assert any(f"jumps by more than 1000 in {tree.attrs['energy_jumps']} steps" in text for text in texts)


@pytest.mark.slow
def test_long_autocorrelation_gets_advice():
    _, texts = told(baoab(lambda x: bowl(jnp.array([1.0, 0.01]) * x), 0.8), jnp.zeros(2), draws=4000)
    assert any("the friction 1 is far above 2 sqrt(m T)/sd" in text for text in texts)
    tree, texts = told(baoab(bowl, 0.025, friction=2.0), jnp.zeros(2), draws=60_000)
    (note,) = json.loads(tree.attrs["notes"])
    assert texts == [] and "tell as much as an independent one" in note and "keeps as much in fewer draws" in note


def test_counts_go_on_where_a_run_was_stopped(tmp_path, monkeypatch):
    monkeypatch.setattr("thalweg._loops.chains._BLOCK", 64)
    method, many = baoab(half_normal, 0.8), dict(draws=3000, warmup=300, chains=2, key=4)
    for keep in ("draws", "moments"):
        whole, texts = told(method, jnp.ones(1), keep=keep, **many)
        with monkeypatch.context() as patch:
            patch.setattr("thalweg._loops.drive.CHUNK_SECONDS", 1e-6)

            class Stopped(Interrupt):
                def __init__(self, flag):
                    super().__init__(flag)
                    checks = iter(range(10))
                    flag.is_set = lambda: next(checks) >= 2

            patch.setattr("thalweg._loops.drive.Interrupt", Stopped)
            with pytest.raises(KeyboardInterrupt), pytest.warns(tw.SamplingWarning):
                tw.sample(method, jnp.ones(1), keep=keep, out=tmp_path / keep, progress=False, **many)
        again, told_again = told(method, jnp.ones(1), keep=keep, out=tmp_path / keep, resume=True, **many)
        counts = ("nonfinite_potentials", "energy_jumps", "unmoved_chains", "kinetic_temperature")
        for name in counts:
            assert again.attrs[name] == pytest.approx(whole.attrs[name], rel=1e-6)
        assert [text for text in told_again if "not finite" in text] == [text for text in texts if "not finite" in text]
        assert tw.read_samples(tmp_path / keep).attrs["warnings"] == again.attrs["warnings"]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_low_precision(dtype):
    tree, texts = told(baoab(half_normal, 0.8), jnp.ones(1, dtype), draws=500, keep="moments")
    assert "the potential is not finite at" in texts[0]
    tree, texts = told(baoab(bowl, 0.8), jnp.ones(2, dtype), draws=4000)
    assert not any("not finite" in text or "kinetic" in text or "jumps" in text for text in texts)
    assert tree.attrs["nonfinite_potentials"] == tree.attrs["energy_jumps"] == 0
