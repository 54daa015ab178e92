"""tw.sample: the law, the chains, what is kept, and what is said of it."""

import itertools
import json
import math
import sys
import tomllib

import arviz_stats
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest

import thalweg as tw
from thalweg._loops import drive as loop
from thalweg._loops.chains import Plan, _block, advance, start_chains, step_chains
from thalweg._loops.interrupt import Interrupt
from thalweg._methods.drawing import BATCHES, JUDGED, PILOT, STARTS

HESSIAN = np.array([[1.6, 0.5], [0.5, 0.7]])
QUIET = dict(progress=False, diagnostics=False)


def bowl(x):
    return 0.5 * x @ HESSIAN @ x


def bath(f=bowl, **constants):
    return tw.UnderdampedLangevin(f, **(dict(friction=1.2, temperature=0.6) | constants))


BAOAB = tw.Method(bath(), tw.Splitting("BAOAB"), 0.7)


def z_scores(tree, expected):
    """(mean, variance) of the draws, in standard errors by ArviZ's effective sample size."""
    x = tree["posterior"]["x"]
    error = tree["diagnostics"]["x"].sel(statistic="mcse_mean").values
    squares = arviz_stats.mcse((x**2).to_dataset(name="x"), method="mean")["x"].values
    return np.abs(x.mean(("chain", "draw")).values) / error, np.abs(
        (x**2).mean(("chain", "draw")).values - expected
    ) / squares


@pytest.mark.parametrize(
    "method",
    [
        tw.sgld(bowl, 0.5, 0.6),
        tw.Method(tw.OverdampedLangevin(bowl, 0.6), tw.LeimkuhlerMatthews(), 0.5),
        BAOAB,
        tw.Method(bath(mass=2.0), tw.Splitting("OBABO"), 0.9),
    ],
    ids=["sgld", "leimkuhler_matthews", "baoab", "obabo"],
)
@pytest.mark.filterwarnings("ignore::thalweg.SamplingWarning")
def test_the_draws_have_the_law_of_the_method_at_its_step(method):
    tree = tw.sample(method, jnp.zeros(2), draws=20_000, warmup=200, chains=4, progress=False)
    expected = np.diag(tw.analysis.stationary_covariance(method, HESSIAN))
    mean, variance = z_scores(tree, expected)
    assert mean.max() < 5.0 and variance.max() < 5.0
    assert tree["diagnostics"]["x"].sel(statistic="ess_bulk").min() > 2000
    # The law of another step is distinguished.
    other = np.diag(tw.analysis.stationary_covariance(method, 1.3 * HESSIAN))
    assert z_scores(tree, other)[1].max() > 5.0


@pytest.mark.parametrize("thin", [1, 3, 1200], ids=lambda thin: f"thin{thin}")
def test_a_draw_is_so_many_steps(thin, monkeypatch):
    """Step by step, with the same normals, the draws are the same."""
    monkeypatch.setattr("thalweg._loops.chains._BLOCK", 2048)
    tree = tw.sample(BAOAB, jnp.ones(2), draws=3, warmup=1, chains=2, thin=thin, key=5, **QUIET)
    plan = Plan.of(BAOAB, 2, 2, thin, False)
    assert plan.group == max(1, 512 // thin) and plan.block == (512 // thin * thin or 512)
    states = start_chains(BAOAB, jnp.ones((2, 2)))
    step = jax.jit(lambda states, drawn: step_chains(BAOAB, states, drawn))
    whole, rest = divmod(thin, plan.block)
    sizes = [plan.block] if thin <= plan.block else [plan.block] * whole + [rest] * bool(rest)
    found, made, block = [], 0, 0
    while len(found) < 4:
        for count in sizes:
            drawn = _block(BAOAB, jax.random.key(5), states.position, jnp.asarray(block), jnp.asarray(0), count, 2)
            for i in range(count):
                states = step(states, jax.tree.map(lambda leaf, i=i: leaf[i], drawn))
                made += 1
                if made % thin == 0 and len(found) < 4:
                    found.append(np.asarray(states.position))
            block += 1
    np.testing.assert_allclose(np.moveaxis(tree["posterior"]["x"].values, 1, 0), found[1:], rtol=1e-12)


@pytest.mark.slow
def test_where_chunks_are_cut_changes_nothing(monkeypatch):
    monkeypatch.setattr("thalweg._loops.chains._BLOCK", 128)
    many = dict(draws=5000, warmup=700, chains=3, thin=2, key=2, **QUIET)
    whole = tw.sample(BAOAB, jnp.ones(2), **many)
    sums = tw.sample(BAOAB, jnp.ones(2), keep="moments", **many)
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 1e-6)
    cut = tw.sample(BAOAB, jnp.ones(2), **many)
    assert (cut["posterior"]["x"].values == whole["posterior"]["x"].values).all()
    again = tw.sample(BAOAB, jnp.ones(2), keep="moments", **many)
    assert (again["diagnostics"]["x"].values == sums["diagnostics"]["x"].values).all()


def test_moments_are_those_of_the_draws():
    many = dict(draws=40_000, warmup=300, chains=4, progress=False)
    whole = tw.sample(BAOAB, jnp.zeros(2), **many)
    sums = tw.sample(BAOAB, jnp.zeros(2), keep="moments", energies=True, **many)
    assert list(sums.groups) == ["/", "/diagnostics", "/energies"]
    one, other = (tree["diagnostics"]["x"] for tree in (whole, sums))
    for name, tolerance in (("mean", 1e-9), ("sd", 1e-4), ("mcse_mean", 0.25)):
        np.testing.assert_allclose(other.sel(statistic=name), one.sel(statistic=name), rtol=tolerance, atol=1e-9)
    size = other.sel(statistic="ess_mean") / one.sel(statistic="ess_bulk")
    assert ((size > 0.5) & (size < 2.0)).all()
    assert (other.sel(statistic="r_hat") < 1.01).all()
    kinetic = sums["energies"]["kinetic"].sel(statistic="mean")
    assert kinetic == pytest.approx(whole["sample_stats"]["kinetic_temperature"].mean().item(), rel=1e-6)


def test_diagnostics_are_those_of_arviz():
    tree = tw.sample(BAOAB, jnp.zeros(2), draws=3000, chains=4, progress=False)
    found = tree["diagnostics"]["x"]
    x = tree["posterior"].to_dataset()
    assert (found.sel(statistic="r_hat") == arviz_stats.rhat(x)["x"]).all()
    assert (found.sel(statistic="ess_tail") == arviz_stats.ess(x, method="tail")["x"]).all()
    assert (tree["diagnostics"]["bfmi"] == arviz_stats.bfmi(tree)["energy"]).all()
    one = tw.sample(BAOAB, jnp.zeros(2), draws=9000, chains=1, progress=False)["diagnostics"]["x"]
    assert (abs(one.sel(statistic="r_hat") - 1.0) < 0.02).all()


def test_energies_are_those_of_the_draws():
    tree = tw.sample(BAOAB, jnp.zeros(2), draws=50, **QUIET)
    x, stats = tree["posterior"]["x"].values, tree["sample_stats"]
    np.testing.assert_allclose(stats["potential"], 0.5 * np.einsum("cdi,ij,cdj->cd", x, HESSIAN, x), rtol=1e-12)
    # m = 1, two degrees of freedom: the kinetic energy is the temperature.
    np.testing.assert_allclose(stats["energy"] - stats["potential"], stats["kinetic_temperature"], rtol=1e-9)
    assert "sample_stats" not in tw.sample(BAOAB, jnp.zeros(2), draws=5, energies=False, **QUIET).children


def test_chains_differ_and_a_key_is_a_run():
    many = dict(draws=50, chains=3, warmup=0, **QUIET)
    one, again, other = (tw.sample(BAOAB, jnp.ones(2), key=key, **many)["posterior"]["x"].values for key in (1, 1, 2))
    assert (one == again).all() and not np.isclose(one, other).any()
    assert not np.isclose(one[0], one[1]).any()


def test_no_key_has_two_uses():
    """Starts, mini-batches and normals of every chain come from keys that are all different."""
    seen, method = [], tw.sgld(least_squares(batch_size=5), 0.01)
    fold_in = jax.random.fold_in
    key, chains = jax.random.key(3), 4
    tw.sample(
        method, lambda start: seen.append(start) or jnp.zeros(2), draws=1, warmup=0, chains=chains, key=key, **QUIET
    )
    batches = fold_in(key, BATCHES)
    seen += [fold_in(batches, chain) for chain in range(chains)] + [fold_in(key, block) for block in range(chains)]
    seen += [fold_in(key, stream) for stream in (BATCHES, STARTS, PILOT, JUDGED)]
    words = [tuple(np.asarray(jax.random.key_data(one)).tolist()) for one in seen]
    assert len(words) == 4 * chains and len(set(words)) == len(words)


@pytest.mark.slow
def test_a_start_may_be_drawn_and_be_a_tree():
    def f(x):
        return bowl(x["w"]) + 0.5 * jnp.sum(x["b"] ** 2)

    start = {"w": jnp.ones(2, jnp.float32), "b": jnp.ones((2, 3), jnp.float32)}

    def drawn(key):
        return jax.tree.map(lambda leaf: leaf * jax.random.normal(key, (), leaf.dtype), start)

    tree = tw.sample(bath(f), drawn, draws=20, warmup=0, chains=3, **QUIET)  # fmt: skip
    assert tree["posterior"]["b"].dims == ("chain", "draw", "b_dim_0", "b_dim_1")
    assert tree["posterior"]["w"].dtype == np.float32
    assert len(np.unique(tree["posterior"]["w"][:, 0, 0])) == 3


@pytest.mark.slow
def test_a_tree_has_the_same_names_from_its_directory(tmp_path):
    start = {"layer": [jnp.ones(2), jnp.zeros(())], "b": jnp.ones(1)}

    def f(x):
        return 0.5 * sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(x))

    many = dict(draws=5, chains=2, **QUIET)
    one = tw.sample(bath(f), start, **many)
    other = tw.sample(bath(f), start, out=tmp_path / "a", source={"objective": "mine"}, **many)
    assert set(one["posterior"].data_vars) == {"layer.0", "layer.1", "b"}
    assert one["posterior"].to_dataset().identical(other["posterior"].to_dataset())
    assert tomllib.loads((tmp_path / "a" / "run.toml").read_text())["source"] == {"objective": "mine"}


@pytest.mark.filterwarnings("ignore::thalweg.SamplingWarning")
@pytest.mark.parametrize("keep", [pytest.param("draws", marks=pytest.mark.slow), "moments"])
@pytest.mark.parametrize(
    "method", [BAOAB, pytest.param(tw.sgld(bowl, 0.05), marks=pytest.mark.slow)], ids=["baoab", "sgld"]
)
def test_stopped_and_resumed_it_is_as_if_never_stopped(method, keep, tmp_path, monkeypatch):
    monkeypatch.setattr("thalweg._loops.chains._BLOCK", 64)
    many = dict(draws=3000, warmup=500, chains=2, key=4, keep=keep, progress=False)
    whole = tw.sample(method, jnp.ones(2), **many)
    monkeypatch.setattr(loop, "CHUNK_SECONDS", 1e-6)
    stops = iter([1, 3])

    class Stopped(Interrupt):
        def __init__(self, flag):
            super().__init__(flag)
            checks, limit = itertools.count(), next(stops, math.inf)
            flag.is_set = lambda: next(checks) >= limit

    monkeypatch.setattr(loop, "Interrupt", Stopped)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt, match=r"saved in .*, go on with resume=True"):
            tw.sample(method, jnp.ones(2), out=tmp_path / "a", resume=True, **many)
        assert tw.read_samples(tmp_path / "a").attrs["status"] == "interrupted"
    tree = tw.sample(method, jnp.ones(2), out=tmp_path / "a", resume=True, **many)
    name = "posterior" if keep == "draws" else "diagnostics"
    assert (tree[name]["x"].values == whole[name]["x"].values).all()
    assert tree.attrs["gradients"] == whole.attrs["gradients"] and tree.attrs["status"] == "finished"
    read = tw.read_samples(tmp_path / "a")
    assert (read[name]["x"].values == whole[name]["x"].values).all()
    with pytest.raises(tw.InputError, match=r"was run with another configuration: sample\.thin was 1, is 2"):
        tw.sample(method, jnp.ones(2), out=tmp_path / "a", resume=True, thin=2, **many)


def test_more_draws_go_on_where_the_others_ended(tmp_path):
    few = dict(warmup=50, chains=2, key=4, **QUIET)
    tw.sample(BAOAB, jnp.ones(2), draws=101, out=tmp_path / "a", **few)
    more = tw.sample(BAOAB, jnp.ones(2), draws=777, out=tmp_path / "a", resume=True, **few)
    assert (more["posterior"]["x"].values == tw.sample(BAOAB, jnp.ones(2), draws=777, **few)["posterior"]["x"]).all()


@pytest.mark.slow
def test_a_method_that_rejects_gets_a_step_by_its_acceptance():
    law = tw.OverdampedLangevin(lambda x: jnp.sum(0.25 * x**4 + 0.5 * x**2), temperature=1.0)
    tree = tw.sample(law, jnp.zeros(20), draws=2000, scheme=tw.MetropolisAdjustedLangevin(), progress=False)
    assert 0.5 < tree.attrs["acceptance"] < 0.65
    with pytest.warns(tw.SamplingWarning, match="all chains never moved; take a shorter step"):
        tw.sample(tw.mala(law.objective, 3.0), jnp.zeros(20), draws=100, **QUIET)


DATA = np.random.default_rng(0).normal(size=(100, 2)) + np.array([1.0, -1.0])


def misfit(x, sample):
    return 0.5 * jnp.sum((x - sample) ** 2)


def least_squares(**options):
    return tw.FiniteSum(misfit, DATA, **options)


@pytest.mark.parametrize(
    "options",
    [dict(batch_size=5), pytest.param(dict(batch_size=20, replace=False, epochs=True), marks=pytest.mark.slow)],
    ids=str,
)
def test_every_chain_has_its_own_mini_batches(options):
    """Without a temperature what the chains differ by is what they drew."""
    method = tw.momentum(least_squares(**options), 0.2, 0.5)
    tree = tw.sample(method, jnp.zeros(2), draws=4000, chains=4, progress=False)
    x = tree["posterior"]["x"]
    assert not np.isclose(x[0], x[1]).any()
    assert tree["posterior"]["x"].dims == ("chain", "draw", "x_dim_0")
    mean = x.mean(("chain", "draw")).values
    assert np.abs(mean - DATA.mean(axis=0)).max() < 5 * tree["diagnostics"]["x"].sel(statistic="mcse_mean").max()
    if "epochs" not in options:
        noise = np.cov(DATA.T, bias=True) / 5
        exact = tw.analysis.stationary_covariance(method, np.eye(2), noise)
        error = arviz_stats.mcse(x.to_dataset(name="x"), method="sd")["x"].values
        assert (np.abs(x.std(("chain", "draw")).values - np.sqrt(np.diag(exact))) < 5 * error).all()
    assert "potential" not in tree.get("sample_stats", {})


def quartic(x):
    return jnp.sum(0.25 * x**4 + 0.5 * x**2)


def test_a_law_gets_a_step_by_its_curvature():
    law = bath(quartic, temperature=1.0, friction=1.0)
    tree = tw.sample(law, jnp.zeros(3), draws=100, **QUIET)
    step = json.loads(tree.attrs["hyperparameters"])["step_size"]
    # At the origin the curvature is 1; where the chains go it is 1 + 3 x^2.
    assert 0.2 < step < 0.9 and tree.attrs["method"] == "UnderdampedLangevin BAOAB"
    over = tw.sample(tw.OverdampedLangevin(bowl, 1.0), jnp.zeros(2), draws=5, scheme=tw.EulerMaruyama(), **QUIET)
    rate = json.loads(over.attrs["hyperparameters"])["learning_rate"]
    top = np.linalg.eigvalsh(HESSIAN).max()
    bias = tw.analysis.stationary_covariance(tw.sgld(None, rate, 1.0), top) * top - 1.0
    assert 0.015 < bias <= 0.02


@pytest.mark.parametrize(
    ("method", "words"),
    [
        (tw.sgld(bowl, 0.9), "direction of the largest curvature, 1.823, is 456% too"),
        (tw.Method(bath(), tw.Splitting("OBABO"), 1.2), "at the step 1.2 the variance in the direction"),
        (tw.sgld(least_squares(batch_size=1), 0.05, 0.1), "the mini-batches heat the chains: their noise adds 0.02"),
    ],
)  # fmt: skip
def test_a_step_with_a_large_bias_is_told(method, words):
    with pytest.warns(tw.SamplingWarning, match=words):
        tree = tw.sample(method, jnp.zeros(2), draws=10, **QUIET)
    assert words in tree.attrs["warnings"]


def test_a_step_beyond_its_limit_is_told():
    with pytest.warns(tw.SamplingWarning) as caught:
        tree = tw.sample(tw.sgld(bowl, 1.4), jnp.ones(2), draws=40_000, **QUIET)
    texts = [str(one.message) for one in caught]
    assert "the step 1.4 is beyond its stability limit 1.097 at the largest curvature met, 1.823; take 0.0" in texts[1]
    assert "4 of 4 chains became not finite after" in texts[0]
    assert 0 < tree["posterior"].sizes["draw"] < 2000
    assert tree.attrs["status"] == "diverged" and np.isfinite(tree["posterior"]["x"].values).all()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (dict(method=bowl), "method must be a tw.Method such as"),
        (dict(method=tw.sgld(None, 0.1)), "this method was built without an objective; give one to sample"),
        (dict(method=tw.gradient_descent(bowl, 0.1)), "this method draws nothing, so it samples nothing"),
        (dict(method=tw.HeavyBall(bowl, 1.0)), "HeavyBall has no noise to sample with"),
        (dict(method=bath(friction=lambda t: 1.0 + 0 * t)), "a law that changes in time needs a step"),
        (dict(method=bath(lambda x: jnp.sum(x))), "a step is chosen by the curvature at the start, which is zero"),
        (dict(scheme=tw.EulerMaruyama()), "a tw.Method has its scheme"),
        (dict(method=tw.sgld(tw.Stream(misfit, lambda k: DATA[:5]), 0.1)), "sampling from a stream is not built: give"),
        (dict(draws=0), "draws must be a whole number of at least 1"),
        (dict(chains=0), "chains must be a whole number of at least 1"),
        (dict(warmup=-1), "warmup must be a whole number of at least 0"),
        (dict(thin=0), "thin must be a whole number of at least 1"),
        (dict(key="a"), "key must be"),
        (dict(keep="all"), "keep 'all' is unknown"),
        (dict(energies=1), "energies must be True, False or None"),
        (dict(resume=True), "resume needs the directory of the run"),
        (dict(out=3), "out must be the path of a directory, but is 3"),
        (dict(x0=lambda key: jnp.zeros(1 + int(9 * jax.random.uniform(key)))), "x0 must draw starts of the same"),
        (dict(x0=jnp.array([jnp.nan, 1.0])), "the start must be finite"),
        (dict(method=tw.sgld(lambda x: jnp.sum(jnp.log(x)), 0.1), x0=jnp.zeros(2)), "is -inf at the start"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line_and_writes_nothing(arguments, words, tmp_path, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    given = dict(method=BAOAB, x0=jnp.zeros(2), draws=10, out=tmp_path / "a") | arguments
    given |= {"out": None} if "resume" in arguments else {}
    with pytest.raises(tw.InputError, match=words):
        tw.sample(**given)
    assert not (tmp_path / "a").exists()


def test_without_arviz_it_is_one_line_and_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "arviz_stats", None)
    with pytest.raises(
        tw.InputError, match=r"sampling needs arviz-stats; install it with pip install 'thalweg\[sample\]'"
    ):
        tw.sample(BAOAB, jnp.zeros(2), draws=10, out=tmp_path / "a")
    assert not (tmp_path / "a").exists()


@pytest.mark.slow
def test_the_choice_of_a_step_warns_of_nothing():
    """A stiff spring, whose equations are ill scaled; and a cold law, which has no variance to compare."""
    stiff = bath(lambda x: 950.0 * jnp.sum(x**2), friction=2.0, temperature=1.0)
    step = json.loads(tw.sample(stiff, jnp.zeros(1), draws=4, **QUIET).attrs["hyperparameters"])["step_size"]
    # Half the limit to three digits, downwards.
    assert step == 0.0229 < 0.5 * 2.0 / np.sqrt(1900.0) < 0.023
    cold = tw.sample(tw.sgld(bowl, 0.1, 0.0), jnp.ones(2), draws=4, warmup=0, **QUIET)
    np.testing.assert_allclose(cold["posterior"]["x"][0, 0], 1.0 - 0.1 * HESSIAN.sum(axis=0), rtol=1e-12)


def test_a_directory_of_another_kind_is_told(tmp_path):
    tw.run(tw.gradient_descent(bowl, 0.1), jnp.ones(2), 3, out=tmp_path / "run")
    with pytest.raises(tw.InputError, match=r"holds a run, not samples; read it with tw\.Run\.load"):
        tw.read_samples(tmp_path / "run")
    tw.sample(BAOAB, jnp.zeros(2), draws=10, out=tmp_path / "samples", **QUIET)
    with pytest.raises(tw.InputError, match=r"holds samples, not a run; read it with tw\.read_samples"):
        tw.Run.load(tmp_path / "samples")


def test_another_number_of_draws_compiles_nothing():
    from tests.table.test_steps import Compilations

    tw.sample(BAOAB, jnp.zeros(2), draws=600, **QUIET)
    with Compilations() as seen:
        tw.sample(BAOAB.with_step_size(0.4), jnp.zeros(2), draws=590, warmup=950, key=3, **QUIET)
    assert seen.count == 0


def test_the_memory_of_moments_does_not_grow(monkeypatch):
    shapes = []
    monkeypatch.setattr("thalweg._loops.sampling.advance", lambda *a: shapes.append(a[7]) or advance(*a))
    for draws in (100_000, 400_000):
        tw.sample(BAOAB, jnp.zeros(2), draws=draws, keep="moments", **QUIET)
    assert max(shapes) <= 64
