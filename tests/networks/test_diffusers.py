"""Diffusers' schedulers on equal grids; where they are not their own method, which case it is."""

import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.networks.mixtures import mixture

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers")

# Of their use of NumPy.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

START, LEVELS = np.array([[-1.2], [0.3], [2.0]]), 1000


def noising():
    """Their table, which they keep in float32."""
    levels = np.cumprod(1.0 - np.linspace(1e-4, 0.02, LEVELS, dtype=np.float32), dtype=np.float32)
    return tw.networks.Tabulated(levels.astype(float))


def theirs(scheduler, steps):
    """Their loop, with the noise that ours predicts at the level which they say they are at."""
    scheduler.set_timesteps(steps)
    kind, own = mixture().denoiser(noising()), noising()
    x, levels = torch.tensor(START), []
    for step in scheduler.timesteps:
        if hasattr(scheduler, "sigmas"):
            ratio = float(scheduler.sigmas[scheduler.step_index or 0])
            time = float(own.time_at(-np.log(ratio)))
        else:
            time = float(step) + 1.0
        levels.append(time)
        noise = np.array(kind.parts(own, time, jnp.asarray(x.numpy())).noise)
        x = scheduler.step(torch.tensor(noise), step, x).prev_sample
    return x.numpy(), levels


def ours(scheme, times):
    flow = tw.ProbabilityFlow(noising(), mixture().denoiser(noising()))
    return tw.solve(tw.Method(flow, scheme, times=jnp.asarray(times, float)), jnp.asarray(START)).final.position


def ddim(**settings):
    return diffusers.DDIMScheduler(LEVELS, 1e-4, 0.02, clip_sample=False, **settings)


def solver(**settings):
    return diffusers.DPMSolverMultistepScheduler(LEVELS, 1e-4, 0.02, algorithm_type="dpmsolver++", **settings)


@pytest.mark.parametrize(
    ("settings", "first", "last"),
    [
        ({"timestep_spacing": "trailing"}, 1000, 0),
        ({"timestep_spacing": "leading"}, 901, 0),
        ({"timestep_spacing": "leading", "steps_offset": 1, "set_alpha_to_one": False}, 902, 1),
    ],
)
def test_ddim(settings, first, last):
    found, levels = theirs(ddim(**settings), 10)
    np.testing.assert_allclose(levels, first - 100 * np.arange(10))
    np.testing.assert_allclose(found, ours(tw.DDIM(), [*levels, last]), atol=1e-6)


@pytest.mark.parametrize(
    ("settings", "scheme", "last"),
    [
        ({"final_sigmas_type": "zero"}, tw.ExponentialMultistep(), 0),
        ({"final_sigmas_type": "sigma_min", "lower_order_final": False}, tw.ExponentialMultistep(), 1),
        (
            {"final_sigmas_type": "sigma_min", "lower_order_final": False, "solver_type": "heun"},
            tw.ExponentialMultistep(weights="adams"),
            1,
        ),
    ],
)
def test_dpm_solver_plus_plus_2m(settings, scheme, last):
    found, levels = theirs(solver(**settings), 10)
    np.testing.assert_allclose(found, ours(scheme, [*levels, last]), atol=1e-6)


def test_ddim_of_steps_that_do_not_divide_the_levels_does_not_read_its_grid():
    """A step of theirs goes to t - 1000 // 7, not to the next of its times: the last one ends at level 7, not at 0."""
    found, levels = theirs(ddim(timestep_spacing="trailing"), 7)
    assert float(np.max(np.abs(found - ours(tw.DDIM(), [*levels, 0])))) > 5e-3
    x = START
    for level in levels:
        then = max(level - LEVELS // 7, 0.0)
        x = np.array(ours_from(x, [level, then]))
    np.testing.assert_allclose(found, x, atol=1e-6)


def ours_from(x, times):
    flow = tw.ProbabilityFlow(noising(), mixture().denoiser(noising()))
    return tw.solve(tw.Method(flow, tw.DDIM(), times=jnp.asarray(times, float)), jnp.asarray(x)).final.position


def test_karras_levels_are_asked_of_the_network_at_whole_numbers():
    """Their levels are real, but the network is told the nearest whole one."""
    scheduler = solver(use_karras_sigmas=True)
    scheduler.set_timesteps(10)
    meant = [float(noising().time_at(-np.log(float(s)))) - 1.0 for s in scheduler.sigmas[:-1]]
    told = [float(t) for t in scheduler.timesteps]
    assert all(t == round(t) for t in told)
    assert max(abs(t - m) for t, m in zip(told, meant, strict=True)) > 0.1
