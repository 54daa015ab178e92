"""Predictions of a network: the score, the data, the noise, a velocity; each made from each in one place."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from .._errors import InputError, check_arguments
from .._module import Module
from .._showing.modules import shown
from .._tree import Unravel, Vector, combine, ravel
from .._typed import check_fields
from .base import AbstractNoising


class Parts(NamedTuple):
    r"""Expectations of what is in $x = \alpha x_0 + \sigma\varepsilon$: `clean` of $x_0$, `noise` of $\varepsilon$."""

    clean: Vector
    noise: Vector


class AbstractPrediction(Module):
    r"""A function of (t, x) that predicts what is in $x = \alpha x_0 + \sigma\varepsilon$.

    Each kind is linear in the data and the noise that it predicts, $p\,x_0 + q\,\varepsilon$; with x itself these are
    two equations for both, $d = \alpha q - \sigma p$:

    $$x_0 = (qx - \sigma n)/d,\qquad \varepsilon = (\alpha n - px)/d$$

    Where there is no noise the data are $x/\alpha$, and a noise that is not predicted itself is 0.
    """

    fn: Callable = eqx.field()
    what: ClassVar[str]
    # Whether it says what the data are where there is no signal.
    at_no_signal: ClassVar[bool] = False

    def __check_init__(self) -> None:
        if not callable(self.fn):
            raise InputError(f"a prediction must be a function of (t, x), but is {self.fn!r}")
        check_arguments("a prediction", self.fn, "t", "x")
        check_fields(self)

    def __repr__(self) -> str:
        return shown(self)

    @abc.abstractmethod
    def weights(self, noising: AbstractNoising, time: ArrayLike) -> tuple[Array, Array]:
        """(p, q), the weights of data and noise in what is predicted."""

    def found(self, noising: AbstractNoising, time: ArrayLike, x: Vector) -> Vector:
        """The prediction at x, in the units of its weights."""
        del noising
        return like(self.fn(time, x), x, f"a prediction of {self.what}")

    def parts(self, noising: AbstractNoising, time: ArrayLike, x: Vector) -> Parts:
        """The data and the noise that are predicted.

        Arguments:
            noising: by which x was made of them.
            time: t.
            x: a pytree, as the function takes it.
        """
        time, x = jnp.asarray(time, float), jax.tree.map(jnp.asarray, x)
        signal, noise = noising.signal(time), noising.noise(time)
        p, q = self.weights(noising, time)
        found = self.found(noising, time, x)
        silent, across = noise <= 0.0, signal * q - noise * p
        safe = jnp.where(across == 0.0, 1.0, across)
        clean = combine((jnp.where(silent, 1.0 / signal, q / safe), x), (jnp.where(silent, 0.0, -noise / safe), found))
        known = jnp.where(across == 0.0, 0.0, 1.0)
        return Parts(clean, combine((-known * p / safe, x), (known * signal / safe, found)))

    def flattened(self, cut: Unravel) -> "AbstractPrediction":
        """The same of a raveled vector."""
        return type(self)(_Flattened(self.fn, cut))


class Score(AbstractPrediction):
    r"""A prediction of the score, $\nabla\log p_t(x) = -\varepsilon/\sigma$.

    Arguments:
        fn: `fn(t, x)`, a pytree like x; t is a scalar.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> standard = tw.networks.Score(lambda t, x: -x)  # of N(0, 1) at every time
    >>> round(float(standard.parts(tw.networks.VariancePreserving(), 0.5, jnp.array(2.0)).noise), 4)
    1.9193
    """

    what: ClassVar[str] = "the score"

    def weights(self, noising: AbstractNoising, time: ArrayLike) -> tuple[Array, Array]:
        del noising, time
        return jnp.zeros(()), jnp.ones(())

    def found(self, noising: AbstractNoising, time: ArrayLike, x: Vector) -> Vector:
        noise = noising.noise(time)
        score = like(self.fn(time, x), x, "a prediction of the score")
        # The score of data that are points has no bounds where there is no noise.
        return jax.tree.map(lambda leaf: jnp.where(noise > 0.0, -noise.astype(leaf.dtype) * leaf, 0.0), score)


class Denoiser(AbstractPrediction):
    r"""A prediction of the data, $\mathrm E(x_0\mid x_t)$.

    Arguments:
        fn: `fn(t, x)`, a pytree like x; t is a scalar.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> nothing = tw.networks.Denoiser(lambda t, x: 0.0 * x)
    >>> float(nothing.parts(tw.networks.VarianceExploding(), 2.0, jnp.array(3.0)).noise)
    1.5
    """

    what: ClassVar[str] = "the data"
    at_no_signal: ClassVar[bool] = True

    def weights(self, noising: AbstractNoising, time: ArrayLike) -> tuple[Array, Array]:
        del noising, time
        return jnp.ones(()), jnp.zeros(())


class NoisePrediction(AbstractPrediction):
    r"""A prediction of the noise, $\mathrm E(\varepsilon\mid x_t)$.

    Arguments:
        fn: `fn(t, x)`, a pytree like x; t is a scalar.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> all_of_it = tw.networks.NoisePrediction(lambda t, x: x / 2.0)
    >>> float(all_of_it.parts(tw.networks.VarianceExploding(), 2.0, jnp.array(3.0)).clean)
    0.0
    """

    what: ClassVar[str] = "the noise"

    def weights(self, noising: AbstractNoising, time: ArrayLike) -> tuple[Array, Array]:
        del noising, time
        return jnp.zeros(()), jnp.ones(())


class Velocity(AbstractPrediction):
    r"""A prediction of the velocity of a pair, $\alpha'x_0 + \sigma'\varepsilon$, as flow matching has it.

    Arguments:
        fn: `fn(t, x)`, a pytree like x; t is a scalar.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> straight = tw.networks.Velocity(lambda t, x: 0.0 * x + 1.0)
    >>> clean, noise = straight.parts(tw.networks.RectifiedFlow(), 0.25, jnp.array(3.0))
    >>> float(clean), float(noise)  # their difference is 1, and 3/4 of one and 1/4 of the other are 3
    (2.75, 3.75)
    """

    what: ClassVar[str] = "the velocity"
    at_no_signal: ClassVar[bool] = True

    def weights(self, noising: AbstractNoising, time: ArrayLike) -> tuple[Array, Array]:
        return noising.signal_and_rate(time)[1], noising.noise_and_rate(time)[1]


class AngularVelocity(AbstractPrediction):
    r"""A prediction of $\alpha\varepsilon - \sigma x_0$, the velocity by the angle of $(\alpha, \sigma)$: v-prediction.

    Arguments:
        fn: `fn(t, x)`, a pytree like x; t is a scalar.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> still = tw.networks.AngularVelocity(lambda t, x: 0.0 * x)
    >>> round(float(still.parts(tw.networks.Trigonometric(), 1 / 3, jnp.array(1.0)).noise), 6)
    0.5

    Reference: Salimans and Ho (2022), section 4.
    """

    what: ClassVar[str] = "the angular velocity"
    at_no_signal: ClassVar[bool] = True

    def weights(self, noising: AbstractNoising, time: ArrayLike) -> tuple[Array, Array]:
        return -noising.noise(time), noising.signal(time)


class _Flattened(Module):
    fn: Callable
    cut: Unravel = eqx.field(static=True)

    def __call__(self, t: Any, x: Array) -> Array:
        return ravel(like(self.fn(t, self.cut(x)), self.cut(x), "a prediction"))


def as_prediction(value: Any) -> Any:
    """A bare function of (t, x) is a score."""
    return Score(value) if callable(value) and not isinstance(value, AbstractPrediction) else value


def like(found: Any, x: Vector, what: str) -> Vector:
    """The values of a function in the dtypes of x; refused where they are another tree, other shapes or complex."""
    here, there = jax.tree.structure(x), jax.tree.structure(found)
    if here != there:
        raise InputError(f"{what} must give a tree like x, {_named(here)}, but gives {_named(there)}")
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(x)]
    if (given := [jnp.shape(leaf) for leaf in jax.tree.leaves(found)]) != shapes:
        raise InputError(f"{what} must give arrays of the shapes of x, {_list(shapes)}, but gives {_list(given)}")
    if any(jnp.issubdtype(jnp.result_type(leaf), jnp.complexfloating) for leaf in jax.tree.leaves(found)):
        raise InputError(f"{what} must give real numbers, but gives complex ones; give x two parts, real and imaginary")
    return jax.tree.map(lambda leaf, own: jnp.asarray(leaf).astype(jnp.result_type(own)), found, x)


def _named(structure: Any) -> str:
    return str(structure).removeprefix("PyTreeDef")


def _list(shapes: list[Any]) -> str:
    return ", ".join(map(str, shapes))
