"""Parameters and states of torch optimizers in tests."""

import io

import torch


def flat(parameters):
    return torch.cat([p.detach().ravel().double() for p in parameters]).numpy().copy()


def copied(parameters):
    return [torch.nn.Parameter(p.detach().clone()) for p in parameters]


def saved(state):
    """A state by way of a file."""
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)
