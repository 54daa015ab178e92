"""Samplers by name, and side by side: against closed forms on Gaussian data, and what their parts make."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from thalweg.networks._samplers import samplers

MEAN, VARIANCE = 1.0, 0.3
BUDGETS = [24, 48, 96]


@pytest.fixture(scope="module")
def gaussian():
    """Gaussian data, whose flow is known in closed form."""
    problem = tw.problems.DiffusionProblem(
        "mine", tw.networks.GaussianMixture(jnp.array([MEAN]), VARIANCE), tw.networks.VarianceExploding(), 0.01
    )
    names = ("ddim", "heun", "rk4", "exponential_runge_kutta", "exponential_multistep", "ancestral")
    return problem, tw.networks.compare_samplers(problem, names, BUDGETS, draws=400)


def test_orders_of_the_flow_and_of_the_bias(gaussian):
    _, found = gaussian
    for name, order in {
        "ddim": 1,
        "heun": 2,
        "rk4": 4,
        "exponential_runge_kutta": 2,
        "exponential_multistep": 2,
    }.items():
        rows = found.of(name)
        assert [point.evaluations for point in rows] == BUDGETS
        assert abs(rows[-1].order - order) < 0.35, (name, rows[-1].order)
        assert abs(np.log2(rows[-2].bias / rows[-1].bias) - order) < 0.35, (name, rows)
    assert all(point.from_flow is None and point.order is None for point in found.of("ancestral"))


def test_ends_of_the_flow_are_the_closed_form(gaussian):
    """A Gaussian's flow keeps the place of a point in standard deviations."""
    _, found = gaussian
    starts = jnp.linspace(-160.0, 160.0, 5)[:, None]
    deviations = [np.sqrt(VARIANCE + t**2) for t in (80.0, 0.01)]
    exact = MEAN + (starts - MEAN) * deviations[1] / deviations[0]
    best = found.methods["rk4"]
    own = jax.vmap(lambda x: tw.solve(best, x).final.position)(starts)
    slope = np.polyfit(np.sort(found.flow[:, 0]), np.sort(found.ends["rk4"][:, 0]), 1)
    np.testing.assert_allclose(slope, [1.0, 0.0], atol=2e-3)
    np.testing.assert_allclose(own, exact, rtol=5e-3)
    # The flow from N(0, 80^2) has this spread, and not that of data.
    assert abs(np.std(found.flow) / (80.0 * deviations[1] / deviations[0]) - 1.0) < 4.0 / np.sqrt(800.0)


def test_bias_is_that_of_sampling_bias_for_grids_of_any_length(gaussian):
    problem, found = gaussian
    data = tw.measures.Gaussian(MEAN, VARIANCE)
    for name in ("ddim", "ancestral", "exponential_multistep"):
        for point in found.of(name):
            times = tw.networks.time_grid(problem.noising, point.steps, end=0.01)
            method = tw.networks.sampler(name, problem.noising, problem.data.denoiser(problem.noising), times)
            alone = tw.analysis.sampling_bias(method, data, start="exact").wasserstein
            assert abs(point.bias - alone) < 1e-12


def test_distance_from_the_data_is_the_energy_distance(gaussian):
    _, found = gaussian
    x, y = found.ends["ancestral"][:, 0], found.data[:, 0]

    def apart(a, b):
        return np.abs(a[:, None] - b[None]).mean()

    energy = 2.0 * apart(x, y) - apart(x, x) - apart(y, y)
    assert abs(found.of("ancestral")[-1].from_data - energy) < 1e-10


@pytest.mark.parametrize("name", sorted(samplers()))
def test_every_name_makes_samples_of_the_data(name):
    """A budget of 120 for a Gaussian: standard deviation within 5 %, by the probe, but for the large variance."""
    noising, data = tw.networks.VariancePreserving(), tw.networks.GaussianMixture(jnp.array([MEAN]), VARIANCE)
    method = tw.networks.sampler(name, noising, data.denoiser(noising), tw.networks.time_grid(noising, 120))
    found = tw.analysis.sampling_bias(method, tw.measures.Gaussian(MEAN, VARIANCE), start="exact")
    assert abs(float(np.sqrt(found.covariance[0, 0] / VARIANCE)) - 1.0) < 0.06


def test_a_name_is_what_it_is_made_of():
    noising, data = tw.networks.VariancePreserving(), tw.networks.GaussianMixture(jnp.array([MEAN]), VARIANCE)
    score, times = data.denoiser(noising), tw.networks.time_grid(noising, 12)
    pairs = {
        ("ddim", ("eta", 0.5)): (tw.ReverseDiffusion(noising, score, 0.5), tw.DDIM()),
        ("ancestral_large",): (tw.ReverseDiffusion(noising, score), tw.Ancestral("large")),
        ("exponential_multistep", ("order", 3)): (tw.ProbabilityFlow(noising, score), tw.ExponentialMultistep(3)),
        ("euler",): (tw.ProbabilityFlow(noising, score), tw.Euler()),
    }
    for (name, *numbers), (law, scheme) in pairs.items():
        named = tw.networks.sampler(name, noising, score, times, **dict(numbers))
        ends = [
            tw.solve(one, jnp.array([0.7]), key=3).final.position
            for one in (named, tw.Method(law, scheme, times=times))
        ]
        np.testing.assert_array_equal(*ends)


def test_methods_of_ones_own_have_their_own_score():
    """One whose score is of other data ends elsewhere, and is near to its own flow all the same."""
    noising = tw.networks.VarianceExploding()
    data, other = (tw.networks.GaussianMixture(jnp.array([m]), VARIANCE) for m in (MEAN, 5.0))
    law = tw.ProbabilityFlow(noising, other.denoiser(noising))
    methods = {"mine": tw.Method(law, tw.RK4(), times=jnp.array([80.0, 1.0]))}
    found = tw.networks.compare_samplers(data, methods, [128], noising=noising, draws=100)
    (point,) = found.points
    assert point.from_flow < 1e-3 and abs(np.mean(found.ends["mine"]) - 5.0) < 0.3 and point.from_data > 1.0


def test_a_score_takes_the_place_of_the_exact_one():
    noising, data = tw.networks.RectifiedFlow(), tw.networks.GaussianMixture(jnp.array([MEAN, -MEAN]), VARIANCE)
    found = tw.networks.compare_samplers(
        data, "heun", [64], noising=noising, score=tw.networks.Denoiser(lambda t, x: 0.0 * x + 3.0), draws=50
    )
    np.testing.assert_allclose(found.ends["heun"], 3.0, atol=0.02)


def test_misfits_are_one_line():
    problem = tw.problems.diffusion("gaussian-diffusion")
    law = tw.ProbabilityFlow(problem.noising, lambda t, x: -x)
    times = jnp.array([0.9, 0.1])
    for samplers_, message in {
        ("ddmi",): "sampler 'ddmi' is unknown; did you mean 'ddim'",
        (): "needs at least one sampler",
    }.items():
        with pytest.raises(tw.InputError, match=message):
            tw.networks.compare_samplers(problem, samplers_)
    wrong = {
        "follows GradientFlow": tw.gradient_descent(lambda x: jnp.sum(x**2), 0.1),
        "is of VariancePreserving": tw.Method(law, tw.DDIM(), times=times),
    }
    for message, method in wrong.items():
        with pytest.raises(tw.InputError, match=message):
            tw.networks.compare_samplers(problem.data, {"mine": method})
    # The same kind of noising, with other numbers.
    fast = tw.ProbabilityFlow(tw.networks.VariancePreserving(beta_max=10.0), lambda t, x: -x)
    with pytest.raises(tw.InputError, match="but the data are noised by"):
        tw.networks.compare_samplers(problem, {"mine": tw.Method(fast, tw.DDIM(), times=times)})
    with pytest.raises(tw.InputError, match=r"a step of rk4 takes 4 evaluations, more than the 3"):
        tw.networks.compare_samplers(problem, "rk4", [3, 8])
    with pytest.raises(tw.InputError, match="evaluations must hold"):
        tw.networks.compare_samplers(problem, "rk4", [])
    with pytest.raises(tw.InputError, match="ddim has no 'order'"):
        tw.networks.sampler("ddim", problem.noising, lambda t, x: -x, times, order=2)
    with pytest.raises(tw.InputError, match=r"order must be a whole number, but is 2\.5"):
        tw.networks.sampler("exponential_multistep", problem.noising, lambda t, x: -x, times, order=2.5)
    with pytest.raises(tw.InputError, match="end must be at most 1"):
        tw.problems.DiffusionProblem("mine", problem.data, problem.noising, 2.0)


@pytest.mark.slow
@pytest.mark.parametrize("name", tw.problems.diffusion_names())
def test_every_problem_is_sampled(name):
    """The samples of a good sampler are as far from the data as data are from data, in units of their size."""
    problem = tw.problems.diffusion(name)
    found = tw.networks.compare_samplers(problem, "exponential_multistep", [32, 64], draws=200)
    size = float(np.sqrt(np.trace(np.asarray(problem.data.covariance))))
    assert problem.dimension == found.flow.shape[1] and problem.description
    assert found.points[-1].from_data < found.floor + 0.05 * size
    assert found.points[-1].from_flow < 0.1 * size
