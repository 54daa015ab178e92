"""Gradient transformations of optax."""

import contextlib
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from ._walk import AbstractFramework, AbstractWalker, Walk, call, listed

# Two lanes of a vmap: the walk and its mirror image.
_LANES = np.array([[1.0], [-1.0]])


class OptaxWalker(AbstractWalker):
    """A gradient transformation at work."""

    def __init__(self, framework: "Optax", walk: Walk, x: Any) -> None:
        self.framework, self.walk, self.x = framework, walk, x
        init, self.update = framework.functions(walk)
        self.state = init(x)
        self.dtype = walk.dtype

    @property
    def position(self) -> np.ndarray:
        found = np.concatenate([np.asarray(part, np.float64) for part in jax.tree.leaves(self.x)], axis=-1)
        return found[0] if self.walk.mode == "vmap" else found

    def step(self, gradient: tuple[float, ...]) -> None:
        updates, self.state = self.update(self.framework.tree(self.walk, gradient), self.state, self.x)
        dtypes = {str(leaf.dtype) for leaf in jax.tree.leaves(updates)}
        if dtypes != {self.walk.dtype}:
            self.dtype = " and ".join(sorted(dtypes))
        self.x = optax.apply_updates(self.x, updates)

    def resumed(self) -> "OptaxWalker":
        saved = [(np.asarray(leaf).tobytes(), np.asarray(leaf)) for leaf in map(_bits, jax.tree.leaves(self.state))]
        new = OptaxWalker(self.framework, self.walk, self.x)
        leaves, structure = jax.tree.flatten(new.state)
        if len(leaves) != len(saved):
            raise ValueError(f"the saved state has {len(saved)} arrays, but a new one has {len(leaves)}")
        read = [np.frombuffer(data, kept.dtype).reshape(kept.shape) for data, kept in saved]
        new.state = jax.tree.unflatten(structure, [_like(a, b) for a, b in zip(read, leaves, strict=True)])
        return new


class Optax(AbstractFramework):
    """Factories of optax.GradientTransformation."""

    name: ClassVar[str] = "optax"
    can_set_rate: ClassVar[bool] = False

    def context(self) -> contextlib.AbstractContextManager:
        return jax.enable_x64(True)

    def functions(self, walk: Walk) -> tuple[Callable, Callable]:
        """A new optimizer's init and update, in the walk's mode."""
        made = self.factory(**walk.settings)
        if walk.mode == "vmap":
            return jax.vmap(made.init), jax.vmap(made.update)
        return made.init, jax.jit(made.update) if walk.mode == "compiled" else made.update

    def tree(self, walk: Walk, numbers: tuple[float, ...]) -> Any:
        """Numbers as what the optimizer takes."""
        if walk.mode == "vmap":
            return jnp.asarray(_LANES * np.array(numbers), walk.dtype)
        parts = [jnp.asarray(part, walk.dtype) for part in walk.split(numbers)]
        return parts[0] if walk.parts == "one" else parts

    def begin(self, walk: Walk) -> OptaxWalker:
        return OptaxWalker(self, walk, self.tree(walk, walk.start))

    def follow(self, walk: Walk, gradient: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        if walk.mode != "scan":
            return super().follow(walk, gradient)
        x = self.tree(walk, walk.start)
        optimizer = self.factory(**walk.settings)

        def step(carry: Any, given: Any) -> Any:
            updates, state = optimizer.update(given, carry[1], carry[0])
            after = optax.apply_updates(carry[0], updates)
            return (after, state), after

        _, path = jax.lax.scan(step, (x, optimizer.init(x)), jnp.asarray(walk.gradients, walk.dtype))
        return np.concatenate([np.asarray(x)[None], np.asarray(path)])

    def code(self, walk: Walk) -> str:
        dtype = "" if walk.dtype == "float64" else f', "{walk.dtype}"'
        made = f"optimizer = factory({call(**walk.settings)})"
        if walk.mode == "scan":
            return "\n".join([
                f"x, gradients = jnp.array({list(walk.start)}), jnp.array({listed(walk)})",
                made,
                "def step(carry, gradient):",
                "    updates, state = optimizer.update(gradient, carry[1], carry[0])",
                "    return (optax.apply_updates(carry[0], updates), state), None",
                "(x, _), _ = jax.lax.scan(step, (x, optimizer.init(x)), gradients)",
            ])  # fmt: skip
        start, gradient, ends = f"jnp.array({list(walk.start)}{dtype})", f"jnp.array(gradient{dtype})", []
        init, update = "optimizer.init", "optimizer.update"
        if walk.parts != "one":
            start = f"[jnp.array([x]) for x in {list(walk.start)}]"
            gradient, ends = "[jnp.array([part]) for part in gradient]", ["x = jnp.concatenate(x)"]
        if walk.mode == "compiled":
            update = "jax.jit(optimizer.update)"
        if walk.mode == "vmap":
            mirrored = "jnp.array([[1.0], [-1.0]]) * "
            start, gradient, ends = mirrored + start, mirrored + gradient, ["x = x[0]"]
            init, update = f"jax.vmap({init})", f"jax.vmap({update})"
        lines = [
            f"x = {start}",
            made,
            f"state, update = {init}(x), {update}",
            f"for step, gradient in enumerate({listed(walk)}, start=1):",
            f"    updates, state = update({gradient}, state, x)",
            "    x = optax.apply_updates(x, updates)",
        ]
        if walk.resume_after is not None:
            lines += [
                f"    if step == {walk.resume_after}:  # resumed",
                f"        {made}",
                "        update, saved = optimizer.update, jax.tree.leaves(state)",
                "        state = jax.tree.unflatten(jax.tree.structure(optimizer.init(x)), saved)",
            ]
        return "\n".join(lines + ends)


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _bits(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _like(array: np.ndarray, leaf: Any) -> Any:
    return jax.random.wrap_key_data(jnp.asarray(array)) if _is_key(leaf) else jnp.asarray(array)
