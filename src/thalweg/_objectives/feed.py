"""Blocks of mini-batches for one run: while the device computes on one, a thread gathers the next."""

import dataclasses
import queue
import threading
import time

import jax
import numpy as np
from jaxtyping import Array, PyTree

from .._errors import InputError
from .batches import EndedError, Reader

# A block is one argument of a compiled chunk. With batches of 1 MB, blocks of 8 MB were slower, of 128 MB no faster.
_BLOCK_BYTES = 32 * 2**20
_BLOCK_STEPS = 16384


@dataclasses.dataclass
class Block:
    """The batches of `count` steps from `start` on, stacked in arrays that may have room for more.

    `failure` says why the next step has none, where that is known.
    """

    start: int
    count: int
    arrays: PyTree
    failure: BaseException | None = None

    @property
    def end(self) -> int:
        return self.start + self.count

    def at(self, step: int) -> PyTree[Array]:
        """The batch of a step."""
        place = step - self.start
        return jax.tree.map(lambda leaf: jax.lax.dynamic_index_in_dim(leaf, place, keepdims=False), self.arrays)


class Feed:
    """The blocks of one run, each asked for when the one before it is taken."""

    def __init__(self, reader: Reader, steps: int, seconds: float, ahead: bool) -> None:
        self.reader, self.steps, self.seconds = reader, steps, seconds
        room = max(1, min(_BLOCK_BYTES // max(reader.nbytes, 1), _BLOCK_STEPS))
        # A power of two where fewer will do, so that another number of steps seldom compiles anew.
        self.capacity = min(room, 1 << max(steps - 1, 0).bit_length())
        # Two that take turns: fresh memory for every block would cost as much as filling it.
        self._stacks = [reader.stack(self.capacity), reader.stack(self.capacity)]
        self.block = Block(0, 0, self._on_device(self._stacks[0]))
        self.before = reader.first
        self._next: Block | None = None
        self._jobs: queue.SimpleQueue[int | None] = queue.SimpleQueue()
        self._done: queue.SimpleQueue[Block] = queue.SimpleQueue()
        self._asked = False
        self._ahead = ahead

    def begin(self, step: int) -> None:
        """Go to a step; an iterable is read up to it."""
        if self._ahead:
            threading.Thread(target=self._work, name="thalweg-batches", daemon=True).start()
        self.reader.check_from(step)
        if step:
            try:
                self.before = self.reader.at(step - 1)
            except EndedError:
                raise InputError(f"the batches end before step {step}, where the run is to go on") from None
        self.block = Block(step, 0, self.block.arrays)
        self._ask(step)

    def close(self) -> None:
        """Let the thread go."""
        self._jobs.put(None)

    def reach(self, step: int) -> int:
        """Number of steps from this one on that have their batch in the block; 0 where there is none for it."""
        if step >= self.block.end and self.block.failure is None:
            following = self._following()
            if self.block.count:
                # Done with, before the memory is filled anew.
                self.before = jax.block_until_ready(self.block.at(self.block.end - 1))
            self.block, self._next = following, None
            if following.failure is None:
                self._ask(following.end)
        return self.block.end - step

    def seen_from(self, step: int) -> PyTree:
        """The batch of a step, the one before it where there is none."""
        if step < self.block.end:
            return self.block.at(step) if step >= self.block.start else self.before
        if step < self.steps and self.block.failure is None:
            following = self._following()
            if following.count:
                return following.at(step)
        return self.block.at(step - 1) if step > self.block.start else self.before

    def last(self, step: int) -> PyTree:
        """The batch of the step before this one, the first batch at the start."""
        return self.block.at(step - 1) if self.block.start < step else self.before

    def _ask(self, start: int) -> None:
        if self._ahead and start < self.steps:
            self._asked = True
            self._jobs.put(start)

    def _following(self) -> Block:
        if self._next is None:
            found = self._done.get() if self._asked else self._gather(self.block.end)
            self._asked = False
            found.arrays = self._on_device(found.arrays)
            self._next = found
        return self._next

    def _on_device(self, stack: list[np.ndarray]) -> PyTree:
        # Here and not in the thread that reads, which may have another precision.
        return jax.block_until_ready(jax.device_put(self.reader.unflatten(stack)))

    def _work(self) -> None:
        while (start := self._jobs.get()) is not None:
            self._done.put(self._gather(start))

    def _gather(self, start: int) -> Block:
        """Gather as many batches as there is room for, or as the loader gives in the seconds of a chunk."""
        self._stacks.reverse()
        stack = self._stacks[0]
        begun, count = time.monotonic(), 0
        try:
            while count < min(self.capacity, self.steps - start):
                for room, leaf in zip(stack, self.reader.leaves_at(start + count), strict=True):
                    room[count] = leaf
                count += 1
                if time.monotonic() - begun > self.seconds:
                    break
        except BaseException as failure:
            return Block(start, count, stack, failure)
        return Block(start, count, stack)
