"""Diffusion models: the flow of their densities, its discretisations, and what a perfect score gives."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._loops.solve import solve
from .._measures.gaussian import Gaussian
from .._measures.kl import KL
from .._methods.method import Method
from .._noising.base import AbstractNoising
from .._noising.exact import AbstractData, DataSet, GaussianMixture
from .._noising.noisings import RectifiedFlow, Tabulated, VarianceExploding, VariancePreserving
from ..analysis import sampling_bias
from ..dynamics import AbstractDynamics, Field, ProbabilityFlow, ReverseDiffusion
from ..geometry import Wasserstein
from ..measures import flow
from ..networks import time_grid
from ..schemes import DDIM, RK4, AbstractScheme, Ancestral, Euler, EulerMaruyama
from ._experiment import shown
from ._ledger import Correction, Outcome, claim

# Of Gaussian data; of a mixture that no flow takes to in a straight line.
MEAN, VARIANCE = 1.0, 0.3


def mixture() -> GaussianMixture:
    return GaussianMixture(jnp.array([[-1.0], [0.5], [2.0]]), jnp.array([0.04, 0.16, 0.01]), jnp.array([0.3, 0.5, 0.2]))


def ends(law: AbstractDynamics, scheme: AbstractScheme, times: Any, x: Any) -> np.ndarray:
    """The ends of some starts."""
    method = Method(law, scheme, times=times)
    return np.asarray(jax.jit(lambda x: solve(method, x).final.position)(jnp.asarray(x, float)))


LAW: Callable[[AbstractNoising, Any], AbstractDynamics] = ProbabilityFlow


@claim(
    "probability-flow-has-the-marginals",
    "000.11, 000.12",
    "The reverse diffusion of DDPM can be modelled as an ordinary differential equation, the probability flow: a "
    "continuous way from noise to data.",
)
def probability_flow() -> Outcome:
    """Deviations of Gaussian data on their way back: by the flow, by the reversed diffusion and as they are noised.

    With all of the score for half of it, as for the diffusion, the flow has other ones. Steps twice as many are half as
    long, so that the way is continuous.
    """
    noising, data = VariancePreserving(), GaussianMixture(jnp.array([MEAN]), VARIANCE)
    denoiser = data.denoiser(noising)
    expected, measured, longest = [], [], []
    for end in (0.5, 0.1):
        times = time_grid(noising, 400, "log_snr", end=end)
        first, last = (noising.signal(t) ** 2 * VARIANCE + noising.noise(t) ** 2 for t in (times[0], times[-1]))
        two = ends(LAW(noising, denoiser), RK4(), times, [[0.0], [1.0]])
        method = Method(ReverseDiffusion(noising, denoiser), EulerMaruyama(), times=times)
        spread = sampling_bias(method, Gaussian(MEAN, VARIANCE), start="exact").covariance
        expected += [float(jnp.sqrt(last))] * 2
        measured += [float(abs(two[1, 0] - two[0, 0]) * jnp.sqrt(first)), float(np.sqrt(spread[0, 0]))]
    for steps in (200, 400):
        times = time_grid(noising, steps, "log_snr", end=0.1)
        method = Method(LAW(noising, denoiser), RK4(), times=times)
        path = np.asarray(solve(method, jnp.array([1.0]), save=lambda state: state.position).saved)
        longest.append(float(np.abs(np.diff(path[:, 0])).max()))
    ratio = longest[0] / longest[1]
    close = np.abs(np.subtract(measured, expected)) < [1e-6, 0.01, 1e-6, 0.01]
    return Outcome(
        *shown(
            "deviation half-way {:.3f} by the flow and {:.3f} with noise, at the end {:.3f} and {:.3f}; longest step "
            "over that of twice as many {:.1f}",
            [*expected, 2.0],
            [*measured, ratio],
        ),
        holds=bool(close.all()) and abs(ratio - 2.0) < 0.1,
    )


def doubled(noising: AbstractNoising, score: Any) -> AbstractDynamics:
    """The drift of the reversed diffusion, taken for the flow."""
    law = ReverseDiffusion(noising, score)

    def fn(t: Any, x: Any, args: Any) -> Any:
        del args
        signal, noise = noising.signal(t), noising.noise(t)
        clean = law.score.parts(noising, t, x).clean
        return noising.drift(t) * x - noising.diffusion(t) ** 2 * (signal * clean - x) / noise**2

    return Field(fn)


SCHEME: Callable[[], AbstractScheme] = DDIM


@claim(
    "ddim-is-euler",
    "song2021ddim",
    "DDIM is Euler's method: of the noise that is predicted by noise over signal, and on rectified flow as it stands.",
)
def ddim() -> Outcome:
    """The distance of its end from Euler's in these coordinates, on a mixture, at 12 steps."""
    noising, start = VariancePreserving(), np.array([[0.3], [-1.2]])
    times = time_grid(noising, 12)
    ours = ends(ProbabilityFlow(noising, mixture().denoiser(noising)), SCHEME(), times, start)
    ratio = noising.noise(times) / noising.signal(times)
    plain = VarianceExploding(float(ratio[0]))
    y = start / noising.signal(times[0])
    euler = ends(ProbabilityFlow(plain, mixture().denoiser(plain)), Euler(), ratio, y) * noising.signal(times[-1])
    straight = RectifiedFlow()
    law, grid = ProbabilityFlow(straight, mixture().denoiser(straight)), time_grid(straight, 12, "time", end=0.0)
    apart = [float(np.abs(ours - euler).max())]
    apart.append(float(np.abs(ends(law, SCHEME(), grid, start) - ends(law, Euler(), grid, start)).max()))
    return Outcome(
        *shown("distance {:.0e} in noise over signal, {:.0e} on rectified flow", [0.0, 0.0], apart),
        holds=max(apart) < 1e-9,
    )


VARIANCES = ("small", "large")


@claim(
    "which-posterior-variance",
    "ho2020",
    "Of the two variances of DDPM the small one is right of data that are one point, and the large one of data of "
    "variance 1; in between neither is.",
)
def posterior_variance() -> Outcome:
    """The exact Wasserstein distance, after one step begun right, of either variance for three kinds of data."""
    noising, times = Tabulated(jnp.cumprod(1.0 - jnp.linspace(1e-3, 0.1, 100))), (60.0, 20.0)
    (bar, before), spreads = (float(noising.signal(t)) ** 2 for t in times), (1e-12, VARIANCE, 1.0)
    beta = 1.0 - bar / before
    drawn = {"small": beta * (1.0 - before) / (1.0 - bar), "large": beta}
    pull = before * beta**2 / (1.0 - bar)
    expected, measured = [], []
    for spread in spreads:
        marginal = before * spread + 1.0 - before
        right = drawn["small"] + pull * spread / (bar * spread + 1.0 - bar)
        expected += [abs((marginal - right + drawn[name]) ** 0.5 - marginal**0.5) for name in ("small", "large")]
        for variance in VARIANCES:
            law = ReverseDiffusion(noising, lambda t, x: x)
            method = Method(law, Ancestral(variance), times=jnp.array(times))
            measured.append(sampling_bias(method, Gaussian(MEAN, spread), start="exact").wasserstein)
    names = [f"{{:.3f}} and {{:.3f}} of data of variance {spread:.1g}" for spread in spreads]
    return Outcome(
        *shown("error of the small and the large one: " + ", ".join(names), expected, measured),
        holds=bool(np.abs(np.subtract(measured, expected)).max() < 1e-5)
        and max(measured[0], measured[5]) < 1e-5 < 1e-2 < min(measured[1:5]),
    )


def points() -> DataSet:
    return DataSet(jax.random.normal(jax.random.key(0), (40, 2)))


DATA: Callable[[], AbstractData] = points


@claim(
    "exact-score-reproduces-the-data",
    "karras2022",
    "The exact score of a data set reproduces the data set.",
)
def reproduced() -> Outcome:
    """Ends of 400 samples of 40 points: how far they are from the nearest one, and how many of them are reached."""
    noising, learnt = VarianceExploding(), DATA()
    law = ProbabilityFlow(noising, learnt.denoiser(noising))
    starts = noising.prior(jax.random.key(1), jnp.zeros((400, 2)))
    end = ends(law, DDIM(), time_grid(noising, 60, to_data=True), starts)
    apart = np.sqrt(((end[:, None] - np.asarray(points().points)[None]) ** 2).sum(-1))
    far, reached = float(apart.min(axis=1).max()), len(set(apart.argmin(axis=1)))
    return Outcome(
        *shown("farthest from a point {:.0e}, {:d} of 40 points reached", [0.0, 40], [far, reached]),
        holds=far < 1e-8 and reached > 36,
    )


NOISING: Callable[[], AbstractNoising] = VariancePreserving


@claim(
    "noising-is-a-wasserstein-flow",
    "jordan1998",
    "The variance-preserving noising is the Wasserstein flow of the divergence from N(0, 1), and the probability flow "
    "is that flow run backwards.",
)
def wasserstein() -> Outcome:
    """Mean and deviation of Gaussian data by the one and by the other, at the same time B/2; and the way back."""
    noising, time = NOISING(), 0.3
    duration = 0.5 * float(VariancePreserving().integral(time))
    run = flow(
        KL(Gaussian(0.0, 1.0)), Gaussian(MEAN, VARIANCE), duration, geometry=Wasserstein(), scheme=RK4(), steps=200,
        record=None, progress=False,
    )  # fmt: skip
    moved: Any = run.final.position
    measured = [float(moved.mean[0]), float(np.sqrt(moved.covariance[0, 0]))]
    signal, noise = noising.signal(time), noising.noise(time)
    expected = [float(signal * MEAN), float(jnp.sqrt(signal**2 * VARIANCE + noise**2))]
    data = GaussianMixture(jnp.array([MEAN]), VARIANCE)
    law = ProbabilityFlow(noising, data.denoiser(noising))
    edges = np.array([[measured[0]], [measured[0] + measured[1]]])
    back = ends(law, RK4(), jnp.linspace(time, 0.001, 2001), edges)
    began = [float(back[0, 0]), float(back[1, 0] - back[0, 0])]
    last = noising.signal(0.001) * MEAN, jnp.sqrt(noising.signal(0.001) ** 2 * VARIANCE + noising.noise(0.001) ** 2)
    return Outcome(
        *shown(
            "mean {:.4f} and deviation {:.4f} noised, {:.4f} and {:.4f} on the way back",
            [*expected, float(last[0]), float(last[1])],
            [*measured, *began],
        ),
        holds=bool(np.abs(np.subtract([*measured, *began], [*expected, *map(float, last)])).max() < 1e-5),
    )


STRAIGHT: Callable[[], AbstractData] = mixture


@claim(
    "straight-flows-need-one-step",
    "liu2023",
    "A rectified flow is straight, so that one step of Euler's method samples it.",
)
def straight() -> Outcome:
    r"""The distance of one step from the flow itself, of a mixture, root mean square; and once rectified again.

    One step from pure noise leads to the mean of the data, so that it is their standard deviation. Rectified again the
    flow goes from a start z to where the first one led, T(z), on a line: in one dimension these lines do not cross.
    """
    noising, data = RectifiedFlow(), STRAIGHT()
    law = ProbabilityFlow(noising, data.denoiser(noising))
    z = np.sort(np.asarray(noising.prior(jax.random.key(0), jnp.zeros((4000, 1)))), axis=0)
    led = ends(law, RK4(), time_grid(noising, 400, "time", end=0.0), z)
    once = ends(law, Euler(), jnp.array([1.0, 0.0]), z)

    def again(t: Any, x: Any, args: Any) -> Any:
        del args
        line = (1.0 - t) * led[:, 0] + t * z[:, 0]
        return jnp.interp(x[:, 0], line, jnp.asarray(z[:, 0] - led[:, 0]))[:, None]

    steps = [ends(Field(again), Euler(), jnp.linspace(1.0, 0.0, n + 1), z) for n in (1, 20)]
    apart = [float(np.sqrt(np.mean((one - led) ** 2))) for one in (once, *steps)]
    spread = float(np.std(led))
    return Outcome(
        *shown("one step {:.3f} from the flow, {:.0e} once rectified again", [spread, 0.0], apart[:2]),
        holds=apart[0] < 1e-3,
        correction=Correction(
            "It is so after it has been trained again on pairs of its own starts and ends [liu2023]; at first a step "
            "from pure noise leads to the mean of the data.",
            max(apart[1:]) < 1e-9 and abs(apart[0] - spread) < 0.01,
        ),
    )
