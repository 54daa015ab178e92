"""The motion in somebody else's loop, as far as it is known, and its distance from the stability limit."""

import contextlib
import dataclasses
import functools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from .._dictionary.adam import AdamHyperparameters
from .._dictionary.conventions import Hyperparameters
from .._errors import InputError, is_real
from .._methods.aliases import gradient_descent, momentum, nesterov
from .._methods.method import Method
from .._methods.probe import largest_stable_learning_rate, largest_stable_step
from .._tree import copied
from ..dynamics import AdamFlow
from ..geometry import Norm
from .describe import describe_method

PLAIN, PRECONDITIONED = "curvature", "preconditioned_curvature"
_ALWAYS_OF_ADAM = ("learning_rate", "beta1", "beta2", "epsilon")
_SIGN = "each step has the length of the learning rate whatever the curvature is, since its direction is a sign"


@dataclasses.dataclass(frozen=True)
class Motion:
    r"""The method in a loop, as far as it is known.

    Attributes:
        about: its name and numbers, for run.toml.
        make: makes the same motion as a method of ours; None where only names or numbers are known.
        step_size: h in units of the law's time, or a schedule of it.
        learning_rate: $\alpha$ at which one gradient moves the parameters at once; None where h is turned instead.
        order: of the law.
        weight: times the loop's learning rate it is the one above.
        weight_decay: $\omega$, which the loop adds to every curvature.
        flat: the law is one of flat space.
        preconditioned: the limit is of the curvature over what the loop divides its steps by, as of Adam.
        limitless: the reason why no curvature is a limit, where none is; else empty.
    """

    about: dict[str, Any]
    make: Callable[[], Method] | None = None
    step_size: float | Callable[[int], Any] = 1.0
    learning_rate: float | Callable[[int], Any] | None = None
    order: int = 1
    weight: float = 1.0
    weight_decay: float = 0.0
    flat: bool = True
    preconditioned: bool = False
    limitless: str = ""

    @property
    def column(self) -> str:
        """The curvature of which the margin is made, by the name of its column."""
        return PRECONDITIONED if self.preconditioned else PLAIN

    def check(self, name: str) -> None:
        """Refuse a curvature, by the name of its column, of which nobody knows what it means here."""
        if name == PRECONDITIONED and not self.preconditioned:
            raise InputError(
                "a preconditioned curvature is of Adam and its like, and makes the margin of tw.AdamHyperparameters or "
                f"tw.adam(None, ...); {self.limitless or 'of this method log curvature='}"
            )
        if self.make is None:
            raise InputError(
                "a stability margin needs to know the method: give tw.Hyperparameters or a tw.Method, of Adam "
                "tw.AdamHyperparameters"
            )
        if not self.flat:
            raise InputError("a stability margin is of laws in flat space; leave out the curvature, or the geometry")

    @property
    def knob(self) -> str:
        """The number turned in the loop: its column, if it is logged, is the one in use."""
        return "step_size" if self.learning_rate is None else "learning_rate"

    def interval(self, step: int, turned: float | None) -> float:
        """Physical time of a step, the knob being at `turned` if that was logged; 1 where the law is not known."""
        if self.make is None or turned is None:
            return self._step_size(step)
        if self.learning_rate is None:
            return turned
        if callable(self.learning_rate):
            # A schedule at steps of 1.
            return self._step_size(step)
        # A step of the heavy ball goes as the root of its learning rate, one of gradient flow as the rate itself.
        ratio = max(turned * self.weight / self.learning_rate, 0.0)
        return self._step_size(step) * (math.sqrt(ratio) if self.order == 2 else ratio)

    def used(self, step: int, turned: float | None) -> float:
        """The learning rate (or step size) in use, as the loop has it."""
        if turned is not None:
            return turned
        return self._step_size(step) if self.learning_rate is None else self._rate(step) / self.weight

    def margin(self, curvature: float, step: int, turned: float | None) -> float:
        """The largest stable learning rate (or step size) over the one in use; NaN where there is no limit."""
        total = curvature + self.weight_decay
        used = turned
        if self.learning_rate is not None:
            used = self._rate(step) if used is None else used * self.weight
        elif used is None:
            used = self._step_size(step)
        if not (total > 0.0 and used > 0.0):
            return float("nan")
        if self.limitless:
            return float("nan")
        if self.learning_rate is not None and not self._decays:
            return self._limit / total / used
        if self.learning_rate is not None:
            with _apart():
                return largest_stable_learning_rate(self._method, total) / used
        with _apart():
            return largest_stable_step(self._method, total) / used

    @functools.cached_property
    def _limit(self) -> float:
        """The largest stable learning rate at curvature 1: a step depends on the product of both alone."""
        with _apart():
            return largest_stable_learning_rate(self._method, 1.0)

    @functools.cached_property
    def _method(self) -> Method:
        assert self.make is not None
        with _apart():
            return self.make()

    @functools.cached_property
    def _decays(self) -> bool:
        """Tell whether a decay stands beside the curvature, which a learning rate scales too."""
        return getattr(self._method.dynamics, "decay", None) is not None

    def _rate(self, step: int) -> float:
        rate = self.learning_rate
        return float(np.asarray(rate(step) if callable(rate) else rate))

    def _step_size(self, step: int) -> float:
        return float(np.asarray(self.step_size(step) if callable(self.step_size) else self.step_size))


@contextlib.contextmanager
def _apart() -> Iterator[None]:
    """Compute in double precision, on the CPU: the loop may fill an accelerator, where JAX would claim memory too."""
    with jax.enable_x64(True), jax.default_device(jax.local_devices(backend="cpu")[0]):
        yield


def as_motion(method: Any) -> Motion:
    """The method as `tw.Recorder` is given it."""
    if method is None:
        return Motion({"name": "unknown", "hyperparameters": {}})
    if isinstance(method, str):
        return Motion({"name": method, "hyperparameters": {}})
    if isinstance(method, Method):
        return _of_method(method, describe_method(method))
    if isinstance(method, AdamHyperparameters):
        name = "adamw" if method.weight_decay and not method.coupled else "adam"
        return _of_method(method.method(), {"name": name, "hyperparameters": _given(method, _ALWAYS_OF_ADAM)})
    if isinstance(method, Hyperparameters):
        return _of_hyperparameters(method)
    if not isinstance(method, Mapping):
        raise InputError(
            "method must be tw.Hyperparameters, a tw.Method, a name or a dictionary of numbers such as "
            f"{{'learning_rate': 0.1}}, or tw.AdamHyperparameters, but is {method!r}"
        )
    for name, value in method.items():
        if not isinstance(name, str) or not (isinstance(value, str | bool) or (is_real(value) and np.ndim(value) == 0)):
            raise InputError(f"method must hold one number (or text) by name, but method[{name!r}] is {value!r}")
    numbers = {name: value if isinstance(value, str | bool | int) else float(value) for name, value in method.items()}
    name = str(numbers.pop("name", "unknown"))
    return Motion({"name": name, "hyperparameters": numbers})


def _of_method(method: Method, about: dict[str, Any]) -> Motion:
    law, size, rate = method.dynamics, method.step_size, None
    if not callable(size):
        size, rate = float(np.asarray(size)), method.hyperparameters.get("learning_rate")
    limitless, made = "", method
    geometry = law.geometry
    if isinstance(geometry, Norm) and geometry.unit and geometry.kind == "linf":
        limitless = _SIGN
    if isinstance(law, AdamFlow):
        limitless = _SIGN if law.form == "sign" else ""
        if callable(law.rate) and not callable(size):
            # Of a schedule the limit is that of the same law at a number.
            made, rate = method.with_learning_rate(1.0), functools.partial(_rate_of, law, size)
        if law.coupled and law.decay is not None:
            # It is in the curvature, which has been divided like it.
            made = Method(copied(made.dynamics, decay=None), made.scheme, made.step_size)
    return Motion(
        about, lambda: made, size, rate, law.order, flat=geometry is None or bool(limitless),
        preconditioned=law.preconditioned, limitless=limitless,
    )  # fmt: skip


def _rate_of(law: AdamFlow, size: float, step: int) -> float:
    """The learning rate of a step, of a law whose rate is a function of time."""
    assert callable(law.rate)
    with _apart():
        return size * float(np.asarray(law.rate(law.start_time + step * size)))


def _given(numbers: Any, always: tuple[str, ...]) -> dict[str, Any]:
    """Those of a dataclass that are not its defaults, and some that are always told."""
    defaults = {field.name: field.default for field in dataclasses.fields(numbers)}
    given = {k: v for k, v in dataclasses.asdict(numbers).items() if k in always or v != defaults[k]}
    return {k: v if isinstance(v, str | int) else float(v) for k, v in given.items()}


def _of_hyperparameters(h: Hyperparameters) -> Motion:
    if not h.momentum:
        name, order, step = "gradient_descent", 1, h.scale
    else:
        name, order, step = "nesterov" if h.nesterov else "momentum", 2, float(h.physical().step)

    def make() -> Method:
        if not h.momentum:
            return gradient_descent(None, h.scale)
        return (nesterov if h.nesterov else momentum)(None, h.scale, h.momentum)

    about = {"name": name, "hyperparameters": _given(h, ("learning_rate", "momentum"))}
    return Motion(about, make, step, h.scale, order, h.scale / h.learning_rate, h.weight_decay)
