"""A small network."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import check_count, check_number
from .._objectives.objective import Objective
from .._typed import typed
from ._data import cross_entropy, one_hot, standardised
from ._problem import Problem

Layer = dict[str, Float[Array, "..."]]


def _value(x: dict[str, Layer], args: dict[str, Float[Array, "..."]]) -> Float[Array, ""]:
    hidden, output = x["hidden"], x["output"]
    activation = jnp.tanh(hidden["weights"].T @ args["features"] + hidden["bias"][:, None])
    logits = output["weights"].T @ activation + output["bias"][:, None]
    squares = sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(x))
    return cross_entropy(logits, args["labels"]) + 0.5 * args["regularisation"] * squares


@typed()
def network_digits(hidden: int = 32, *, regularisation: float | int = 1e-4, seed: int = 0) -> Problem:
    r"""A network with one hidden layer on handwritten digits: 1,797 samples, 8 by 8 pixels, 10 classes.

    $$f(\theta) = \frac1N\sum_{i=1}^N -\log\mathrm{softmax}_{y_i}\left(W_2^\top\tanh(W_1^\top z_i + b_1) + b_2\right)
      + \frac\rho2\|\theta\|^2$$

    with standardised pixels $z_i$. The start has zero biases and normal weights of variance one over the
    inputs of the layer.

    Arguments:
        hidden: width of the hidden layer, at least 1.
        regularisation: $\rho \ge 0$, in units of $f$ over units of the parameters squared.
        seed: of the start, a whole number.

    Returns:
        The problem; its start holds `hidden`, of `weights` (64, hidden) and `bias` (hidden,), and `output`, of
        `weights` (hidden, 10) and `bias` (10,). Not convex: no facts are known.

    Raises:
        InputError: a number is out of its range, or scikit-learn is not installed.

    >>> import thalweg as tw
    >>> tw.problems.network_digits().dimension  # 64 * 32 + 32 + 32 * 10 + 10
    2410

    Reference: LeCun, Bottou, Orr and Müller (1998), section 4.6; the data of Alpaydin and Kaynak (1998).
    """
    width = check_count("hidden", hidden)
    check_number("regularisation", regularisation, at_least=0.0)
    generator = np.random.default_rng(check_count("seed", seed, at_least=0))
    features, labels = standardised("digits")
    labels = one_hot(labels)
    args = {"features": features, "labels": labels, "regularisation": regularisation}

    def layer(inputs: int, outputs: int) -> Layer:
        weights = generator.normal(size=(inputs, outputs)) / np.sqrt(inputs)
        return {"weights": jnp.asarray(weights, float), "bias": jnp.zeros(outputs, float)}

    start = {"hidden": layer(features.shape[0], width), "output": layer(width, labels.shape[0])}
    return Problem(
        name="digits-network",
        objective=Objective(fn=_value, args={name: jnp.asarray(value, float) for name, value in args.items()}),
        start=start,
        description=f"a {features.shape[0]}-{width}-{labels.shape[0]} tanh network on handwritten digits",
        reference="lecun1998",
    )
