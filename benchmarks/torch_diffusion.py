"""Samples of a diffusion model beside a loop in torch: 100,000 of a mixture of three Gaussians, 18 Heun steps.

Both take the same times of Karras et al., the same start and the exact score in the same order of operations, and their
samples are checked to agree. In float32, torch with all its threads, without autograd.
"""

import itertools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np
import torch

import thalweg as tw
from benchmarks._harness import Result, compare

COUNT, STEPS = 100_000, 18
MEANS, VARIANCES, WEIGHTS = (-1.0, 0.5, 2.0), (0.04, 0.16, 0.01), (0.3, 0.5, 0.2)


def results() -> Iterator[Result]:
    noising = tw.networks.VarianceExploding()
    times = np.asarray(tw.networks.time_grid(noising, STEPS, end=0.01), np.float32)
    start = np.asarray(noising.prior(jax.random.key(0), jnp.zeros((COUNT, 1), jnp.float32)))
    case = f"{COUNT:,} samples, {STEPS} Heun steps"
    yield compare(case, mine(noising, times, start), peer(times, start), 0.3, 7, 1e-4)


def mine(noising: tw.networks.AbstractNoising, times: np.ndarray, start: np.ndarray) -> Callable:
    data = tw.networks.GaussianMixture(jnp.array(MEANS)[:, None], jnp.array(VARIANCES), jnp.array(WEIGHTS))
    flow = tw.ProbabilityFlow(noising, data.denoiser(noising))
    method, x = tw.Method(flow, tw.Heun(), times=times), jnp.asarray(start, jnp.float32)
    run = jax.jit(lambda x: tw.solve(method, x).final.position)
    return lambda: run(x)


def peer(times: np.ndarray, start: np.ndarray) -> Callable:
    means, variances, weights = (torch.tensor(v, dtype=torch.float32) for v in (MEANS, VARIANCES, WEIGHTS))
    x0, grid = torch.tensor(start), [float(t) for t in times]

    def slope(t: float, x: torch.Tensor) -> torch.Tensor:
        spread = variances + t * t
        apart = x - means
        share = torch.softmax(torch.log(weights) - 0.5 * torch.log(spread) - 0.5 * apart**2 / spread, dim=-1)
        clean = (share * (means + variances / spread * apart)).sum(-1, keepdim=True)
        return (x - clean) / t

    @torch.no_grad()
    def run() -> np.ndarray:
        x = x0
        for now, then in itertools.pairwise(grid):
            first = slope(now, x)
            second = slope(then, x + (then - now) * first)
            x = x + (then - now) * 0.5 * (first + second)
        return x.numpy()

    return run
