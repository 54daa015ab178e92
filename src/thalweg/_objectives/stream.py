"""A loss over mini-batches that come from the host, for data larger than memory."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, ArrayLike, Float, Key, PyTree

from .._errors import InputError, check_count
from .._tree import Vector, copied
from .batches import EndedError, Source
from .finite_sum import FiniteSum, as_state, check_trained, key_of_step
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
        fn: `fn(x, sample)`, the loss of one sample, a real scalar; with `keyed` or a state as `tw.FiniteSum` has it.
        batches: the mini-batches, pytrees of arrays whose leading axis counts samples; all have the shapes and dtypes
            of the first. A function, `batches(step)`, or an iterable, which every epoch begins anew. A one-shot
            iterator (a generator) serves one run, which stops where it ends. A run that is resumed asks the function
            for its next step, or reads the iterable from the start and drops what was used: it ends bit for bit
            where one never stopped ends if the batches are the same again.
        samples: N, the number of samples there are in all, where it is known.
        minimum, minimiser, smoothness, strong_convexity: as in `Objective`.
        ahead: read in a thread of its own, one batch after the other; False reads between chunks, for a loader that
            must stay in the thread that made it.
        keyed: the loss takes a key, as of dropout; `tw.run` is then given one.
        state: what the loss carries at the start, as of batch normalisation. Both as in `tw.FiniteSum`; at the end of a
            run the last batch has no key.

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
    keyed: bool = eqx.field(default=False, static=True)
    state: PyTree = None

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
        keyed: bool = False,
        state: PyTree = None,
    ) -> None:
        if not callable(fn):
            raise InputError(f"fn must be a function of (x, sample), but is {fn!r}")
        for name, value in (("ahead", ahead), ("keyed", keyed)):
            if not isinstance(value, bool):
                raise InputError(f"{name} must be True or False, but is {value!r}")
        self.fn = fn
        self.batches = batches if isinstance(batches, Source) else Source(batches)
        self.samples = None if samples is None else check_count("samples", samples)
        self.minimum, self.minimiser = minimum, minimiser
        self.smoothness, self.strong_convexity = smoothness, strong_convexity
        self.ahead, self.keyed, self.state = ahead, keyed, as_state(state)
        check_facts(self)
        check_trained(fn, keyed, self.state)

    @property
    def stochastic(self) -> bool:
        return True

    def value(self, x: Vector, batch: Batch = None) -> Float[Array, ""]:
        if batch is None:
            raise InputError(
                "a tw.Stream has no gradient over all of its data; use a tw.FiniteSum, or one mini-batch: f.on(batch)"
            )
        return self.without_batches().value(x, batch)

    @property
    def carried(self) -> PyTree:
        return self.state

    def without_batches(self) -> "BatchMean":
        """The loss alone, which the compiled loop holds."""
        return BatchMean(self.fn, self.keyed, self.state)

    def draw(self, key: Key[Array, ""] | None, step: ArrayLike | None = None) -> Batch:
        """The batch of a step, the first where none is given, with its key where it has one; not in compiled code."""
        if isinstance(step, Tracer):
            raise InputError("a tw.Stream gives its mini-batches to tw.run alone; use a tw.FiniteSum here")
        step = 0 if step is None else check_count("step", step, at_least=0)
        try:
            samples = jax.tree.map(jnp.asarray, self.batches.reader().begin().at(step))
        except EndedError:
            raise InputError(f"the batches end before step {step}") from None
        return (samples, None if key is None else key_of_step(key, step)) if self.keyed else samples

    def on(self, batch: Batch) -> FiniteSum:
        """The mean over the samples of one mini-batch, with the same known facts, as an objective of its own.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> f = tw.Stream(lambda x, s: 0.5 * (x - s) ** 2, [jnp.array([1.0, 2.0, 6.0])])
        >>> float(f.on(f.draw(None)).gradient(jnp.array(0.0)))
        -3.0
        """
        return FiniteSum(
            self.fn, batch, keyed=self.keyed, state=self.state, minimum=self.minimum, minimiser=self.minimiser,
            smoothness=self.smoothness, strong_convexity=self.strong_convexity,
        )  # fmt: skip


class BatchMean(AbstractObjective):
    """A stream without its batches: what the compiled loop holds of it.

    A batch is the samples, where the loss is keyed with its key, which is what a step draws, or None.
    """

    fn: Callable
    keyed: bool = eqx.field(default=False, static=True)
    state: PyTree = None

    @property
    def stochastic(self) -> bool:
        return self.keyed

    def value(self, x: Vector, batch: Batch = None) -> Float[Array, ""]:
        if not self.keyed and self.state is None:
            return jnp.mean(jax.vmap(self.fn, in_axes=(None, 0))(x, batch))
        return self._sum(batch).value(x, self._key(batch))

    def _sum(self, batch: Batch) -> FiniteSum:
        return FiniteSum(self.fn, batch[0] if self.keyed else batch, keyed=self.keyed, state=self.state)

    def _key(self, batch: Batch) -> Batch:
        return (None, batch[1]) if self.keyed and batch[1] is not None else None

    @property
    def carried(self) -> PyTree:
        return self.state

    def carrying(self, carried: PyTree) -> "BatchMean":
        return copied(self, state=carried)

    def carried_on(self, x: Vector, batch: Batch = None) -> PyTree:
        return None if self.state is None else self._sum(batch).carried_on(x, self._key(batch))

    def draw(self, key: Key[Array, ""] | None, step: ArrayLike | None = None) -> Batch:
        return key_of_step(key, step) if self.keyed and key is not None else None
