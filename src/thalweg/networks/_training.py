"""The loss by which a network learns what is in noised data."""

from collections.abc import Callable
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from .._errors import InputError, check_arguments
from .._module import Module
from .._noising.base import AbstractNoising
from .._noising.predictions import AbstractPrediction, NoisePrediction, like
from .._tree import combine, normal
from .._typed import typed


class DenoisingLoss(Module):
    """The squared error of a prediction at a random time, of `tw.networks.denoising_loss`."""

    noising: AbstractNoising
    kind: type[AbstractPrediction] = eqx.field(static=True)
    time_of: Callable | None

    def __call__(self, network: Callable, sample: PyTree, key: Any = None) -> Float[Array, ""]:
        # Without a key one draw of each sample stands for all, the same every time.
        times, noises = jax.random.split(jax.random.key(0) if key is None else key)
        u = jax.random.uniform(times, (), float)
        time = self.noising.end * u if self.time_of is None else jnp.asarray(self.time_of(u), float)
        leaves, structure = jax.tree.flatten(sample)
        keys = jax.random.split(noises, len(leaves))
        drawn = [normal(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves, strict=True)]
        noise = jax.tree.unflatten(structure, drawn)
        x = self.noising.noised(time, sample, noise)
        prediction = self.kind(network)
        p, q = prediction.weights(self.noising, self.noising.beside(time))
        wanted = combine((p, sample), (q, noise))
        found = like(prediction.found(self.noising, time, x), x, f"a prediction of {prediction.what}")
        squares = [jnp.mean((a - b) ** 2) for a, b in zip(*map(jax.tree.leaves, (found, wanted)), strict=True)]
        return jnp.mean(jnp.stack(squares))


@typed("kind")
def denoising_loss(
    noising: AbstractNoising,
    kind: Any = NoisePrediction,
    *,
    time_of: Annotated[Callable, "a function of a number between 0 and 1"] | None = None,
) -> DenoisingLoss:
    r"""The loss of a network that predicts what is in noised data, of one sample.

    $$\mathrm E\,\bigl|\mathtt{network}(t, \alpha x_0 + \sigma\varepsilon) - (p\,x_0 + q\,\varepsilon)\bigr|^2$$

    over times and noises, with the weights p and q of what is predicted: of `Velocity` it is flow matching, of
    `NoisePrediction` that of DDPM, and so of `Score`, times $\sigma$. The best of all networks is the expectation given
    $x_t$, whatever times are drawn.

    Arguments:
        noising: by which the data are noised.
        kind: what the network predicts: `tw.networks.NoisePrediction`, `Denoiser`, `Score`, `Velocity` or
            `AngularVelocity`, the class.
        time_of: makes a time of a number that is uniform between 0 and 1; None makes times that are uniform up to the
            end.

    Returns:
        `loss(network, sample, key)`, for `tw.FiniteSum(loss, data, batch_size, keyed=True)`.

    Raises:
        InputError: the kind is no prediction.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> noising = tw.networks.RectifiedFlow()
    >>> loss = tw.networks.denoising_loss(noising, tw.networks.Denoiser)
    >>> f = tw.FiniteSum(lambda w, x, key: loss(lambda t, x: w * x, x, key), jnp.ones((64, 20)), 32, keyed=True)
    >>> run = tw.run(tw.gradient_descent(f, 0.1), jnp.array(0.0), 200, key=0)
    >>> bool(abs(run.final.position - 0.75) < 0.05)  # the mean of x over that of its square
    True

    Reference: Ho, Jain and Abbeel (2020), equation 14; Song et al. (2021), equation 7.
    """
    if not (isinstance(kind, type) and issubclass(kind, AbstractPrediction)):
        raise InputError(f"kind must be a class such as tw.networks.Velocity, but is {kind!r}")
    if time_of is not None:
        check_arguments("time_of", time_of, "u")
    return DenoisingLoss(noising, kind, time_of)
