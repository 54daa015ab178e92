"""The gradients that the steps of a method take, counted in the steps themselves."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array

from .._module import Module
from .._tree import Vector, copied, on_device
from ..dynamics import AbstractDynamics, Field
from ..schemes import AbstractScheme, State
from .counting import Marking, counted, marked_field, marked_score
from .raveled import Raveled

_COUNTS: dict[Any, tuple[int, int]] = {}


class AbstractCounted(Module):
    """The part of a method that tells how many gradients it takes."""

    dynamics: eqx.AbstractVar[AbstractDynamics]
    scheme: eqx.AbstractVar[AbstractScheme]
    lacks_objective: eqx.AbstractVar[bool]

    def _repr_html_(self) -> str:
        from .._showing.html import method_html

        return method_html(self)

    @property
    def gradients_per_step(self) -> int:
        """Gradients in one step, counted in the traced step, loops and all (a Hessian-vector product counts 2).

        The least, where a scheme takes more in some steps than in others (`gradients_vary`).
        """
        return _counts(self)[1]

    @property
    def gradients_at_start(self) -> int:
        """Gradients the start takes (one for a half-step velocity that starts right)."""
        return _counts(self)[0]

    @property
    def gradients_vary(self) -> bool:
        """Tell whether steps differ in how many gradients they take, so that a run must say how many it took."""
        if self.scheme.counts(self.dynamics) is not None:
            return False
        counting = self._counting

        def counted_by_scheme(x: Vector) -> Any:
            return jax.eval_shape(lambda x: self.scheme.report(counting.init(x)).gradients, x)

        return self._on_example(counted_by_scheme) is not None

    @property
    def uneven(self) -> bool:
        """The same as `gradients_vary`, by its former name."""
        return self.gradients_vary

    def gradients_after(self, state: State, steps: int) -> int:
        """Gradients taken up to a state so many steps from the start, the start's own among them."""
        taken = self.scheme.report(state).gradients
        if taken is not None:
            return int(taken)
        at_start, per_step = _counts(self)
        return at_start + steps * per_step

    @property
    def _counting(self) -> Any:
        """The method on a function, or along a field, whose evaluations are marked."""
        law = self.dynamics
        if (marked := law.with_field(marked_score)) is not None:
            return copied(self, dynamics=marked, scheme=self.scheme.unsized())
        if law.objective is None and law.order == 1 and not (self.lacks_objective or law.has_auxiliary):
            return copied(self, dynamics=Field(marked_field), scheme=self.scheme.unsized())
        # As many gradients in flat space, and on any shape.
        return copied(self, dynamics=law.with_objective(Marking()).in_flat_space(), scheme=self.scheme.unsized())

    def _on_example(self, trace: Callable[[Vector], Any]) -> Any:
        """Trace on a vector, or on a matrix where the law takes no vector."""
        if isinstance(self.dynamics, Raveled):
            return trace(_ones(self.dynamics.cut.size))
        try:
            return trace(_ones(1))
        except Exception as error:
            if self.dynamics.elementwise:
                raise
            first = error
        try:
            return trace(_ones((2, 2)))
        except Exception as error:
            # A law that is wrong on both says so where it was tried first.
            raise first from error


def _ones(shape: Any) -> Array:
    return on_device(np.ones(shape))


def _counts(method: Any) -> tuple[int, int]:
    """Gradients at the start and in a step."""
    if (stated := method.scheme.counts(method.dynamics)) is not None:
        return stated
    leaves, structure = jax.tree.flatten(method.with_objective(None))
    # What is traced depends on no array's value, so one count serves every setting of the numbers.
    known = (structure, *(None if eqx.is_array(leaf) else leaf for leaf in leaves))
    if known not in _COUNTS:
        # What is drawn may have another shape in a geometry, and is that of the position here.
        counting, flat = method._counting, copied(method, dynamics=method.dynamics.in_flat_space())

        def both(x: Vector) -> tuple[int, int]:
            at_start, state = counted(counting.init, x)
            return at_start, counted(counting.step, state, jax.eval_shape(flat.silent, x))[0]

        _COUNTS[known] = method._on_example(both)
    return _COUNTS[known]
