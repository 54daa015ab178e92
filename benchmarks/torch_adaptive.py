"""Does a step of our torch optimizer cost more than one of torch.optim.AdamW(foreach=True), its kin, and Muon?

The parameters are those of a network of ten layers, of Muon the matrices alone; what is timed is the optimizer.
"""

from collections.abc import Iterator

import torch

import thalweg as tw
from benchmarks._harness import Result, compare
from benchmarks.torch_adapter import LAYERS, Loop

RATE, DECAY, BOUND = 1e-3, 0.01, 1.05


def results() -> Iterator[Result]:
    optimizer = tw.adapters.torch.Optimizer
    cases = (
        (
            "AdamW",
            lambda p: optimizer(p, tw.adamw(None, RATE, weight_decay=DECAY)),
            lambda p: torch.optim.AdamW(p, lr=RATE, weight_decay=DECAY, foreach=True),
        ),
        (
            "Adam",
            lambda p: optimizer(p, tw.adam(None, RATE)),
            lambda p: torch.optim.Adam(p, lr=RATE, foreach=True),
        ),
        (
            "NAdam",
            lambda p: optimizer(p, tw.nadam(None, RATE, momentum_decay=4e-3)),
            lambda p: torch.optim.NAdam(p, lr=RATE, foreach=True),
        ),
    )
    for width, steps in ((16, 400), (128, 200), (512, 20)):
        for name, ours, theirs in cases:
            first, second = Loop(ours, width, steps), Loop(theirs, width, steps)
            found = compare(f"{name}, {LAYERS} layers of {width}, float32", first, second, BOUND, 15, 1e-4)
            yield found.per(steps)
    method = tw.muon(None, RATE, layout="out_in", corrected=False, iteration_dtype="bfloat16")
    for width, steps in ((16, 200), (64, 60), (128, 20), (512, 1)):
        first = Loop(lambda p: optimizer([x for x in p if x.ndim == 2], method), width, steps)
        second = Loop(lambda p: torch.optim.Muon([x for x in p if x.ndim == 2], RATE, 0.0), width, steps)
        # Each step is within roundings of bfloat16 of its length, and the gradients are always the same.
        found = compare(f"Muon, {LAYERS} matrices of {width}, float32", first, second, BOUND, 15, 20 * RATE)
        yield found.per(steps)
