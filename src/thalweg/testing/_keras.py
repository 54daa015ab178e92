"""Optimizers of keras, on any of its backends."""

import contextlib
from typing import Any, ClassVar

import keras  # pyright: ignore[reportMissingImports]
import numpy as np

from ._walk import AbstractFramework, AbstractWalker, Walk, call, listed


class KerasWalker(AbstractWalker):
    """A keras optimizer at work."""

    def __init__(self, framework: "Keras", walk: Walk, parts: list[Any]) -> None:
        self.framework, self.walk = framework, walk
        self.variables = [keras.Variable(part, dtype=walk.dtype) for part in parts]
        self.optimizer = framework.factory(**walk.settings)
        self.optimizer.build(self.variables)
        if walk.mode == "compiled":
            import jax

            self.apply = jax.jit(self.optimizer.stateless_apply)

    @property
    def position(self) -> np.ndarray:
        return np.concatenate([_numbers(variable).astype(np.float64).ravel() for variable in self.variables])

    @property
    def dtype(self) -> str:
        return " and ".join(sorted({keras.backend.standardize_dtype(v.dtype) for v in self.variables}))

    def step(self, gradient: tuple[float, ...]) -> None:
        parts = [keras.ops.convert_to_tensor(np.array(p), self.walk.dtype) for p in self.walk.split(gradient)]
        if self.walk.mode != "compiled":
            self.optimizer.apply(parts, self.variables)
            return
        kept = self.optimizer.variables
        moved, state = self.apply([v.value for v in kept], parts, [v.value for v in self.variables])
        for variable, value in zip([*self.variables, *kept], [*moved, *state], strict=True):
            variable.assign(value)

    def resumed(self) -> "KerasWalker":
        saved: dict[str, Any] = {}
        self.optimizer.save_own_variables(saved)
        new = KerasWalker(self.framework, self.walk, [_numbers(variable) for variable in self.variables])
        new.optimizer.load_own_variables({name: np.asarray(value).copy() for name, value in saved.items()})
        return new

    def set_rate(self, rate: float | int) -> None:
        self.optimizer.learning_rate = rate


class Keras(AbstractFramework):
    """Factories of keras.optimizers.Optimizer."""

    name: ClassVar[str] = "keras"
    # Keras keeps the learning rate in float32.
    reference_tolerance: ClassVar[float] = 1e-6

    def context(self) -> contextlib.AbstractContextManager:
        if keras.backend.backend() != "jax":
            return contextlib.nullcontext()
        import jax

        return jax.enable_x64(True)

    def begin(self, walk: Walk) -> KerasWalker:
        return KerasWalker(self, walk, [np.array(part) for part in walk.split(walk.start)])

    def code(self, walk: Walk) -> str:
        made = f"optimizer = factory({call(**walk.settings)})"
        single = walk.parts == "one"
        dtype = f'"{walk.dtype}"'
        tensor = f"keras.ops.convert_to_tensor({{}}, {dtype})"
        compiled = walk.mode == "compiled"
        lines = [
            f"x = keras.Variable({walk.shown(walk.start)}, dtype={dtype})"
            if single
            else f"xs = [keras.Variable([x], dtype={dtype}) for x in {walk.shown(walk.start)}]",
            made,
            f"optimizer.build({'[x]' if single else 'xs'})",
            *(["apply = jax.jit(optimizer.stateless_apply)"] if compiled else []),
            f"for step, gradient in enumerate({listed(walk)}, start=1):",
        ]
        if compiled:
            lines += [
                "    kept = [v.value for v in optimizer.variables]",
                f"    moved, kept = apply(kept, [{tensor.format('gradient')}], [x.value])",
                "    for variable, value in zip([x, *optimizer.variables], [*moved, *kept]):",
                "        variable.assign(value)",
            ]
        elif single:
            lines += [f"    optimizer.apply([{tensor.format('gradient')}], [x])"]
        else:
            lines += [f"    optimizer.apply([{tensor.format('[part]')} for part in gradient], xs)"]
        if walk.rate_after is not None:
            lines += [
                f"    if step == {walk.rate_after[0]}:",
                f"        optimizer.learning_rate = {walk.rate_after[1]}",
            ]
        if walk.resume_after is not None:
            lines += [
                f"    if step == {walk.resume_after}:  # resumed",
                "        saved = {}",
                "        optimizer.save_own_variables(saved)",
                f"        {made}",
                "        optimizer.build([x])",
                "        optimizer.load_own_variables(saved)",
            ]
        ends = ["x = keras.ops.concatenate(xs)"] if not single else []
        return "\n".join([*lines, *ends, *(["x = keras.ops.ravel(x)"] if walk.matrix else [])])


def _numbers(variable: Any) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(variable.value))
