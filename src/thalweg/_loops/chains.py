"""Chains side by side, compiled: the normals of a block of steps at once, the steps, and what is kept of them."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from .._errors import as_key
from .._methods.method import Method
from .._objectives.objective import Batch
from .._programs import compiled_quickly
from ..dynamics import AbstractDamped
from ..geometry import AbstractMetric
from ..schemes import Draws, State
from ..schemes._base import energy

# Numbers drawn at a time, at least: a scalar costs 15 ns among 1,000 and among 65,000, and microseconds on its own.
_BLOCK = 16384
# Draws that are one row of sums, at least: the host adds the rows up in float64.
_CELL = 256
# Where no energy of a draw is kept, f is looked at once in so many draws, which costs some 1 % of their gradients.
EVERY = 32


@dataclasses.dataclass(frozen=True)
class Plan:
    """Division of draws into blocks of steps, by what is sampled and not by how long it takes.

    Attributes:
        chains: how many run side by side.
        thin: steps a draw.
        block: steps whose normals are drawn together.
        group: draws in a block; 1 where a draw takes several.
        cell: draws summed into one row; 0 where every draw is a row.
    """

    chains: int
    thin: int
    block: int
    group: int
    cell: int

    @classmethod
    def of(cls, method: Method, chains: int, dimension: int, thin: int, sums: bool) -> "Plan":
        batch = jax.eval_shape(method.draw_batch, as_key(0), 0)
        drawn = method.normals * dimension + sum(leaf.size for leaf in jax.tree.leaves(batch))
        block = max(1, _BLOCK // max(1, chains * drawn))
        group = max(1, block // thin)
        block = group * thin if block >= thin else block
        return cls(chains, thin, block, group, group * -(-_CELL // group) if sums else 0)

    @property
    def row(self) -> int:
        """Draws that are one row."""
        return self.cell or 1


@compiled_quickly
def start_chains(method: Method, positions: Array) -> State:
    """The states of chains that begin at the rows of an array, in one program."""
    return _joined(*jax.vmap(lambda position: _parted(method.init(position)), out_axes=(0, None))(positions))


def step_chains(method: Method, states: State, draws: Draws) -> State:
    """One step of each."""

    def one(state: State, common: Any, draws: Draws) -> tuple[State, Any]:
        return _parted(method.step(_joined(state, common), draws))

    return _joined(*jax.vmap(one, (0, None, 0), (0, None))(*_parted(states), draws))


# All chains have one clock, and one unit of their velocities.
_COMMON = ("clock", "unit", "lookahead_weight")


def _parted(state: State) -> tuple[State, dict[str, Any]]:
    return dataclasses.replace(state, **dict.fromkeys(_COMMON)), {name: getattr(state, name) for name in _COMMON}


def _joined(state: State, common: dict[str, Any]) -> State:
    return dataclasses.replace(state, **common)


def acceptance(method: Method, states: State) -> Array | None:
    """The fraction of steps that each chain accepted; None where none is rejected."""
    own, common = _parted(states)
    return jax.vmap(lambda state: method.scheme.report(_joined(state, common)).acceptance)(own)


def values(method: Method, states: State, energies: bool) -> dict[str, Array]:
    """Quantities kept of a draw, by chain."""
    found = {"position": states.position}
    if not energies:
        return found  # pyright: ignore[reportReturnType]
    objective, law = method.objective, method.dynamics
    assert objective is not None
    if not objective.stochastic:
        own, common = _parted(states)
        found["potential"] = jax.vmap(lambda state: energy(method.scheme, law, _joined(state, common)))(own)
    if isinstance(law, AbstractDamped):
        own, common = _parted(states)
        speed: Any = jax.vmap(lambda state: _joined(state, common).velocity)(own)
        space = law.geometry
        square = (
            jax.vmap(space.inner)(states.position, speed, speed)
            if isinstance(space, AbstractMetric)
            else jnp.sum(speed * speed, axis=-1)
        )
        found["kinetic"] = 0.5 * law.mass * square
    return found  # pyright: ignore[reportReturnType]


@compiled_quickly
def reference(method: Method, states: State, energies: bool) -> dict[str, Array]:
    """Quantities of a draw that sums are taken about, in one program."""
    return values(method, states, energies)


@eqx.filter_jit
def advance(
    method: Method, states: State, key: Any, low: Any, high: Any, reference: dict[str, Array],
    plan: Plan, rows: int, energies: bool, seen: dict[str, Array] | None = None,
) -> tuple[State, dict[str, Any]]:  # fmt: skip
    """Make the draws from `low` to `high`; a row each, or sums and sums of squares about a reference.

    With `seen`, of `unseen`, f is looked at now and then, too, and what is found is added to it: kept as "seen".
    """
    position = states.position
    first_row = low // plan.row

    def steps(states: State, block: Array, begin: Array, count: int) -> State:
        """Make so many steps with the normals of a block."""
        return _scan(method, states, _block(method, key, position, block, begin, count, plan.chains))

    def drawn(g: Array, carry: tuple[State, Any], noise: Any, unit: Array) -> tuple[State, Any]:
        states, kept = carry
        if noise is None:
            whole, rest = divmod(plan.thin, plan.block)
            begin, first = unit * plan.thin, unit * (whole + bool(rest))
            states = jax.lax.fori_loop(
                0, whole, lambda j, s: steps(s, first + j, begin + j * plan.block, plan.block), states
            )
            states = steps(states, first + whole, begin + whole * plan.block, rest) if rest else states
        else:
            at = 0 if plan.group == 1 else g
            states = _scan(method, states, jax.tree.map(lambda leaf: leaf[at], noise))
        now = values(method, states, energies)
        if not plan.cell:
            at = unit * plan.group + g - first_row
            return states, {name: kept[name].at[at].set(now[name]) for name in kept}
        apart = {name: now[name] - reference[name] for name in now}
        return states, {name: (kept[name][0] + apart[name], kept[name][1] + apart[name] ** 2) for name in kept}

    def watched(g: Array, begin: Array, end: Array, carry: Any, noise: Any, u: Array) -> Any:
        """The draws of a unit from one look to the next, of those from `begin` to `end`."""
        ends = jnp.clip(jnp.stack([begin, end]), g * EVERY, (g + 1) * EVERY)
        states, kept, seen = carry
        states, kept = jax.lax.fori_loop(ends[0], ends[1], lambda g, c: drawn(g, c, noise, u), (states, kept))
        due = (ends[0] < ends[1]) & (ends[1] == jnp.minimum((g + 1) * EVERY, plan.group))
        return states, kept, look(states, seen, due)

    def look(states: State, seen: Any, due: Array) -> Any:
        # In a branch of its own nothing is fused with the steps, which stay as they are to the last bit.
        return jax.lax.cond(due, lambda s: _looked(method, states, s), lambda s: s, seen)

    def unit(u: Array, carry: Any) -> Any:
        states, kept, seen = carry
        noise = None
        if plan.thin <= plan.block:
            flat = _block(method, key, position, u, u * plan.block, plan.block, plan.chains)
            noise = jax.tree.map(lambda leaf: leaf.reshape(plan.group, plan.thin, *leaf.shape[1:]), flat)
        gathered = jax.tree.map(lambda pair: jnp.zeros_like(pair[0, 0]), kept) if plan.cell else kept
        if plan.cell:
            gathered = {name: (zero, zero) for name, zero in gathered.items()}
        if plan.group == 1:
            # A unit that is one draw is always whole; without a loop of its own its normals need not be stored.
            states, gathered = drawn(jnp.zeros((), int), (states, gathered), noise, u)
            seen = None if seen is None else look(states, seen, u % EVERY == EVERY - 1)
        else:
            ends = jnp.clip(jnp.stack([low, high]) - u * plan.group, 0, plan.group)
            if seen is None:
                states, gathered = jax.lax.fori_loop(
                    ends[0], ends[1], lambda g, c: drawn(g, c, noise, u), (states, gathered)
                )
            else:
                states, gathered, seen = jax.lax.fori_loop(
                    ends[0] // EVERY, -(-ends[1] // EVERY),
                    lambda g, c: watched(g, ends[0], ends[1], c, noise, u), (states, gathered, seen),
                )  # fmt: skip
        if plan.cell:
            row = u * plan.group // plan.cell - first_row
            gathered = {name: kept[name].at[row].add(jnp.stack(gathered[name])) for name in kept}
        return states, gathered, seen

    shapes = jax.eval_shape(lambda s: values(method, s, energies), states)
    pair = (2,) if plan.cell else ()
    kept = {name: jnp.zeros((rows, *pair, *leaf.shape), leaf.dtype) for name, leaf in shapes.items()}
    states, kept, seen = jax.lax.fori_loop(low // plan.group, -(-high // plan.group), unit, (states, kept, seen))
    return states, kept if seen is None else kept | {"seen": seen}


def unseen(states: State, last: Any, bar: float) -> dict[str, Array]:
    """Nothing looked at as yet, but for the energy at the look before; `bar` is the rise of it that is a jump."""
    position = states.position
    none, wide = jnp.zeros(len(position), int), jnp.promote_types(position.dtype, jnp.float32)
    return {
        "looked": jnp.zeros((), int), "broken": none, "jumps": none, "kinetic": jnp.zeros(len(position), wide),
        "last": jnp.asarray(last, wide), "bar": jnp.asarray(bar, wide),
    }  # fmt: skip


def _looked(method: Method, states: State, seen: dict[str, Array]) -> dict[str, Array]:
    """Counts with one look more at the draw of every chain."""
    found = values(method, states, True)
    kinetic = found.get("kinetic", jnp.zeros_like(seen["kinetic"])).astype(seen["kinetic"].dtype)
    seen = seen | {"looked": seen["looked"] + 1, "kinetic": seen["kinetic"] + kinetic}
    if "potential" not in found:
        return seen
    energy = found["potential"].astype(kinetic.dtype) + kinetic
    rise = energy - seen["last"]
    return seen | {
        "broken": seen["broken"] + ~jnp.isfinite(found["potential"]), "last": energy,
        "jumps": seen["jumps"] + (jnp.isfinite(rise) & (rise > seen["bar"])),
    }  # fmt: skip


@eqx.filter_jit
def potentials(method: Method, rows: Array, first: Any) -> Array:
    """f at some of the rows (rows, chains, d) from the first on."""
    at = jnp.minimum(first + EVERY * jnp.arange(max(1, len(rows) // EVERY)), len(rows) - 1)
    return jax.vmap(jax.vmap(method.dynamics.energy))(rows[at])


def broken_proposals(method: Method, states: State) -> Array | None:
    """The steps that each chain rejected because the gradient is not finite where f is; None where none is rejected."""
    own, common = _parted(states)
    return jax.vmap(lambda state: method.scheme.report(_joined(state, common)).broken)(own)


def _block(method: Method, key: Any, position: PyTree, block: Array, begin: Array, count: int, chains: int) -> Draws:
    """Draws of some steps, all chains together: arrays (steps, chains, ...)."""
    batch: Batch = None
    objective = method.objective
    if objective is not None and objective.stochastic:
        batch = jax.vmap(lambda i: method.draw_batch(key, i, chains))(begin + jnp.arange(count))
    if not method.noisy:
        return Draws(batch)
    like = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (count, *leaf.shape)), position)
    return method.draw_noise(jax.random.fold_in(key, block), like, (count, chains), batch)


def _scan(method: Method, states: State, draws: Draws) -> State:
    if len(jax.tree.leaves(draws)[0]) == 1:
        return step_chains(method, states, jax.tree.map(lambda leaf: leaf[0], draws))
    return jax.lax.scan(lambda s, d: (step_chains(method, s, d), None), states, draws)[0]
