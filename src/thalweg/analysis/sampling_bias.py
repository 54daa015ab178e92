"""The law of what a sampler of a diffusion model makes of Gaussian data, exactly."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array

from .._errors import InputError, check_choice
from .._measures.gaussian import Gaussian
from .._methods.linearity import check_linear, in_float64
from .._methods.method import Method
from .._noising.exact import GaussianMixture
from .._programs import compiled_quickly
from .._tree import copied
from .._typed import typed
from ..dynamics._diffusing import AbstractDiffusing
from ..schemes import AbstractScheme, Clock, Draws, State

_STARTS = ("prior", "exact")


@dataclasses.dataclass(frozen=True)
class SamplingBias:
    r"""Mean and covariance of what a sampler makes of Gaussian data, beside those it should make.

    Attributes:
        mean: array (d,), of the last states of the sampler.
        covariance: array (d, d), of them.
        exact_mean: array (d,), $\alpha m$ of the data as they are noised at the last time; their own where there is no
            noise.
        exact_covariance: array (d, d), $\alpha^2S + \sigma^2$.
        steps: how many.
    """

    mean: np.ndarray
    covariance: np.ndarray
    exact_mean: np.ndarray
    exact_covariance: np.ndarray
    steps: int

    @property
    def wasserstein(self) -> float:
        """The Wasserstein distance of the two Gaussians, in units of the data."""
        if not np.all(np.isfinite(self.covariance)):
            return float("nan")
        values, vectors = np.linalg.eigh(self.exact_covariance)
        root = (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T
        both = np.linalg.eigvalsh(root @ self.covariance @ root)
        apart = np.trace(self.covariance) + np.sum(values) - 2.0 * np.sum(np.sqrt(np.maximum(both, 0.0)))
        return float(np.sqrt(max(np.sum((self.mean - self.exact_mean) ** 2) + apart, 0.0)))

    def __str__(self) -> str:
        lines = [f"{self.steps} steps: Wasserstein distance {self.wasserstein:.3g} from the data"]
        spread, meant = np.sqrt(np.diag(self.covariance)), np.sqrt(np.diag(self.exact_covariance))
        for i in range(min(len(self.mean), 6)):
            made, right = f"{self.mean[i]:.6g} ± {spread[i]:.6g}", f"{self.exact_mean[i]:.6g} ± {meant[i]:.6g}"
            lines.append(f"  {i}: {made}, for {right}")
        return "\n".join(lines + ([f"  and {len(self.mean) - 6} more"] if len(self.mean) > 6 else []))


@typed()
def sampling_bias(method: Method, gaussian: Gaussian, start: str = "prior") -> SamplingBias:
    r"""Mean and covariance of what a sampler of a diffusion model makes of Gaussian data, without a draw.

    With the exact score of Gaussian data every step is affine, $z_{k+1} = A_kz_k + b_k + B_k\xi$, in the state with
    what a multistep method keeps; the matrices are derivatives of the steps themselves, so that

    $$\mu_{k+1} = A_k\mu_k + b_k,\qquad P_{k+1} = A_kP_kA_k^\top + B_kB_k^\top$$

    are exact for any scheme, any grid of times, with noise and without. Computed in float64.

    Arguments:
        method: a `tw.ProbabilityFlow` or `tw.ReverseDiffusion` with `times` that go down; its own score is not used.
        gaussian: the data, a `tw.measures.Gaussian`.
        start: "prior" begins with $N(0, \sigma^2)$, as samplers do; "exact" with the data as they are noised at the
            first time, which leaves the error of the steps alone.

    Returns:
        a `SamplingBias`: `.mean`, `.covariance`, `.exact_mean`, `.exact_covariance`, `.wasserstein`.

    Raises:
        InputError: the law is that of no noising, there are no times, or the scheme chooses its own.

    >>> import thalweg as tw
    >>> noising = tw.networks.VarianceExploding()
    >>> times = tw.networks.time_grid(noising, 20, to_data=True)
    >>> method = tw.Method(tw.ProbabilityFlow(noising, lambda t, x: x), tw.DDIM(), times=times)
    >>> print(tw.analysis.sampling_bias(method, tw.measures.Gaussian(1.0, 0.25)))
    20 steps: Wasserstein distance 0.0697 from the data
      0: 0.994618 ± 0.430538, for 1 ± 0.5
    """
    check_choice("start", start, _STARTS)
    law = method.dynamics
    if not isinstance(law, AbstractDiffusing):
        raise InputError(
            "sampling_bias is of a diffusion model, a tw.ProbabilityFlow or tw.ReverseDiffusion, but the law is "
            f"{type(law).__name__}; of others there is tw.analysis.stationary_covariance"
        )
    if method.grid is None:
        raise InputError("give the method its times, tw.Method(law, scheme, times=tw.networks.time_grid(noising, 50))")
    return bias_within(method, gaussian, start == "exact", 0)


def bias_within(method: Method, gaussian: Gaussian, exact: bool, room: int) -> SamplingBias:
    """The same; grids of fewer times than there is room for share a program."""
    check_linear(method)
    assert method.grid is not None
    with jax.enable_x64(True):
        wide, data = in_float64(method), in_float64(gaussian)
        law = wide.dynamics
        assert isinstance(law, AbstractDiffusing) and wide.grid is not None
        score = GaussianMixture(data.mean, data.covariance).denoiser(law.noising)
        times = filled(wide.grid.times, room)
        arguments = copied(law, score=score), wide.scheme, times, jnp.asarray(method.grid.steps)
        found = jax.device_get(_law_at_end(*arguments, data.mean, data.covariance, exact))
    return SamplingBias(*map(np.asarray, found), steps=method.grid.steps)


def filled(times: Array, room: int) -> Array:
    """Times with the last one again, up to so many."""
    return jnp.pad(times, (0, max(0, room - times.size)), mode="edge")


@compiled_quickly
def _law_at_end(
    law: AbstractDiffusing, scheme: AbstractScheme, times: Array, steps: Array, mean: Array, covariance: Array,
    exact: bool,
) -> tuple[Array, ...]:  # fmt: skip
    method, d = Method(law, scheme, times=times), mean.size
    rest = method.init(jnp.zeros(d))
    numbers, others = eqx.partition(rest.memory, eqx.is_inexact_array)
    timed, moving = _timed(numbers, d)
    z, cut = ravel_pytree((rest.position, moving))

    def advanced(z: Array, normals: Array, clock: Clock | None, timed: Any) -> tuple[Array, tuple[Clock | None, Any]]:
        position, moving = cut(z)
        memory = eqx.combine(eqx.combine(moving, timed), others)
        draws = Draws(noise=tuple(normals.reshape(-1, d))) if method.normals else Draws()
        after = method.step(State(position, clock=clock, memory=memory), draws)
        left, still = eqx.partition(after.memory, eqx.is_inexact_array)
        del still
        later, moved = _timed(left, d)
        return ravel_pytree((after.position, moved))[0], (after.clock, later)

    def step(_: Array, carry: Any) -> Any:
        m, p, clock, timed = carry
        silent = jnp.zeros(method.normals * d)
        a, b = jax.jacfwd(lambda z, n: advanced(z, n, clock, timed)[0], argnums=(0, 1))(m, silent)
        m, (clock, timed) = advanced(m, silent, clock, timed)
        return m, a @ p @ a.T + b @ b.T, clock, timed

    begin, end = times[0], times[-1]

    def noised(time: Array) -> tuple[Array, Array]:
        signal, noise = law.noising.signal(time), law.noising.noise(time)
        return signal * mean, signal**2 * covariance + noise**2 * jnp.eye(d)

    spread = law.noising.noise(begin) ** 2 * jnp.eye(d)
    first, wide = noised(begin) if exact else (jnp.zeros(d), spread)
    m = z.at[:d].set(first)
    p = jnp.zeros((z.size, z.size)).at[:d, :d].set(wide)
    m, p, _, _ = jax.lax.fori_loop(0, steps, step, (m, p, rest.clock, timed))
    return m[:d], p[:d, :d], *noised(end)


def _timed(numbers: Any, d: int) -> tuple[Any, Any]:
    """The numbers that a scheme keeps of times alone, and those that it keeps of the motion."""
    of_motion = jax.tree.map(lambda leaf: leaf.shape == (d,), numbers)
    moving, timed = eqx.partition(numbers, of_motion)
    return timed, moving
