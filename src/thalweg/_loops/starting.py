"""The start of a run: everything that is checked, cut to one vector and evaluated before its first step."""

import dataclasses
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import PyTree

from .._errors import InputError, as_key
from .._measures.base import AbstractMeasure, EnsembleWarning
from .._measures.functional import AbstractFunctional
from .._methods.method import Method
from .._methods.raveled import check_drawn
from .._objectives.at_start import check_at_start, check_values
from .._objectives.batches import Reader
from .._objectives.feed import Feed
from .._objectives.objective import as_position
from .._objectives.parts import Composed, parted, same
from .._objectives.stream import Stream
from .._records.run import Record
from .._tree import Vector, ravel, sharded, unraveler
from ..dynamics._curved import check_on
from ..geometry import AbstractDensityGeometry
from ..schemes import State
from . import drive
from .chunk import begin, begin_evaluated, check_rates
from .measuring import Measures


@dataclasses.dataclass(frozen=True)
class Start:
    """A checked start.

    Attributes:
        x0, velocity: the parameters that move, and how fast.
        join: puts them back into the module they are of.
        objective: the function at the start, on the first mini-batch of a stream; None where there is none.
        loss: its value there; None where there is none, and until a run is prepared.
        reader: of a stream.
    """

    x0: Vector
    velocity: Vector | None
    join: Callable
    objective: Any
    loss: float | None
    reader: Reader | None


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A run before its first step.

    Attributes:
        method: as the compiled loop takes it: on one vector, and on the batches that it is handed.
        state: at the start.
        start: the start.
        measures: the metrics.
        cut: makes the tree of the parameters of a vector.
        shown: makes of it what its user has.
        whole: the position is sharded, and keeps its tree.
        feed: of a stream.
    """

    method: Method
    state: State
    start: Start
    measures: Measures
    cut: Callable
    shown: Callable
    whole: bool
    feed: Feed | None


def check_host(name: str, *given: PyTree) -> None:
    """Refuse what runs on the host where it is traced: within `jax.jit`, `vmap` or `grad`."""
    try:
        leaves = jax.tree.leaves(given)
    except ValueError as error:
        first = (str(error).strip().splitlines() or [""])[0]
        raise InputError(f"{name} is given what is no pytree: {first.rstrip('.')}; keys must be of one type") from error
    if any(isinstance(leaf, Tracer) for leaf in leaves) or isinstance(jnp.zeros(()), Tracer):
        raise InputError(
            f"{name} runs on the host and cannot be traced by jax.jit, vmap or grad; use tw.solve there, whose steps "
            "are the same, or tw.sweep for many runs side by side"
        )


def kept_whole(x0: Vector) -> bool:
    """Tell whether a position keeps its tree in the loop."""
    return isinstance(x0, AbstractMeasure) or sharded(x0)


def valued(objective: Any, x0: Any) -> bool:
    """Tell whether an objective has a value at a start: a functional has none on some distributions."""
    return not (
        isinstance(objective, AbstractFunctional) and isinstance(x0, AbstractMeasure) and objective.without_value(x0)
    )


def check_start(method: Method, x0: PyTree, velocity: PyTree, resume: bool, evaluated: bool = True) -> Start:
    """Refuse a start from which a method cannot go.

    Arguments:
        evaluated: now. A run that is prepared evaluates its start in the program that begins it.
    """
    x0, join = parted(x0)
    x0 = as_position(x0)
    joined = method if join is same else method.joined(join)
    if velocity is not None:
        velocity = as_position(parted(velocity)[0])
        joined._check_velocity(x0, velocity)
    check_on(joined.dynamics.geometry, x0, velocity)
    check_drawn(method.dynamics, x0)
    joined.drawn(x0)
    geometry = method.dynamics.geometry
    if isinstance(geometry, AbstractDensityGeometry) and (doubt := geometry.doubt(x0)):
        warnings.warn(doubt, EnsembleWarning, stacklevel=4)
    objective, reader, loss = joined.objective, None, None
    if isinstance(objective, Stream):
        reader = objective.batches.reader().begin()
        if not resume:
            reader.check_from(0)
        objective = objective.on(reader.first)
    if not valued(objective, x0):
        objective = None
    if objective is not None and (evaluated or reader is not None or kept_whole(x0)):
        try:
            loss = check_at_start(method.at_start(objective), x0)
        except InputError:
            if isinstance(objective, AbstractFunctional):
                # It knows better where it is not finite.
                objective.explain(x0)
            raise
    return Start(x0, velocity, join, objective, loss, reader)


def _begun(method: Method, start: Start) -> tuple[State, Start]:
    """The state at a start, which is evaluated where it is not yet."""
    position, velocity = ravel(start.x0), None if start.velocity is None else ravel(start.velocity)
    if start.objective is None or start.loss is not None:
        return begin(method, position, velocity), start
    objective = method.at_start(start.objective)
    batch = objective.draw(as_key(0)) if objective.stochastic else None
    try:
        state, found = begin_evaluated(method, position, velocity, objective, start.x0, batch)
    except Exception:
        check_at_start(objective, start.x0)
        raise
    return state, dataclasses.replace(start, loss=check_values(objective, *found))


def prepare(method: Method, start: Start, steps: int, key: Any, record: Record) -> Prepared:
    """Cut a method and its start to one vector."""
    x0, velocity, join, feed = start.x0, start.velocity, start.join, None
    method = starting = method if join is same else method.joined(join)
    if start.reader is not None:
        stream: Any = method.objective
        feed = Feed(start.reader, steps, drive.CHUNK_SECONDS, stream.ahead)
        # What needs no mini-batch of its own, such as a velocity that starts right, takes the first of a stream.
        starting = method.with_objective(start.objective)
        method = method.with_objective(stream.without_batches())
    whole = kept_whole(x0)
    if whole:
        # A sharded position keeps its tree and its sharding, and a distribution what it is.
        cut: Callable = same
        state = starting.init(x0, velocity)
    else:
        cut = unraveler(x0)
        flat = method.flattened(cut)
        starting = flat if starting is method else starting.flattened(cut)
        method = flat
        state, start = _begun(starting, start)
    if start.objective is None:
        check_rates(starting, state)
    shown = cut if join is same else Composed(join, cut)
    measures = Measures(record, starting, state, key, shown)
    return Prepared(method, state, start, measures, cut, shown, whole, feed)
