"""Optimizers with one fault each, as they are met in the wild.

Each case says which checks must fail, and the dimension and the number of steps of the smallest example.
"""

import functools
import inspect
from typing import NamedTuple

import jax
import jax.numpy as jnp
import keras
import optax
import torch

import thalweg as tw

H = tw.Hyperparameters


class Sgd(torch.optim.Optimizer):
    """SGD without a fault, in small parts to be replaced."""

    def __init__(
        self, params, lr=0.1, momentum=0.0, dampening=0.0, nesterov=False, weight_decay=0.0, foreach=False
    ):  # fmt: skip
        settings = dict(
            lr=lr, momentum=momentum, dampening=dampening, nesterov=nesterov, weight_decay=weight_decay, foreach=foreach
        )
        super().__init__(params, settings)

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.groups():
            for p in group["params"]:
                gradient = self.gradient(p)
                if gradient is not None:
                    self.move(p, self.direction(gradient, p, group), self.rate(group))
        return loss

    def groups(self):
        return self.param_groups

    def gradient(self, p):
        return p.grad

    def rate(self, group):
        return group["lr"]

    def move(self, p, direction, rate):
        p.sub_(rate * direction)

    def store(self, p):
        return self.state[p]

    def decayed(self, gradient, p, group):
        return gradient + group["weight_decay"] * p

    def direction(self, gradient, p, group):
        gradient = self.decayed(gradient, p, group)
        if not group["momentum"]:
            return gradient
        buffer = self.buffer(gradient, p, group)
        self.store(p)["buffer"] = buffer
        return self.ahead(gradient, buffer, group)

    def buffer(self, gradient, p, group):
        before = self.store(p).get("buffer")
        if before is None:
            return gradient.clone()
        return group["momentum"] * before + (1 - group["dampening"]) * gradient

    def ahead(self, gradient, buffer, group):
        return gradient + group["momentum"] * buffer if group["nesterov"] else buffer


class BufferZeroed(Sgd):
    def buffer(self, gradient, p, group):
        return group["momentum"] * torch.zeros_like(p) + gradient


class AverageZeroed(Sgd):
    def buffer(self, gradient, p, group):
        return group["momentum"] * torch.zeros_like(p) + (1 - group["momentum"]) * gradient


class BufferForgottenAfterTwo(Sgd):
    def buffer(self, gradient, p, group):
        kept = self.store(p)
        kept["count"] = kept.get("count", 0) + 1
        if kept["count"] % 2 == 1:
            kept.pop("buffer", None)
        return super().buffer(gradient, p, group)


class SignZeroed(Sgd):
    """pytorch_optimizer's SignSGD before its pull request 516: `zeros_like` in every step, and momentum lost."""

    def direction(self, gradient, p, group):
        self.store(p)["buffer"] = torch.zeros_like(p)
        buffer = group["momentum"] * self.store(p)["buffer"] + (1 - group["momentum"]) * gradient
        return torch.sign(buffer)


class MomentumIgnored(Sgd):
    def direction(self, gradient, p, group):
        return self.decayed(gradient, p, group)


class BufferFromParameters(Sgd):
    def buffer(self, gradient, p, group):
        before = self.store(p).get("buffer", p.clone())
        return group["momentum"] * before + gradient


class MomentumSign(Sgd):
    def buffer(self, gradient, p, group):
        before = self.store(p).get("buffer")
        return gradient.clone() if before is None else gradient - group["momentum"] * before


class LookAheadIgnored(Sgd):
    def ahead(self, gradient, buffer, group):
        return buffer


class FirstStepDamped(Sgd):
    def buffer(self, gradient, p, group):
        before = self.store(p).get("buffer", torch.zeros_like(p))
        return group["momentum"] * before + (1 - group["dampening"]) * gradient


class ForeachForgetsDecay(Sgd):
    def decayed(self, gradient, p, group):
        return gradient.clone() if group["foreach"] else super().decayed(gradient, p, group)


class ForeachForgetsTheLast(Sgd):
    def groups(self):
        return [g | {"params": g["params"][:-1]} if g["foreach"] else g for g in self.param_groups]


class FusedWithoutMomentum(Sgd):
    def __init__(self, params, lr=0.1, momentum=0.0, fused=False):
        super().__init__(params, lr, momentum)
        self.fused = fused

    def direction(self, gradient, p, group):
        return gradient if self.fused else super().direction(gradient, p, group)


class BufferOutsideState(Sgd):
    def __init__(self, *args, **settings):
        self.elsewhere = {}
        super().__init__(*args, **settings)

    __init__.__signature__ = inspect.signature(Sgd.__init__)

    def store(self, p):
        return self.elsewhere.setdefault(p, {})


class DecaySign(Sgd):
    def decayed(self, gradient, p, group):
        return gradient - group["weight_decay"] * p


class DecayDropped(Sgd):
    def decayed(self, gradient, p, group):
        return gradient.clone()


class FirstGroupOnly(Sgd):
    def groups(self):
        return self.param_groups[:1]


class StateOfTheClass(Sgd):
    """One buffer for all there are, emptied when a new one is made."""

    shared: dict = {}  # noqa: RUF012

    def __init__(self, *args, **settings):
        self.shared.clear()
        super().__init__(*args, **settings)

    __init__.__signature__ = inspect.signature(Sgd.__init__)

    def store(self, p):
        index = next(i for i, q in enumerate(q for group in self.param_groups for q in group["params"]) if q is p)
        return self.shared.setdefault(index, {})


class CountOfTheClass(Sgd):
    """A learning rate that falls with all steps ever taken."""

    count = 0

    def rate(self, group):
        type(self).count += 1
        return group["lr"] / type(self).count


class GradientChanged(Sgd):
    def decayed(self, gradient, p, group):
        return gradient.add_(p, alpha=group["weight_decay"])


class DividedByItsSize(Sgd):
    def decayed(self, gradient, p, group):
        return super().decayed(gradient, p, group) / gradient.abs()


class RateCached(Sgd):
    def __init__(self, params, lr=0.1, momentum=0.0):
        super().__init__(params, lr, momentum)
        self.cached = lr

    def rate(self, group):
        return self.cached


class RateIgnored(Sgd):
    def rate(self, group):
        return 0.01


class Noisy(Sgd):
    def move(self, p, direction, rate):
        p.sub_(rate * direction * (1 + 0.1 * torch.randn_like(p)))


class KeyedByShape(Sgd):
    def store(self, p):
        return self.state[str(tuple(p.shape))]


class MatricesWithoutBuffer(Sgd):
    def buffer(self, gradient, p, group):
        return gradient.clone() if p.ndim == 2 else super().buffer(gradient, p, group)


class KeysRefused(Sgd):
    """Our own Optimizer, once: whatever it does not know in a state is another optimizer's."""

    def load_state_dict(self, state_dict):
        for group in state_dict["param_groups"]:
            if set(group) - set(self.defaults) - {"params"}:
                raise ValueError("the state is of another optimizer")
        super().load_state_dict(state_dict)


class NarrowestDtype(Sgd):
    """All gradients of a group in the narrowest dtype that it holds."""

    def decayed(self, gradient, p, group):
        narrow = min((q.dtype for q in group["params"]), key=lambda dtype: torch.finfo(dtype).bits)
        return super().decayed(gradient, p, group).to(narrow).to(p.dtype)


class AdamWithoutFirst(torch.optim.Adam):
    """Adam whose first coefficient is always 0."""

    def __init__(self, params, lr=0.1, betas=(0.9, 0.999)):
        super().__init__(params, lr, (0.0, betas[1]))


class MatricesOnly(Sgd):
    """Vectors are refused, as Muon does."""

    def __init__(self, params, lr=0.1, momentum=0.0):
        params = list(params)
        for p in params:
            for q in p["params"] if isinstance(p, dict) else [p]:
                if q.ndim != 2:
                    raise ValueError("only matrices")
        super().__init__(params, lr, momentum)


class AnotherRateForVectors(Sgd):
    """A learning rate for matrices, and one of its own for vectors."""

    def rate(self, group):
        return 0.01 if group["params"][0].ndim == 1 else group["lr"]


class NoGradientIsZero(Sgd):
    def gradient(self, p):
        return torch.zeros_like(p) if p.grad is None else p.grad


class NoClosure(Sgd):
    def step(self, closure=None):
        return super().step()


class NoLoss(Sgd):
    def step(self, closure=None):
        super().step(closure)


class SquareOverflows(Sgd):
    """A second moment in float16, where the parameters have 16 bits."""

    def decayed(self, gradient, p, group):
        gradient = super().decayed(gradient, p, group)
        square = gradient.to(torch.float16 if p.dtype == torch.bfloat16 else p.dtype) ** 2
        return (gradient / (1 + square.sqrt())).to(p.dtype)


class RoundedWhenLoaded(Sgd):
    """A buffer in float32 under parameters in bfloat16, which torch's load_state_dict gives the dtype of these."""

    def buffer(self, gradient, p, group):
        wide = gradient.to(torch.promote_types(p.dtype, torch.float32))
        before = self.store(p).get("buffer", torch.zeros_like(wide))
        return group["momentum"] * before + wide

    def ahead(self, gradient, buffer, group):
        return super().ahead(gradient, buffer, group).to(gradient.dtype)


class Widened(Sgd):
    def move(self, p, direction, rate):
        if p.dtype == torch.bfloat16:
            p.data = p.data.float()
        super().move(p, direction, rate)


def transformation(trace, learning_rate, momentum, nesterov=False):
    """An optax.sgd whose buffer follows `trace(updates, buffer, params)`."""

    def init(params):
        return jax.tree.map(jnp.zeros_like, params)

    def update(updates, state, params=None):
        state = trace(updates, state, params)
        ahead = jax.tree.map(lambda g, b: g + momentum * b, updates, state) if nesterov else state
        return jax.tree.map(lambda u: -learning_rate * u, ahead), state

    return optax.GradientTransformation(init, update)


def rolling(momentum):
    return lambda updates, buffer, params: jax.tree.map(lambda g, b: momentum * b + g, updates, buffer)


def sound(learning_rate=0.1, momentum=0.0, nesterov=False):
    return transformation(rolling(momentum), learning_rate, momentum, nesterov)


def zeroed(learning_rate=0.1, momentum=0.0, nesterov=False):
    return transformation(lambda g, b, p: rolling(momentum)(g, jax.tree.map(jnp.zeros_like, b), p), learning_rate, 0.0)


def look_ahead_ignored(learning_rate=0.1, momentum=0.0, nesterov=False):
    return transformation(rolling(momentum), learning_rate, momentum)


def from_parameters(learning_rate=0.1, momentum=0.0):
    made = sound(learning_rate, momentum)
    return optax.GradientTransformation(lambda params: params, made.update)


def widened(learning_rate=0.1, momentum=0.0):
    made = sound(learning_rate, momentum)

    def update(updates, state, params=None):
        updates, state = made.update(updates, state, params)
        return jax.tree.map(lambda u: u.astype("float32") if u.dtype == jnp.bfloat16 else u, updates), state

    return optax.GradientTransformation(made.init, update)


def buffer_in_a_closure(learning_rate=0.1, momentum=0.0):
    made, kept = sound(learning_rate, momentum), []

    def update(updates, state, params=None):
        updates, now = made.update(updates, kept[-1] if kept else made.init(params), params)
        kept.append(now)
        return updates, state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def growing(learning_rate=0.1):
    def update(updates, state, params=None):
        return jax.tree.map(lambda g: -learning_rate * g, updates), (*state, jnp.zeros(()))

    return optax.GradientTransformation(lambda params: (), update)


def counter_of_floats(learning_rate=0.1):
    def update(updates, count, params=None):
        return jax.tree.map(lambda g: -learning_rate * g, updates), count + 1.0

    return optax.GradientTransformation(lambda params: jnp.zeros((), "int32"), update)


def branching(learning_rate=0.1):
    def update(updates, state, params=None):
        large = max(float(jnp.max(jnp.abs(g))) for g in jax.tree.leaves(updates)) > 100.0
        return jax.tree.map(lambda g: -learning_rate * (g / 2 if large else g), updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def normalised(learning_rate=0.1):
    def update(updates, state, params=None):
        norm = optax.tree.norm(updates)
        return jax.tree.map(lambda g: -learning_rate * g / norm.astype(g.dtype), updates), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def average_counted_from_0(learning_rate=0.1, momentum=0.0):
    """Its bias correction lags a step behind."""

    def update(updates, state, params=None):
        mean, count = state
        mean = jax.tree.map(lambda g, m: momentum * m + (1 - momentum) * g, updates, mean)
        correction = 1 - momentum ** jnp.maximum(count, 1)
        return jax.tree.map(lambda m: -learning_rate * m / correction.astype(m.dtype), mean), (mean, count + 1)

    return optax.GradientTransformation(lambda p: (jax.tree.map(jnp.zeros_like, p), jnp.zeros((), "int32")), update)


class KerasZeroed(keras.optimizers.SGD):
    def update_step(self, gradient, variable, learning_rate):
        for buffer in self.momentums:
            if buffer is not None:
                buffer.assign(keras.ops.zeros_like(buffer.value))
        super().update_step(gradient, variable, learning_rate)


class KerasRateCached(keras.optimizers.SGD):
    def __init__(self, learning_rate=0.01, momentum=0.0):
        super().__init__(learning_rate, momentum)
        self.cached = learning_rate

    def update_step(self, gradient, variable, learning_rate):
        super().update_step(gradient, variable, self.cached)


class KerasCountsInPython(keras.optimizers.SGD):
    """A warm-up by a counter that is neither saved nor traced."""

    count = 0

    def update_step(self, gradient, variable, learning_rate):
        self.count += 1
        super().update_step(gradient, variable, 0.5 * learning_rate if self.count == 1 else learning_rate)


class Case(NamedTuple):
    factory: object
    fails: dict  # name of the check: dimension and steps of its smallest example
    reference: object = None


MOMENTUM = {"momentum": (1, 2), "memory": (1, 3)}
CASES = {
    "a buffer zeroed every step": Case(BufferZeroed, MOMENTUM | {"reference": (1, 2)}, H(0.1, 0.9)),
    "an average zeroed every step": Case(AverageZeroed, {"memory": (1, 3)}),
    "a buffer forgotten after two steps": Case(BufferForgottenAfterTwo, {"memory": (1, 3)}),
    "a sign of a buffer zeroed every step": Case(SignZeroed, MOMENTUM | {"nesterov": (1, 1)}),
    "momentum ignored": Case(MomentumIgnored, MOMENTUM | {"nesterov": (1, 1)}),
    "a buffer started from the parameters": Case(
        BufferFromParameters, {"reference": (1, 1), "zero gradient": (1, 1)}, H(0.1, 0.9)
    ),
    "momentum of the wrong sign": Case(MomentumSign, {"reference": (1, 2)}, H(0.1, 0.9)),
    "look-ahead ignored": Case(LookAheadIgnored, {"nesterov": (1, 1), "reference": (1, 1)}, H(0.1, 0.9, nesterov=True)),
    "the first step damped": Case(FirstStepDamped, {"reference": (1, 1)}, H(0.1, 0.9, dampening=0.5)),
    "foreach without weight decay": Case(ForeachForgetsDecay, {"foreach": (1, 1)}),
    "foreach without the last tensor": Case(ForeachForgetsTheLast, {"foreach": (1, 1)}),
    "fused without momentum": Case(FusedWithoutMomentum, {"fused": (1, 2), "copy": (1, 2)}),
    "a buffer outside of the state": Case(BufferOutsideState, {"resume": (1, 2), "copy": (1, 2)}),
    "weight decay of the wrong sign": Case(DecaySign, {"reference": (1, 1)}, H(0.1, weight_decay=0.1)),
    "weight decay dropped": Case(DecayDropped, {"reference": (1, 1)}, H(0.1, 0.9, weight_decay=0.1)),
    "only the first group": Case(FirstGroupOnly, {"grouping": (2, 1)}),
    "state of the class": Case(StateOfTheClass, {"isolated": (1, 1), "resume": (1, 2)}),
    "a counter of the class": Case(CountOfTheClass, {"deterministic": (1, 1)}),
    "the gradient changed": Case(GradientChanged, {"gradient kept": (1, 1)}),
    "a division by zero": Case(DividedByItsSize, {"zero gradient": (1, 1)}),
    "the learning rate cached": Case(RateCached, {"schedule": (1, 2), "copy": (1, 2)}),
    "the learning rate ignored": Case(
        RateIgnored, {"learning rate": (1, 1), "schedule": (1, 2), "reference": (1, 1)}, H(0.1)
    ),
    "noise": Case(Noisy, {"deterministic": (1, 1)}),
    "a buffer keyed by shape": Case(KeyedByShape, {"grouping": (2, 1), "mixed": (2, 1)}),
    "no gradient taken for zero": Case(NoGradientIsZero, {"no gradient": (2, 1)}),
    "the closure ignored": Case(NoClosure, {"closure": (1, 1)}),
    "the loss not returned": Case(NoLoss, {"closure": (1, 1)}),
    "a square that overflows": Case(SquareOverflows, {"bf16": (1, 1)}),
    "a buffer rounded when it is loaded": Case(RoundedWhenLoaded, {"resume": (1, 2)}),
    "parameters widened": Case(Widened, {"bf16": (1, 1), "resume": (1, 2), "mixed": (2, 1)}),
    "a buffer for vectors alone": Case(MatricesWithoutBuffer, {"memory": (2, 3), "reference": (2, 2)}, H(0.1, 0.9)),
    "Adam without its first average": Case(AdamWithoutFirst, MOMENTUM),
    "keys of others refused": Case(KeysRefused, {"own keys": (1, 1)}),
    "all in the narrowest dtype": Case(NarrowestDtype, {"mixed": (2, 1)}),
    "optax: a buffer zeroed every step": Case(zeroed, MOMENTUM | {"nesterov": (1, 1)}),
    "optax: look-ahead ignored": Case(look_ahead_ignored, {"nesterov": (1, 1)}),
    "optax: a buffer started from the parameters": Case(
        from_parameters, {"reference": (1, 1), "zero gradient": (1, 1)}, H(0.1, 0.9)
    ),
    "optax: updates widened": Case(widened, {"bf16": (1, 1), "mixed": (2, 1)}),
    "optax: a buffer in a closure": Case(
        buffer_in_a_closure, {"resume": (1, 2), "compiled": (1, 2), "scan": (1, 2), "vmap": (1, 2)}
    ),
    "optax: a state that grows": Case(growing, {"scan": (1, 1), "resume": (1, 2)}),
    "optax: a counter that becomes a float": Case(counter_of_floats, {"scan": (1, 1)}),
    "optax: a branch on a value": Case(branching, {"compiled": (1, 1), "scan": (1, 1), "vmap": (1, 1)}),
    "optax: a division by zero": Case(normalised, {"zero gradient": (1, 1), "mixed": (2, 1)}),
    "optax: a bias corrected a step late": Case(
        average_counted_from_0, {"reference": (1, 2)}, H(0.1, 0.9, convention="ema", bias_correction=True)
    ),
    "keras: a buffer zeroed every step": Case(KerasZeroed, MOMENTUM),
    "keras: the learning rate cached": Case(KerasRateCached, {"schedule": (1, 2)}),
    "keras: a counter of Python's": Case(
        KerasCountsInPython, {"resume": (1, 2), "grouping": (2, 1), "compiled": (1, 2)}
    ),
}


def made(params, lr, momentum=0.0):
    return torch.optim.SGD(params, lr, momentum)


def fixed(params):
    return torch.optim.SGD(params, lr=0.1, momentum=0.9, nesterov=True)


def decayed(learning_rate, weight_decay=0.0):
    return optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(learning_rate, 0.9))


def follows(x0, gradient, steps):
    """Momentum 0.9 at learning rate 0.1."""
    x, v, path = x0, 0.0, []
    for _ in range(steps):
        v = 0.9 * v - 0.1 * gradient(x)
        path.append(x := x + v)
    return path


def ours(learning_rate=0.1, momentum=0.9):
    return tw.adapters.optax.transformation(tw.momentum(None, learning_rate, momentum))


NESTEROV = H(0.1, 0.9, nesterov=True)


def our_torch(params, lr=0.1, momentum=0.9, weight_decay=0.0, foreach=None):
    method = tw.gradient_descent(None, lr) if momentum == 0 else tw.momentum(None, lr, momentum)
    return tw.adapters.torch.Optimizer(params, method, weight_decay=weight_decay, foreach=foreach)


SOUND = {
    "torch.optim.SGD": (torch.optim.SGD, None),
    "torch.optim.SGD, dampening and weight decay": (torch.optim.SGD, H(0.2, 0.7, dampening=0.5, weight_decay=0.1)),
    "torch.optim.SGD, nesterov": (torch.optim.SGD, NESTEROV),
    "torch.optim.SGD, a method": (torch.optim.SGD, tw.nesterov(None, 0.1, 0.9)),
    "torch.optim.SGD, in keras' convention": (torch.optim.SGD, H(0.1, 0.9, convention="keras")),
    "torch.optim.Adam": (torch.optim.Adam, None),
    "torch.optim.AdamW": (torch.optim.AdamW, None),
    "a function": (made, H(0.1, 0.9)),
    "without settings": (fixed, NESTEROV),
    "a partial": (functools.partial(torch.optim.SGD, lr=0.1, momentum=0.9), follows),
    "the base of the broken": (Sgd, H(0.1, 0.9, dampening=0.5)),
    "matrices alone": (MatricesOnly, None),
    "another rate for vectors": (AnotherRateForVectors, None),
    "our own momentum in torch": (our_torch, H(0.1, 0.9)),
    "optax.sgd": (optax.sgd, None),
    "optax.sgd, nesterov": (optax.sgd, NESTEROV),
    "optax.sgd, gradient descent": (optax.sgd, tw.gradient_descent(None, 0.3)),
    "optax, weight decay": (decayed, H(0.1, 0.9, weight_decay=0.1)),
    "our own momentum": (ours, tw.momentum(None, 0.1, 0.9)),
    "optax.adam": (optax.adam, None),
    "optax's exponential average": (
        lambda learning_rate, momentum=0.9: optax.chain(optax.ema(momentum), optax.scale(-learning_rate)),
        H(0.1, 0.9, convention="ema", bias_correction=True),
    ),
    "keras.optimizers.SGD": (keras.optimizers.SGD, None),
    "keras.optimizers.SGD, nesterov": (keras.optimizers.SGD, H(0.1, 0.9, nesterov=True, convention="keras")),
    "keras.optimizers.SGD, a method": (keras.optimizers.SGD, tw.momentum(None, 0.1, 0.9)),
}
