"""Finite sums: the mean of a loss over samples, and the mini-batches that a step draws of them."""

import dataclasses
from collections.abc import Callable
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float, Int, Key, PyTree

from .._errors import InputError, check_count
from .._tree import Vector
from .._typed import check_fields
from .objective import AbstractObjective, Batch, as_value, check_facts


def _as_data(data: PyTree) -> PyTree:
    if any(isinstance(leaf, str | bytes) for leaf in jax.tree.leaves(data)):
        raise InputError("data must be arrays of numbers, but holds text")
    try:
        return jax.tree.map(jnp.asarray, data)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError(f"data must be arrays of numbers, but: {error}") from error


class FiniteSum(AbstractObjective):
    r"""The mean of a loss over samples: $f(x) = \frac1N \sum_{i=1}^N \mathtt{fn}(x, s_i)$.

    Arguments:
        fn: `fn(x, sample)`, the loss of one sample, a real scalar.
        data: pytree of arrays whose leading axis, of length N, counts the samples.
        batch_size: samples a step draws; None (or N without replacement) is the full gradient.
        replace: draw with replacement.
        epochs: go through all samples in an order that is new in every epoch; of the N mod `batch_size` samples that
            are left over at its end nothing is taken. Needs `replace=False`.
        minimum, minimiser, smoothness, strong_convexity: as in `Objective`.

    Raises:
        InputError: the leaves disagree on N, or `batch_size` is not between 1 and N.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> f = tw.FiniteSum(lambda x, s: 0.5 * (x - s) ** 2, jnp.array([1.0, 2.0, 6.0]))
    >>> float(f.gradient(jnp.array(0.0)))
    -3.0
    """

    fn: Callable
    data: PyTree = eqx.field(converter=_as_data)
    batch_size: int | None = eqx.field(default=None, static=True)
    replace: bool = eqx.field(default=True, static=True)
    epochs: bool = eqx.field(default=False, static=True, kw_only=True)
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
        if self.epochs and (self.replace or self.batch_size is None):
            raise InputError("epochs need a batch_size and replace=False: every sample once an epoch")
        check_facts(self)

    @property
    def samples(self) -> int:
        """N, the number of samples."""
        return jax.tree.leaves(self.data)[0].shape[0]

    @property
    def stochastic(self) -> bool:
        return self.batch_size is not None and (self.replace or self.batch_size < self.samples)

    def value(self, x: Vector, batch: Int[Array, " batch"] | None = None) -> Float[Array, ""]:
        data = self.data if batch is None else jax.tree.map(lambda leaf: leaf[batch], self.data)
        return jnp.mean(jax.vmap(lambda y, s: as_value(self.fn(y, s), y), in_axes=(None, 0))(x, data))

    def draw(self, key: Key[Array, ""] | None, step: ArrayLike | None = None) -> Batch:
        if not self.stochastic:
            return None
        assert self.batch_size is not None and key is not None
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
        return dataclasses.replace(self, batch_size=None, replace=True, epochs=False)


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
