"""Parts of arrays by their places, taken and put by NumPy, each array with an axis of rows in front."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jax.lax import GatherScatterMode


def pad(equation: Any, padding_config: Any, **_: Any) -> Callable[..., Any]:
    """A value around an array and between its entries; less than none of it cuts entries off."""
    shape = equation.outvars[0].aval.shape
    places = [low + np.arange(size) * (1 + between) for (low, _, between), size in _by_axis(padding_config, equation)]
    kept = [(at >= 0) & (at < size) for at, size in zip(places, shape, strict=True)]
    into = np.ix_(*(at[known] for at, known in zip(places, kept, strict=True)))
    taken = np.ix_(*(np.flatnonzero(known) for known in kept))

    def padded(x: Any, value: Any) -> Any:
        rows = max(len(x), len(value))
        found = np.array(np.broadcast_to(value.reshape(-1, *(1,) * len(shape)), (rows, *shape)))
        found[:, *into] = x[:, *taken]
        return found

    return padded


def _by_axis(config: Any, equation: Any) -> Any:
    return zip(config, equation.invars[0].aval.shape, strict=True)


def dynamic_slice(equation: Any, slice_sizes: Sequence[int], **_: Any) -> Callable[..., Any]:
    """As many entries from a place on, which is moved to where there are as many."""

    def taken(x: Any, *starts: Any) -> Any:
        return _at(x, _window(x.shape[1:], slice_sizes, starts))

    return taken


def dynamic_update_slice(equation: Any, **_: Any) -> Callable[..., Any]:
    """Entries put from a place on, which is moved to where there is room."""

    def put(x: Any, update: Any, *starts: Any) -> Any:
        window = _window(x.shape[1:], update.shape[1:], starts)
        found = _own(x, max(len(update), *(len(at) for at in window)))
        found[_rows(found), *window] = update
        return found

    return put


def _window(shape: Sequence[int], sizes: Sequence[int], starts: Sequence[Any]) -> list[Any]:
    found = []
    for axis, (length, size, start) in enumerate(zip(shape, sizes, starts, strict=True)):
        at = np.clip(start, 0, length - size)[:, None] + np.arange(size)
        found.append(_along(at, [axis + 1], len(shape) + 1))
    return found


def gather(equation: Any, dimension_numbers: Any, slice_sizes: Any, mode: Any, fill_value: Any, **_: Any) -> Any:
    """Windows of an array, one for each index."""
    numbers = dimension_numbers
    axes = _Axes(
        numbers.offset_dims, numbers.collapsed_slice_dims, numbers.start_index_map, numbers.operand_batching_dims,
        numbers.start_indices_batching_dims,
    )  # fmt: skip

    def taken(x: Any, indices: Any) -> Any:
        window, inside = axes.places(x.shape[1:], slice_sizes, indices, mode)
        found = _at(x, window)
        return found if inside is None else np.where(inside, found, fill_value)

    return taken


def scatter(equation: Any, dimension_numbers: Any, mode: Any, **_: Any) -> Callable[..., Any]:
    """Windows put into an array, one for each index."""
    return _put(dimension_numbers, mode, lambda found, at, update: found.__setitem__(at, update))


def scatter_add(equation: Any, dimension_numbers: Any, mode: Any, **_: Any) -> Callable[..., Any]:
    """Windows added to an array, one for each index."""
    return _put(dimension_numbers, mode, np.add.at)


def _put(numbers: Any, mode: Any, into: Callable[[Any, Any, Any], None]) -> Callable[..., Any]:
    axes = _Axes(
        numbers.update_window_dims, numbers.inserted_window_dims, numbers.scatter_dims_to_operand_dims,
        numbers.operand_batching_dims, numbers.scatter_indices_batching_dims,
    )  # fmt: skip

    def put(x: Any, indices: Any, update: Any) -> Any:
        sizes = axes.sizes(x.ndim - 1, update.shape[1:])
        window, inside = axes.places(x.shape[1:], sizes, indices, mode)
        found = _own(x, max(len(indices), len(update)))
        shape = (len(found), *update.shape[1:])
        whole = [np.broadcast_to(at, shape) for at in (_rows(found, update.ndim), *window)]
        update = np.broadcast_to(update, shape)
        kept = slice(None) if inside is None else np.broadcast_to(inside, shape)
        into(found, tuple(at[kept] for at in whole), update[kept])
        return found

    return put


class _Axes:
    """Axes of windows, of an array and of indices that belong together, as XLA has them."""

    def __init__(self, window: Any, dropped: Any, indexed: Any, batched: Any, batched_indices: Any) -> None:
        self._window, self._dropped, self._indexed = window, {*dropped, *batched}, indexed
        self._batched = dict(zip(batched, batched_indices, strict=True))

    def sizes(self, axes: int, shape: Any) -> list[int]:
        """Sizes of a window of an array of so many axes, from the shape of all windows."""
        own = iter(shape[axis] for axis in self._window)
        return [1 if axis in self._dropped else next(own) for axis in range(axes)]

    def places(self, shape: Any, sizes: Any, indices: Any, mode: Any) -> tuple[list[Any], Any]:
        """The place of every entry of all windows, for each axis of the array, and those that lie inside it.

        All of them do where none is told.
        """
        outer = indices.ndim - 2
        axes = outer + len(self._window)
        batch = [axis for axis in range(axes) if axis not in self._window]
        own, found, inside = iter(self._window), [], None
        for axis, (length, size) in enumerate(zip(shape, sizes, strict=True)):
            at = np.zeros((1,) * (axes + 1), int)
            if axis in self._indexed:
                start = indices[..., self._indexed.index(axis)]
                if mode == GatherScatterMode.FILL_OR_DROP:
                    known = _along((start >= 0) & (start <= length - size), [axis + 1 for axis in batch], axes + 1)
                    inside = known if inside is None else inside & known
                at = _along(np.clip(start, 0, length - size), [axis + 1 for axis in batch], axes + 1)
            elif axis in self._batched:
                at = _along(np.arange(length)[None], [batch[self._batched[axis]] + 1], axes + 1)
            if axis not in self._dropped:
                at = at + _along(np.arange(size)[None], [next(own) + 1], axes + 1)
            found.append(at)
        return found, inside


def _along(array: Any, axes: Sequence[Any], size: int) -> Any:
    """An array whose axes after the first stand at these of so many."""
    shape = [1] * size
    shape[0] = len(array)
    for axis, length in zip(axes, array.shape[1:], strict=True):
        shape[axis] = length
    return array.reshape(shape)


def _rows(array: Any, axes: int | None = None) -> Any:
    return np.arange(len(array)).reshape(-1, *(1,) * ((axes or array.ndim) - 1))


def _own(array: Any, rows: int) -> Any:
    """A copy with as many rows, where it has one."""
    return np.array(np.broadcast_to(array, (max(len(array), rows), *array.shape[1:])))


def _at(array: Any, window: Sequence[Any]) -> Any:
    # One row is the same for all of them.
    return array[0][tuple(window)] if len(array) == 1 and window else array[_rows(array, window[0].ndim), *window]
