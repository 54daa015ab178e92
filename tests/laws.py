"""Laws of a user's own on trees, the function they go down, and where they start."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp

import thalweg as tw
from thalweg.dynamics import (
    AbstractAdditive,
    AbstractDamped,
    AbstractFirstOrder,
    AbstractNoisy,
    AbstractSecondOrder,
    AbstractWhite,
    Phase,
)
from thalweg.geometry import AbstractMetric
from thalweg.schemes.rosenbrock_tableau import RODAS5P as RODAS5P

AIMS = {"b": (-0.6, 0.2, 0.9), "w": ((1.4, -0.2), (0.3, -0.8))}


def bowl(x):
    """A function whose leaves do not touch each other, so that what is rounded in one stays there."""

    def part(leaf, aim):
        leaf = leaf.astype(jnp.promote_types(leaf.dtype, jnp.float32))
        return jnp.sum(jnp.cosh(leaf - jnp.asarray(aim, leaf.dtype)))

    return sum(part(leaf, AIMS[name]) for name, leaf in x.items())


def residuals(x):
    """Of the parameters one by one, so that a metric of them keeps leaves apart."""
    return leafwise(jnp.sin, x)


def coupled(x):
    """The same with a valley across all leaves, as far as there are several."""
    return bowl(x) + 0.3 * sum(jnp.sum(leaf) for leaf in x.values()) ** 2


def tree_of(wide, low):
    """Where a motion starts: leaves of two shapes and two dtypes."""
    return {"b": jnp.array([0.5, -0.75, 0.25], low), "w": jnp.array([[0.3, 0.5], [-0.4, 0.6]], wide)}


def push_of(wide, low):
    """The velocity with which it starts, where it may have one."""
    return {"b": jnp.array([0.5, 0.25, -0.75], low), "w": jnp.array([[0.7, -0.3], [0.2, 0.4]], wide)}


def curvatures():
    """The curvatures of the bowl near where it is level."""
    return {"b": jnp.ones(3), "w": jnp.ones((2, 2))}


def leafwise(fn, *trees):
    return jax.tree.map(fn, *trees)


def scaled(factor, tree):
    return leafwise(lambda leaf: (factor * leaf).astype(leaf.dtype), tree)


def polar(leaf):
    """The polar factor of a matrix, of other leaves themselves."""
    if leaf.ndim < 2:
        return leaf
    u, _, v = jnp.linalg.svd(leaf, full_matrices=False)
    return u @ v


class Swelling(eqx.Module):
    """A function times one of time."""

    f: Any

    def __call__(self, x, time):
        return self.f(x) * (1.0 + 0.3 * jnp.sin(time)).astype(jnp.float32)


def moving(objective):
    """The same objective, as one that changes with time."""
    return tw.Objective(Swelling(objective.fn), time_dependent=True)


class Scaling(AbstractMetric):
    """A metric that looks at shapes: as stiff as a leaf has axes."""

    def velocity(self, position, covector):
        del position
        return leafwise(lambda leaf: leaf / (1.0 + leaf.ndim), covector)

    def inner(self, position, u, v):
        del position
        return sum(jnp.sum((1.0 + a.ndim) * a * b) for a, b in zip(*map(jax.tree.leaves, (u, v)), strict=True))


class Uphill(eqx.Module):
    """A score that is the gradient of minus a function, such as a network's may be of anything."""

    objective: Any

    def __call__(self, t, x):
        del t
        return leafwise(jnp.negative, self.objective.gradient(x))


class Downhill(eqx.Module):
    """A field that turns as it goes down, and changes with time."""

    f: Any

    def __call__(self, time, x, rate):
        slope = self.f.gradient(x)
        turned = {name: jnp.flip(leaf) for name, leaf in slope.items()}
        return leafwise(lambda g, t: -rate * g + 0.3 * jnp.cos(time) * t, slope, turned)


class Adam(AbstractFirstOrder):
    """Adam as a flow: averages of the gradient and of its square, a memory that is not linear."""

    objective: Any

    def initial_auxiliary(self, position):
        return {
            "mean": leafwise(lambda leaf: jnp.full_like(leaf, 0.1), position),
            "square": leafwise(lambda leaf: jnp.full_like(leaf, 0.5), position),
        }

    def rates(self, time, phase, evaluation):
        del time
        mean, square, gradient = phase.auxiliary["mean"], phase.auxiliary["square"], evaluation.gradient
        return Phase(
            leafwise(lambda m, v: -m / (jnp.sqrt(v) + 1e-3), mean, square),
            auxiliary={
                "mean": leafwise(lambda g, m: 3.0 * (g - m), gradient, mean),
                "square": leafwise(lambda g, v: g * g - v, gradient, square),
            },
        )


class Averaged(AbstractSecondOrder):
    """A ball pulled by the polar factors of an average of gradients taken ahead: a memory, shapes, another point."""

    objective: Any

    def initial_velocity(self, position, batch=None):
        return scaled(-0.1, self.objective.gradient(position, batch))

    def initial_auxiliary(self, position):
        return scaled(0.5, position)

    def evaluate(self, time, phase, batch=None):
        ahead = leafwise(lambda x, v: x + 0.2 * v, phase.position, phase.velocity)
        return super().evaluate(time, phase._replace(position=ahead), batch)

    def rates(self, time, phase, evaluation):
        del time
        pull = leafwise(polar, phase.auxiliary)
        return Phase(
            phase.velocity,
            leafwise(lambda p, v: -p - 0.5 * v, pull, phase.velocity),
            leafwise(lambda g, a: 2.0 * (g - a), evaluation.gradient, phase.auxiliary),
        )


class Counting(AbstractDamped):
    """A ball with a number of its own, and alike in all parameters: how far it has gone."""

    objective: Any
    elementwise: ClassVar[bool] = True

    def initial_auxiliary(self, position):
        del position
        return jnp.zeros(())

    def friction_at(self, time):
        del time
        return 0.4

    def rates(self, time, phase, evaluation):
        gone = sum(jnp.sum(leaf.astype(float) ** 2) for leaf in jax.tree.leaves(phase.velocity))
        return super().rates(time, phase, evaluation)._replace(auxiliary=gone)


class Spectral(AbstractFirstOrder):
    """Steepest descent in the spectral norm of every matrix."""

    objective: Any

    def rates(self, time, phase, evaluation):
        del time, phase
        return Phase(scaled(-1.0, leafwise(polar, evaluation.gradient)))


class SpectralBall(AbstractDamped):
    """A ball with that for its force."""

    objective: Any

    def friction_at(self, time):
        del time
        return 0.7

    def force_of(self, time, evaluation):
        del time
        return scaled(-1.0, leafwise(polar, evaluation.gradient))


class Drawing(AbstractFirstOrder, AbstractWhite):
    """White noise, and alike in all parameters."""

    objective: Any
    elementwise: ClassVar[bool] = True

    def diffusion(self, time):
        del time
        return jnp.asarray(0.4)

    def rates(self, time, phase, evaluation):
        del time, phase
        return Phase(scaled(-1.0, evaluation.gradient))


class DrawingMatrices(Drawing):
    """White noise, and a drift that looks at shapes."""

    elementwise: ClassVar[bool] = False

    def rates(self, time, phase, evaluation):
        del time, phase
        return Phase(scaled(-1.0, leafwise(polar, evaluation.gradient)))


class Remembering(AbstractFirstOrder, AbstractAdditive):
    """Noise of a memory that its own increment moves."""

    objective: Any
    elementwise: ClassVar[bool] = True
    normals: ClassVar[int] = 1
    canonical: ClassVar[bool] = False

    def initial_auxiliary(self, position):
        return scaled(0.1, position)

    def rates(self, time, phase, evaluation):
        del time, phase
        return Phase(scaled(-1.0, evaluation.gradient))

    def increment(self, time, duration, auxiliary, normals):
        del time
        root = jnp.sqrt(duration)
        after = leafwise(lambda a, n: (0.9 * a + 0.3 * root * n).astype(a.dtype), auxiliary, normals[0])
        return ((duration, auxiliary), (root, normals[0])), after


class Kicked(AbstractDamped, AbstractWhite):
    """A ball with white noise that does not say what its friction and noise alone do: no `thermal` of its own."""

    objective: Any
    elementwise: ClassVar[bool] = True

    def friction_at(self, time):
        del time
        return 0.7

    def diffusion(self, time):
        del time
        return jnp.asarray(0.4)


class Multiplied(AbstractFirstOrder, AbstractNoisy):
    """Noise that depends on where the motion is, which no scheme here can add."""

    objective: Any
    elementwise: ClassVar[bool] = True
    normals: ClassVar[int] = 1

    def rates(self, time, phase, evaluation):
        del time, phase
        return Phase(scaled(-1.0, evaluation.gradient))
