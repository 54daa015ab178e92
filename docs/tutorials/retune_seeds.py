"""Losses of the tutorial on retuning, over three seeds: `python docs/tutorials/retune_seeds.py`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from sklearn.datasets import load_digits

import thalweg as tw

NOW = tw.Hyperparameters(learning_rate=0.02, momentum=0.9, batch_size=64)
SAMPLES, CHANGE, BATCH = 64 * 600, 64 * 300, 256
PIXELS, LABELS = load_digits(return_X_y=True)
IMAGES, NUMBERS = torch.tensor(PIXELS / 8 - 1, dtype=torch.float32), torch.tensor(LABELS)


def by(rule: str) -> Callable[[Any], None]:
    """Set a running optimizer by a rule."""
    return lambda optimizer: tw.adapters.torch.retune(optimizer, tw.analysis.scale_sgd(NOW, BATCH, rule=rule))


def train(change: Callable[[Any], None] | None, seed: int) -> float:
    """The loss on all images after so many samples."""
    torch.manual_seed(seed)
    model = torch.nn.Sequential(torch.nn.Linear(64, 32), torch.nn.Tanh(), torch.nn.Linear(32, 10))
    optimizer = torch.optim.SGD(model.parameters(), lr=NOW.learning_rate, momentum=NOW.momentum)
    draw, batch, seen = torch.Generator().manual_seed(seed), 64, 0
    while seen < SAMPLES:
        if seen == CHANGE and change is not None:
            change(optimizer)
            batch = BATCH
        rows = torch.randint(len(IMAGES), (batch,), generator=draw)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(IMAGES[rows]), NUMBERS[rows]).backward()
        optimizer.step()
        seen += batch
    with torch.no_grad():
        return float(torch.nn.functional.cross_entropy(model(IMAGES), NUMBERS))


def main(seeds: int = 3) -> dict[str, list[float]]:
    """Losses of every way, a seed each."""
    torch.set_num_threads(1)
    ways = {"as it was": None, "by the law": by("law"), "linear": by("linear"), "left alone": lambda optimizer: None}
    found = {name: [train(change, seed) for seed in range(seeds)] for name, change in ways.items()}
    for name, losses in found.items():
        print(f"{name}: {np.mean(losses):.4f}, standard error {np.std(losses, ddof=1) / seeds**0.5:.4f}")
    return found


if __name__ == "__main__":
    main()
