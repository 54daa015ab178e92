"""Gradient transformations of optax."""

import contextlib
import functools
from collections.abc import Callable
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import numpy as np
import optax

from .._programs import BARELY, with_options
from .._tree import on_device
from ._walk import AbstractFramework, AbstractWalker, Walk, call, listed

# Two lanes of a vmap: the walk and its mirror image.
_LANES = np.array([1.0, -1.0])
# A step of more calls than the second, or of a loop, which is compiled at every call, is compiled once instead; one of
# more than the first too, where an optimizer has all that it keeps in its state.
_SOME, _MANY = 12, 40
_LOOPS = ("while", "scan", "cond")


class OptaxWalker(AbstractWalker):
    """A gradient transformation at work."""

    def __init__(self, framework: "Optax", walk: Walk, x: Any) -> None:
        self.framework, self.walk, self.x = framework, walk, x
        init, self.move = framework.functions(walk)
        self.state = init(x)
        self.dtype = walk.said_dtype

    @property
    def position(self) -> np.ndarray:
        leaves = [np.asarray(part, np.float64) for part in jax.tree.leaves(self.x)]
        return np.concatenate([np.ravel(leaf[0] if self.walk.mode == "vmap" else leaf) for leaf in leaves])

    def step(self, gradient: tuple[float, ...]) -> None:
        gradients = self.framework.tree(self.walk, gradient)
        # A loop that nobody compiles would be compiled by itself, at each call.
        with jax.disable_jit(self.walk.mode == "eager" and self.framework.costly):
            updates, self.state, self.x = self.move(gradients, self.state, self.x)
        dtypes = " and ".join(sorted({str(leaf.dtype) for leaf in jax.tree.leaves(updates)}))
        if dtypes != self.walk.said_dtype:
            self.dtype = dtypes

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

    def __init__(self, factory: Callable, rate: str | None) -> None:
        super().__init__(factory, rate)
        self._programs: dict[str, tuple[Callable, Callable]] = {}

    def context(self) -> contextlib.AbstractContextManager:
        return jax.enable_x64(True)

    @functools.cached_property
    def costly(self) -> bool:
        """Tell whether a step by hand makes very many calls, or compiles a loop of its own each time."""
        some = False
        try:
            made = self.factory(**self.usual)
            for shape in ((2,), (2, 2)):
                x = jnp.ones(shape)
                equations = jax.make_jaxpr(lambda g, x: made.update(g, made.init(x), x))(x, x).jaxpr.eqns
                if len(equations) > _MANY or any(one.primitive.name in _LOOPS for one in equations):
                    return True
                some |= len(equations) > _SOME
            return some and self._keeps_nothing_else()
        except Exception:
            # The checks tell of it.
            return False

    def _keeps_nothing_else(self) -> bool:
        """Tell whether another optimizer goes on from a state as the one that made it does."""
        one, other = (self.factory(**self.usual) for _ in range(2))
        first, second, x = jnp.array([1.0, 2.0]), jnp.array([-0.5, 3.0]), jnp.ones(2)
        other.init(x)
        _, state = one.update(first, one.init(x), x)
        ends = [jax.tree.leaves(made.update(second, state, x)) for made in (one, other)]
        return all(map(np.array_equal, *([np.asarray(_bits(leaf)) for leaf in leaves] for leaves in ends)))

    def functions(self, walk: Walk) -> tuple[Callable, Callable]:
        """An optimizer's init and its step, from which come updates, a state and parameters; in the walk's mode."""
        if self.costly and walk.mode == "plain":
            key = repr(sorted(walk.settings.items()))
            if key not in self._programs:
                made = self.factory(**walk.settings)
                # It is run a few times: compiling it takes longer than it runs.
                self._programs[key] = made.init, _compiled(_stepping(made.update))
            return self._programs[key]
        # Others are made anew, since what is kept outside of the state is seen where it is traced.
        made = self.factory(**walk.settings)
        if walk.mode == "vmap":
            return jax.vmap(made.init), _compiled(_stepping(jax.vmap(made.update)))
        step = _stepping(made.update)
        return made.init, _compiled(step) if walk.mode == "compiled" else step

    def tree(self, walk: Walk, numbers: tuple[float, ...]) -> Any:
        """Numbers as what the optimizer takes."""
        if walk.mode == "vmap":
            shown = np.array(walk.shown(numbers))
            return on_device(_LANES.reshape(2, *[1] * shown.ndim) * shown, walk.dtype)
        parts = [on_device(part, dtype) for part, dtype in zip(walk.split(numbers), walk.dtypes, strict=True)]
        return parts[0] if walk.parts == "one" else parts

    def begin(self, walk: Walk) -> OptaxWalker:
        return OptaxWalker(self, walk, self.tree(walk, walk.start))

    def follow(self, walk: Walk, gradient: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
        if walk.mode != "scan":
            return super().follow(walk, gradient)
        x = self.tree(walk, walk.start)
        optimizer = self.factory(**walk.settings)
        path = _compiled(functools.partial(_scanned, optimizer))(
            x, on_device([walk.shown(g) for g in walk.gradients], walk.dtype)
        )
        return np.concatenate([np.asarray(x)[None], np.asarray(path)]).reshape(len(walk.gradients) + 1, -1)

    def code(self, walk: Walk) -> str:
        dtype = "" if walk.dtype in ("float64", "mixed") else f', "{walk.dtype}"'
        made = f"optimizer = factory({call(**walk.settings)})"
        if walk.mode == "scan":
            return "\n".join([
                f"x, gradients = jnp.array({walk.shown(walk.start)}), jnp.array({listed(walk)})",
                made,
                "def step(carry, gradient):",
                "    updates, state = optimizer.update(gradient, carry[1], carry[0])",
                "    return (optax.apply_updates(carry[0], updates), state), None",
                "(x, _), _ = jax.lax.scan(step, (x, optimizer.init(x)), gradients)",
                *(["x = x.ravel()"] if walk.matrix else []),
            ])  # fmt: skip
        start, gradient, ends = f"jnp.array({walk.shown(walk.start)}{dtype})", f"jnp.array(gradient{dtype})", []
        init, update = "optimizer.init", "optimizer.update"
        if walk.parts != "one":
            start = f"[jnp.array([x]) for x in {walk.shown(walk.start)}]"
            gradient, ends = "[jnp.array([part]) for part in gradient]", ["x = jnp.concatenate(x)"]
            if walk.dtype == "mixed":
                dtypes = [f"jnp.{dtype}" for dtype in walk.dtypes]
                pairs = f"zip({walk.shown(walk.start)}, [{', '.join(dtypes)}])"
                start = f"[jnp.array([x], dtype) for x, dtype in {pairs}]"
                gradient = "[jnp.array([part], y.dtype) for part, y in zip(gradient, x)]"
                ends = ["x = jnp.concatenate([y.astype(float) for y in x])"]
        if walk.mode == "compiled":
            update = "jax.jit(optimizer.update)"
        if walk.mode == "vmap":
            start, gradient = (f"jnp.multiply.outer(jnp.array([1.0, -1.0]), {one})" for one in (start, gradient))
            ends = ["x = x[0]"]
            init, update = f"jax.vmap({init})", f"jax.jit(jax.vmap({update}))"
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
        return "\n".join([*lines, *ends, *(["x = x.ravel()"] if walk.matrix else [])])


def _compiled(function: Callable) -> Callable:
    return with_options(function, BARELY, static=None)


def _stepping(update: Callable) -> Callable:
    """An update that also makes the step, so that both are one program."""

    def step(gradients: Any, state: Any, x: Any) -> Any:
        updates, state = update(gradients, state, x)
        return updates, state, optax.apply_updates(x, updates)

    return step


def _scanned(optimizer: Any, x: Any, gradients: Any) -> Any:
    """Positions after each of some steps."""

    def step(carry: Any, given: Any) -> Any:
        updates, state = optimizer.update(given, carry[1], carry[0])
        after = optax.apply_updates(carry[0], updates)
        return (after, state), after

    return jax.lax.scan(step, (x, optimizer.init(x)), gradients)[1]


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and bool(jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key))


def _bits(leaf: Any) -> Any:
    return jax.random.key_data(leaf) if _is_key(leaf) else leaf


def _like(array: np.ndarray, leaf: Any) -> Any:
    return jax.random.wrap_key_data(on_device(array)) if _is_key(leaf) else on_device(array)
