"""How much cheaper is a run of ours than a loop of torch.optim.SGD on the same quadratic?

Ours is `tw.run` as a whole, what it checks and plans on the host included. The learning rate is so small that
nothing decays to denormal numbers, on which torch would be slow.
"""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import torch

import thalweg as tw
from benchmarks._harness import Result, compare

STEPS, RATE, MOMENTUM = 5_000, 1e-4, 0.9


def results() -> Iterator[Result]:
    for dtype, tolerance in (("float32", 1e-4), ("float64", 1e-12)):
        for d in (2, 100, 1_000, 10_000):
            spectrum = np.logspace(-2, 0, d, dtype=dtype)
            fn = tw.Objective(lambda x, s: 0.5 * jnp.sum(s * x * x), jnp.asarray(spectrum))
            method = tw.momentum(fn, RATE, MOMENTUM)
            x0 = jnp.ones(d, dtype)

            def ours(method: tw.Method = method, x0=x0) -> object:
                return tw.run(method, x0, STEPS, record=None).final.position

            def theirs(spectrum: np.ndarray = spectrum) -> np.ndarray:
                curvature = torch.from_numpy(spectrum)
                x = torch.ones_like(curvature, requires_grad=True)
                optimizer = torch.optim.SGD([x], lr=RATE, momentum=MOMENTUM)
                for _ in range(STEPS):
                    optimizer.zero_grad()
                    (0.5 * (curvature * x * x).sum()).backward()
                    optimizer.step()
                return x.detach().numpy()

            found = compare(f"momentum, d = {d}, {dtype}", ours, theirs, 1 / 50, 7, tolerance)
            yield found.per(STEPS)
