"""Hyperparameters in the conventions of the frameworks, and what they mean."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

from .._errors import InputError, check_choice, check_number
from .._typed import typed
from .momentum import momentum_changed, momentum_from_friction, physical_constants, scale_changed, step_changed
from .physical import Physical
from .schedules import FrictionSchedule

CONVENTIONS = ("torch", "keras", "ema")
RULES = ("exact", "square root")


@dataclasses.dataclass(frozen=True)
class Hyperparameters:
    r"""The numbers of gradient descent with momentum, in one framework's convention.

    With $g = \nabla f + \omega\theta$ for a weight decay $\omega$, and d the second form for Nesterov's method:

    $$\begin{aligned}
      \text{torch:}\quad & b^+ = \beta b + (1-\tau)g\ \ (b^+ = g\text{ at first}), &
        \theta^+ &= \theta - \alpha d, & d &= b^+ \text{ or } g + \beta b^+\\
      \text{keras:}\quad & v^+ = \beta v - \alpha g, &
        \theta^+ &= \theta + d, & d &= v^+ \text{ or } \beta v^+ - \alpha g\\
      \text{ema:}\quad & m^+ = \beta m + (1-\beta)g, &
        \theta^+ &= \theta - \alpha d, & d &= m^+ \text{ or } (1-\beta)g + \beta m^+
    \end{aligned}$$

    The third divides d by $1-\beta^k$ at its k-th step where it corrects its bias.

    Arguments:
        learning_rate: $\alpha > 0$, in the convention.
        momentum: $0 \le \beta < 1$.
        nesterov: Nesterov's method in the frameworks' form.
        dampening: $\tau < 1$ of torch; without momentum torch ignores it.
        batch_size: B, samples a step; None where it is not known. Not a whole number where it follows from others.
        convention: "torch" (optax's is the same), "keras" or "ema".
        weight_decay: $\omega \ge 0$, coupled: a part of the gradient.
        bias_correction: of the exponential average.

    Raises:
        InputError: a number is out of its range, or the convention has no such thing.

    >>> import thalweg as tw
    >>> round(tw.Hyperparameters(0.1, momentum=0.9).to("ema").learning_rate, 6)  # 0.1/(1 - 0.9)
    1.0
    >>> round(tw.Hyperparameters(0.1, momentum=0.9).physical().friction, 6)
    0.324443
    """

    learning_rate: float | int
    momentum: float | int = 0.0
    nesterov: bool = False
    dampening: float | int = 0.0
    batch_size: float | int | None = None
    convention: str = "torch"
    weight_decay: float | int = dataclasses.field(default=0.0, kw_only=True)
    bias_correction: bool = dataclasses.field(default=False, kw_only=True)

    def __post_init__(self) -> None:
        check_choice("convention", self.convention, CONVENTIONS)
        check_number("learning_rate", self.learning_rate, above=0.0)
        check_number("momentum", self.momentum, at_least=0.0, below=1.0)
        check_number("dampening", self.dampening, at_least=0.0, below=1.0)
        check_number("weight_decay", self.weight_decay, at_least=0.0)
        if self.batch_size is not None:
            check_number("batch_size", self.batch_size, above=0.0)
        for name in ("learning_rate", "momentum", "dampening", "weight_decay"):
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("nesterov", "bias_correction"):
            if not isinstance(getattr(self, name), bool):
                raise InputError(f"{name} must be True or False, but is {getattr(self, name)!r}")
        if self.dampening and self.convention != "torch":
            raise InputError(f"dampening is torch's alone, but the convention is {self.convention!r}; leave it 0")
        if self.dampening and self.nesterov:
            raise InputError("nesterov needs dampening 0, as in torch")
        if self.nesterov and not self.momentum:
            raise InputError("nesterov needs a momentum greater than 0")
        if self.bias_correction and self.convention != "ema":
            raise InputError(f"bias_correction is of convention 'ema', but the convention is {self.convention!r}")
        if self.weight_decay and self.convention == "keras":
            raise InputError(
                "weight_decay is coupled here, a part of the gradient, and keras has only the decoupled one; "
                "add 0.5 * weight_decay * sum(x**2) to the loss"
            )

    @property
    def scale(self) -> float:
        r"""The learning rate at which one gradient moves the parameters at once: $\alpha$ of convention "keras"."""
        return self.learning_rate * self._gradient_weight

    @property
    def _gradient_weight(self) -> float:
        if self.convention == "ema":
            return 1.0 - self.momentum
        # Without momentum torch's step is the gradient itself.
        return 1.0 - self.dampening if self.momentum else 1.0

    def physical(self) -> Physical:
        r"""The same as a law of motion and its step, from the step after the first on.

        $$h = \sqrt{2a/(1+\beta)},\qquad \lambda = \frac{2(1-\beta)}{(1+\beta)h},\qquad T = \frac{a}{2B(1-\beta)}$$

        with $a$ the `scale`.

        Of the mass 1. T is the temperature in the limit of a small step, $h/2\lambda B$.
        """
        step, friction = physical_constants(self.scale, self.momentum)
        heat = None if self.batch_size is None else self.scale / (2.0 * self.batch_size * (1.0 - self.momentum))
        return Physical(float(step), float(friction), heat, float(self.nesterov))

    @classmethod
    @typed()
    def from_physical(cls, physical: Physical, convention: str = "torch", **options: Any) -> "Hyperparameters":
        """The inverse of `physical`.

        Arguments:
            physical: the constants.
            convention: of the result.
            options: dampening, weight_decay or bias_correction of the result.

        Raises:
            InputError: the friction asks for a negative momentum, or the look-ahead is no framework's.
        """
        if not isinstance(physical, Physical):
            raise InputError(f"physical must be a tw.Physical(step, friction, ...), but is {physical!r}")
        check_number("step", physical.step, above=0.0)
        check_number("friction", physical.friction, above=0.0)
        check_number("lookahead", physical.lookahead, at_least=0.0)
        if physical.lookahead not in (0.0, 1.0):
            raise InputError(
                f"lookahead must be 0 (momentum) or 1 (Nesterov) in a framework, but is {physical.lookahead:g}; "
                "use tw.Lookahead(fraction)"
            )
        beta, kick = momentum_from_friction(float(physical.friction), float(physical.step))
        if not beta >= 0.0:
            raise InputError(
                f"friction times step must be at most 2, but is {physical.friction * physical.step:.4g}: "
                "no momentum brakes that hard"
            )
        scale, batch = float(physical.step * kick), None
        if physical.temperature is not None:
            check_number("temperature", physical.temperature, above=0.0)
            batch = float(physical.step) / (2.0 * float(physical.friction) * float(physical.temperature))
        found = cls(1.0, float(beta), physical.lookahead == 1.0, batch_size=batch, convention=convention, **options)
        return dataclasses.replace(found, learning_rate=scale / found._gradient_weight)

    @classmethod
    @typed()
    def from_torch(cls, optimizer: Any, group: int | None = None, batch_size: float | int | None = None) -> Any:
        """Read what a `torch.optim.SGD`, or a `tw.adapters.torch.Optimizer` of momentum, is set to now.

        Of a `torch.optim.Adam` or `AdamW` it is `tw.AdamHyperparameters`.

        Arguments:
            optimizer: the optimizer.
            group: the index of a parameter group; needed where the groups differ.
            batch_size: samples a step, which the optimizer does not know.

        Raises:
            InputError: the optimizer is another one, or its groups differ.

        >>> import torch, thalweg as tw
        >>> optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1, momentum=0.9)
        >>> tw.Hyperparameters.from_torch(optimizer).momentum
        0.9
        """
        from ..adapters.torch import from_torch

        return from_torch(optimizer, group, batch_size)

    @typed()
    def to(self, convention: str, *, running: bool = False, bias_correction: bool | None = None) -> "Hyperparameters":
        r"""The same optimizer in another convention: the same trajectory from an empty buffer.

        Arguments:
            convention: "torch", "keras" or "ema".
            running: for an optimizer in mid-run, whose buffer is converted by `carry`; its first
                step, which dampening makes different, is over.
            bias_correction: of the result, if "ema"; as it is, or none, if not given.

        Raises:
            InputError: the convention has no equivalent, with the reason.

        >>> import thalweg as tw
        >>> round(tw.Hyperparameters(1.0, 0.9, convention="ema").to("keras").learning_rate, 6)
        0.1
        """
        check_choice("convention", convention, CONVENTIONS)
        if bias_correction is None:
            bias_correction = self.bias_correction and convention == "ema"
        same = convention == self.convention and bias_correction == self.bias_correction
        if same:
            return self
        if self.momentum == 0.0:
            # An average of one gradient, undampened, is the gradient.
            return dataclasses.replace(self, dampening=0.0, convention=convention, bias_correction=bias_correction)
        if self.bias_correction != bias_correction:
            raise InputError(
                "the bias correction of an average divides its k-th step by 1 - momentum**k, which no constant does; "
                "in torch it is dampening 0 and the learning rate learning_rate * (1 - momentum) / (1 - momentum**k)"
            )
        if self.dampening and not running:
            raise InputError(
                "with dampening torch takes its first gradient whole and the others in part, which no other "
                "convention does; from the second step on it is a "
                "learning rate times 1 - dampening (in Python: running=True, then carry)"
            )
        there = dataclasses.replace(self, dampening=0.0, convention=convention, bias_correction=bias_correction)
        return dataclasses.replace(there, learning_rate=self.scale / there._gradient_weight)

    @typed()
    def retune(
        self,
        *,
        learning_rate: float | int | None = None,
        momentum: float | int | None = None,
        batch_size: float | int | None = None,
        rule: str = "exact",
    ) -> "Hyperparameters":
        r"""Another learning rate, momentum or batch size at the same friction and temperature.

        For a learning rate r times as large, with $c = r(1-\beta)^2/(1+\beta)$, and from $T = h/2\lambda B$:

        $$\beta' = \tfrac12\bigl(2 + c - \sqrt{c^2 + 8c}\bigr),\qquad B'/B = h'/h$$

        Without momentum there is no friction to keep: the momentum stays 0, and learning rate and batch size
        change alike. The velocity must change as well: `carry`.

        Arguments:
            learning_rate, momentum, batch_size: the new value of one of them; the other two follow.
            rule: "exact", or "square root" for $\beta' = 1 - (1-\beta)\sqrt r$, which approximates it.

        Raises:
            InputError: none or several are given, or no momentum keeps the friction.

        >>> import thalweg as tw
        >>> slower = tw.Hyperparameters(0.1, 0.9, batch_size=256).retune(learning_rate=0.01)
        >>> round(slower.momentum, 4), round(slower.batch_size, 1)
        (0.9678, 79.5)
        """
        check_choice("rule", rule, RULES)
        asked = {"learning_rate": learning_rate, "momentum": momentum, "batch_size": batch_size}
        given = {name: value for name, value in asked.items() if value is not None}
        if len(given) != 1:
            names = " and ".join(given) or "none"
            raise InputError(f"retune takes one of learning_rate, momentum and batch_size, but is given {names}")
        ((name, value),) = given.items()
        if name == "batch_size" and self.batch_size is None:
            raise InputError("a new batch_size needs the one that it replaces: Hyperparameters(..., batch_size=)")
        if rule != "exact" and (name != "learning_rate" or self.convention == "ema"):
            raise InputError("the square root rule is for a new learning_rate in convention 'torch' or 'keras'")
        target = dataclasses.replace(self, **{name: value})
        if self.momentum == 0.0:
            return self._retuned_without_momentum(name, target)
        ratio = getattr(target, name) / getattr(self, name)
        if name == "momentum":
            beta, scale, heat = momentum_changed(self.momentum, self.scale, target.momentum)
        elif name == "batch_size" or self.convention == "ema":
            beta, scale, heat = step_changed(self.momentum, self.scale, ratio)
        else:
            beta, scale, heat = scale_changed(self.momentum, self.scale, ratio, rule == "square root")
        if not beta >= 0.0:
            raise InputError(f"{name} {value:g} asks for a negative momentum at this friction; choose a smaller one")
        batch = None if self.batch_size is None else self.batch_size * heat
        # Nesterov's method without momentum is gradient descent, which no framework calls nesterov.
        found = dataclasses.replace(self, momentum=beta, batch_size=batch, nesterov=self.nesterov and beta > 0.0)
        found = dataclasses.replace(found, learning_rate=scale / found._gradient_weight)
        return dataclasses.replace(found, **{name: getattr(target, name)})

    def _retuned_without_momentum(self, name: str, target: "Hyperparameters") -> "Hyperparameters":
        if name == "momentum":
            raise InputError("without momentum there is no friction to keep; make new Hyperparameters instead")
        if name == "batch_size":
            assert target.batch_size is not None and self.batch_size is not None
            return dataclasses.replace(target, learning_rate=self.learning_rate * target.batch_size / self.batch_size)
        if self.batch_size is None:
            return target
        return dataclasses.replace(target, batch_size=self.batch_size * target.learning_rate / self.learning_rate)

    @typed()
    def schedule(self, learning_rate: Callable[[Any], Any]) -> FrictionSchedule:
        """The momentum beside a schedule of the learning rate, such that friction and motion stay the same.

        Arguments:
            learning_rate: in the convention, a function of the integer step: any optax schedule.

        Returns:
            a `FrictionSchedule`: `.learning_rate` and `.momentum` for the framework, `.step_size` for a `tw.Method`,
            `.batch_size` at constant temperature.

        Raises:
            InputError: it is no function, there is no friction to keep, or the average of "ema" would have to know its
                own past.

        >>> import optax, thalweg as tw
        >>> drop = optax.piecewise_constant_schedule(0.1, {100: 0.1})
        >>> motion = tw.Hyperparameters(0.1, 0.9).schedule(drop)
        >>> [round(float(motion.momentum(step)), 3) for step in (99, 100, 101, 102)]
        [0.9, 1.426, 1.971, 0.968]
        >>> optimizer = optax.inject_hyperparams(optax.sgd)(motion.learning_rate, motion.momentum)
        """
        if not callable(learning_rate):
            raise InputError(
                f"learning_rate must be a schedule, a function of the step, but is {learning_rate!r}; "
                "for a new number use retune"
            )
        if self.momentum == 0.0:
            raise InputError("without momentum there is no friction to keep; use the schedule as it is")
        if self.convention == "ema" or self.dampening:
            raise InputError('a schedule is kept up with in convention "torch" without dampening, or "keras"; use to()')
        known = self.physical()
        batch = None if self.batch_size is None else (float(self.batch_size), float(known.step))
        return FrictionSchedule(learning_rate, float(known.friction), self.convention, self.nesterov, batch)

    @typed("to")
    def carry(self, to: "Hyperparameters", parameters: Any, buffer: Any, gradient: Any = None) -> tuple[Any, Any]:
        r"""Parameters and velocity buffer of a running optimizer, made those of another that goes on.

        Where only the convention differs, the buffer holds the same displacement in the other's units. Where the
        motion differs (another learning rate or momentum), the velocity at the parameters is recomputed by the
        step's own kick, and begun anew half a new step back, so that the change costs no order:

        $$\bar\eta = \tfrac12\bigl((1+\beta)\eta - k\,g\bigr),\qquad \eta' = \frac{2\bar\eta + k'g}{1+\beta'},
          \qquad k = \frac{h}{1+\lambda h/2},\quad v = h\eta$$

        Arguments:
            to: the hyperparameters that take over.
            parameters: $\theta$ as the framework holds it, a tree of arrays (or of tensors).
            buffer: the framework's velocity buffer, after at least one step.
            gradient: g at the parameters, weight decay included; needed where the motion differs.

        Returns:
            (parameters, buffer) for `to`. The parameters move only in Nesterov's method, whose frameworks hold
            $\theta + \beta v$.

        Raises:
            InputError: the motion differs and no gradient is given, or one of them corrects a bias.

        >>> import thalweg as tw, jax.numpy as jnp
        >>> torch, keras = tw.Hyperparameters(0.1, 0.9), tw.Hyperparameters(0.1, 0.9, convention="keras")
        >>> torch.carry(keras, jnp.array([1.0]), jnp.array([4.0]))[1].tolist()
        [-0.4]

        Reference: Hairer, Lubich and Wanner (2003), equation 1.5, with friction.
        """
        import jax

        if not isinstance(to, Hyperparameters):
            raise InputError(f"to must be tw.Hyperparameters, but is {to!r}")
        if self.momentum == 0.0 or to.momentum == 0.0:
            raise InputError("an optimizer without momentum has no velocity to carry; begin it with an empty buffer")
        if self.bias_correction or to.bias_correction:
            raise InputError("a buffer whose bias is corrected is no velocity; convert it with bias_correction=False")
        same = math.isclose(self.scale, to.scale, rel_tol=1e-12) and math.isclose(
            self.momentum, to.momentum, rel_tol=1e-12
        )
        if same and self.nesterov == to.nesterov:
            units = self._displacement / to._displacement
            return parameters, jax.tree.map(lambda b: units * b, buffer)
        if gradient is None:
            raise InputError("another learning rate or momentum needs the gradient at the parameters: gradient=")
        now, then = self.physical(), to.physical()
        kick, kick_then = self.scale / now.step, to.scale / then.step
        # η' = from_velocity v + from_gradient g
        from_velocity = (1.0 + self.momentum) / (1.0 + to.momentum) * then.step / now.step
        from_gradient = (kick_then - kick) / (1.0 + to.momentum) * then.step
        velocity = jax.tree.map(lambda b: self._displacement * b, buffer)
        after = jax.tree.map(lambda v, g: from_velocity * v + from_gradient * g, velocity, gradient)
        here, there = (self.momentum if self.nesterov else 0.0), (to.momentum if to.nesterov else 0.0)
        if here or there:
            parameters = jax.tree.map(lambda x, v, w: x - here * v + there * w, parameters, velocity, after)
        return parameters, jax.tree.map(lambda v: v / to._displacement, after)

    @property
    def _displacement(self) -> float:
        """The displacement that one unit of buffer is."""
        return 1.0 if self.convention == "keras" else -self.learning_rate
