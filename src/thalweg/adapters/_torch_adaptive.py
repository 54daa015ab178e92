"""Flows with averages by their splitting on the groups of a torch optimizer."""

import dataclasses
import functools
import math
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import torch
from torch import Tensor

from .._errors import InputError, check_number
from .._methods.knobs import LEARNING_RATE_AND_BETA, LEARNING_RATE_AND_BETAS, knobs_of
from .._methods.method import Method
from ..dynamics import AdamFlow, GradientFlow, MuonFlow
from ..geometry import Norm
from ..schemes import Euler, LieTrotter
from ..schemes.lie_trotter import FADING
from ._adaptive_kernel import Kick, move, wide
from ._linear import in_double
from ._spectral_kernel import Spectral, move_matrices
from ._tensors import plain

_BETAS = ("beta1", "beta2")
_CACHED = 64
# Steps made, the time, the last step and its learning rate: where a law or a step depends on time.
Ticks = tuple[int, float, float, float]


@dataclasses.dataclass(frozen=True)
class Numbers:
    """The numbers of a step besides its learning rate; `share` is None where the average counts alone."""

    beta1: float
    beta2: float
    epsilon: float
    decay: float
    share: float | None
    momentum_decay: float


class Adaptive:
    r"""Steps of `tw.AdamFlow` by `tw.LieTrotter` on the groups of a torch optimizer.

    $$m^+ = m + (1-\beta_1)(g - m),\qquad v^+ = \beta_2v + (1-\beta_2)g^2,\qquad
      \Theta^+ = \Theta - \frac{\alpha r}{1-\beta_1^k}\,\frac{m^+}{\sqrt{v^+} + \varepsilon r},\qquad
      r = \sqrt{1-\beta_2^k}$$

    A group has its numbers by the names of torch (`lr`, `betas`, `eps`; `alpha` is a $\beta_2$ alone), and what is kept
    of a parameter goes by its names, too: `exp_avg`, `exp_avg_sq` (`square_avg` where it is alone), `step`,
    `mu_product`. Averages of bfloat16 and float16 are kept in float32.

    The matrices of `tw.MuonFlow` keep one average, torch's `momentum_buffer`, with a `step` where it is corrected, and
    their $\beta$ is torch's `momentum`.

    Arguments:
        method: the method, in double precision.
        values: its constant hyperparameters.
        spectral: of the direction, where the method is that of matrices.
    """

    def __init__(self, method: Method, values: dict[str, float], spectral: Spectral | None = None) -> None:
        law, scheme = method.dynamics, method.scheme
        if isinstance(law, MuonFlow):
            # The law of the average.
            law = AdamFlow(
                None, first=law.first, second=None, form="frozen", corrected=law.corrected, decay=law.decay
            )  # fmt: skip
        assert isinstance(law, AdamFlow) and isinstance(scheme, LieTrotter)
        self.method, self.law, self.scheme, self.spectral = method, law, scheme, spectral
        # Of the method's own law, in double precision.
        self._pace = method.dynamics.constants.get("rate", 1)
        self._began = float(method.grid.times[0] if method.grid else method.dynamics.start_time)
        self.by_betas = knobs_of(method) in (LEARNING_RATE_AND_BETAS, LEARNING_RATE_AND_BETA)
        self.squares = law.form in ("outside", "inside")
        self.mean = law.first is not None or "beta1" in values or "beta" in values
        self._average = "exp_avg" if spectral is None else "momentum_buffer"
        self._squares = "exp_avg_sq" if self.mean else "square_avg"
        self.decoupled = law.decay is not None and not law.coupled
        self.timed = callable(self._pace) or callable(method.step_size)
        # The numbers of the method by their names in a group; both betas are one there.
        self._names = {"learning_rate": "lr", "epsilon": "eps", "decay": "weight_decay", "beta": "momentum"} | (
            {} if set(_BETAS) <= set(values) else {"beta2": "alpha"}
        )
        # Both betas, where a group has them in one.
        self.pair: tuple[float, float] | None = None
        if set(_BETAS) <= set(values):
            self.pair = (values["beta1"], values["beta2"])
        # A rate is in the learning rate.
        self.defaults = self._spelled({name: value for name, value in values.items() if name != "rate"})
        if self.timed:
            self.defaults = {"lr": self._next(None)[3]} | self.defaults
        # Without a decay of the law's own, what a group says of one is coupled.
        self._rest = ["weight_decay", *(name for name in self.defaults if name not in ("lr", "betas", "weight_decay"))]
        self._known: dict[Any, Numbers] = {}

    @classmethod
    def of(cls, method: Method) -> "Adaptive | None":
        """The steps of a method that is one of these; None where it is another."""
        law, euler = method.dynamics, getattr(method.scheme, "tableau", None) is Euler().tableau
        geometry = law.geometry if isinstance(law, GradientFlow) and euler else None
        if isinstance(geometry, Norm) and geometry.unit and geometry.kind == "linf":
            # Sign descent, the limit without memory.
            assert isinstance(law, GradientFlow)
            flow = AdamFlow(None, law.rate, first=None, second=None, form="sign", corrected=False)
            method = Method(flow, LieTrotter(), method.step_size)
        if not (isinstance(method.dynamics, AdamFlow) and isinstance(method.scheme, LieTrotter)):
            return None
        return cls(*in_double(method))

    @functools.cached_property
    def convention(self) -> str | None:
        """Torch's name of this method: "Adam", "NAdam", "RMSprop" or "Muon"; None where it has no name for it."""
        law, scheme = self.law, self.scheme
        if self.spectral is not None:
            known = self.by_betas and not self.timed and not law.corrected
            return "Muon" if known and self.spectral.settings(scheme.nesterov) else None
        if law.form != "outside" or law.share is not None or self.timed or not self.by_betas:
            return None
        if not self.mean:
            return None if law.corrected else "RMSprop"
        if not law.corrected or (scheme.nesterov and scheme.momentum_decay is None):
            return None
        return "NAdam" if scheme.nesterov else "Adam"

    @property
    def kind(self) -> str | None:
        """Words that set a method without a name in torch apart from others whose groups look the same."""
        if self.convention is not None:
            return None
        law, scheme = self.law, self.scheme
        said = {
            "corrected": law.corrected, "nesterov": scheme.nesterov, "shared": law.share is not None,
            "rising": scheme.momentum_decay is not None, "timed": self.timed, "by memory times": not self.by_betas,
        }  # fmt: skip
        form = law.form if self.spectral is None else f"Muon, {self.spectral}"
        return ", ".join([form, *(name for name, holds in said.items() if holds)])

    @functools.cached_property
    def memory(self) -> tuple[str, ...]:
        """The names of what is kept of a parameter, the averages last."""
        kept = ((self._average,) if self.mean else ()) + ((self._squares,) if self.squares else ())
        if self.spectral is not None and not self.law.corrected:
            return kept
        rising = ("mu_product",) if self.scheme.momentum_decay is not None else ()
        return ("step", *rising, *kept) if kept else ()

    @functools.cached_property
    def averages(self) -> tuple[str, ...]:
        """Those that are tensors."""
        return tuple(name for name in self.memory if name not in ("step", "mu_product"))

    # The numbers of a group.

    def _spelled(self, values: dict[str, float]) -> dict[str, Any]:
        """Numbers of the method, by the names of a group."""
        found: dict[str, Any] = {}
        for name, value in values.items():
            if self.pair is None or name not in _BETAS:
                found[self._names.get(name, name)] = value
            else:
                found["betas"] = self.pair
        return found

    def spelled(self, group: dict[str, Any]) -> dict[str, Any]:
        """A group whose numbers go by the names of torch, where it gave them by those of the method."""
        group, pair = dict(group), self.pair
        ours = dict.fromkeys(_BETAS, "betas") if pair is not None else {"beta2": "alpha"}
        ours |= {"epsilon": "eps", "beta": "momentum"}
        ours = {name: theirs for name, theirs in ours.items() if theirs in self.defaults}
        given = {name: group.pop(name) for name in ours if name in group}
        for name in given:
            if ours[name] in group:
                raise InputError(f"a group gives {ours[name]} and {name}, which say the same; give one of them")
        if pair is not None and set(given) & set(_BETAS):
            group["betas"] = tuple(given.pop(name, beta) for name, beta in zip(_BETAS, pair, strict=True))
        return group | {ours[name]: value for name, value in given.items()}

    def groups(self, group: dict[str, Any]) -> list[dict[str, Any]]:
        """A group as it is given, in groups by the names of torch: in one."""
        return [self.spelled(group)]

    def part(self, group: dict[str, Any]) -> "Adaptive":
        """The steps of a group."""
        del group
        return self

    def check(self, group: dict[str, Any]) -> None:
        """Refuse the numbers of a group that the method does not take."""
        ticks = self._next(group.get("clock")) if self.timed else None
        self._rate(group, ticks)
        self._numbers(group, ticks)

    def _rate(self, group: dict[str, Any], ticks: Ticks | None) -> float:
        """The learning rate of the next step; one of 0, with which schedules begin and end, moves nothing."""
        rate = plain(group["lr"])
        if not isinstance(rate, float | int) or not 0.0 <= rate < math.inf:
            self.method.check_hyperparameters(learning_rate=rate)
        if ticks is None:
            return rate
        due = self.defaults["lr"] if group.get("clock") is None else group["clock"][3]
        if rate != due:
            raise InputError(
                f"lr was set to {rate:g}, but the method's learning rate is a schedule of its own; give the method a "
                "number to use a scheduler of torch"
            )
        return ticks[3]

    def _numbers(self, group: dict[str, Any], ticks: Ticks | None) -> Numbers:
        """The other numbers of the next step, checked where they are new."""
        betas = group.get("betas") if self.pair else ()
        if not isinstance(betas, tuple | list) or len(betas) != (2 if self.pair else 0):
            raise InputError(f"betas must be two numbers, such as (0.9, 0.999), but is {betas!r}")
        last = None if ticks is None or self.by_betas else ticks[2]
        key = (last, *map(plain, betas), *[plain(group[name]) for name in self._rest])
        try:
            found = self._known.get(key)
        except TypeError:
            # What cannot be looked up is none of a number.
            found = None
        if found is None:
            found = self._read(dict(zip(_BETAS, map(plain, betas), strict=False)), group, last)
            if len(self._known) >= _CACHED:
                self._known.clear()
            self._known[key] = found
        return found

    def _read(self, own: dict[str, Any], group: dict[str, Any], step: float | None) -> Numbers:
        back = {theirs: ours for ours, theirs in self._names.items()}
        if self.by_betas:
            back |= {"weight_decay": "weight_decay"}
        own |= {back.get(name, name): plain(group[name]) for name in self._rest if name != "weight_decay"}
        check_number("weight_decay", plain(group["weight_decay"]), at_least=0.0)
        if self.law.decay is not None:
            own[back["weight_decay"]] = plain(group["weight_decay"])
        epsilon = own.get("epsilon", 0.0)
        if self.spectral is not None:
            # By time it is none of the method's own numbers.
            check_number("epsilon", own.pop("epsilon"), at_least=0.0)
        self.method.check_hyperparameters(**own)
        beta1, beta2 = (float(own.get(name, 0.0)) for name in _BETAS)
        beta1 = float(own.get("beta", beta1))
        share = None if self.law.share is None else float(own.get("share", self.law.share))
        if step is not None:
            beta1, beta2 = (math.exp(-step / own[name]) if name in own else 0.0 for name in ("first", "second"))
        elif self.law.form == "sign" and share is not None:
            # Lion: the average forgets by the second, the direction takes of it by the first.
            beta1, beta2, share = beta2, 0.0, beta1 / beta2
        decay = float(plain(group["weight_decay"]))
        return Numbers(beta1, beta2, float(epsilon), decay, share, float(own.get("momentum_decay", 0.0)))

    def _next(self, clock: Ticks | None) -> Ticks:
        """The clock after the next step."""
        steps, time = (0, self._began) if clock is None else clock[:2]
        with jax.enable_x64(True):
            size, rate = self.method.step_size, self._pace
            h = float(np.asarray(size(steps) if callable(size) else size))
            b = float(np.asarray(rate(jnp.asarray(time)) if callable(rate) else rate))
        return steps + 1, time + h, h, h * b

    # Its steps.

    @torch.no_grad()
    def step(self, group: dict[str, Any], state: Any) -> None:
        """Make a step of all parameters of a group that have a gradient."""
        parameters = [x for x in group["params"] if x.grad is not None]
        if not parameters:
            return
        before = group.get("clock")
        ticks = self._next(before) if self.timed else None
        rate, numbers = self._rate(group, ticks), self._numbers(group, ticks)
        if ticks is not None and ticks[2] == 0.0:
            # Time stands still, and the count goes on from the last step that was one.
            group["clock"], group["lr"] = (*ticks[:2], before[2] if before else 0.0, 0.0), 0.0
            return
        # The count of steps is the time in steps as long as the next.
        ratio = 1.0 if ticks is None or before is None else before[2] / ticks[2]
        entries = [state[x] for x in parameters] if self.memory else []
        for x, entry in zip(parameters, entries, strict=False):
            if self.memory[-1] not in entry:
                self._begin(x, entry)
        for picked in _alike(parameters, entries, group["foreach"] is False):
            xs = parameters if picked is None else [parameters[i] for i in picked]
            own = entries if picked is None or not entries else [entries[i] for i in picked]
            self._move(numbers, rate, ratio, xs, own, False if group["foreach"] is not None else group["fused"])
        if ticks is not None:
            group["clock"], group["lr"] = ticks, ticks[3]

    def _begin(self, x: Tensor, entry: dict[str, Any]) -> None:
        entry |= {name: value for name, value in (("step", 0.0), ("mu_product", 1.0)) if name in self.memory}
        for name in self.averages:
            entry[name] = torch.zeros_like(x, dtype=wide(x), memory_format=torch.preserve_format)

    def _move(
        self, n: Numbers, rate: float, ratio: float, xs: list[Tensor], entries: list[dict[str, Any]], fused: bool | None
    ) -> None:
        first = entries[0] if entries else {}
        count = first.get("step", 0.0) * ratio + 1.0
        of_mean, of_gradient, product = self._weights(n, count, first.get("mu_product", 1.0))
        filled = 1.0 - n.beta2**count if self.law.corrected else 1.0
        kick = Kick(
            rate, n.beta1, n.beta2, n.epsilon, n.decay, self.decoupled, of_mean, of_gradient, filled,
            count if self.convention == "Adam" else None, self.law.form,
        )  # fmt: skip
        mean, squares = (
            [entry[name] for entry in entries] if name in self.memory else None
            for name in (self._average, self._squares)
        )
        gradients: list[Any] = [x.grad for x in xs]
        if self.spectral is None:
            move(kick, xs, gradients, mean, squares, fused)
        else:
            move_matrices(kick, self.spectral, xs, gradients, mean)
        after = {name: value for name, value in (("step", count), ("mu_product", product)) if name in self.memory}
        for entry in entries:
            entry.update(after)

    def _weights(self, n: Numbers, count: float, product: float) -> tuple[float, float, float]:
        """Weights of the mean and of the newest gradient, and the product of the factors so far."""
        filled = 1.0 - n.beta1**count if self.law.corrected else 1.0
        if self.scheme.momentum_decay is not None:
            now, then = (n.beta1 * (1.0 - 0.5 * FADING ** (k * n.momentum_decay)) for k in (count, count + 1.0))
            product = product * now
            return then / (1.0 - product * then), (1.0 - now) / (1.0 - product), product
        if self.scheme.nesterov:
            later = n.beta1 * filled + 1.0 - n.beta1 if self.law.corrected else 1.0
            return n.beta1 / later, (1.0 - n.beta1) / filled, product
        share = 1.0 if n.share is None else n.share
        return share / filled, 1.0 - share, product


def _alike(parameters: list[Tensor], entries: list[Any], apart: bool) -> Iterator[list[int] | None]:
    """The parameters that make one step together, by their indices; None for all of them."""
    if apart:
        yield from ([i] for i in range(len(parameters)))
        return
    marks: list[Any] = [(entry.get("step"), entry.get("mu_product")) for entry in entries]
    if len({x.dtype for x in parameters}) == 1 and len(set(marks)) <= 1:
        yield None
        return
    found: dict[Any, list[int]] = {}
    for i, x in enumerate(parameters):
        found.setdefault((x.dtype, marks[i] if marks else None), []).append(i)
    yield from found.values()
