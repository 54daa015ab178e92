"""Labelled data that scikit-learn carries with it, and the loss on them."""

import functools
import importlib

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import MissingExtraError


def load(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features (samples, features) as scikit-learn has them, and the labels (samples,)."""
    try:
        datasets = importlib.import_module("sklearn.datasets")
    except ImportError:
        raise MissingExtraError(
            f"the {name} data come with scikit-learn, which is not installed; pip install 'thalweg[data]'"
        ) from None
    return getattr(datasets, f"load_{name}")(return_X_y=True)


@functools.cache
def standardised(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Features (features, samples) of mean 0 and standard deviation 1, and the labels (samples,).

    A constant feature becomes 0. One row a feature, so that losses reduce over the short axis of
    the logits and XLA vectorises over the long one (measured: half the time on two cores).
    """
    features, labels = load(name)
    features = np.ascontiguousarray(features.T, dtype=float)
    spread = features.std(axis=1, keepdims=True)
    features = (features - features.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    features.flags.writeable = labels.flags.writeable = False
    return features, labels


def one_hot(labels: np.ndarray) -> np.ndarray:
    """A row for each class, a column for each sample."""
    return np.equal(np.unique(labels)[:, None], labels[None, :]).astype(float)


def cross_entropy(logits: Float[Array, "classes samples"], labels: Float[Array, "classes samples"]) -> Float[Array, ""]:
    """The mean over samples of minus the log-probability of the label."""
    return jnp.mean(jax.nn.logsumexp(logits, axis=0) - jnp.sum(labels * logits, axis=0))
