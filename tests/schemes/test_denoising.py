"""Schemes of diffusion models: their orders, what is the same in every parametrisation, and their ends."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import thalweg as tw
from tests.networks.mixtures import NOISINGS, mixture, predictions

START = jnp.array([[-60.0], [10.0], [70.0], [100.0]])

SCHEMES = {
    "DDIM": (tw.DDIM, 1),
    "Euler": (tw.Euler, 1),
    "Heun": (tw.Heun, 2),
    "RK4": (tw.RK4, 4),
    "exponential 1": (lambda: tw.ExponentialRungeKutta(1), 1),
    "exponential 2": (lambda: tw.ExponentialRungeKutta(2), 2),
    "exponential 2 of the noise": (lambda: tw.ExponentialRungeKutta(2, "noise"), 2),
    "exponential 3": (lambda: tw.ExponentialRungeKutta(3), 3),
    "exponential 3 of the noise": (lambda: tw.ExponentialRungeKutta(3, "noise"), 3),
    "multistep 2": (tw.ExponentialMultistep, 2),
    "multistep 2, adams": (lambda: tw.ExponentialMultistep(2, weights="adams"), 2),
    "multistep 2 of the noise": (lambda: tw.ExponentialMultistep(2, "noise"), 2),
    "multistep 3": (lambda: tw.ExponentialMultistep(3), 3),
    "multistep 3 of the noise": (lambda: tw.ExponentialMultistep(3, "noise"), 3),
}


@functools.cache
def exact():
    """From 80 to 0.01, to 1e-13: 4,000 and 8,000 steps of order 5 differ by less."""
    noising = tw.networks.VarianceExploding()
    flow = tw.ProbabilityFlow(noising, mixture().denoiser(noising))
    times = tw.networks.time_grid(noising, 4000, "log_snr", end=0.01)
    return tw.solve(tw.Method(flow, tw.DormandPrince(), times=times), START).final.position


def uneven(noising, steps):
    """A grid in log SNR whose steps are up to twice as long here as there."""
    part = np.linspace(0.0, 1.0, steps + 1)
    part = part + 0.3 / (2 * np.pi) * np.sin(2 * np.pi * part)
    first, last = float(noising.log_snr(80.0)), float(noising.log_snr(0.01))
    times = np.array(noising.time_at(first + part * (last - first)))
    times[0], times[-1] = 80.0, 0.01
    return jnp.asarray(times)


SLOW = pytest.mark.slow
# On uneven steps what looks back counts, and what has stages in between.
ORDERS = [
    *((name, "karras") for name in SCHEMES),
    *((name, "uneven") for name in ("multistep 2", "multistep 3", "exponential 3 of the noise")),
    *(pytest.param(name, "uneven", marks=SLOW) for name in ("Heun", "multistep 2, adams", "multistep 3 of the noise")),
]


@pytest.mark.parametrize(("name", "spacing"), ORDERS)
def test_orders(name, spacing):
    make, order = SCHEMES[name]
    noising = tw.networks.VarianceExploding()
    flow, errors = tw.ProbabilityFlow(noising, mixture().denoiser(noising)), []
    for steps in (800, 1600):
        times = uneven(noising, steps) if spacing == "uneven" else tw.networks.time_grid(noising, steps, end=0.01)
        found = tw.solve(tw.Method(flow, make(), times=times), START).final.position
        errors.append(float(jnp.max(jnp.abs(found - exact()))))
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.1)
    assert make().order == order


def ends_of_all(noising, make, times, x):
    """The end by every kind of prediction, in one program."""

    @jax.jit
    def ends():
        return {
            kind: tw.solve(tw.Method(tw.ProbabilityFlow(noising, p), make(), times=times), x).final.position
            for kind, p in predictions(mixture(), noising).items()
        }

    return ends()


def some(names):
    return [name if name in names else pytest.param(name, marks=SLOW) for name in SCHEMES]


@pytest.mark.parametrize("name", some(("DDIM", "Heun", "exponential 3 of the noise", "multistep 3")))
def test_all_parametrisations_are_the_same(name):
    for noising in (tw.networks.VarianceExploding(), tw.networks.Trigonometric()):
        end = float(noising.end)
        times = tw.networks.time_grid(noising, 12, end=0.02 * end, start=0.9 * end)
        ends = ends_of_all(noising, SCHEMES[name][0], times, START / 50.0)
        for kind, end in ends.items():
            np.testing.assert_allclose(end, ends["denoiser"], atol=1e-12, err_msg=kind)


@pytest.mark.parametrize("name", some(("Heun", "multistep 3")))
@pytest.mark.parametrize("noising", ["variance preserving", "variance exploding", "rectified flow"])
def test_to_no_noise_every_parametrisation_is_finite_and_near_the_others(name, noising):
    noising = NOISINGS[noising]()
    start = 0.8 * float(noising.end)
    for times in (
        tw.networks.time_grid(noising, 4, start=start, to_data=True),
        jnp.array([start, 0.0]),
    ):
        ends = ends_of_all(noising, SCHEMES[name][0], times, jnp.array([[-0.7], [0.4]]))
        for kind, end in ends.items():
            # Near no noise a part of 1e-8 of the score is what data or noise lose when it is made of them.
            np.testing.assert_allclose(end, ends["score"], atol=1e-6, err_msg=kind)


def test_ddim_is_euler_in_the_coordinates_of_the_noise_and_euler_on_rectified_flow():
    noising = tw.networks.VariancePreserving()
    times = tw.networks.time_grid(noising, 10)
    flow = tw.ProbabilityFlow(noising, mixture().denoiser(noising))
    ours = tw.solve(tw.Method(flow, tw.DDIM(), times=times), jnp.array([[0.3]])).final.position
    ratio = noising.noise(times) / noising.signal(times)
    # dy/dr = noise, of y = x / signal and r = noise / signal, that is of a variance-exploding noising.
    exploding = tw.networks.VarianceExploding(float(ratio[0]))
    plain = tw.ProbabilityFlow(exploding, mixture().denoiser(exploding))
    y = jnp.array([[0.3]]) / noising.signal(times[0])
    euler = tw.solve(tw.Method(plain, tw.Euler(), times=ratio), y).final.position
    np.testing.assert_allclose(ours, euler * noising.signal(times[-1]), rtol=1e-12)
    straight = tw.networks.RectifiedFlow()
    law = tw.ProbabilityFlow(straight, mixture().denoiser(straight))
    grid = tw.networks.time_grid(straight, 10, "time", end=0.0)
    one, other = (
        tw.solve(tw.Method(law, scheme, times=grid), jnp.array([[0.3]])).final.position
        for scheme in (tw.Euler(), tw.DDIM())
    )
    np.testing.assert_allclose(one, other, rtol=1e-12)


def test_exponential_schemes_are_exact_where_the_prediction_does_not_change():
    noising = tw.networks.VariancePreserving()
    flow = tw.ProbabilityFlow(noising, tw.networks.Denoiser(lambda t, x: jnp.full_like(x, 3.0)))
    times, x = jnp.array([0.9, 0.5, 0.1]), jnp.array([0.4])
    for make in (tw.DDIM, lambda: tw.ExponentialRungeKutta(3), lambda: tw.ExponentialMultistep(3)):
        end = tw.solve(tw.Method(flow, make(), times=times), x).final.position
        signal, noise = noising.signal(times), noising.noise(times)
        right = 3.0 * signal[-1] + noise[-1] * (x - 3.0 * signal[0]) / noise[0]
        np.testing.assert_allclose(end, right, rtol=1e-13)


def test_evaluations_are_counted():
    noising = tw.networks.VarianceExploding()
    flow = tw.ProbabilityFlow(noising, mixture().denoiser(noising))
    times = tw.networks.time_grid(noising, 10)
    counts = {name: tw.Method(flow, make(), times=times).gradients_per_step for name, (make, _) in SCHEMES.items()}
    assert (counts["DDIM"], counts["Heun"], counts["RK4"]) == (1, 2, 4)
    assert [counts[f"exponential {k}"] for k in (1, 2, 3)] == [1, 2, 3]
    third = tw.Method(flow, tw.ExponentialMultistep(3), times=times)
    assert (counts["multistep 2"], third.gradients_per_step, third.gradients_at_start) == (1, 1, 1)


def test_a_tree_of_any_shapes_is_moved_as_the_run_moves_its_vector():
    noising = tw.networks.VariancePreserving()
    times = tw.networks.time_grid(noising, 6)
    x = {"a": jnp.array([[0.3, -1.0], [2.0, 0.1]]), "b": jnp.array(0.7)}

    def denoised(t, x):
        return {"a": x["a"] @ jnp.array([[0.5, 0.1], [0.0, 0.3]]) * (1.0 - t), "b": jnp.sin(x["b"])}

    for law in (tw.ProbabilityFlow, tw.ReverseDiffusion):
        for scheme in (tw.DDIM(), tw.EulerMaruyama()) if law is tw.ReverseDiffusion else (tw.ExponentialMultistep(3),):
            method = tw.Method(law(noising, tw.networks.Denoiser(denoised)), scheme, times=times)
            ran, solved = tw.run(method, x, key=1).final.position, tw.solve(method, x, key=1).final.position
            for name in x:
                np.testing.assert_allclose(ran[name], solved[name], rtol=1e-12)


def test_noise_has_the_marginals_of_the_data_whatever_eta():
    """400,000 draws of two steps: mean and variance within four of their errors of the exact ones."""
    noising = tw.networks.VariancePreserving()
    gaussian = tw.measures.Gaussian(jnp.array([1.0]), 0.25)
    score = tw.networks.GaussianMixture(jnp.array([1.0]), jnp.array([[0.25]])).denoiser(noising)
    times, count = jnp.array([0.9, 0.5, 0.2]), 400_000
    for eta, scheme in ((1.0, tw.Ancestral("large")), (0.5, tw.DDIM()), (1.0, tw.StochasticHeun())):
        method = tw.Method(tw.ReverseDiffusion(noising, score, eta), scheme, times=times)
        bias = tw.analysis.sampling_bias(method, gaussian)
        x = noising.prior(jax.random.key(0), jnp.zeros((count, 1)), 0.9)
        end = tw.solve(method, x, key=3).final.position
        variance = float(bias.covariance[0, 0])
        assert float(jnp.mean(end)) == pytest.approx(float(bias.mean[0]), abs=4.0 * (variance / count) ** 0.5)
        assert float(jnp.var(end)) == pytest.approx(variance, rel=4.0 * (2.0 / count) ** 0.5)


def flow(**arguments):
    noising = arguments.pop("noising", tw.networks.RectifiedFlow())
    return tw.ProbabilityFlow(noising, arguments.pop("score", lambda t, x: -x))


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: tw.Method(flow(), tw.Heun(), times=jnp.array([1.0, 0.5])), "there is no signal, where the score says"),
        (
            lambda: tw.Method(
                flow(score=tw.networks.NoisePrediction(lambda t, x: x)), tw.DDIM(), times=jnp.array([1.0, 0.5])
            ),
            "there is no signal, where the noise says nothing",
        ),
        (lambda: tw.Method(flow(), tw.Heun(), times=jnp.array([1.5, 0.5])), "times must be between 0 and 1"),
        (lambda: tw.Method(flow(), tw.Heun(), times=jnp.array([0.5, 0.7, 0.6])), "times must go up, or down"),
        (lambda: tw.Method(tw.ReverseDiffusion(tw.networks.RectifiedFlow(), lambda t, x: -x), tw.EulerMaruyama(), 0.1),
         "give times that go down"),
        (lambda: tw.Method(tw.ReverseDiffusion(tw.networks.RectifiedFlow(), lambda t, x: -x), tw.Heun(),
                           times=jnp.array([0.5, 0.2])), "has noise, which RungeKutta would leave out"),
        (lambda: tw.Method(tw.ReverseDiffusion(tw.networks.RectifiedFlow(), tw.networks.Denoiser(lambda t, x: -x)),
                           tw.EulerMaruyama(), times=jnp.array([1.0, 0.2])), "is infinite; let the times be below it"),
        (lambda: tw.Method(flow(), tw.Ancestral(), times=jnp.array([0.5, 0.2])), "Ancestral draws noise"),
        (lambda: tw.Method(tw.ReverseDiffusion(tw.networks.RectifiedFlow(), lambda t, x: -x, 0.5), tw.Ancestral(),
                           times=jnp.array([0.5, 0.2])), "eta, for tw.Ancestral\\(\\), must be at least 1"),
        (lambda: tw.Method(tw.ReverseDiffusion(tw.networks.RectifiedFlow(), lambda t, x: -x, 1.5), tw.DDIM(),
                           times=jnp.array([0.5, 0.2])), "must be at most 1"),
        (lambda: tw.Ancestral("medium"), "variance 'medium' is unknown"),
        (lambda: tw.ExponentialRungeKutta(4), "order must be 1, 2 or 3, but is 4"),
        (lambda: tw.ExponentialMultistep(3, weights="midpoint"), 'weights of order 3 must be "adams"'),
        (lambda: tw.ExponentialMultistep(prediction="score"), "prediction 'score' is unknown"),
        (lambda: tw.Method(tw.GradientFlow(lambda x: jnp.sum(x**2)), tw.DDIM(), 0.1), "DDIM acts on noising"),
        (lambda: tw.ProbabilityFlow(tw.networks.RectifiedFlow(), 3), "score must be a function of"),
        (lambda: tw.solve(tw.Method(flow(score=lambda t, x: x[:1]), tw.Euler(), times=jnp.array([0.5, 0.2])),
                          jnp.ones(2)), "must give arrays of the shapes of x"),
    ],
)  # fmt: skip
def test_wrong_input_is_one_line(make, words):
    with pytest.raises(tw.InputError, match=words) as found:
        make()
    assert "\n" not in str(found.value)


def test_a_score_that_is_not_finite_is_said_by_a_run():
    law = tw.ProbabilityFlow(tw.networks.RectifiedFlow(), lambda t, x: x * jnp.nan)
    run = tw.run(tw.Method(law, tw.Euler(), times=jnp.array([0.5, 0.3, 0.2])), jnp.ones(2))
    assert "not finite" in run.message


def test_a_motion_that_leaves_the_noising_is_not_followed_in_silence():
    """By a step size a flow goes up in time, for as many steps as are asked for: past the end there is no law."""
    for noising, scheme in ((tw.networks.VarianceExploding(1.0), tw.RK4()), (tw.networks.RectifiedFlow(), tw.DDIM())):
        law = tw.ProbabilityFlow(noising, tw.networks.Denoiser(lambda t, x: 0.5 * x))
        run = tw.run(tw.Method(law, scheme, 0.25), jnp.ones(2), 8)
        assert "not finite" in run.message
        assert bool(jnp.all(jnp.isfinite(tw.run(tw.Method(law, scheme, 0.25), jnp.ones(2), 4).final.position)))


@pytest.mark.parametrize(
    ("start", "words"),
    [(2.0, "times must be between 0 and 1"), (-1.0, "start must be greater than 0"), (None, "there is no signal")],
)
def test_a_start_that_is_none_is_refused(start, words):
    with pytest.raises(tw.InputError, match=words):
        flow().backwards(start)
