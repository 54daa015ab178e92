"""A learning rate that drops tenfold half-way through a training: what becomes of the velocity, and of the loss.

A network on handwritten digits, trained by mini-batches with torch.optim.SGD and with optax.sgd, three ways:

- left alone: the learning rate changes, momentum and buffer stay, as every framework does it;
- square root: the momentum follows by the rule 1 - (1 - momentum) * sqrt(ratio), the buffer is carried over;
- exact: the momentum that keeps the friction, the buffer carried over.

A fourth training, whose rate never drops, is the motion that the others are compared with.
"""

import dataclasses
from typing import Any

import jax
import numpy as np
import optax
import torch

import thalweg as tw

BEFORE = tw.Hyperparameters(learning_rate=0.1, momentum=0.9)
DROPPED, BATCH = 0.01, 128
WAYS = ("left alone", "square root", "exact", "never dropped")


def after(way: str) -> tw.Hyperparameters:
    """The hyperparameters of the second half."""
    if way == "never dropped":
        return BEFORE
    if way == "left alone":
        return dataclasses.replace(BEFORE, learning_rate=DROPPED)
    return BEFORE.retune(learning_rate=DROPPED, rule=way)


def batches(problem: Any, steps: int, seed: int) -> np.ndarray:
    """Which samples each step sees."""
    samples = problem.objective.args["features"].shape[1]
    return np.random.default_rng(seed).integers(samples, size=(steps, BATCH))


def network(problem: Any) -> torch.nn.Sequential:
    """The same network in torch, from the same start."""
    layers = [problem.start["hidden"], problem.start["output"]]
    modules: list[torch.nn.Module] = []
    for layer in layers:
        linear = torch.nn.Linear(*layer["weights"].shape, dtype=torch.float64)
        with torch.no_grad():
            linear.weight.copy_(torch.tensor(np.asarray(layer["weights"]).T))
            linear.bias.copy_(torch.tensor(np.asarray(layer["bias"])))
        modules += [linear, torch.nn.Tanh()]
    return torch.nn.Sequential(*modules[:-1])


def in_torch(problem: Any, way: str, steps: int, seed: int) -> np.ndarray:
    """The loss on all samples before each step, and at the end."""
    args = {name: torch.tensor(np.asarray(value)) for name, value in problem.objective.args.items()}
    features, labels = args["features"].T, args["labels"].T
    model = network(problem)
    optimizer = torch.optim.SGD(
        model.parameters(), lr=BEFORE.learning_rate, momentum=BEFORE.momentum,
        weight_decay=float(args["regularisation"]),
    )  # fmt: skip
    losses = []
    for k, rows in enumerate(batches(problem, steps, seed)):
        losses.append(_torch_loss(model, features, labels, args["regularisation"]))
        if k == steps // 2:
            if way == "left alone":
                optimizer.param_groups[0]["lr"] = DROPPED
            elif way != "never dropped":
                tw.adapters.torch.retune(optimizer, learning_rate=DROPPED, rule=way)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(features[rows]), labels[rows]).backward()
        optimizer.step()
    return np.array([*losses, _torch_loss(model, features, labels, args["regularisation"])])


@torch.no_grad()
def _torch_loss(model: Any, features: Any, labels: Any, regularisation: Any) -> float:
    squares = sum((x**2).sum() for x in model.parameters())
    return float(torch.nn.functional.cross_entropy(model(features), labels) + 0.5 * regularisation * squares)


def in_optax(problem: Any, way: str, steps: int, seed: int) -> np.ndarray:
    """The same in JAX: at the change, `carry` makes the buffer that of the optimizer that takes over."""
    f = problem.objective

    def batch_loss(x: Any, rows: Any) -> Any:
        some = {name: value[:, rows] if value.ndim else value for name, value in f.args.items()}
        return f.fn(x, some)

    gradient, loss = jax.jit(jax.grad(batch_loss)), jax.jit(lambda x: f.value(x))
    h, x = BEFORE, problem.start
    optimizer = optax.sgd(h.learning_rate, h.momentum)
    update, state = jax.jit(optimizer.update), optimizer.init(x)
    losses = []
    for k, rows in enumerate(batches(problem, steps, seed)):
        losses.append(float(loss(x)))
        g = gradient(x, rows)
        if k == steps // 2:
            new = after(way)
            if way != "left alone":
                x, trace = h.carry(new, x, state[0].trace, g)
                state = (state[0]._replace(trace=trace), *state[1:])
            update = jax.jit(optax.sgd(new.learning_rate, new.momentum).update)
        updates, state = update(g, state, x)
        x = optax.apply_updates(x, updates)
    return np.array([*losses, float(loss(x))])


def times(way: str, steps: int) -> np.ndarray:
    """The time of the motion at each step."""
    first, second = BEFORE.physical().step, after(way).physical().step
    sizes = np.where(np.arange(steps) < steps // 2, first, second)
    return np.concatenate([[0.0], np.cumsum(sizes)])


def main(steps: int = 200, seeds: int = 2) -> dict[str, dict[str, Any]]:
    """Train every way in both frameworks; the losses in the middle and at the end, averaged over the seeds."""
    problem = tw.problems.network_digits()
    found: dict[str, dict[str, Any]] = {}
    for way in WAYS:
        curves = {name: np.mean([train(problem, way, steps, seed) for seed in range(seeds)], axis=0)
                  for name, train in (("torch", in_torch), ("optax", in_optax))}  # fmt: skip
        new = after(way)
        found[way] = curves | {"times": times(way, steps), "hyperparameters": new}
        ends = ", ".join(f"{name} {curve[-1]:.5f}" for name, curve in curves.items())
        print(f"{way:14} momentum {new.momentum:.4f}, friction {new.physical().friction:.4f}: last loss {ends}")
    return found


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main()
