"""Position, velocity and look-ahead point as a user has them, worked out from the raw leaves of a state.

The state of a run is mostly one vector, and its velocity has the units of the scheme. What is worked out is written
beside the raw leaves, so that whoever reads a checkpoint need know nothing of that.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from .._tree import Unravel

_PARTS = ("position", "velocity", "lookahead")
# The look-ahead weight in checkpoints of version 0.1.0.
_FORMER_WEIGHT = "shift"


def of_run(config: dict[str, Any], names: Sequence[str], leaves: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The arrays of a run, an array a leaf: "position/w", or "position" where that is the only one.

    Without a velocity there is none, and without a look-ahead point that is the position.

    Arguments:
        config: of the run.
        names: of the leaves of its state.
        leaves: those.
    """
    return _by_path(config, vectors(names, leaves))


def of_samples(config: dict[str, Any], names: Sequence[str], leaves: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The same of chains, each array with an axis of them before its own; of a checkpoint without names, none."""
    found = vectors(names, leaves[: len(names)], chains=True) if names else {}
    return _by_path(config, found)


def of_recorded(config: dict[str, Any], names: Sequence[str], leaves: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """The parameters that another loop logged."""
    del config
    return {name.replace("position.", "position/", 1): leaf for name, leaf in zip(names, leaves, strict=True)}


def vectors(names: Sequence[str], leaves: Sequence[np.ndarray], chains: bool = False) -> dict[str, np.ndarray]:
    """Position, velocity and look-ahead point as vectors, those that there are.

    As `State` works them out, to the last bit, whatever precision JAX is set to here; in curved space the look-ahead
    point is a leaf of its own, "ahead".
    """

    def part(*starts: str) -> np.ndarray | None:
        parts = [leaf for name, leaf in zip(names, leaves, strict=True) if name.partition(".")[0] in starts]
        flat = [leaf.reshape(len(leaf), -1) if chains else leaf.ravel() for leaf in parts]
        return np.concatenate(flat, axis=-1) if flat else None

    position, buffer, unit, ahead = part("position"), part("buffer"), part("unit"), part("ahead")
    weight = part("lookahead_weight", _FORMER_WEIGHT)
    assert position is not None
    wide = np.promote_types(position.dtype, np.float32)
    found = {"position": position}
    if buffer is not None:
        scaled = None if unit is None else unit.astype(wide) * buffer.astype(wide)
        found["velocity"] = buffer if scaled is None else scaled.astype(buffer.dtype)
        if weight is not None and ahead is None:
            ahead = position.astype(wide) + weight.astype(wide) * buffer.astype(wide)
    if ahead is not None:
        found["lookahead"] = ahead.astype(position.dtype)
    return found


def named_leaves(state: Any) -> tuple[list[str], list[np.ndarray]]:
    """Names and leaves of a state, on the host: "position", "clock.time"."""
    paths, leaves = zip(*jax.tree_util.tree_flatten_with_path(state)[0], strict=True)
    names = [jax.tree_util.keystr(path, simple=True, separator=".") for path in paths]
    return names, [np.asarray(leaf) for leaf in leaves]


def as_now(state: Any, checkpoint: Mapping[str, Any], leaves: Sequence[np.ndarray]) -> list[Any]:
    """The leaves of a state from a checkpoint; what an older version did not keep is as at a start."""
    names, own = named_leaves(state)
    known = checkpoint.get("names") or names
    found = dict(zip(known, leaves, strict=False))
    return [found.get(name, leaf) for name, leaf in zip(names, own, strict=True)]


def trees(config: dict[str, Any], derived: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Position, velocity and look-ahead point as trees, from the arrays that a checkpoint holds of them."""
    found = {}
    for part in _PARTS:
        # In the order of the leaves, whatever that of the file is.
        paths = [leaf["path"] for leaf in config["start"]["leaves"] if f"{part}/{leaf['path']}" in derived]
        if part in derived:
            found[part] = derived[part]
        elif paths:
            found[part] = {path: derived[f"{part}/{path}"] for path in paths}
    return found


def recorded_structure(config: dict[str, Any]) -> Unravel:
    """The parameters' tree as run.toml tells it: one array, or a dictionary of arrays by path."""
    leaves = config["start"]["leaves"]
    structure = jax.tree.structure({leaf["path"]: 0 for leaf in leaves} if leaves[0]["path"] else 0)
    # A dictionary flattens in the order of its keys, which need not be the order they were raveled in.
    ordered = tuple(leaves)
    shapes, dtypes = tuple(tuple(leaf["shape"]) for leaf in ordered), tuple(np.dtype(leaf["dtype"]) for leaf in ordered)
    if not leaves[0]["path"]:
        return Unravel(structure, shapes, dtypes)
    return _ByPath(structure, shapes, dtypes, tuple(leaf["path"] for leaf in ordered))


@dataclasses.dataclass(frozen=True)
class _ByPath(Unravel):
    paths: tuple[str, ...] = ()

    def __call__(self, vector: Any) -> Any:
        plain = Unravel(jax.tree.structure([0] * len(self.paths)), self.shapes, self.dtypes)
        return dict(zip(self.paths, plain(vector), strict=True))


def _by_path(config: dict[str, Any], found: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    cut = recorded_structure(config)
    whole = {part: cut(vector) for part, vector in found.items()}
    return {
        f"{part}/{path}" if path else part: leaf
        for part, tree in whole.items()
        for path, leaf in (tree.items() if isinstance(tree, dict) else [("", tree)])
    }
