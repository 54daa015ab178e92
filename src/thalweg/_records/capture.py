"""Numbers, norms and parameters of somebody else's loop, of NumPy, JAX or torch, captured without waiting."""

import math
import sys
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from .._errors import InputError
from .._tree import length

_KINDS: dict[type, str] = {float: "number", int: "number", type(None): "nothing"}


def kind_of(value: Any) -> str:
    """Whose a value is: "number", "nothing", "numpy", "jax", "tracer", "torch", else "unknown"."""
    found = _KINDS.get(type(value))
    if found is None:
        found = _KINDS[type(value)] = _find_kind(value)
    return found


def _find_kind(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        return "numpy"
    if isinstance(value, Tracer):
        return "tracer"
    if isinstance(value, jax.Array):
        return "jax"
    # Where nobody has loaded torch nothing is a tensor of its.
    torch = sys.modules.get("torch")
    return "torch" if torch is not None and isinstance(value, torch.Tensor) else "unknown"


def number(name: str, value: Any) -> Any:
    """A number, or an array of one that nothing changes any more and `numbers` reads later; None is none."""
    kind = kind_of(value)
    if kind == "number":
        return _as_float(name, value)
    if kind == "nothing":
        return None
    if kind == "jax" and value.size == 1 and _letter(value) in "iufV":
        return value
    if kind == "numpy" and value.size == 1 and value.dtype.kind in "iufV":
        return float(value.reshape(()))
    if kind == "torch" and value.numel() == 1 and not value.is_complex() and value.dtype != sys.modules["torch"].bool:
        # To read what another device computes would make the loop wait for it.
        return float(value.item()) if value.device.type == "cpu" else value.detach().clone()
    _refuse(name, value, kind)
    return None


def _letter(array: Any) -> str:
    """The kind of a dtype: V is bfloat16 and its like; a key of JAX has none."""
    return getattr(array.dtype, "kind", "O")


def _as_float(name: str, value: Any) -> float:
    try:
        return float(value)
    except OverflowError:
        raise InputError(f"{name} is too large for a number of double precision") from None


def _refuse(name: str, value: Any, kind: str) -> None:
    if kind == "tracer":
        raise InputError(f"{name} is traced: call log outside of jax.jit, with what the compiled step returned")
    if kind in ("numpy", "jax", "torch") and np.prod(value.shape, dtype=int) != 1:
        raise InputError(f"{name} must be one number, but is an array of shape {tuple(value.shape)}; take its mean")
    shown = f"an array of {value.dtype}" if kind in ("numpy", "jax", "torch") else repr(value)
    raise InputError(f"{name} must be a real number, but is {shown}")


def numbers(values: Sequence[Any]) -> list[float]:
    """Results of `number`, on the host, copied together; None is NaN."""
    found = list(values)
    at = {"jax": [], "torch": []}
    for i, value in enumerate(found):
        kind = _KINDS[type(value)]
        if kind == "nothing":
            found[i] = float("nan")
        elif kind != "number":
            at[kind].append(i)
    try:
        arrays = jax.device_get([found[i] for i in at["jax"]])
    except RuntimeError as error:
        raise InputError(f"a number that was logged can no longer be read, was it donated? {error}") from error
    for i, array in zip(at["jax"], arrays, strict=True):
        found[i] = float(array.reshape(()))
    groups: dict[Any, list[int]] = {}
    for i in at["torch"]:
        groups.setdefault((found[i].device, found[i].dtype), []).append(i)
    for (device, _), group in groups.items():
        _finish(device)
        stacked = sys.modules["torch"].stack([found[i].reshape(()) for i in group])
        for i, value in zip(group, stacked.tolist(), strict=True):
            found[i] = float(value)
    return found


def _finish(device: Any) -> None:
    """Wait for a device of torch: the loop may have computed on a stream of its own, which this thread does not see."""
    if device.type == "cuda":
        sys.modules["torch"].cuda.synchronize(device)


def norm(name: str, tree: Any) -> Any:
    """The Euclidean norm over all leaves, accumulated in float32 at least, as `number` gives one."""
    leaves = _leaves(name, tree)
    kinds = {kind_of(leaf) for leaf in leaves}
    if kinds == {"torch"}:
        return number(name, _torch_norm(leaves))
    for leaf in leaves:
        if kind_of(leaf) == "tracer":
            _refuse(name, leaf, "tracer")
        if kind_of(leaf) not in ("number", "numpy", "jax"):
            _refuse_leaf(name, leaf)
        if kind_of(leaf) != "number" and _letter(leaf) not in "fcV":
            raise InputError(f"{name} must be floating point, but holds an array of {leaf.dtype}")
    if "jax" in kinds:
        return _jax_norm(leaves)
    return math.hypot(*(_numpy_norm(np.asarray(leaf)) for leaf in leaves))


def _numpy_norm(array: np.ndarray) -> float:
    """Of numbers of any size: neither their squares nor the square of the norm need be held."""
    wide = array.astype(np.promote_types(array.dtype, np.float64), copy=False)
    most = float(np.max(np.abs(wide), initial=0.0))
    if most == 0.0 or not math.isfinite(most):
        return most
    wide = wide / most
    return most * float(np.vdot(wide, wide).real) ** 0.5


def _leaves(name: str, tree: Any) -> list[Any]:
    tree = list(tree) if isinstance(tree, Iterator) else tree
    # What a float0 stands for has no gradient.
    leaves = [leaf for leaf in jax.tree.leaves(tree) if getattr(leaf, "dtype", None) != jax.dtypes.float0]
    if not leaves:
        raise InputError(f"{name} holds no array; log it before the gradients are set to None")
    return leaves


def _refuse_leaf(name: str, leaf: Any) -> None:
    hint = "; of a torch module give [p.grad for p in module.parameters()]" if hasattr(leaf, "parameters") else ""
    if kind_of(leaf) == "torch":
        raise InputError(f"{name} must be arrays of JAX and NumPy or tensors of torch, but holds both")
    raise InputError(f"{name} must be a tree of arrays or tensors, but holds {type(leaf).__name__}{hint}")


@jax.jit
def _jax_norm(leaves: list[Any]) -> jax.Array:
    arrays = [jnp.asarray(leaf) for leaf in leaves]
    parts = [part for a in arrays for part in ((a.real, a.imag) if jnp.iscomplexobj(a) else (a,))]
    return length([part.astype(jnp.promote_types(part.dtype, jnp.float32)) for part in parts])


def _torch_norm(tensors: list[Any]) -> Any:
    torch = sys.modules["torch"]
    groups: dict[Any, list[Any]] = {}
    for tensor in tensors:
        tensor = tensor.coalesce().values() if tensor.is_sparse else tensor
        groups.setdefault((tensor.device, tensor.dtype), []).append(tensor)
    with torch.no_grad():
        norms = []
        for (device, dtype), group in groups.items():
            wide = torch.promote_types(dtype, torch.float32)
            if dtype.to_real() == torch.float64 or device.type == "mps":
                # No wider numbers hold the squares: in units of the largest.
                most = torch.stack(torch._foreach_norm(group, float("inf"))).amax()
                scale = torch.where((most > 0) & most.isfinite(), most, 1.0).to(wide.to_real())
                parts = torch._foreach_norm(torch._foreach_div(group, scale), 2, dtype=wide)
                norms += [part * scale for part in parts]
            else:
                norms += torch._foreach_norm(group, 2, dtype=torch.promote_types(dtype, torch.float64))
        wide = max((one.dtype for one in norms), key=lambda dtype: dtype.itemsize)
        stacked = torch.stack([one.to(norms[0].device, wide) for one in norms])
        most = stacked.amax()
        scale = torch.where((most > 0) & most.isfinite(), most, 1.0)
        return scale * torch.linalg.vector_norm(stacked / scale)


def copied(tree: Any) -> tuple[list[str], list[Any]]:
    """(paths, leaves), copied where they are: the loop may change them, or give their memory away."""
    tree = list(tree) if isinstance(tree, Iterator) else tree
    if isinstance(tree, list) and tree and all(isinstance(item, tuple) and len(item) == 2 for item in tree):
        tree = dict(tree)  # such as module.named_parameters()
    flat = jax.tree_util.tree_flatten_with_path(tree)[0]
    names = [jax.tree_util.keystr(path, simple=True, separator="/") for path, _ in flat]
    leaves = [leaf for _, leaf in flat]
    if not leaves:
        raise InputError("parameters hold no array")
    for name, leaf in zip(names, leaves, strict=True):
        if kind_of(leaf) == "tracer":
            _refuse("parameters", leaf, "tracer")
        if kind_of(leaf) not in ("number", "numpy", "jax", "torch"):
            hint = "; of a torch module give module.state_dict()" if hasattr(leaf, "state_dict") else ""
            hint = (
                "; of an equinox module give eqx.filter(module, eqx.is_array)" if callable(leaf) and not hint else hint
            )
            raise InputError(
                f"parameters must be a tree of arrays or tensors, but {name or 'it'!s} is {type(leaf).__name__}{hint}"
            )
        if kind_of(leaf) in ("numpy", "jax") and _letter(leaf) not in "biufcV":
            raise InputError(f"parameters must be numbers, but {name or 'it'} is an array of {leaf.dtype}")
    if all(kind_of(leaf) == "jax" for leaf in leaves):
        return names, _jax_copies(leaves)
    return names, [_copy(leaf) for leaf in leaves]


@jax.jit
def _jax_copies(leaves: list[Any]) -> list[Any]:
    return [jnp.copy(leaf) for leaf in leaves]


def _copy(leaf: Any) -> Any:
    kind = kind_of(leaf)
    if kind == "torch":
        return leaf.detach().clone()
    return jnp.copy(leaf) if kind == "jax" else np.array(leaf)


def to_host(leaf: Any) -> np.ndarray:
    """A leaf of `copied` as a NumPy array of its own dtype."""
    if kind_of(leaf) != "torch":
        return np.asarray(leaf)
    torch = sys.modules["torch"]
    _finish(leaf.device)
    tensor = (leaf.to_dense() if leaf.layout != torch.strided else leaf).cpu()
    if tensor.dtype == torch.bfloat16:
        import ml_dtypes

        # NumPy knows no bfloat16 of torch's: the bits are the same.
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    if tensor.dtype.is_floating_point and tensor.dtype.itemsize < 2:
        tensor = tensor.to(torch.float32)
    return tensor.numpy()
