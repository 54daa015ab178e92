"""The exponential of the Fokker-Planck equation on a grid."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

import thalweg as tw
from thalweg.measures import Entropy, Grid, Interaction, Potential
from thalweg.schemes._parts import parted
from thalweg.schemes.exact_fokker_planck import generator


@pytest.mark.parametrize(("shape", "around"), [((31,), True), ((7, 6), (True, False)), ((4, 3, 3), False)])
def test_a_step_of_any_length_is_the_exponential_of_the_matrix(rng, shape, around):
    edges = tuple(np.cumsum(rng.uniform(0.05, 0.6, cells + 1)) for cells in shape)
    functional = Potential(jnp.asarray(3.0 * rng.normal(size=shape))) + 0.7 * Entropy()
    q = Grid.of(jnp.asarray(rng.random(shape)), edges, around)
    product, fastest, _ = generator(q, parted(functional, ""))
    matrix = np.asarray(jax.vmap(lambda e: product(e.reshape(shape)).ravel())(jnp.eye(q.mesh.cells))).T
    assert float(fastest) >= np.abs(np.linalg.eigvals(matrix)).max()
    law = tw.GradientFlow(functional, geometry=tw.geometry.Wasserstein())
    for step in (1e-3, 3.0):
        method = tw.Method(law, tw.ExactFokkerPlanck(), step)
        end = method.step(method.init(q)).position
        exact = scipy.linalg.expm(step * matrix) @ np.asarray(q.masses).ravel()
        assert np.max(np.abs(np.asarray(end.masses).ravel() - exact)) <= 1e-12
        assert abs(float(end.mass) - 1.0) <= 1e-13
        assert float(end.density.min()) >= 0.0


@pytest.mark.parametrize(("curvature", "temperature", "time"), [(8.0, 1.0, 1.0), (20.0, 1.0, 0.1), (4.0, 0.0, 0.3)])
def test_mass_that_begins_high_in_a_potential_is_where_the_exponential_has_it(curvature, temperature, time):
    # A series of Chebyshev loses all digits of it: its norm over the Gibbs state is up to exp(125).
    functional = Potential(lambda x: 0.5 * curvature * x[0] ** 2)
    functional = functional + temperature * Entropy() if temperature else 1.0 * functional
    # Most of the cells have a density of exactly 0.
    q = Grid.of(lambda x: jnp.exp(-0.5 * ((x[0] - 5.0) / 0.1) ** 2), np.linspace(-6.0, 6.0, 81))
    assert float(q.density.min()) == 0.0
    product, *_ = generator(q, parted(functional, ""))
    matrix = np.asarray(jax.vmap(product)(jnp.eye(80))).T
    law = tw.GradientFlow(functional, geometry=tw.geometry.Wasserstein())
    end = tw.run(tw.Method(law, tw.ExactFokkerPlanck(), time), q, 1).final.position
    exact = scipy.linalg.expm(time * matrix) @ np.asarray(q.masses)
    assert np.abs(np.asarray(end.masses) - exact).sum() <= 1e-11
    assert float(end.density.min()) >= 0.0


def test_what_is_not_linear_is_refused():
    law = tw.GradientFlow(Interaction(lambda z: jnp.sum(z**2)), geometry=tw.geometry.Wasserstein())
    with pytest.raises(tw.InputError, match="whose equation is linear"):
        tw.Method(law, tw.ExactFokkerPlanck(), 0.1)


def test_a_start_that_is_no_grid_is_refused():
    for scheme in (tw.ExactFokkerPlanck(), tw.FiniteVolumes()):
        law = tw.GradientFlow(Entropy(), geometry=tw.geometry.Wasserstein())
        with pytest.raises(
            tw.InputError, match=r"moves a density on a tw\.measures\.Grid, but the start is a Gaussian"
        ):
            tw.Method(law, scheme, 0.1).init(tw.measures.Gaussian(0.0, 1.0))
