"""A loss over mini-batches that come from the host, for data larger than memory."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Key, PyTree

from .._errors import InputError, check_count
from .._tree import Vector
from .batches import EndedError, Source
from .finite_sum import FiniteSum
from .objective import AbstractObjective, Batch, check_facts


class Stream(AbstractObjective):
    r"""The mean of a loss over the mini-batch of a step, which is read from disk or made when its turn comes.

    $$f_k(x) = \frac1B \sum_{i=1}^B \mathtt{fn}(x, s_{k,i})$$

    `tw.run` reads the batches of the next chunk of steps in a thread while the device computes this one's. Only some
    tens of megabytes of them are held at a time, so that neither the data nor the number of steps need fit in memory.

    The loss and the gradient that a run records before step k are those on batch k; those at its end are on the batch
    of its last step, since there is no other. A start that takes a gradient takes it on the first batch. A stream has
    no gradient over all of its data: what needs one (`tw.compare`, `tw.analysis.convergence_order`) refuses it, and so
    does `tw.sweep`.

    Arguments:
        fn: `fn(x, sample)`, the loss of one sample, a real scalar.
        batches: the mini-batches, pytrees of arrays whose leading axis counts samples; all have the shapes and dtypes
            of the first. A function, `batches(step)`, or an iterable, which every epoch begins anew. A one-shot
            iterator (a generator) serves one run, which stops where it ends. A run that is resumed asks the function
            for its next step, or reads the iterable from the start and drops what was used: it ends bit for bit
            where one never stopped ends if the batches are the same again.
        samples: N, the number of samples there are in all, where it is known.
        minimum, minimiser, smoothness, strong_convexity: as in `Objective`.
        ahead: read in a thread of its own, one batch after the other; False reads between chunks, for a loader that
            must stay in the thread that made it.

    Raises:
        InputError: `batches` is neither a function nor an iterable, or a fact is not a finite number. From `tw.run`:
            a batch that could not be read, or has other shapes, with its step; what was computed before it is saved
            where the run has a directory.

    >>> import thalweg as tw, jax.numpy as jnp, numpy as np
    >>> def batches(step):
    ...     return np.random.default_rng(step).normal(3.0, 1.0, size=64)
    >>> f = tw.Stream(lambda x, sample: 0.5 * (x - sample) ** 2, batches)
    >>> run = tw.run(tw.gradient_descent(f, 0.05), jnp.array(0.0), 200)
    >>> abs(float(run.final.position) - 3.0) < 0.1
    True
    """

    fn: Callable
    batches: Source = eqx.field(static=True)
    samples: int | None = eqx.field(default=None, static=True)
    minimum: float | None = eqx.field(default=None, static=True)
    minimiser: PyTree = None
    smoothness: float | None = eqx.field(default=None, static=True)
    strong_convexity: float | None = eqx.field(default=None, static=True)
    ahead: bool = eqx.field(default=True, static=True)

    # Written out: the one that Equinox makes flattens its arguments, and JAX will not flatten an iterator.
    def __init__(
        self,
        fn: Callable,
        batches: Any,
        samples: int | None = None,
        minimum: float | int | None = None,
        minimiser: PyTree = None,
        smoothness: float | int | None = None,
        strong_convexity: float | int | None = None,
        *,
        ahead: bool = True,
    ) -> None:
        if not callable(fn):
            raise InputError(f"fn must be a function of (x, sample), but is {fn!r}")
        if not isinstance(ahead, bool):
            raise InputError(f"ahead must be True or False, but is {ahead!r}")
        self.fn = fn
        self.batches = batches if isinstance(batches, Source) else Source(batches)
        self.samples = None if samples is None else check_count("samples", samples)
        self.minimum, self.minimiser = minimum, minimiser
        self.smoothness, self.strong_convexity = smoothness, strong_convexity
        self.ahead = ahead
        check_facts(self)

    @property
    def stochastic(self) -> bool:
        return True

    def value(self, x: Vector, batch: Batch = None) -> Float[Array, ""]:
        if batch is None:
            raise InputError(
                "a tw.Stream has no gradient over all of its data; use a tw.FiniteSum, or one mini-batch: f.on(batch)"
            )
        return _mean(self.fn, x, batch)

    def draw(self, key: Key[Array, ""] | None, step: ArrayLike | None = None) -> Batch:
        """The batch of a step, the first where none is given; not inside compiled code."""
        del key
        if isinstance(step, Tracer):
            raise InputError("a tw.Stream gives its mini-batches to tw.run alone; use a tw.FiniteSum here")
        step = 0 if step is None else check_count("step", step, at_least=0)
        try:
            return jax.tree.map(jnp.asarray, self.batches.reader().begin().at(step))
        except EndedError:
            raise InputError(f"the batches end before step {step}") from None

    def on(self, batch: Batch) -> FiniteSum:
        """The mean over one mini-batch, with the same known facts, as an objective of its own.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> f = tw.Stream(lambda x, s: 0.5 * (x - s) ** 2, [jnp.array([1.0, 2.0, 6.0])])
        >>> float(f.on(f.draw(None)).gradient(jnp.array(0.0)))
        -3.0
        """
        return FiniteSum(
            self.fn, batch, minimum=self.minimum, minimiser=self.minimiser,
            smoothness=self.smoothness, strong_convexity=self.strong_convexity,
        )  # fmt: skip


class BatchMean(AbstractObjective):
    """A stream without its batches: what the compiled loop holds of it."""

    fn: Callable

    def value(self, x: Vector, batch: Batch = None) -> Float[Array, ""]:
        return _mean(self.fn, x, batch)


def _mean(fn: Callable, x: Vector, batch: Batch) -> Float[Array, ""]:
    return jnp.mean(jax.vmap(fn, in_axes=(None, 0))(x, batch))
