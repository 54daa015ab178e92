"""Arguments of a field that are constant on pieces of time."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._errors import InputError, check_number
from .._module import Module
from .._tree import scalar

# Rounding may leave a time just short of the edge that it stands for: so much of a piece before an edge is at it.
_EDGE = 1e-4


class Pieces(Module):
    r"""Arguments of a `tw.Field` or a `tw.DampedField` that are constant on pieces of time, each as long.

    $$\dot x = \mathtt{fn}(t, x, a_l),\qquad l = \lfloor t/\mathtt{duration}\rfloor$$

    At the edge between two pieces the field has two values, and a step that begins or ends there takes the one of the
    piece that it lies in: all of its stages take the arguments at its middle. So a scheme whose steps cross no edge
    keeps its order, where stages that looked at the time would make it 1.

    Arguments:
        args: a pytree of arrays whose leading axis, of one length, counts the pieces; all else in it is the same in
            all of them. Before the first piece is the first, after the last the last.
        duration: how long each lasts, in units of the law's time.

    Raises:
        InputError: the leading axes disagree, or the duration is not a positive number.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> field = tw.Field(lambda t, x, rate: rate * x, tw.Pieces(jnp.array([1.0, -2.0]), duration=0.5))
    >>> end = tw.solve(tw.Method(field, tw.Tsit5(), 0.05), jnp.array(1.0), 20).final.position
    >>> round(float(end), 6)  # exp(1/2 - 1)
    0.606531

    Reference: Hairer, Nørsett and Wanner (1993), section II.6, on discontinuities.
    """

    args: PyTree
    duration: Float[Array, ""] = eqx.field(converter=scalar)

    def __check_init__(self) -> None:
        check_number("duration", self.duration, above=0.0)
        arrays = [leaf for leaf in jax.tree.leaves(self.args) if eqx.is_array(leaf)]
        lengths = {jnp.shape(leaf)[0] if jnp.ndim(leaf) else None for leaf in arrays}
        if len(lengths) != 1 or None in lengths or 0 in lengths:
            raise InputError(
                "every array in the args of tw.Pieces must have the same non-empty leading axis, which counts the "
                f"pieces, but their lengths are {', '.join(sorted(map(str, lengths))) or 'those of no array'}"
            )

    @property
    def count(self) -> int:
        """The number of pieces."""
        return next(leaf.shape[0] for leaf in jax.tree.leaves(self.args) if eqx.is_array(leaf))

    def at(self, time: ArrayLike) -> PyTree:
        """The arguments at a time, at an edge those of the piece that begins there.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> [float(tw.Pieces(jnp.array([3.0, 4.0]), duration=0.5).at(t)) for t in (0.0, 0.5, 9.0)]
        [3.0, 4.0, 4.0]
        """
        place = jnp.floor(jnp.asarray(time) / self.duration + _EDGE).astype(int)
        index = jnp.clip(place, 0, self.count - 1)
        return jax.tree.map(lambda leaf: leaf[index] if eqx.is_array(leaf) else leaf, self.args)


def args_at(args: PyTree, time: Any) -> PyTree:
    """The arguments of a field at a time."""
    return args.at(time) if isinstance(args, Pieces) else args


def args_during(args: PyTree, time: Any, duration: ArrayLike) -> PyTree:
    """The arguments of a field on a step: those at its middle."""
    return args.at(time + 0.5 * jnp.asarray(duration)) if isinstance(args, Pieces) else args


def check_pieces(args: Any, step_size: Any, adaptive: str) -> None:
    """Refuse steps that cross the edges of pieces, where their length is known.

    Arguments:
        args: of a field, pieces or not.
        step_size: of a method, a number, a schedule or a grid of times, which is taken as it is.
        adaptive: the name of a scheme that sets its steps itself, or nothing.
    """
    if not isinstance(args, Pieces):
        return
    if adaptive:
        raise InputError(
            f"{adaptive} sets its steps itself, which would cross the edges of tw.Pieces; take steps of one length "
            "that divides their duration"
        )
    if callable(step_size) or isinstance(step_size, Tracer) or isinstance(args.duration, Tracer):
        return
    steps = float(args.duration) / float(step_size)
    if round(steps) < 1 or abs(steps - round(steps)) > 1e-4 * steps:
        raise InputError(
            f"the step size must divide the duration of the pieces, {float(args.duration):g}, or steps cross their "
            f"edges, but is {float(step_size):g}"
        )
