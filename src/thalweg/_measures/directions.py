"""Directions over which projections are averaged."""

import functools
import math

import numpy as np


@functools.lru_cache(maxsize=32)
def even_directions(dimension: int, count: int, seed: int) -> np.ndarray:
    r"""Unit vectors (n, d) with $\frac1n\sum\theta\theta^\top = 1/d$ exactly, `count` of them or a few more.

    On the line one; in the plane even angles from a random one; in more dimensions random orthonormal frames.
    """
    rng = np.random.default_rng(seed)
    if dimension == 1:
        return np.ones((1, 1))
    if dimension == 2:
        angles = np.pi * (np.arange(max(count, 2)) + rng.random()) / max(count, 2)
        return np.stack([np.cos(angles), np.sin(angles)], axis=1)
    frames = rng.standard_normal((math.ceil(count / dimension), dimension, dimension))
    q, r = np.linalg.qr(frames)
    signs = np.sign(np.diagonal(r, axis1=1, axis2=2))
    return (q * signs[:, None, :]).transpose(0, 2, 1).reshape(-1, dimension)
