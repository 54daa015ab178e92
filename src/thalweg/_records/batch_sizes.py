"""Sizes of the batches that a recorder is told of."""

from typing import Any

from .._errors import InputError, check_count


def batch_sizes(batch_size: Any, part_size: Any, method: Any) -> dict[str, int]:
    """The samples of a batch and of a part of it, as run.toml keeps them."""
    known = getattr(method, "batch_size", None)
    found = {}
    if batch_size is not None:
        found["size"] = check_count("batch_size", batch_size)
        if known is not None and known != found["size"]:
            raise InputError(f"batch_size is {found['size']}, but that of the method is {known:g}")
    if part_size is not None:
        size = found.get("size", known)
        if size is None:
            raise InputError("part_size is that of a part of the batch; give batch_size, too")
        found["part"] = check_count("part_size", part_size)
        if not found["part"] < size:
            raise InputError(f"part_size must be less than batch_size, {size:g}, but is {found['part']}")
        found["size"] = int(size)
    return found
