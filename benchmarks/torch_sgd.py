"""How much cheaper is a compiled loop than torch.optim.SGD on the same quadratic?"""

from collections.abc import Iterator

import jax.numpy as jnp
import numpy as np
import torch

import thalweg as tw
from benchmarks._harness import Result, compare


def results() -> Iterator[Result]:
    for d in (2, 100, 10_000):
        steps = 1000
        spectrum = np.logspace(-2, 0, d)
        fn = tw.Objective(lambda x, s: 0.5 * jnp.sum(s * x * x), jnp.asarray(spectrum))
        method = tw.momentum(fn, 0.1, 0.9)
        x0 = jnp.ones(d)

        def ours(method: tw.Method = method, x0=x0) -> object:
            return tw.run(method, x0, steps, record=None).final.position

        def theirs(spectrum: np.ndarray = spectrum, d: int = d) -> np.ndarray:
            curvature = torch.from_numpy(spectrum)
            x = torch.ones(d, dtype=torch.float64, requires_grad=True)
            optimizer = torch.optim.SGD([x], lr=0.1, momentum=0.9)
            for _ in range(steps):
                optimizer.zero_grad()
                (0.5 * (curvature * x * x).sum()).backward()
                optimizer.step()
            return x.detach().numpy()

        found = compare(f"momentum, d = {d}, tw.run whole", ours, theirs, 1 / 50, 7, 1e-12)
        yield Result(found.case, found.ours / steps, found.peer / steps, 1 / 50, found.repeats, found.difference)
