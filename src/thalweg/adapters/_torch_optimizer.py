"""Any method as a `torch.optim.Optimizer`."""

import difflib
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from .._errors import InputError, check_number, suggest
from .._methods.aliases import momentum
from .._methods.method import Method
from .._objectives.objective import Quadratic
from ..dynamics._base import check_descends, check_flat
from ..schemes import Lookahead, State
from ._linear import after_change, in_double, is_linear, linear_first_step, linear_step
from ._tensors import Part, Plan, plain, take_curvature
from ._torch_adaptive import Adaptive
from ._torch_averages import OF_ADAM, packed_averages, take_over
from ._torch_matrices import Muon, adaptive_of
from ._torch_pending import BUFFER, KICK
from ._torch_state import OF_THE_METHOD, checked, packed

_RATES = ("learning_rate", "step_size")
# A rate of 0, with which schedules begin and end: a step as small as this moves nothing.
_STILL = 1e-290
_PLANS = 64


class Optimizer(torch.optim.Optimizer):
    r"""A method as a `torch.optim.Optimizer`.

    $$(\Theta^+, b^+) = \text{the method's step on the parameters, the buffer and the gradients}$$

    The parameters are $\Theta$, the point where the gradient is taken: the position, or the look-ahead point of a
    method that looks ahead, as in `torch.optim.SGD(nesterov=True)`. The buffer of momentum is torch's
    `momentum_buffer`, and a state of `torch.optim.SGD` can be loaded, and ours into it. A group holds the method's
    hyperparameters, its learning rate (or step size) as `lr`, for torch's schedulers; where one changes, the buffer
    stays as it is, as in torch. To change them and keep the motion: `retune` and `ConstantFriction`. Plain descent
    whose group is given a momentum by a scheduler (`OneCycleLR`, `CyclicLR`) is momentum from then on, as SGD is.

    Of Adam's family (`tw.AdamFlow` by `tw.LieTrotter`: `tw.adam`, `tw.adamw`, `tw.nadam`, `tw.rmsprop`, `tw.lion`, and
    sign descent) a group has `lr`, `betas` (or beta1, beta2), `eps`, `weight_decay`, and states go to and from
    `torch.optim.Adam`, `AdamW`, `NAdam` and `RMSprop`. Averages of bfloat16 are kept in float32.

    Of Muon (`tw.muon`) a group that is given with matrices and others becomes two: the matrices with torch's names,
    `lr`, `momentum`, `eps`, `weight_decay`, and all else as of Adam. States go to and from `torch.optim.Muon`.

    A method of several gradients a step is called with a closure, which zeroes the gradients, computes the loss, calls
    backward on it and returns it. Where the method needs the curvature as well (`tw.HighResolutionFlow`,
    `tw.HessianDampedFlow`), the closure returns the loss and does not call backward.

    Arguments:
        params: parameters, or groups of them with hyperparameters of their own.
        method: any `tw.Method`; its objective, if it has one, is not used. Its numbers are held in double precision, a
            float32 as the shortest decimal number that it can stand for.
        weight_decay: $\omega \ge 0$, coupled: $\omega\Theta$ is added to the gradient. A group may have its own. A
            method with a decay of its own, as `tw.adamw`, says so itself.
        foreach: True, all parameters of a group in one call for each operation; False, one after the other.
        fused: True, in the one kernel that torch has for SGD and Adam, where the step is one of theirs and the tensors
            are dense, contiguous and of one kind, else as with `foreach=True`; False, never. If neither is given, in
            that kernel where it is faster.

    Raises:
        InputError: a hyperparameter is out of its range or unknown; in step, a closure is missing.

    >>> import torch, thalweg as tw
    >>> x = torch.nn.Parameter(torch.tensor([8.0]))
    >>> optimizer = tw.adapters.torch.Optimizer([x], tw.momentum(None, learning_rate=0.5, momentum=0.5))
    >>> for _ in range(2):
    ...     optimizer.zero_grad()
    ...     (0.5 * x**2).sum().backward()
    ...     optimizer.step()
    >>> x.tolist()
    [0.0]
    """

    def __init__(
        self, params: Any, method: Method, *, weight_decay: float | int = 0.0, foreach: bool | None = None,
        fused: bool | None = None,
    ) -> None:  # fmt: skip
        if not isinstance(method, Method):
            raise InputError(
                f"Optimizer takes a tw.Method, such as tw.momentum(None, 0.1, 0.9), but is given {method!r}"
            )
        for name, value in (("foreach", foreach), ("fused", fused)):
            if value is not None and not isinstance(value, bool):
                raise InputError(f"{name} must be True, False or None, but is {value!r}")
        if foreach and fused:
            raise InputError("foreach and fused cannot both be True")
        check_descends(method.dynamics, "the torch optimizer")
        self._plans: dict[Any, Plan] = {}
        self.adaptive = adaptive_of(method)
        defaults = self._averaging(self.adaptive, weight_decay) if self.adaptive else self._linear(method)
        super().__init__(params, {"weight_decay": weight_decay} | defaults | {"foreach": foreach, "fused": fused})

    def _averaging(self, adaptive: Adaptive | Muon, weight_decay: float | int) -> dict[str, Any]:
        """The defaults of Adam's family."""
        self.method, self._names = adaptive.method, {name: name for name in adaptive.defaults}
        self._starts = self._curved = False
        self._buffer = None
        if adaptive.law.decay is not None and plain(weight_decay) != 0:
            raise InputError(
                "the method has a weight_decay of its own; give it there, such as tw.adamw(None, 1e-3, "
                "weight_decay=0.01), or in a group"
            )
        return adaptive.defaults | ({"clock": None} if adaptive.timed else {})

    def _linear(self, method: Method) -> dict[str, Any]:
        """The defaults of a method whose step is linear."""
        check_flat(method.dynamics, "the torch optimizer")
        if method.normals or jax.eval_shape(lambda: _at_zero(method)).memory is not None:
            raise InputError(
                f"{type(method.dynamics).__name__} by {getattr(method.scheme, 'name', type(method.scheme).__name__)} "
                "draws noise, restarts, keeps a force or solves for its step, which the torch optimizer does not; "
                "use tw.run"
            )
        if method.dynamics.has_auxiliary:
            raise InputError(
                f"{type(method.dynamics).__name__} has variables besides position and velocity, which the torch "
                "optimizer does not keep; use tw.run"
            )
        self.method, values = in_double(method)
        self._names = {"lr" if name in _RATES else name: name for name in values}
        if not is_linear(self.method, values):
            raise InputError(
                f"a step of {type(method.dynamics).__name__} is not linear in velocity and gradients, as the torch "
                "optimizer takes it to be; use tw.run"
            )
        running = linear_step(self.method, values)
        self._starts = self.method.gradients_at_start > 0
        self._curved = any(ask.direction is not None for ask in running.asks)
        self._buffer: str | None = None
        if running.buffer is not None:
            # The kicks of leapfrog are what torch sums up; elsewhere the buffer is the velocity.
            self._buffer = BUFFER if "momentum" in self._names else "velocity"
        defaults = {key: values[name] for key, name in self._names.items()}
        if callable(self.method.step_size):
            defaults["lr"] = _first_rate(self.method)  # to be read: the schedule is the method's own
        defaults |= {} if self.method.autonomous else {"clock": None}
        defaults |= {KICK: None} if self._buffer == BUFFER else {}
        # As SGD without momentum: a scheduler that cycles the momentum finds it.
        return defaults | ({"momentum": 0.0} if self.convention == "descent" else {})

    @property
    def convention(self) -> str | None:
        """The name of this method as a `torch.optim.SGD`: "descent", "momentum" or "nesterov"; None where not."""
        if self.adaptive is not None:
            return None
        scheme = self.method.scheme
        if "momentum" in self._names:
            ahead = float(scheme.fraction) if isinstance(scheme, Lookahead) else 0.0
            return {0.0: "momentum", 1.0: "nesterov"}.get(ahead)
        plain_descent = self._buffer is None and self.method.gradients_per_step == 1
        return "descent" if plain_descent and set(self._names) == {"lr"} else None

    @property
    def names(self) -> tuple[str, ...]:
        """The hyperparameters of the method, as its groups call them."""
        return tuple(self._names)

    @property
    def buffers(self) -> tuple[str, ...]:
        """The names of what may be kept of a parameter."""
        if self.adaptive is not None:
            return self.adaptive.memory
        return (BUFFER,) if self.convention == "descent" else () if self._buffer is None else (self._buffer,)

    def _buffer_of(self, group: dict[str, Any]) -> str | None:
        return BUFFER if self._turned(group) else self._buffer

    def _turned(self, group: dict[str, Any]) -> bool:
        """Tell whether a group of plain descent was given a momentum."""
        return "momentum" not in self._names and plain(group.get("momentum", 0.0)) != 0

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, with hyperparameters of its own where it gives them."""
        if self.adaptive is None or not isinstance(param_group, dict):
            self._check_group(param_group)
            super().add_param_group(param_group)
            return
        groups = self.adaptive.groups(param_group)
        for group in groups:
            self._check_group(group)
            self.adaptive.check(self.defaults | group)
        for group in groups:
            super().add_param_group(group)

    def _check_group(self, param_group: dict[str, Any]) -> None:
        for name in _RATES:
            if name in param_group:
                raise InputError(f"the {name} of a group is called 'lr', as torch's schedulers have it")
        if "momentum" not in self._names and plain(param_group.get("momentum", 0.0)) != 0:
            raise InputError(f"this method has no hyperparameter 'momentum'{suggest('momentum', self._names)}")
        known = self.defaults if self.adaptive is None else self.defaults | self.adaptive.part(param_group).defaults
        for name in param_group:
            if name in OF_THE_METHOD or (self.adaptive is not None and name in OF_ADAM):
                raise InputError(
                    f"{name} is no option of a group: the method says it, such as tw.nesterov(None, 0.1, 0.9)"
                )
            close = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            if name not in known and close:
                raise InputError(f"a group has no option {name!r}; did you mean {close[0]!r}?")
        if self.adaptive is None:
            group = self.defaults | param_group
            check_number("weight_decay", plain(group["weight_decay"]), at_least=0.0)
            self.method.check_hyperparameters(**self._values(group))

    def _values(self, group: dict[str, Any]) -> dict[str, Any]:
        values = {name: plain(group[key]) for key, name in self._names.items()}
        return {name: _STILL if name in _RATES and value == 0 else value for name, value in values.items()}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Make one step.

        Arguments:
            closure: computes the loss and its gradients; needed where the method takes several gradients.

        Returns:
            what the closure returns: the loss at the parameters before the step.
        """
        loss = slopes = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
            if self._curved:
                slopes = self._slopes(loss)
        if self.adaptive is not None:
            # What is wrong in a group is seen before another has moved.
            for group in self.param_groups[1:]:
                self.adaptive.check(group)
            for group in self.param_groups:
                self.adaptive.step(group, self.state)
            return loss
        parts = [part for group in self.param_groups for part in self._parts(group)]
        asks = max([len(part.plan.asks) for part in parts], default=1)
        if asks > 1 or self._curved:
            if closure is None:
                raise InputError(
                    f"{type(self.method.dynamics).__name__} by {type(self.method.scheme).__name__} needs more than the "
                    "gradient at the parameters for this step; call step(closure)"
                )
            self._ask(parts, closure, slopes, asks)
        for part in parts:
            part.move()
            name = self._buffer_of(part.group)
            if part.begins and name is not None:
                assert part.buffer is not None
                for x, buffer in zip(part.parameters, part.buffer, strict=True):
                    self.state[x][name] = buffer
        if not self.method.autonomous or any(group.get(KICK) is not None for group in self.param_groups):
            self._tick(parts)
        return loss

    def _parts(self, group: dict[str, Any]) -> Iterator[Part]:
        """The parameters that have a gradient, those without a buffer apart."""
        name, clock = self._buffer_of(group), group.get("clock")
        new, old = ([], []), ([], [], [])
        for x in group["params"]:
            gradient = x.grad
            if gradient is None:
                continue
            buffer = None if name is None else self.state[x].get(name)
            if buffer is None:
                new[0].append(x)
                new[1].append(gradient)
            else:
                old[0].append(x)
                old[1].append(gradient)
                old[2].append(buffer)
        if new[0]:
            # What comes late to a motion that has its time comes at rest.
            late = None if clock is None or name is None else [torch.zeros_like(x) for x in new[0]]
            yield from self._cut(group, Part(self._plan(group, clock is None), *new, late, True, group))
        if old[0]:
            yield from self._cut(group, Part(self._plan(group, False), *old, False, group))

    def _cut(self, group: dict[str, Any], part: Part) -> Iterator[Part]:
        yield from part.singles() if group["foreach"] is False or part.sparse else [part]

    def _plan(self, group: dict[str, Any], begins: bool) -> Plan:
        # What begins has made no step before a change.
        kick, clock = None if begins else group.get(KICK), group.get("clock")
        # Without a gradient at the start, the first step is any step with an empty buffer.
        begins = begins and self._starts
        key = (begins, kick, clock, plain(group.get("momentum")), *[plain(group[name]) for name in self._names])
        plan = self._plans.get(key)
        if plan is None:
            method, values = self.method, self._values(group)
            if self._turned(group):
                method, values = _momentum(), values | {"momentum": plain(group["momentum"])}
            method.check_hyperparameters(**values)
            self._check_schedule(group, clock)
            step = linear_first_step(method, values) if begins else linear_step(method, values, clock)
            plan = Plan.of(step if kick is None else after_change(step, kick, values))
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            self._plans[key] = plan
        return plan

    def _check_schedule(self, group: dict[str, Any], clock: Any) -> None:
        if callable(self.method.step_size):
            was = _first_rate(self.method) if clock is None else clock[3]
            if plain(group["lr"]) != was:
                raise InputError(
                    f"lr was set to {plain(group['lr']):g}, but the method's step size is a schedule of its own; "
                    "give the method a number to use a scheduler of torch"
                )

    def _tick(self, parts: list[Part]) -> None:
        """Time goes on in every group that moved, and the step after a change has been made."""
        for part in parts:
            if KICK in part.group:
                part.group[KICK] = None
            if part.plan.clock is not None:
                part.group["clock"] = part.plan.clock
                if callable(self.method.step_size):
                    part.group["lr"] = part.plan.clock[3]

    def _slopes(self, loss: Any) -> dict[Tensor, Tensor]:
        """The gradients with their own graph, for the curvature."""
        parameters = [x for group in self.param_groups for x in group["params"] if x.requires_grad]
        try:
            found = torch.autograd.grad(loss, parameters, create_graph=True, allow_unused=True)
        except (RuntimeError, TypeError, AttributeError) as error:
            raise InputError(
                f"{type(self.method.dynamics).__name__} needs the curvature: its closure must return the loss "
                f"and not call backward on it ({error})"
            ) from None
        for x, slope in zip(parameters, found, strict=True):
            x.grad = None if slope is None else slope.detach()
        return {x: slope for x, slope in zip(parameters, found, strict=True) if slope is not None}

    def _ask(self, parts: list[Part], closure: Callable[[], Any], slopes: Any, asks: int) -> None:
        """Take every gradient after the first, and the curvatures; the parameters end where they began."""
        for part in parts:
            part.remember()
        try:
            for j in range(asks):
                asking = [part for part in parts if j < len(part.plan.asks)]
                if j:
                    for part in asking:
                        part.place(part.plan.asks[j].point)
                    with torch.enable_grad():
                        loss = closure()
                    slopes = self._slopes(loss) if self._curved else None
                    for part in asking:
                        part.take([torch.zeros_like(x) if x.grad is None else x.grad.clone() for x in part.parameters])
                if self._curved:
                    take_curvature([part for part in asking if part.plan.asks[j].direction is not None], slopes, j)
        finally:
            for part in parts:
                part.restore()

    def state_dict(self) -> dict[str, Any]:
        """The state, which an optimizer of torch that is the same method can load as well."""
        state = super().state_dict()
        return packed(state, self.convention) if self.adaptive is None else packed_averages(state, self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load a state of this optimizer, or of one of torch's that is the same method.

        Keys of a user's own stay in the groups, as in torch.

        Raises:
            InputError: it is another optimizer's, or does not fit the parameters.
        """
        state_dict = checked(self, state_dict)
        super().load_state_dict(state_dict)
        if self.adaptive is not None:
            take_over(self, state_dict)

    def __getstate__(self) -> dict[str, Any]:
        own = ("method", "adaptive", "_names", "_curved", "_starts", "_buffer")
        return super().__getstate__() | {name: getattr(self, name) for name in own} | {"_plans": {}}


def _momentum() -> Method:
    """Momentum, for a group of plain descent that was given one."""
    return in_double(momentum(None, 0.1, 0.9))[0]


def _at_zero(method: Method) -> State:
    return method.with_objective(Quadratic(jnp.zeros(()))).init(jnp.zeros(1))


def _first_rate(method: Method) -> float:
    assert callable(method.step_size)
    return float(np.asarray(method.step_size(0)))
