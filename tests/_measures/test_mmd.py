"""The flow of the energy distance to the uniform law, whose particles move on straight ways."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw

M = tw.measures


@pytest.mark.parametrize("cells", [2, 7])
def test_energy_distance_to_the_uniform_law_is_exact_for_any_number_of_particles(cells, rng):
    start = np.sort(rng.uniform(size=9))
    uneven = np.concatenate([[0.0], np.sort(rng.uniform(size=cells - 1)), [1.0]])
    F = M.MMD(M.Grid(jnp.ones(cells), jnp.array(uneven)), M.EnergyKernel())
    order = rng.permutation(9)
    method = tw.Method(tw.GradientFlow(F, geometry=tw.geometry.Wasserstein()), tw.RK4(), 0.02)
    run = tw.run(method, M.Particles(jnp.array(start[order])), 25, record=None, progress=False)
    goal = (np.arange(9) + 0.5) / 9
    expected = goal + np.exp(-2.0) * (start - goal)
    np.testing.assert_allclose(run.final.position.positions[:, 0], expected[order], atol=1e-7)
    # 2 E|X-Y| - E|X-X'| - E|Y-Y'| with E|x-Y| = x^2 - x + 1/2 and E|Y-Y'| = 1/3.
    pairs = np.abs(start[:, None] - start[None]).mean()
    value = 2 * np.mean(start**2 - start + 0.5) - pairs - 1 / 3
    np.testing.assert_allclose(F.value(M.Particles(jnp.array(start))), value, atol=1e-14)
