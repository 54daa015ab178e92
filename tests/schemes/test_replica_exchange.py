"""Replica exchange: detailed balance of the exchange, weights of wells that a cold chain does not leave, refusals."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from scipy import stats

import thalweg as tw
from tests.table.test_noise import assert_covariance
from thalweg.analysis import largest_stable_step, stationary_covariance
from thalweg.schemes import Draws, replica_exchange
from thalweg.schemes.replica_exchange import log_exchange

CHAINS = 1000


def wells(x):
    """A barrier of about ten, and wells that differ by one."""
    return jnp.sum(10.0 * (x**2 - 1.0) ** 2 + 0.5 * x)


def right_weight():
    x = np.linspace(-2.5, 2.5, 20001)
    density = np.exp(-10.0 * (x**2 - 1.0) ** 2 - 0.5 * x)
    return density[x > 0].sum() / density.sum()


def share_on_the_right(scheme, key, steps=2000, start=-1.0):
    """Of independent chains, so that each counts as one sample."""
    method = tw.Method(tw.OverdampedLangevin(wells, 1.0), scheme, 0.012)
    starts = jnp.full((CHAINS, 1), start)

    @jax.jit
    def end(key):
        def step(i, state):
            draws = method.draw(jax.random.fold_in(key, i), state.position, chains=CHAINS)
            return jax.vmap(method.step)(state, draws)

        return jax.lax.fori_loop(0, steps, step, jax.vmap(method.init)(starts)).position

    return float(np.mean(np.asarray(end(key)) > 0))


def chance_of(share):
    """Of a share as far off or farther, by the exact binomial law."""
    right, count = stats.binom(CHAINS, right_weight()), round(share * CHAINS)
    return 2 * min(right.cdf(count), right.sf(count - 1))


@pytest.mark.slow
def test_it_finds_the_weights_of_two_wells_and_a_cold_chain_does_not(key, chance):
    assert 0.2 < right_weight() < 0.35
    mala = tw.MetropolisAdjustedLangevin()
    share = share_on_the_right(tw.ReplicaExchange(mala, (1.0, 2.5, 6.0), every=5), key)
    assert chance_of(share) > chance.level()
    assert share_on_the_right(mala, key) < 0.1


@pytest.mark.slow
def test_a_wrong_sign_is_told_apart(key, monkeypatch):
    monkeypatch.setattr(replica_exchange, "log_exchange", lambda a, b, f, g: -log_exchange(a, b, f, g))
    scheme = tw.ReplicaExchange(tw.MetropolisAdjustedLangevin(), (1.0, 2.5, 6.0), every=5)
    assert chance_of(share_on_the_right(scheme, key)) < 1e-15


def test_the_exchange_is_in_detailed_balance():
    x = jnp.linspace(-1.8, 1.8, 61)
    f = jax.vmap(wells)(x)
    cold, hot = 1.3, 3.1
    # Row: the cold one's place, column: the hot one's.
    law = np.exp(-np.asarray(f)[:, None] / cold - np.asarray(f)[None, :] / hot)
    chance = np.minimum(
        1.0, np.exp(np.asarray(jax.vmap(lambda a: jax.vmap(lambda b: log_exchange(cold, hot, a, b))(f))(f)))
    )
    flow = law * chance
    np.testing.assert_allclose(flow, flow.T, rtol=1e-12)
    assert np.abs(law - law.T).max() > 0.1


@pytest.mark.parametrize("base", [tw.EulerMaruyama(), tw.StochasticHeun(), tw.MetropolisAdjustedLangevin()])
def test_the_step_exchanges_with_that_probability(base, rng):
    """Neighbours in turn, at every second step, with the energies of where the replicas have come to."""
    scheme = tw.ReplicaExchange(base, (1.0, 2.0, 5.0), every=2)
    temperature = 0.7
    method = tw.Method(tw.OverdampedLangevin(wells, temperature), scheme, 1e-3)
    steps, drawn = jax.jit(lambda state, draws: method.step(state, draws)), len(method.silent(jnp.ones(1)).uniforms)
    rejected = 0
    for turn in range(6):
        state = method.init(jnp.zeros(1))
        first, second, third = (
            scheme.scheme.init(method.dynamics, jnp.array([x]), 1e-3) for x in rng.uniform(-1.3, 1.3, 3)
        )
        memory = dataclasses.replace(
            state.memory, coldest=first.memory, others=(second, third), steps=jnp.asarray(2 * turn + 1)
        )
        state = dataclasses.replace(state, position=first.position, memory=memory)

        def ends(uniform, state=state):
            uniforms = (jnp.asarray(0.0),) * (drawn - 2) + (jnp.asarray(uniform),) * 2
            after = steps(state, Draws(noise=(jnp.zeros(1),) * 3, uniforms=uniforms))
            return [float(replica.position[0]) for replica in scheme.replicas(after)]

        moved = ends(np.inf)
        pair = (0, 1) if turn % 2 == 0 else (1, 2)
        energies = [wells(jnp.array([moved[i]])) for i in pair]
        factors = [temperature * float(scheme.temperatures[i]) for i in pair]
        chance = float(jnp.exp(jnp.minimum(log_exchange(*factors, *energies), 0.0)))
        swapped = list(moved)
        swapped[pair[0]], swapped[pair[1]] = moved[pair[1]], moved[pair[0]]
        assert ends(chance * (1 - 1e-9)) == swapped
        if chance < 1.0:
            assert ends(chance * (1 + 1e-9)) == moved
            rejected += 1
        early = dataclasses.replace(state, memory=dataclasses.replace(memory, steps=jnp.asarray(2 * turn)))
        assert ends(0.0, early) == moved
    assert rejected > 0


@pytest.mark.slow
def test_positions_and_velocities_of_baoab_keep_their_law(key, chance):
    """On a Gaussian BAOAB's law is exact in closed form at every temperature, so that exchanges must not move it."""
    hessian, chains = np.array([[1.6, 0.5], [0.5, 0.7]]), 10_000
    law = tw.UnderdampedLangevin(lambda x: 0.5 * x @ hessian @ x, friction=0.8, temperature=0.6, mass=1.5)
    method = tw.Method(law, tw.ReplicaExchange(tw.Splitting("BAOAB"), (1.0, 1.7, 3.0), every=2), 0.9)

    @eqx.filter_jit
    def end(method, key):
        def step(i, state):
            draws = method.draw(jax.random.fold_in(key, i), state.position, chains=chains)
            return jax.vmap(method.step)(state, draws)

        return jax.lax.fori_loop(0, 60, step, jax.vmap(method.init)(jnp.zeros((chains, 2))))

    state = end(method, key)
    assert np.asarray(method.scheme.exchanged(state)).mean() > 0.3
    for factor, replica in zip((1.0, 1.7, 3.0), method.scheme.replicas(state), strict=True):
        cold = tw.Method(law.heated(factor), tw.Splitting("BAOAB"), 0.9)
        for of in ("position", "velocity"):
            expected = stationary_covariance(cold, hessian, of=of)
            assert_covariance(np.asarray(getattr(replica, of)), expected, chance, checks=6)
        # What is remembered belongs to where it is.
        np.testing.assert_allclose(replica.memory, -replica.position @ hessian, atol=1e-12)


@pytest.mark.parametrize(
    ("scheme", "law", "gradients"),
    [
        (tw.EulerMaruyama(), tw.OverdampedLangevin, 3),
        (tw.StochasticHeun(), tw.OverdampedLangevin, 6),
        (tw.MetropolisAdjustedLangevin(), tw.OverdampedLangevin, 3),
        (tw.Splitting("BAOAB"), lambda f, T: tw.UnderdampedLangevin(f, 1.0, T), 3),
        (tw.EulerMaruyama(), lambda f, T: tw.UnderdampedLangevin(f, 1.0, T), 3),
    ],
)
def test_a_run_counts_and_is_resumed_bit_for_bit(scheme, law, gradients, tmp_path):
    method = tw.Method(law(wells, 2.0), tw.ReplicaExchange(scheme, every=3), 0.01)
    assert method.gradients_per_step == gradients
    whole = tw.run(method, jnp.array([1.0]), 40, key=3)
    tw.run(method, jnp.array([1.0]), 15, key=3, out=tmp_path / "a")
    again = tw.run(method, jnp.array([1.0]), 40, key=3, out=tmp_path / "a", resume=True)
    assert all((a == b).all() for a, b in zip(*map(jax.tree.leaves, (whole.state, again.state)), strict=True))
    assert whole.state.memory.proposed.tolist() == [7, 6]


def test_an_annealed_law_is_exchanged_at_the_temperature_of_the_time(key):
    law = tw.OverdampedLangevin(wells, lambda t: 1.0 + 0.0 * t)
    scheme = tw.ReplicaExchange(tw.EulerMaruyama(), every=3)
    ends = [
        tw.run(tw.Method(law, scheme, 0.01), jnp.array([1.0]), 50, key=key).final.position
        for law in (law, tw.OverdampedLangevin(wells, 1.0))
    ]
    np.testing.assert_allclose(*ends, rtol=1e-12)


def test_its_limit_is_that_of_its_scheme():
    law = tw.UnderdampedLangevin(None, 1.0, 1.0)
    exchange = tw.Method(law, tw.ReplicaExchange(tw.Splitting("BAOAB")), 0.1)
    assert largest_stable_step(exchange, 4.0) == pytest.approx(1.0, rel=1e-9)
    over = tw.Method(tw.OverdampedLangevin(None, 0.3), tw.ReplicaExchange(tw.MetropolisAdjustedLangevin()), 0.1)
    assert largest_stable_step(over, 4.0) == np.inf and stationary_covariance(over, 4.0) == pytest.approx(0.3 / 4)


OVER = tw.OverdampedLangevin(None, 1.0)
BATCHES = tw.FiniteSum(lambda x, s: 0.5 * jnp.sum((x - s) ** 2), np.ones((9, 2)), batch_size=3)
REFUSED = {
    "half noise": (lambda: tw.ReplicaExchange(tw.LeimkuhlerMatthews()), "belongs to one temperature"),
    "twice": (lambda: tw.ReplicaExchange(tw.ReplicaExchange()), "must be one that makes steps"),
    "no scheme": (lambda: tw.ReplicaExchange("mala"), "must be one that makes steps"),
    "one": (lambda: tw.ReplicaExchange(temperatures=(1.0,)), "must be two numbers or more"),
    "words": (lambda: tw.ReplicaExchange(temperatures=("a", "b")), "must be two numbers or more"),
    "first": (lambda: tw.ReplicaExchange(temperatures=(2.0, 3.0)), "must go up from 1, the law's own, but are 2, 3"),
    "downwards": (lambda: tw.ReplicaExchange(temperatures=(1.0, 3.0, 2.0)), "must go up from 1"),
    "never": (lambda: tw.ReplicaExchange(every=0), "every must be a whole number of at least 1"),
    "cold": (
        lambda: tw.Method(tw.OverdampedLangevin(None, 0.0), tw.ReplicaExchange(), 0.1),
        "temperature must be greater than 0",
    ),
    "no noise": (lambda: tw.Method(tw.GradientFlow(None), tw.ReplicaExchange(), 0.1), "GradientFlow has none"),
    "no sampler": (lambda: tw.Method(OVER, tw.ReplicaExchange(tw.Heun()), 0.1), "would leave out"),
    "mini-batches": (
        lambda: tw.Method(tw.OverdampedLangevin(BATCHES, 1.0), tw.ReplicaExchange(), 0.1), "needs the exact energy",
    ),
    "mini-batches later": (
        lambda: tw.Method(OVER, tw.ReplicaExchange(), 0.1).with_objective(BATCHES).init(jnp.ones(2)),
        "needs the exact energy",
    ),
    "no equation": (
        lambda: stationary_covariance(tw.Method(OVER, tw.ReplicaExchange(), 0.1), 1.0), "is linear on no function",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_wrong_input_is_one_line(case, monkeypatch):
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    attempt, says = REFUSED[case]
    with pytest.raises(tw.InputError) as caught:
        attempt()
    assert says in str(caught.value) and "\n" not in str(caught.value)
