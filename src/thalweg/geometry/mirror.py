"""Mirror maps: the Hessian metric of a convex function, flat in the dual coordinates."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from .._errors import InputError, check_choice, check_number
from .._tree import Vector, scalar
from ._own_potential import OwnPotential
from ._potentials import AbstractMap, Entropy, Hypentropy, LogBarrier, PNorm, Simplex
from .base import AbstractDualFlat, AbstractNoise, traced

_NAMED: dict[str, Callable[[Any], AbstractMap]] = {
    "entropy": lambda _: Entropy(),
    "simplex": lambda _: Simplex(),
    "hypentropy": Hypentropy,
    "p-norm": PNorm,
    "log-barrier": lambda _: LogBarrier(),
}
_WITH_PARAMETER = {"hypentropy": "its width, parameter=1.0", "p-norm": "its power p, parameter=1.5"}


class Mirror(AbstractDualFlat, AbstractNoise):
    r"""The Hessian metric of a convex function $\phi$, $G = \nabla^2\phi(\theta)$, and its dual coordinates.

    $$\frac{d}{dt}\nabla\phi(\theta) = -\nabla f(\theta),\qquad
      \nabla\phi(\theta^+) = \nabla\phi(\theta) - h\nabla f(\theta)$$

    Gradient flow in it is mirror flow, and Euler's method on that mirror descent. A scheme of several stages adds them
    up in the dual coordinates, where it has its whole order and leaves no domain. `move` is a straight line there: no
    geodesic of the metric, so that `tw.HeavyBall` refuses it. `tw.OverdampedLangevin` in it is mirror Langevin
    dynamics.

    - `"entropy"`: $\sum x\log x - x$ of positive numbers; dual coordinates $\log x$.
    - `"simplex"`: the same of probabilities along the last axis; $\log x$ up to a constant.
    - `"hypentropy"`: $\sum x\operatorname{arsinh}(x/\beta) - \sqrt{x^2+\beta^2}$ of all numbers;
      $\operatorname{arsinh}(x/\beta)$.
    - `"p-norm"`: $\tfrac12\|x\|_p^2$ of all numbers as one vector; $\|x\|_p^{2-p}\,\mathrm{sign}(x)\,|x|^{p-1}$.
    - `"log-barrier"`: $-\sum\log x$ of positive numbers; $-1/x$.

    Arguments:
        potential: one of these names, or a strictly convex function of the parameters.
        parameter: $\beta > 0$ of the hypentropy, $1 < p \le 2$ of the p-norm; of no other.
        inverse: of a function of one's own, the inverse of its gradient; None is by Newton's method, for up to 300
            parameters.

    A step that leads to no point, past the edge of the dual coordinates of the log-barrier or where Newton's method
    does not end, gives NaN, where a run stops; outside of a compiled program Newton's method raises.

    Raises:
        InputError: the potential is unknown, its parameter is missing or out of its range; a start is outside of the
            domain.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> simplex = tw.geometry.Mirror("simplex")
    >>> descent = tw.Method(tw.GradientFlow(lambda x: jnp.array([0.0, 1.0]) @ x, geometry=simplex), tw.Euler(), 1.0)
    >>> end = tw.run(descent, jnp.array([0.5, 0.5]), 2).final.position
    >>> [round(float(x), 6) for x in end]  # softmax of (0, -2)
    [0.880797, 0.119203]

    Reference: Nemirovsky and Yudin (1983); Beck and Teboulle (2003).
    """

    # A name is no leaf, and a function may hold arrays.
    kind: str | None = eqx.field(default=None, static=True)
    function: Callable | None = None
    parameter: Float[Array, ""] | None = None
    inverse: Callable | None = None

    def __init__(self, potential: Any, parameter: Any = None, inverse: Callable | None = None) -> None:
        if callable(potential):
            self.kind, self.function = None, potential
        else:
            check_choice("potential", potential, _NAMED)
            self.kind, self.function = potential, None
        self.parameter = None if parameter is None else scalar(parameter)
        self.inverse = inverse

    def __check_init__(self) -> None:
        if self.kind is None:
            if self.parameter is not None:
                raise InputError("a parameter belongs to a potential by name; a function of one's own has it in itself")
            return
        if self.inverse is not None:
            raise InputError(f"Mirror({self.kind!r}) knows its inverse; it belongs to a function of one's own")
        if self.kind not in _WITH_PARAMETER:
            if self.parameter is not None:
                raise InputError(f"Mirror({self.kind!r}) has no parameter; leave it out")
            return
        if self.parameter is None:
            raise InputError(f"Mirror({self.kind!r}) needs {_WITH_PARAMETER[self.kind]}")
        power = self.kind == "p-norm"
        check_number("parameter", self.parameter, above=1.0 if power else 0.0)
        if power and not traced(self.parameter) and float(self.parameter) > 2.0:
            raise InputError(f"parameter must be at most 2, but is {float(self.parameter):g}")

    @property
    def potential(self) -> str | Callable:
        """The name or the function that it was made of."""
        found = self.function if self.kind is None else self.kind
        assert found is not None
        return found

    @property
    def _map(self) -> AbstractMap:
        if self.function is not None:
            return OwnPotential(self.function, self.inverse)
        assert self.kind is not None
        return _NAMED[self.kind](self.parameter)

    @property
    def elementwise(self) -> bool:
        return self._map.elementwise

    def velocity(self, position: Vector, covector: Vector) -> Vector:
        return self._map.velocity(position, covector)

    def slope_norm(self, position: Vector, covector: Vector) -> Float[Array, ""]:
        # Rounding may leave a square of 0 below it.
        return jnp.sqrt(jnp.maximum(self._map.square(position, covector), 0.0))

    def lowered(self, position: Vector, tangent: Vector) -> Vector:
        return self._map.lowered(position, tangent)

    def to_dual(self, position: Vector) -> Vector:
        return self._map.to_dual(position)

    def from_dual(self, dual: Vector) -> Vector:
        return self._map.from_dual(dual)

    def shifted(self, position: Vector, step: Vector) -> Vector:
        return self._map.shifted(position, step)

    def noise(self, position: Vector, normal: Vector) -> Vector:
        return self._map.noise(position, normal)

    def divergence(self, position: Vector) -> Vector:
        return self._map.divergence(position)

    def check(self, position: Vector) -> None:
        if not traced((position, self.parameter)):
            self._map.check(position)
