"""Is a sweep of logistic regression on digits as fast as vmapped optax, and 15 times faster than torch loops?

1,000 settings of (learning rate, momentum), 300 steps each; 20 torch loops are measured and scaled.
"""

import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch

import thalweg as tw
from benchmarks._harness import Result, compare

STEPS, SETTINGS, LOOPS = 300, 1000, 20


def results() -> Iterator[Result]:
    problem = tw.problems.get("digits")
    f, x0 = problem.objective, problem.start
    rates = np.repeat(np.geomspace(0.01, 1.0, 40), 25)
    momenta = np.tile(np.linspace(0.0, 0.95, 25), 40)
    grid = [dict(learning_rate=a, momentum=b) for a, b in zip(rates, momenta, strict=True)]

    def make(learning_rate: jax.Array, momentum: jax.Array) -> tw.Method:
        return tw.momentum(f, learning_rate, momentum)

    def ours() -> np.ndarray:
        return tw.sweep(make, grid, x0, STEPS, losses=False).final_loss[:, 0]

    @jax.jit
    @jax.vmap
    def with_optax(rate: jax.Array, momentum: jax.Array) -> jax.Array:
        optimizer = optax.chain(optax.trace(decay=momentum), optax.scale(-rate))

        def step(carry: tuple, _: None) -> tuple:
            x, state = carry
            updates, state = optimizer.update(f.gradient(x), state)
            return (optax.apply_updates(x, updates), state), None

        (x, _), _ = jax.lax.scan(step, (x0, optimizer.init(x0)), None, length=STEPS)
        return f.value(x)

    a, b = jnp.asarray(rates), jnp.asarray(momenta)
    found = compare("1,000 settings against vmapped optax", ours, lambda: with_optax(a, b), 1.0, 7, 1e-9)
    yield found
    one = _torch_seconds(problem, rates, momenta, ours())
    yield Result(f"1,000 settings against torch ({LOOPS} loops scaled)", found.ours, one * SETTINGS, 1 / 15, LOOPS, 0.0)


def _torch_seconds(problem: tw.problems.Problem, rates: np.ndarray, momenta: np.ndarray, expected: np.ndarray) -> float:
    args = {name: torch.from_numpy(np.array(value)) for name, value in problem.objective.args.items()}
    target = args["labels"].argmax(0)
    picked = np.linspace(0, SETTINGS - 1, LOOPS).astype(int)
    began = time.perf_counter()
    for i in picked:
        weights = torch.zeros(problem.start["weights"].shape, dtype=torch.float64, requires_grad=True)
        bias = torch.zeros(problem.start["bias"].shape, dtype=torch.float64, requires_grad=True)
        optimizer = torch.optim.SGD([weights, bias], lr=float(rates[i]), momentum=float(momenta[i]))
        for _ in range(STEPS):
            optimizer.zero_grad()
            loss = _torch_loss(weights, bias, args, target)
            loss.backward()
            optimizer.step()
        with torch.no_grad():
            last = float(_torch_loss(weights, bias, args, target))
        if not abs(last - expected[i]) <= 1e-9 * max(1.0, abs(last)):
            raise AssertionError(f"torch ends at {last}, ours at {expected[i]}")
    return (time.perf_counter() - began) / LOOPS


def _torch_loss(weights: torch.Tensor, bias: torch.Tensor, args: dict, target: torch.Tensor) -> torch.Tensor:
    logits = args["features"].T @ weights + bias
    penalty = 0.5 * args["regularisation"] * ((weights**2).sum() + (bias**2).sum())
    return torch.nn.functional.cross_entropy(logits, target) + penalty
