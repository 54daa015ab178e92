"""The resolved configuration of a run, as run.toml keeps it."""

import hashlib
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from .._measures.base import AbstractMeasure
from .._measures.functional import AbstractFunctional
from .._measures.storage import described
from .._methods.method import Method
from .._tree import Vector
from ..dynamics import AbstractDynamics
from ..geometry import AbstractGeometry
from .kinds import stamped
from .labels import labels_of_config
from .metrics import Metric
from .run import Record, Run


def describe(
    method: Method, x0: Vector, steps: int, key: Any, record: Record,
    velocity: Vector | None, source: Mapping[str, Any] | None, first_loss: float | None,
) -> dict[str, Any]:  # fmt: skip
    """The resolved configuration of a run: what a resumed run must agree with."""
    from .. import __version__

    config: dict[str, Any] = {
        "run": {"steps": steps, "version": __version__},
        "method": describe_method(method),
        "objective": {"name": objective_name(method.dynamics)},
        "start": describe_start(x0, (x0, velocity)) | ({} if first_loss is None else {"loss": first_loss}),
        "record": {"metrics": [_metric(metric) for metric in record.parsed], "positions": record.positions},
    }
    if key is not None:
        config["run"]["key"] = [int(word) for word in np.asarray(jax.random.key_data(key)).ravel()]
    if source is not None:
        config["source"] = dict(source)
    return stamped("run", config)


def _metric(metric: Metric) -> str:
    return metric.name if metric.every == 1 else f"{metric.name} every {metric.every}"


def describe_start(x0: Vector, whole: PyTree) -> dict[str, Any]:
    """The leaves of a start, and a fingerprint of the whole of it."""
    leaves = [
        {
            "path": jax.tree_util.keystr(path, simple=True, separator="/"),
            "shape": list(leaf.shape),
            "dtype": str(leaf.dtype),
        }
        for path, leaf in jax.tree_util.tree_flatten_with_path(x0)[0]
    ]
    kind = {"measure": described(x0)} if isinstance(x0, AbstractMeasure) else {}
    return {"digest": _digest(whole), "leaves": leaves} | kind


def describe_method(method: Method) -> dict[str, Any]:
    """A law, a scheme and their numbers."""
    # As equinox prints it, by which runs that were written before are known.
    printed = eqx.tree_pformat(method.scheme)
    return {
        "dynamics": type(method.dynamics).__name__,
        **({} if method.dynamics.geometry is None else {"geometry": _words(method.dynamics.geometry)}),
        "scheme": getattr(method.scheme, "name", printed),
        "hyperparameters": {name: _value(name, value) for name, value in method.hyperparameters.items()},
        "digest": _digest((method.dynamics, method.scheme, method.step_size), printed),
    }


def _words(geometry: AbstractGeometry) -> str:
    # Where a function is part of it, its print is another in the next process.
    text = " ".join(repr(geometry).split())
    return type(geometry).__name__ if " at 0x" in text else text


def labels(run: Run) -> tuple[str, str, dict[str, Any]]:
    """(objective, method, hyperparameters) of any run, by the names its user knows them by."""
    if not run.config:
        about, objective = describe_method(run.method), objective_name(run.method.dynamics)
        return objective, f"{about['dynamics']} {about['scheme']}", about["hyperparameters"]
    return labels_of_config(run.config)


def objective_name(law: AbstractDynamics) -> str:
    """The function that a law goes down, or follows."""
    objective = law if law.objective is None else law.objective
    if isinstance(objective, AbstractFunctional):
        return objective.title
    fn = getattr(objective, "fn", getattr(objective, "residuals", objective))
    name = getattr(fn, "__qualname__", type(fn).__qualname__)
    return f"{getattr(fn, '__module__', type(fn).__module__)}:{name}"


def _value(name: str, value: Any) -> Any:
    """A number as it is, a function of the step or the time by some of its values."""
    if not callable(value):
        return value if isinstance(value, int | float) else repr(value)
    dtype = int if name == "step_size" else float
    values = [np.asarray(value(jnp.asarray(10**k, dtype))).item() for k in range(6)]
    return f"{getattr(value, '__qualname__', type(value).__qualname__)}: {' '.join(f'{v:.6g}' for v in values)}, ..."


def _digest(tree: PyTree, words: str = "") -> str:
    """A fingerprint of every array in a tree, and of words beside it."""
    total = hashlib.sha256(words.encode())
    for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array_like)):
        array = np.asarray(leaf)
        total.update(f"{array.dtype}{array.shape}".encode())
        total.update(np.ascontiguousarray(array).view(np.uint8).tobytes() if array.ndim else array.tobytes())
    return total.hexdigest()[:16]
