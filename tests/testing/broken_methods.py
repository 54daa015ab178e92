"""Laws and schemes with one fault each; each says which checks must fail, and where the smallest example is."""

import dataclasses
from typing import Any, ClassVar, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import thalweg as tw
from thalweg.dynamics import AbstractFirstOrder, Phase, as_objective, coefficient, combine, zeros_like
from thalweg.schemes import AbstractScheme, Draws, Report, derivative, evaluated, phase


class Averaging(AbstractFirstOrder):
    """Descent along an average of the gradient."""

    elementwise = True
    objective: Any = eqx.field(converter=as_objective)
    rate: Any = eqx.field(default=2.0, converter=coefficient)

    def initial_auxiliary(self, position):
        return {"mean": zeros_like(position)}

    def rates(self, time, phase, evaluation):
        del time
        mean, gradient = phase.auxiliary["mean"], evaluation.gradient
        return Phase(combine((-1, mean)), auxiliary={"mean": combine((self.rate, gradient), (-self.rate, mean))})


class Whole(AbstractScheme):
    """Euler's method without a fault, in small parts to be replaced."""

    order: ClassVar[int] = 1

    def moves_auxiliary(self, dynamics):
        del dynamics
        return True

    def step(self, dynamics, state, step_size, draws=Draws()):
        here = evaluated(dynamics, state, draws.batch)
        rates = derivative(dynamics, state.time, phase(state), draws.batch, here)
        return self.moved(dynamics, state, rates, step_size)

    def moved(self, dynamics, state, rates, step_size):
        del dynamics
        position = combine((1, state.position), (step_size, rates.position))
        auxiliary = jax.tree.map(lambda y, r: combine((1, y), (step_size, r)), state.auxiliary, rates.auxiliary)
        return dataclasses.replace(state, position=position, auxiliary=auxiliary, evaluation=None)


class Dropping(Whole):
    """The law's own variables are gone after a step."""

    def moved(self, dynamics, state, rates, step_size):
        return dataclasses.replace(super().moved(dynamics, state, rates, step_size), auxiliary=None)


class Freezing(Whole):
    """The law's own variables stay where they are."""

    def moved(self, dynamics, state, rates, step_size):
        return dataclasses.replace(super().moved(dynamics, state, rates, step_size), auxiliary=state.auxiliary)


class Boasting(Whole):
    """It claims an order that it has not."""

    order: ClassVar[int] = 2


class Widening(Whole):
    """The step size has a dtype, and makes all that it multiplies as wide."""

    def moved(self, dynamics, state, rates, step_size):
        after = super().moved(dynamics, state, rates, step_size)
        return dataclasses.replace(
            after, position=jax.tree.map(lambda x, r: x + step_size * r, state.position, rates.position)
        )


class Miscounting(Whole):
    """It reports a gradient a step and takes two."""

    def init(self, dynamics, position, step_size, velocity=None, clock=None):
        state = super().init(dynamics, position, step_size, velocity, clock)
        return dataclasses.replace(state, memory=jnp.zeros((), int))

    def step(self, dynamics, state, step_size, draws=Draws()):
        half = super().step(dynamics, state, 0.5 * step_size, draws)
        after = super().step(dynamics, half, 0.5 * step_size, draws)
        return dataclasses.replace(after, memory=state.memory + 1)

    def report(self, state):
        return Report(gradients=state.memory)


class Bypassing(Whole):
    """It takes a gradient that the law does not know of."""

    def step(self, dynamics, state, step_size, draws=Draws()):
        slope = jax.grad(dynamics.objective.value)(state.position)
        return self.moved(dynamics, state, Phase(combine((-1, slope))), step_size)


class Forgetting(Whole):
    """How many steps there were is kept outside of the state, where a resumed run does not find it."""

    def step(self, dynamics, state, step_size, draws=Draws()):
        def tick(x):
            LATER.append(1)
            return np.asarray(1.0 / (1 + len(LATER)), x.dtype)

        step_size = jnp.asarray(step_size)
        like = jax.ShapeDtypeStruct((), step_size.dtype)
        fading = jax.experimental.io_callback(tick, like, step_size, ordered=True)
        return super().step(dynamics, state, step_size * fading, draws)


class Traced(Whole):
    """What is counted in Python is compiled in, and is another number where it is compiled again."""

    def step(self, dynamics, state, step_size, draws=Draws()):
        LATER.append(1)
        return super().step(dynamics, state, step_size / len(LATER), draws)


LATER: list[int] = []


class ByLeaf(Whole):
    """No leaf goes farther than a length: of one vector another than of a tree."""

    def moved(self, dynamics, state, rates, step_size):
        def short(leaf):
            return leaf / jnp.maximum(1.0, jnp.sqrt(jnp.sum(leaf**2)) / 0.1).astype(leaf.dtype)

        return super().moved(dynamics, state, rates._replace(position=jax.tree.map(short, rates.position)), step_size)


class Transposing(AbstractFirstOrder):
    """A law that says it is elementwise and looks at the shapes of its parameters."""

    elementwise = True
    objective: Any = eqx.field(converter=as_objective)

    def rates(self, time, phase, evaluation):
        del time, phase

        def scaled(leaf):
            return leaf / (1.0 if leaf.ndim < 2 else 2.0)

        return Phase(jax.tree.map(lambda leaf: -scaled(leaf), evaluation.gradient))


class Hesitant(Whole):
    """A first step of a tenth of the length, by which the probe would judge all of them."""

    def init(self, dynamics, position, step_size, velocity=None, clock=None):
        state = super().init(dynamics, position, step_size, velocity, clock)
        return dataclasses.replace(state, memory=jnp.zeros((), int))

    def moved(self, dynamics, state, rates, step_size):
        length = jnp.where(state.memory == 0, 0.1, 1.0) * step_size
        return dataclasses.replace(super().moved(dynamics, state, rates, length), memory=state.memory + 1)


class Overflowing(Whole):
    """The logarithm of how far it has gone, which is nowhere at first."""

    def moved(self, dynamics, state, rates, step_size):
        gone = jax.tree.map(lambda x: jnp.log(x - x), state.position)
        return super().moved(dynamics, state, rates._replace(position=gone), step_size)


class Fixed(AbstractFirstOrder):
    """A number of a law that is no array, so that another one is another program."""

    elementwise = True
    objective: Any = eqx.field(converter=as_objective)
    pull: float = 0.5

    def rates(self, time, phase, evaluation):
        del time
        return Phase(combine((-1.0, evaluation.gradient), (-self.pull, phase.position)))


def by(law, scheme, **own):
    """A row of a law and a scheme, with the law's own numbers."""

    def make(objective, step_size, **numbers):
        return tw.Method(law(objective, **numbers), scheme(), step_size)

    return tw.Row(f"{law.__name__}_{scheme.__name__}".lower(), make, {"step_size": 0.1} | own)


def renamed(objective, step_size=0.1, pull=0.5):
    """A factory that gives another number than it was given."""
    return tw.Method(Fixed(objective, 2.0 * pull), tw.Euler(), step_size)


class Case(NamedTuple):
    """What is broken, the check that must tell so, others that may, and the smallest example."""

    method: Any
    check: str
    dimension: int
    steps: int
    says: str
    besides: tuple[str, ...] = ()


AVERAGE = {"rate": 2.0}
CASES = {
    "drops the auxiliary": Case(by(Averaging, Dropping, **AVERAGE), "form", 1, 1, "auxiliary None"),
    "freezes the auxiliary": Case(
        by(Averaging, Freezing, **AVERAGE), "phase", 1, 1, "state.auxiliary['mean'] to move", ("order", "limit")
    ),
    "claims order 2": Case(by(tw.GradientFlow, Boasting), "order", 1, 1024, "order 2, as the scheme claims"),
    "changes a dtype": Case(by(tw.GradientFlow, Widening), "dtype", 1, 1, "position in float32"),
    "reports too few gradients": Case(by(tw.GradientFlow, Miscounting), "gradients", 1, 1, "1, which its report says"),
    "takes a gradient by itself": Case(
        by(tw.GradientFlow, Bypassing), "gradients", 1, 1, "0, which are counted in its step"
    ),
    "keeps its steps outside": Case(
        by(tw.GradientFlow, Forgetting), "resume", 1, 2, "resume=True", ("pure", "order", "limit", "tree", "vmap")
    ),
    "compiles a count in": Case(
        by(tw.GradientFlow, Traced), "resume", 1, 2, "resume=True", ("pure", "order", "limit", "tree", "vmap")
    ),
    "clips leaf by leaf": Case(by(tw.GradientFlow, ByLeaf), "tree", 2, 1, "tw.run(method, x, 1)", ("order",)),
    "looks at shapes": Case(by(Transposing, Whole), "tree", 4, 1, "tw.run(method, x, 1)"),
    "has another first step": Case(by(tw.GradientFlow, Hesitant), "limit", 1, 120, "as predicted", ("order",)),
    "is not finite": Case(by(tw.GradientFlow, Overflowing), "finite", 1, 1, "finite numbers", ("order", "limit")),
    "compiles a number in": Case(by(Fixed, Whole, pull=0.5), "recompile", 1, 1, "pull 0.5", ("hyperparameters",)),
    "takes another number": Case(renamed, "hyperparameters", 1, 0, "pull 0.35", ("recompile",)),
}
