"""Adam's flow, the law behind Adam, AdamW, NAdam, RMSprop and Lion."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PyTree

from .._errors import InputError, check_choice, check_number
from .._objectives.objective import AbstractObjective, as_objective
from .._tree import Vector, combine, copied, optional_scalar, scalar
from ._base import AbstractFirstOrder, Coefficient, Evaluation, Phase, Time, at_time, check_coefficient
from ._remembering import AbstractRemembering
from .gradient_flow import as_rate

FORMS = ("outside", "inside", "sign", "frozen")
# The power of the gradient that is averaged, by the name of the average.
_POWERS = {"mean": 1, "square": 2}


class Weights(NamedTuple):
    """Weights of a direction: n is made of the mean and the newest gradient, v of the mean square and the newest."""

    mean: ArrayLike
    gradient: ArrayLike
    square: ArrayLike
    newest: ArrayLike


class AdamFlow(AbstractFirstOrder, AbstractRemembering):
    r"""Descent by an average of the gradient over the root of an average of its square.

    $$\dot m = \frac{g - m}{\tau_1},\qquad \dot v = \frac{g^2 - v}{\tau_2},\qquad
      \dot\theta = -b(t)\Bigl(\frac{n}{\sqrt{\hat v} + \varepsilon} + \lambda\theta\Bigr),\qquad
      n = c\hat m + (1 - c)\,g$$

    entry by entry, $g = \nabla f$, with the averages corrected for their start at zero,
    $\hat m = m/(1 - e^{-t/\tau_1})$ and $\hat v = v/(1 - e^{-t/\tau_2})$, which at $t = 0$ are g and $g^2$.

    `tw.LieTrotter()` makes of it the Adam of every framework: at the step h its $\beta_i$ are $e^{-h/\tau_i}$, and its
    corrections $1 - \beta_i^k$ are the flow's own.

    Arguments:
        objective: $f$, a `tw.Objective` or a function of the parameters.
        rate: $b$, a positive number or a function of time.
        first: $\tau_1 > 0$, the memory time of the gradient, in the law's units of time; None for no memory, m = g.
        second: $\tau_2 > 0$, that of its square; None for none, $v = g^2$.
        epsilon: $\varepsilon \ge 0$, in units of the gradient; inside of the root in units of its square.
        share: c, what the average counts for beside the newest gradient; None is 1, the average alone.
        decay: $\lambda \ge 0$, of the parameters themselves; None is 0.
        form: "outside" of the root stands $\varepsilon$; or "inside", $n/\sqrt{\hat v + \varepsilon}$; or "sign", the
            direction is $\operatorname{sign} n$, without a memory of squares; or "frozen", it is n itself: the law in
            which the linear probe sees this one, its curvature that of f over $\sqrt{\hat v} + \varepsilon$.
        corrected: the averages are corrected for their start.
        coupled: the decay is part of the gradient, $g = \nabla f + \lambda\theta$, and not of the motion.

    Raises:
        InputError: a number is out of its range, or the form takes no memory of squares and is given one.

    >>> import thalweg as tw, jax.numpy as jnp
    >>> flow = tw.AdamFlow(lambda x: 0.5 * jnp.sum(x**2), first=1.0, second=10.0, epsilon=0.0)
    >>> method = tw.Method(flow, tw.LieTrotter(), 0.1)
    >>> [round(x, 6) for x in tw.run(method, jnp.array([4.0, -0.5]), 1).final.position.tolist()]  # by h, whatever g is
    [3.9, -0.4]

    Reference: Kingma and Ba (2015), algorithm 1.
    """

    objective: AbstractObjective | None = eqx.field(converter=as_objective)
    rate: Coefficient = eqx.field(default=1, converter=as_rate)
    first: Float[Array, ""] | None = eqx.field(default=1.0, converter=optional_scalar)
    second: Float[Array, ""] | None = eqx.field(default=10.0, converter=optional_scalar)
    epsilon: Float[Array, ""] = eqx.field(default=1e-8, converter=scalar)
    share: Float[Array, ""] | None = eqx.field(default=None, converter=optional_scalar)
    decay: Float[Array, ""] | None = eqx.field(default=None, converter=optional_scalar)
    form: str = eqx.field(default="outside", static=True)
    corrected: bool = eqx.field(default=True, static=True)
    coupled: bool = eqx.field(default=False, static=True)

    elementwise: ClassVar[bool] = True

    def __check_init__(self) -> None:
        check_coefficient("rate", self.rate, above=0.0)
        check_choice("form", self.form, FORMS)
        for name in ("first", "second"):
            if getattr(self, name) is not None:
                check_number(f"{name}, a memory time,", getattr(self, name), above=0.0)
        check_number("epsilon", self.epsilon, at_least=0.0)
        if self.share is not None:
            check_number("share", self.share)
        if self.decay is not None:
            check_number("decay", self.decay, at_least=0.0)
        if not self._squares and self.second is not None:
            raise InputError(f"the form {self.form!r} keeps no squares of the gradient; give second=None")

    @property
    def _squares(self) -> bool:
        return self.form in ("outside", "inside")

    @property
    def autonomous(self) -> bool:
        return not callable(self.rate)

    @property
    def has_auxiliary(self) -> bool:
        return bool(self._memory_times)

    @property
    def looks_ahead(self) -> bool:
        return self.first is not None and self.share is None

    @property
    def takes_position(self) -> bool:
        return self.decay is not None

    @property
    def preconditioned(self) -> bool:
        return self._squares

    def preconditioner(self, second_moment: Any) -> np.ndarray:
        """The factor of the mean gradient where the average of squares is this, (d,) or a number, in float64."""
        squares, epsilon = np.asarray(second_moment, float), float(np.asarray(self.epsilon))
        root = np.sqrt(squares + epsilon) if self.form == "inside" else np.sqrt(squares) + epsilon
        return np.asarray(1.0 / root)

    def linearised(self) -> "AdamFlow":
        if not self._squares:
            return self
        # The root of the squares scales the parameters, and with them the curvature.
        return copied(self, form="frozen", second=None, epsilon=jnp.zeros_like(self.epsilon), corrected=False)

    def initial_auxiliary(self, position: Vector) -> PyTree:
        # What changes by a thousandth of itself is lost in half a precision.
        def zeros() -> Vector:
            return jax.tree.map(lambda x: jnp.zeros(x.shape, jnp.promote_types(x.dtype, jnp.float32)), position)

        found: dict[str, Any] = {name: zeros() for name in self._memory_times}
        # What has come into the averages so far, averages of 1 themselves: no clock is needed, and another step or
        # other memory times in mid run leave them right. In one array: a step of few parameters is some operations.
        return found | ({"filled": jnp.zeros(len(found), float)} if self.corrected and found else {}) or None

    def weights(self, auxiliary: PyTree, ahead: ArrayLike | None = None) -> Weights:
        inverse = self._inverse((auxiliary or {}).get("filled"))
        if ahead is None:
            share = 1.0 if self.share is None else self.share
            mean = inverse["mean"] if self.share is None else share * inverse["mean"]
            return Weights(mean, 1.0 - share, inverse["square"], 0.0)
        assert self.first is not None
        kept, new = _fading(ahead, self.first)
        later = kept / inverse["mean"] + new if self.corrected else 1.0
        return Weights(kept / later, new * inverse["mean"], inverse["square"], 0.0)

    def _inverse(self, filled: Array | None) -> dict[str, Any]:
        plain = {"mean": 1.0, "square": 1.0}
        return plain if filled is None else plain | dict(zip(self._memory_times, 1.0 / filled, strict=True))

    def averaged(self, duration: ArrayLike, phase: Phase, evaluation: Evaluation) -> PyTree:
        def after(name: str, memory_time: Array) -> Vector:
            kept, new = _fading(duration, memory_time)
            return self._on_memory(lambda m, g: _sum(m.dtype, (kept, m), (new, g)), name, phase, evaluation)

        found: dict[str, Any] = {name: after(name, time) for name, time in self._memory_times.items()}
        if found and self.corrected:
            kept, new = _fading(duration, jnp.stack(list(self._memory_times.values())))
            found["filled"] = kept * phase.auxiliary["filled"] + new
        return found or None

    def rates(self, time: Time, phase: Phase, evaluation: Evaluation) -> Phase:
        def rate(name: str, memory_time: Array) -> Vector:
            return self._on_memory(lambda m, g: (g - m) / memory_time.astype(m.dtype), name, phase, evaluation)

        found: dict[str, Any] = {name: rate(name, memory_time) for name, memory_time in self._memory_times.items()}
        if found and self.corrected:
            found["filled"] = (1.0 - phase.auxiliary["filled"]) / jnp.stack(list(self._memory_times.values()))
        return Phase(self.drift(time, phase, evaluation, self._now(phase.auxiliary)), auxiliary=found or None)

    def _now(self, auxiliary: PyTree) -> Weights:
        """The weights, at the start the limits of what is 0/0 there: the newest gradient and its square alone."""
        if not (self.corrected and self.has_auxiliary):
            return self.weights(auxiliary)
        # All averages begin at the same time.
        started = jnp.all(auxiliary["filled"] > 0)
        found = self.weights(auxiliary | {"filled": jnp.where(started, auxiliary["filled"], 1.0)})
        return Weights(
            jnp.where(started, found.mean, 0.0), jnp.where(started, found.gradient, 1.0),
            jnp.where(started, found.square, 0.0), jnp.where(started, 0.0, 1.0),
        )  # fmt: skip

    def drift(self, time: Time, phase: Phase, evaluation: Evaluation, weights: Weights) -> Vector:
        rate, own = at_time(self.rate, time), phase.auxiliary or {}
        leaves, structure = jax.tree.flatten(phase.position)
        slopes = jax.tree.leaves(self._slope(phase, evaluation))
        means, squares = (
            jax.tree.leaves(own[name]) if name in own else [None] * len(leaves) for name in ("mean", "square")
        )
        found = [
            self._direction(x, g, m, v, weights, rate)
            for x, g, m, v in zip(leaves, slopes, means, squares, strict=True)
        ]
        return jax.tree.unflatten(structure, found)

    def _direction(self, x: Array, g: Array, m: Any, v: Any, weights: Weights, rate: Any) -> Array:
        """The velocity of one leaf."""
        wide = jnp.promote_types(x.dtype, jnp.float32)
        n = _power(wide, g, 1) if m is None else _sum(wide, (weights.mean, m), (weights.gradient, g))
        if self._squares:
            newest = _power(wide, g, 2)
            v = newest if v is None else _sum(wide, (weights.square, v), (weights.newest, newest))
            epsilon = self.epsilon.astype(wide)
            n = n / (jnp.sqrt(v + epsilon) if self.form == "inside" else jnp.sqrt(v) + epsilon)
        elif self.form == "sign":
            n = jnp.sign(n)
        if self.decay is not None and not self.coupled:
            n = n + self.decay.astype(wide) * x.astype(wide)
        return _sum(wide, (-rate, n)).astype(x.dtype)

    def _on_memory(self, fn: Callable[[Array, Array], Array], name: str, phase: Phase, evaluation: Evaluation) -> Any:
        """A function of an average and of what it averages, leaf by leaf in its dtype."""

        def leaf(m: Array, g: Array) -> Array:
            return fn(m, _power(m.dtype, g, _POWERS[name]))

        return jax.tree.map(leaf, phase.auxiliary[name], self._slope(phase, evaluation))

    @property
    def _memory_times(self) -> dict[str, Array]:
        times = {"mean": self.first, "square": self.second}
        return {name: time for name, time in times.items() if time is not None}

    def _slope(self, phase: Phase, evaluation: Evaluation) -> Vector:
        """The gradient, with the decay where that is a part of it."""
        if self.decay is None or not self.coupled:
            return evaluation.gradient
        return combine((1, evaluation.gradient), (self.decay, phase.position))


def _fading(duration: ArrayLike, memory_time: Array) -> tuple[Array, Array]:
    """Part of an average that is left after a while, and the part that has come."""
    part = -jnp.asarray(duration) / memory_time
    return jnp.exp(part), -jnp.expm1(part)


def _sum(dtype: Any, *terms: tuple[Any, Array]) -> Array:
    """A weighted sum in a dtype, without what counts for nothing."""
    found = [
        leaf.astype(dtype) if _is(weight, 1.0) else jnp.asarray(weight).astype(dtype) * leaf.astype(dtype)
        for weight, leaf in terms
        if not _is(weight, 0.0)
    ]
    return sum(found[1:], found[0])


def _is(weight: Any, number: float) -> bool:
    return isinstance(weight, float | int) and weight == number


def _power(dtype: Any, leaf: Array, power: int) -> Array:
    wide = leaf.astype(dtype)
    return wide if power == 1 else wide * wide
