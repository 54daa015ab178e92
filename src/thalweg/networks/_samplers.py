"""Samplers of diffusion models by name: a law of motion and a scheme each."""

import dataclasses
from collections.abc import Callable
from typing import Any

from .._errors import InputError, check_number, suggest
from .._methods.method import Method
from .._methods.table import table
from .._noising.base import AbstractNoising
from .._typed import typed
from ..dynamics import GradientFlow, ProbabilityFlow, ReverseDiffusion
from ..dynamics._diffusing import AbstractDiffusing
from ..schemes import (
    DDIM,
    AbstractScheme,
    Ancestral,
    EulerMaruyama,
    ExponentialMultistep,
    ExponentialRungeKutta,
    RungeKutta,
    StochasticHeun,
)


@dataclasses.dataclass(frozen=True)
class Sampler:
    """One name: `make(noising, score, **numbers)` gives the law and the scheme."""

    make: Callable[..., tuple[AbstractDiffusing, AbstractScheme]]
    defaults: dict[str, float | int]


def _ddim(noising: AbstractNoising, score: Any, eta: float | int) -> tuple[AbstractDiffusing, AbstractScheme]:
    return (ReverseDiffusion(noising, score, eta) if eta else ProbabilityFlow(noising, score)), DDIM()


def _ancestral(variance: str) -> Callable[..., tuple[AbstractDiffusing, AbstractScheme]]:
    return lambda noising, score: (ReverseDiffusion(noising, score), Ancestral(variance))


def _diffusion(scheme: Callable[[], AbstractScheme]) -> Callable[..., tuple[AbstractDiffusing, AbstractScheme]]:
    return lambda noising, score, eta: (ReverseDiffusion(noising, score, eta), scheme())


def _of_order(scheme: Callable[..., AbstractScheme]) -> Callable[..., tuple[AbstractDiffusing, AbstractScheme]]:
    return lambda noising, score, order: (ProbabilityFlow(noising, score), scheme(_whole("order", order)))


def _flow(scheme: AbstractScheme) -> Callable[..., tuple[AbstractDiffusing, AbstractScheme]]:
    return lambda noising, score: (ProbabilityFlow(noising, score), scheme)


def _whole(name: str, value: float | int) -> int:
    check_number(name, value)
    if value != int(value):
        raise InputError(f"{name} must be a whole number, but is {value:g}")
    return int(value)


_OWN = {
    "ddim": Sampler(_ddim, {"eta": 0.0}),
    "exponential_multistep": Sampler(_of_order(ExponentialMultistep), {"order": 2}),
    "exponential_runge_kutta": Sampler(_of_order(ExponentialRungeKutta), {"order": 2}),
    "ancestral": Sampler(_ancestral("small"), {}),
    "ancestral_large": Sampler(_ancestral("large"), {}),
    "euler_maruyama": Sampler(_diffusion(EulerMaruyama), {"eta": 1.0}),
    "stochastic_heun": Sampler(_diffusion(StochasticHeun), {"eta": 1.0}),
}


def samplers() -> dict[str, Sampler]:
    """Those of diffusion models, and every Runge-Kutta method of the table, by its name for descent or its alias."""
    found = dict(_OWN)
    for row in table():
        method = row.method
        law = method.dynamics
        if isinstance(method.scheme, RungeKutta) and isinstance(law, GradientFlow) and law.geometry is None:
            # Along a flow that goes down no function it is called by its scheme.
            name = "euler" if "euler" in row.aliases else row.name
            found[name] = Sampler(_flow(method.scheme), {})
    return found


@typed()
def sampler(name: str, noising: AbstractNoising, score: Any, times: Any, **numbers: float | int) -> Method:
    """A sampler of a diffusion model by its name, as `tw.compare` and the command line have it.

    Arguments:
        name: "ddim" (`eta`), "exponential_multistep" (`order`, DPM-Solver++), "exponential_runge_kutta" (`order`),
            "ancestral" and "ancestral_large" (DDPM of either variance), "euler_maruyama" and "stochastic_heun"
            (`eta`), or a Runge-Kutta method of the table: "euler", "heun", "rk4", "tsit5", ...
        noising: a `tw.networks` noising.
        score: what the network predicts, as in `tw.ProbabilityFlow`.
        times: from noise to data, of `tw.networks.time_grid`.
        numbers: of the sampler, by name.

    Returns:
        a `tw.Method`, for `tw.solve` and `tw.run`.

    Raises:
        InputError: the name or a number is unknown (a near miss is suggested), or as in `tw.Method`.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> data, noising = tw.networks.GaussianMixture(jnp.array([1.0]), 0.25), tw.networks.VarianceExploding()
    >>> times = tw.networks.time_grid(noising, 20, to_data=True)
    >>> method = tw.networks.sampler("ddim", noising, data.denoiser(noising), times)
    >>> round(float(tw.solve(method, jnp.array([80.0])).final.position[0]), 2)
    1.43
    """
    law, scheme = parts(name, noising, score, **numbers)
    return Method(law, scheme, times=times)


def parts(
    name: str, noising: AbstractNoising, score: Any, **numbers: float | int
) -> tuple[AbstractDiffusing, AbstractScheme]:
    """The law and the scheme of a name."""
    known = samplers()
    if name not in known:
        raise InputError(f"sampler {name!r} is unknown{suggest(name, known)}")
    row = known[name]
    for number in numbers:
        if number not in row.defaults:
            has = f"has no {number!r}{suggest(number, row.defaults)}" if row.defaults else f"has no numbers: {number!r}"
            raise InputError(f"{name} {has}")
    return row.make(noising, score, **(row.defaults | numbers))
