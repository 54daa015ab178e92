"""Birth and death on particles: masses of modes, and what it cannot do."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

M, G = tw.measures, tw.geometry
MASSES, CENTRES, VARIANCE = jnp.array([0.5, 0.3, 0.2]), jnp.array([[-4.0, 0.0], [4.0, 0.0], [0.0, 5.0]]), 0.5


def potential(x):
    apart = jnp.sum((x[None] - CENTRES) ** 2, axis=1)
    return -jax.scipy.special.logsumexp(jnp.log(MASSES) - 0.5 * apart / VARIANCE)


def method(step=0.02, bandwidth=0.5, scheme=None, geometry=None):
    flow = tw.GradientFlow(M.KL(potential, bandwidth=bandwidth), geometry=geometry or G.WassersteinFisherRao())
    return tw.Method(flow, scheme or tw.BirthDeath(), step)


def start(seed):
    normals = jax.random.normal(jax.random.key(seed), (60, 2))
    x = jnp.repeat(CENTRES, 20, axis=0) + jnp.sqrt(VARIANCE) * normals
    return M.Particles(x, jnp.repeat(jnp.array([0.1, 0.2, 0.7]) / 20, 20))


@pytest.mark.slow
def test_twenty_particles_in_every_mode_find_its_mass(seed):
    def masses(state):
        return jnp.append(state.position.weights.reshape(3, 20).sum(axis=1), state.position.mass)

    run = jax.jit(lambda q, key: tw.solve(method(), q, 8000, key=key, save=masses).saved)
    rows = np.asarray(run(start(seed), jax.random.key(seed)))
    assert np.max(np.abs(rows[:, 3] - 1.0)) <= 60 * np.finfo(float).eps
    settled = rows[1001:, :3]
    error = np.abs(settled.mean(axis=0) - np.asarray(MASSES))
    # Of means over blocks that are far longer than the memory of the masses.
    blocks = settled.reshape(14, 500, 3).mean(axis=1)
    assert np.all(error < 0.02)
    assert np.all(error < 3 * blocks.std(axis=0, ddof=1) / np.sqrt(14))


def test_from_one_mode_it_stays_there_and_says_so(seed):
    q = M.Particles(start(seed).positions[:20])
    run = tw.run(method(), q, 100, key=seed, record=None, progress=False)
    assert "a mode that none of them was in has none" in run.message
    assert float(jnp.max(jnp.linalg.norm(run.final.position.positions - CENTRES[:1], axis=1))) < 4.0
    assert abs(float(run.final.position.mass) - 1.0) <= 20 * np.finfo(float).eps
    assert float(run.final.position.weights.min()) > 0.0


def test_weights_change_as_fisher_rao_has_it_where_nothing_moves(seed):
    # Its dual coordinates are log w, so that Euler's method there is the exact step at the first variation.
    q, still = start(seed), G.WassersteinFisherRao(transport=0.0, reaction=0.7)
    after = method(0.05, geometry=still).step(
        method(0.05, geometry=still).init(q), method(0.05).draw(jax.random.key(0), q)
    )
    law = tw.GradientFlow(0.7 * M.KL(potential, bandwidth=0.5), geometry=G.FisherRao())
    euler = tw.Method(law, tw.Euler(), 0.05)
    np.testing.assert_allclose(after.position.weights, euler.step(euler.init(q)).position.weights, rtol=1e-12)
    assert np.array_equal(after.position.positions, q.positions)


REFUSED = {
    "no bandwidth": (lambda: method(bandwidth=None), "needs a bandwidth"),
    "another geometry": (lambda: method(geometry=G.Wasserstein()), "in tw.geometry.WassersteinFisherRao"),
    "a Gaussian": (lambda: tw.run(method(), M.Gaussian(jnp.zeros(2), 1.0), 3, key=0), "moves particles"),
    "no key": (lambda: tw.run(method(), start(0), 3), "give a key"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_has_no_birth_and_death_is_refused(case):
    call, words = REFUSED[case]
    with pytest.raises(tw.InputError, match=words):
        call()


def test_collapse_is_said_at_the_end_of_a_run(seed):
    wide = M.Particles(jax.random.normal(jax.random.key(seed), (8, 20)))
    F = M.KL(lambda x: 0.5 * jnp.sum(x**2))
    stein = tw.GradientFlow(F, geometry=G.Stein(M.GaussianKernel(2.0)))
    with pytest.warns(M.EnsembleWarning, match="too close together"):
        run = tw.run(tw.Method(stein, tw.Euler(), 0.3), wide, 300, record=None, progress=False)
    assert "in 20 dimensions 8 particles may be too few" in run.message
    far = M.Particles(jnp.linspace(0.0, 10.0, 11), log_density=jnp.zeros(11))
    with pytest.warns(M.EnsembleWarning, match="effective ones are left of 11"):
        tw.run(tw.Method(tw.GradientFlow(F, geometry=G.FisherRao()), tw.Euler(), 0.5), far, 20, record=None)


def test_a_particle_that_has_died_far_from_all_others_changes_nothing():
    living, weights = np.array([0.0, 0.3, 1.0]), np.array([0.5, 0.2, 0.3])
    few = M.Particles(living, weights)
    more = M.Particles(np.append(living, 500.0), np.append(weights, 0.0))
    for F in (M.Entropy(0.2), M.Internal(0.5, 0.2), M.Internal(2.0, 0.2)):
        assert float(F.value(more)) == pytest.approx(float(F.value(few)), rel=1e-13)
        found, expected = F.gradient(more), F.gradient(few)
        np.testing.assert_allclose(found.weights[:3], expected.weights, rtol=1e-12)
        np.testing.assert_allclose(found.positions[:3], expected.positions, rtol=1e-12)
    law = tw.GradientFlow(M.KL(lambda x: 0.5 * x @ x, bandwidth=0.2), geometry=G.WassersteinFisherRao())
    end = tw.run(tw.Method(law, tw.BirthDeath(), 0.01), more, 20, key=0)
    assert end.status == "finished" and float(end.final.position.weights[3]) == 0.0
