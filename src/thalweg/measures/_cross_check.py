"""One flow by several ways, and how far apart they end."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .._errors import InputError, as_key, check_choice, check_count, check_number
from .._measures.base import AbstractMeasure
from .._measures.distances import wasserstein
from .._measures.functional import AbstractFunctional, as_measure
from .._measures.gaussian import Gaussian
from .._measures.grid import Grid
from .._measures.interaction import Interaction
from .._measures.internal import Internal
from .._measures.mmd import MMD
from .._measures.particles import Particles
from .._measures.potential import Potential
from .._measures.quantiles import Quantiles
from .._measures.sinkhorn import Sinkhorn
from .._measures.sliced import SlicedWasserstein
from .._showing.text import make_table, plain
from .._typed import typed
from ..geometry import AbstractDensityGeometry, Wasserstein
from ..schemes import MinimizingMovement
from ._flow import flow

# The box of a grid that is made of a Gaussian ends so many deviations from its mean, and from where the flow ends.
_REACH = 9.0


@dataclasses.dataclass(frozen=True)
class CrossCheck:
    """Ends of one flow by several ways.

    Attributes:
        ends: the distribution at the end, by way.
        free_energy: F there; None where it has no value.
        errors: how far each may be from the exact end in $W_2$ (in the sliced distance in more than one dimension): of
            cells, quantiles and steps the distance to half as many, of particles that between two halves of them.
        distances: by pair of ways, with the sum of the two errors.
        refused: the ways that there are not, with the reason.
        projected: the flow leaves the Gaussians, so that the way "gaussian" is that of the nearest ones and stands
            for itself.
    """

    ends: dict[str, Any]
    free_energy: dict[str, float | None]
    errors: dict[str, float]
    distances: dict[tuple[str, str], tuple[float, float]]
    refused: dict[str, str]
    projected: bool

    @property
    def agree(self) -> bool:
        """Tell whether every two are within the sum of their errors of one another, but for a projected one."""
        judged = [pair for pair in self.distances if not (self.projected and "gaussian" in pair)]
        return all(found <= allowed for found, allowed in map(self.distances.__getitem__, judged))

    def __repr__(self) -> str:
        rows = [
            (
                name,
                *(_number(q.mean), _number(np.sqrt(np.diag(q.covariance)))),
                self.free_energy[name],
                self.errors[name],
            )
            for name, q in self.ends.items()
        ]
        ways = make_table(("way", "mean", "deviations", "free energy", "error"), rows)
        pairs = make_table(
            ("between", "W2", "errors"), [(f"{a}, {b}", *found) for (a, b), found in self.distances.items()]
        )
        not_made = "".join(f"\n{name}: {reason}" for name, reason in self.refused.items())
        verdict = "all agree within their errors" if self.agree else "not all agree within their errors"
        if self.projected and "gaussian" in self.ends:
            verdict += "; the flow leaves the Gaussians, which are only near it"
        return f"{plain(ways)}\n{plain(pairs)}\n{verdict}{not_made}"


@typed()
def cross_check(
    functional: AbstractFunctional,
    start: AbstractMeasure,
    time: Any,
    *,
    geometry: AbstractDensityGeometry | None = None,
    ways: Sequence[str] = ("grid", "particles", "jko", "gaussian"),
    steps: int = 200,
    cells: int = 200,
    particles: int = 4000,
    quantiles: int = 400,
    key: Any = 0,
) -> CrossCheck:
    r"""Run one flow by a grid, by particles, by minimizing movements and by Gaussians, and compare the ends.

    Each way is run twice, the second time at half its resolution; the distance between the two is its error. A Gaussian
    is exact where the flow keeps Gaussians, as for quadratic potentials; elsewhere it is their projection, which is
    not judged.

    Arguments:
        functional: F.
        start: the distribution at the start, a `Gaussian`, or a `Grid`, of which the others are made.
        time: how long.
        geometry: None is `tw.geometry.Wasserstein()`.
        ways: some of "grid", "particles", "jko" (the minimizing movement of quantiles, on the line) and "gaussian".
        steps: of each.
        cells: of the grid along every axis, where the start is a Gaussian.
        particles, quantiles: how many.
        key: of what is drawn.

    Returns:
        a `CrossCheck`: `.agree`, `.distances`, `.errors`, `.free_energy`, `.ends`, `.refused`.

    Raises:
        InputError: no two ways can be run.

    >>> import thalweg as tw
    >>> F = tw.measures.KL(tw.measures.Gaussian(0.0, 1.0))
    >>> found = tw.measures.cross_check(F, tw.measures.Gaussian(1.0, 0.5), 0.5, ways=("jko", "gaussian"), quantiles=50)
    >>> found.agree
    True
    """
    as_measure(start)
    check_number("time", time, above=0.0)
    for name, count in (("steps", steps), ("cells", cells), ("particles", particles), ("quantiles", quantiles)):
        check_count(name, count, at_least=6)
    if not isinstance(start, Gaussian | Grid):
        raise InputError(
            f"cross_check begins from a Gaussian or a Grid, which the others are made of, not {start.words}"
        )
    geometry = Wasserstein() if geometry is None else geometry
    first, second = jax.random.split(as_key(key))

    def moved(q: Any, steps: int, scheme: Any = None) -> Any:
        return flow(functional, q, time, geometry=geometry, scheme=scheme, steps=steps, record=None, key=second,
                    progress=False).final.position  # fmt: skip

    reach: list[Any] = []

    def on_grid(half: bool) -> Any:
        if isinstance(start, Gaussian) and not reach:
            # Where a Gaussian comes to says how far a grid has to reach.
            reach.extend((start, moved(start, steps)) if not functional.without_value(start) else (start,))
        q = _grid(start, reach, cells // 2 if half else cells)
        return moved(q, steps // 2 if half else steps)

    def by_particles(half: bool) -> Any:
        return moved(Particles.of(start, particles, first), steps // 2 if half else steps)

    def by_jko(half: bool) -> Any:
        q = Quantiles.of(start, quantiles // 2 if half else quantiles)
        return moved(q, steps // 2 if half else steps, MinimizingMovement())

    def by_gaussian(half: bool) -> Any:
        return moved(Gaussian.of(start), steps // 2 if half else steps)

    made: dict[str, Callable[[bool], Any]] = {
        "grid": on_grid, "particles": by_particles, "jko": by_jko, "gaussian": by_gaussian
    }  # fmt: skip
    ends: dict[str, Any] = {}
    errors: dict[str, float] = {}
    refused: dict[str, str] = {}
    for name in ways:
        check_choice("way", name, made)
        try:
            ends[name] = made[name](False)
            errors[name] = _between(ends[name], made[name](True))
        except InputError as error:
            refused[name] = str(error)
            ends.pop(name, None)
            continue
        if isinstance(ends[name], Particles):
            # Besides what steps do: of two halves each is off by the root of two times as much as the whole.
            errors[name] += _halves(ends[name])
    if len(ends) < 2:
        raise InputError(f"no two ways can be run: {'; '.join(f'{name}: {why}' for name, why in refused.items())}")
    distances = {
        (a, b): (_between(ends[a], ends[b]), errors[a] + errors[b]) for a, b in itertools.combinations(ends, 2)
    }
    energies = {name: _energy(functional, q) for name, q in ends.items()}
    projected = "gaussian" in ends and not _keeps_gaussians(functional, Gaussian.of(start))
    return CrossCheck(ends, energies, errors, distances, refused, projected)


def _keeps_gaussians(functional: AbstractFunctional, q: Gaussian) -> bool:
    """Tell whether potentials and interactions are quadratic, by their curvature at some points."""

    def quadratic(fn: Callable, points: Any) -> bool:
        curvatures = np.asarray(jax.vmap(jax.hessian(lambda x: jnp.asarray(fn(x))))(points))
        return bool(np.allclose(curvatures, curvatures[:1], rtol=1e-6, atol=1e-6 * np.abs(curvatures).max()))

    steps = np.random.default_rng(0).standard_normal((4, q.dimension)) * np.sqrt(np.diag(q.covariance))[None]
    for _, term in functional.terms:
        if isinstance(term, Potential) and not quadratic(term.fn, jnp.asarray(np.asarray(q.mean)[None] + steps)):
            return False
        if isinstance(term, Interaction) and not quadratic(term.energy, jnp.asarray(steps)):
            return False
        if isinstance(term, MMD | Sinkhorn | SlicedWasserstein | Internal):
            return False
    return True


def _grid(start: Any, reach: list[Any], cells: int) -> Grid:
    if isinstance(start, Grid):
        if cells >= start.density.shape[0]:
            return start
        return _coarser(start)
    if start.dimension > 3:
        raise InputError(f"a grid has one to three axes, but the start has {start.dimension} coordinates")
    spreads = [_REACH * np.sqrt(np.diag(q.covariance)) for q in reach]
    low = np.min([q.mean - spread for q, spread in zip(reach, spreads, strict=True)], axis=0)
    high = np.max([q.mean + spread for q, spread in zip(reach, spreads, strict=True)], axis=0)
    edges = tuple(np.linspace(a, b, cells + 1) for a, b in zip(low, high, strict=True))
    return Grid.of(lambda x: jnp.exp(start.log_density(x)), edges)


def _coarser(q: Grid) -> Grid:
    """Pairs of cells made one, along every axis."""
    masses, edges = np.asarray(q.masses), []
    for axis, walls in enumerate(q.mesh.edges):
        starts = np.arange(0, masses.shape[axis], 2)
        masses = np.add.reduceat(masses, starts, axis=axis)
        edges.append(np.append(walls[starts], walls[-1]))
    volumes = np.ones(())
    for walls in edges:
        volumes = volumes[..., None] * np.diff(walls)
    return Grid(masses / volumes, tuple(edges), q.mesh.periodic)


def _between(q: Any, p: Any) -> float:
    return float(wasserstein(q, p, None if q.dimension == 1 or type(q) is type(p) is Gaussian else "sliced"))  # pyright: ignore


def _halves(q: Particles) -> float:
    even, odd = (Particles(q.positions[i::2], q.weights[i::2] / jnp.sum(q.weights[i::2])) for i in (0, 1))
    return 0.5 * _between(even, odd)


def _energy(functional: AbstractFunctional, q: Any) -> float | None:
    return None if functional.without_value(q) else float(functional.value(q))


def _number(values: Any) -> str:
    return " ".join(f"{float(x):.5g}" for x in np.atleast_1d(values))
