"""Mini-batches from a function or an iterable: read step by step, and checked."""

from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from .._errors import InputError


class EndedError(Exception):
    """There are no more batches."""


class Source:
    """A function of the step or an iterable; equal to nothing but itself, so that no compiled program depends on it."""

    def __init__(self, batches: Any) -> None:
        if isinstance(batches, str | bytes) or not (
            callable(batches) or hasattr(batches, "__iter__") or hasattr(batches, "__getitem__")
        ):
            raise InputError(
                f"batches must be a function of the step or an iterable of mini-batches, but is {batches!r}"
            )
        self.batches = batches
        # What gives each batch once gives it to whoever asks first.
        self._once = Reader(batches) if not callable(batches) and hasattr(batches, "__next__") else None

    def reader(self) -> "Reader":
        """Reads from the first step on, or from where a one-shot iterator is."""
        return Reader(self.batches) if self._once is None else self._once


class Reader:
    """Reads the batches in order. The first one says what all of them must look like."""

    def __init__(self, batches: Any) -> None:
        self.batches = batches
        self.position = 0
        self._iterator: Any = None
        self._newest: Any = None
        self.first: PyTree = None
        self._structure: Any = None
        self._raw: list[tuple[tuple[int, ...], np.dtype]] = []

    def begin(self) -> "Reader":
        """Read the batch of step 0."""
        if self._structure is None:
            try:
                batch = self._read(0)
            except EndedError:
                raise InputError("batches must hold at least one mini-batch, but is empty") from None
            leaves = self._leaves(batch, 0)
            self._structure = jax.tree.structure(batch)
            self._raw = [(leaf.shape, leaf.dtype) for leaf in leaves]
            # As JAX would hold them; asked for here, since another thread may have another precision.
            self.dtypes = [jax.dtypes.canonicalize_dtype(leaf.dtype) for leaf in leaves]
            self.first = self._tree(leaves)
        return self

    @property
    def nbytes(self) -> int:
        """Bytes of a batch, as JAX holds it."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self.first))

    def at(self, step: int) -> PyTree:
        """The batch of a step; an iterable is read up to it. Raises `EndedError` where it ends before."""
        return self.first if step == 0 else self._tree(self.leaves_at(step))

    def leaves_at(self, step: int) -> list[np.ndarray]:
        """The arrays of that batch."""
        if step == 0:
            return jax.tree.leaves(self.first)
        batch = self._read(step)
        leaves = self._leaves(batch, step)
        if jax.tree.structure(batch) != self._structure:
            raise InputError(f"the batch of step {step} must have the structure of the first, {self._structure}")
        for leaf, (shape, dtype) in zip(leaves, self._raw, strict=True):
            if leaf.shape != shape or leaf.dtype != dtype:
                raise InputError(
                    f"the batch of step {step} must have the shapes and dtypes of the first, {dtype} of shape {shape}, "
                    f"but holds {leaf.dtype} of shape {leaf.shape}"
                )
        return leaves

    def stack(self, count: int) -> list[np.ndarray]:
        """Room for so many batches."""
        return [_aligned((count, *shape), dtype) for (shape, _), dtype in zip(self._raw, self.dtypes, strict=True)]

    def unflatten(self, leaves: list[Any]) -> PyTree:
        """A tree of arrays, of the structure of a batch."""
        return jax.tree.unflatten(self._structure, leaves)

    def _tree(self, leaves: list[np.ndarray]) -> PyTree:
        return self.unflatten([leaf.astype(dtype) for leaf, dtype in zip(leaves, self.dtypes, strict=True)])

    def _read(self, step: int) -> Any:
        if callable(self.batches):
            return self._asked(step)
        if step < self.position - 1:
            raise self._gone(step)
        while self.position <= step:
            self._newest = self._next()
            self.position += 1
        return self._newest

    def check_from(self, step: int) -> None:
        """Refuse to go on from a step whose batch a one-shot iterator has already given to another run."""
        if not callable(self.batches) and self.position > max(step, 1):
            raise self._gone(step)

    def _gone(self, step: int) -> InputError:
        return InputError(
            f"batches is a one-shot iterator that has been read up to step {self.position - 1}, so that no run can go "
            f"on from step {step}; give a new one, or a function of the step"
        )

    def _asked(self, step: int) -> Any:
        try:
            return self.batches(step)
        except StopIteration:
            raise EndedError from None
        except Exception as error:
            raise InputError(f"batches({step}) raised {_first_line(error)}") from error

    def _next(self) -> Any:
        """The next one; where an epoch ends the next begins, unless the iterator can give each only once."""
        try:
            for fresh in (False, True):
                if self._iterator is None or (fresh and not hasattr(self.batches, "__next__")):
                    self._iterator = iter(self.batches)
                try:
                    return next(self._iterator)
                except StopIteration:
                    pass
        except Exception as error:
            raise InputError(f"batches raised {_first_line(error)} at step {self.position}") from error
        raise EndedError

    def _leaves(self, batch: Any, step: int) -> list[np.ndarray]:
        what = f"the batch of step {step}"
        leaves = []
        if hasattr(batch, "__next__"):
            raise InputError(f"{what} must be arrays of numbers, but is a {type(batch).__name__}")
        for leaf in jax.tree.leaves(batch):
            try:
                array = np.asarray(leaf)
            except Exception as error:
                raise InputError(f"{what} must be arrays of numbers, but holds {type(leaf).__name__}") from error
            # Of kind V only bfloat16 and its like are numbers.
            if array.dtype.kind not in "biufcV" or array.dtype.names:
                raise InputError(f"{what} must be arrays of numbers, but holds {_kind(leaf, array)}")
            leaves.append(array)
        lengths = {leaf.shape[0] if leaf.ndim else 0 for leaf in leaves}
        if len(lengths) != 1 or 0 in lengths:
            shapes = ", ".join(str(leaf.shape) for leaf in leaves) or "that it holds none"
            raise InputError(
                f"every array in {what} must have the same non-empty leading axis, but their shapes are {shapes}"
            )
        return leaves


def _aligned(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros at an address that JAX on a CPU takes as it is, without a copy."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    memory = np.zeros(size + 64, np.uint8)
    skip = -memory.ctypes.data % 64
    return memory[skip : skip + size].view(dtype).reshape(shape)


def _kind(leaf: Any, array: np.ndarray) -> str:
    return f"an array of {array.dtype}" if isinstance(leaf, np.ndarray) else type(leaf).__name__


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).strip().splitlines() or [''])[0]}"
