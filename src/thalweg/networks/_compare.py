"""Samplers of a diffusion model side by side: what an evaluation of the network buys."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from .._errors import InputError, as_key, check_choice, check_count
from .._measures.gaussian import Gaussian
from .._measures.kernels import EnergyKernel
from .._measures.mmd import MMD
from .._measures.particles import Particles
from .._methods.linearity import in_float64
from .._methods.method import Method
from .._noising.base import AbstractNoising
from .._noising.exact import AbstractData
from .._noising.noisings import VarianceExploding
from .._programs import compiled_quickly
from .._showing.text import make_table, plain
from .._typed import typed
from ..analysis.sampling_bias import bias_within, filled
from ..dynamics import ProbabilityFlow
from ..dynamics._diffusing import AbstractDiffusing
from ..problems._diffusion import DiffusionProblem
from ..schemes import RK4, AbstractScheme, State
from ._grids import time_grid
from ._samplers import parts

if TYPE_CHECKING:
    from rich.table import Table

DEFAULT = ("ddim", "heun", "exponential_multistep", "ancestral")
# Steps of the flow itself: twice as many until nothing changes any more, of the scale of the data.
_FIRST, _LAST, _SAME = 64, 1024, 1e-6
COLUMNS = ("sampler", "evaluations", "from the flow", "order", "from the data", "bias on a Gaussian")


@dataclasses.dataclass(frozen=True)
class SamplerPoint:
    r"""One sampler at one budget.

    Attributes:
        sampler: how it is called.
        steps: how many.
        evaluations: of the network, for one sample.
        from_flow: root mean square distance, a coordinate, of its ends from those of the flow that begins where it
            does; None of one that draws noise.
        order: seen between this budget and the one before; None where either distance is not told from rounding.
        from_data: the energy distance of its ends from data, squared: $2E|X - Y| - E|X - X'| - E|Y - Y'|$.
        bias: the exact Wasserstein distance of what it makes of Gaussian data of the same mean and covariance from
            these, by `tw.analysis.sampling_bias`, begun with the data as they are noised.
    """

    sampler: str
    steps: int
    evaluations: int
    from_flow: float | None
    order: float | None
    from_data: float
    bias: float


@dataclasses.dataclass(frozen=True)
class SamplerComparison:
    """Result of `tw.networks.compare_samplers`.

    Attributes:
        points: a `SamplerPoint` a run, by sampler from the smallest budget on.
        methods: by sampler, at its largest budget.
        ends: by sampler, what it made at its largest budget, an array (draws, d).
        flow: the ends of the flow itself.
        data: as many of the data, drawn and noised as at the last time.
        floor: the energy distance of two such sets of data from one another, that of a sampler without error.
        reference: how the ends of the flow are known.
        exact: the data, with their densities.
        noising: by which they are noised.
    """

    points: tuple[SamplerPoint, ...]
    methods: dict[str, Method]
    ends: dict[str, np.ndarray]
    flow: np.ndarray
    data: np.ndarray
    floor: float
    reference: str
    exact: AbstractData
    noising: AbstractNoising

    @property
    def samplers(self) -> tuple[str, ...]:
        """The samplers by name."""
        return tuple(self.methods)

    @typed()
    def of(self, sampler: str) -> tuple[SamplerPoint, ...]:
        """The runs of one sampler, from the smallest budget on."""
        check_choice("sampler", sampler, self.methods)
        return tuple(point for point in self.points if point.sampler == sampler)

    def as_list(self) -> list[dict[str, Any]]:
        """One dictionary a run."""
        return [dataclasses.asdict(point) for point in self.points]

    @typed()
    def report(self, path: str | Path, title: str = "Samplers") -> Path:
        """Write one page with pictures that opens without a network."""
        from ..plot import write_sampler_report

        return write_sampler_report(self, Path(path), title)

    @typed()
    def save(self, directory: str | Path) -> tuple[Path, Path]:
        """Write `samplers.json` and `samplers.svg` into a directory."""
        from ..plot._samplers import save

        return save(self, Path(directory))

    def plot(self) -> Any:
        """Draw errors against evaluations: `tw.plot.samplers`."""
        from ..plot import samplers

        return samplers(self)

    @property
    def words(self) -> str:
        """A sentence on what the figures are to be read against."""
        return (
            f"Ends of the flow are known from {self.reference}; data drawn twice are {self.floor:.2g} from one another."
        )

    def as_table(self) -> "Table":
        """The comparison as a rich table, one run a row."""
        rows = []
        for p in self.points:
            order = None if p.order is None else f"{p.order:.2f}"
            far = None if p.from_flow is None else f"{p.from_flow:.2e}"
            rows.append((p.sampler, p.evaluations, far, order, f"{p.from_data:.2e}", f"{p.bias:.2e}"))
        return make_table(COLUMNS, rows, f"{len(self.flow)} samples in {self.flow.shape[1]} dimensions")

    def __repr__(self) -> str:
        return "\n".join((plain(self.as_table()), self.words))


@typed()
def compare_samplers(
    problem: DiffusionProblem | AbstractData,
    samplers: Mapping[str, Method] | Sequence[str] | str = DEFAULT,
    evaluations: Sequence[int] = (8, 16, 32, 64),
    *,
    noising: AbstractNoising | None = None,
    score: Any = None,
    spacing: str = "karras",
    draws: int = 1000,
    key: Any = 0,
) -> SamplerComparison:
    r"""Run samplers of a diffusion model at the same budgets of evaluations, from the same noise.

    How far a sampler ends from the flow, its error as a scheme; how far what it makes is from the data; and, without
    a draw, how far on Gaussian data. Computed in float64.

    Arguments:
        problem: of `tw.problems.diffusion`, or data such as a `tw.networks.GaussianMixture`.
        samplers: names as in `tw.networks.sampler`, or methods by name, whose times are replaced.
        evaluations: budgets, of the network for one sample; a method of s evaluations a step makes a s-th of the steps.
        noising: of the data; None is that of the problem, or `tw.networks.VarianceExploding()`.
        score: what a network predicts, as in `tw.ProbabilityFlow`; None is the exact one. Not for methods of one's own,
            which have theirs.
        spacing: of the times, as in `tw.networks.time_grid`.
        draws: how many samples.
        key: a seed or JAX key, of the noise.

    Returns:
        a `SamplerComparison`: prints as a table; `.points`, `.ends`, `.plot()`, `.report(path)`.

    Raises:
        InputError: a sampler is unknown or none of this noising, or a budget is too small for a step of it.

    >>> import thalweg as tw
    >>> problem = tw.problems.diffusion("mixture-diffusion")
    >>> result = tw.networks.compare_samplers(problem, ["ddim", "heun"], [64, 128], draws=200)
    >>> [round(result.of(name)[-1].order) for name in result.samplers]
    [1, 2]

    Reference: Karras et al. (2022), figure 2.
    """
    if not isinstance(problem, DiffusionProblem):
        problem = DiffusionProblem("data", problem, VarianceExploding() if noising is None else noising)
    end, data, chosen = problem.end, problem.data, noising or problem.noising
    check_count("draws", draws, at_least=2)
    budgets = sorted({check_count("evaluations", n) for n in evaluations})
    if not budgets:
        raise InputError("evaluations must hold at least one number, but is empty")
    key = as_key(key)
    with jax.enable_x64(True):
        chosen, data, score = in_float64(chosen), in_float64(data), in_float64(score)
        score = data.denoiser(chosen) if score is None else score
        made = _made(samplers, chosen, score)
        counts = {name: _counts(name, *pair, budgets) for name, pair in made.items()}
        grids = {n: time_grid(chosen, n, spacing, end=end) for n in {n for found in counts.values() for n in found}}
        return _compared(made, counts, grids, data, chosen, draws, key)


_Made = tuple[AbstractDiffusing, Any]


def _made(samplers: Any, noising: AbstractNoising, score: Any) -> dict[str, _Made]:
    """Law and scheme by name."""
    if isinstance(samplers, str):
        samplers = (samplers,)
    if not isinstance(samplers, Mapping):
        found = {name: parts(name, noising, score) for name in samplers}
    else:
        found = {name: _own(name, method, noising) for name, method in samplers.items()}
    if not found:
        raise InputError("compare_samplers needs at least one sampler")
    return found


def _own(name: str, method: Method, noising: AbstractNoising) -> _Made:
    law = method.dynamics
    if not isinstance(law, AbstractDiffusing):
        raise InputError(
            f"samplers[{name!r}] must follow a tw.ProbabilityFlow or tw.ReverseDiffusion, but follows "
            f"{type(law).__name__}"
        )
    law = in_float64(law)
    # Numbers that were given in 32 bits are those of 64 but for rounding.
    if not bool(eqx.tree_equal(law.noising, noising, rtol=1e-6, atol=0.0)):
        raise InputError(
            f"samplers[{name!r}] is of {law.noising!r}, but the data are noised by {noising!r}; give that as noising"
        )
    if method.scheme.controlled:
        raise InputError(f"samplers[{name!r}]: {type(method.scheme).__name__} sets its own steps, and not by a budget")
    return law, method.scheme


def _counts(name: str, law: AbstractDiffusing, scheme: Any, budgets: Sequence[int]) -> list[int]:
    """Steps that the budgets allow."""
    method = Method(law, scheme, times=jnp.array([0.5, 0.25]) * law.noising.end)
    start, each = method.gradients_at_start, max(1, method.gradients_per_step)
    if start + each > budgets[0]:
        raise InputError(
            f"a step of {name} takes {start + each} evaluations, more than the {budgets[0]} of evaluations; give at "
            f"least {start + each}"
        )
    return [(budget - start) // each for budget in budgets]


def _compared(
    made: Mapping[str, _Made], counts: Mapping[str, list[int]], grids: Mapping[int, Array], data: AbstractData,
    noising: AbstractNoising, draws: int, key: Array,
) -> SamplerComparison:  # fmt: skip
    keys = jax.random.split(key, 5)
    first = next(iter(grids.values()))
    starts = noising.prior(keys[0], jnp.zeros((draws, data.mean.size)), first[0])
    seeds = jax.random.split(keys[1], draws)
    laws = {name: ProbabilityFlow(noising, law.score) for name, (law, _) in made.items()}
    flows: list[tuple[ProbabilityFlow, np.ndarray, float, str]] = []
    held, others = (np.asarray(_noised(data, noising, k, draws, first[-1])) for k in (keys[2], keys[3]))
    gaussian = Gaussian(data.mean, data.covariance)
    points, methods, ends = [], {}, {}
    for name, (law, scheme) in made.items():
        exact, error = _flow(laws[name], flows, starts, seeds, noising, first)
        before: SamplerPoint | None = None
        room = 1 + max(counts[name])
        for n in counts[name]:
            method = Method(law, scheme, times=grids[n])
            methods[name], ends[name] = method, _ends(method, starts, seeds, room)
            start, each = method.gradients_at_start, max(1, method.gradients_per_step)
            far = None if method.stochastic else _rms(ends[name] - exact)
            point = SamplerPoint(
                name, n, start + n * each, far, _order(before, n, far, error), _energy(ends[name], held),
                bias_within(method, gaussian, True, room).wasserstein,
            )  # fmt: skip
            points.append(point)
            before = point
    known = flows[0][3]
    return SamplerComparison(
        tuple(points), methods, ends, flows[0][1], held, _energy(others, held), known, data, noising
    )


@compiled_quickly
def _noised(data: AbstractData, noising: AbstractNoising, key: Array, draws: int, time: Array) -> Array:
    """So many of the data, with the noise that is left at the last of the times."""
    own, other = jax.random.split(key)
    clean = data.sample(own, draws)
    return noising.noised(time, clean, jax.random.normal(other, clean.shape))


@compiled_quickly
def _paths(
    law: AbstractDiffusing, scheme: AbstractScheme, times: Array, steps: Array, starts: Array, seeds: Array
) -> Float[Array, "n d"]:
    """The ends of the starts; a loop, so that grids of any length are one program."""
    method = Method(law, scheme, times=times)

    def one(x: Array, seed: Array) -> Array:
        def step(k: Array, state: State) -> State:
            return method.step(state, method.draw(seed, state.position, k))

        return jax.lax.fori_loop(0, steps, step, method.init(x)).position

    return jax.vmap(one)(starts, seeds)


def _ends(method: Method, starts: Array, seeds: Array, room: int) -> np.ndarray:
    assert method.grid is not None
    times = filled(method.grid.times, room)
    steps = jnp.asarray(method.grid.steps)
    law: Any = method.dynamics
    return np.asarray(_paths(law, method.scheme, times, steps, starts, seeds))


def _flow(
    law: ProbabilityFlow, known: list, starts: Array, seeds: Array, noising: AbstractNoising, first: Array
) -> tuple[np.ndarray, float]:
    """The ends of the flow itself, and their error; once for a score that several samplers follow."""
    for other, found, error, _ in known:
        if other.score is law.score:
            return found, error
    found, error, steps = np.zeros(0), np.inf, _FIRST
    while True:
        times = time_grid(noising, steps, start=first[0], end=first[-1])
        before, found = found, _ends(Method(law, RK4(), times=times), starts, seeds, _LAST + 1)
        if before.size:
            error = _rms(found - before) / 15.0
        if error <= _SAME * (float(np.std(found)) or 1.0) or steps == _LAST:
            break
        steps *= 2
    known.append((law, found, error, f"RK4 in {steps} steps, to {error:.0e}"))
    return found, error


def _rms(apart: np.ndarray) -> float:
    return float(np.sqrt(np.mean(apart**2)))


def _order(before: SamplerPoint | None, steps: int, far: float | None, error: float) -> float | None:
    if before is None or before.from_flow is None or far is None or before.steps == steps:
        return None
    if not (10.0 * error < far < np.inf and 10.0 * error < before.from_flow < np.inf):
        return None
    return float(np.log(before.from_flow / far) / np.log(steps / before.steps))


def _energy(ends: np.ndarray, data: np.ndarray) -> float:
    if not np.all(np.isfinite(ends)):
        return float("nan")
    return float(MMD(jnp.asarray(data), EnergyKernel()).value(Particles(jnp.asarray(ends))))
