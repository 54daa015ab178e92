"""Finite sums: the mean of a loss over samples, and the mini-batches that a step draws of them."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, Key, PyTree

from .._drawing import called
from .._errors import InputError, check_arguments, check_count
from .._module import Module
from .._tree import Vector, copied
from .._typed import check_fields
from .objective import AbstractObjective, Batch, as_value, check_facts
from .parts import same

# The keys of a loss have a stream of their own, beside those of `_methods/drawing.py`.
_KEYS = 2**32 - 5


def _as_data(data: PyTree) -> PyTree:
    if any(isinstance(leaf, str | bytes) for leaf in jax.tree.leaves(data)):
        raise InputError("data must be arrays of numbers, but holds text")
    try:
        return jax.tree.map(jnp.asarray, data)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"data must be arrays of numbers, but: {error}") from error


def as_state(state: PyTree) -> PyTree:
    # Of a dtype that is known, as those of a loop have to be.
    if state is None:
        return None
    try:
        return jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.asarray(leaf).dtype), state)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(
            f"state must be a pytree of arrays, such as the eqx.nn.State of a module, but: {error}"
        ) from error


def check_trained(fn: Callable, keyed: bool, state: PyTree) -> None:
    """Refuse a loss that does not take the key and the state that it is to be given."""
    if keyed or state is not None:
        check_arguments("fn", fn, "x", "sample", *["key"] * keyed, *["state"] * (state is not None))


def key_of_step(key: Key[Array, ""], step: ArrayLike | None) -> Key[Array, ""]:
    """The key of the loss in a step, made of that of the run; of the step, where no step is given."""
    own = jax.random.fold_in(key, _KEYS)
    return own if step is None else jax.random.fold_in(own, step)


class FiniteSum(AbstractObjective):
    r"""The mean of a loss over samples: $f(x) = \frac1N \sum_{i=1}^N \mathtt{fn}(x, s_i)$.

    With a key or a state the loss is one of a training: of a network with dropout, which draws, and with batch
    normalisation, which keeps averages. Samples of a batch are mapped over an axis named "batch", and every one has a
    key of its own, made of that of the step. The state is the same in all evaluations of a step, whose first moves it
    on; in `tw.run` it is in `Run.state.carried`, kept with every checkpoint, and seen by metrics as `carried`.

    Arguments:
        fn: `fn(x, sample)`, the loss of one sample, a real scalar; `fn(x, sample, key)` where it is `keyed`, with None
            for the key where the loss without what is random is asked for, as at the end of a run;
            `fn(x, sample, state)` or `fn(x, sample, key, state)` where there is a state, and then (loss, new state),
            of which the state is the same for all samples of a batch (`jax.lax.pmean(..., "batch")`).
        data: pytree of arrays whose leading axis, of length N, counts the samples.
        batch_size: samples a step draws; None (or N without replacement) is the full gradient.
        replace: draw with replacement.
        epochs: go through all samples in an order that is new in every epoch; of the N mod `batch_size` samples that
            are left over at its end nothing is taken. Needs `replace=False`.
        keyed: the loss takes a key.
        state: what it carries at the start, a pytree of arrays such as the `eqx.nn.State` of a module.
        minimum, minimiser, smoothness, strong_convexity: as in `Objective`.

    Raises:
        InputError: the leaves disagree on N, or `batch_size` is not between 1 and N.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = tw.FiniteSum(lambda x, s: 0.5 * (x - s) ** 2, jnp.array([1.0, 2.0, 6.0]))
    >>> float(f.gradient(jnp.array(0.0)))
    -3.0

    Of a loss that is dropped for half of the samples, and counted double for the others:

    >>> import jax
    >>> def dropped(x, s, key):
    ...     kept = 1.0 if key is None else 2.0 * jax.random.bernoulli(key)
    ...     return 0.5 * kept * (x - s) ** 2
    >>> f = tw.FiniteSum(dropped, jnp.array([1.0, 2.0, 6.0]), keyed=True)
    >>> drawn = [float(f.gradient(jnp.array(0.0), f.draw(jax.random.key(k)))) for k in range(3)]
    >>> float(f.gradient(jnp.array(0.0))), len(set(drawn)) > 1
    (-3.0, True)
    """

    fn: Callable
    data: PyTree = eqx.field(converter=_as_data)
    batch_size: int | None = eqx.field(default=None, static=True)
    replace: bool = eqx.field(default=True, static=True)
    epochs: bool = eqx.field(default=False, static=True, kw_only=True)
    keyed: bool = eqx.field(default=False, static=True, kw_only=True)
    state: PyTree = eqx.field(default=None, converter=as_state, kw_only=True)
    minimum: float | None = eqx.field(default=None, static=True)
    minimiser: PyTree = None
    smoothness: float | None = eqx.field(default=None, static=True)
    strong_convexity: float | None = eqx.field(default=None, static=True)

    def __check_init__(self) -> None:
        if not callable(self.fn):
            raise InputError(f"fn must be a function of (x, sample), but is {self.fn!r}")
        lengths = {leaf.shape[0] if leaf.ndim else None for leaf in jax.tree.leaves(self.data)}
        if len(lengths) != 1 or None in lengths or 0 in lengths:
            raise InputError(
                "every array in data must have the same non-empty leading axis, "
                f"but their lengths are {', '.join(sorted(map(str, lengths)))}"
            )
        if self.batch_size is not None:
            count = check_count("batch_size", self.batch_size)
            if count > self.samples and not self.replace:
                raise InputError(
                    f"batch_size must be at most the {self.samples} samples without replacement, but is {count}"
                )
        check_fields(self)
        check_trained(self.fn, self.keyed, self.state)
        if self.epochs and (self.replace or self.batch_size is None):
            raise InputError("epochs need a batch_size and replace=False: every sample once an epoch")
        check_facts(self)

    @property
    def samples(self) -> int:
        """N, the number of samples."""
        return jax.tree.leaves(self.data)[0].shape[0]

    @property
    def stochastic(self) -> bool:
        return self.keyed or self.draws_samples

    @property
    def draws_samples(self) -> bool:
        """Tell whether a step draws some of the samples."""
        return self.batch_size is not None and (self.replace or self.batch_size < self.samples)

    def value(self, x: Vector, batch: Batch = None) -> Float[Array, ""]:
        if self.keyed or self.state is not None:
            return jnp.mean(self._trained(x, batch)[0])
        data = self.data if batch is None else jax.tree.map(lambda leaf: leaf[batch], self.data)
        return jnp.mean(
            jax.vmap(lambda y, s: as_value(called("the loss", self.fn, y, s), y), in_axes=(None, 0))(x, data)
        )

    def _trained(self, x: Vector, batch: Batch) -> tuple[Array, PyTree]:
        """Losses of the samples of a batch, and the state after it."""
        rows, key = batch if self.keyed and batch is not None else (batch, None)
        data = self.data if rows is None else jax.tree.map(lambda leaf: leaf[rows], self.data)
        count = self.samples if rows is None else rows.shape[0]
        keys = None if key is None else jax.random.split(key, count)

        def one(sample: PyTree, key: Any) -> tuple[Array, PyTree]:
            # A copy of the state: that of an Equinox module is spent by the function it is given to.
            own = (*([key] if self.keyed else []), *([] if self.state is None else [jax.tree.map(same, self.state)]))
            found = called("the loss", self.fn, x, sample, *own)
            if self.state is None:
                return as_value(found, x), None
            new = _state_like(found, self.state)
            return as_value(found[0], x), new

        mapped = jax.vmap(one, in_axes=(0, None if key is None else 0), out_axes=(0, None), axis_name="batch")
        return mapped(data, keys)

    @property
    def carried(self) -> PyTree:
        return self.state

    def carrying(self, carried: PyTree) -> "FiniteSum":
        return copied(self, state=carried)

    def carried_on(self, x: Vector, batch: Batch = None) -> PyTree:
        return None if self.state is None else self._trained(x, batch)[1]

    def draw(self, key: Key[Array, ""] | None, step: ArrayLike | None = None) -> Batch:
        if not self.stochastic:
            return None
        assert key is not None
        rows = self._samples_of(key, step) if self.draws_samples else None
        if not self.keyed:
            return rows
        return rows, key_of_step(key, step)

    def _samples_of(self, key: Key[Array, ""], step: ArrayLike | None) -> Int[Array, " batch"]:
        assert self.batch_size is not None
        if self.epochs:
            epoch, turn = jnp.divmod(jnp.asarray(0 if step is None else step), self.samples // self.batch_size)
            places = turn * self.batch_size + jnp.arange(self.batch_size)
            return shuffled(jax.random.fold_in(key, epoch), places, self.samples)
        key = key if step is None else jax.random.fold_in(key, step)
        if self.replace:
            return jax.random.randint(key, (self.batch_size,), 0, self.samples)
        # The first of a random order: `jax.random.choice` would sort all samples to take a few of them.
        return shuffled(key, jnp.arange(self.batch_size), self.samples)

    def whole(self) -> "FiniteSum":
        # Without a key there is nothing to draw.
        fn = _Unkeyed(self.fn) if self.keyed else self.fn
        return dataclasses.replace(self, fn=fn, batch_size=None, replace=True, epochs=False, keyed=False)


class _Unkeyed(Module):
    """A loss without what is random in it."""

    fn: Callable

    def __call__(self, x: Any, sample: Any, *state: Any) -> Any:
        return self.fn(x, sample, None, *state)


def _state_like(found: Any, state: PyTree) -> PyTree:
    """The new state of a loss, in the dtypes of the one it was given; refused where it is another tree."""
    if not isinstance(found, tuple) or len(found) != 2:
        raise InputError(f"with a state fn must return (loss, new state), but returns {type(found).__name__}")
    new = found[1]
    if jax.tree.structure(new) != jax.tree.structure(state) or [jnp.shape(leaf) for leaf in jax.tree.leaves(new)] != [
        jnp.shape(leaf) for leaf in jax.tree.leaves(state)
    ]:
        raise InputError("fn must return its state as it was given it, of the same structure and shapes")
    return jax.tree.map(lambda leaf, own: jnp.asarray(leaf).astype(own.dtype), new, state)


# Compiled by itself as well, for who draws outside a compiled loop.
@partial(jax.jit, static_argnames="count")
def shuffled(key: Key[Array, ""], places: Int[Array, " batch"], count: int) -> Int[Array, " batch"]:
    """Entries at some places of a random order of `count` things, the whole of which is never made.

    Swap-or-not: each round pairs x with k - x and swaps the two, or not, by a bit of both. It is a
    permutation for every key, and with so many rounds close to a random one.

    Reference: Hoang, Morris and Rogaway (2012).
    """
    rounds = 6 * max(count.bit_length(), 4)
    pairing, salting = jax.random.split(key)
    # Half as wide where it will do: faster, and the order is the same with and without 64 bits.
    narrow = jnp.int32 if count < 2**31 else places.dtype
    pairs = jax.random.randint(pairing, (rounds,), 0, count, dtype=narrow)
    salts = jax.random.bits(salting, (rounds,), jnp.uint32)

    def swap(i: Array, x: Array) -> Array:
        # A remainder would cost a division, by far the most of a round.
        apart = pairs[i] - x
        other = jnp.where(apart < 0, apart + count, apart)
        return jnp.where(_bit(jnp.maximum(x, other).astype(jnp.uint32) ^ salts[i]), other, x)

    return jax.lax.fori_loop(0, rounds, swap, places.astype(narrow)).astype(places.dtype)


def _bit(word: Array) -> Array:
    """One bit of a word whose bits have been mixed (the last steps of MurmurHash3)."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x85EBCA6B)
    word = (word ^ (word >> 13)) * jnp.uint32(0xC2B2AE35)
    return ((word ^ (word >> 16)) & 1).astype(bool)
