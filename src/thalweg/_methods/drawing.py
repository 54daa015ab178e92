"""Everything random in the steps of a method."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Key, PyTree

from .._module import Module
from .._objectives.objective import Batch
from .._tree import Vector, normal
from ..dynamics import AbstractDynamics
from ..geometry import AbstractNoise
from ..schemes import AbstractScheme, Draws

# What a run draws besides the noise of its steps, whose numbers count from 0, has a stream of its own each.
BATCHES, STARTS, PILOT, JUDGED = (2**32 - i for i in range(1, 5))


class AbstractDrawing(Module):
    """The part of a method that draws."""

    dynamics: eqx.AbstractVar[AbstractDynamics]
    scheme: eqx.AbstractVar[AbstractScheme]

    @property
    def normals(self) -> int:
        """Number of standard normals that a step draws, each as `drawn` says."""
        return type(self.scheme).normals(self.scheme, self.dynamics)

    @property
    def noisy(self) -> bool:
        """Tell whether the law or the scheme draws anything."""
        return self.normals + self.scheme.uniforms(self.dynamics) > 0

    @property
    def stochastic(self) -> bool:
        """Tell whether a step draws anything, hence needs a key."""
        return self.noisy or (self.dynamics.objective is not None and self.dynamics.objective.stochastic)

    def drawn(self, position: Vector) -> PyTree:
        """A tree of the shapes and dtypes of the normals of a step: those of the position, or what its geometry takes.

        Raises:
            InputError: the geometry has no noise on such a position.
        """
        geometry = self.dynamics.geometry
        return geometry.drawn(position) if self.normals and isinstance(geometry, AbstractNoise) else position

    def draw(
        self,
        key: Key[Array, ""] | None,
        position: Vector = None,
        step: ArrayLike | None = None,
        chains: int | None = None,
    ) -> Draws:
        """Everything random in one step.

        Arguments:
            key: of the run; of the step, where no step is given.
            position: where the step begins, of which the shapes and dtypes count.
            step: which one.
            chains: where `position` is that of so many chains, by a leading axis, what is drawn has that axis too:
                every chain has its own noise and its own mini-batch.
        """
        batch = self.draw_batch(key, step, chains)
        if not self.noisy:
            return Draws(batch)
        assert key is not None
        key = key if step is None else jax.random.fold_in(key, step)
        return self.draw_noise(key, position, () if chains is None else (chains,), batch)

    def draw_batch(self, key: Key[Array, ""] | None, step: ArrayLike | None = None, chains: int | None = None) -> Batch:
        """The mini-batch of one step, or one of every chain, by the key of the run."""
        objective = self.dynamics.objective
        if objective is None or not objective.stochastic:
            return None
        assert key is not None
        key = jax.random.fold_in(key, BATCHES) if self.noisy else key
        if chains is None:
            return objective.draw(key, step)
        keys = jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(chains))
        return jax.vmap(objective.draw, (0, None))(keys, step)

    def draw_noise(
        self, key: Key[Array, ""], position: Vector, shape: tuple[int, ...] = (), batch: Batch = None
    ) -> Draws:
        """Normals like `position`, with uniforms of a shape, beside a mini-batch."""
        normals, uniforms = self.normals, self.scheme.uniforms(self.dynamics)
        like = self.drawn(position)
        noise = tuple(_normal(jax.random.fold_in(key, 1 + i), like) for i in range(normals))
        at = range(1 + normals, 1 + normals + uniforms)
        return Draws(batch, noise, tuple(_uniform(jax.random.fold_in(key, i), shape) for i in at))

    def silent(self, position: Vector) -> Draws:
        """The draws of a step whose noise is zero: by them two runs with the same noise differ."""
        uniforms = (jnp.zeros(()),) * self.scheme.uniforms(self.dynamics)
        none = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), self.drawn(position))
        return Draws(noise=(none,) * self.normals, uniforms=uniforms)


def _uniform(key: Key[Array, ""], shape: tuple[int, ...]) -> Array:
    # Drawn as one vector, for the reason that normals are.
    return jax.random.uniform(key, (math.prod(shape),)).reshape(shape)


def _normal(key: Key[Array, ""], like: PyTree) -> Vector:
    leaves, structure = jax.tree.flatten(like)
    keys = [key] if len(leaves) == 1 else jax.random.split(key, len(leaves))
    drawn = [normal(k, leaf.shape, leaf.dtype) for k, leaf in zip(keys, leaves, strict=True)]
    return jax.tree.unflatten(structure, drawn)
